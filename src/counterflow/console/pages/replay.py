"""A past dispatch second by second: what was asked and delivered up to the instant under the slider."""

from typing import Any
from urllib.parse import quote

from nicegui import ui

from counterflow.console import charts
from counterflow.console.asking import NOT_YET, Asked
from counterflow.console.feed import Mark, Point, located
from counterflow.console.frame import keep_asking, page, visitor_of
from counterflow.console.house import House
from counterflow.console.lines import Lines, lines_of
from counterflow.console.signing import Visitor
from counterflow.console.words import clock, counted, energy, power

AGAIN_EVERY_S = 5.0
SPEEDS = {"1×": 1, "10×": 10, "60×": 60}


def show(house: House) -> None:
    """Add the page."""

    @ui.page("/replay/{dispatch_id}")
    async def replay(dispatch_id: str) -> None:
        visitor = visitor_of(house)
        if visitor is None:
            return
        with page(house, visitor, f"Replay of {dispatch_id}", "/offers"):
            await _load(house, visitor, dispatch_id)


async def _load(house: House, visitor: Visitor, dispatch_id: str) -> None:
    """Asked until it was answered once: what has passed stays as it is."""
    trouble = ui.label(NOT_YET)
    body = ui.column().classes("w-full gap-3")
    path = f"/dispatches/{quote(dispatch_id, safe='')}"
    shown: list[Replay] = []

    async def find() -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]] | None:
        if shown:
            return None
        series = await house.api.get(visitor.token, f"{path}/series", step_s=1)
        course = await house.api.get(visitor.token, f"{path}/course")
        return series, course, await house.api.get(visitor.token, path)

    def show(found: tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]] | None) -> None:
        if found is not None:
            body.clear()
            with body:
                shown.append(Replay(*found))
            trouble.set_visibility(False)

    await keep_asking(AGAIN_EVERY_S, Asked(find, show, lambda why_not: trouble.set_text(why_not)))


class Replay:
    """Slider, chart and figures."""

    def __init__(self, series: list[dict[str, Any]], course: dict[str, Any], view: dict[str, Any]) -> None:
        self._points = points_of(series)
        self._marks = [Mark(one["at_s"], one["kind"], located(one["station_id"], one["text"])) for one in course["marks"]]
        self._tolerance_frac = course["tolerance_frac"]
        self._committed_w = view["feasibility"]["committed_power_w"]
        ui.label(f"Replay of {course['dispatch_id']}").classes("text-h6")
        if not self._points:
            ui.label("Nothing was delivered in it.")
            return
        self._chart = ui.echart({"series": []}, renderer="svg").classes("w-full cf-chart").style("height: 46vh; min-height: 320px")
        self._chart.props('role="img" aria-label="Target, delivered, headroom and commitment over time"')
        with ui.row().classes("w-full items-center gap-3 no-wrap"):
            self._play = ui.button("Play", on_click=self._toggle).props("outline")
            self._speed = ui.toggle(list(SPEEDS), value="10×")
            self._slider = ui.slider(min=1, max=len(self._points), value=len(self._points), on_change=self._draw).classes("col")
            self._slider.props('aria-label="Second of the dispatch"')
        self._said = ui.label().classes("text-body1")
        self._happened = Lines("What had happened by then", "marks")
        self._timer = ui.timer(1.0, self._go_on, active=False)
        self._draw()

    def _toggle(self) -> None:
        self._timer.active = not self._timer.active
        self._play.set_text("Pause" if self._timer.active else "Play")
        if self._timer.active and self._slider.value >= len(self._points):
            self._slider.value = 1

    def _go_on(self) -> None:
        self._slider.value = min(len(self._points), self._slider.value + SPEEDS[self._speed.value])
        if self._slider.value >= len(self._points):
            self._toggle()

    def _draw(self) -> None:
        seen = self._points[: int(self._slider.value)]
        now = seen[-1]
        marks = [mark for mark in self._marks if mark.at_s <= now.at_s + 1.0]
        self._happened.show(lines_of(marks))
        options = charts.course_options(
            seen,
            marks,
            committed_w=self._committed_w,
            tolerance_frac=self._tolerance_frac,
            from_s=self._points[0].at_s,
            to_s=self._points[-1].at_s + 1.0,
        )
        self._chart.options.clear()
        self._chart.options.update(options)
        self._chart.update()
        so_far = sum(point.energy_wh or 0.0 for point in seen)
        self._said.set_text(
            f"{clock(now.at_s)}: target {power(now.target_w)}, delivered {power(now.delivered_w)}, so far {energy(so_far)}, "
            f"{counted(sum(mark.kind == 'session.dropped_out' for mark in marks), 'drop-out')}."
        )


def points_of(series: list[dict[str, Any]]) -> list[Point]:
    """Settled seconds; one of which nothing is known stays empty."""
    return [
        Point(
            at_s=one["from_s"],
            target_w=one["target_power_w"],
            delivered_w=one["delivered_power_w"],
            headroom_w=one["headroom_power_w"],
            energy_wh=one["delivered_energy_wh"],
        )
        for one in series
    ]
