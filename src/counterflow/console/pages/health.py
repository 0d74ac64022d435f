"""How the server itself is: connections, messages, control, storage, alarms; and who changed what."""

import re
from collections.abc import Callable
from time import monotonic
from typing import Any

from nicegui import ui

from counterflow.console.asking import Asked
from counterflow.console.figures import Figure
from counterflow.console.frame import every_second, keep_asking, page, visitor_of
from counterflow.console.house import House
from counterflow.console.listed import Listed, Row
from counterflow.console.remedies import remedy_of
from counterflow.console.signing import Visitor
from counterflow.console.tables import table
from counterflow.console.words import UNKNOWN, day_and_clock, size

LOOK_EVERY_S = 5.0
STORAGE_EVERY_S = 60.0
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
            ui.label("Alarms").classes("text-h6")
            _alarms(house)
            ui.label("Now").classes("text-h6 q-mt-md")
            show_figures = _figures(house)
            ui.label("Storage").classes("text-h6 q-mt-md")
            await _storage(house, visitor)
            ui.label("What is measured").classes("text-h6 q-mt-md")
            await _metrics(house, visitor, show_figures)
            ui.label("Who changed what").classes("text-h6 q-mt-md")
            await _audit(house, visitor)


NUMBERS: tuple[tuple[str, str, bool, str], ...] = (
    ("frames in / s", "counterflow_gateway_messages_total direction=in", True, ""),
    ("frames out / s", "counterflow_gateway_messages_total direction=out", True, ""),
    ("control tick", "counterflow_tick_duration_seconds ", False, "ms"),
    ("ticks late", "counterflow_ticks_late_total ", False, ""),
    ("setpoints waiting", "counterflow_setpoints_waiting ", False, ""),
    ("writes waiting", "counterflow_journal_behind ", False, ""),
    ("writes / s", "counterflow_journal_writes_total ", True, ""),
    ("stations in discovery", "counterflow_ocpp_discovering ", False, ""),
)
"""Card, sample, whether its growth per second is shown, and its unit (`ms` = the sample is in seconds)."""


def _figures(house: House) -> Callable[[list[dict[str, Any]]], None]:
    """Cards of the fleet, each second; and those of the metrics, by what is called with their rows."""
    names = ("stations connected", "sessions ready", "profiles at stations", "messages sent", *(name for name, *_ in NUMBERS))
    with ui.element("div").classes("w-full cf-cards"):
        shown = {name: Figure(name, name) for name in names}

    def update() -> None:
        fleet = house.feed.fleet
        if not fleet:
            return
        shown["stations connected"].set_text(f"{fleet['stations_connected']:,} of {fleet['stations_known']:,}")
        shown["sessions ready"].set_text(f"{fleet['sessions_ready']:,} of {fleet['sessions']:,}")
        shown["profiles at stations"].set_text(f"{fleet['profiles_placed']:,}")
        shown["messages sent"].set_text(f"{fleet['messages_sent']:,}")

    every_second(update)

    def show_figures(rows: list[dict[str, Any]]) -> None:
        for name, words in number_words(rows).items():
            shown[name].set_text(words)

    return show_figures


def number_words(rows: list[dict[str, Any]]) -> dict[str, str]:
    """The cards that the metrics fill; what is not known yet stays a dash."""
    by_key = {row["key"]: row for row in rows}
    words = {}
    for name, key, grows, unit in NUMBERS:
        value = by_key.get(key, {}).get("per_s" if grows else "value") or ""
        words[name] = UNKNOWN if not value else f"{1e3 * float(value):.1f} ms" if unit == "ms" else f"{float(value):,.4g}"
    return words


def _alarms(house: House) -> None:
    """What is wrong, and what to do about each."""
    body = ui.column().classes("w-full gap-1").props('role="status"')
    shown: list[tuple[str, tuple[str, ...]] | None] = [None]

    def update() -> None:
        trouble, alarms = house.feed.trouble, tuple(house.feed.health.get("alarms", ()))
        if (trouble, alarms) == shown[0]:
            return
        shown[0] = (trouble, alarms)
        body.clear()
        with body:
            ui.label(alarms_words(trouble, len(alarms)))
            for sentence in alarms:
                ui.label(sentence).classes("text-weight-medium")
                ui.label(f"What to do: {remedy_of(sentence)}").classes("q-mb-sm")

    every_second(update)


def alarms_words(trouble: str, known: int) -> str:
    """Whether there is an alarm, as far as that is known."""
    if trouble:
        return f"Whether there is an alarm now is not known: {trouble}" + (" Those that were known before:" if known else "")
    return {0: "There is no alarm.", 1: "There is one alarm."}.get(known, f"There are {known} alarms.")


async def _storage(house: House, visitor: Visitor) -> None:
    """What is kept on the disk, how much of it, and for how long."""
    shown = table((("what", "What"), ("size", "Size"), ("kept", "Kept for")), [], row_key="what", empty="Nothing.", numbers=("size",))
    await Listed(house, visitor, "/storage", storage_rows, shown).keep(STORAGE_EVERY_S)


def storage_rows(kept: dict[str, Any]) -> list[Row]:
    """What lies there, and what is free."""
    rows = [{"what": one["what"], "size": size(one["size_bytes"]), "kept": one["kept"]} for one in kept["stores"]]
    return [*rows, {"what": "free on the disk", "size": size(kept["free_bytes"]), "kept": UNKNOWN}]


async def _metrics(house: House, visitor: Visitor, show_figures: Callable[[list[dict[str, Any]]], None]) -> None:
    search = ui.input("Search metrics", placeholder="tick, journal, frames").props("clearable dense").classes("w-72")
    titles = (("name", "Metric"), ("labels", "Of"), ("value", "Value"), ("per_s", "Per second"))
    shown = table(titles, [], row_key="key", empty="Nothing found.", numbers=("value", "per_s"))
    shown.props("virtual-scroll").style("max-height: 40vh")
    trouble = ui.label().classes("text-negative")
    before: dict[str, float] = {}
    looked_at_s = [monotonic()]

    def show(text: str) -> None:
        now_s = monotonic()
        rows = metric_rows(text, before, now_s - looked_at_s[0])
        looked_at_s[0] = now_s
        show_figures(rows)
        wanted = (search.value or "").lower()
        shown.show([row for row in rows if wanted in row["key"].lower()])

    def say(why_not: str) -> None:
        trouble.set_text(shown.say(why_not))
        if why_not:
            show_figures([])

    await keep_asking(LOOK_EVERY_S, Asked(lambda: house.api.metrics(visitor.token), show, say))


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
    titles = (("at", "When"), ("who", "Who"), ("role", "Role"), ("what", "What"), ("status", "Answer"))
    shown = table(titles, [], row_key="key", empty="Nothing was changed yet.")
    await Listed(house, visitor, "/audit", audit_rows, shown, most=ENTRIES_SHOWN).keep()


def audit_rows(entries: list[dict[str, Any]]) -> list[Row]:
    """Who changed what, and how the server answered."""
    return [
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
