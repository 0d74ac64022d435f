"""All receivers, and what happens passed on to them."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

import structlog

from counterflow.adapters.webhooks.receiver import Receiver
from counterflow.adapters.webhooks.settings import WebhookSettings
from counterflow.domain.grid import Wire
from counterflow.domain.program_notices import concerns, orders_words, report_words
from counterflow.domain.program_translation import Terms
from counterflow.domain.views import Notice
from counterflow.engine.grid_side import GridSide

FAULT_PAUSE_S = 5.0

log = structlog.get_logger("counterflow")

SecretOf = Callable[[WebhookSettings], str | None]


class Webhooks:
    """`run()` for ever."""

    def __init__(self, grid: GridSide, settings: Iterable[WebhookSettings], secret_of: SecretOf, version: str) -> None:
        """Raises KeyError for a program that is not there."""
        self._grid = grid
        terms = {program.name: Terms(program) for wire in Wire for program in grid.programs(wire) if program.unit is not None}
        self.receivers: Sequence[Receiver] = [Receiver(grid, one, terms[one.program], partial(secret_of, one), version) for one in settings]

    async def run(self) -> None:
        """Until it is cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._again(self._hear))
            for receiver in self.receivers:
                tasks.create_task(self._again(receiver.post_letters))
                if "telemetry" in receiver.settings.events:
                    tasks.create_task(self._again(receiver.post_telemetry))

    async def _again(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """One fault of ours must not end all posts for good."""
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001  # whatever it was, it is tried again
                log.error("webhook failed", error=repr(error))
            await asyncio.sleep(FAULT_PAUSE_S)

    async def _hear(self) -> None:
        """What stands at the start, and what changes from then on."""
        async with aclosing(self._grid.notices()) as notices:  # type: ignore[type-var]
            first = asyncio.ensure_future(anext(notices))
            await asyncio.sleep(0.0)  # listening has begun: nothing that follows is missed
            for receiver in self.receivers:
                self._tell_orders(receiver)
            self._pass_on(await first)
            async for notice in notices:
                self._pass_on(notice)

    def _pass_on(self, notice: Notice) -> None:
        for receiver in self.receivers:
            if notice.kind == "lost":
                self._tell_orders(receiver)
            elif concerns(receiver.terms, notice, self._grid.dispatch):
                report = report_words(receiver.terms, notice, self._grid.standing(receiver.terms.program.name))
                if report is None:
                    self._tell_orders(receiver)
                elif "report" in receiver.settings.events:
                    receiver.tell("report", report)

    def _tell_orders(self, receiver: Receiver) -> None:
        if "orders" in receiver.settings.events:
            terms, grid = receiver.terms, self._grid
            receiver.tell("orders", orders_words(terms, grid.standing(terms.program.name), grid.dispatch, grid.now_s()))
