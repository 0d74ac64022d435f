"""Older days of meter samples as Parquet files, one a day (`samples-2026-11-22.parquet`).

Columns as in `samples.ROW`; null = not in the sample.
"""

import os
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from counterflow.adapters.storage.files import sync_directory
from counterflow.adapters.storage.samples import COLUMNS, ROW, VALUE_COLUMNS, Rows, select

ARCHIVE_ERRORS = (OSError, pa.ArrowException)
"""What reading a broken or vanished file raises."""

_EPOCH = date(1970, 1, 1)
SCHEMA = pa.schema(
    [
        pa.field("session_uid", pa.int64(), nullable=False),
        *(pa.field(name, pa.float64(), nullable=name in VALUE_COLUMNS) for name in COLUMNS[1:]),
    ]
)


def day_name(day: int) -> str:
    """ISO date of a day counted from 1970-01-01."""
    return (_EPOCH + timedelta(days=day)).isoformat()


def day_of(now_s: float) -> int:
    """The UTC day of a time, counted from 1970-01-01."""
    return (datetime.fromtimestamp(now_s, UTC).date() - _EPOCH).days


class SampleArchive:
    """A directory of Parquet files. A file is there whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def path(self, day: int) -> Path:
        """The file of a day."""
        return self.directory / f"samples-{day_name(day)}.parquet"

    def days(self) -> list[int]:
        """Days that have a file, oldest first."""
        found = []
        for path in self.directory.glob("samples-*.parquet"):
            try:
                found.append((date.fromisoformat(path.stem.removeprefix("samples-")) - _EPOCH).days)
            except ValueError:
                continue  # somebody else's file
        return sorted(found)

    def read(self, day: int, uids: NDArray[np.int64], from_s: float, to_s: float) -> Rows:
        """The rows of these sessions received in [from_s, to_s) on that day. Raises OSError or ArrowException when the file is broken."""
        window = (pc.field("received_s") >= from_s) & (pc.field("received_s") < to_s)
        return select(to_rows(pq.read_table(self.path(day), filters=window)), uids, from_s, to_s)

    def remove(self, day: int) -> None:
        """Delete the file of a day; absent is fine."""
        self.path(day).unlink(missing_ok=True)

    def writer(self, day: int) -> "DayWriter":
        """Begin the file of a day; it takes the place of an earlier one when it is finished."""
        self.directory.mkdir(parents=True, exist_ok=True)
        return DayWriter(self.path(day))


class DayWriter:
    """Writes one Parquet file piece by piece beside its place; an unfinished file is never read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_suffix(".part")
        self._file = self._part.open("wb")
        self._parquet = pq.ParquetWriter(self._file, SCHEMA, compression="zstd")
        self._count = 0

    def add(self, rows: Rows) -> None:
        """Append rows as one row group. Raises OSError when the disk is full."""
        self._parquet.write_table(to_table(rows))
        self._count += len(rows)

    def finish(self) -> int:
        """Sync the file and move it into place; returns the number of rows. Durable once this returns."""
        self._parquet.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self._path)
        sync_directory(self._path.parent)
        return self._count

    def abandon(self) -> None:
        """Remove what was written."""
        with suppress(OSError, pa.ArrowException):
            self._parquet.close()
        with suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)


def to_table(rows: Rows) -> pa.Table:
    """Rows as an Arrow table; NaN becomes null."""
    arrays = [pa.array(np.ascontiguousarray(rows[field.name]), type=field.type, from_pandas=field.nullable) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def to_rows(table: pa.Table) -> Rows:
    """The reverse of `to_table`."""
    rows = np.empty(table.num_rows, dtype=ROW)
    for name in COLUMNS:
        rows[name] = table.column(name).to_numpy()
    return rows
