"""Stations: who they are, what they can do and why, what of ours may lie there, and what crossed the wire."""

from typing import Any
from urllib.parse import quote

import msgspec
from nicegui import ui

from counterflow.console.asking import Asked
from counterflow.console.facts import Facts
from counterflow.console.frame import act, keep_asking, page, visitor_of
from counterflow.console.house import House
from counterflow.console.signing import Visitor
from counterflow.console.tables import asked_of, keep_up, paged_table, table
from counterflow.console.words import UNKNOWN, clock, day_and_clock, power
from counterflow.domain.resources import ControlMode
from counterflow.domain.station_settings import StationVariable

LOOK_EVERY_S = 2.0
FRAMES_EVERY_S = 10.0
FRAMES_SHOWN = 100
PROFILES_SHOWN = 200
LEDGER_SOONEST_S = 2.0
LIST_EVERY_S = 5.0
ROWS = 25
COLUMNS: tuple[tuple[str, str, str | None], ...] = (
    ("station", "Station", "station"),
    ("site", "Site", "site"),
    ("line", "Line", None),
    ("heard", "Last heard", "heard"),
    ("model", "Model", "model"),
    ("control", "Control", None),
    ("sessions", "Sessions", "sessions"),
    ("profiles", "Profiles of ours", "profiles"),
    ("held", "Held out", None),
)
"""Field, title, and what the server sorts it by."""
ONLY = {"": "all stations", "connected": "connected", "away": "not connected", "held_out": "held out"}


def show(house: House) -> None:
    """Add the pages."""

    @ui.page("/stations")
    async def stations() -> None:
        visitor = visitor_of(house)
        if visitor is not None:
            with page(house, visitor, "Stations", "/fleet"):
                await Stations(house, visitor).begin()

    @ui.page("/stations/{station_id}")
    async def station(station_id: str) -> None:
        visitor = visitor_of(house)
        if visitor is not None:
            with page(house, visitor, f"Station {station_id}", "/fleet"):
                await OneStation(house, visitor, station_id).begin()


