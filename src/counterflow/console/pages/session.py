"""One session: what is known of it, its meter values and orders over time, why it is asked what it is asked, and the driver's word."""

from typing import Any
from urllib.parse import quote

from nicegui import ui

from counterflow.console import charts
from counterflow.console.asking import Asked
from counterflow.console.facts import Facts
from counterflow.console.frame import act, keep_asking, page, visitor_of
from counterflow.console.house import House
from counterflow.console.signing import Visitor
from counterflow.console.tables import table
from counterflow.console.words import UNKNOWN, age, clock, day_and_clock, energy, power, share, with_clocks

LOOK_EVERY_S = 2.0
HISTORY_EVERY_S = 30.0
"""The history is read from the disk: so often, and sooner when there is a new order or another answer."""
HISTORY_SOONEST_S = 8.0
ORDERS_SHOWN = 200
ORDERS = (("at", "When"), ("power", "Asked"), ("why", "Why"), ("outcome", "What its station said"), ("dispatch", "Dispatch"))


def show(house: House) -> None:
    """Add the page."""

    @ui.page("/sessions/{station_id}/{transaction_id}")
    async def session(station_id: str, transaction_id: str) -> None:
        visitor = visitor_of(house)
        if visitor is not None:
            with page(house, visitor, f"Session at {station_id}", "/fleet"):
                await OneSession(house, visitor, station_id, transaction_id).begin()


class OneSession:
    """The page of one viewer."""

    def __init__(self, house: House, visitor: Visitor, station_id: str, transaction_id: str) -> None:
        self._house = house
        self._visitor = visitor
        self._path = f"/sessions/{quote(station_id, safe='')}/{quote(transaction_id, safe='')}"
        self._history_of: tuple[Any, ...] = ()
        self._history_at_s = 0.0
        self._why_shown: list[str] = []
        self._asked = Asked(self._find, self._show, self._say_why)
        with ui.row().classes("w-full items-center gap-3"):
            ui.label(f"{station_id}, transaction {transaction_id}").classes("text-h5")
            ui.link("Its station", f"/stations/{quote(station_id, safe='')}")
        with ui.row().classes("w-full items-start gap-6"):
            with ui.column().classes("col gap-1"):
                ui.label("What is known of it").classes("text-h6")
                self._facts = Facts("w-full")
            with ui.column().classes("col gap-1"):
                ui.label("Why this setpoint").classes("text-h6")
                self._why = ui.column().classes("w-full gap-0")
                self._add_driver()
        ui.label("Power and state of charge").classes("text-h6")
        self._chart = ui.echart({"series": []}, renderer="svg").classes("w-full cf-chart").style("height: 34vh; min-height: 260px")
        ui.label("Orders to it").classes("text-h6")
        self._orders = table(ORDERS, [], row_key="key", empty="Nothing was asked of it in the last hours.")
        self._orders.pagination = {"rowsPerPage": 10}

    def _add_driver(self) -> None:
        ui.label("The driver says").classes("text-h6 q-mt-sm")
        with ui.row().classes("items-center gap-3"):
            stop = ui.button("Driver: stop discharging", on_click=lambda: self._say({"say": "stop"})).props('outline color="negative"')
            again = ui.button("Take the driver's word back", on_click=lambda: self._say({"say": "clear"})).props("outline")
        with ui.row().classes("items-center gap-3"):
            leaves = ui.input("Driver: I leave at (instant)", placeholder="2026-11-22T15:00Z").props("dense").classes("w-64")
            depart = ui.button("Say so", on_click=lambda: self._say({"say": "depart", "departure": leaves.value.strip()})).props("outline")
        with ui.row().classes("items-center gap-3"):
            least = ui.number("Driver: keep at least (%)", min=0, max=100, step=5, value=50).props("dense").classes("w-64")
            keep = ui.button("Keep it", on_click=lambda: self._say({"say": "keep", "min_soc_frac": (least.value or 0.0) / 100.0}))
            keep.props("outline")
        for button in (stop, depart, keep, again):
            button.set_enabled(self._visitor.may_operate)

    async def begin(self) -> None:
        """Now, and again every few seconds."""
        await keep_asking(LOOK_EVERY_S, self._asked)

    async def _find(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]:
        """The session, why it is asked what it is asked, and its history where that is due."""
        token = self._visitor.token
        view = await self._house.api.get(token, self._path)
        told = await self._house.api.get(token, f"/sessions/{view['session_uid']}/explain")
        return view, told, await self._house.api.get(token, f"/sessions/{view['session_uid']}/history") if self._is_due(view) else None

    def _show(self, found: tuple[dict[str, Any], dict[str, Any], dict[str, Any] | None]) -> None:
        view, told, seen = found
        self._facts.show(facts_of(view))
        sentences = [with_clocks(sentence, self._house.now_s()) for sentence in told["sentences"]]
        if sentences != self._why_shown:
            self._why_shown = sentences
            self._why.clear()
            with self._why:
                for sentence in sentences:
                    ui.label(sentence)
        if seen is not None:
            self._show_history(seen)
            self._history_of, self._history_at_s = newest_of(view), self._house.now_s()

    def _say_why(self, why_not: str) -> None:
        self._facts.say(why_not)
        self._orders.say(why_not)

    def _is_due(self, view: dict[str, Any]) -> bool:
        wait_s = HISTORY_SOONEST_S if newest_of(view) != self._history_of else HISTORY_EVERY_S
        return self._house.now_s() - self._history_at_s > wait_s

    def _show_history(self, seen: dict[str, Any]) -> None:
        self._chart.options.clear()
        self._chart.options.update(charts.session_options(seen))
        self._chart.update()
        self._orders.show([order_row(number, one) for number, one in enumerate(seen["setpoints"])][::-1][:ORDERS_SHOWN])

    async def _say(self, body: dict[str, Any]) -> None:
        await act(self._house, self._visitor, "PUT", f"{self._path}/override", "The next tick follows it.", body)
        await self._asked.ask()


