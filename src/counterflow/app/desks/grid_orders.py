"""Orders of grid operators' wires: one order is one dispatch, over changes, refusals and restarts.

What was ordered is written down before it is placed, so that a crash in between leaves a record that finds its dispatch again.
"""

from collections.abc import Callable, Mapping
from math import inf
from typing import Any

from msgspec.structs import replace

from counterflow.app.desks.grid_book import STREAM_KEY, GridBook, key_of, refused
from counterflow.domain.dispatch_views import DispatchView
from counterflow.domain.grid import GridAnswer, GridOrder, GridOrderRecord, GridOutcome, Program
from counterflow.domain.instructions import DispatchInstruction, DispatchOrder, DispatchState
from counterflow.domain.units import MAX_DURATION_S
from counterflow.domain.views import Refusal, RefusalKind
from counterflow.engine.control.book import LIVE_STATES, BookSettings
from counterflow.engine.control.targets import invalid
from counterflow.engine.grid.bounds import Later, Nothing, bounded
from counterflow.engine.operations import Operations


class GridOrders:
    """Of all programs; whoever calls sees to it that they are taken one after the other."""

    def __init__(
        self,
        operations: Operations,
        programs: Mapping[str, Program],
        book: GridBook,
        settings: BookSettings,
        settled: Callable[[], Any],
    ) -> None:
        self._operations = operations
        self._programs = programs
        self._book = book
        self._settings = settings
        self._settled = settled
        self._room_for: dict[str, tuple[float, float]] = {}

    async def place(self, order: GridOrder) -> GridAnswer:
        """A new order, a changed one, or the same again."""
        program, now_s = self._programs.get(order.program), self._operations.now_s()
        if program is None:
            return refused(no_program(order.program))
        if order.key == STREAM_KEY:
            return refused(invalid(f"'{STREAM_KEY}' is how the set-points of a program are called here.", "Give the order another name."))
        known = self._book.get(order.program, order.key)
        if known is not None and known.order == order and _stands(known) and not self._book.is_half_done(known):
            return self._book.answer_of(known, GridOutcome.UNCHANGED)
        if not self._may_order(program, now_s):
            return refused(_too_often(program))
        wanted = bounded(program, order, now_s, self._settings.max_lead_s)
        if isinstance(wanted, Refusal):
            return self._keep_refused(order, known, wanted)
        former = self._book.live_of(known)
        if isinstance(wanted, DispatchOrder):
            changes = known is not None and (known.dispatch_id is not None or former is not None)
            return await self.make(order, wanted, known, former, GridOutcome.CHANGED if changes else GridOutcome.ACCEPTED)
        if former is not None:
            await self._operations.cancel(former.dispatch_id, program.wire.value)
        outcome = _without_dispatch(wanted, order, known, former, now_s)
        record = self._book.put(order, known, outcome, None)
        await self._settled()
        return self._book.answer_of(record, outcome)

    async def make(
        self,
        order: GridOrder,
        wanted: DispatchOrder,
        known: GridOrderRecord | None,
        former: DispatchInstruction | None,
        outcome: GridOutcome,
    ) -> GridAnswer:
        """Its dispatch, which takes over from that of the version before it."""
        wanted = replace(wanted, replaces=former.dispatch_id if former else None)
        dry = await self._operations.order(wanted, None, dry_run=True)
        obstacle = dry if isinstance(dry, Refusal) else dry.obstacle
        if obstacle is not None:
            return self._keep_refused(order, known, obstacle)
        if former is not None and wanted.start_s is not None:
            # It begins later than now: the former version must not run until then.
            await self._operations.cancel(former.dispatch_id, "its grid operator, who changed it")
        record = self._book.put(order, known, outcome, None)
        answer = await self._operations.order(wanted, key_of(record), dry_run=False)
        if isinstance(answer, Refusal):  # pragma: no cover  # nothing happens between the dry run and this
            return self._keep_refused(order, record, answer)
        record = replace(record, dispatch_id=answer.dispatch.instruction.dispatch_id)
        self._book.write(record)
        await self._settled()
        return GridAnswer(outcome=outcome, dispatch_id=record.dispatch_id, feasibility=answer.dispatch.feasibility)

    async def withdraw(self, program: str, key: str, why: str) -> GridAnswer:
        """An order is taken back: charging is resumed paced."""
        known = None if key == STREAM_KEY else self._book.get(program, key)
        if known is None:
            return refused(
                Refusal(
                    kind=RefusalKind.NOT_FOUND,
                    sentence=f"Program '{program}' has no order '{key}'.",
                    remedy="Check the program and the order's own name.",
                )
            )
        live = self._book.live_of(known)
        if live is not None:
            await self._operations.cancel(live.dispatch_id, f"its grid operator ({why})" if why else "its grid operator")
        over = live is None and known.order.end_s <= self._operations.now_s()
        outcome = GridOutcome.OVER if over else GridOutcome.WITHDRAWN
        self._book.write(replace(known, outcome=outcome, heard_at_s=self._operations.now_s()))
        await self._settled()
        return GridAnswer(outcome=outcome, dispatch_id=known.dispatch_id)

    async def decline(self, program: str, key: str, end_s: float, refusal: Refusal) -> GridAnswer | None:
        """An order of which the wire itself can make no sense; a former version of it is taken back. None = it was told already."""
        if key == STREAM_KEY:
            return refused(refusal)
        known = self._book.get(program, key)
        sentence = f"{refusal.sentence} {refusal.remedy}"
        if known is not None and known.outcome is GridOutcome.REFUSED and known.sentence == sentence:
            return None
        live = self._book.live_of(known)
        if live is not None:
            await self._operations.cancel(live.dispatch_id, "its grid operator, whose change makes no sense")
        self._book.put(GridOrder(program=program, key=key, steps=(), end_s=end_s), known, GridOutcome.REFUSED, None, sentence)
        await self._settled()
        return refused(refusal)

    async def look_after(self, record: GridOrderRecord) -> GridAnswer | None:
        """Place what lay too far ahead, or goes on for longer than one dispatch may last; returns what is news of it.

        What a person ended stays ended, and what is refused now is not tried again.
        """
        program, now_s = self._programs.get(record.order.program), self._operations.now_s()
        if program is None or not _stands(record) or record.order.end_s <= now_s or not self._is_due(record):
            return None
        former = self._book.live_of(record)
        wanted = bounded(program, record.order, now_s, self._settings.max_lead_s)
        if isinstance(wanted, Refusal):  # the program may order less than before a restart
            return self._keep_refused(record.order, record, wanted)
        if isinstance(wanted, DispatchOrder):
            return await self.make(record.order, wanted, record, former, GridOutcome.ACCEPTED)
        if former is not None:  # by its change it is to give nothing now
            await self._operations.cancel(former.dispatch_id, program.wire.value)
        return None

    def _is_due(self, record: GridOrderRecord) -> bool:
        """It has no dispatch yet, or its dispatch has lasted as long as one may."""
        dispatch_id = record.dispatch_id or self._book.found_again(record)
        view = None if dispatch_id is None else self._operations.dispatch(dispatch_id)
        if not isinstance(view, DispatchView):
            return dispatch_id is None
        instruction = view.instruction
        if instruction.state in LIVE_STATES:
            return False
        return instruction.ends_as is DispatchState.COMPLETED and instruction.end_s - instruction.start_s >= MAX_DURATION_S - 1.0

    def _keep_refused(self, order: GridOrder, known: GridOrderRecord | None, refusal: Refusal) -> GridAnswer:
        """What was refused changes nothing: a former version of the order stands."""
        live, sentence = self._book.live_of(known), f"{refusal.sentence} {refusal.remedy}"
        if live is None and (known is None or not _says_no(known, order, sentence)):
            self._book.put(order, known, GridOutcome.REFUSED, None, sentence)
        elif live is not None and known is not None and self._book.is_half_done(known):
            self._book.write(replace(known, outcome=GridOutcome.REFUSED, dispatch_id=live.dispatch_id, sentence=sentence))
        return refused(refusal)

    def _may_order(self, program: Program, now_s: float) -> bool:
        """A bucket of a minute's orders."""
        room, filled_s = self._room_for.get(program.name, (program.max_orders_per_min, -inf))
        room = min(program.max_orders_per_min, room + (now_s - filled_s) / 60.0 * program.max_orders_per_min)
        allowed = room >= 1.0
        self._room_for[program.name] = (room - 1.0 if allowed else room, now_s)
        return allowed


