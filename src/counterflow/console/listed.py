"""A table of what one path of the API lists, kept as it is there."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from counterflow.console.asking import Asked
from counterflow.console.frame import keep_asking
from counterflow.console.house import House
from counterflow.console.signing import Visitor
from counterflow.console.tables import Rows

Row = dict[str, Any]
EVERY_S = 5.0


class Listed:
    """`rows_of` makes the rows of an answer; what came last stays where the server does not answer, with why below it."""

    def __init__(
        self, house: House, visitor: Visitor, path: str, rows_of: Callable[[Any], list[Row]], shown: Rows, **asked: str | float
    ) -> None:
        trouble = ui.label().classes("text-negative")

        def say(why_not: str) -> None:
            trouble.set_text(shown.say(why_not))

        self._asked: Asked[Any] = Asked(lambda: house.api.get(visitor.token, path, **asked), lambda found: shown.show(rows_of(found)), say)

    async def keep(self, every_s: float = EVERY_S) -> None:
        """Now, and so often for as long as the page is open."""
        await keep_asking(every_s, self._asked)
