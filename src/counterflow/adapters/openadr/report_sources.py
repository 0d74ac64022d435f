"""Gathers what a report says of each of its intervals, by asking `GridSide`: settlement, telemetry, orders and offers."""

import asyncio
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence

from msgspec.structs import replace

from counterflow.adapters.openadr.models import Event
from counterflow.adapters.openadr.report_figures import SpanFigures, operating_state, planned_power_w, seen_by_telemetry, settled
from counterflow.adapters.openadr.report_plan import MOST_SPANS, DueReport, pieces
from counterflow.adapters.openadr.report_settings import ReportSettings
from counterflow.adapters.openadr.reports import STATE, UPWARD, needs_offers
from counterflow.adapters.openadr.schedule import event_of
from counterflow.adapters.openadr.timeline import Span
from counterflow.domain.grid import GridOrderRecord, GridOutcome, PoolTelemetry, Program
from counterflow.domain.ids import DispatchId, PoolId
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.offers import Offer
from counterflow.domain.settlement import IntervalFigures
from counterflow.domain.views import Refusal
from counterflow.engine.grid_side import GridSide

KEPT_RECORDS = 7200
"""Of each pool so many records of telemetry are at hand: two hours at one a second."""
_PAGE = 1000
_WHOLE = 0.99
_HORIZON_S = 86_400.0
_LEAST_WINDOW_S = 60.0


