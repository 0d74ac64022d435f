"""Streams of set-points: the first above zero opens a dispatch of its program, which goes on for as long as values come."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace

from counterflow.app.desks.grid_book import STREAM_KEY, GridBook, refused
from counterflow.app.desks.grid_orders import GridOrders, no_program
from counterflow.domain.dispatch_views import DispatchView
from counterflow.domain.grid import GridAnswer, GridOrder, GridOrderRecord, GridOutcome, GridStep, Program
from counterflow.domain.instructions import Amendment, DispatchInstruction, DispatchState, StreamValue
from counterflow.domain.units import MAX_DURATION_S
from counterflow.domain.views import Refusal, RefusalKind
from counterflow.engine.control.stream import AT_REST
from counterflow.engine.grid.bounds import beyond, streamed
from counterflow.engine.operations import Operations

IDLE_STREAM_S = 900.0
"""A stream that has asked for nothing, or was not heard, for so long gives its pool free."""


class GridStreams:
    """Of all programs; whoever calls sees to it that values are taken one after the other."""

    def __init__(
        self, operations: Operations, programs: Mapping[str, Program], book: GridBook, orders: GridOrders, settled: Callable[[], Any]
    ) -> None:
        self._operations = operations
        self._programs = programs
        self._book = book
        self._orders = orders
        self._settled = settled
        self._asked_since: dict[str, float] = {}

    async def tell(self, name: str, discharge_power_w: float, said_at_s: float | None, sequence: int | None) -> tuple[GridAnswer, bool]:
        """The answer, and whether a dispatch was opened for it."""
        program = self._programs.get(name)
        if program is None:
            return refused(no_program(name)), False
        wrong = beyond(program, discharge_power_w)
        if wrong is not None:
            return refused(wrong), False
        now_s = self._operations.now_s()
        if discharge_power_w > 0.0:
            self._asked_since[name] = now_s
        known = self._book.get(name, STREAM_KEY)
        live, opened = self._book.live_of(known), False
        if live is None:
            answer = await self._open(program, known, discharge_power_w, now_s)
            if answer.dispatch_id is None:
                return answer, False
            dispatch_id, opened = answer.dispatch_id, True
        else:
            dispatch_id = live.dispatch_id
        value = StreamValue(discharge_power_w=discharge_power_w, sequence=sequence, said_at_s=said_at_s)
        told = await self._operations.tell(dispatch_id, value)
        if isinstance(told, Refusal):
            return refused(told), opened
        outcome = GridOutcome.ACCEPTED if told.outcome == "taken" else GridOutcome.UNCHANGED
        return GridAnswer(outcome=outcome, dispatch_id=dispatch_id), opened

    async def look_after(self, record: GridOrderRecord) -> GridAnswer | None:
        """Make it longer while values come, give its pool free when it is idle; returns the refusal of what could not be done."""
        program, live, now_s = self._programs.get(record.order.program), self._book.live_of(record), self._operations.now_s()
        if program is None or live is None:
            return None
        if self._is_idle(program, live, now_s):
            await self._operations.cancel(live.dispatch_id, "us: its stream asked for nothing")
            self._book.write(replace(record, outcome=GridOutcome.WITHDRAWN))
            return None
        window_s = program.stream_window_s
        if live.end_s - now_s >= window_s / 2 or live.start_s + MAX_DURATION_S <= now_s + window_s:
            return None
        longer = await self._operations.amend(live.dispatch_id, Amendment(end_s=now_s + window_s), "its stream, which goes on")
        return refused(longer) if isinstance(longer, Refusal) else None

    async def _open(self, program: Program, known: GridOrderRecord | None, discharge_power_w: float, now_s: float) -> GridAnswer:
        """A dispatch for the first set-point above zero."""
        ended = self._ended_by_a_person(known)
        if discharge_power_w == 0.0:
            if known is not None and ended:
                self._book.write(replace(known, outcome=GridOutcome.WITHDRAWN, heard_at_s=now_s))
                await self._settled()
            return GridAnswer(outcome=GridOutcome.UNCHANGED)
        if ended:
            return refused(_ended(program))
        order = GridOrder(
            program=program.name,
            key=STREAM_KEY,
            steps=(GridStep(from_s=now_s, discharge_power_w=program.max_discharge_power_w),),
            end_s=now_s + program.stream_window_s,
        )
        return await self._orders.make(order, streamed(program), known, None, GridOutcome.ACCEPTED)

    def _is_idle(self, program: Program, live: DispatchInstruction, now_s: float) -> bool:
        view = self._operations.dispatch(live.dispatch_id)
        assert isinstance(view, DispatchView), "it is live"
        asked_s = self._asked_since.setdefault(program.name, now_s)
        resting = view.stream is not None and view.stream.phase in {phase.value for phase in AT_REST}
        return now_s - asked_s > IDLE_STREAM_S and (resting or not view.target_power_w)

    def _ended_by_a_person(self, record: GridOrderRecord | None) -> bool:
        """The dispatch of a stream was cancelled, or aborted by the emergency stop, and its source has not asked for nothing since."""
        if record is None or record.dispatch_id is None or record.outcome not in (GridOutcome.ACCEPTED, GridOutcome.CHANGED):
            return False
        view = self._operations.dispatch(record.dispatch_id)
        return isinstance(view, DispatchView) and view.instruction.ends_as in (DispatchState.CANCELLED, DispatchState.ABORTED)


def _ended(program: Program) -> Refusal:
    return Refusal(
        kind=RefusalKind.STOPPED,
        sentence=f"A person ended the dispatch of program '{program.name}'; it follows set-points again once it was asked for nothing.",
        remedy="Send a set-point of 0 once, then the one that is wanted.",
    )