def newest_of(view: dict[str, Any]) -> tuple[Any, ...]:
    """What makes its history worth another look when it changes."""
    return tuple(view[name] for name in ("setpoint_w", "setpoint_state", "dispatch_id", "override"))


def order_row(number: int, entry: dict[str, Any]) -> dict[str, Any]:
    """One order of the ledger."""
    answered = "" if entry["answered_at_s"] is None else f" at {clock(entry['answered_at_s'])}"
    return {
        "key": number,
        "at": clock(entry["at_s"]),
        "power": "taken back" if entry["power_w"] is None else power(entry["power_w"]),
        "why": entry["reason_text"],
        "outcome": f"{entry['outcome']}{answered}" if entry["outcome"] else "not known any more",
        "dispatch": entry["dispatch_id"],
    }


def facts_of(view: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and value, in words."""
    return [
        ("May it be discharged?", view["reason_text"]),
        ("State of charge", f"{share(view['soc_frac'])}, told {age(view['soc_age_s'])} ago; floor {share(view['soc_floor_frac'])}"),
        ("Energy above the floor", energy(view["energy_above_floor_wh"])),
        ("Departure", day_and_clock(view["departure_s"])),
        ("Time to spare until it must charge", age(view["laxity_s"])),
        ("Power", f"{power(view['power_w'])}, told {age(view['power_age_s'])} ago"),
        ("Setpoint", f"{power(view['setpoint_w'])}, {view['setpoint_state'].replace('_', ' ')}"),
        ("Could give now", power(view["available_power_w"])),
        ("Export register", energy(view["export_wh"])),
        ("Response learned", share(view["gain"])),
        ("Dispatch", view["dispatch_id"] or UNKNOWN),
        ("Driver's word", view["override"] or UNKNOWN),
        ("Pausing its charging", view["pausing_text"]),
    ]