def no_program(name: str) -> Refusal:
    """Nobody has agreed on it."""
    return Refusal(
        kind=RefusalKind.NOT_FOUND,
        sentence=f"There is no program '{name}'.",
        remedy="Name it in a [[programs]] entry of the settings.",
    )


def _stands(record: GridOrderRecord) -> bool:
    return record.outcome in (GridOutcome.ACCEPTED, GridOutcome.CHANGED)


def _says_no(record: GridOrderRecord, order: GridOrder, sentence: str) -> bool:
    """It is written down already; set-points come every few seconds, each with a time of its own."""
    same = order.key == STREAM_KEY or record.order == order
    return same and record.outcome is GridOutcome.REFUSED and record.sentence == sentence


def _without_dispatch(
    wanted: Later | Nothing, order: GridOrder, known: GridOrderRecord | None, former: DispatchInstruction | None, now_s: float
) -> GridOutcome:
    """What became of an order that needs no dispatch now."""
    if isinstance(wanted, Nothing):
        if order.end_s <= now_s and former is None:
            return GridOutcome.OVER
        return GridOutcome.CHANGED if known else GridOutcome.ACCEPTED
    return GridOutcome.CHANGED if known is not None and known.dispatch_id is not None else GridOutcome.ACCEPTED


def _too_often(program: Program) -> Refusal:
    return Refusal(
        kind=RefusalKind.TOO_OFTEN,
        sentence=f"Program '{program.name}' orders more than {program.max_orders_per_min:g} times a minute.",
        remedy="Send fewer changes, or a stream of set-points.",
    )