class Stations:
    """The list of one viewer, which the server pages, sorts and searches."""

    def __init__(self, house: House, visitor: Visitor) -> None:
        self._house = house
        self._visitor = visitor
        with ui.row().classes("w-full items-center gap-3"):
            self._search = ui.input("Search station, site, model, serial number").props("clearable dense debounce=300").classes("w-96")
            self._only = ui.select(ONLY, value="", label="Which").props("dense").classes("w-48")
            self._count = ui.label().classes("text-caption").props('role="status"')
            ui.space()
            ui.link("Sessions", "/fleet")
        empty = "No station. It may connect once it is registered: counterflow stations add"
        self._table = paged_table(COLUMNS, rows=ROWS, row_key="station", empty=empty, numbers=("sessions", "profiles"))
        self._asked: Asked[dict[str, Any]] = Asked(self._find, self._show, self._say)
        keep_up(self._table, (self._search, self._only), self._asked.ask)

    async def begin(self) -> None:
        """The first page, and a fresh look now and then."""
        await keep_asking(LIST_EVERY_S, self._asked)

    async def _find(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._house.api.get(
            self._visitor.token,
            "/fleet/stations",
            search=self._search.value or None,
            only=self._only.value or None,
            **asked_of(self._table, COLUMNS, "station"),
        )
        return found

    def _say(self, why_not: str) -> None:
        self._table.say(why_not)
        if why_not:
            self._count.set_text(why_not)

    def _show(self, found: dict[str, Any]) -> None:
        held = f", {found['held_out']} held out of dispatch" if found["held_out"] else ""
        self._count.set_text(f"{found['matched']} of {found['total']} stations; {found['connected']} connected{held}")
        self._table.show_page([row_of(view) for view in found["stations"]], found["matched"])


def row_of(view: dict[str, Any]) -> dict[str, Any]:
    """One station as the list shows it."""
    modes = sorted({control_words(evse["control_mode"]) for evse in view["evses"]})
    return {
        "station": view["station_id"],
        "link": f"/stations/{quote(view['station_id'], safe='')}",
        "site": view["site_id"],
        "line": view["subprotocol"] or "connected" if view["connected"] else "not connected",
        "heard": day_and_clock(view["last_seen_s"]),
        "model": " ".join(part for part in (view["identity"]["vendor_name"], view["identity"]["model"]) if part) or UNKNOWN,
        "control": ", ".join(modes) or "not known yet",
        "sessions": view["sessions"],
        "profiles": view["profiles"],
        "held": view["held_out"] or UNKNOWN,
    }


def control_words(mode: int) -> str:
    """`negative limit`."""
    return ControlMode(mode).name.lower().replace("_", " ")


class OneStation:
    """The page of one station."""

    def __init__(self, house: House, visitor: Visitor, station_id: str) -> None:
        self._house = house
        self._visitor = visitor
        self._station_id = station_id
        self._path = f"/stations/{quote(station_id, safe='')}"
        self._profiles_here: list[dict[str, Any]] | None = None
        self._ledger_at_s = 0.0
        self._asked = Asked(self._find, self._show, self._say)
        self._asked_frames = Asked(self._find_frames, self._show_frames, self._say_frames)
        with ui.row().classes("w-full items-center gap-3"):
            ui.label(f"Station {station_id}").classes("text-h5")
            ui.space()
            ask = ui.button("Ask anew what it can do", on_click=self._ask_anew).props("outline")
            ask.set_enabled(visitor.may_operate)
            self._release = ui.button("Let it take part again", on_click=self._open_release).props("outline")
        self._facts = Facts("w-full")
        ui.label("EVSEs").classes("text-h6")
        titles = (("evse", "EVSE"), ("control", "Control"), ("why", "Why"), ("gives", "Gives at most"), ("takes", "Takes at most"))
        self._evses = table((*titles, ("modes", "Modes")), [], row_key="evse", empty="It has not told what it can do.")
        with ui.expansion("Settings that we changed").classes("w-full").props("dense header-class=q-px-none"):
            settings = (("variable", "Variable"), ("former", "Before"), ("ours", "Ours"), ("since", "Since"))
            self._settings = table(settings, [], row_key="variable", empty="None: it is as it was found.")
        with ui.row().classes("w-full items-center gap-3"):
            ui.label("Charging profiles").classes("text-h6")
            ui.space()
            clear = ui.button("Clear all of ours here", on_click=self._ask_clear).props('outline color="negative"')
            clear.set_enabled(visitor.may_operate)
        profiles = (("id", "Profile"), ("standing", "Standing"), ("evse", "EVSE"), ("kind", "Kind"), ("power", "Power"),
                    ("placed", "Placed"), ("answer", "Its station said"), ("cleared", "Cleared"), ("dispatch", "Dispatch"))  # fmt: skip
        self._profiles = table(profiles, [], row_key="key", empty="None, as far as is known.")
        self._profiles.pagination = {"rowsPerPage": 10}
        ui.label("What has gone is shown as long as its messages are kept. Profiles go as their dispatch ends.").classes("cf-name")
        ui.label("Messages").classes("text-h6")
        self._search = ui.input("Search messages", placeholder="SetChargingProfile").props("clearable dense debounce=400").classes("w-72")
        self._search.on_value_change(self._search_frames)
        frames = (("at", "When"), ("way", "Way"), ("text", "Message"))
        self._frames = table(frames, [], row_key="key", empty="No message of it is kept that holds this.")
        self._frames.style("max-height: 60vh").props('table-class="cf-frames"')
        self._frames_trouble = ui.label().classes("text-negative")
        ui.label("Secrets are masked; people and cars appear under pseudonyms.").classes("cf-name")

    async def begin(self) -> None:
        """Now; identity and profiles again every few seconds, messages more rarely."""
        await keep_asking(LOOK_EVERY_S, self._asked)
        await keep_asking(FRAMES_EVERY_S, self._asked_frames)

    async def _find(self) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]] | None]:
        """The station, our profiles there, and the ledger of them where it is due."""
        view = await self._house.api.get(self._visitor.token, self._path)
        here = await self._house.api.get(self._visitor.token, self._path + "/profiles")
        # What has gone is looked up in the raw frames: only when something has changed, and not all the time.
        due = here != self._profiles_here and self._house.now_s() - self._ledger_at_s > LEDGER_SOONEST_S
        return view, here, await self._house.api.get(self._visitor.token, self._path + "/profiles/ledger") if due else None

    def _show(self, found: tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]] | None]) -> None:
        view, here, profiles = found
        self._release.set_enabled(self._visitor.may_operate and view["held_out"] is not None)
        self._facts.show(facts_of(view))
        self._evses.show([evse_row(evse) for evse in view["evses"]])
        self._settings.show([setting_row(change) for change in view["changed_settings"]])
        if profiles is not None:
            self._profiles.show([profile_row(number, profile) for number, profile in enumerate(profiles[:PROFILES_SHOWN])])
            self._profiles_here, self._ledger_at_s = here, self._house.now_s()

    def _say(self, why_not: str) -> None:
        self._facts.say(why_not)
        for shown in (self._evses, self._settings, self._profiles):
            shown.say(why_not)
        if why_not:
            self._release.set_enabled(False)

    async def _find_frames(self) -> list[dict[str, Any]]:
        search = self._search.value or None
        found: list[dict[str, Any]] = await self._house.api.get(
            self._visitor.token, self._path + "/frames", search=search, most=FRAMES_SHOWN
        )
        return found

    def _show_frames(self, found: list[dict[str, Any]]) -> None:
        rows = [
            {"key": number, "at": clock(one["at_s"]), "way": "from it" if one["direction"] == "in" else "to it", "text": one["text"]}
            for number, one in enumerate(found)
        ]
        self._frames.show(rows[::-1])

    def _say_frames(self, why_not: str) -> None:
        self._frames_trouble.set_text(self._frames.say(why_not))

    async def _search_frames(self) -> None:
        self._frames.forget()
        await self._asked_frames.ask()

    async def _ask_anew(self) -> None:
        await act(self._house, self._visitor, "POST", self._path + "/discovery", "It has answered.")
        await self._asked.ask()

    def _ask_clear(self) -> None:
        with ui.dialog() as dialog, ui.card():
            ui.label(f"Clear every profile of ours at {self._station_id}?").classes("text-h6")
            ui.label("Its cars stop discharging and leave their dispatch, which asks others instead; they rest for a while.")
            ui.label("What the station does not confirm stays in the ledger and is cleared again until it does.")

            async def clear() -> None:
                await act(self._house, self._visitor, "POST", self._path + "/clear", "The clears are on their way.")
                dialog.close()
                self._ledger_at_s = 0.0
                await self._asked.ask()

            with ui.row().classes("w-full justify-end"):
                ui.button("Back", on_click=dialog.close).props("flat autofocus")
                ui.button("Clear them", on_click=clear).props('color="negative"')
        dialog.open()

    def _open_release(self) -> None:
        with ui.dialog() as dialog, ui.card().classes("w-96"):
            ui.label(f"Let {self._station_id} take part again?").classes("text-h6")
            by = ui.input("Who says so").props("autofocus").classes("w-full")
            note = ui.input("Why it is right again", placeholder="meter rewired").classes("w-full")

            async def release() -> None:
                body = {"by": by.value.strip(), "note": note.value.strip()}
                if await act(self._house, self._visitor, "POST", self._path + "/release", "It takes part again.", body) is not None:
                    dialog.close()
                    await self._asked.ask()

            with ui.row().classes("w-full justify-end"):
                ui.button("Back", on_click=dialog.close).props("flat")
                ui.button("Let it", on_click=release).props('color="primary"')
        dialog.open()


