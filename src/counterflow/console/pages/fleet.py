"""All sessions in a table that the server pages, sorts and searches."""

from typing import Any
from urllib.parse import quote

from nicegui import ui

from counterflow.console.asking import Asked
from counterflow.console.frame import keep_asking, page, visitor_of
from counterflow.console.house import House
from counterflow.console.signing import Visitor
from counterflow.console.tables import asked_of, keep_up, paged_table
from counterflow.console.words import age, day_and_clock, power, share

LOOK_EVERY_S = 2.0
ROWS = 25
ALL_FRAC = 0.98
"""A setpoint of so much of what a car can is all of it."""
AT_REST_W = 100.0
"""Meters of cars at rest show so much, either way."""
COLUMNS: tuple[tuple[str, str, str | None], ...] = (
    ("station", "Station", "station"),
    ("soc", "SoC / floor", "soc"),
    ("departure", "Departure", "departure"),
    ("setpoint", "Setpoint", "setpoint"),
    ("power", "Measured", "power"),
    ("error", "Error", "error"),
    ("heard", "Last heard", "heard"),
    ("state", "State", None),
    ("reason", "Why", None),
)
"""Field, title, and what the server sorts it by."""
NUMBERS = frozenset({"soc", "setpoint", "power", "error", "heard"})


def show(house: House) -> None:
    """Add the page."""

    @ui.page("/fleet")
    async def fleet() -> None:
        visitor = visitor_of(house)
        if visitor is not None:
            with page(house, visitor, "Fleet", "/fleet"):
                await Sessions(house, visitor).begin()


class Sessions:
    """The table of one viewer."""

    def __init__(self, house: House, visitor: Visitor) -> None:
        self._house = house
        self._visitor = visitor
        with ui.row().classes("w-full items-center gap-3"):
            self._search = ui.input("Search station or transaction").props("clearable dense debounce=300").classes("w-72")
            self._reason = ui.select({"": "all reasons"}, value="", label="Why").props("dense").classes("w-64")
            self._count = ui.label().classes("text-caption")
            ui.space()
            ui.link("Stations", "/stations")
        self._table = paged_table(COLUMNS, rows=ROWS, row_key="key", empty="No session.", numbers=NUMBERS)
        self._asked: Asked[dict[str, Any]] = Asked(self._find, self._show, self._say)
        keep_up(self._table, (self._search, self._reason), self._asked.ask)

    async def begin(self) -> None:
        """The first page, and a fresh look now and then."""
        await keep_asking(LOOK_EVERY_S, self._asked)

    async def _find(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._house.api.get(
            self._visitor.token,
            "/sessions/page",
            search=self._search.value or None,
            reason=self._reason.value or None,
            **asked_of(self._table, COLUMNS, "station"),
        )
        return found

    def _say(self, why_not: str) -> None:
        self._table.say(why_not)
        if why_not:
            self._count.set_text(why_not)

    def _show(self, found: dict[str, Any]) -> None:
        self._count.set_text(f"{found['matched']} of {found['total']} sessions")
        options = {"": "all reasons", **{code: f"{code.replace('_', ' ')} ({count})" for code, count in sorted(found["reasons"].items())}}
        if options != self._reason.options and (self._reason.value or "") in options:
            self._reason.set_options(options, value=self._reason.value)
        self._table.show_page([row_of(view) for view in found["sessions"]], found["matched"])


def row_of(view: dict[str, Any]) -> dict[str, Any]:
    """One session as the table shows it."""
    setpoint_w, power_w = view["setpoint_w"], view["power_w"]
    error_w = None if setpoint_w is None or power_w is None else power_w - setpoint_w
    where = f"{quote(view['station_id'], safe='')}/{quote(view['transaction_id'], safe='')}"
    return {
        "key": where,
        "link": f"/sessions/{where}",
        "station": view["station_id"],
        "soc": f"{share(view['soc_frac'])} / {share(view['soc_floor_frac'])}",
        "departure": day_and_clock(view["departure_s"]),
        "setpoint": power(setpoint_w),
        "power": power(power_w),
        "error": power(error_w),
        "heard": age(view["power_age_s"]),
        "state": state_words(view),
        "reason": why_words(view),
    }


def state_words(view: dict[str, Any]) -> str:
    """What its car does: stations say that it charges also of one that discharges, and only the meter knows the way."""
    phase, power_w = view["phase"], view["power_w"]
    return "discharging" if phase == "charging" and power_w is not None and power_w > AT_REST_W else phase.replace("_", " ")


def why_words(view: dict[str, Any]) -> str:
    """Why it may not be discharged, or what its share is and why."""
    setpoint_w, able_w = view["setpoint_w"], view["available_power_w"]
    if view["reason"] != "ready":
        return str(view["reason_text"])
    if view["dispatch_id"] is None or setpoint_w is None:
        return f"{view['reason_text']}; no dispatch asks for it"
    if setpoint_w < 0.0:
        return f"charges less: at most {power(-setpoint_w)}, which counts as delivered"
    if setpoint_w == 0.0:
        return "stands by at 0 W until its dispatch needs it"
    if able_w is None or setpoint_w >= ALL_FRAC * able_w:
        return "gives all that it can"
    return f"gives a part of the {power(able_w)} that it can, as much as is needed"
