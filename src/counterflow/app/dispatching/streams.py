"""Streamed targets of open dispatches: values as they come, kept for the report, and the dead-man with its alarm (decisions 16)."""

from collections import Counter
from collections.abc import Callable, Iterable

from msgspec import Struct

from counterflow.app.dispatching.tasks import Book
from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.dispatch_views import StreamView, TargetAnswer
from counterflow.domain.ids import DispatchId
from counterflow.domain.instructions import DispatchInstruction, DispatchState, StreamValue
from counterflow.domain.units import format_instant, format_power
from counterflow.domain.views import Notice, Refusal, RefusalKind
from counterflow.engine.control.stream import (
    AT_REST,
    OVERDUE,
    Outcome,
    StreamPhase,
    StreamSettings,
    StreamState,
    judge,
    phase_at,
    resumed,
)
from counterflow.engine.ports import Journal

LOOKS_ANEW_S = 30.0
"""What is committed to a stream is looked at again no sooner than this, when a value asks for more."""
_SAID_AGAIN_SHARE = 0.5
"""The same value again is written down once in this share of the time-out, so that a restart knows when the source was heard."""
PHASE_WORDS = {
    StreamPhase.WAITING: "waits for its first value",
    StreamPhase.LIVE: "follows its values",
    StreamPhase.HOLDING: "has had no value for too long: the last one holds",
    StreamPhase.FALLING: "has had no value for too long: the target goes down to zero",
    StreamPhase.SILENT: "has no source: nothing is asked, and its cars charge",
}


class _Course(Struct):
    """What has happened to one stream in this process; `room` = values that may come at once."""

    phase: StreamPhase
    room: float
    filled_at_s: float
    logged_w: float = -1.0
    logged_at_s: float = float("-inf")
    looked_at_s: float = float("-inf")


