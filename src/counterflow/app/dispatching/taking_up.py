"""After a restart: dispatches under way go on with the sessions whose profiles the ledger knows (I8)."""

from collections.abc import Iterable

import numpy as np
from msgspec.structs import replace

from counterflow.app.dispatching.freezing import Freezing
from counterflow.app.dispatching.placing import Placement
from counterflow.app.dispatching.planned_times import PlannedTimes
from counterflow.app.dispatching.states import States
from counterflow.app.dispatching.streams import Streams
from counterflow.app.dispatching.tasks import Book, in_the_balance
from counterflow.app.offers.commitments import Commitments
from counterflow.domain.delivery import LogKind
from counterflow.domain.ids import SessionUid
from counterflow.domain.instructions import DispatchInstruction, DispatchState
from counterflow.domain.records import ProfileState
from counterflow.engine.control.book import LIVE_STATES, OPEN_STATES, Move
from counterflow.engine.control.decision import TaskMemory
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.ports import Journal


class TakingUp:
    """Used once, before the first tick."""

    def __init__(
        self,
        *,
        fleet: FleetState,
        topology: Topology,
        placement: Placement,
        journal: Journal,
        book: Book,
        states: States,
        streams: Streams,
        times: PlannedTimes,
        freezing: Freezing,
        commitments: Commitments,
    ) -> None:
        self._fleet = fleet
        self._topology = topology
        self._placement = placement
        self._journal = journal
        self._book = book
        self._states = states
        self._streams = streams
        self._times = times
        self._freezing = freezing
        self._commitments = commitments

    def take_up(self, instructions: Iterable[DispatchInstruction], now_s: float) -> None:
        """Fill the book, and open the tasks of what runs or resumes. What lies at stations and belongs to none of them is cleared."""
        for instruction in instructions:
            self._book.keep(instruction)
        for instruction in self._book.in_state(*LIVE_STATES):
            if instruction.pool not in self._topology.pools():
                self._states.move(instruction, Move.ABORT, now_s, f"the settings name no pool '{instruction.pool}' any more")
        self._times.restore(now_s)
        self._streams.restore(self._book.in_state(*LIVE_STATES))
        held: dict[str, set[SessionUid]] = {}
        for record in self._placement.ledger:
            if record.state is not ProfileState.CLEARING and self._fleet.row_of(record.session_uid) is not None:
                held.setdefault(record.dispatch_id, set()).add(record.session_uid)
        self._freezing.restore(self._book.in_state(*OPEN_STATES))
        for instruction in self._book.in_state(DispatchState.RUNNING, DispatchState.RESUMING):
            self._restore_task(instruction, held.get(instruction.dispatch_id, set()), now_s)
            self._commitments.begun(instruction.dispatch_id, now_s)
        self._commitments.catch_up(self._book.instructions, now_s)
        self._placement.unwanted(self._book.owner, now_s)

    def _restore_task(self, instruction: DispatchInstruction, held: set[SessionUid], now_s: float) -> None:
        log = self._journal.dispatch_log(instruction.dispatch_id)
        task = self._book.open(instruction, held)
        task.ever.update(entry.session_uid for entry in log if entry.kind == LogKind.JOINED)
        task.drop_outs = sum(1 for entry in log if entry.kind == LogKind.LEFT)
        self._placement.messages_by_dispatch[instruction.dispatch_id] = max((entry.messages for entry in log), default=0)
        self._fleet.heard_lately(task.ever, now_s)
        image = self._fleet.snapshot(now_s)
        # Whoever joined, and was not left to itself since, counts in the balance; only those with profiles of ours are steered on.
        counted = in_the_balance(log) | task.members
        memory = TaskMemory.resumed(image, sorted(counted), self._book.frozen.pop(instruction.dispatch_id, None), now_s)
        task.memory = replace(memory, active=memory.active & np.isin(image.uid, sorted(task.members)))
