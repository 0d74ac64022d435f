"""Carrying out what a tick decided: placings, releases, log lines and notices."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from counterflow.app.dispatching.farewells import Farewell, Farewells
from counterflow.app.dispatching.joins import Joins
from counterflow.app.dispatching.placing import Placement
from counterflow.app.dispatching.setpoint_commands import Placing, cut
from counterflow.app.dispatching.tasks import Book, RunningTask
from counterflow.app.offers.outlook import Outlook
from counterflow.app.stations.conflicts import Conflicts
from counterflow.domain.course import replan_words
from counterflow.domain.delivery import LogEntry, LogKind, Why
from counterflow.domain.ids import DispatchId, EvseId, SessionUid, StationId
from counterflow.domain.instructions import ControlPath
from counterflow.domain.reasons import ChangeReason
from counterflow.domain.resources import ControlMode, EvseCapability
from counterflow.domain.views import Notice
from counterflow.engine.control.curves import CurveSettings, curves_of
from counterflow.engine.control.decision import Decision, SetpointChange, TaskMemory
from counterflow.engine.control.lead import ScheduledStartSettings
from counterflow.engine.control.orders import ends_for, stagger_s
from counterflow.engine.control.resume import ResumeSettings, fallback_power_w, releases_due
from counterflow.engine.control.settings import ControlSettings
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.endurance import Stamina, hold_endurance_s
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import F8, FleetImage
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.ports import Journal

JOINS_PER_SETPOINT = 10
"""A log line costs this much less than a setpoint."""
DEFAULT_PERIODS = 10
"""So many periods a schedule may have where a station does not say (PeriodsPerSchedule)."""
LEAST_HOLD_S = 3.0
"""A car that has no time left is stopped all the same: an order of less could be over before it arrives. The guard has room for it."""
STILL_RUNS_S = 1.0
"""An order that ends within this time after its dispatch needs no other to stop it."""


_MODES = {int(mode): mode for mode in ControlMode}
_WORDS = {reason: reason.name.lower() for reason in ChangeReason}

_Cells = tuple[int, int, float, float]
"""EVSE, control mode, what belongs beneath (W), and until when the car could run at its full power (NaN = that is not asked)."""


class _Batch(NamedTuple):
    """Setpoints of one decision that wait to be handed out, with the image they were decided on."""

    dispatch_id: DispatchId
    image: FleetImage
    is_logged: bool
    changes: deque[SetpointChange]
    cells: Iterator[_Cells]
    """What is known in the row of each of the changes."""
    moves: bool = False
    """They go out as Dynamic profiles, where stations have them."""
    path: ControlPath = ControlPath.CENTRAL
    starts_s: float | None = None
    """The start of a dispatch that is to come, epoch seconds; None = at once."""
    whys: Iterator[Why | None] = repeat(None)
    """The figures behind each of the changes, worked out when the first is handed out."""
    handed_back: frozenset[SessionUid] = frozenset()
    """Who was given back to charging by a later decision: what this one asked is not asked any more."""


class Carrying:
    """Queues setpoints, and farewells, and hands them out in portions; everything else happens at once."""

    def __init__(
        self,
        *,
        fleet: FleetState,
        topology: Topology,
        placement: Placement,
        journal: Journal,
        notify: Callable[[Notice], None],
        book: Book,
        capability_of: Callable[[str, EvseId], EvseCapability | None],
        conflicts: Conflicts,
        outlook: Outlook,
        control: ControlSettings,
        resume: ResumeSettings,
        capability_settings: CapabilitySettings,
        scheduled_start: ScheduledStartSettings,
        curves: CurveSettings,
    ) -> None:
        self._fleet = fleet
        self._topology = topology
        self._placement = placement
        self._journal = journal
        self._notify = notify
        self._book = book
        self._capability_of = capability_of
        self._conflicts = conflicts
        self._outlook = outlook
        self._control = control
        self._resume = resume
        self._capability_settings = capability_settings
        self._scheduled_start = scheduled_start
        self._curves = curves
        self._farewells = Farewells(placement, conflicts, journal, notify)
        self._joins = Joins(book, journal)
        self._todo: deque[_Batch] = deque()

    @property
    def pending(self) -> int:
        """Setpoints that were decided and not handed out yet, and what goes before them: farewells and log lines."""
        return len(self._farewells) + len(self._joins) + sum(len(batch.changes) for batch in self._todo)

    def ended(self, uid: SessionUid, station_id: StationId) -> None:
        """The session of a member is over, and nobody else knows any more where it was; the tick that misses it says so."""
        owner = self._book.owner.get(uid)
        if owner is not None and owner in self._book.tasks:
            self._book.tasks[owner].ended[uid] = station_id

    def hand_out(self, most: int, now_s: float) -> None:
        """Let go whoever leaves, then place setpoints, `most` together. One whose session has gone, or changed hands, in the meantime is
        dropped."""
        # In their order also for a car that changes hands: what the one dispatch left there goes before the other asks anything.
        most -= self._farewells.say(most, now_s)
        if self._joins and most > 0:
            # Who has joined is in the log before anything is placed at its station.
            self._joins.write(JOINS_PER_SETPOINT * most)
            return
        while self._todo and most > 0:
            batch = self._todo[0]
            for _ in range(min(len(batch.changes), most)):
                self._hand_out_one(batch, batch.changes.popleft(), next(batch.cells), next(batch.whys), now_s)
                most -= 1
            if not batch.changes:
                self._todo.popleft()

    def _hand_out_one(self, batch: _Batch, change: SetpointChange, cells: _Cells, why: Why | None, now_s: float) -> None:
        if self._book.owner.get(change.uid) != batch.dispatch_id or self._fleet.row_of(change.uid) is None:
            return
        if change.uid in batch.handed_back:
            return
        if change.power_w < 0.0 and self._fleet.is_guarded(change.uid):
            return  # whatever was decided: nothing discharges a session for which a guarantee was broken
        self._placement.place(self._placing(batch, change, cells), now_s)
        if batch.is_logged:
            if why is not None and now_s - batch.image.at_s > 0.05:
                why = replace(why, late_s=round(now_s - batch.image.at_s, 2))
            text = _WORDS[change.reason]
            entry = LogEntry(at_s=now_s, kind=LogKind.SETPOINT, session_uid=change.uid, power_w=change.power_w, text=text, why=why)
            self._journal.log(batch.dispatch_id, entry)

    def carry_out(
        self, task: RunningTask, decision: Decision, image: FleetImage, cap: Capability, now_s: float, starts_s: float | None = None
    ) -> None:
        """One decision of one dispatch; `starts_s` = it is for its start, which is to come."""
        self._joins.add(task, decision, image, now_s)
        # The cars that step in make good for the tick's losses together; they are counted once, at the largest.
        replacing = sum(change.power_w < 0.0 or change.reduces for change in decision.changes)
        self._farewells.add(self._farewells_of(task, decision, replacing, now_s))
        if decision.releases:
            self._hand_back_waiting(task.instruction.dispatch_id, frozenset(release.uid for release in decision.releases))
        if decision.left and replacing:
            lost, lost_w = len(decision.left), sum(gone.lost_w for gone in decision.left)
            text = replan_words(lost, lost_w, replacing)
            self._say(now_s, "dispatch.replanned", task.instruction.dispatch_id, text, lost=lost, lost_power_w=lost_w, asked=replacing)
        for gone in decision.left:
            # A car that is only handed back to charging stays a member: it may be needed again.
            if self._book.owner.get(gone.uid) == task.instruction.dispatch_id:
                self._book.let_go(gone.uid)
        if not decision.changes:
            return
        beneath_w = self._beneath_w(task, image, cap)
        # Spelled out and logged when each is handed out: for ten thousand at once that alone would hold up the metering.
        full_until_s = self._full_until_s(task, decision, image, cap, now_s) if self._placement.moves(task.instruction, now_s) else None
        self._todo.append(
            _Batch(
                task.instruction.dispatch_id,
                image,
                True,
                deque(decision.changes),
                _cells(image, decision.changes, beneath_w, full_until_s),
                full_until_s is not None,
                task.instruction.control_path,
                starts_s,
                decision.grounds.of(decision.changes) if decision.grounds is not None else repeat(None),
            )
        )

    def _hand_back_waiting(self, dispatch_id: DispatchId, uids: frozenset[SessionUid]) -> None:
        """What earlier decisions of a dispatch asked of these cars, and was not handed out yet, must not follow their farewell."""
        self._todo = deque(
            batch._replace(handed_back=batch.handed_back | uids) if batch.dispatch_id == dispatch_id else batch for batch in self._todo
        )

    def take_back(self, task: RunningTask, now_s: float) -> None:
        """A dispatch that will not start: its profiles go, its cars are free."""
        dispatch_id = task.instruction.dispatch_id
        self._todo = deque(batch for batch in self._todo if batch.dispatch_id != dispatch_id)
        uids = sorted(task.members)
        self._farewells.add(Farewell(dispatch_id, uid, now_s) for uid in uids)
        for uid in uids:
            self._book.let_go(uid)

    def hold_at_zero(
        self,
        task: RunningTask,
        image: FleetImage,
        cap: Capability,
        reason: ChangeReason,
        now_s: float,
        uids: Iterable[SessionUid] | None = None,
    ) -> None:
        """0 W, urgently, for every member (or those in `uids`) that has an order of ours; each hold ends by itself, staggered, if we
        are gone by then, and before its car must charge (decisions 3). Cars that only charge less are left as they are."""
        dispatch_id = task.instruction.dispatch_id
        self._todo = deque(batch for batch in self._todo if batch.dispatch_id != dispatch_id)
        nothing = np.zeros(len(image))
        spare_s = hold_endurance_s(Stamina.of(image, cap), nothing, nothing, now_s, self._capability_settings)
        for_s = np.minimum(self._resume.resume_over_s + stagger_s(image.uid, self._control), spare_s)
        hold_until_s = now_s + np.maximum(for_s, LEAST_HOLD_S)
        holds: deque[SetpointChange] = deque()
        for uid in sorted(task.members if uids is None else uids):
            row = self._fleet.row_of(uid)
            if row is None or np.isnan(image.setpoint_w[row]) or image.reduced[row]:
                continue
            change = SetpointChange(
                row=row,
                uid=uid,
                power_w=0.0,
                discharge_until_s=float(hold_until_s[row]),
                hold_until_s=float(hold_until_s[row]),
                reason=reason,
                urgent=True,
            )
            holds.append(change)
        if holds:
            cells = _cells(image, tuple(holds), self._beneath_w(task, image, cap), None)
            self._todo.append(_Batch(dispatch_id, image, False, holds, cells))

    def hand_back(self, task: RunningTask, image: FleetImage, cap: Capability, now_s: float, resume_from_s: float) -> list[SessionUid]:
        """Nothing is asked any more: stop what an order keeps running, then give the cars back to charging, paced from `resume_from_s`
        on. Returns who was given back now."""
        waiting = np.zeros(len(image), dtype=bool)
        released_at_s: F8 = np.full(len(image), np.nan)
        for uid in tuple(task.members):
            row = self._fleet.row_of(uid)
            if row is None:
                self._book.let_go(uid)
            else:
                waiting[row] = True
        for uid, at_s in task.released_at_s.items():
            row = self._fleet.row_of(uid)
            if row is not None:
                released_at_s[row] = at_s
        runs = (image.setpoint_w < 0.0) | (image.strongest_ahead_w > 0.0)
        runs_on = waiting & image.connected & runs & (image.discharge_until_s > now_s + STILL_RUNS_S)
        if runs_on.any() and not self.pending:
            uids = [SessionUid(int(uid)) for uid in image.uid[runs_on]]
            self.hold_at_zero(task, image, cap, ChangeReason.WINDOW_END, now_s, uids)
        due = releases_due(image, cap, waiting & ~runs_on, released_at_s, self._topology, resume_from_s, self._resume)
        released = [SessionUid(int(image.uid[row])) for row in due]
        for uid in released:
            self._placement.release(uid, now_s)
            self._book.let_go(uid)
            task.released_at_s[uid] = now_s
        return released

    def rest(self, task: RunningTask, image: FleetImage, cap: Capability, now_s: float) -> None:
        """Nothing is asked of a dispatch that goes on: its cars charge, until something is asked again and they join anew."""
        if task.rests_since_s is None:
            task.rests_since_s, task.released_at_s = now_s, {}
        for uid in self.hand_back(task, image, cap, now_s, task.rests_since_s):
            self._journal.log(task.instruction.dispatch_id, LogEntry(at_s=now_s, kind=LogKind.RESTED, session_uid=uid))
        held = np.isin(image.uid, sorted(task.members))
        for uid in task.memory.sized(len(image)).only(image.occupied & ~held).members():
            # Members without an order of ours only stop being counted.
            if uid not in task.released_at_s:
                self._journal.log(task.instruction.dispatch_id, LogEntry(at_s=now_s, kind=LogKind.RESTED, session_uid=uid))
        task.memory = task.memory.sized(len(image)).only(held) if task.members else TaskMemory.fresh(task.memory.plans)
        task.figures = None

    def _beneath_w(self, task: RunningTask, image: FleetImage, cap: Capability) -> F8:
        return fallback_power_w(
            image,
            cap,
            self._topology,
            self._resume,
            window_end_s=task.instruction.end_s,
            capability_settings=self._capability_settings,
        )

    def _full_until_s(self, task: RunningTask, decision: Decision, image: FleetImage, cap: Capability, now_s: float) -> F8:
        rows = np.array([change.row for change in decision.changes])
        ends = ends_for(
            image,
            cap,
            rows,
            cap.max_power_w[rows],
            now_s=now_s,
            window_end_s=task.instruction.end_s,
            capability_settings=self._capability_settings,
            settings=self._control,
        )
        full_until_s: F8 = np.full(len(image), np.nan)
        full_until_s[rows] = ends.discharge_until_s
        return full_until_s

    def _placing(self, batch: _Batch, change: SetpointChange, cells: _Cells) -> Placing:
        key = batch.image.keys[change.row]
        assert key is not None, "a decision names occupied rows only"
        station_id, transaction_id = key
        evse_number, mode, beneath_w, full_until_s = cells
        evse_id = EvseId(evse_number)
        known = self._capability_of(station_id, evse_id)
        placing = Placing(
            uid=change.uid,
            station_id=station_id,
            evse_id=evse_id,
            transaction_id=transaction_id,
            control_mode=ControlMode.CHARGE_ONLY if change.reduces else _MODES[mode],
            max_stack_level=known.max_stack_level if known else None,
            above_level=self._conflicts.above_level(station_id, evse_id),
            max_offline_supported=bool(known and known.max_offline_duration),
            phases=self._fleet.phases_of(change.uid),
            power_w=change.power_w,
            later=change.later,
            discharge_until_s=change.discharge_until_s,
            hold_until_s=change.hold_until_s,
            fallback_power_w=beneath_w,
            dispatch_id=batch.dispatch_id,
            reason=_WORDS[change.reason],
            urgent=change.urgent,
            moves=batch.moves,
            curves=curves_of(batch.path, change.power_w, self._curves) if change.by_curve else None,
            path=batch.path.value if change.by_curve else "",
            ampere_phases=known.ampere_phases if known and change.reduces else None,
            full_until_s=full_until_s,
            begins_at_s=None if batch.starts_s is None else batch.starts_s - self._lead_s(batch.image, change),
        )
        if not placing.later:
            return placing
        # PeriodsPerSchedule (K01): the first period and the hold at the end are two of them.
        most = known.max_periods if known is not None and known.max_periods is not None else DEFAULT_PERIODS
        return cut(placing, max(0, most - 2))

    def _lead_s(self, image: FleetImage, change: SetpointChange) -> float:
        power_w = float(image.power_w[change.row])
        step_w = change.power_w - (0.0 if np.isnan(power_w) else power_w)
        return self._outlook.response.lags.lead_s(change.row, change.uid, step_w, self._scheduled_start)

    def _farewells_of(self, task: RunningTask, decision: Decision, replacing: int, now_s: float) -> Iterator[Farewell]:
        """Of all who leave by this decision: who dropped out, the largest loss first, then who is handed back."""
        dispatch_id = task.instruction.dispatch_id
        task.drop_outs += len(decision.left)
        for number, gone in enumerate(sorted(decision.left, key=lambda gone: -gone.lost_w)):
            key = self._fleet.key_of(gone.uid)
            station_id = task.ended.pop(gone.uid, "") if key is None else key[0]
            yield Farewell(dispatch_id, gone.uid, now_s, gone, station_id, replacing if number == 0 else 0)
        gone_uids = {gone.uid for gone in decision.left}
        for release in decision.releases:
            if release.uid not in gone_uids:
                yield Farewell(dispatch_id, release.uid, now_s, reason=release.reason)

    def _say(self, now_s: float, kind: str, subject: str, text: str, **values: float | str) -> None:
        self._notify(Notice(at_s=now_s, kind=kind, subject=subject, text=text, values=dict(values)))


def _cells(image: FleetImage, changes: Sequence[SetpointChange], beneath_w: F8, full_until_s: F8 | None) -> Iterator[_Cells]:
    """Of each change, in their order. All are read when the first is asked for: cell by cell it takes as long as a message."""
    rows = np.array([change.row for change in changes], dtype=np.intp)
    ends_s = np.full(len(rows), np.nan) if full_until_s is None else full_until_s[rows]
    columns = (image.evse_id[rows], image.control_mode[rows], beneath_w[rows], ends_s)
    yield from zip(*(column.tolist() for column in columns), strict=True)
