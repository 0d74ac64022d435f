"""How the server itself is: connections, messages, control, storage, alarms; and who changed what."""

import re
from typing import Any

from nicegui import ui

from counterflow.console.api import ApiError
from counterflow.console.frame import every_second, page, visitor_of
from counterflow.console.house import House
from counterflow.console.signing import Visitor
from counterflow.console.tables import table
from counterflow.console.words import day_and_clock

LOOK_EVERY_S = 5.0
_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? ([^ ]+)$")
ENTRIES_SHOWN = 100


def show(house: House) -> None:
    """Add the page."""

    @ui.page("/health")
    async def health() -> None:
        visitor = visitor_of(house)
        if visitor is None:
            return
        with page(house, visitor, "Health", "/health"):
            with ui.row().classes("w-full gap-3 items-stretch"):
                _figures(house)
            ui.label("What is measured").classes("text-h6 q-mt-md")
            await _metrics(house, visitor)
            ui.label("Who changed what").classes("text-h6 q-mt-md")
            await _audit(house, visitor)


def _figures(house: House) -> None:
    shown: dict[str, ui.label] = {}
    for name in ("stations connected", "sessions", "sessions ready", "profiles at stations", "messages sent"):
        with ui.card().classes("col").props("flat bordered"):
            ui.label(name).classes("cf-name")
            shown[name] = ui.label("–").classes("cf-figure")

    def update() -> None:
        fleet = house.feed.fleet
        if not fleet:
            return
        shown["stations connected"].set_text(f"{fleet['stations_connected']} of {fleet['stations_known']}")
        shown["sessions"].set_text(str(fleet["sessions"]))
        shown["sessions ready"].set_text(str(fleet["sessions_ready"]))
        shown["profiles at stations"].set_text(str(fleet["profiles_placed"]))
        shown["messages sent"].set_text(str(fleet["messages_sent"]))

    every_second(update)


async def _metrics(house: House, visitor: Visitor) -> None:
    search = ui.input("Search metrics", placeholder="tick, journal, frames").props("clearable dense").classes("w-72")
    shown = table(
        (("name", "Metric"), ("labels", "Of"), ("value", "Value"), ("per_s", "Per second")), [], row_key="key", empty="Nothing found."
    )
    shown.props("virtual-scroll").style("max-height: 40vh")
    before: dict[str, float] = {}

    async def update() -> None:
        try:
            text = await house.api.metrics(visitor.token)
        except ApiError:
            return
        wanted = (search.value or "").lower()
        rows = metric_rows(text, before, LOOK_EVERY_S)
        shown.rows = [row for row in rows if wanted in row["key"].lower()]
        shown.update()

    await update()
    ui.timer(LOOK_EVERY_S, update)


def metric_rows(text: str, before: dict[str, float], over_s: float) -> list[dict[str, Any]]:
    """A row a sample of the Prometheus page; of counters with how fast they grew since `before`, which is brought up to date."""
    rows, counters = [], {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE") and line.endswith(" counter")}
    for line in text.splitlines():
        found = _SAMPLE.match(line)
        if found is None or found[1].endswith(("_created", "_bucket")):
            continue
        name, labels, value = found[1], (found[2] or "").strip("{}").replace('"', ""), float(found[3])
        key = f"{name} {labels}"
        counts = name in counters or name.removesuffix("_total") in counters or name.endswith(("_count", "_sum"))
        grown = f"{(value - before[key]) / over_s:.3g}" if counts and key in before else ""
        before[key] = value
        rows.append({"key": key, "name": name, "labels": labels, "value": f"{value:.10g}", "per_s": grown})
    return rows


async def _audit(house: House, visitor: Visitor) -> None:
    try:
        entries = await house.api.get(visitor.token, "/audit", most=ENTRIES_SHOWN)
    except ApiError as error:
        ui.label(error.sentence)
        return
    rows = [
        {
            "key": number,
            "at": day_and_clock(one["at_s"]),
            "who": one["who"],
            "role": one["role"],
            "what": one["action"],
            "status": one["status"],
        }
        for number, one in enumerate(entries)
    ]
    titles = (("at", "When"), ("who", "Who"), ("role", "Role"), ("what", "What"), ("status", "Answer"))
    table(titles, rows, row_key="key", empty="Nothing was changed yet.")
