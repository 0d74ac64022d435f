"""The reading half of the journal on SQLite: for the process that writes it, and for any other while it does."""

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from counterflow.adapters.storage.archive import ARCHIVE_ERRORS, SampleArchive
from counterflow.adapters.storage.chunks import archived_day, read_forwards
from counterflow.adapters.storage.documents import UNREADABLE, decode_document, decode_log
from counterflow.adapters.storage.pending import spell_key
from counterflow.adapters.storage.samples import DAY_MS, Rows, in_order_of_receipt, no_rows, select, sorted_uids, to_ms, to_samples
from counterflow.adapters.storage.schema import StorageError, open_to_read, table_of
from counterflow.domain.delivery import LogEntry, Sample
from counterflow.domain.ids import DispatchId, SessionUid
from counterflow.domain.records import DocumentKind


class SqliteReader:
    """Documents, logs and samples of one SQLite file, as committed. All methods may be called from any thread."""

    def __init__(self, path: Path, reader: sqlite3.Connection) -> None:
        self.path = path
        self.archive = SampleArchive(path.parent / "archive")
        self._reader = reader
        self._read_lock = threading.Lock()
        self._broken: dict[str, dict[str, str]] = {}

    @classmethod
    def beside(cls, path: Path) -> Self:
        """Read a database that another process may be writing, or none; nothing is changed. Raises StorageError."""
        return cls(path, open_to_read(path))

    def unreadable(self) -> tuple[str, ...]:
        """A sentence for each record that was skipped, since it cannot be read."""
        found = list(self._broken.items())
        return tuple(f"{place} {key!r} cannot be read and was skipped: {why}." for place, broken in found for key, why in broken.items())

    def close_reader(self) -> None:
        """Let the file go."""
        with self._read_lock:
            self._reader.close()

    def documents(self, kind: DocumentKind) -> Sequence[tuple[str, Any]]:
        """All committed documents of a kind, by key; one that cannot be decoded is skipped and becomes an alarm."""
        found: list[tuple[str, Any]] = []
        broken: dict[str, str] = {}
        for key, body in self.query(f"SELECT key, CAST(body AS BLOB) FROM {table_of(kind)} ORDER BY key"):
            try:
                found.append((key, decode_document(kind, body)))
            except UNREADABLE as error:
                broken[key] = str(error)
        self._broken[f"The {kind.value} document"] = broken
        return found

    def dispatch_log(self, dispatch_id: DispatchId) -> Sequence[LogEntry]:
        """The committed log of one dispatch, oldest first; a line that cannot be decoded is skipped and becomes an alarm."""
        found: list[LogEntry] = []
        broken: dict[str, str] = {}
        ordered = "SELECT body FROM dispatch_log WHERE dispatch_id = ? ORDER BY log_id"
        lines = self.query(f"SELECT CAST(group_concat(body, char(10)) AS BLOB) FROM ({ordered})", (spell_key(dispatch_id),))[0][0]
        for number, line in enumerate(() if lines is None else lines.split(b"\n"), start=1):
            try:
                found.append(decode_log(line))
            except UNREADABLE as error:
                broken[str(number)] = str(error)
        self._broken[f"Of dispatch {dispatch_id}, log line"] = broken
        return found

    def samples(self, session_uids: Iterable[SessionUid], from_s: float, to_s: float) -> Sequence[Sample]:
        """Samples received in [from_s, to_s) of these sessions, in order of receipt, from SQLite and from archived days."""
        return to_samples(self.sample_rows(session_uids, from_s, to_s))

    def sample_rows(self, session_uids: Iterable[SessionUid], from_s: float, to_s: float) -> Rows:
        """The same as packed rows (M,) of `samples.ROW`, for millions of them."""
        uids = sorted_uids(session_uids)
        from_ms, to_ms_ = to_ms(from_s), to_ms(to_s) + 1
        with self._reading():
            boundary_ms = archived_day(self._reader) * DAY_MS
            parts = [select(rows, uids, from_s, to_s) for rows, _ in read_forwards(self._reader, max(from_ms, boundary_ms), to_ms_)]
        archived = self._archived_rows(uids, from_s, to_s, boundary_ms)
        return in_order_of_receipt(np.concatenate([no_rows(), *archived, *parts]))

    def _archived_rows(self, uids: NDArray[np.int64], from_s: float, to_s: float, boundary_ms: int) -> list[Rows]:
        """Rows of the archived days in the window; a file that cannot be read is skipped and becomes an alarm."""
        found: list[Rows] = []
        broken: dict[str, str] = {}
        from_ms, to_ms_ = to_ms(from_s), min(to_ms(to_s) + 1, boundary_ms)
        for day in self.archive.days():
            if day * DAY_MS < to_ms_ and from_ms < (day + 1) * DAY_MS:
                try:
                    found.append(self.archive.read(day, uids, from_s, to_s))
                except ARCHIVE_ERRORS as error:
                    broken[self.archive.path(day).name] = str(error)
        self._broken["The archive file"] = broken
        return found

    def query(self, statement: str, parameters: tuple[int | float | str, ...] = ()) -> list[tuple[Any, ...]]:
        """Rows of a read-only statement, as committed."""
        with self._reading():
            return self._reader.execute(statement, parameters).fetchall()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """All reads inside see one state of the database. Raises StorageError when it cannot be read."""
        with self._read_lock:
            try:
                self._reader.execute("BEGIN")
                try:
                    yield
                finally:
                    self._reader.execute("COMMIT")
            except sqlite3.Error as error:
                raise StorageError(f"The journal {self.path} cannot be read: {error}.") from error
