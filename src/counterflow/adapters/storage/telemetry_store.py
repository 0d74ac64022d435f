"""Telemetry of pools on disk: append-only, in a file of its own, so that neither its size nor its commits stand in the journal's way."""

import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from msgspec.structs import astuple

from counterflow.adapters.storage.schema import StorageError, connect
from counterflow.domain.grid import PoolTelemetry
from counterflow.domain.ids import PoolId

_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS pools(number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE)",
    "CREATE TABLE IF NOT EXISTS layouts(number INTEGER PRIMARY KEY, fields TEXT NOT NULL UNIQUE)",
    "CREATE TABLE IF NOT EXISTS records(pool INTEGER NOT NULL, sequence INTEGER NOT NULL, at_ms INTEGER NOT NULL, layout INTEGER NOT NULL,"
    " body BLOB NOT NULL, PRIMARY KEY(pool, sequence)) WITHOUT ROWID",
)
_FIELDS: Final = PoolTelemetry.__struct_fields__
_BROKEN: Final = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})
_DROPPED_AT_ONCE: Final = 2_000
_SWEEP_S: Final = 60.0
_RETRY_S: Final = 1.0
WAITING_MAX: Final = 50_000
"""Records kept in memory while the disk does not take them; then the oldest go."""

log = structlog.get_logger("counterflow")

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class BrokenFileError(StorageError):
    """The file is no database (any more)."""


def open_telemetry(path: Path, keep_s: float, on_written: Callable[[Sequence[PoolTelemetry]], None]) -> "TelemetryStore":
    """The store of a file. One that is broken is set aside, and another begun: no car needs it. Raises StorageError."""
    try:
        return TelemetryStore(path, keep_s, on_written)
    except BrokenFileError as error:
        aside = path.with_name(f"{path.name}.broken")
        log.error("telemetry file set aside", text=str(error), aside=str(aside))
        path.replace(aside)
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        return TelemetryStore(path, keep_s, on_written)


