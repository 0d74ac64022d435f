"""The VEN: keeps a registration at one VTN, turns its events into orders, and answers each with what became of it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any, Final

import structlog
from openleadr import enums, objects

from counterflow.adapters.openadr2.client import Client, Quantity, Value
from counterflow.adapters.openadr2.history import History
from counterflow.adapters.openadr2.reading import OVER, UnfitError, head_of, order_of, program_of
from counterflow.adapters.openadr2.settings import OpenAdr2Settings
from counterflow.domain.grid import GridOutcome, GridUnit, Program, Quality, Wire, value_of
from counterflow.domain.units import WH_PER_WS
from counterflow.domain.views import Refusal, RefusalKind
from counterflow.engine.grid_side import GridSide

OPT_IN: Final = "optIn"
OPT_OUT: Final = "optOut"
LINK: Final = "link"
LOOK_S: Final = 1.0
WORDS_KEPT: Final = 200
RECORDS_AT_ONCE: Final = 500
WAIT_FOR_RECORD_S: Final = 20.0
STANDING: Final = frozenset({GridOutcome.ACCEPTED, GridOutcome.CHANGED})
DECLINED_FOR_S: Final = 3_600.0
"""An event that makes no sense is kept among the orders of its program for so long."""
REMEDY: Final = "Change the event, or agree on what it shall mean (docs/openadr2.md)."
_VEN_ID: Final = "ven_id"

log = structlog.get_logger("counterflow")


class Ven:
    """`run` it as a task; it goes on until it is cancelled."""

    def __init__(self, grid: GridSide, settings: OpenAdr2Settings) -> None:
        self._grid = grid
        self._settings = settings
        self._programs = tuple(grid.programs(Wire.OPENADR2))
        self._histories = {program.pool: History(program.pool) for program in self._programs}
        self._alarms: set[str] = set()
        """Ids of events that were not carried out, and are among the alarms."""
        self._words = _LastWords()
        self._words.attach()

    async def run(self) -> None:
        """Register, poll, report; begin anew whenever that fails."""
        followers = [asyncio.create_task(self._follow(history)) for history in self._histories.values()]
        try:
            while True:
                await self._one_registration()
                await asyncio.sleep(self._settings.retry_s)
        finally:
            for follower in followers:
                follower.cancel()
            await asyncio.gather(*followers, return_exceptions=True)

    async def _one_registration(self) -> None:
        client = self._client()
        try:
            await client.run()
            if client.registration_id is None:
                trouble = f"The VTN {self._settings.vtn_url} does not register us, or cannot be reached"
                self._grid.alarm(Wire.OPENADR2, LINK, f"{trouble}: {self._words.text or 'it said nothing'}")
                return
            self._grid.note(Wire.OPENADR2, _VEN_ID, client.ven_id)
            log.info("openadr 2.0b", text="registered", vtn=self._settings.vtn_url, ven_id=client.ven_id)
            await self._watch(client)
        except Exception as error:  # noqa: BLE001  # whatever a VTN sends, the next registration is tried
            self._grid.alarm(Wire.OPENADR2, LINK, f"The VTN {self._settings.vtn_url} could not be talked to: {error!r}.")
        finally:
            await _closed(client)

    async def _watch(self, client: Client) -> None:
        """Until the registration is gone. Polling goes on by itself."""
        settings, synced_s = self._settings, time.monotonic()
        while client.registration_id is not None and not client.forgotten:
            await asyncio.sleep(LOOK_S)
            now_s = time.monotonic()
            silent_s = now_s - client.heard_at_s
            lost = f"The VTN {settings.vtn_url} has not answered for {silent_s:.0f} s; orders that were accepted go on."
            self._grid.alarm(Wire.OPENADR2, LINK, lost if silent_s > settings.lost_after_s else None)
            if now_s - synced_s > settings.resync_s:
                synced_s = now_s
                await client.sync_events()

    def _client(self) -> Client:
        ven_id = self._settings.ven_id or self._grid.notes(Wire.OPENADR2).get(_VEN_ID) or ""
        client = Client(self._settings, ven_id, self._synced)
        client.add_handler("on_event", self._on_event)
        client.add_handler("on_update_event", self._on_event)
        rate = objects.SamplingRate(
            min_period=timedelta(seconds=self._settings.sampling_min_s),
            max_period=timedelta(seconds=self._settings.sampling_max_s),
            on_change=False,
        )
        for program in self._programs:
            usage, status = enums.REPORT_NAME.TELEMETRY_USAGE, enums.REPORT_NAME.TELEMETRY_STATUS
            for measurement, word, per_w in (("REAL_POWER", "powerReal", None), ("REAL_ENERGY", "energyReal", WH_PER_WS)):
                quantity = Quantity(f"{program.name}/{word}", program.name, _Usage(self._histories[program.pool], program, per_w))
                client.offer(usage, measurement, quantity, rate)
            if not self._settings.sign:
                client.offer(status, None, Quantity(f"{program.name}/status", program.name, _Status(self._histories[program.pool])), rate)
        return client

    async def _follow(self, history: History) -> None:
        """Take every record of a pool."""
        with contextlib.suppress(KeyError):  # nothing was recorded yet
            history.sequence = max(0, self._grid.telemetry(history.pool).sequence - 1)
        while True:
            try:
                for record in await self._grid.telemetry_since(history.pool, history.sequence, RECORDS_AT_ONCE, WAIT_FOR_RECORD_S):
                    history.take(record)
            except KeyError:  # nothing was recorded yet
                await asyncio.sleep(WAIT_FOR_RECORD_S)
            await asyncio.sleep(LOOK_S)

    # --- events ------------------------------------------------------------------------------------------------------------------

    async def _on_event(self, event: Mapping[str, Any]) -> str:
        """A new event, or another version of one: optIn where it is carried out, optOut where not.

        It never raises: `openleadr` would opt out of all events of the message, those that are carried out among them.
        """
        descriptor = event.get("event_descriptor") or {}
        key = str(descriptor.get("event_id") or "without an id")[:200]
        try:
            sentence = await self._refused(event)
        except UnfitError as error:
            sentence = str(error)
            refusal = Refusal(kind=RefusalKind.NOT_FOUND, sentence=sentence, remedy=REMEDY)
            self._grid.turned_away(Wire.OPENADR2, key, {"market_context": str(descriptor.get("market_context") or "")[:200]}, refusal)
        except Exception as error:  # an event may hold anything
            sentence = f"The event '{key}' could not be carried out: {error!r}."
            log.exception("openadr 2.0b", text=sentence)
        if sentence:
            log.warning("openadr 2.0b", text=sentence)
        self._alarm(key, sentence)
        return OPT_OUT if sentence else OPT_IN

    def _alarm(self, key: str, sentence: str) -> None:
        """Why an event was not carried out; empty = it is, or is gone."""
        self._grid.alarm(Wire.OPENADR2, f"event {key}", sentence or None)
        (self._alarms.add if sentence else self._alarms.discard)(key)

    async def _refused(self, event: Mapping[str, Any]) -> str:
        """Carry an event out; why not, in a sentence, empty if it is. Raises `UnfitError` for one that is of no program."""
        head = head_of(event)
        program = program_of(head, self._programs)
        if head.status in OVER:
            if head.status == "cancelled":
                await self._grid.withdraw(program.name, head.key, "cancelled by the VTN")
            return ""
        try:
            order = order_of(event, program, self._settings.simple_discharge_frac, self._ven_id())
        except UnfitError as error:
            refusal = Refusal(kind=RefusalKind.INVALID, sentence=str(error), remedy=REMEDY)
            await self._grid.decline(program.name, head.key, self._grid.now_s() + DECLINED_FOR_S, refusal)
            return str(error)
        if head.is_test:
            log.info("openadr 2.0b", text="a test event: nothing is carried out", event_id=head.key)
            return ""
        answer = await self._grid.place(order)
        if answer.refusal is None:
            return ""
        # optOut means that nothing of it is done: an earlier version is taken back, too.
        if any(record.order.key == head.key and record.outcome in STANDING for record in self._grid.standing(program.name)):
            await self._grid.withdraw(program.name, head.key, "its newer version cannot be carried out")
        return f"The event '{head.key}' is not carried out: {answer.refusal.sentence} {answer.refusal.remedy}"

    def _ven_id(self) -> str:
        return str(self._settings.ven_id or self._grid.notes(Wire.OPENADR2).get(_VEN_ID) or self._settings.ven_name)

    async def _synced(self, ids: Collection[str]) -> None:
        """All events of the VTN: an order of one that is not among them is taken back, in time or not, and its alarm is over."""
        now_s = self._grid.now_s()
        for key in self._alarms - set(ids):
            self._alarm(key, "")
        for program in self._programs:
            for record in self._grid.standing(program.name):
                order = record.order
                if order.key not in ids and order.end_s > now_s and record.outcome in STANDING:
                    await self._grid.withdraw(program.name, order.key, "the VTN does not list it any more")


class _Usage:
    """Mean power of each interval, in W as the program signs it; with `per_ws` the energy of each interval, in Wh."""

    def __init__(self, history: History, program: Program, per_ws: float | None) -> None:
        self._history, self._program, self._per_ws = history, program, per_ws

    def __call__(self, from_s: float, to_s: float, step_s: float) -> list[Value]:
        """What is known."""
        assert self._program.sign is not None, "a program without a sign stops the start"
        found = []
        for sample in self._history.means(from_s, to_s, step_s):
            if sample.export_w is None:
                continue
            lasts_s = sample.to_s - sample.from_s
            factor = 1.0 if self._per_ws is None else lasts_s * self._per_ws
            value = value_of(sample.export_w * factor, self._program.sign, GridUnit.W)
            found.append(Value(sample.from_s, round(value, 3), lasts_s))
        return found


class _Status:
    """Online while its cars are measured; held while orders are not taken (an emergency stop, a fault)."""

    def __init__(self, history: History) -> None:
        self._history = history

    def __call__(self, from_s: float, to_s: float, step_s: float) -> list[Value]:
        """One value, of now."""
        newest = self._history.newest
        if newest is None:
            return []
        online = newest.quality is not Quality.MISSING
        return [Value(to_s, 0.0 if not online else 1.0 if newest.available else -1.0)]


async def _closed(client: Client) -> None:
    """End its jobs and connections, whatever state it is in."""
    if client.scheduler.running:
        client.scheduler.shutdown(wait=False)
    if client.report_queue_task is not None:
        client.report_queue_task.cancel()
    if client.client_session is not None:
        await client.client_session.close()


class _LastWords(logging.Handler):
    """What `openleadr` said last of a trouble. It would write several lines at each attempt, whole messages among them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""

    def attach(self) -> None:
        """Be the only one who hears it."""
        for name in ("openleadr", "apscheduler"):
            logger = logging.getLogger(name)
            logger.setLevel(logging.WARNING)
            logger.propagate = False
            logger.handlers[:] = [self]

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the beginning of it, but for the conclusion that is ours anyway."""
        text = record.getMessage()[:WORDS_KEPT]
        log.debug("openadr 2.0b", text=text)
        if "No RegistrationID" not in text:
            self.text = text
