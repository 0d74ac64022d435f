"""Who leaves a dispatch, or is handed back to charging: log line, notice and clears, in portions.

Ten thousand cars may leave in one tick, when a network breaks. Nothing of what was asked of them is renewed from that moment on; to take
the profiles off all of them at once would hold up the metering of the others, and the tick that finds cars to step in.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from counterflow.app.dispatching.placing import Placement
from counterflow.app.stations.conflicts import Conflicts
from counterflow.domain.course import drop_out_words
from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.ids import DispatchId, SessionUid, StationId
from counterflow.domain.reasons import ChangeReason, DropOutKind
from counterflow.domain.views import Notice
from counterflow.engine.control.decision import Departure
from counterflow.engine.ports import Journal


class Farewell(NamedTuple):
    """One session; `gone` = it dropped out, `reason` = it was handed back; neither = its dispatch will not start."""

    dispatch_id: DispatchId
    uid: SessionUid
    at_s: float
    gone: Departure | None = None
    station_id: StationId | str = ""
    replaced_by: int = 0
    reason: ChangeReason | None = None


class Farewells:
    """Each is begun by `add` and carried out by `say`, in their order."""

    def __init__(self, placement: Placement, conflicts: Conflicts, journal: Journal, notify: Callable[[Notice], None]) -> None:
        self._placement = placement
        self._conflicts = conflicts
        self._journal = journal
        self._notify = notify
        self._waiting: deque[Farewell] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, farewells: Iterable[Farewell]) -> None:
        """Their newest orders are not repeated or renewed any more, from now on."""
        for farewell in farewells:
            self._placement.forget_order(farewell.uid)
            self._waiting.append(farewell)

    def say(self, most: int, now_s: float) -> int:
        """Carry out up to `most`; returns how many it were."""
        count = min(most, len(self._waiting))
        for _ in range(count):
            farewell = self._waiting.popleft()
            if farewell.gone is not None:
                self._dropped_out(farewell, farewell.gone)
            self._placement.release(farewell.uid, now_s, urgent=True)
            if farewell.gone is None and farewell.reason is not None:
                text = farewell.reason.name.lower()
                entry = LogEntry(at_s=farewell.at_s, kind=LogKind.RELEASED, session_uid=farewell.uid, text=text)
                self._journal.log(farewell.dispatch_id, entry)
        return count

    def _dropped_out(self, farewell: Farewell, gone: Departure) -> None:
        if gone.kind is DropOutKind.NOT_RESPONDING:
            self._conflicts.deviated(gone.uid, farewell.at_s)
        kind = gone.kind.name.lower()
        entry = LogEntry(
            at_s=farewell.at_s,
            kind=LogKind.LEFT,
            session_uid=gone.uid,
            power_w=gone.lost_w,
            text=kind,
            count=farewell.replaced_by,
            result=gone.reason.name.lower(),
        )
        self._journal.log(farewell.dispatch_id, entry)
        notice = Notice(
            at_s=farewell.at_s,
            kind="session.dropped_out",
            subject=str(gone.uid),
            text=drop_out_words(kind, gone.reason.name, gone.lost_w),
            values={
                "lost_power_w": gone.lost_w,
                "how": kind,
                "station_id": farewell.station_id,
                "dispatch_id": farewell.dispatch_id,
            },
        )
        self._notify(notice)
