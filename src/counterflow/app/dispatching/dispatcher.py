"""The dispatcher: when the pure tick runs for each dispatch, and how a dispatch begins and ends.

It has no clock and no socket: the server advances it in real time, the simulation on a virtual clock. What a tick decides is
carried out in `app.dispatching.carrying`, in small portions, so that a fan-out to ten thousand stations never holds up an answer
to a meter value.
"""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from functools import partial
from threading import Event

import numpy as np
from msgspec.structs import replace

from counterflow.app.dispatching.asides import Asides
from counterflow.app.dispatching.carrying import Carrying
from counterflow.app.dispatching.control_paths import steered_rows
from counterflow.app.dispatching.course_log import CourseLog
from counterflow.app.dispatching.deciding import Deciding
from counterflow.app.dispatching.dispatcher_settings import DispatcherSettings
from counterflow.app.dispatching.failures import Refused
from counterflow.app.dispatching.faults import Faults
from counterflow.app.dispatching.freezing import Freezing
from counterflow.app.dispatching.guarding import Guarding
from counterflow.app.dispatching.placing import Placement
from counterflow.app.dispatching.planned_times import PlannedTimes
from counterflow.app.dispatching.rhythm import Rhythm
from counterflow.app.dispatching.seconds import Seconds
from counterflow.app.dispatching.states import States
from counterflow.app.dispatching.streams import Streams
from counterflow.app.dispatching.taking_up import TakingUp
from counterflow.app.dispatching.tasks import Book, RunningTask
from counterflow.app.drivers.departure_lessons import DepartureLessons
from counterflow.app.drivers.experience import Experience
from counterflow.app.drivers.identifying import Identifying
from counterflow.app.offers.commitments import Commitments
from counterflow.app.offers.forecasting import Forecasting
from counterflow.app.offers.offering import Offering
from counterflow.app.offers.outlook import Outlook
from counterflow.app.stations.conflicts import Conflicts
from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.dispatch_views import TargetAnswer
from counterflow.domain.ids import DispatchId, EvseId, SessionUid, StationId
from counterflow.domain.instructions import DispatchInstruction, DispatchState, StreamValue, asked_power_w
from counterflow.domain.reasons import ChangeReason, DropOutKind
from counterflow.domain.records import DocumentKind, Latch
from counterflow.domain.resources import EvseCapability
from counterflow.domain.settlement import BaselineMethod
from counterflow.domain.views import Notice, Refusal
from counterflow.engine.control.book import LIVE_STATES, Move, with_feasibility
from counterflow.engine.control.curves import CurveSettings
from counterflow.engine.control.feasibility import FeasibilitySettings
from counterflow.engine.control.identification import identify
from counterflow.engine.control.lead import ScheduledStartSettings
from counterflow.engine.control.resume import ResumeSettings
from counterflow.engine.control.settings import ControlSettings, ResponseSettings
from counterflow.engine.control.stream import Outcome
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import FleetImage
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.fleet.undisturbed import ChargingTerms
from counterflow.engine.grid.telemetry import TelemetrySettings
from counterflow.engine.ports import Journal

IDENTIFICATION = "the identification of cars"
ALL = 1_000_000
"""Of what waits to be sent: more than a fleet has cars."""


