"""What a place of a page asks the server again and again, and what it shows of the answers: only that to the newest question."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from counterflow.console.api import TIMEOUT_S, ApiError

Answer = TypeVar("Answer")
WITHIN_S = TIMEOUT_S + 5.0
"""Longer than the API itself waits for each part of an answer: one that comes in drops without end is no answer."""
NOT_YET = "Not known yet: the server has not answered so far."

_log = logging.getLogger("counterflow.console")


class Asked(Generic[Answer]):
    """`look()` is for timers, `ask()` for what a viewer does. An answer whose question is no longer what is asked is never shown.

    `show` puts an answer on the page, at once; `say` tells why there is none, and "" after each that was shown. Whatever an answer does, or
    does not: neither of the two raises, and both end.
    """

    def __init__(
        self,
        question: Callable[[], Coroutine[Any, Any, Answer]],
        show: Callable[[Answer], None],
        say: Callable[[str], object],
        *,
        within_s: float = WITHIN_S,
    ) -> None:
        self._question = question
        self._show = show
        self._say = say
        self._within_s = within_s
        self._under_way: asyncio.Task[Answer] | None = None
        self._logged = ""

    async def look(self) -> None:
        """What is there now, unless it is being asked already: a timer never overtakes a viewer."""
        if self._under_way is None:
            await self.ask()

    async def ask(self) -> None:
        """What is there now, in place of whatever was asked before."""
        self.drop()
        mine = self._under_way = asyncio.create_task(self._question())
        try:
            await asyncio.wait({mine}, timeout=self._within_s)
            if self._under_way is mine:
                self._finish(mine)
        finally:
            mine.cancel()
            if self._under_way is mine:
                self._under_way = None

    def drop(self) -> None:
        """What is being asked is not asked any more; its answer is not shown."""
        if self._under_way is not None:
            self._under_way.cancel()
            self._under_way = None

    def _finish(self, mine: asyncio.Task[Answer]) -> None:
        try:
            if not mine.done():
                raise ApiError(f"The server has not answered within {self._within_s:g} s.")
            self._show(mine.result())
        except ApiError as error:
            self._say(error.sentence)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # no answer may end the looking
            self._log_once(error)
            self._say(f"An answer of the server is not understood ({type(error).__name__}).")
        else:
            self._logged = ""
            self._say("")

    def _log_once(self, error: BaseException) -> None:
        """An odd answer comes again with every look; the log is told of it once."""
        told = f"{type(error).__name__}: {error}"
        if told != self._logged:
            self._logged = told
            _log.error("an answer cannot be shown: %s", told, exc_info=error)