class Streams:
    """Values go into the book's states; what is due from a dead-man is looked at with every tick."""

    def __init__(self, book: Book, journal: Journal, notify: Callable[[Notice], None], settings: StreamSettings) -> None:
        self._book = book
        self._journal = journal
        self._notify = notify
        self._settings = settings
        self._courses: dict[DispatchId, _Course] = {}
        self.outcomes: Counter[str] = Counter()
        """How many values became what, of all dispatches."""

    def take(self, instruction: DispatchInstruction, value: StreamValue, now_s: float) -> TargetAnswer | Refusal:
        """One value; the caller sees to it that control hears of it soon. Refused when it comes too often, or makes no sense here."""
        refusal = self._unfit(instruction, value, now_s)
        if refusal is not None:
            self.outcomes["refused"] += 1
            return refusal
        judged = judge(self._book.stream_of(instruction), value, instruction, now_s)
        self.outcomes[judged.outcome.value] += 1
        if judged.outcome is Outcome.TAKEN:
            self._book.streams[instruction.dispatch_id] = judged.state
            self._keep(instruction, judged.state, now_s)
            self.watch(instruction, now_s)
        return TargetAnswer(
            dispatch_id=instruction.dispatch_id,
            outcome=judged.outcome.value,
            at_s=now_s,
            asked_power_w=judged.state.value_w,
            target_power_w=self._book.target_w(instruction, now_s),
            bounded=judged.outcome is Outcome.TAKEN and judged.state.value_w < value.discharge_power_w,
            committed_power_w=instruction.feasibility.committed_power_w if instruction.feasibility else None,
            stream=self.view(instruction, now_s),
        )

    def watch(self, instruction: DispatchInstruction, now_s: float) -> None:
        """Announce what the source, or its silence, has changed; write down what is asked while it is not the source who says so."""
        course = self._course(instruction, now_s)
        phase = self.phase(instruction, now_s)
        target_w = self._book.target_w(instruction, now_s)
        if phase in OVERDUE and (phase is not course.phase or phase is StreamPhase.FALLING):
            entry = LogEntry(at_s=now_s, kind=LogKind.ASKED, target_power_w=target_w, text=phase.value)
            self._journal.log(instruction.dispatch_id, entry)
            course.logged_w = -1.0
        if phase is not course.phase:
            course.phase = phase
            values: dict[str, float | int | str | bool | None] = {
                "phase": phase.value,
                "target_power_w": target_w,
                "overdue": phase in OVERDUE,
            }
            self._notify(
                Notice(at_s=now_s, kind="dispatch.stream", subject=instruction.dispatch_id, text=PHASE_WORDS[phase], values=values)
            )

    def may_look_anew(self, instruction: DispatchInstruction, now_s: float) -> bool:
        """Whether it is time to ask again what can be committed; answering takes as long as a tick, so not at each value."""
        course = self._course(instruction, now_s)
        if now_s - course.looked_at_s < LOOKS_ANEW_S:
            return False
        course.looked_at_s = now_s
        return True

    def phase(self, instruction: DispatchInstruction, now_s: float) -> StreamPhase:
        """Where the dead-man stands."""
        assert instruction.stream is not None, "only of a dispatch with a stream"
        return phase_at(self._book.stream_of(instruction), instruction.stream, instruction.start_s, now_s)

    def at_rest(self, instruction: DispatchInstruction, now_s: float) -> bool:
        """Nothing is asked of a streamed dispatch: its source was not heard yet, or not for so long that its cars are left alone."""
        return instruction.stream is not None and self.phase(instruction, now_s) in AT_REST

    def view(self, instruction: DispatchInstruction, now_s: float) -> StreamView:
        """For people."""
        state = self._book.stream_of(instruction)
        return StreamView(
            phase=self.phase(instruction, now_s).value,
            value_power_w=None if state.heard_at_s is None else state.value_w,
            heard_at_s=state.heard_at_s,
            sequence=state.sequence,
        )

    def restore(self, instructions: Iterable[DispatchInstruction]) -> None:
        """After a restart: the newest values that the journal has; their dead-men run on from when those were heard."""
        for instruction in instructions:
            if instruction.stream is not None:
                state = resumed(self._journal.dispatch_log(instruction.dispatch_id))
                if state.heard_at_s is not None:
                    self._book.streams[instruction.dispatch_id] = state

    def close(self, dispatch_id: DispatchId) -> None:
        """The dispatch is over."""
        self._book.streams.pop(dispatch_id, None)
        self._courses.pop(dispatch_id, None)

    def alarms(self, now_s: float) -> tuple[str, ...]:
        """Running dispatches whose source is overdue."""
        found = []
        for instruction in self._book.in_state(DispatchState.RUNNING):
            if instruction.stream is None or (phase := self.phase(instruction, now_s)) not in OVERDUE:
                continue
            heard_s = self._book.stream_of(instruction).heard_at_s
            since = "never heard" if heard_s is None else f"last heard {format_instant(round(heard_s))}"
            target = format_power(self._book.target_w(instruction, now_s))
            found.append(f"Dispatch {instruction.dispatch_id} {PHASE_WORDS[phase]} (source {since}, target now {target}).")
        return tuple(found)

    def _unfit(self, instruction: DispatchInstruction, value: StreamValue, now_s: float) -> Refusal | None:
        if instruction.stream is None:
            return Refusal(
                kind=RefusalKind.CONFLICT,
                sentence=f"Dispatch {instruction.dispatch_id} has no stream.",
                remedy="Amend its power, or order a dispatch with a stream.",
            )
        if instruction.state not in (DispatchState.SCHEDULED, DispatchState.RUNNING):
            return Refusal(
                kind=RefusalKind.CONFLICT,
                sentence=f"Dispatch {instruction.dispatch_id} is {instruction.state} and takes no values any more.",
                remedy="Order a new dispatch.",
            )
        if value.said_at_s is not None and value.said_at_s > now_s + self._settings.ahead_s:
            return Refusal(
                kind=RefusalKind.INVALID,
                sentence=f"The value is dated {value.said_at_s - now_s:.1f} s ahead of this server's clock.",
                remedy="Set the clock of its source, or leave the time out and number the values.",
            )
        if not self._has_room(instruction, now_s):
            most = f"{self._settings.values_per_s:g} values a second"
            return Refusal(
                kind=RefusalKind.TOO_OFTEN,
                sentence=f"Dispatch {instruction.dispatch_id} takes {most}, and this is one too many.",
                remedy="Send the newest value again in a second.",
            )
        return None

    def _has_room(self, instruction: DispatchInstruction, now_s: float) -> bool:
        """A bucket that fills with time."""
        course = self._course(instruction, now_s)
        filled = course.room + max(0.0, now_s - course.filled_at_s) * self._settings.values_per_s
        course.room, course.filled_at_s = min(filled, float(self._settings.burst_values)), now_s
        if course.room < 1.0:
            return False
        course.room -= 1.0
        return True

    def _keep(self, instruction: DispatchInstruction, state: StreamState, now_s: float) -> None:
        """Write a value down; the same one again only now and then."""
        assert instruction.stream is not None, "only of a dispatch with a stream"
        course = self._course(instruction, now_s)
        if state.value_w == course.logged_w and now_s - course.logged_at_s < _SAID_AGAIN_SHARE * instruction.stream.timeout_s:
            return
        course.logged_w, course.logged_at_s = state.value_w, now_s
        number = 0 if state.sequence is None else state.sequence + 1
        self._journal.log(instruction.dispatch_id, LogEntry(at_s=now_s, kind=LogKind.ASKED, target_power_w=state.value_w, count=number))

    def _course(self, instruction: DispatchInstruction, now_s: float) -> _Course:
        course = self._courses.get(instruction.dispatch_id)
        if course is None:
            course = _Course(phase=StreamPhase.WAITING, room=float(self._settings.burst_values), filled_at_s=now_s)
            self._courses[instruction.dispatch_id] = course
        return course
