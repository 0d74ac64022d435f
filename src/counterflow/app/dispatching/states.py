"""From one state of a dispatch to the next: each version of an instruction is journalled, remembered and told."""

from collections.abc import Callable, Iterable

from counterflow.app.dispatching.asides import Asides
from counterflow.app.dispatching.carrying import Carrying
from counterflow.app.dispatching.placing import Placement
from counterflow.app.dispatching.planned_times import PlannedTimes
from counterflow.app.dispatching.streams import Streams
from counterflow.app.dispatching.tasks import Book, state_entry
from counterflow.app.offers.commitments import Commitments
from counterflow.app.offers.outlook import Outlook
from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.instructions import DispatchInstruction, DispatchState, StreamValue
from counterflow.domain.records import DocumentKind
from counterflow.domain.views import Notice
from counterflow.engine.control.book import LIVE_STATES, OPEN_STATES, Move, give_way, move, with_feasibility
from counterflow.engine.ports import Journal


class States:
    """The single writer of instructions in the book."""

    def __init__(
        self,
        *,
        book: Book,
        journal: Journal,
        notify: Callable[[Notice], None],
        placement: Placement,
        carrying: Carrying,
        streams: Streams,
        asides: Asides,
        outlook: Outlook,
        commitments: Commitments,
        times: PlannedTimes,
    ) -> None:
        self._book = book
        self._journal = journal
        self._notify = notify
        self._placement = placement
        self._carrying = carrying
        self._streams = streams
        self._asides = asides
        self._outlook = outlook
        self._commitments = commitments
        self._times = times

    def store(self, instruction: DispatchInstruction, now_s: float) -> None:
        """Journal one version of an instruction and remember it."""
        before = self._book.instructions.get(instruction.dispatch_id)
        self._book.keep(instruction)
        self._journal.put(DocumentKind.DISPATCH, instruction.dispatch_id, instruction)
        self._commitments.over(None if before is None else before.state, instruction, now_s)
        if instruction.state not in OPEN_STATES:
            self._streams.close(instruction.dispatch_id)
            self._asides.close(instruction.dispatch_id)
        if before is None or before.state is not instruction.state:
            self._journal.log(
                instruction.dispatch_id, state_entry(instruction, now_s, self._placement.messages_by_dispatch[instruction.dispatch_id])
            )

    def move(self, instruction: DispatchInstruction, what: Move, now_s: float, reason: str) -> None:
        """To the state that follows by `what`."""
        moved = move(instruction, what, now_s, reason)
        self.store(moved, now_s)
        self._take_back(instruction, moved, now_s)
        self._say(now_s, "dispatch.state", moved.dispatch_id, moved.state.value, reason=moved.state_reason)

    def _take_back(self, before: DispatchInstruction, after: DispatchInstruction, now_s: float) -> None:
        """What a dispatch has told cars ahead of its start is taken back when it will not start."""
        task = self._book.tasks.get(after.dispatch_id)
        if task is not None and before.state is DispatchState.SCHEDULED and after.state not in LIVE_STATES:
            self._carrying.take_back(task, now_s)
            self._book.close(after.dispatch_id)

    def displace(self, losers: Iterable[DispatchInstruction], winner: DispatchInstruction, now_s: float) -> None:
        """Instructions of lower priority end where `winner` begins; one that would never run is cancelled at once."""
        for loser in losers:
            changed = give_way(loser, winner, now_s)
            self._journal.log(loser.dispatch_id, LogEntry(at_s=now_s, kind=LogKind.DISPLACED, text=changed.state_reason))
            self.store(changed, now_s)
            self._say(now_s, "dispatch.displaced", loser.dispatch_id, changed.state_reason, winner=winner.dispatch_id, end_s=changed.end_s)
            self._take_back(loser, changed, now_s)
            if changed.state is not loser.state:
                self._say(now_s, "dispatch.state", changed.dispatch_id, changed.state.value, reason=changed.state_reason)

    def begin(self, instruction: DispatchInstruction, now_s: float) -> None:
        """A scheduled dispatch whose start has come goes on; one whose window has passed does not."""
        if instruction.end_s <= now_s:
            self.move(instruction, Move.WINDOW_END, now_s, "the window passed before it could start")
        elif instruction.start_s <= now_s:
            if instruction.start_s > instruction.accepted_at_s:
                # What is committed is what the cars that are here now can give; it was an estimate when the order came.
                instruction = with_feasibility(instruction, self._outlook.of(instruction, now_s))
            self._times.begun(instruction.dispatch_id)
            self.move(instruction, Move.START, now_s, "")
            self._commitments.begun(instruction.dispatch_id, now_s)
            if instruction.dispatch_id not in self._book.tasks:
                self._book.open(self._book.instructions[instruction.dispatch_id], set())

    def committed_anew(self, instruction: DispatchInstruction, value: StreamValue, now_s: float) -> DispatchInstruction:
        """The instruction of a stream with what can be committed by now, where a value asks for more than was before: cars come after an
        order was opened. It is never lowered here, since that was promised."""
        told = instruction.feasibility
        if told is None or value.discharge_power_w <= told.committed_power_w or told.shortfall_power_w <= 0.0:
            return instruction
        if not self._streams.may_look_anew(instruction, now_s):
            return instruction
        found = self._outlook.of(instruction, now_s)
        if found.committed_power_w <= told.committed_power_w:
            return instruction
        changed = with_feasibility(instruction, found)
        self.store(changed, now_s)
        return changed

    def _say(self, now_s: float, kind: str, subject: str, text: str, **values: float | str | bool) -> None:
        self._notify(Notice(at_s=now_s, kind=kind, subject=subject, text=text, values=dict(values)))
