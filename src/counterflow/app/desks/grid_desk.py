"""`GridSide`: what the wires of grid operators may ask, on top of `Operations`. One order of a wire is one dispatch, also over restarts.

What was ordered is written down before it is placed, so that a crash in between leaves a record that finds its dispatch again.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from math import inf
from typing import Any, Protocol

import structlog
from msgspec.structs import replace

from counterflow.adapters.web.problems import STATUS_OF
from counterflow.app.desks.capacity_desk import CapacityDesk
from counterflow.app.observing.wire_alarms import WireAlarms
from counterflow.domain.access import AuditEntry
from counterflow.domain.grid import (
    CapacityBound,
    GridAnswer,
    GridOrder,
    GridOrderRecord,
    GridOutcome,
    GridStep,
    PoolTelemetry,
    Program,
    Wire,
    WireNote,
)
from counterflow.domain.ids import DispatchId, PoolId
from counterflow.domain.instructions import Amendment, DispatchInstruction, DispatchOrder, DispatchState, StreamValue
from counterflow.domain.offers import Offer
from counterflow.domain.records import DocumentKind
from counterflow.domain.settlement import IntervalFigures
from counterflow.domain.units import MAX_DURATION_S, format_power
from counterflow.domain.views import DispatchView, Notice, Refusal, RefusalKind
from counterflow.engine.control.book import LIVE_STATES, BookSettings
from counterflow.engine.control.stream import AT_REST
from counterflow.engine.grid.bounds import Later, Nothing, beyond, bounded, streamed
from counterflow.engine.ports import Journal, Operations

STREAM_KEY = "(stream)"
KEEP_PAUSE_S = 30.0
FORGET_AFTER_S = 7 * 86_400.0
IDLE_STREAM_S = 900.0
"""A stream that has asked for nothing, or was not heard, for so long gives its pool free."""
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
        self._settings = settings
        self._settled = settled
        self._alarms = alarms
        self._notify = notify
        self._records: dict[tuple[str, str], GridOrderRecord] = {}
        self._notes: dict[tuple[Wire, str], Any] = {}
        self._room_for: dict[str, tuple[float, float]] = {}
        self._asked_since: dict[str, float] = {}
        self._refused_last: dict[str, tuple[str, float]] = {}
        self._turn = asyncio.Lock()

    def restore(self) -> None:
        """After a start, once the dispatches are known again."""
        for _, record in self._journal.documents(DocumentKind.GRID_ORDER):
            self._records[record.order.program, record.order.key] = record
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
            answer = await self._place(order, counts=True)
        if answer.outcome is not GridOutcome.UNCHANGED:
            self._audit(order.program, "order", order.key, order, answer)
        return answer

    async def withdraw(self, program: str, key: str, why: str) -> GridAnswer:
        """An order is taken back: charging is resumed paced."""
        async with self._turn:
            answer = await self._withdraw(program, key, why)
        self._audit(program, "withdraw", key, {"why": why}, answer)
        return answer

    async def tell(self, program: str, discharge_power_w: float, said_at_s: float | None, sequence: int | None) -> GridAnswer:
        """A streamed set-point. Refused ones are audited, and the first one; the log of the dispatch has them all."""
        async with self._turn:
            answer, opened = await self._tell(program, discharge_power_w, said_at_s, sequence)
        if opened or (answer.refusal is not None and self._is_news(program, answer.refusal)):
            self._audit(program, "set-point", STREAM_KEY, {"discharge_power_w": discharge_power_w}, answer)
        return answer

    async def decline(self, program: str, key: str, end_s: float, refusal: Refusal) -> GridAnswer:
        """An order of which the wire itself can make no sense; told once, until it is another sentence."""
        async with self._turn:
            known = self._records.get((program, key))
            sentence = f"{refusal.sentence} {refusal.remedy}"
            if known is not None and known.outcome is GridOutcome.REFUSED and known.sentence == sentence:
                return _refused(refusal)
            live = self._live_of(known)
            if live is not None:
                await self._operations.cancel(live.dispatch_id, "its grid operator, whose change makes no sense")
            self._put(GridOrder(program=program, key=key, steps=(), end_s=end_s), known, GridOutcome.REFUSED, None, sentence)
            await self._settled()
        answer = _refused(refusal)
        self._audit(program, "order", key, None, answer)
        return answer

    async def bound(self, program: str, bounds: Sequence[CapacityBound]) -> GridAnswer:
        """These limits, and no others, hold on the program's pool; a change is audited."""
        if program not in self._programs:
            return _refused(_no_program(program))
        before = tuple(self._capacity.of(program))
        news = self._capacity.set(program, bounds, self.now_s())
        if isinstance(news, Refusal):
            answer = _refused(news)
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

    def decline_value(self, program: str, sent: Mapping[str, Any], refusal: Refusal) -> None:
        """A streamed set-point that the wire has refused by rules of its own; the same again is written down now and then."""
        if self._is_news(program, refusal):
            self._audit(program, "set-point", STREAM_KEY, sent, _refused(refusal))

    def standing(self, program: str) -> Sequence[GridOrderRecord]:
        """The orders of a program, streams left out."""
        return [record for (name, key), record in self._records.items() if name == program and key != STREAM_KEY]

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

    async def offer(self, pool: PoolId, window_s: float, confidence: float | None = None, start_s: float | None = None) -> Offer | Refusal:
        """What a pool can surely give over a window, dispatches within it included."""
        return await self._operations.firm(pool, window_s, confidence, start_s)

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
            for record in tuple(self._records.values()):
                if record.order.key == STREAM_KEY:
                    await self._look_after_stream(record)
                elif record.order.end_s < self.now_s() - FORGET_AFTER_S:
                    self._forget(record)
                elif record.outcome in (GridOutcome.ACCEPTED, GridOutcome.CHANGED):
                    await self._look_after_order(record)

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

    # --- orders --------------------------------------------------------------------------------------------------------------

    async def _place(self, order: GridOrder, *, counts: bool) -> GridAnswer:
        program, now_s = self._programs.get(order.program), self.now_s()
        if program is None:
            return _refused(_no_program(order.program))
        known = self._records.get((order.program, order.key))
        if known is not None and known.order == order and known.outcome in (GridOutcome.ACCEPTED, GridOutcome.CHANGED):
            return self._answer_of(known, GridOutcome.UNCHANGED)
        if counts and not self._may_order(program, now_s):
            return _refused(_too_often(program))
        wanted = bounded(program, order, now_s, self._settings.max_lead_s)
        if isinstance(wanted, Refusal):
            return self._keep_refused(order, known, wanted)
        former = self._live_of(known)
        if isinstance(wanted, Nothing):
            if former is not None:
                await self._operations.cancel(former.dispatch_id, program.wire.value)
            outcome = (
                GridOutcome.OVER if order.end_s <= now_s and former is None else GridOutcome.CHANGED if known else GridOutcome.ACCEPTED
            )
            return self._answer_of(await self._record(order, known, outcome, None), outcome)
        outcome = GridOutcome.CHANGED if known is not None and known.dispatch_id is not None else GridOutcome.ACCEPTED
        if isinstance(wanted, Later):
            if former is not None:
                await self._operations.cancel(former.dispatch_id, program.wire.value)
            return self._answer_of(await self._record(order, known, outcome, None), outcome)
        return await self._order(order, replace(wanted, replaces=former.dispatch_id if former else None), known, former, outcome)

    async def _order(
        self,
        order: GridOrder,
        wanted: DispatchOrder,
        known: GridOrderRecord | None,
        former: DispatchInstruction | None,
        outcome: GridOutcome,
    ) -> GridAnswer:
        dry = await self._operations.order(wanted, None, dry_run=True)
        obstacle = dry if isinstance(dry, Refusal) else dry.obstacle
        if obstacle is not None:
            return self._keep_refused(order, known, obstacle)
        if former is not None and wanted.start_s is not None:
            # It begins later than now: the former version must not run until then.
            await self._operations.cancel(former.dispatch_id, "its grid operator, who changed it")
        record = self._put(order, known, outcome, None)
        answer = await self._operations.order(wanted, _key_of(record), dry_run=False)
        if isinstance(answer, Refusal):  # pragma: no cover  # nothing happens between the dry run and this
            return self._keep_refused(order, known, answer)
        record = replace(record, dispatch_id=answer.dispatch.instruction.dispatch_id)
        self._write(record)
        await self._settled()
        return GridAnswer(outcome=outcome, dispatch_id=record.dispatch_id, feasibility=answer.dispatch.feasibility)

    async def _withdraw(self, program: str, key: str, why: str) -> GridAnswer:
        known = self._records.get((program, key))
        if known is None:
            return _refused(
                Refusal(
                    kind=RefusalKind.NOT_FOUND,
                    sentence=f"Program '{program}' has no order '{key}'.",
                    remedy="Check the program and the order's own name.",
                )
            )
        live = self._live_of(known)
        if live is not None:
            await self._operations.cancel(live.dispatch_id, f"its grid operator ({why})" if why else "its grid operator")
        over = live is None and known.order.end_s <= self.now_s()
        outcome = GridOutcome.OVER if over else GridOutcome.WITHDRAWN
        self._write(replace(known, outcome=outcome, heard_at_s=self.now_s()))
        await self._settled()
        return GridAnswer(outcome=outcome, dispatch_id=known.dispatch_id)

    async def _look_after_order(self, record: GridOrderRecord) -> None:
        """Place what lay too far ahead, or goes on for longer than one dispatch may last. What a person ended stays ended."""
        program, now_s = self._programs.get(record.order.program), self.now_s()
        former = self._live_of(record)
        if program is None or record.order.end_s <= now_s or not self._is_due(record):
            return
        wanted = bounded(program, record.order, now_s, self._settings.max_lead_s)
        if isinstance(wanted, DispatchOrder):
            wanted = replace(wanted, replaces=former.dispatch_id if former else None)
            answer = await self._order(record.order, wanted, record, former, GridOutcome.ACCEPTED)
            self._audit(record.order.program, "order", record.order.key, record.order, answer)

    def _is_due(self, record: GridOrderRecord) -> bool:
        """It has no dispatch yet, or its dispatch has lasted as long as one may."""
        dispatch_id = record.dispatch_id or self._found_again(record)
        view = None if dispatch_id is None else self._operations.dispatch(dispatch_id)
        if not isinstance(view, DispatchView):
            return dispatch_id is None
        instruction = view.instruction
        if instruction.state in LIVE_STATES:
            return False
        return instruction.ends_as is DispatchState.COMPLETED and instruction.end_s - instruction.start_s >= MAX_DURATION_S - 1.0

    def _is_news(self, program: str, refusal: Refusal) -> bool:
        """A refused set-point is said again every four seconds: the same refusal is written down now and then."""
        said, at_s = self._refused_last.get(program, ("", -inf))
        news = said != refusal.sentence or self.now_s() - at_s >= SAID_AGAIN_S
        if news:
            self._refused_last[program] = (refusal.sentence, self.now_s())
        return news

    # --- streams -------------------------------------------------------------------------------------------------------------

    async def _tell(self, name: str, discharge_power_w: float, said_at_s: float | None, sequence: int | None) -> tuple[GridAnswer, bool]:
        program = self._programs.get(name)
        if program is None:
            return _refused(_no_program(name)), False
        wrong = beyond(program, discharge_power_w)
        if wrong is not None:
            return _refused(wrong), False
        now_s = self.now_s()
        if discharge_power_w > 0.0:
            self._asked_since[name] = now_s
        known = self._records.get((name, STREAM_KEY))
        live, opened = self._live_of(known), False
        if live is None:
            ended = self._ended_by_a_person(known)
            if discharge_power_w == 0.0:
                if known is not None and ended:
                    self._write(replace(known, outcome=GridOutcome.WITHDRAWN, heard_at_s=now_s))
                    await self._settled()
                return GridAnswer(outcome=GridOutcome.UNCHANGED), False
            if ended:
                return _refused(_ended(program)), False
            order = GridOrder(
                program=name,
                key=STREAM_KEY,
                steps=(GridStep(from_s=now_s, discharge_power_w=program.max_discharge_power_w),),
                end_s=now_s + program.stream_window_s,
            )
            answer = await self._order(order, streamed(program), known, None, GridOutcome.ACCEPTED)
            if answer.dispatch_id is None:
                return answer, True
            dispatch_id, opened = answer.dispatch_id, True
        else:
            dispatch_id = live.dispatch_id
        value = StreamValue(discharge_power_w=discharge_power_w, sequence=sequence, said_at_s=said_at_s)
        told = await self._operations.tell(dispatch_id, value)
        if isinstance(told, Refusal):
            return _refused(told), opened
        outcome = GridOutcome.ACCEPTED if told.outcome == "taken" else GridOutcome.UNCHANGED
        return GridAnswer(outcome=outcome, dispatch_id=dispatch_id), opened

    def _ended_by_a_person(self, record: GridOrderRecord | None) -> bool:
        """The dispatch of a stream was cancelled, or aborted by the emergency stop, and its source has not asked for nothing since."""
        if record is None or record.dispatch_id is None or record.outcome not in (GridOutcome.ACCEPTED, GridOutcome.CHANGED):
            return False
        view = self._operations.dispatch(record.dispatch_id)
        return isinstance(view, DispatchView) and view.instruction.ends_as in (DispatchState.CANCELLED, DispatchState.ABORTED)

    async def _look_after_stream(self, record: GridOrderRecord) -> None:
        program, live, now_s = self._programs.get(record.order.program), self._live_of(record), self.now_s()
        if program is None or live is None:
            return
        window_s = program.stream_window_s
        view = self._operations.dispatch(live.dispatch_id)
        assert isinstance(view, DispatchView), "it is live"
        asked_s = self._asked_since.setdefault(record.order.program, now_s)
        resting = view.stream is not None and view.stream.phase in {phase.value for phase in AT_REST}
        if now_s - asked_s > IDLE_STREAM_S and (resting or not view.target_power_w):
            await self._operations.cancel(live.dispatch_id, "us: its stream asked for nothing")
            self._write(replace(record, outcome=GridOutcome.WITHDRAWN))
        elif live.end_s - now_s < window_s / 2 and live.start_s + MAX_DURATION_S > now_s + window_s:
            await self._operations.amend(live.dispatch_id, Amendment(end_s=now_s + window_s), "its stream, which goes on")

    # --- records -------------------------------------------------------------------------------------------------------------

    def _live_of(self, record: GridOrderRecord | None) -> DispatchInstruction | None:
        """The dispatch of an order, if it is scheduled or runs."""
        if record is None:
            return None
        dispatch_id = record.dispatch_id or self._found_again(record) or self._former_of(record)
        view = None if dispatch_id is None else self._operations.dispatch(dispatch_id)
        return view.instruction if isinstance(view, DispatchView) and view.instruction.state in LIVE_STATES else None

    def _found_again(self, record: GridOrderRecord) -> DispatchId | None:
        """A crash came between the dispatch and its record."""
        key = _key_of(record)
        found = (view.instruction for view in self._operations.dispatches() if view.instruction.idempotency_key == key)
        return next((instruction.dispatch_id for instruction in found), None)

    def _former_of(self, record: GridOrderRecord) -> DispatchId | None:
        """A crash came between the record of a change and its dispatch: what the version before it left live."""
        former = {_key_of(replace(record, revision=revision)) for revision in range(1, record.revision)}
        found = (view.instruction for view in self._operations.dispatches() if view.instruction.idempotency_key in former)
        return next((instruction.dispatch_id for instruction in found if instruction.state in LIVE_STATES), None)

    def _answer_of(self, record: GridOrderRecord, outcome: GridOutcome) -> GridAnswer:
        live = self._live_of(record)
        return GridAnswer(
            outcome=outcome, dispatch_id=live.dispatch_id if live else record.dispatch_id, feasibility=live.feasibility if live else None
        )

    def _keep_refused(self, order: GridOrder, known: GridOrderRecord | None, refusal: Refusal) -> GridAnswer:
        """What was refused changes nothing: a former version of the order stands."""
        if self._live_of(known) is None:
            self._put(order, known, GridOutcome.REFUSED, None, f"{refusal.sentence} {refusal.remedy}")
        return _refused(refusal)

    async def _record(
        self, order: GridOrder, known: GridOrderRecord | None, outcome: GridOutcome, dispatch: DispatchId | None
    ) -> GridOrderRecord:
        record = self._put(order, known, outcome, dispatch)
        await self._settled()
        return record

    def _put(
        self, order: GridOrder, known: GridOrderRecord | None, outcome: GridOutcome, dispatch: DispatchId | None, sentence: str = ""
    ) -> GridOrderRecord:
        record = GridOrderRecord(
            order=order,
            revision=known.revision + 1 if known else 1,
            heard_at_s=self.now_s(),
            outcome=outcome,
            dispatch_id=dispatch,
            sentence=sentence,
        )
        self._write(record)
        return record

    def _write(self, record: GridOrderRecord) -> None:
        self._records[record.order.program, record.order.key] = record
        self._journal.put(DocumentKind.GRID_ORDER, f"{record.order.program}/{record.order.key}", record)

    def _forget(self, record: GridOrderRecord) -> None:
        del self._records[record.order.program, record.order.key]
        self._journal.delete(DocumentKind.GRID_ORDER, f"{record.order.program}/{record.order.key}")

    def _may_order(self, program: Program, now_s: float) -> bool:
        """A bucket of a minute's orders."""
        room, filled_s = self._room_for.get(program.name, (program.max_orders_per_min, -inf))
        room = min(program.max_orders_per_min, room + (now_s - filled_s) / 60.0 * program.max_orders_per_min)
        allowed = room >= 1.0
        self._room_for[program.name] = (room - 1.0 if allowed else room, now_s)
        return allowed

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


def _key_of(record: GridOrderRecord) -> str:
    return f"{record.order.program}/{record.order.key}/{record.revision}"


def _refused(refusal: Refusal) -> GridAnswer:
    return GridAnswer(outcome=GridOutcome.REFUSED, refusal=refusal)


def _no_program(name: str) -> Refusal:
    return Refusal(
        kind=RefusalKind.NOT_FOUND,
        sentence=f"There is no program '{name}'.",
        remedy="Name it in a [[programs]] entry of the settings.",
    )


def _too_often(program: Program) -> Refusal:
    return Refusal(
        kind=RefusalKind.TOO_OFTEN,
        sentence=f"Program '{program.name}' orders more than {program.max_orders_per_min:g} times a minute.",
        remedy="Send fewer changes, or a stream of set-points.",
    )


def _ended(program: Program) -> Refusal:
    return Refusal(
        kind=RefusalKind.STOPPED,
        sentence=f"A person ended the dispatch of program '{program.name}'; it follows set-points again once it was asked for nothing.",
        remedy="Send a set-point of 0 once, then the one that is wanted.",
    )
