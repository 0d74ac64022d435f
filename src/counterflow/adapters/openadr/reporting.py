"""Files the reports that events ask for: each once, corrected when late meter values come, and over restarts never twice.

What is due says `report_plan`, what is in it `report_sources` and `reports`, and that it is sent once `report_filing`.
"""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Protocol, TypeVar

import msgspec
import structlog
from msgspec import Struct

from counterflow.adapters.openadr.client import VtnError
from counterflow.adapters.openadr.events import routes
from counterflow.adapters.openadr.introduction import Introduction
from counterflow.adapters.openadr.models import DATA_QUALITY, AnyObject, Event, ReportDescriptor
from counterflow.adapters.openadr.report_figures import SpanFigures
from counterflow.adapters.openadr.report_filing import Filing, ReportTransport, VenName
from counterflow.adapters.openadr.report_plan import DueReport, Slots, cut_short, reports_due, slots_of
from counterflow.adapters.openadr.report_settings import ReportSettings
from counterflow.adapters.openadr.report_sources import Sources, asks_for_state
from counterflow.adapters.openadr.reports import STATE, STORAGE, Author, cannot_tell, needs_offers, report_of
from counterflow.adapters.openadr.timeline import Span, UnclearError
from counterflow.domain.grid import Program, Wire
from counterflow.engine.grid_side import GridSide

CATCH_UP_S = 86_400.0
"""After a start reports are filed that were due so long ago at most; those that were filed are corrected as before."""
PERIOD_S = 1.0
_FIRST_RETRY_S = 5.0
_LONGEST_RETRY_S = 300.0
_FIRST_RECHECK_S = 60.0
_FORGET_EVERY_S = 600.0
_ANSWER_AFTER_S = 2.0
"""So long after an event was read its order is surely placed."""
_RECHECK_SHARE = 0.25
_CONFLICT, _NOT_FOUND = 409, 404
_A = TypeVar("_A", bound=AnyObject)

log = structlog.get_logger("counterflow")


class EventSource(Protocol):
    """Whoever follows the events, and knows what was read last."""

    @property
    def introduction(self) -> Introduction | None:
        """None = not introduced yet."""
        ...

    @property
    def events(self) -> Mapping[str, Event]:
        """By id."""
        ...


class _Task(Struct):
    """A report that is to be filed, or to be looked at again."""

    event: Event
    program: Program
    due: DueReport
    ready_s: float
    failures: int = 0
    answers: bool = False
    """It answers the order: OPERATING_STATE at this moment."""


class _Sent(Struct):
    """A historical report that is filed, and what was said: late meter values may change it."""

    due: DueReport
    figures: Sequence[SpanFigures]


class _Series(Struct):
    """The filed reports of one series of an event, looked at together."""

    event: Event
    program: Program
    again_s: float
    sent: list[_Sent] = []


class _Known(Struct):
    event: Event
    program: Program
    slots: Slots | None
    looked_s: float


