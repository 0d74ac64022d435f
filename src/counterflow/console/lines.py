"""What happened, line by line: when, what, and the words."""

from collections.abc import Iterable

from nicegui import ui

from counterflow.console.feed import Mark
from counterflow.console.words import clock, happened

MARKS_SHOWN = 100

Line = tuple[float, str, str]
"""When, what, and the words."""


class Lines:
    """Under a title what happened, the newest first: when, what, and the words."""

    def __init__(self, title: str, mark: str) -> None:
        self._shown: list[Line] | None = None
        with ui.column().classes("col gap-1"):
            ui.label(title).classes("text-subtitle1 q-mt-sm")
            self._list = ui.list().props(f'dense data-testid="{mark}"').classes("w-full cf-lines")

    def show(self, lines: list[Line]) -> None:
        """Drawn anew only when there is something new."""
        if lines == self._shown:
            return
        self._shown = lines
        self._list.clear()
        with self._list:
            for at_s, kind, text in lines:
                with ui.item().classes("q-px-none"):
                    with ui.item_section().props("side top"):
                        ui.label(clock(at_s)).classes("text-caption")
                    with ui.item_section().props("top"):
                        ui.item_label(said(kind, text))
            if not lines:
                ui.label("Nothing yet.").classes("cf-name")


def said(kind: str, text: str) -> str:
    """The words after what it is, unless they begin with that."""
    if not text:
        return kind
    return text if text.startswith(kind) else f"{kind}: {text}"


def lines_of(marks: Iterable[Mark]) -> list[Line]:
    """The newest marks of a chart as lines, the newest first."""
    return [(mark.at_s, happened(mark.kind), mark.text) for mark in list(marks)[-MARKS_SHOWN:][::-1]]
