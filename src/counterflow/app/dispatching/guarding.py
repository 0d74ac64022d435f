"""The live monitor of the guarantees: a session for which one is broken is not discharged any more until it is plugged in anew."""

from collections import Counter
from collections.abc import Callable

import numpy as np

from counterflow.app.dispatching.tasks import Book, RunningTask
from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.ids import DispatchId, SessionUid
from counterflow.domain.instructions import DispatchState
from counterflow.domain.reasons import Reason
from counterflow.domain.units import format_instant
from counterflow.domain.views import Notice
from counterflow.engine.control.guarantees import (
    GUARANTEE_WORDS,
    Breach,
    Flags,
    Guarantee,
    Owners,
    Suspicions,
    discharging_orders,
    of_fleet,
    of_members,
    ripened,
)
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.snapshot import B1, FleetImage
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.ports import Journal

ALARM_S = 3_600.0
"""A breach stays an alarm for this long."""


class Guarding:
    """`release(uid, now)` takes every profile of ours from a session at once, ahead of all other messages."""

    def __init__(
        self,
        *,
        fleet: FleetState,
        topology: Topology,
        book: Book,
        journal: Journal,
        notify: Callable[[Notice], None],
        release: Callable[[SessionUid, float], object],
    ) -> None:
        self.breaches: Counter[str] = Counter({guarantee.value: 0 for guarantee in Guarantee})
        self._fleet = fleet
        self._topology = topology
        self._book = book
        self._journal = journal
        self._notify = notify
        self._release = release
        self._suspicions: dict[DispatchId | None, Suspicions] = {}
        self._alarms: dict[SessionUid, tuple[float, str]] = {}

    def of_dispatch(self, task: RunningTask, image: FleetImage, able: Capability) -> Capability:
        """Judge the members of one dispatch before it decides; who must be stopped is not able to discharge any more."""
        flags = of_members(image, able, _members(task, image), task.instruction.end_s)
        breaches = self._judge(task.instruction.dispatch_id, image, flags)
        if not breaches:
            return able
        guarded = np.zeros(len(image), dtype=np.bool_)
        guarded[[breach.row for breach in breaches]] = True
        return able.without(guarded, Reason.GUARDED)

    def of_fleet(self, image: FleetImage, *, latched: bool) -> None:
        """Judge the fleet as a whole, after all dispatches have decided."""
        open_ids = {instruction.dispatch_id for instruction in self._book.in_state(DispatchState.SCHEDULED, DispatchState.RUNNING)}
        steered, handed_back = np.zeros(len(image), dtype=np.bool_), np.zeros(len(image), dtype=np.bool_)
        for dispatch_id, task in self._book.tasks.items():
            if dispatch_id in open_ids:
                steered |= _members(task, image)
        for row in np.flatnonzero(discharging_orders(image) & ~steered).tolist():
            owner = self._book.owner.get(SessionUid(int(image.uid[row])))
            steered[row], handed_back[row] = owner in open_ids, owner is not None
        owners = Owners(steered=steered, handed_back=handed_back)
        self._judge(None, image, of_fleet(image, self._topology, owners, latched=latched))
        self._suspicions = {key: kept for key, kept in self._suspicions.items() if key is None or key in self._book.tasks}

    def words(self) -> tuple[str, ...]:
        """Who was stopped, and why, each in a sentence."""
        return tuple(text for _, text in self._alarms.values())

    def alarms(self, now_s: float) -> tuple[str, ...]:
        """A sentence for each session that was stopped lately."""
        return tuple(text for at_s, text in self._alarms.values() if now_s - at_s < ALARM_S)

    def _judge(self, subject: DispatchId | None, image: FleetImage, flags: Flags) -> list[Breach]:
        self._suspicions[subject], breaches = ripened(image, flags, self._suspicions.get(subject, {}))
        for breach in breaches:
            self._stop(breach, image, subject or self._book.owner.get(breach.uid))
            self._release(breach.uid, image.at_s)
        return breaches

    def _stop(self, breach: Breach, image: FleetImage, dispatch_id: DispatchId | None) -> None:
        """The session is kept out, and whoever looks after the fleet is told, and after the dispatch that it belongs to."""
        if not self._fleet.guard(breach.uid):
            return
        now_s, words = image.at_s, GUARANTEE_WORDS[breach.guarantee]
        key = image.keys[breach.row]
        name = str(breach.uid) if key is None else f"{key[0]} ({key[1]})"
        self.breaches[breach.guarantee.value] += 1
        self._alarms = {uid: seen for uid, seen in self._alarms.items() if now_s - seen[0] < ALARM_S}
        text = f"{breach.guarantee.value}: {words}; it is not discharged any more until it is plugged in anew"
        self._alarms[breach.uid] = (now_s, f"The session at {name} was stopped at {format_instant(now_s)}. {text}.")
        values: dict[str, float | str | bool | None] = {"guarantee": breach.guarantee.value, "station_id": "" if key is None else key[0]}
        if dispatch_id is not None:
            self._journal.log(dispatch_id, LogEntry(at_s=now_s, kind=LogKind.GUARDED, session_uid=breach.uid, text=text))
            values["dispatch_id"] = dispatch_id
        subject = name if key is None else f"{key[0]}/{key[1]}"
        self._notify(Notice(at_s=now_s, kind="session.guarded", subject=subject, text=text, values=values))


def _members(task: RunningTask, image: FleetImage) -> B1:
    """Rows of the dispatch's group that still hold the session that they held, (N,)."""
    memory = task.memory.sized(len(image))
    return np.not_equal(memory.group_uid, 0) & np.equal(memory.group_uid, image.uid)
