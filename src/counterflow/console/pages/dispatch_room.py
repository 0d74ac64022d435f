"""The first page: what is asked and what is delivered, live; note, amend and cancel."""

from typing import Any

from nicegui import ui

from counterflow.console import charts
from counterflow.console.asking import NOT_YET
from counterflow.console.feed import about, told
from counterflow.console.figures import Figure
from counterflow.console.frame import act, every_second, page, visitor_of
from counterflow.console.house import House
from counterflow.console.lines import Lines, lines_of
from counterflow.console.pages.ordering import OrderDialog
from counterflow.console.signing import Visitor
from counterflow.console.words import age, counted, day_and_clock, energy, happened, power

SPANS = {"15 min": 900.0, "1 h": 3600.0, "window": 0.0}
BEFORE_S, AFTER_S, LEAST_S = 30.0, 60.0, 120.0
"""What is shown around a window; and no chart is shorter than the last."""
NEWS_SHOWN = 25


def show(house: House) -> None:
    """Add the page."""

    @ui.page("/")
    def dispatch_room() -> None:
        visitor = visitor_of(house)
        if visitor is not None:
            with page(house, visitor, "Dispatch", "/"):
                Room(house, visitor)


class Room:
    """The page of one viewer."""

    def __init__(self, house: House, visitor: Visitor) -> None:
        self._house = house
        self._visitor = visitor
        self._chosen: str | None = None
        self._span = "15 min"
        with ui.row().classes("w-full items-stretch gap-3"):
            self._now = Figure("power now", "now", "col")
            self._energy = Figure("delivered so far", "energy", "col")
            self._following = Figure("sessions following", "following", "col")
            self._short = Figure("shortfall", "shortfall", "col")
            self._age = Figure("oldest meter value", "age", "col")
        with ui.row().classes("w-full items-center gap-3"):
            self._select = ui.select({}, label="Dispatch", on_change=lambda event: self._choose(event.value)).style("width: 30rem")
            ui.toggle(list(SPANS), value=self._span, on_change=lambda event: self._set_span(event.value)).props('aria-label="Span of time"')
            ui.space()
            self._order = ui.button("New dispatch", on_click=self._open_order).props('color="primary" unelevated')
            self._note = ui.button("Note", on_click=self._open_note).props("outline")
            self._amend = ui.button("Amend", on_click=self._open_amend).props("outline")
            self._cancel = ui.button("Cancel dispatch", on_click=self._ask_cancel).props('outline color="negative"')
        self._chart = ui.echart({"series": []}, renderer="svg").classes("w-full cf-chart").style("height: 46vh; min-height: 320px")
        self._chart.props('role="img" aria-label="Target, delivered, headroom and commitment over time"')
        self._said = ui.label().classes("text-body1")
        with ui.row().classes("w-full items-start gap-6"):
            self._marks = Lines("What happened in this dispatch", "marks")
            self._news = Lines("What else happened", "news")
        every_second(self.update)

    def update(self) -> None:
        """What is newest."""
        feed = self._house.feed
        options = {view["instruction"]["dispatch_id"]: _title(view) for view in feed.dispatches[:50]}
        if self._chosen not in options:
            open_ones = feed.open_dispatches() or feed.dispatches[:1]
            self._chosen = open_ones[0]["instruction"]["dispatch_id"] if open_ones else None
        if options != self._select.options or self._select.value != self._chosen:
            self._select.set_options(options, value=self._chosen)
        view = feed.dispatch(self._chosen) if self._chosen else None
        self._show_figures(view)
        self._show_course(view)
        newest = [notice for notice in feed.notices if self._chosen not in about(notice)][-NEWS_SHOWN:][::-1]
        self._news.show([(one["at_s"], happened(one["kind"]), told(one)) for one in newest])
        may, state = self._visitor.may_operate, "" if view is None else view["instruction"]["state"]
        self._order.set_enabled(may)
        self._note.set_enabled(may and view is not None)
        self._amend.set_enabled(may and state in ("scheduled", "running"))
        self._cancel.set_enabled(may and state in ("scheduled", "running"))

    def _choose(self, dispatch_id: str | None) -> None:
        if dispatch_id is not None and dispatch_id != self._chosen:
            self._chosen = dispatch_id
            self.update()

    def _set_span(self, span: str) -> None:
        self._span = span
        self.update()

    def _show_figures(self, view: dict[str, Any] | None) -> None:
        feed = self._house.feed
        delivered_w = None if view is None else view.get("delivered_power_w")
        self._now.set_text(power(delivered_w if delivered_w is not None else feed.fleet.get("measured_power_w")))
        self._energy.set_text(energy(None if view is None else view.get("delivered_energy_wh")))
        self._following.set_text("–" if view is None else f"{view['discharging']} of {view['members']}")
        self._short.set_text(power(None if view is None else view.get("shortfall_power_w")))
        self._age.set_text(age(feed.meter_age_s("all" if view is None else view["instruction"]["pool"])))

    def _show_course(self, view: dict[str, Any] | None) -> None:
        self._chart.set_visibility(view is not None)
        if view is None:
            none = "No dispatch yet. “New dispatch” shows what is feasible before anything is ordered."
            self._said.set_text(none if self._house.feed.is_known else NOT_YET)
            self._marks.show([])
            return
        instruction, now_s = view["instruction"], self._house.now_s()
        course = self._house.feed.want(view)
        self._marks.show(lines_of(course.marks))
        span_s = SPANS[self._span]
        from_s, to_s = span_of(instruction, span_s, now_s)
        options = charts.course_options(
            list(course.points) if span_s else course.whole,
            list(course.marks),
            committed_w=view["feasibility"]["committed_power_w"],
            tolerance_frac=course.tolerance_frac,
            from_s=from_s,
            to_s=to_s,
        )
        self._chart.options.clear()
        self._chart.options.update(options)
        self._chart.update()
        binds = "; ".join(view.get("binds") or ())
        so_far = f"{counted(view['drop_outs'], 'drop-out')}, {counted(view['messages_sent'], 'message')}"
        self._said.set_text(
            f"{_title(view)}. Target {power(view.get('target_power_w'))}, headroom held {power(view.get('headroom_power_w'))}, {so_far}."
            + (f" Limits: {binds}" if binds else "")
        )

    # --- orders ----------------------------------------------------------------------------------------------------------------

    def _open_order(self) -> None:
        OrderDialog(self._house, self._visitor, self._choose)

    def _open_amend(self) -> None:
        dispatch_id = self._chosen
        with ui.dialog() as dialog, ui.card().classes("w-96"):
            ui.label(f"Amend {dispatch_id}").classes("text-h6")
            amount = ui.input("Discharge power from now on", placeholder="leave empty to keep it").classes("w-full")
            longer = ui.input("New end (instant)", placeholder="2026-11-22T18:00Z, empty to keep it").classes("w-full")

            async def amend() -> None:
                changes = {"discharge_power_w": amount.value.strip() or None, "end": longer.value.strip() or None}
                body = {name: value for name, value in changes.items() if value is not None}
                if await act(self._house, self._visitor, "PATCH", f"/dispatches/{dispatch_id}", "Amended.", body) is not None:
                    dialog.close()

            with ui.row().classes("w-full justify-end"):
                ui.button("Back", on_click=dialog.close).props("flat")
                ui.button("Amend it", on_click=amend).props('color="primary"')
        dialog.open()

    def _open_note(self) -> None:
        dispatch_id = self._chosen
        with ui.dialog() as dialog, ui.card().classes("w-96"):
            ui.label(f"Note on {dispatch_id}").classes("text-h6")
            text = ui.textarea("What is to be remembered", placeholder="200 kW less, by telephone").props("autofocus").classes("w-full")

            async def note() -> None:
                path = f"/dispatches/{dispatch_id}/notes"
                if await act(self._house, self._visitor, "POST", path, "Noted.", {"text": text.value.strip()}) is not None:
                    dialog.close()

            with ui.row().classes("w-full justify-end"):
                ui.button("Back", on_click=dialog.close).props("flat")
                ui.button("Keep it", on_click=note).props('color="primary"')
        dialog.open()

    def _ask_cancel(self) -> None:
        dispatch_id = self._chosen
        with ui.dialog() as dialog, ui.card():
            ui.label(f"Cancel {dispatch_id}?").classes("text-h6")
            ui.label("Discharge stops now, and the cars go back to charging one after the other.")

            async def cancel() -> None:
                await act(self._house, self._visitor, "DELETE", f"/dispatches/{dispatch_id}", "Cancelled.")
                dialog.close()

            with ui.row().classes("w-full justify-end"):
                ui.button("Back", on_click=dialog.close).props("flat autofocus")
                ui.button("Cancel it", on_click=cancel).props('color="negative"')
        dialog.open()


def span_of(instruction: dict[str, Any], span_s: float, now_s: float) -> tuple[float, float]:
    """From when to when the chart goes; 0 = the whole window. What lies before a dispatch that has just begun is no part of it."""
    begins_s = instruction["start_s"] - BEFORE_S
    if not span_s:
        return begins_s, instruction["end_s"] + AFTER_S
    return min(max(now_s - span_s, begins_s), now_s - LEAST_S), now_s


def _title(view: dict[str, Any]) -> str:
    instruction = view["instruction"]
    asked_w = max((step["discharge_power_w"] for step in instruction["steps"]), default=0.0)
    return f"{instruction['dispatch_id']}: {power(asked_w)} from {day_and_clock(instruction['start_s'])}, {instruction['state']}"
