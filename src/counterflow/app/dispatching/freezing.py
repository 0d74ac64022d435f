"""Freezing the plans that a relative order counts from: when it is accepted, so that nobody can move them afterwards, restart or not."""

from collections.abc import Iterable

from counterflow.app.dispatching.tasks import Book
from counterflow.domain.instructions import DispatchInstruction
from counterflow.engine.control.book import counts_from_plans
from counterflow.engine.fleet.frozen import at_acceptance, frozen_in, lines_of, thawed
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.fleet.undisturbed import ChargingTerms
from counterflow.engine.ports import Journal


class Freezing:
    """Puts plans into the book, from where the first tick of their dispatch takes them (about 50 bytes a car until then)."""

    def __init__(
        self,
        *,
        fleet: FleetState,
        topology: Topology,
        journal: Journal,
        book: Book,
        charging: ChargingTerms,
        capability_settings: CapabilitySettings,
    ) -> None:
        self._fleet = fleet
        self._topology = topology
        self._journal = journal
        self._book = book
        self._charging = charging
        self._capability_settings = capability_settings

    def accepted(self, instruction: DispatchInstruction, now_s: float) -> None:
        """Freeze the plans of all cars of its pool that are there and heard of, and write them. To be called before the acceptance is
        written: then whatever was accepted has its plans."""
        if not counts_from_plans(instruction):
            return
        image = self._fleet.snapshot(now_s)
        group = self._topology.pool_mask(instruction.pool)[image.site]
        others = [task.memory.plans.sized(len(image)) for task in self._book.tasks.values() if task.memory.plans is not None]
        plans = at_acceptance(image, group, others, self._charging, self._capability_settings)
        for line in lines_of(plans, now_s):
            self._journal.log(instruction.dispatch_id, line)
        self._book.frozen[instruction.dispatch_id] = plans

    def restore(self, instructions: Iterable[DispatchInstruction]) -> None:
        """After a restart: the plans as they were written, when the order was accepted and when cars joined."""
        for instruction in instructions:
            if counts_from_plans(instruction):
                log = self._journal.dispatch_log(instruction.dispatch_id)
                self._book.frozen[instruction.dispatch_id] = thawed(frozen_in(log))
