"""The journal on SQLite: one file, write-ahead log, group commit; it survives `kill -9` and power cuts after each commit."""

from collections.abc import Callable, Iterable, Sequence
from math import inf
from pathlib import Path
from typing import Any, Self

from counterflow.adapters.storage.chunks import read_backwards, read_forwards
from counterflow.adapters.storage.documents import encode_document, encode_log
from counterflow.adapters.storage.pending import keyed, spell_key
from counterflow.adapters.storage.reading import SqliteReader
from counterflow.adapters.storage.samples import (
    PACK,
    LateSample,
    NewestValues,
    Rows,
    ignore_late,
    to_ms,
)
from counterflow.adapters.storage.schema import DataLock, open_database
from counterflow.adapters.storage.settings import StorageSettings
from counterflow.adapters.storage.writer import GroupWriter, Statement
from counterflow.domain.delivery import LogEntry, Sample
from counterflow.domain.ids import DispatchId, SessionUid
from counterflow.domain.records import DocumentKind


class SqliteJournal(SqliteReader):
    """`engine.ports.Journal` on one SQLite file. All methods may be called from any thread.

    Reads see what is committed; `flush` first to see everything. When the disk does not take writes, `failed` says why,
    `durable_position` stands still (so nothing is acknowledged) and the writer keeps trying.
    """

    def __init__(self, path: Path, settings: StorageSettings) -> None:
        """Open or create the database. Raises StorageError when another process has it, or when it is newer than we are."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.closed = False
        self._settings = settings
        self._late_after_s = inf
        self._late: LateSample = ignore_late
        self._lock_file = DataLock(path.with_suffix(".lock"))
        try:
            self._writer = GroupWriter(path, open_database(path), settings)
            super().__init__(path, open_database(path))
            self._writer.sealed_day = self.boundary()[0]
        except BaseException:
            self._lock_file.release()
            raise

    # -- writes ----------------------------------------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """Number of the last write handed in; 0 after opening."""
        return self._writer.position

    @property
    def durable_position(self) -> int:
        """All writes up to here are on disk."""
        return self._writer.durable_position

    @property
    def failed(self) -> str | None:
        """Why writes do not reach the disk just now, as a sentence; None = all is well."""
        return self._writer.failed

    def alarms(self) -> tuple[str, ...]:
        """Everything an operator should know of the store: failure, little free space, documents that cannot be read."""
        texts = (self._writer.failed, self._writer.disk_alarm, self._writer.callback_alarm, *self.unreadable())
        return tuple(text for text in texts if text is not None)

    def on_durable(self, callback: Callable[[int], None]) -> None:
        """`callback(durable_position)` after each commit, from the writer's thread."""
        self._writer.callbacks.append(callback)

    def on_late(self, after_s: float, callback: LateSample) -> None:
        """`callback(session, received_s, at_s)` for each sample that is older than `after_s` when it comes, on the caller's thread."""
        self._late_after_s, self._late = after_s, callback

    def sample(
        self,
        session_uid: SessionUid,
        received_s: float,
        at_s: float,
        power_w: float,
        export_wh: float,
        import_wh: float,
        soc_frac: float,
    ) -> None:
        """Keep one meter sample; NaN = not in the sample."""
        writer = self._writer
        writes = writer.writes
        if len(writes) >= writer.room:
            writer.lose()
            return
        writes.append(PACK(session_uid, received_s, at_s, power_w, export_wh, import_wh, soc_frac))
        if writer.idle:
            writer.wake()
        if received_s - at_s > self._late_after_s:
            self._late(session_uid, received_s, at_s)

    def put(self, kind: DocumentKind, key: str, document: Any) -> None:
        """Insert or replace one document. Raises TypeError when it is not the Struct of its kind."""
        key = spell_key(key)
        self._writer.add((kind, key, keyed(key, encode_document(kind, document))))

    def delete(self, kind: DocumentKind, key: str) -> None:
        """Remove one document; absent is fine."""
        self._writer.add((kind, spell_key(key), None))

    def log(self, dispatch_id: DispatchId, entry: LogEntry) -> None:
        """Append one line to a dispatch's log."""
        self._writer.add((None, keyed(spell_key(dispatch_id), encode_log(entry).decode())))

    def flush(self) -> None:
        """Block until everything handed in is durable. Raises StorageError when the disk does not take it."""
        self._writer.flush()

    def close(self) -> None:
        """Commit what is pending if the disk takes it, and let others open the data directory; once is enough."""
        if self.closed:
            return
        self.closed = True
        self._writer.close()
        self.close_reader()
        self._lock_file.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- reads ----------------------------------------------------------------------------------------------------------------

    def last_samples(self, session_uids: Iterable[SessionUid]) -> Sequence[Sample]:
        """The newest known value of each column of each session as one sample a session.

        Newest by `at_s` among the rows read: from the newest row backwards until everything is known, at most
        `last_samples_lookback_s` and `last_samples_max_rows`.
        """
        newest = NewestValues(session_uids)
        read = 0
        with self._reading():
            for rows in read_backwards(self._reader, to_ms(self._settings.last_samples_lookback_s)):
                newest.add(rows)
                read += len(rows)
                if newest.complete or read >= self._settings.last_samples_max_rows:
                    break
        return newest.samples()

    # -- for retention ---------------------------------------------------------------------------------------------------------

    def boundary(self) -> tuple[int, int]:
        """(sealed day, archived day) since 1970: days before the first get no new chunks, days before the second are read from Parquet."""
        sealed_day, archived_day = self.query("SELECT sealed_day, archived_day FROM sample_boundary")[0]
        return sealed_day, archived_day

    def seal_days_before(self, day: int) -> None:
        """No new chunk is filed under days before this one, whatever time a sample claims; durable once this returns."""
        self._writer.sealed_day = max(self._writer.sealed_day, day)
        self.run_between_commits(("UPDATE sample_boundary SET sealed_day = max(sealed_day, ?)", (day,)))

    def first_piece(self, from_ms: int, to_ms: int) -> tuple[Rows, int] | None:
        """The first samples filed in [from_ms, to_ms), and the time up to which they reach; None when there are no more."""
        with self._reading():
            return next(read_forwards(self._reader, from_ms, to_ms), None)

    def run_between_commits(self, *statements: Statement) -> int:
        """Run (statement, parameters) pairs as one transaction of the writer thread; returns how many rows the last one changed."""
        return self._writer.run_between_commits(statements)
