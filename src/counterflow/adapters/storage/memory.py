"""The journal in memory: the twin of the SQLite journal for simulation and tests, quick and without a thread."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Any

import numpy as np

from counterflow.adapters.storage.documents import DOCUMENT_TYPES
from counterflow.adapters.storage.samples import (
    PACK,
    LateSample,
    NewestValues,
    as_rows,
    ignore_late,
    in_order_of_receipt,
    no_rows,
    select,
    sorted_uids,
    to_samples,
)
from counterflow.domain.delivery import LogEntry, Sample
from counterflow.domain.ids import DispatchId, SessionUid
from counterflow.domain.records import DocumentKind


class MemoryJournal:
    """`engine.ports.Journal` without a disk.

    By default each write is durable at once. With `manual=True` nothing is durable (nor visible to reads) until `commit()`, and
    `lose_pending()` is the crash: what was not committed is gone.
    """

    def __init__(self, *, manual: bool = False) -> None:
        self._manual = manual
        self._position = 0
        self._durable_position = 0
        self._callbacks: list[Callable[[int], None]] = []
        self._documents: dict[DocumentKind, dict[str, Any]] = {kind: {} for kind in DocumentKind}
        self._logs: defaultdict[DispatchId, list[LogEntry]] = defaultdict(list)
        self._full: list[tuple[float, float, bytes]] = []
        self._rows: list[bytes] = []
        self._pending: list[Callable[[], object]] = []
        self._late_after_s = inf
        self._late: LateSample = ignore_late

    @property
    def position(self) -> int:
        """Number of the last write handed in."""
        return self._position

    @property
    def durable_position(self) -> int:
        """All writes up to here are committed."""
        return self._durable_position

    def alarms(self) -> tuple[str, ...]:
        """Memory has no disk to run full."""
        return ()

    def on_durable(self, callback: Callable[[int], None]) -> None:
        """`callback(durable_position)` after each commit, on the caller's thread."""
        self._callbacks.append(callback)

    def on_late(self, after_s: float, callback: LateSample) -> None:
        """`callback(session, received_s, at_s)` for each sample that is older than `after_s` when it comes."""
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
        row = PACK(session_uid, received_s, at_s, power_w, export_wh, import_wh, soc_frac)
        if self._manual or self._callbacks:
            self._write(lambda: self._rows.append(row))
        else:
            self._rows.append(row)
            self._position += 1
            self._durable_position = self._position
        if received_s - at_s > self._late_after_s:
            self._late(session_uid, received_s, at_s)

    def put(self, kind: DocumentKind, key: str, document: Any) -> None:
        """Insert or replace one document. Raises TypeError when it is not the Struct of its kind."""
        expected = DOCUMENT_TYPES[kind]
        if not isinstance(document, expected):
            raise TypeError(f"a document of kind {kind.value} is a {expected.__name__}, not {type(document).__name__}")
        self._write(lambda: self._documents[kind].__setitem__(key, document))

    def delete(self, kind: DocumentKind, key: str) -> None:
        """Remove one document; absent is fine."""
        self._write(lambda: self._documents[kind].pop(key, None))

    def log(self, dispatch_id: DispatchId, entry: LogEntry) -> None:
        """Append one line to a dispatch's log."""
        self._write(lambda: self._logs[dispatch_id].append(entry))

    def documents(self, kind: DocumentKind) -> Sequence[tuple[str, Any]]:
        """All committed documents of a kind, by key."""
        return sorted(self._documents[kind].items())

    def dispatch_log(self, dispatch_id: DispatchId) -> Sequence[LogEntry]:
        """The committed log of one dispatch, oldest first."""
        return tuple(self._logs.get(dispatch_id, ()))

    def samples(self, session_uids: Iterable[SessionUid], from_s: float, to_s: float) -> Sequence[Sample]:
        """Samples received in [from_s, to_s) of these sessions, in order of receipt."""
        uids = sorted_uids(session_uids)
        chunks = [as_rows(packed) for first_s, last_s, packed in self._chunks() if first_s < to_s and last_s >= from_s]
        return to_samples(in_order_of_receipt(np.concatenate([no_rows(), *(select(rows, uids, from_s, to_s) for rows in chunks)])))

    def last_samples(self, session_uids: Iterable[SessionUid]) -> Sequence[Sample]:
        """The newest known value of each column of each session, as one sample a session."""
        newest = NewestValues(session_uids)
        for _, _, packed in reversed(self._chunks()):
            if newest.complete:
                break
            newest.add(as_rows(packed))
        return newest.samples()

    def flush(self) -> None:
        """Everything handed in is durable afterwards."""
        self.commit()

    def commit(self) -> None:
        """Make all pending writes durable (needed with `manual=True` only)."""
        pending, self._pending = self._pending, []
        for write in pending:
            write()
        if self._durable_position < self._position:
            self._durable_position = self._position
            for callback in self._callbacks:
                callback(self._position)

    def lose_pending(self) -> int:
        """Drop all writes that are not committed, as a crash would; returns how many."""
        lost = len(self._pending)
        self._pending = []
        self._position = self._durable_position
        return lost

    def _write(self, write: Callable[[], object]) -> None:
        self._position += 1
        self._pending.append(write)
        if not self._manual:
            self.commit()

    def _chunks(self) -> list[tuple[float, float, bytes]]:
        """(first receipt, last receipt, packed rows), oldest first."""
        if self._rows:
            packed = b"".join(self._rows)
            received_s = as_rows(packed)["received_s"]
            self._full.append((float(received_s.min()), float(received_s.max()), packed))
            self._rows.clear()
        return self._full
