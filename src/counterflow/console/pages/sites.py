"""Sites, feeders and phases with what they may carry, and who else steers there."""

from math import nan
from typing import Any
from urllib.parse import quote

from nicegui import ui

from counterflow.console.asking import NOT_YET, Asked
from counterflow.console.frame import act, every_second, keep_asking, page, visitor_of
from counterflow.console.house import House
from counterflow.console.signing import Visitor
from counterflow.console.tables import table
from counterflow.console.words import day_and_clock, power

CONFLICTS_EVERY_S = 2.0
CONFLICTS_ANYHOW_S = 60.0
LEADERS = {None: "nobody has confirmed", "us": "we lead", "them": "they lead"}
NEARLY_FULL_FRAC = 0.9
BINDS_FRAC = 0.995
"""Cars do not follow to the watt: what is this full leaves no room for another setpoint."""
ROW = "display: grid; grid-template-columns: minmax(12rem, 18rem) 1fr 1fr; gap: 1.5rem; align-items: center"


def show(house: House) -> None:
    """Add the page."""

    @ui.page("/sites")
    async def sites() -> None:
        visitor = visitor_of(house)
        if visitor is None:
            return
        with page(house, visitor, "Sites", "/sites"):
            ui.label("Limits").classes("text-h6")
            _limits(house)
            ui.label("Who else steers").classes("text-h6 q-mt-md")
            await Conflicts(house, visitor).keep()


def _limits(house: House) -> None:
    body = ui.column().classes("w-full gap-4")
    shown: list[Any] = ["?"]

    def update() -> None:
        limits = house.feed.limits
        if limits == shown[0]:
            return
        shown[0] = limits
        body.clear()
        with body:
            if limits is None:
                ui.label(NOT_YET)
            elif not limits:
                ui.label("No site has a limit. Name them in [[sites]] and [[feeders]] of the settings.")
            for depth, limit in tree(limits or []):
                with ui.element("div").classes("w-full").style(ROW):
                    ui.label(limit["group"]).classes("text-weight-medium").style(f"padding-left: {1.5 * depth}rem")
                    _bar(limit, "export", limit["export_power_w"], limit["max_export_power_w"], limit.get("held_export_power_w"))
                    drawn_w = limit["import_power_w"] + limit["load_most_w"]
                    _bar(limit, "import", drawn_w, limit["max_import_power_w"], limit.get("held_import_power_w"))
                for sentence in limit.get("held") or ():
                    ui.label(sentence).classes("text-caption").style(f"padding-left: {1.5 * depth + 1}rem")

    every_second(update)


def tree(limits: list[dict[str, Any]]) -> list[tuple[int, dict[str, Any]]]:
    """Limits in the order of the tree, each with its depth. What hangs on something that is not there stands at the top."""
    names = {limit["group"] for limit in limits}
    below: dict[str | None, list[dict[str, Any]]] = {}
    for limit in limits:
        below.setdefault(limit["above"] if limit["above"] in names else None, []).append(limit)
    found: list[tuple[int, dict[str, Any]]] = []

    def walk(above: str | None, depth: int) -> None:
        for limit in below.get(above, ()):
            found.append((depth, limit))
            walk(limit["group"], depth + 1)

    walk(None, 0)
    return found


def effective(always_w: float | None, held_w: float | None) -> float | None:
    """The lower of the two that are known."""
    known = [limit_w for limit_w in (always_w, held_w) if limit_w is not None]
    return min(known) if known else None


def binding_words(flow_w: float, always_w: float | None, held_w: float | None) -> tuple[str, float]:
    """What flows of what may, and which limit it is; and the used share of it, NaN = no limit."""
    limit_w = effective(always_w, held_w)
    if limit_w is None:
        return f"{power(flow_w)}, no limit", nan
    used = flow_w / limit_w if limit_w > 0.0 else 1.0
    whose = "held by the grid operator" if held_w is not None and limit_w == held_w and held_w != always_w else ""
    binds = "binds: at its limit" if used >= BINDS_FRAC else "nearly full" if used >= NEARLY_FULL_FRAC else ""
    notes = "; ".join(words for words in (whose, binds) if words)
    return f"{power(flow_w)} of {power(limit_w)}" + (f" – {notes}" if notes else ""), used


def _bar(limit: dict[str, Any], name: str, flow_w: float, always_w: float | None, held_w: float | None) -> None:
    """How much of a limit is used; a limit that binds says so in words and by its pattern, not by colour alone."""
    words, used = binding_words(flow_w, always_w, held_w)
    with ui.column().classes("gap-0 w-full"):
        ui.label(f"{name} {words}").classes("text-body2" + (" text-weight-bold" if used >= NEARLY_FULL_FRAC else ""))
        if used == used:
            state = " cf-full" if used >= BINDS_FRAC else " cf-near" if used >= NEARLY_FULL_FRAC else ""
            percent = 100.0 * min(max(used, 0.0), 1.0)
            bar = ui.element("div").classes(f"cf-bar w-full{state}")
            bar.props(
                f'role="meter" aria-label="{name} of {limit["group"]}" aria-valuenow="{percent:.0f}" aria-valuemin="0" aria-valuemax="100"'
            )
            with bar:
                ui.element("div").style(f"width: {percent:.1f}%")


