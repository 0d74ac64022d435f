"""A table of what one path of the API lists, kept as it is there."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from counterflow.console.api import ApiError
from counterflow.console.frame import again_and_again
from counterflow.console.house import House
from counterflow.console.signing import Visitor
from counterflow.console.tables import show_rows

Row = dict[str, Any]
EVERY_S = 5.0


class Listed:
    """`rows_of` makes the rows of an answer; what came last stays where the server does not answer, with why below it."""

    def __init__(
        self, house: House, visitor: Visitor, path: str, rows_of: Callable[[Any], list[Row]], shown: ui.table, **asked: str | float
    ) -> None:
        self._house = house
        self._visitor = visitor
        self._path = path
        self._asked = asked
        self._rows_of = rows_of
        self._shown = shown
        self._trouble = ui.label().classes("text-negative")

    async def keep(self, every_s: float = EVERY_S) -> None:
        """Now, and so often for as long as the page is open."""
        await again_and_again(every_s, self.load)

    async def load(self) -> None:
        """What there is now."""
        try:
            found = await self._house.api.get(self._visitor.token, self._path, **self._asked)
        except ApiError as error:
            self._trouble.set_text(error.sentence)
            return
        self._trouble.set_text("")
        show_rows(self._shown, self._rows_of(found))
