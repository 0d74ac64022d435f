"""Names and values of one thing, as a page shows them one below the other."""

from collections.abc import Sequence

from nicegui import ui

from counterflow.console.asking import NOT_YET


class Facts:
    """Drawn anew only when something has changed; above them why they are old, if so."""

    def __init__(self, classes: str) -> None:
        self._shown: list[tuple[str, str]] | None = None
        with ui.column().classes(f"{classes} gap-0"):
            self._trouble = ui.label(NOT_YET)
            self._body = ui.column().classes("w-full gap-0")

    def show(self, facts: Sequence[tuple[str, str]]) -> None:
        """Name and value of each."""
        self._trouble.set_visibility(False)
        if list(facts) == self._shown:
            return
        self._shown = list(facts)
        self._body.clear()
        with self._body:
            for name, value in facts:
                with ui.row().classes("gap-2 no-wrap items-baseline"):
                    ui.label(name).classes("cf-name w-56")
                    ui.label(value)

    def say(self, why_not: str) -> None:
        """Why there was no answer; empty = there was one."""
        if why_not:
            self._trouble.set_text(why_not if self._shown is None else f"{why_not} What follows is what was known before.")
            self._trouble.classes("text-negative")
            self._trouble.set_visibility(True)
