"""When the dispatches want a tick: ahead of a start, at a start, where a target steps, at an end."""

from counterflow.app.dispatching.tasks import Book
from counterflow.domain.ids import DispatchId
from counterflow.domain.instructions import DispatchInstruction, DispatchState
from counterflow.engine.control.lead import ScheduledStartSettings, first_tick_s
from counterflow.engine.control.stream import next_change_s
from counterflow.engine.control.timeline import Timeline


class PlannedTimes:
    """Reads the book; the rhythm of ticks is planned by these."""

    def __init__(self, book: Book, scheduled_start: ScheduledStartSettings) -> None:
        self._book = book
        self._scheduled_start = scheduled_start
        self._at_its_start: set[DispatchId] = set()
        """Dispatches that go out at their start although there is notice: the process began so late that few cars are back."""

    def restore(self, now_s: float) -> None:
        """After a start: who should have been told already goes out at its start."""
        for instruction in self._book.in_state(DispatchState.SCHEDULED):
            if first_tick_s(instruction, self._scheduled_start) <= now_s:
                self._at_its_start.add(instruction.dispatch_id)

    def begun(self, dispatch_id: DispatchId) -> None:
        """A dispatch has started."""
        self._at_its_start.discard(dispatch_id)

    def planned_s(self, instruction: DispatchInstruction) -> float:
        """When a scheduled dispatch has its first tick, or, after that, its start."""
        if instruction.dispatch_id in self._book.tasks:
            return instruction.start_s
        return self.first_tick_s(instruction)

    def next_change_s(self, instruction: DispatchInstruction, now_s: float) -> float:
        """When the target of a running dispatch steps next, by what is known now, or its window ends."""
        if instruction.stream is not None:
            acts_s = next_change_s(self._book.stream_of(instruction), instruction, now_s)
            return instruction.end_s if acts_s is None else min(acts_s, instruction.end_s)
        change_s = Timeline.of(instruction).next_change_s(now_s)
        return instruction.end_s if change_s is None else change_s

    def first_tick_s(self, instruction: DispatchInstruction) -> float:
        """When a scheduled dispatch has its first tick, epoch seconds."""
        # What a stream asks at its start is known only then.
        if instruction.dispatch_id in self._at_its_start or instruction.stream is not None:
            return instruction.start_s
        return first_tick_s(instruction, self._scheduled_start)
