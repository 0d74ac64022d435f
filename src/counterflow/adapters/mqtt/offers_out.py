"""What the pool of a program can surely give, over the windows that the settings name; kept by the broker."""

import asyncio

from counterflow.adapters.mqtt.connection import Line
from counterflow.adapters.mqtt.settings import MqttSettings
from counterflow.adapters.mqtt.topics import OFFERS
from counterflow.domain.program_translation import Terms, instant
from counterflow.domain.program_words import OffersWords
from counterflow.domain.views import Refusal
from counterflow.engine.grid_side import GridSide


class OffersOut:
    """One for each program."""

    def __init__(self, grid: GridSide, terms: Terms, settings: MqttSettings) -> None:
        self._grid = grid
        self._terms = terms
        self._settings = settings

    async def run(self, line: Line) -> None:
        """Until the line is gone. Raises MqttError. What cannot be told now is left out, and told the next time."""
        pool, settings = self._terms.program.pool, self._settings
        modes = settings.offer_modes or (self._terms.program.mode,)
        wanted = [(window_min * 60.0, mode) for mode in modes for window_min in settings.offer_windows_min]
        while True:
            found = [await self._grid.offer(pool, window_s, mode=mode) for window_s, mode in wanted]
            words = OffersWords(
                program=self._terms.program.called,
                pool=pool,
                at=instant(self._grid.now_s()),
                sign=self._terms.sign,
                unit=self._terms.unit,
                offers=tuple(self._terms.offer(one) for one in found if not isinstance(one, Refusal)),
            )
            await line.say(f"{settings.topics_of(self._terms.program)}/{OFFERS}", words, retain=True)
            await asyncio.sleep(settings.offer_every_s)