def facts_of(view: dict[str, Any]) -> list[tuple[str, str]]:
    """Name and value, in words; what does not apply is left out."""
    identity = view["identity"]
    line = f"connected ({view['subprotocol']})" if view["connected"] else "not connected"
    facts = [
        ("Line", f"{line}, last heard {day_and_clock(view['last_seen_s'])}"),
        ("Site", view["site_id"]),
        ("Model", f"{identity['vendor_name']} {identity['model']}".strip() or UNKNOWN),
        ("Serial number", identity["serial_number"] or UNKNOWN),
        ("Firmware", identity["firmware_version"] or UNKNOWN),
        ("Security", f"profile {view['security_profile']} or better, {'with a' if view['password_set'] else 'without a'} password"),
        ("Sessions", str(view["sessions"])),
        ("Asked what it can do", day_and_clock(view["discovered_at_s"])),
        ("Meter values every", UNKNOWN if view["meter_interval_s"] is None else f"{view['meter_interval_s']:g} s"),
        ("Samples", ", ".join(view["facts"]["measurands"]) or UNKNOWN),
    ]
    if view["held_out"]:
        facts.insert(0, ("Held out of dispatch", view["held_out"]))
    if view["outdated"]:
        facts.append(("What was learned is void", view["outdated"]))
    if view["awaits_reboot"]:
        facts.append(("Waits", "for a reboot, to take settings"))
    facts += [("Refused", sentence) for sentence in view["refusals"]]
    return facts


def setting_row(change: dict[str, Any]) -> dict[str, Any]:
    """A variable that we set: what it was, and what it is now."""
    return {
        "variable": str(msgspec.convert(change["variable"], StationVariable)),
        "former": change["former"].replace(",", ", ") or "nothing",
        "ours": (change["ours"] or (UNKNOWN,))[-1].replace(",", ", "),
        "since": day_and_clock(change["set_at_s"]),
    }


def evse_row(evse: dict[str, Any]) -> dict[str, Any]:
    """One EVSE: how it is told to discharge, or why it cannot be."""
    return {
        "evse": evse["evse_id"],
        "control": control_words(evse["control_mode"]),
        "why": evse["reason"],
        "gives": power(evse["max_discharge_power_w"]),
        "takes": power(evse["max_charge_power_w"]),
        "modes": ", ".join(evse["operation_modes"]) or UNKNOWN,
    }


def profile_row(number: int, entry: dict[str, Any]) -> dict[str, Any]:
    """One profile of the ledger: what became of it."""
    cleared = UNKNOWN if entry["cleared_at_s"] is None else f"{clock(entry['cleared_at_s'])}: {entry['clear_answer'] or 'no answer yet'}"
    return {
        "key": number,
        "id": entry["profile_id"],
        "standing": f"{entry['standing']}: {entry['standing_text']}",
        "evse": UNKNOWN if entry["evse_id"] is None else entry["evse_id"] or "all",
        "kind": entry["kind"].replace("_", " ") or UNKNOWN,
        "power": power(entry["power_w"]),
        "placed": clock(entry["placed_at_s"]),
        "answer": entry["answer"] or UNKNOWN,
        "cleared": cleared,
        "dispatch": entry["dispatch_id"] or UNKNOWN,
    }
