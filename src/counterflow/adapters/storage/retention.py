"""How long each class of data is kept. One bounded step at a time, safe to interrupt anywhere, `kill -9` included."""

from collections.abc import Callable

import msgspec
import pyarrow as pa

from counterflow.adapters.storage.archive import DayWriter, day_name, day_of
from counterflow.adapters.storage.report_files import ReportFiles
from counterflow.adapters.storage.samples import DAY_MS, Rows, chunk_key, key_ms
from counterflow.adapters.storage.schema import StorageError
from counterflow.adapters.storage.settings import StorageSettings
from counterflow.adapters.storage.sqlite import SqliteJournal
from counterflow.domain.ids import DispatchId
from counterflow.domain.instructions import DispatchState
from counterflow.domain.units import DAY_S

_CHUNKS_AT_ONCE = 2_000
_DOCUMENTS_AT_ONCE = 500
_ENDED = (DispatchState.COMPLETED, DispatchState.CANCELLED, DispatchState.ABORTED)

_FIELD = "CASE WHEN json_valid(body) THEN json_extract(body, '$.{}') END"
_SESSION_IS_OLD = f"{_FIELD.format('ended_s')} < ?"
_DISPATCH_IS_OLD = f"{_FIELD.format('state')} IN ({', '.join(repr(state.value) for state in _ENDED)}) AND {_FIELD.format('end_s')} < ?"


class Retention:
    """Moves and removes what the settings say is old.

    A day of samples leaves SQLite in this order, each step durable before the next: the day is sealed (no new sample is filed
    under it), its Parquet file is written, synced and moved into place, the boundary is moved (readers take the day from Parquet
    from now on), its chunks are deleted a few at a time. A crash repeats the step it fell into.
    """

    def __init__(self, journal: SqliteJournal, reports: ReportFiles, settings: StorageSettings) -> None:
        self._journal = journal
        self._reports = reports
        self._settings = settings
        self._day: int | None = None
        self._writer: DayWriter | None = None
        self._from_ms = 0
        self.alarm: str | None = None
        """Why the last step failed, as a sentence; None = it did not."""
        self._removed: list[DispatchId] = []

    def run_retention(self, now_s: float) -> str | None:
        """Do one step; returns what was done, or None when there is nothing (more) to do or the step failed (see `alarm`).

        Call it from a thread of its own now and then, and again at once while it returns a text. A step takes well under a second.
        """
        steps: tuple[Callable[[float], str | None], ...] = (
            self._delete_archived_chunks,
            self._archive_piece,
            self._remove_archive_file,
            self._remove_sessions,
            self._remove_dispatch,
            self._remove_reports,
        )
        try:
            for step in steps:
                if (done := step(now_s)) is not None:
                    self.alarm = None
                    return done
        except (StorageError, OSError, pa.ArrowException) as error:
            self._abandon()
            self.alarm = f"Old records cannot be moved or removed: {error}"
            return None
        self.alarm = None
        return None

    def take_removed(self) -> list[DispatchId]:
        """Dispatches that were removed since the last call."""
        removed, self._removed = self._removed, []
        return removed

    def close(self) -> None:
        """Drop a Parquet file that is not finished; the next run begins the day again."""
        self._abandon()

    def _delete_archived_chunks(self, _now_s: float) -> str | None:
        _, archived_day = self._journal.boundary()
        below = chunk_key(archived_day * DAY_MS)
        if not self._journal.query("SELECT 1 FROM sample_chunk WHERE chunk_key < ? LIMIT 1", (below,)):
            return None
        chosen = f"SELECT chunk_key FROM sample_chunk WHERE chunk_key < ? ORDER BY chunk_key LIMIT {_CHUNKS_AT_ONCE}"
        count = self._journal.run_between_commits((f"DELETE FROM sample_chunk WHERE chunk_key IN ({chosen})", (below,)))
        return f"deleted {count} archived sample chunks"

    def _archive_piece(self, now_s: float) -> str | None:
        if self._writer is None or self._day is None:
            return self._begin_day(now_s)
        rows = self._next_piece(self._day)
        if rows is not None:
            self._writer.add(rows)
            return f"wrote {len(rows)} samples of {day_name(self._day)} to Parquet"
        day, count = self._day, self._writer.finish()
        self._writer = self._day = None
        self._journal.run_between_commits(("UPDATE sample_boundary SET archived_day = ?", (day + 1,)))
        return f"archived {count} samples of {day_name(day)}"

    def _begin_day(self, now_s: float) -> str | None:
        """Seal the oldest day that is due. A clock that runs ahead archives nothing: the newest samples tell the day, too."""
        oldest, newest = self._journal.query("SELECT min(chunk_key), max(chunk_key) FROM sample_chunk")[0]
        if oldest is None:
            return None
        day = key_ms(oldest) // DAY_MS
        today = min(day_of(now_s), key_ms(newest) // DAY_MS)
        if day >= today - self._settings.sample_days:
            return None
        self._journal.seal_days_before(day + 1)
        self._day, self._from_ms = day, day * DAY_MS
        self._writer = self._journal.archive.writer(day)
        return f"sealed {day_name(day)}"

    def _next_piece(self, day: int) -> Rows | None:
        piece = self._journal.first_piece(self._from_ms, (day + 1) * DAY_MS)
        if piece is None:
            return None
        rows, self._from_ms = piece
        return rows

    def _abandon(self) -> None:
        if self._writer is not None:
            self._writer.abandon()
        self._writer = self._day = None

    def _remove_archive_file(self, now_s: float) -> str | None:
        if self._settings.archive_days == 0:
            return None
        for day in self._journal.archive.days():
            if day < day_of(now_s) - self._settings.archive_days:
                self._journal.archive.remove(day)
                return f"removed the archived samples of {day_name(day)}"
        return None

    def _remove_sessions(self, now_s: float) -> str | None:
        if self._settings.closed_session_days == 0:
            return None
        before_s = now_s - self._settings.closed_session_days * DAY_S
        chosen = f"SELECT key FROM document_session WHERE {_SESSION_IS_OLD} LIMIT {_DOCUMENTS_AT_ONCE}"
        keys = [key for (key,) in self._journal.query(chosen, (before_s,))]
        if not keys:
            return None
        found = f"DELETE FROM document_session WHERE key IN (SELECT value FROM json_each(?)) AND {_SESSION_IS_OLD}"
        count = self._journal.run_between_commits((found, (msgspec.json.encode(keys).decode(), before_s)))
        return f"removed {count} ended sessions"

    def _remove_dispatch(self, now_s: float) -> str | None:
        if self._settings.dispatch_days == 0:
            return None
        before_s = now_s - self._settings.dispatch_days * DAY_S
        found = self._journal.query(f"SELECT key FROM document_dispatch WHERE {_DISPATCH_IS_OLD} LIMIT 1", (before_s,))
        if not found:
            return None
        key = found[0][0]
        self._journal.run_between_commits(
            ("DELETE FROM dispatch_log WHERE dispatch_id = ?", (key,)),
            ("DELETE FROM document_dispatch WHERE key = ?", (key,)),
        )
        self._removed.append(DispatchId(key))
        return f"removed dispatch {key} and its log"

    def _remove_reports(self, now_s: float) -> str | None:
        if self._settings.report_days == 0:
            return None
        count = self._reports.remove_older(now_s - self._settings.report_days * DAY_S)
        return f"removed the reports of {count} dispatches" if count else None