class Dispatcher:
    """Single-threaded; the caller passes `now_s` to everything."""

    def __init__(
        self,
        *,
        fleet: FleetState,
        topology: Topology,
        placement: Placement,
        journal: Journal,
        notify: Callable[[Notice], None],
        capability_of: Callable[[str, EvseId], EvseCapability | None],
        conflicts: Conflicts,
        settings: DispatcherSettings,
        control: ControlSettings,
        response: ResponseSettings,
        resume: ResumeSettings,
        capability_settings: CapabilitySettings,
        feasibility: FeasibilitySettings,
        experience: Experience,
        scheduled_start: ScheduledStartSettings,
        charging: ChargingTerms,
        baseline: BaselineMethod,
        curves: CurveSettings,
        telemetry: TelemetrySettings,
        stopwatch: Callable[[], float],
    ) -> None:
        self.book = Book()
        self.faults = Faults()
        self.latch = Latch(on=False, at_s=0.0, by="")
        self.topology = topology
        steered = partial(steered_rows, capability_of=capability_of, paths=placement.paths)
        self.lessons = DepartureLessons(journal, settings.offers, capability_settings.laxity_margin_s)
        self.commitments = Commitments(topology, journal, notify, settings.offers.kept_days)
        self.identifying = Identifying(experience, response)
        self.outlook = Outlook(
            fleet=fleet,
            topology=topology,
            book=self.book,
            latched=lambda: self.latch.on,
            steered=steered,
            capability_settings=capability_settings,
            response=response,
            feasibility=feasibility,
            experience=experience,
            identifying=self.identifying,
            lessons=self.lessons,
            commitments=self.commitments,
            charging=charging,
        )
        self.offering = Offering(
            fleet=fleet,
            topology=topology,
            book=self.book,
            outlook=self.outlook,
            lessons=self.lessons,
            commitments=self.commitments,
            settings=settings.offers,
            capability_settings=capability_settings,
            feasibility=feasibility,
            charging=charging,
            baseline=baseline,
        )
        self.forecasting = Forecasting(
            lessons=self.lessons,
            offering=self.offering,
            outlook=self.outlook,
            fleet=fleet,
            topology=topology,
            journal=journal,
            latched=lambda: self.latch.on,
            settings=settings.offers,
        )
        self._fleet = fleet
        self._placement = placement
        self._journal = journal
        self._notify = notify
        self._settings = settings
        self._conflicts = conflicts
        self._times = PlannedTimes(self.book, scheduled_start)
        self._freezing = Freezing(
            fleet=fleet, topology=topology, journal=journal, book=self.book, charging=charging, capability_settings=capability_settings
        )
        self._stopwatch = stopwatch
        self.carrying = Carrying(
            fleet=fleet,
            topology=topology,
            placement=placement,
            journal=journal,
            notify=notify,
            book=self.book,
            capability_of=capability_of,
            conflicts=conflicts,
            outlook=self.outlook,
            control=control,
            resume=resume,
            capability_settings=capability_settings,
            scheduled_start=scheduled_start,
            curves=curves,
        )
        self.guarding = Guarding(
            fleet=fleet,
            topology=topology,
            book=self.book,
            journal=journal,
            notify=notify,
            release=lambda uid, now_s: placement.release(uid, now_s, urgent=True),
        )
        self._course = CourseLog(placement=placement, journal=journal, notify=notify, book=self.book, control=control)
        self.streams = Streams(self.book, journal, notify, settings.streams)
        asides = Asides(journal, topology)
        self.states = States(
            book=self.book,
            journal=journal,
            notify=notify,
            placement=placement,
            carrying=self.carrying,
            streams=self.streams,
            asides=asides,
            outlook=self.outlook,
            commitments=self.commitments,
            times=self._times,
        )
        self._taking_up = TakingUp(
            fleet=fleet,
            topology=topology,
            placement=placement,
            journal=journal,
            book=self.book,
            states=self.states,
            streams=self.streams,
            times=self._times,
            freezing=self._freezing,
            commitments=self.commitments,
        )
        self._deciding = Deciding(
            book=self.book,
            asides=asides,
            topology=topology,
            placement=placement,
            carrying=self.carrying,
            outlook=self.outlook,
            guarding=self.guarding,
            latched=lambda: self.latch.on,
            steered=steered,
            control=control,
            capability_settings=capability_settings,
            charging=charging,
        )
        self._seconds = Seconds(fleet, self.book, notify, capability_settings, telemetry)
        self.at_leisure = Event()
        """Set while control neither decides nor has anything to send: what works beside it in a thread lets it past."""
        self.at_leisure.set()
        self.ticks = 0
        self.rhythm = Rhythm(control.tick_interval_s, settings.wake_gap_s, settings.late_ticks)
        self.last_tick_took_s = 0.0

    # --- time ----------------------------------------------------------------------------------------------------------------

    def next_due_s(self) -> float | None:
        """When `advance` wants to be called next; -inf = at once."""
        if self._has_to_send():
            return -np.inf
        due_s = min(self.rhythm.next_s, self._seconds.next_due_s())
        refresh_s = self._placement.next_refresh_s()
        if self.rhythm.is_alive(refresh_s):
            due_s = min(due_s, refresh_s)
        return None if due_s == np.inf else due_s

    def advance(self, now_s: float) -> None:
        """Do what is due: hand out a portion of setpoints, or run a tick. Raises what a tick raises, once what was to be sent has gone."""
        most = self._settings.fan_out_per_turn
        try:
            if self.rhythm.is_due(now_s):
                self.run_tick(now_s)
        except Exception:
            most = ALL  # the caller rests before it tries again, and an emergency stop cannot wait for that
            raise
        finally:
            self._send(most, now_s)
        with self.faults.guard(IDENTIFICATION, now_s):
            self.outlook.take_down()
        if self.rhythm.is_alive(now_s):
            self._placement.refresh(now_s, self._settings.fan_out_per_turn)
        self._seconds.advance(now_s)

    def _send(self, most: int, now_s: float) -> None:
        """Side by side: neither do cars that discharge wait for clears, nor clears for the log lines of a dispatch."""
        try:
            self.carrying.hand_out(most, now_s)
        finally:
            self._placement.sweep.send(most, now_s)
            self._rest()

    def _has_to_send(self) -> bool:
        return bool(self.carrying.pending or self._placement.sweep)

    def _rest(self) -> None:
        if not self._has_to_send():
            self.at_leisure.set()

    def wake(self, now_s: float) -> None:
        """Something happened that a decision should follow soon."""
        if self.book.tasks:
            self.rhythm.bring_forward(now_s, now_s)

    def plan_next(self, now_s: float) -> None:
        """Set the time of the next tick: by the period while something is open, and whenever a dispatch starts, steps or ends."""
        events_s = [self._times.planned_s(instruction) for instruction in self.book.in_state(DispatchState.SCHEDULED)]
        events_s += [self._times.next_change_s(instruction, now_s) for instruction in self.book.in_state(DispatchState.RUNNING)]
        self.rhythm.plan(now_s, open_work=bool(self.book.tasks or len(self._placement.ledger)), events_s=events_s)
        self._seconds.plan(now_s)

    def run_tick(self, now_s: float) -> None:
        """One round of control over all open dispatches, on one frozen image. A fault in one keeps no other from its tick."""
        began_s = self._stopwatch()
        self.at_leisure.clear()
        self.rhythm.begin(now_s)
        try:
            self._move_by_time(now_s)
            image = self._fleet.snapshot(now_s)
            self.outlook.learn(image)
            for instruction in self.book.in_state(DispatchState.SCHEDULED):
                if self._times.first_tick_s(instruction) <= now_s < instruction.start_s:
                    with self._guard(instruction, now_s):
                        self._tick_ahead(instruction, image, now_s)
            self._conflicts.watch(image, now_s)
            for state, tick_one in ((DispatchState.RUNNING, self._tick_running), (DispatchState.RESUMING, self._tick_resuming)):
                for instruction in self.book.in_state(state):
                    with self._guard(instruction, now_s):
                        tick_one(self.book.tasks[instruction.dispatch_id], image, now_s)
            with self.faults.guard("the guarantees", now_s):
                self.guarding.of_fleet(image, latched=self.latch.on)
            self._placement.retry_clears(now_s)
        finally:
            self._rest()
            self.plan_next(now_s)
        self.ticks += 1
        self.last_tick_took_s = self._stopwatch() - began_s

    def identify(self, now_s: float) -> bool:
        """One slice of what is to be identified between events, here and now (the server does it in a thread); whether there was one."""
        batch = None
        with self.faults.guard(IDENTIFICATION, now_s):
            batch = self.outlook.to_identify(now_s)
        if batch is None:
            return False
        found = self.identifying.nothing(batch)
        with self.faults.guard(IDENTIFICATION, now_s):
            found = identify(batch.trace)
        with self.faults.guard(IDENTIFICATION, now_s):
            self.outlook.identified(batch, found, now_s)
        return True

    # --- commands ------------------------------------------------------------------------------------------------------------

    def accept(self, instruction: DispatchInstruction, now_s: float) -> None:
        """Take an instruction into the book; a start that has come runs its first tick at once."""
        self._freezing.accepted(instruction, now_s)
        self.states.store(instruction, now_s)
        self.commitments.accepted(instruction, now_s)
        self._journal.log(instruction.dispatch_id, LogEntry(at_s=now_s, kind=LogKind.ACCEPTED, text=instruction.ordered_by))
        self._say(now_s, "dispatch.accepted", instruction.dispatch_id, "accepted", power_w=asked_power_w(instruction))
        if instruction.start_s <= now_s:
            self.run_tick(now_s)
        else:
            self.plan_next(now_s)

    def amend(self, instruction: DispatchInstruction, now_s: float, by: str) -> None:
        """A changed instruction; a running one is re-planned at once."""
        self.states.store(instruction, now_s)
        self._journal.log(instruction.dispatch_id, LogEntry(at_s=now_s, kind=LogKind.AMENDED, text=by))
        self._say(now_s, "dispatch.amended", instruction.dispatch_id, f"amended by {by}", power_w=asked_power_w(instruction))
        self.run_tick(now_s)

    def tell(self, instruction: DispatchInstruction, value: StreamValue, now_s: float) -> TargetAnswer | Refusal:
        """A value of a streamed target; one that counts brings the next tick forward."""
        instruction = self.states.committed_anew(instruction, value, now_s)
        answer = self.streams.take(instruction, value, now_s)
        if isinstance(answer, TargetAnswer) and answer.outcome == Outcome.TAKEN:
            self.wake(now_s)
        return answer

    def stop(self, dispatch_id: DispatchId, what: Move, reason: ChangeReason, now_s: float, by: str) -> None:
        """Cancel or abort: everything that discharges goes to 0 W at once, then charging resumes paced."""
        instruction = self.book.instructions[dispatch_id]
        self.states.move(instruction, what, now_s, by)
        task = self.book.tasks.get(dispatch_id)
        if task is not None:
            image = self._fleet.snapshot(now_s)
            self.carrying.hold_at_zero(task, image, self.outlook.capability_now(image, now_s), reason, now_s)
        self.run_tick(now_s)

    def emergency_stop(self, on: bool, now_s: float, by: str) -> None:
        """Latch the stop (decisions 15): all dispatches abort, every session of ours goes to 0 W; or reset it."""
        self.latch = Latch(on=on, at_s=now_s, by=by)
        self._journal.put(DocumentKind.LATCH, "emergency_stop", self.latch)
        self._say(now_s, "emergency_stop", "fleet", f"{'set' if on else 'reset'} by {by}", on=on)
        if on:
            self._placement.clear_everything(frozenset(self.book.owner), urgent=True)
            for instruction in self.book.in_state(*LIVE_STATES):
                with self._guard(instruction, now_s):
                    self.stop(instruction.dispatch_id, Move.ABORT, ChangeReason.EMERGENCY_STOP, now_s, f"emergency stop by {by}")

    def restore(self, instructions: Iterable[DispatchInstruction], now_s: float) -> None:
        """After a restart: dispatches under way go on with the sessions whose profiles the ledger knows (I8)."""
        self.lessons.restore()
        self.commitments.restore()
        self.forecasting.restore()
        self._taking_up.take_up(instructions, now_s)
        if self.latch.on:
            for instruction in self.book.in_state(*LIVE_STATES):
                self.states.move(instruction, Move.ABORT, now_s, f"emergency stop by {self.latch.by}")
        self.plan_next(now_s)

    def forget(self, dispatch_id: DispatchId) -> None:
        """The journal has let go of a dispatch that ended long ago, so it is forgotten here, too."""
        if dispatch_id not in self.book.tasks:
            self.book.forget(dispatch_id)
            self._placement.forget_dispatch(dispatch_id)

    # --- events --------------------------------------------------------------------------------------------------------------

    def session_ended(self, uid: SessionUid, station_id: StationId, now_s: float) -> None:
        """A transaction is over."""
        self.carrying.ended(uid, station_id)
        self.session_left(uid, DropOutKind.ENDED, now_s)

    def session_left(self, uid: SessionUid, kind: DropOutKind, now_s: float) -> None:
        """A drop-out signal: the tick sees it in the image; here it only comes sooner."""
        if kind is DropOutKind.ENDED:
            self._placement.session_ended(uid)
        if uid in self.book.owner:
            self.wake(now_s)

    def refused(self, refused: Refused, now_s: float) -> None:
        """A station would not take an order: the session is out for a while, others take over."""
        if refused.dispatch_id in self.book.tasks:
            task = self.book.tasks[DispatchId(refused.dispatch_id)]
            text = f"{refused.response.reaction.value}: {refused.text}"
            self._journal.log(
                task.instruction.dispatch_id,
                LogEntry(at_s=now_s, kind=LogKind.SETPOINT, session_uid=refused.uid, result=text, text="refused"),
            )
            key = self._fleet.key_of(refused.uid)
            named = {"station_id": "" if key is None else key[0], "dispatch_id": refused.dispatch_id}
            self._say(now_s, "session.refused", str(refused.uid), text, **named)
        self.wake(now_s)

    # --- one tick ------------------------------------------------------------------------------------------------------------

    def _move_by_time(self, now_s: float) -> None:
        for instruction in self.book.in_state(DispatchState.SCHEDULED):
            with self._guard(instruction, now_s):
                self.states.begin(instruction, now_s)
        for instruction in self.book.in_state(DispatchState.RUNNING):
            if instruction.end_s <= now_s:
                self.states.move(instruction, Move.WINDOW_END, now_s, instruction.state_reason or "the window ended")

    def _tick_ahead(self, instruction: DispatchInstruction, image: FleetImage, now_s: float) -> None:
        """Decide as it will be at the start, and tell the cars; until then every tick looks after those that drop out."""
        task = self.book.tasks.get(instruction.dispatch_id)
        if task is None:
            self.states.store(with_feasibility(instruction, self.outlook.of(instruction, now_s)), now_s)
            task = self.book.open(self.book.instructions[instruction.dispatch_id], set())
        self._deciding.decide(task, image, now_s, instruction.start_s)
        # What was sent is in the image from the moment of sending, not of starting.
        task.memory = replace(task.memory, sent_at_s=np.minimum(task.memory.sent_at_s, now_s))

    def _tick_running(self, task: RunningTask, image: FleetImage, now_s: float) -> None:
        instruction = task.instruction
        if instruction.stream is not None:
            self.streams.watch(instruction, now_s)
            if self.streams.at_rest(instruction, now_s):
                self.carrying.rest(task, image, self.outlook.capability_now(image, now_s), now_s)
                return
        self._deciding.decide(task, image, now_s, now_s)
        self._course.tell(task, now_s)

    # --- the end -------------------------------------------------------------------------------------------------------------

    def _tick_resuming(self, task: RunningTask, image: FleetImage, now_s: float) -> None:
        resume_from_s = task.instruction.resume_from_s
        assert resume_from_s is not None, "a resuming dispatch knows since when"
        self.carrying.hand_back(task, image, self.outlook.capability_now(image, now_s), now_s, resume_from_s)
        if not task.members:
            self.states.move(task.instruction, Move.RESUMED, now_s, task.instruction.state_reason)
            self.book.close(task.instruction.dispatch_id)

    # --- small things --------------------------------------------------------------------------------------------------------

    def _guard(self, instruction: DispatchInstruction, now_s: float) -> AbstractContextManager[None]:
        return self.faults.guard(f"dispatch {instruction.dispatch_id}", now_s)

    def _say(self, now_s: float, kind: str, subject: str, text: str, **values: float | str | bool) -> None:
        self._notify(Notice(at_s=now_s, kind=kind, subject=subject, text=text, values=dict(values)))
