"""How the orders of programs stand, told after each change and kept by the broker; and which reports are ready."""

import asyncio
from contextlib import aclosing

from counterflow.adapters.mqtt.connection import Line
from counterflow.adapters.mqtt.settings import MqttSettings
from counterflow.adapters.mqtt.topics import ORDERS, REPORT
from counterflow.domain.program_notices import concerns, orders_words, report_words
from counterflow.domain.program_translation import Terms
from counterflow.domain.views import Notice
from counterflow.engine.grid_side import GridSide


class StateOut:
    """One for all programs: notices come in one stream."""

    def __init__(self, grid: GridSide, programs: list[Terms], settings: MqttSettings) -> None:
        self._grid = grid
        self._programs = programs
        self._settings = settings

    async def run(self, line: Line) -> None:
        """Until the line is gone. Raises MqttError."""
        changes: asyncio.Queue[Notice] = asyncio.Queue()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hear(changes))
            await asyncio.sleep(0.0)  # it listens now, so nothing that happens after the first telling is missed
            for terms in self._programs:
                await self._tell_orders(line, terms)
            while True:
                notice = await changes.get()
                for terms in self._programs:
                    if notice.kind == "lost" or concerns(terms, notice, self._grid.dispatch):
                        await self._tell(line, terms, notice)

    async def _hear(self, changes: asyncio.Queue[Notice]) -> None:
        """Pass on what may concern a program; the board keeps what is not heard for a while, and says how much it lost."""
        async with aclosing(self._grid.notices()) as notices:  # type: ignore[type-var]
            async for notice in notices:
                if notice.kind == "lost" or any(concerns(terms, notice, self._grid.dispatch) for terms in self._programs):
                    await changes.put(notice)

    async def _tell(self, line: Line, terms: Terms, notice: Notice) -> None:
        report = report_words(terms, notice, self._grid.standing(terms.program.name))
        if report is None:
            await self._tell_orders(line, terms)
        else:
            await line.say(f"{self._settings.topics_of(terms.program)}/{REPORT}", report)

    async def _tell_orders(self, line: Line, terms: Terms) -> None:
        grid = self._grid
        words = orders_words(terms, grid.standing(terms.program.name), grid.dispatch, grid.now_s())
        await line.say(f"{self._settings.topics_of(terms.program)}/{ORDERS}", words, retain=True)
