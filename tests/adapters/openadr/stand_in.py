"""A grid side in memory for tests of the VEN: orders are kept as the desk keeps them, and may be refused."""

from collections.abc import Mapping, Sequence
from typing import Any

from counterflow.domain.grid import (
    CapacityBound,
    GridAnswer,
    GridOrder,
    GridOrderRecord,
    GridOutcome,
    PoolTelemetry,
    Program,
    Wire,
)
from counterflow.domain.ids import PoolId
from counterflow.domain.views import Refusal


class StandInGrid:
    """`GridSide`, as far as a VEN uses it."""

    def __init__(self, *programs: Program, now_s: float = 1_800_000_000.0) -> None:
        self.at_s = now_s
        self.records: dict[tuple[str, str], GridOrderRecord] = {}
        self.limits: dict[str, tuple[CapacityBound, ...]] = {}
        self.noted: dict[str, Any] = {}
        self.alarms: dict[str, str] = {}
        self.log: list[str] = []
        self.pools: dict[PoolId, PoolTelemetry] = {}
        """What is recorded of pools; of others nothing is."""
        self.refuses: Refusal | None = None
        """What the next orders are answered with."""
        self._programs = programs

    def now_s(self) -> float:
        return self.at_s

    def programs(self, wire: Wire) -> Sequence[Program]:
        return [program for program in self._programs if program.wire is wire]

    async def place(self, order: GridOrder) -> GridAnswer:
        known = self.records.get((order.program, order.key))
        if self.refuses is not None:
            self.log.append(f"refused {order.key}")
            if known is None or known.outcome is GridOutcome.REFUSED:
                self._keep(order, GridOutcome.REFUSED, f"{self.refuses.sentence} {self.refuses.remedy}")
            return GridAnswer(outcome=GridOutcome.REFUSED, refusal=self.refuses)
        outcome = GridOutcome.CHANGED if known is not None else GridOutcome.ACCEPTED
        self.log.append(f"{outcome} {order.key}")
        self._keep(order, outcome)
        return GridAnswer(outcome=outcome)

    async def withdraw(self, program: str, key: str, why: str) -> GridAnswer:
        self.log.append(f"withdrawn {key}")
        self._keep(self.records[program, key].order, GridOutcome.WITHDRAWN)
        return GridAnswer(outcome=GridOutcome.WITHDRAWN)

    async def decline(self, program: str, key: str, end_s: float, refusal: Refusal) -> GridAnswer:
        sentence = f"{refusal.sentence} {refusal.remedy}"
        known = self.records.get((program, key))
        if known is None or known.sentence != sentence:
            self.log.append(f"declined {key}")
            self._keep(GridOrder(program=program, key=key, steps=(), end_s=end_s), GridOutcome.REFUSED, sentence)
        return GridAnswer(outcome=GridOutcome.REFUSED, refusal=refusal)

    async def bound(self, program: str, bounds: Sequence[CapacityBound]) -> GridAnswer:
        if tuple(bounds) == self.limits.get(program, ()):
            return GridAnswer(outcome=GridOutcome.UNCHANGED)
        self.log.append(f"limits {len(bounds)}")
        self.limits[program] = tuple(bounds)
        return GridAnswer(outcome=GridOutcome.ACCEPTED)

    def bounds(self, program: str) -> Sequence[CapacityBound]:
        return [bound for bound in self.limits.get(program, ()) if bound.to_s > self.at_s]

    def standing(self, program: str) -> Sequence[GridOrderRecord]:
        return [record for (name, _), record in self.records.items() if name == program]

    def note(self, wire: Wire, key: str, body: Any) -> None:
        if body is None:
            self.noted.pop(key, None)
        else:
            self.noted[key] = body

    def notes(self, wire: Wire) -> Mapping[str, Any]:
        return dict(self.noted)

    def telemetry(self, pool: PoolId) -> PoolTelemetry:
        return self.pools[pool]

    def alarm(self, wire: Wire, subject: str, sentence: str | None) -> None:
        if sentence is None:
            self.alarms.pop(subject, None)
        else:
            self.alarms[subject] = sentence

    def asks_w(self, program: str = "north") -> float | None:
        """What the orders of a program ask now; None = nothing."""
        for record in self.standing(program):
            order = record.order
            if record.outcome in (GridOutcome.ACCEPTED, GridOutcome.CHANGED) and order.steps[0].from_s <= self.at_s < order.end_s:
                return [step.discharge_power_w for step in order.steps if step.from_s <= self.at_s][-1]
        return None

    def _keep(self, order: GridOrder, outcome: GridOutcome, sentence: str = "") -> None:
        known = self.records.get((order.program, order.key))
        self.records[order.program, order.key] = GridOrderRecord(
            order=order, revision=known.revision + 1 if known else 1, heard_at_s=self.at_s, outcome=outcome, sentence=sentence
        )