class Reporting:
    """`run()` it as a task; `step()` is one round."""

    def __init__(self, name: VenName, settings: ReportSettings, grid: GridSide, transport: ReportTransport, source: EventSource) -> None:
        self.counts: Counter[str] = Counter()
        """Reports by what became of them: posted, corrected, unchanged, refused, failed."""
        self._name = name
        self._settings = settings
        self._grid = grid
        self._source = source
        self._sources = Sources(grid, settings)
        self._known: dict[str, _Known] = {}
        self._tasks: dict[tuple[str, str], _Task] = {}
        self._series: dict[tuple[str, str], _Series] = {}
        self._told: dict[tuple[str, str], str] = {}
        self._filing = Filing(name, grid, transport, self.counts)
        self._forgot_at_s = float("-inf")

    async def run(self) -> None:
        """For ever. A fault of ours with one report leaves the others."""
        while True:
            try:
                await self.step()
            except Exception:
                log.exception("OpenADR reporting failed", vtn=self._name.vtn)
            await asyncio.sleep(PERIOD_S)

    async def step(self) -> None:
        """Sees what is due, and files it."""
        introduction = self._source.introduction
        if introduction is None:
            return
        now_s = self._grid.now_s()
        self._look(introduction, now_s)
        for pool in {known.program.pool for known in self._known.values()}:
            await self._sources.listen(pool)
        for key, task in sorted(self._tasks.items(), key=lambda item: item[1].ready_s):
            if task.ready_s <= now_s and not await self._attend(key, task):
                break  # nobody answers: the others wait, too
        for key, series in list(self._series.items()):
            if series.again_s <= now_s:
                await self._recheck(key, series)

    @property
    def waiting(self) -> int:
        """Reports that are due and not filed yet."""
        now_s = self._grid.now_s()
        return sum(task.due.at_s <= now_s for task in self._tasks.values())

    # --- what is due ---------------------------------------------------------------------------------------------------------

    def _look(self, introduction: Introduction, now_s: float) -> None:
        wanting = {event_id: event for event_id, event in self._source.events.items() if event.report_descriptors}
        for event_id in self._known.keys() - wanting.keys():
            self._gone(self._known.pop(event_id), now_s)
            self._quieten(event_id)
        for event in wanting.values():
            mine = routes(event, introduction)
            if mine:
                self._look_at(event, mine[0][1], introduction, now_s)
        self._forget(now_s)

    def _look_at(self, event: Event, program: Program, introduction: Introduction, now_s: float) -> None:
        known = self._known.get(event.id)
        if known is None or known.event != event:
            slots = self._slots(event, program, introduction)
            if known is None:
                known = self._known[event.id] = _Known(event, program, slots, now_s - CATCH_UP_S)
                self._find_filed(known, now_s)
                unknown = cannot_tell(event.report_descriptors)
                if unknown:
                    log.info("OpenADR report not possible", vtn=self._name.vtn, event_id=event.id, types=unknown)
                self._answer(event, program, slots, now_s, again=False)
            else:
                if slots is None and known.slots is not None:
                    self._gone(known, now_s, event)
                self._answer(event, program, slots, now_s, again=True)
            known.event, known.slots = event, slots
        if known.slots is None:
            return
        for due in reports_due(event, known.slots, known.looked_s, now_s):
            self._plan(event, program, due, due.at_s + (self._settings.grace_s if due.historical else 0.0))
        known.looked_s = now_s

    def _answer(self, event: Event, program: Program, slots: Slots | None, now_s: float, *, again: bool) -> None:
        """OPERATING_STATE at once, for the order as it stands now; after a restart it is answered already."""
        first = slots.at(0) if slots is not None and asks_for_state(event) else None
        name = f"{(event.event_name or event.id)[:96]}/state"
        if first is None or (not again and self._filing.known(event.id, name) is not None):
            return
        wishes = [next((one for one in event.report_descriptors if one.payload_type == kind), None) for kind in (STATE, DATA_QUALITY)]
        due = DueReport(name, now_s, (Span(first.from_s, first.to_s, first.interval_id),), tuple(one for one in wishes if one is not None))
        self._tasks[event.id, name] = _Task(event, program, due, now_s + _ANSWER_AFTER_S, answers=True)

    def _gone(self, known: _Known, now_s: float, event: Event | None = None) -> None:
        """The event was cancelled: what has passed of it is reported all the same."""
        if known.slots is not None:
            for due in cut_short(known.event, known.slots, now_s):
                self._plan(event or known.event, known.program, due, now_s + self._settings.grace_s)

    def _slots(self, event: Event, program: Program, introduction: Introduction) -> Slots | None:
        anchor = self._grid.notes(Wire.OPENADR).get(f"{self._name.vtn}/now/{event.id}")
        try:
            return slots_of(event, introduction.ven_id or program.name, self._grid.now_s() if anchor is None else float(anchor))
        except UnclearError:
            return None  # whoever follows the event says why

    def _find_filed(self, known: _Known, now_s: float) -> None:
        """After a restart reports are corrected that were filed long before it."""
        if known.slots is None:
            return
        for due in reports_due(known.event, known.slots, now_s - self._settings.correct_for_s, known.looked_s):
            if self._is_filed(known.event, due):
                self._keep(known.event, known.program, _Sent(due, ()))

    def _is_filed(self, event: Event, due: DueReport) -> bool:
        """It is at the VTN, and late meter values may change it."""
        filed = self._filing.known(event.id, due.name)
        return filed is not None and filed.report_id != "" and due.historical and not needs_offers(due)

    def _plan(self, event: Event, program: Program, due: DueReport, ready_s: float) -> None:
        if self._is_filed(event, due):
            self._keep(event, program, _Sent(due, ()))  # before a restart
            return
        self._tasks[event.id, due.name] = _Task(event, program, due, ready_s)

    def _forget(self, now_s: float) -> None:
        """Notes of reports that nobody corrects any more."""
        if now_s - self._forgot_at_s < _FORGET_EVERY_S:
            return
        self._forgot_at_s = now_s
        self._filing.forget(now_s - self._settings.correct_for_s - 2.0 * CATCH_UP_S)

    # --- filing --------------------------------------------------------------------------------------------------------------

    async def _attend(self, key: tuple[str, str], task: _Task) -> bool:
        """False = the VTN could not be reached."""
        event, due = task.event, task.due
        try:
            figures = await self._sources.figures(event, task.program, due)
            if task.answers:
                figures = [msgspec.structs.replace(figures[0], state=self._sources.state_now(event, task.program))]
            await self._file_all(event, task.program, due, figures)
        except VtnError as error:
            self._failed(key, task, error)
            return error.status is not None
        except ValueError as fault:  # what may not be sent: it would never be
            self._give_up(key, task, f"cannot be written: {fault}")
            return True
        except Exception as fault:
            log.exception("OpenADR report failed", vtn=self._name.vtn, event_id=event.id, report=due.name)
            self._give_up(key, task, f"cannot be made: a fault of ours ({type(fault).__name__}; the log says where)")
            return True
        self._say(task, None)
        self._tasks.pop(key, None)
        if due.historical and not task.answers and not needs_offers(due):
            self._keep(event, task.program, _Sent(due, figures))
        return True

    def _keep(self, event: Event, program: Program, sent: _Sent) -> None:
        """It is looked at again, in case that late meter values come."""
        key = (event.id, sent.due.name.rpartition(".")[0])
        series = self._series.setdefault(key, _Series(event, program, self._grid.now_s() + _FIRST_RECHECK_S))
        series.event, series.program = event, program
        series.sent = [one for one in series.sent if one.due.name != sent.due.name] + [sent]

    async def _recheck(self, key: tuple[str, str], series: _Series) -> None:
        """Late meter values make another version: what differs is corrected. Reports that settlement knows nothing of stand as they are."""
        now_s = self._grid.now_s()
        series.sent = [one for one in series.sent if now_s - one.due.at_s < self._settings.correct_for_s]
        if not series.sent or series.event.id not in self._source.events:
            del self._series[key]
            return
        newest_s = max(one.due.at_s for one in series.sent)
        series.again_s = now_s + max(_FIRST_RECHECK_S, _RECHECK_SHARE * (now_s - newest_s))
        try:
            found = await self._sources.history(series.event, series.program, [one.due for one in series.sent])
            for one, figures in zip(series.sent, found, strict=True):
                await asyncio.sleep(0)  # there may be a thousand, and control goes on beside
                if any(figure.version for figure in figures):
                    figures = [_as_seen(new, old) for new, old in zip_longest(figures, one.figures)]
                    if any(_seen_only(wish) for wish in one.due.descriptors) and any(figure.state is None for figure in figures):
                        continue  # what telemetry saw then is gone, and the report that stands says it
                    await self._file_all(series.event, series.program, one.due, figures)
                    one.figures = figures
        except VtnError as error:
            log.info("OpenADR correction waits", vtn=self._name.vtn, event_id=series.event.id, text=str(error))
        except Exception:
            log.exception("OpenADR correction failed", vtn=self._name.vtn, event_id=series.event.id)

    async def _file_all(self, event: Event, program: Program, due: DueReport, figures: Sequence[SpanFigures]) -> None:
        """What was, and what can surely be given at each confidence. Raises `VtnError`, ValueError."""
        author = Author(
            event_id=event.id,
            program_id=event.program_id,
            client_name=self._name.client_name,
            program=program,
            resource_name=self._name.resource_name,
            meter_accuracy_frac=self._settings.meter_accuracy_frac,
            charge_level_in_percent=self._settings.charge_level_in_percent,
        )
        for confidence in (None, *self._settings.confidences) if needs_offers(due) else (None,):
            report = report_of(due, figures, author, confidence)
            if report is not None:
                await self._filing.file(report)

    # --- trouble -------------------------------------------------------------------------------------------------------------

    def _failed(self, key: tuple[str, str], task: _Task, error: VtnError) -> None:
        now_s = self._grid.now_s()
        passing = error.status is None or error.status >= 500 or error.status in (401, 403, 429)
        if not passing or now_s - task.due.at_s > self._settings.give_up_after_s:
            self._give_up(key, task, f"is not taken: {error}")
            return
        self.counts["failed"] += 1
        task.failures += 1
        pause_s = min(_FIRST_RETRY_S * 2.0 ** (task.failures - 1), _LONGEST_RETRY_S)
        task.ready_s = now_s + pause_s
        if task.failures == 3:
            self._say(task, f"is not taken yet: {error}")

    def _give_up(self, key: tuple[str, str], task: _Task, why: str) -> None:
        self.counts["refused"] += 1
        self._tasks.pop(key, None)
        log.warning("OpenADR report given up", vtn=self._name.vtn, event_id=task.event.id, report=task.due.name, text=why)
        if task.event.id in self._source.events:  # of an event that is gone no VTN needs to take a report
            self._say(task, why)

    def _say(self, task: _Task, why: str | None) -> None:
        key = (task.event.id, task.due.name)
        if why is None and key not in self._told:
            return
        subject = self._told.setdefault(key, f"{self._name.vtn}: report {task.due.name} of {task.event.id}")
        self._grid.alarm(Wire.OPENADR, subject, None if why is None else f"Report '{task.due.name}' of event '{task.event.id}' {why}")
        if why is None:
            del self._told[key]

    def _quieten(self, event_id: str) -> None:
        """Nobody waits for reports of an event that is gone."""
        for key in [key for key in self._told if key[0] == event_id]:
            self._grid.alarm(Wire.OPENADR, self._told.pop(key), None)


def _seen_only(wish: ReportDescriptor) -> bool:
    """Telemetry alone knows it."""
    return wish.payload_type in (STATE, *STORAGE) or (wish.reading_type or "").upper() == "PEAK"


def _as_seen(new: SpanFigures, old: SpanFigures | None) -> SpanFigures:
    """What telemetry saw is kept: its records may be gone by now."""
    if old is None:
        return new
    return msgspec.structs.replace(
        new,
        state=old.state if old.state is not None else new.state,
        at_end=old.at_end if old.at_end is not None else new.at_end,
        peak_power_w=old.peak_power_w if old.peak_power_w is not None else new.peak_power_w,
    )