class Sources:
    """Of one VEN. Telemetry is read once and kept for a while, since reports ask for the past."""

    def __init__(self, grid: GridSide, settings: ReportSettings) -> None:
        self._grid = grid
        self._settings = settings
        self._records: dict[PoolId, deque[PoolTelemetry]] = {}

    async def listen(self, pool: PoolId) -> None:
        """Read what telemetry has come since. A pool that is not recorded has none."""
        records = self._records.setdefault(pool, deque(maxlen=KEPT_RECORDS))
        try:
            newest = self._grid.telemetry(pool).sequence
        except KeyError:
            return
        last = records[-1].sequence if records else max(0, newest - KEPT_RECORDS)
        while last < newest:
            page = await self._grid.telemetry_since(pool, last, _PAGE)
            if not page:
                return
            records.extend(page)
            last = page[-1].sequence

    async def figures(self, event: Event, program: Program, due: DueReport) -> list[SpanFigures]:
        """One for each interval of the report, in their order."""
        if not due.historical:
            return await self._ahead(program, due, self._records_of(event, program)[0])
        return (await self.history(event, program, [due]))[0]

    async def history(self, event: Event, program: Program, dues: Sequence[DueReport]) -> list[list[SpanFigures]]:
        """The same for historical reports of one series, settled in one go."""
        records, refused = self._records_of(event, program)
        cut = [self._cut(due) for due in dues]
        told = await self._settled([span for spans in cut for span in spans], records)
        records_of_pool = list(self._records.get(program.pool, ()))
        at_s = [one.at_s for one in records_of_pool]

        def one_past(span: Span) -> SpanFigures:
            inside = records_of_pool[bisect_left(at_s, span.from_s) : bisect_left(at_s, span.to_s)]
            return _one_past(span, inside, told.get((span.from_s, span.to_s), ()), refused)

        found = [[one_past(span) for span in spans] for spans in cut]
        for due, figures in zip(dues, found, strict=True):
            if figures and needs_offers(due):
                offer, upward = await self._offers(program, due, figures[-1].duration_s, None)
                figures[-1] = replace(figures[-1], offer=offer, upward=upward, live=self._live(program.pool))
        return found

    def _records_of(self, event: Event, program: Program) -> tuple[Sequence[GridOrderRecord], bool]:
        """The orders that a report is about, and whether all were refused; a report-only event is about whatever the pool does."""
        records = [one for one in self._grid.standing(program.name) if event_of(one.order.key) == event.id]
        refused = bool(records) and all(one.outcome is GridOutcome.REFUSED for one in records)
        return records or self._grid.standing(program.name), refused

    def state_now(self, event: Event, program: Program) -> str | None:
        """OPERATING_STATE at this moment: the answer to an order, since OpenADR 3 knows no other."""
        _, refused = self._records_of(event, program)
        live = self._live(program.pool)
        return None if live is None else operating_state(live, None, refused=refused)

    def _cut(self, due: DueReport) -> list[Span]:
        if due.descriptors[0].report_intervals == "INTERVALS":
            return list(due.spans)
        longest_s = max(self._settings.sub_interval_s, (due.to_s - due.from_s) / MOST_SPANS)
        cut = [edges for span in due.spans for edges in pieces(span, longest_s)]
        return [Span(from_s, to_s, number) for number, (from_s, to_s) in enumerate(cut)]

    async def _settled(self, spans: Sequence[Span], records: Sequence[GridOrderRecord]) -> dict[tuple[float, float], list[IntervalFigures]]:
        """Figures of the dispatches that cover an interval as a whole; what lies outside of their windows they know nothing of."""
        windows = {one.dispatch_id: (one.order.steps[0].from_s, one.order.end_s) for one in records if one.dispatch_id is not None}
        told: dict[tuple[float, float], list[IntervalFigures]] = {}
        for span in spans:
            inside = {id_: _overlap(window, span) for id_, window in windows.items()}
            if sum(inside.values()) >= _WHOLE * (span.to_s - span.from_s):
                told[span.from_s, span.to_s] = []
        for dispatch_id, window in windows.items():
            mine = [one for one in told if _overlap(window, Span(*one, 0)) > 0.0]
            for one, figures in zip(mine, await self._intervals(dispatch_id, mine), strict=True):
                if figures is not None:
                    told[one].append(figures)
        return told

    async def _intervals(self, dispatch_id: DispatchId, wanted: Sequence[tuple[float, float]]) -> list[IntervalFigures | None]:
        edges = sorted({edge for one in wanted for edge in one})
        if len(edges) < 2:
            return [None] * len(wanted)
        answer = await self._grid.intervals(dispatch_id, edges)
        if isinstance(answer, Refusal):
            return [None] * len(wanted)
        by_start = {one.start_s: one for one in answer}
        return [by_start.get(from_s) for from_s, _ in wanted]

    async def _ahead(self, program: Program, due: DueReport, records: Sequence[GridOrderRecord]) -> list[SpanFigures]:
        now_s, offers = self._grid.now_s(), 0
        found: list[SpanFigures] = []
        for span in due.spans:
            start_s = max(span.from_s, now_s)
            offer: Offer | None = None
            upward: Offer | None = None
            near = span.to_s - start_s >= _LEAST_WINDOW_S and start_s <= now_s + _HORIZON_S
            if needs_offers(due) and near and offers < self._settings.most_offers:
                offers += 1
                offer, upward = await self._offers(program, due, span.to_s - start_s, start_s if start_s > now_s else None)
                await asyncio.sleep(0)
            around_now = span.from_s <= now_s < span.to_s
            live = self._live(program.pool) if around_now else None
            found.append(
                SpanFigures(
                    from_s=span.from_s,
                    to_s=span.to_s,
                    interval_id=span.interval_id,
                    target_power_w=planned_power_w(records, span.from_s, span.to_s),
                    state=None if live is None else operating_state(live, None, refused=False),
                    live=live,
                    offer=offer,
                    upward=upward,
                )
            )
        return found

    async def _offers(self, program: Program, due: DueReport, window_s: float, start_s: float | None) -> tuple[Offer | None, Offer | None]:
        """What can be exported more, and, where it is asked for, what of that and of charging that is given up counts for the program."""
        relative = program.mode is DispatchMode.RELATIVE
        offer = await self._offer(program.pool, window_s, start_s, DispatchMode.NET_EXPORT if relative else program.mode)
        if not relative or all(one.payload_type != UPWARD for one in due.descriptors):
            return offer, None
        return offer, await self._offer(program.pool, window_s, start_s, DispatchMode.RELATIVE)

    async def _offer(self, pool: PoolId, window_s: float, start_s: float | None, mode: DispatchMode) -> Offer | None:
        answer = await self._grid.offer(pool, window_s, None, start_s, mode)
        return None if isinstance(answer, Refusal) else answer

    def _live(self, pool: PoolId) -> PoolTelemetry | None:
        try:
            return self._grid.telemetry(pool)
        except KeyError:
            return None


def _one_past(span: Span, seen: Sequence[PoolTelemetry], parts: Sequence[IntervalFigures], refused: bool) -> SpanFigures:
    by_telemetry = seen_by_telemetry(span.from_s, span.to_s, span.interval_id, seen)
    one = settled(span.from_s, span.to_s, span.interval_id, parts, by_telemetry) if parts else by_telemetry
    if refused and one.state is not None and "_" in one.state:
        one = replace(one, state=f"{one.state.partition('_')[0]}_OPTED_OUT")
    return one


def asks_for_state(event: Event) -> bool:
    """The operator wants to hear what we make of its order."""
    return any(one.payload_type == STATE for one in event.report_descriptors)


def _overlap(window: tuple[float, float], span: Span) -> float:
    return max(0.0, min(window[1], span.to_s) - max(window[0], span.from_s))
