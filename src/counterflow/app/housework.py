"""What the server does beside control, at its own steady pace: retention, reports of what has ended, forecasts, identification of cars."""

import asyncio
from collections.abc import Callable
from functools import partial
from math import inf

from counterflow.adapters.storage.retention import Retention
from counterflow.app.config import Settings
from counterflow.app.control_room import ControlRoom
from counterflow.app.dispatching.dispatcher import IDENTIFICATION
from counterflow.app.offers.firm_figures import FirmFigures
from counterflow.app.offers.forecasting import was_there_w, worked_out
from counterflow.app.settlement.settling import Settling
from counterflow.domain.units import DAY_S
from counterflow.engine.control.identification import identify

RETENTION_PAUSE_S = 30.0
RETENTION_STEP_S = 0.2
SETTLE_PAUSE_S = 1.0
IDENTIFY_PAUSE_S, IDENTIFY_STEP_S = 2.0, 0.02
BESIDE_A_DISPATCH_SHARE = 0.1
"""Of the time, identification works at most so much while a dispatch is open: its answers and meter values come first."""
WAITS_S = 1.0
"""For control to come to rest before another step, at a time: a server that ends does not wait for long."""


def rests_s(took_s: float, *, beside_a_dispatch: bool) -> float:
    """How long identification rests after a slice that took so long."""
    share = BESIDE_A_DISPATCH_SHARE if beside_a_dispatch else 1.0
    return max(IDENTIFY_STEP_S, took_s * (1.0 / share - 1.0))


class Housework:
    """Each of its methods runs until it is cancelled."""

    def __init__(
        self,
        room: ControlRoom,
        settings: Settings,
        *,
        retention: Retention,
        settling: Settling,
        firm: FirmFigures,
        now_s: Callable[[], float],
    ) -> None:
        self._room = room
        self._settings = settings
        self._retention = retention
        self._settling = settling
        self._firm = firm
        self._now_s = now_s

    async def keep_house(self) -> None:
        """Retention, one bounded step at a time, off the loop."""
        room, storage = self._room, self._settings.storage
        while True:
            done = await asyncio.to_thread(self._retention.run_retention, self._now_s())
            for dispatch_id in self._retention.take_removed():
                room.dispatcher.forget(dispatch_id)
            if done is None:
                room.drivers.expire_accounts(self._now_s(), storage.account_days)
                room.dispatcher.forecasting.expire(self._now_s())
                room.experience.expire(self._now_s(), storage.learned_response_days)
            await asyncio.sleep(RETENTION_STEP_S if done else RETENTION_PAUSE_S)

    async def settle(self) -> None:
        """Keep a final report of each dispatch that has ended, those that an earlier process could not settle any more among them."""
        days = self._settings.storage.report_days
        kept_since_s = self._now_s() - days * DAY_S if days else -inf
        await self._settling.find_missing(self._room.dispatcher.book.instructions.values(), kept_since_s, self._now_s())
        while True:
            await self._settling.settle_due(self._now_s())
            await asyncio.sleep(SETTLE_PAUSE_S)

    async def forecast(self) -> None:
        """Firm offers: what is over is closed, windows are watched and judged, new forecasts worked out off the loop."""
        dispatcher = self._room.dispatcher
        while True:
            now_s = self._now_s()
            with dispatcher.faults.guard("the forecasts", now_s):
                dispatcher.commitments.advance(now_s)
                dispatcher.lessons.risks(now_s)
                for one in dispatcher.forecasting.watch(now_s):
                    dispatcher.forecasting.judge(one, await asyncio.to_thread(was_there_w, one), now_s)
                for request in dispatcher.forecasting.due(now_s):
                    made = await asyncio.to_thread(worked_out, dispatcher.forecasting.round(request, self._now_s()))
                    dispatcher.forecasting.begin(made)
                await self._firm.refresh(now_s)
            await asyncio.sleep(self._settings.dispatcher.offers.look_every_s)

    async def identify(self) -> None:
        """Between events, how late each car follows: a slice of cars at a time, off the loop; control goes first."""
        dispatcher, loop = self._room.dispatcher, asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            batch, now_s = None, self._now_s()
            with dispatcher.faults.guard(IDENTIFICATION, now_s):
                batch = dispatcher.outlook.to_identify(now_s)
            if batch is not None:
                found = dispatcher.identifying.nothing(batch)
                with dispatcher.faults.guard(IDENTIFICATION, now_s):
                    found = await asyncio.to_thread(identify, batch.trace, give_way=partial(dispatcher.at_leisure.wait, WAITS_S))
                with dispatcher.faults.guard(IDENTIFICATION, now_s):
                    dispatcher.outlook.identified(batch, found, self._now_s())
            rests = rests_s(loop.time() - began_s, beside_a_dispatch=bool(dispatcher.book.tasks))
            await asyncio.sleep(IDENTIFY_PAUSE_S if batch is None else rests)
