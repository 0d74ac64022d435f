"""The dialog in which a dispatch is ordered: what is wanted, then what is feasible and what binds, and only then the order."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from nicegui import ui

from counterflow.console.asking import Asked
from counterflow.console.frame import act
from counterflow.console.house import House
from counterflow.console.signing import Visitor
from counterflow.console.words import counted, energy, power, with_clocks

MODES = {"net_export": "net export", "gross_export": "gross export", "relative": "relative to its charging"}
GRID = "display: grid; grid-template-columns: 1fr 1fr; gap: .25rem 1.5rem"


class OrderDialog:
    """Open as soon as it is made; `ordered` is called with the id of what was ordered."""

    def __init__(self, house: House, visitor: Visitor, ordered: Callable[[str], None]) -> None:
        self._house = house
        self._visitor = visitor
        self._ordered = ordered
        self._key = str(uuid4())
        self._previewed: dict[str, Any] | None = None
        """What the preview was of: that and nothing else is ordered."""
        self._asked: Asked[dict[str, Any]] = Asked(self._find, self._show, self._say)
        with ui.dialog() as self._dialog, ui.card().style("width: 36rem; max-width: 95vw"):
            ui.label("New dispatch").classes("text-h6")
            with ui.element("div").classes("w-full").style(GRID):
                self._amount = ui.input("Discharge power", value="1MW").props("autofocus")
                self._duration = ui.input("For", value="15min")
                self._start = ui.input("From (instant; empty = now)", placeholder="2026-11-22T17:00Z")
                self._priority = ui.number("Priority", value=0, min=-1000, max=1000, precision=0)
                self._pool = ui.input("Pool", value="all")
                self._mode = ui.select(MODES, value="net_export", label="Counts as delivery")
            self._told = ui.column().classes("w-full gap-1").props('role="status"')
            with ui.row().classes("w-full justify-end"):
                ui.button("Back", on_click=self._dialog.close).props("flat")
                ui.button("Preview", on_click=self._preview).props("outline")
                self._confirm = ui.button("Order it", on_click=self._order).props('color="primary"')
        self._confirm.set_enabled(False)
        for field in (self._amount, self._duration, self._start, self._priority, self._pool, self._mode):
            field.on_value_change(self._changed)
        self._dialog.open()

    def _body(self) -> dict[str, Any]:
        body = {
            "discharge_power_w": self._amount.value.strip(),
            "duration_s": self._duration.value.strip(),
            "priority": int(self._priority.value or 0),
            "pool": self._pool.value.strip() or "all",
            "mode": self._mode.value,
        }
        start = self._start.value.strip()
        return body | ({"start": start} if start else {})

    def _changed(self) -> None:
        """What was worked out is of something else, and so is what is being worked out."""
        self._asked.drop()
        self._previewed = None
        self._told.clear()
        self._confirm.set_enabled(False)

    async def _preview(self) -> None:
        self._changed()
        self._tell("Working it out.")
        await self._asked.ask()

    async def _find(self) -> dict[str, Any]:
        self._previewed = self._body()
        answer: dict[str, Any] = await self._house.api.send(self._visitor.token, "POST", "/dispatches", self._previewed | {"dry_run": True})
        return answer

    def _show(self, answer: dict[str, Any]) -> None:
        against, sentences = obstacle_words(answer), preview_words(answer)
        self._told.clear()
        with self._told:
            if against:
                ui.label(with_clocks(against, self._house.now_s())).classes("text-negative text-weight-medium")
            for sentence in sentences:
                ui.label(sentence)
        self._confirm.set_enabled(not against)

    def _say(self, why_not: str) -> None:
        if why_not:
            self._tell(why_not, "text-negative")

    def _tell(self, sentence: str, classes: str = "") -> None:
        self._told.clear()
        with self._told:
            ui.label(sentence).classes(classes)

    async def _order(self) -> None:
        if self._previewed is None:
            return
        body, headers = self._previewed | {"dry_run": False}, {"Idempotency-Key": self._key}
        answer = await act(self._house, self._visitor, "POST", "/dispatches", "Ordered.", body, **headers)
        if isinstance(answer, dict):
            self._dialog.close()
            self._ordered(answer["dispatch"]["instruction"]["dispatch_id"])


def obstacle_words(answer: dict[str, Any]) -> str:
    """Why it cannot be ordered as it is, and what to do; empty = it can."""
    obstacle = answer.get("obstacle")
    return f"{obstacle['sentence']} {obstacle['remedy']}" if obstacle else ""


def preview_words(answer: dict[str, Any]) -> list[str]:
    """What a dry run says is feasible and what is in the way, in sentences."""
    told = answer["dispatch"]["feasibility"]
    words = [
        f"Feasible: {power(told['expected_power_w'])} expected, {power(told['low_power_w'])} at the low end, "
        f"from {counted(told['sessions'], 'session')}.",
        f"Committed would be {power(told['committed_power_w'])} and {energy(told['low_energy_wh'])}.",
    ]
    if told["shortfall_power_w"] > 0.0:
        words.append(f"{power(told['shortfall_power_w'])} of the order cannot be promised.")
    words += [f"Of the grid: {limit}." for limit in told.get("limits") or ()]
    words += [f"Of drivers: {limit}." for limit in answer.get("held_back") or ()]
    words += [f"Dispatch {loser['dispatch_id']} gives way to it." for loser in answer.get("displaced") or ()]
    return words
