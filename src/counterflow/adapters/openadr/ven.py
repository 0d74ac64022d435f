"""The VEN of one VTN: it introduces itself, reads events again and again, and sees to it that our orders say what they say (grid.md §1.6).

Polling is the base; webhook and MQTT only hint that there is news. Where the VTN is lost everything that is known goes on to its end. An
event is gone only when the VTN itself says so: a listing that is cut short by a fault, or by a page that slipped, cancels nothing.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Protocol
from urllib.parse import quote

import msgspec
import structlog
from msgspec import Struct
from msgspec.structs import replace

from counterflow.adapters.openadr import models
from counterflow.adapters.openadr.charge_state import ChargePlan, ChargePlans
from counterflow.adapters.openadr.client import VtnClient, VtnError
from counterflow.adapters.openadr.events import Agenda, Refused, plan_of
from counterflow.adapters.openadr.introduction import Introduction, introduce
from counterflow.adapters.openadr.schedule import Stretch, Withdrawal, changes, event_of, is_usable
from counterflow.adapters.openadr.settings import VtnSettings
from counterflow.adapters.openadr.timeline import says_now
from counterflow.domain.grid import CapacityBound, GridOrder, GridOutcome, PoolTelemetry, Program, Wire
from counterflow.domain.ids import PoolId
from counterflow.domain.views import Refusal, RefusalKind
from counterflow.engine.grid_side import GridSide

INTRODUCE_AGAIN_S = 120.0
_JITTER_FRAC = 0.1
_LEAST_PAUSE_S = 0.5
"""News that come faster than this are read together."""
_FORGET_AFTER_S = 86_400.0
_REMEDY = "Correct the event at the VTN, or what is agreed in the settings of the program."

log = structlog.get_logger("counterflow")


class Push(Protocol):
    """What hints at news."""

    @property
    def active(self) -> bool:
        """It would tell of news now."""
        ...

    async def greet(self, introduction: Introduction) -> None:
        """The VEN is introduced, for the first time or again."""
        ...

    def troubles(self) -> Sequence[str]:
        """Why it does not tell, in sentences."""
        ...


class VenState(Struct):
    """What people and reports may want to know. Times are epoch seconds."""

    introduction: Introduction | None = None
    events: Mapping[str, models.Event] = {}
    """As read last, by id."""
    read_at_s: float | None = None
    missed: int = 0
    """Polls in a row that brought nothing."""


class Ven:
    """`run()` it as a task; `poll()` is one round. Where `push` hints at news it reads less often."""

    def __init__(
        self,
        settings: VtnSettings,
        grid: GridSide,
        client: VtnClient,
        *,
        push: Push | None = None,
        random: Random | None = None,
    ) -> None:
        """Raises KeyError for a program that is not there (the settings are checked before)."""
        self.settings = settings
        self.client = client
        self.state = VenState()
        self.counts: Counter[str] = Counter()
        """Polls by outcome."""
        self.hints: Counter[str] = Counter()
        """By the way they came."""
        self._grid = grid
        self._push = push
        self._random = random or Random()
        known = {program.name: program for program in grid.programs(Wire.OPENADR)}
        self._programs: dict[str, Program] = {one.program: known[one.program] for one in settings.programs}
        self._news = asyncio.Event()
        self._introduced_at_s = float("-inf")
        self._refused: dict[tuple[str, str], tuple[GridOrder, str]] = {}
        self._raised: set[str] = set()
        self._passed_over: set[str] = set()

    # --- running -------------------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """For ever."""
        while True:
            self._news.clear()  # what is hinted at while we read may not be in what we read
            await self.poll()
            await asyncio.sleep(_LEAST_PAUSE_S)
            try:
                async with asyncio.timeout(self.pause_s()):
                    await self._news.wait()
            except TimeoutError:
                continue

    def hint(self, way: str) -> None:
        """There is news at the VTN, or so somebody says."""
        self.hints[way] += 1
        self._news.set()

    def pause_s(self) -> float:
        """Until the next poll: with a jitter, so that many VENs do not come at once."""
        told = self._push is not None and self._push.active and not self.state.missed
        period_s = max(self.settings.poll_s, self.settings.poll_with_push_s) if told else self.settings.poll_s
        return period_s * self._random.uniform(1.0 - _JITTER_FRAC, 1.0 + _JITTER_FRAC)

    async def poll(self) -> None:
        """One round: read, and follow. A fault of theirs, or of ours, changes nothing and is an alarm."""
        try:
            alarms = await self._round()
        except VtnError as error:
            self._missed(str(error))
        except Exception as error:  # whatever it is, the next round is tried
            log.exception("OpenADR poll failed", vtn=self.settings.name)
            self._missed(f"VTN '{self.settings.name}' cannot be followed: a fault of ours ({type(error).__name__}; the log says where).")
        else:
            self.state.missed = 0
            self.counts["read"] += 1
            self._tell(alarms)

    async def _round(self) -> dict[str, str]:
        """Read and follow; returns what is to be an alarm. Raises `VtnError`."""
        introduction = await self._introduced()
        events, alarms = await self._read(introduction)
        self.state.events, self.state.read_at_s = events, self._grid.now_s()
        alarms |= await self._follow(events, introduction)
        if introduction.complaints:
            alarms["introduction"] = " ".join(introduction.complaints)
        if self._push is not None and (troubles := self._push.troubles()):
            alarms["push"] = " ".join(troubles)
        if (clock := self.client.clock_alarm) is not None:
            alarms["clock"] = clock
        return alarms

    def _missed(self, sentence: str) -> None:
        self.state.missed += 1
        self.counts["missed"] += 1
        log.warning("OpenADR poll missed", vtn=self.settings.name, text=sentence, missed=self.state.missed)
        if self.state.missed >= self.settings.missed_polls:
            self._raised.add("lost")
            words = f"{sentence} {_counted(self.state.missed)} in a row brought nothing; orders that are known go on to their end."
            self._grid.alarm(Wire.OPENADR, f"{self.settings.name}: lost", words)

    # --- reading -------------------------------------------------------------------------------------------------------------

    async def _introduced(self) -> Introduction:
        """Raises `VtnError`."""
        now_s, key = self._grid.now_s(), f"{self.settings.name}/ven"
        introduction = self.state.introduction
        if introduction is None or now_s - self._introduced_at_s > INTRODUCE_AGAIN_S:
            known_id = str(self._grid.notes(Wire.OPENADR).get(key) or "")
            self._introduced_at_s = now_s
            try:
                introduction = await introduce(self.client, self.settings, self._programs, known_id)
            except VtnError as error:
                if introduction is None:
                    raise
                # Events can be followed by what is known.
                return replace(introduction, complaints=(*introduction.complaints, str(error)))
            if introduction.ven_id != known_id:
                self._grid.note(Wire.OPENADR, key, introduction.ven_id)
            self.state.introduction = introduction
            if self._push is not None:
                await self._push.greet(introduction)
        return introduction

    async def _read(self, introduction: Introduction) -> tuple[dict[str, models.Event], dict[str, str]]:
        """All events of our programs, and an alarm for each that cannot be read. Raises `VtnError`."""
        events: dict[str, models.Event] = {}
        alarms: dict[str, str] = {}
        for program_id in introduction.followed:
            page = await self.client.listing(models.Event, "/events", [("programID", program_id)])
            for one in page.items:
                if one.program_id in introduction.followed and is_usable(one.id):
                    events[one.id] = one
                elif one.program_id in introduction.followed:
                    alarms[f"unreadable {one.id}"] = f"{self.settings.name}: the id {one.id[:40]!r} of an event cannot be used."
            alarms.update((f"unreadable {fault.object_id}", f"{self.settings.name}: {fault}.") for fault in page.unreadable)
        # What was there and is not in the listing is asked for by its id: a page may have slipped.
        for event_id in sorted((self._open_ids() | self.state.events.keys()) - events.keys()):
            if f"unreadable {event_id}" not in alarms:
                found = await self.client.one(models.Event, f"/events/{quote(event_id, safe='')}")
                if found is None:
                    self._introduced_at_s = float("-inf")  # perhaps all is gone: a VTN that was set up anew
                elif found.program_id in introduction.followed:
                    events[event_id] = found
        return events, alarms

    def _open_ids(self) -> set[str]:
        """Events of which something stands that is not over."""
        now_s, taken = self._grid.now_s(), (GridOutcome.ACCEPTED, GridOutcome.CHANGED)
        found = {event_of(bound.key) for name in self._programs for bound in self._grid.bounds(name)}
        for name in self._programs:
            records = self._grid.standing(name)
            found |= {event_of(one.order.key) for one in records if one.outcome in taken and one.order.end_s > now_s}
        return found

    # --- following -----------------------------------------------------------------------------------------------------------

    async def _follow(self, events: Mapping[str, models.Event], introduction: Introduction) -> dict[str, str]:
        """Make the orders say what the events say; returns what is to be an alarm."""
        now_s = self._grid.now_s()
        anchors, plans = self._anchors(events, now_s), self._charge_plans(now_s)
        # On a thread: many events are much to reckon, and control does not wait for them.
        agenda, wanted = await asyncio.to_thread(
            plan_of, tuple(events.values()), introduction, lambda event: anchors.get(event.id, now_s), now_s, plans
        )
        self._keep_charge_plans(plans)
        alarms = self._said(agenda, now_s)
        for one in agenda.refused:
            await self._decline(one, now_s)
        for name in wanted:
            await self._follow_program(name, wanted[name])
            await self._bound(name, agenda)
            alarms |= self._refusals(name, events)
        return alarms

    async def _follow_program(self, name: str, wanted: Sequence[Stretch]) -> None:
        for change in changes(name, wanted, self._grid.standing(name), self._grid.now_s()):
            key = (name, change.key)
            if isinstance(change, Withdrawal):
                self._refused.pop(key, None)
                await self._grid.withdraw(name, change.key, change.why)
            elif key not in self._refused or self._refused[key][0] != change:
                # What was refused is not asked again until it says something else, or was only too often.
                self._refused.pop(key, None)
                refusal = (await self._grid.place(change)).refusal
                if refusal is not None and refusal.kind is not RefusalKind.TOO_OFTEN:
                    self._refused[key] = (change, f"{refusal.sentence} {refusal.remedy}")

    def _refusals(self, name: str, events: Mapping[str, models.Event]) -> dict[str, str]:
        """An alarm for each event that is there and refused."""
        now_s = self._grid.now_s()
        said = {key: sentence for (program, key), (_, sentence) in self._refused.items() if program == name}
        for record in self._grid.standing(name):
            if record.outcome is GridOutcome.REFUSED and record.order.end_s > now_s:
                said.setdefault(record.order.key, record.sentence)
        return {
            f"event {event_of(key)}": f"Event '{event_of(key)}' of program '{name}' is refused: {sentence}"
            for key, sentence in said.items()
            if event_of(key) in events
        }

    async def _decline(self, one: Refused, now_s: float) -> None:
        refusal = Refusal(kind=RefusalKind.INVALID, sentence=one.sentence, remedy=_REMEDY)
        await self._grid.decline(one.program, one.event.id, min(one.end_s, now_s + _FORGET_AFTER_S), refusal)

    async def _bound(self, name: str, agenda: Agenda) -> None:
        program = self._programs[name]
        bounds = tuple(
            CapacityBound(
                program=name,
                key=event.id,
                pool=program.pool,
                from_s=limit.from_s,
                to_s=limit.to_s,
                max_export_w=limit.max_export_w,
                max_import_w=limit.max_import_w,
            )
            for event, limit in agenda.limits[name]
        )
        if bounds or self._grid.bounds(name):
            await self._grid.bound(name, bounds)

    def _anchors(self, events: Mapping[str, models.Event], now_s: float) -> dict[str, float]:
        """What "now" is in each event that says it: when it was first read, also before a restart."""
        prefix = f"{self.settings.name}/now/"
        known = {key.removeprefix(prefix): float(at) for key, at in self._grid.notes(Wire.OPENADR).items() if key.startswith(prefix)}
        for event in events.values():
            if says_now(event) and event.id not in known:
                known[event.id] = round(now_s, 3)
                self._grid.note(Wire.OPENADR, prefix + event.id, known[event.id])
        for event_id in known.keys() - events.keys():
            self._grid.note(Wire.OPENADR, prefix + event_id, None)
        return known

    def _charge_plans(self, now_s: float) -> ChargePlans:
        """What the pools hold now, and what was planned before, also before a restart."""
        pools: dict[PoolId, PoolTelemetry] = {}
        for program in self._programs.values():
            with contextlib.suppress(KeyError, IndexError):  # not recorded, or not yet
                pools[program.pool] = self._grid.telemetry(program.pool)
        prefix = self._charge_prefix
        notes = {key: body for key, body in self._grid.notes(Wire.OPENADR).items() if key.startswith(prefix)}
        kept = {key.removeprefix(prefix): msgspec.convert(body, ChargePlan) for key, body in notes.items()}
        return ChargePlans(now_s, pools, kept, in_percent=self.settings.reports.charge_level_in_percent)

    def _keep_charge_plans(self, plans: ChargePlans) -> None:
        notes = self._grid.notes(Wire.OPENADR)
        made = {self._charge_prefix + key: msgspec.to_builtins(plan) for key, plan in plans.made.items()}
        for key, body in made.items():
            if notes.get(key) != body:
                self._grid.note(Wire.OPENADR, key, body)
        for key in notes:
            if key.startswith(self._charge_prefix) and key not in made:
                self._grid.note(Wire.OPENADR, key, None)

    @property
    def _charge_prefix(self) -> str:
        return f"{self.settings.name}/charge/"

    # --- telling -------------------------------------------------------------------------------------------------------------

    def _said(self, agenda: Agenda, now_s: float) -> dict[str, str]:
        """Alerts, and what cannot be promised; what is not for us is told once."""
        news = agenda.passed_over - self._passed_over
        if news:
            self._passed_over |= news
            log.info("OpenADR payloads that are passed over", vtn=self.settings.name, types=sorted(news))
        alarms = {f"alert {event.id}": alert.sentence for event, alert in agenda.alerts if alert.from_s <= now_s < alert.to_s}
        for one in agenda.remarks:
            alarms[f"remark {one.event.id}"] = f"Event '{one.event.id}' of program '{one.program}': {one.sentence}"
        return alarms

    def _tell(self, alarms: Mapping[str, str]) -> None:
        """These and no others."""
        for subject in self._raised - alarms.keys():
            self._grid.alarm(Wire.OPENADR, f"{self.settings.name}: {subject}", None)
        for subject, sentence in alarms.items():
            self._grid.alarm(Wire.OPENADR, f"{self.settings.name}: {subject}", sentence)
        self._raised = set(alarms)


def _counted(polls: int) -> str:
    return "1 poll" if polls == 1 else f"{polls} polls"
