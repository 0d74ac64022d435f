"""`GridSide`: what the wires of grid operators may ask, on top of `Operations`. Orders and set-points of all wires are taken one after
the other, and what became of them is audited."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any, Protocol

import structlog

from counterflow.adapters.web.problems import STATUS_OF
from counterflow.app.desks.capacity_desk import CapacityDesk
from counterflow.app.desks.grid_book import STREAM_KEY, GridBook, refused
from counterflow.app.desks.grid_orders import GridOrders, no_program
from counterflow.app.desks.grid_streams import GridStreams
from counterflow.app.observing.wire_alarms import WireAlarms
from counterflow.domain.access import AuditEntry
from counterflow.domain.dispatch_views import DispatchView
from counterflow.domain.grid import (
    CapacityBound,
    GridAnswer,
    GridOrder,
    GridOrderRecord,
    GridOutcome,
    PoolTelemetry,
    Program,
    Wire,
    WireNote,
)
from counterflow.domain.ids import DispatchId, PoolId
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.offers import Offer
from counterflow.domain.records import DocumentKind
from counterflow.domain.settlement import IntervalFigures
from counterflow.domain.units import format_power
from counterflow.domain.views import Notice, Refusal, RefusalKind
from counterflow.engine.control.book import BookSettings
from counterflow.engine.operations import Operations
from counterflow.engine.ports import Journal

KEEP_PAUSE_S = 30.0
FORGET_AFTER_S = 7 * 86_400.0
SAID_AGAIN_S = 300.0

log = structlog.get_logger("counterflow")


class Records(Protocol):
    """Telemetry of pools, as `GridSide` tells of it."""

    def newest(self, pool: PoolId) -> PoolTelemetry:
        """The newest record of a pool."""
        ...

    async def since(self, pool: PoolId, sequence: int, most: int, wait_s: float = 0.0) -> Sequence[PoolTelemetry]:
        """Records behind `sequence`."""
        ...


class GridDesk:
    """One instance a process. Orders of all wires are taken one after the other."""

    def __init__(
        self,
        operations: Operations,
        programs: Iterable[Program],
        journal: Journal,
        *,
        settings: BookSettings,
        settled: Callable[[], Any],
        alarms: WireAlarms,
        notify: Callable[[Notice], None],
        records: Records,
        capacity: CapacityDesk,
    ) -> None:
        self._capacity = capacity
        self._over_capacity: set[tuple[Wire, str]] = set()
        self._records_of_pools = records
        self._operations = operations
        self._programs = {program.name: program for program in programs}
        self._journal = journal
        self._settled = settled
        self._alarms = alarms
        self._notify = notify
        self._book = GridBook(operations, journal)
        self._orders = GridOrders(operations, self._programs, self._book, settings, settled)
        self._streams = GridStreams(operations, self._programs, self._book, self._orders, settled)
        self._notes: dict[tuple[Wire, str], Any] = {}
        self._refused_last: dict[tuple[str, str], tuple[str, float]] = {}
        self._turn = asyncio.Lock()

    def restore(self) -> None:
        """After a start, once the dispatches are known again."""
        self._book.restore()
        for _, note in self._journal.documents(DocumentKind.WIRE_NOTE):
            self._notes[note.wire, note.key] = note.body
        self._capacity.restore(self.now_s())

    def now_s(self) -> float:
        """The server's clock."""
        return self._operations.now_s()

    def programs(self, wire: Wire) -> Sequence[Program]:
        """The programs whose orders come by this wire."""
        return [program for program in self._programs.values() if program.wire is wire]

    async def place(self, order: GridOrder) -> GridAnswer:
        """A new order, a changed one, or the same again."""
        async with self._turn:
            answer = await self._orders.place(order)
        if answer.outcome is not GridOutcome.UNCHANGED and self._is_to_be_told(order.program, answer):
            self._audit(order.program, "order", order.key, order, answer)
        return answer

    async def withdraw(self, program: str, key: str, why: str) -> GridAnswer:
        """An order is taken back: charging is resumed paced."""
        async with self._turn:
            answer = await self._orders.withdraw(program, key, why)
        self._audit(program, "withdraw", key, {"why": why}, answer)
        return answer

    async def tell(self, program: str, discharge_power_w: float, said_at_s: float | None, sequence: int | None) -> GridAnswer:
        """A streamed set-point. Refused ones are audited, and the first one; the log of the dispatch has them all."""
        async with self._turn:
            answer, opened = await self._streams.tell(program, discharge_power_w, said_at_s, sequence)
        if opened or (answer.refusal is not None and self._is_news(program, "set-point", answer.refusal)):
            self._audit(program, "set-point", STREAM_KEY, {"discharge_power_w": discharge_power_w}, answer)
        return answer

    async def decline(self, program: str, key: str, end_s: float, refusal: Refusal) -> GridAnswer:
        """An order of which the wire itself can make no sense; told once, until it is another sentence."""
        async with self._turn:
            answer = await self._orders.decline(program, key, end_s, refusal)
        if answer is not None:
            self._audit(program, "order", key, None, answer)
        return refused(refusal)

    async def bound(self, program: str, bounds: Sequence[CapacityBound]) -> GridAnswer:
        """These limits, and no others, hold on the program's pool; a change is audited."""
        if program not in self._programs:
            return refused(no_program(program))
        before = tuple(self._capacity.of(program))
        news = self._capacity.set(program, bounds, self.now_s())
        if isinstance(news, Refusal):
            answer = refused(news)
        elif not news:
            return GridAnswer(outcome=GridOutcome.UNCHANGED)
        else:
            await self._settled()
            answer = GridAnswer(outcome=GridOutcome.CHANGED if before else GridOutcome.ACCEPTED)
        self._audit(program, "limits", ", ".join(dict.fromkeys(bound.key for bound in bounds)) or "none", bounds, answer)
        return answer

    def bounds(self, program: str) -> Sequence[CapacityBound]:
        """The limits of a program, in force or to come."""
        return self._capacity.of(program)

    def decline_value(self, program: str, sent: Mapping[str, Any], refusal: Refusal, key: str | None = None) -> None:
        """What the wire has refused by rules of its own; the same again is written down now and then."""
        action = "set-point" if key is None else "order"
        if self._is_news(program, f"declined {action}", refusal):
            self._audit(program, action, STREAM_KEY if key is None else key, sent, refused(refusal))

    def turned_away(self, wire: Wire, key: str, sent: Mapping[str, Any], refusal: Refusal) -> None:
        """An order for nobody; it is told by the wire's own alarm, and written down."""
        if self._is_news(wire.value, f"turned away {key}", refusal):
            after = {"outcome": GridOutcome.REFUSED.value, "sentence": refusal.sentence}
            entry = AuditEntry(
                at_s=self.now_s(),
                who=wire.value,
                role="grid",
                action=f"order {key}",
                sent=sent,
                status=STATUS_OF[refusal.kind],
                after=after,
            )
            self._operations.record(entry)

    def standing(self, program: str) -> Sequence[GridOrderRecord]:
        """The orders of a program, streams left out."""
        return [one for one in self._book.all() if one.order.program == program and one.order.key != STREAM_KEY]

    def dispatch(self, dispatch_id: DispatchId) -> DispatchView | None:
        """Where the dispatch of an order stands; None = it is not known (any more)."""
        view = self._operations.dispatch(dispatch_id)
        return view if isinstance(view, DispatchView) else None

    def telemetry(self, pool: PoolId) -> PoolTelemetry:
        """The newest record of a pool. Raises KeyError for a pool that is not recorded."""
        return self._records_of_pools.newest(pool)

    async def telemetry_since(self, pool: PoolId, sequence: int, most: int, wait_s: float = 0.0) -> Sequence[PoolTelemetry]:
        """Up to `most` records of a pool behind `sequence`. Raises KeyError for a pool that is not recorded."""
        return await self._records_of_pools.since(pool, sequence, most, wait_s)

    async def intervals(self, dispatch_id: DispatchId, edges_s: Sequence[float]) -> Sequence[IntervalFigures] | Refusal:
        """What was delivered between each two of `edges_s`."""
        return await self._operations.intervals(dispatch_id, edges_s)

    async def offer(
        self,
        pool: PoolId,
        window_s: float,
        confidence: float | None = None,
        start_s: float | None = None,
        mode: DispatchMode = DispatchMode.NET_EXPORT,
    ) -> Offer | Refusal:
        """What a pool can surely give over a window, dispatches within it included."""
        return await self._operations.firm(pool, window_s, confidence, start_s, mode=mode, storage=True)

    def note(self, wire: Wire, key: str, body: Any) -> None:
        """Keep something over restarts; None drops it."""
        if body is None:
            if self._notes.pop((wire, key), None) is not None:
                self._journal.delete(DocumentKind.WIRE_NOTE, f"{wire}/{key}")
            return
        self._notes[wire, key] = body
        self._journal.put(DocumentKind.WIRE_NOTE, f"{wire}/{key}", WireNote(wire=wire, key=key, body=body))

    def notes(self, wire: Wire) -> Mapping[str, Any]:
        """What was noted, by key."""
        return {key: body for (whose, key), body in self._notes.items() if whose is wire}

    def alarm(self, wire: Wire, subject: str, sentence: str | None) -> None:
        """Something that the operator's staff must know; None = it is over."""
        if self._alarms.set(wire, subject, sentence):
            log.warning("grid wire", wire=wire.value, subject=subject, text=sentence or "over")
            values: dict[str, float | int | str | bool | None] = {"on": sentence is not None}
            self._notify(
                Notice(at_s=self.now_s(), kind="grid.alarm", subject=f"{wire}:{subject}", text=sentence or "It is over.", values=values)
            )

    def notices(self) -> AsyncIterator[Notice]:
        """What happens, as it happens."""
        return self._operations.notices()

    async def keep(self) -> None:
        """For ever: what lies too far ahead is placed in time, what has no end goes on, idle streams give their pool free."""
        while True:
            await asyncio.sleep(KEEP_PAUSE_S)
            await self.look_after()

    async def look_after(self) -> None:
        """One round of `keep`."""
        self._look_after_capacity()
        async with self._turn:
            for record in self._book.all():
                if record.order.key == STREAM_KEY:
                    self._tell_of(record, "set-points go on", await self._streams.look_after(record))
                elif record.order.end_s < self.now_s() - FORGET_AFTER_S:
                    self._book.forget(record)
                else:
                    self._tell_of(record, "order", await self._orders.look_after(record))

    def _tell_of(self, record: GridOrderRecord, action: str, answer: GridAnswer | None) -> None:
        """What was done, or could not be, without anybody having asked."""
        program = record.order.program
        if answer is not None and (answer.refusal is None or self._is_news(program, f"{action} {record.order.key}", answer.refusal)):
            self._audit(program, action, record.order.key, record.order, answer)

    def _look_after_capacity(self) -> None:
        """Limits that are over go, and those that are not kept are an alarm."""
        self._capacity.refresh(self.now_s())
        over = {
            (self._programs[bound.program].wire, f"limit {bound.program}/{bound.key}"): sentence
            for bound, sentence in self._capacity.alarms(self.now_s())
            if bound.program in self._programs
        }
        for wire, subject in self._over_capacity | over.keys():
            self.alarm(wire, subject, over.get((wire, subject)))
        self._over_capacity = set(over)

    def _is_to_be_told(self, program: str, answer: GridAnswer) -> bool:
        """Who orders too often does not fill the audit with it."""
        refusal = answer.refusal
        return refusal is None or refusal.kind is not RefusalKind.TOO_OFTEN or self._is_news(program, "order", refusal)

    def _is_news(self, program: str, action: str, refusal: Refusal) -> bool:
        """A refused set-point is said again every four seconds: the same refusal is written down now and then."""
        now_s = self.now_s()
        said, at_s = self._refused_last.get((program, action), ("", -inf))
        news = said != refusal.sentence or now_s - at_s >= SAID_AGAIN_S
        if news:
            # What would be news again is forgotten: the names of orders are the grid operator's, and never end.
            fresh = {key: last for key, last in self._refused_last.items() if now_s - last[1] < SAID_AGAIN_S}
            self._refused_last = fresh | {(program, action): (refusal.sentence, now_s)}
        return news

    def _audit(self, program: str, action: str, key: str, sent: Any, answer: GridAnswer) -> None:
        wire = self._programs[program].wire.value if program in self._programs else "unknown"
        status = STATUS_OF[answer.refusal.kind] if answer.refusal else 200
        after = {"outcome": answer.outcome.value, "dispatch_id": answer.dispatch_id}
        if answer.refusal is not None:
            after["sentence"] = answer.refusal.sentence
        self._operations.record(
            AuditEntry(
                at_s=self.now_s(), who=f"{wire}:{program}", role="grid", action=f"{action} {key}", sent=sent, status=status, after=after
            )
        )
        short = answer.feasibility.shortfall_power_w if answer.feasibility else 0.0
        text = f"Program '{program}': {action} '{key}' {answer.outcome}"
        text += f": {answer.refusal.sentence}" if answer.refusal else f"; {format_power(short)} cannot be promised" if short > 0.0 else ""
        values: dict[str, float | int | str | bool | None] = {"outcome": answer.outcome.value, "dispatch_id": answer.dispatch_id}
        self._notify(Notice(at_s=self.now_s(), kind="grid.order", subject=f"{program}/{key}", text=text, values=values))