class Conflicts:
    """Who else steers, with what a person can say to it, as one viewer sees it."""

    def __init__(self, house: House, visitor: Visitor) -> None:
        self._house = house
        self._visitor = visitor
        titles = (("site", "Site"), ("station", "Station"), ("evse", "EVSE"), ("why", "Conflict"), ("leader", "Who leads"))
        self._table = table(titles, [], row_key="key", empty="Nobody else steers a station of ours.")
        self._sites = ui.column().classes("w-full gap-2")
        self._trouble = ui.label().classes("text-negative")
        self._shown: list[tuple[str, str]] = []
        self._told, self._asked_s = -1, 0.0
        self._asked = Asked(self._find, self._show, self._say)

    async def keep(self) -> None:
        """Now, and for as long as the page is open."""
        await keep_asking(CONFLICTS_EVERY_S, self._asked)

    async def _find(self) -> tuple[int, list[dict[str, Any]], list[dict[str, Any]]] | None:
        """What is known now, after so much news; None = there is none. The server looks at every session for it: so it is asked when there
        is news of it, and else now and then."""
        told = self._house.feed.others_told
        if told == self._told and self._house.now_s() - self._asked_s < CONFLICTS_ANYHOW_S:
            return None
        conflicts = await self._house.api.get(self._visitor.token, "/conflicts", untold=False)
        return told, conflicts, await self._house.api.get(self._visitor.token, "/conflicts/priorities")

    def _show(self, found: tuple[int, list[dict[str, Any]], list[dict[str, Any]]] | None) -> None:
        if found is None:
            return
        told, conflicts, said = found
        rows = conflict_rows(conflicts)
        self._table.show(rows)
        last = {one["site_id"]: last_word(one["entries"]) for one in said}
        sites = [(site, last.get(site, "Nobody has confirmed anything.")) for site in sorted({row["site"] for row in rows})]
        if sites != self._shown:
            self._shown = sites
            self._show_sites()
        self._told, self._asked_s = told, self._house.now_s()

    def _say(self, why_not: str) -> None:
        self._trouble.set_text(self._table.say(why_not))

    def _show_sites(self) -> None:
        self._sites.clear()
        with self._sites:
            for site, words in self._shown:
                with ui.row().classes("items-center gap-3"):
                    ui.label(f"Site {site}. {words}")
                    confirm = ui.button("Confirm who leads", on_click=lambda site=site: self._ask(site)).props("outline")
                    confirm.set_enabled(self._visitor.may_operate)

    def _ask(self, site: str) -> None:
        with ui.dialog() as dialog, ui.card().classes("w-96"):
            ui.label(f"Who has priority at site {site}?").classes("text-h6")
            choices = {"us": "We do: our profiles go above theirs", "them": "They do: their EVSEs are not dispatched"}
            leader = ui.radio(choices, value="them")
            by = ui.input("Who of the site's operator says so").props("autofocus").classes("w-full")
            note = ui.input("Note").classes("w-full")

            async def confirm() -> None:
                body = {"leader": leader.value, "by": by.value.strip(), "note": note.value.strip()}
                path = f"/conflicts/priorities/{quote(site, safe='')}"
                if await act(self._house, self._visitor, "PUT", path, "Confirmed.", body) is not None:
                    dialog.close()
                    self._asked_s = 0.0
                    await self._asked.ask()

            with ui.row().classes("w-full justify-end"):
                ui.button("Back", on_click=dialog.close).props("flat")
                ui.button("Confirm", on_click=confirm).props('color="primary"')
        dialog.open()


def conflict_rows(conflicts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Where somebody else steers, or may."""
    return [
        {
            "key": f"{one['station_id']}/{one['evse_id']}",
            "site": one["site_id"],
            "station": one["station_id"],
            "evse": one["evse_id"] or "whole station",
            "why": one["conflict_text"],
            "leader": LEADERS[one["leader"]],
        }
        for one in conflicts
        if one["conflict"] != "none" or one["other_profiles"]
    ]


def last_word(entries: list[dict[str, Any]]) -> str:
    """What was said last of who leads, by whom."""
    if not entries:
        return "Nobody has confirmed anything."
    newest = entries[-1]
    words = "taken back" if newest["leader"] is None else LEADERS[newest["leader"]]
    return f"Last word: {words}, said by {newest['by']}, {day_and_clock(newest['at_s'])}."