class TelemetryStore:
    """One thread writes, each round of records in one commit. All methods may be called from any thread.

    A body is the values of a record without their names; `layouts` has the names, so that a release with other fields reads what an
    older one wrote. When the disk does not take writes `failed` says why, and the thread keeps trying.
    """

    def __init__(self, path: Path, keep_s: float, on_written: Callable[[Sequence[PoolTelemetry]], None]) -> None:
        """`on_written` is told each round once it is on disk, or could not be written, from the store's thread. Raises StorageError."""
        self.failed: str | None = None
        self.dropped = 0
        self.written = 0
        self.commit_s = 0.0
        """How long all commits together took."""
        self._keep_s = keep_s
        self._on_written = on_written
        self._fresh: list[PoolTelemetry] = []
        self._wake = threading.Condition()
        self._read_lock = threading.Lock()
        self._closing = False
        self._swept_at_s = float("-inf")
        try:
            self._writer = connect(path)
            for statement in _TABLES:
                self._writer.execute(statement)
            self._reader = connect(path)
            self._layout = _number_of(self._writer, "layouts", "fields", msgspec.json.encode(_FIELDS).decode())
        except sqlite3.Error as error:
            kind = BrokenFileError if error.sqlite_errorcode in _BROKEN else StorageError
            raise kind(f"The file {path} cannot be opened: {error}.") from error
        self._pools: dict[str, int] = dict(self._writer.execute("SELECT name, number FROM pools"))
        self._layouts = {
            number: tuple(msgspec.json.decode(fields)) for number, fields in self._writer.execute("SELECT number, fields FROM layouts")
        }
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def append(self, records: Sequence[PoolTelemetry]) -> None:
        """Hand in the records of one instant. Never blocks on the disk."""
        with self._wake:
            self._fresh.extend(records)
            self._wake.notify()

    def last_sequence(self, pool: PoolId) -> int | None:
        """Number of the newest record of a pool that is on disk."""
        rows = self._query("SELECT max(sequence) FROM records WHERE pool = ?", (self._pools.get(pool),))
        return rows[0][0] if rows else None

    def first_sequence(self, pool: PoolId) -> int | None:
        """Number of the oldest record of a pool that is still kept."""
        rows = self._query("SELECT min(sequence) FROM records WHERE pool = ?", (self._pools.get(pool),))
        return rows[0][0] if rows else None

    def since(self, pool: PoolId, sequence: int, most: int) -> list[PoolTelemetry]:
        """Up to `most` records of a pool behind `sequence`, in their order. Raises StorageError when the file cannot be read."""
        rows = self._query(
            "SELECT sequence, layout, body FROM records WHERE pool = ? AND sequence > ? ORDER BY sequence LIMIT ?",
            (self._pools.get(pool), sequence, most),
        )
        return [self._record(pool, number, layout, body) for number, layout, body in rows]

    def close(self) -> None:
        """Write what waits, if the disk takes it, and stop."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()
        with self._read_lock:
            self._reader.close()
        self._writer.close()

    def _query(self, text: str, values: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        with self._read_lock:
            try:
                return self._reader.execute(text, values).fetchall()
            except sqlite3.Error as error:
                raise StorageError(f"Telemetry cannot be read: {error}.") from error

    def _record(self, pool: PoolId, sequence: int, layout: int, body: bytes) -> PoolTelemetry:
        values = _decode(body)
        fields = self._layouts[layout]
        if fields == _FIELDS:
            return msgspec.convert(dict(zip(_FIELDS, values, strict=True)), PoolTelemetry)
        known = {name: value for name, value in zip(fields, values, strict=True) if name in _FIELDS}
        missing: dict[str, Any] = {name: None for name in _FIELDS if name not in known}
        return msgspec.convert({**missing, **known, "pool": pool, "sequence": sequence}, PoolTelemetry)

    def _run(self) -> None:
        unwritten: list[PoolTelemetry] = []
        while True:
            with self._wake:
                if not self._fresh and not self._closing:
                    self._wake.wait(_RETRY_S if unwritten else None)
                fresh, self._fresh = self._fresh, []
                closing = self._closing
            unwritten += fresh
            if unwritten:
                self._write(unwritten)
            if fresh:
                self._on_written(fresh)
            if closing:
                return

    def _write(self, records: list[PoolTelemetry]) -> None:
        """Commit `records`, and take them off the list when that is done."""
        began_s = time.monotonic()
        try:
            self._commit(records)
        except sqlite3.Error as error:
            self.failed = f"Telemetry cannot be written: {error}."
            excess = max(0, len(records) - WAITING_MAX)
            del records[:excess]
            self.dropped += excess
            return
        self.failed = None
        self.written += len(records)
        records.clear()
        self.commit_s += time.monotonic() - began_s

    def _commit(self, records: Sequence[PoolTelemetry]) -> None:
        writer, newest_s = self._writer, records[-1].at_s
        pools = dict(self._pools)
        writer.execute("BEGIN IMMEDIATE")
        try:
            for name in {record.pool for record in records} - pools.keys():
                pools[name] = _number_of(writer, "pools", "name", name)
            writer.executemany(
                "INSERT OR IGNORE INTO records VALUES (?, ?, ?, ?, ?)",
                [(pools[one.pool], one.sequence, int(one.at_s * 1e3), self._layout, _encode(astuple(one))) for one in records],
            )
            if abs(newest_s - self._swept_at_s) >= _SWEEP_S:
                self._sweep(pools, newest_s)
                self._swept_at_s = newest_s
            writer.execute("COMMIT")
        except BaseException:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            raise
        self._pools = pools

    def _sweep(self, pools: dict[str, int], now_s: float) -> None:
        """Drop what is older than it is kept, a portion at a time."""
        before_ms = int((now_s - self._keep_s) * 1e3)
        for number in pools.values():
            oldest = self._writer.execute(
                "SELECT sequence, at_ms FROM records WHERE pool = ? ORDER BY sequence LIMIT ?", (number, _DROPPED_AT_ONCE)
            )
            past = [sequence for sequence, at_ms in oldest if at_ms < before_ms]
            if past:
                self._writer.execute("DELETE FROM records WHERE pool = ? AND sequence <= ?", (number, past[-1]))


def _number_of(connection: sqlite3.Connection, table: str, column: str, value: str) -> int:
    connection.execute(f"INSERT OR IGNORE INTO {table}({column}) VALUES (?)", (value,))
    return int(connection.execute(f"SELECT number FROM {table} WHERE {column} = ?", (value,)).fetchone()[0])
