"""What can be promised over the next day, what was promised and how that was kept, and reports of what was delivered."""

from typing import Any
from urllib.parse import quote

from fastapi import Request
from nicegui import app, ui
from starlette.responses import PlainTextResponse, Response

from counterflow.console import charts
from counterflow.console.api import ApiError
from counterflow.console.frame import page, visitor_of
from counterflow.console.house import House
from counterflow.console.signing import COOKIE, Visitor
from counterflow.console.tables import table
from counterflow.console.words import UNKNOWN, day_and_clock, energy, power, share

FORMATS = {
    "pdf": "application/pdf",
    "png": "image/png",
    "csv": "text/csv",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}
REPORTS_SHOWN = 30


def show(house: House) -> None:
    """Add the page, and the way to a report's files."""

    @ui.page("/offers")
    async def offers() -> None:
        visitor = visitor_of(house)
        if visitor is None:
            return
        with page(house, visitor, "Offers and reports", "/offers"):
            ui.label("Firm power for 15 minutes, at each hour of the coming day").classes("text-h6")
            await _fan(house, visitor)
            ui.label("Offers and commitments").classes("text-h6 q-mt-md")
            await _commitments(house, visitor)
            ui.label("How forecasts of the last 30 days were kept").classes("text-h6 q-mt-md")
            await _coverage(house, visitor)
            ui.label("Delivered").classes("text-h6 q-mt-md")
            _reports(house, visitor)

    @app.get("/reports/{dispatch_id}.{kind}")
    async def report(request: Request, dispatch_id: str, kind: str) -> Response:
        visitor = house.visitors.find(request.cookies.get(COOKIE))
        if visitor is None or kind not in FORMATS:
            return PlainTextResponse("There is no such file.", status_code=404)
        try:
            body = await house.api.content(visitor.token, f"/dispatches/{quote(dispatch_id, safe='')}/report", format=kind)
        except ApiError as error:
            return PlainTextResponse(error.sentence, status_code=error.status or 502)
        headers = {} if kind == "png" else {"Content-Disposition": f'attachment; filename="{quote(dispatch_id)}.{kind}"'}
        return Response(body, media_type=FORMATS[kind], headers=headers)


async def _fan(house: House, visitor: Visitor) -> None:
    try:
        day = await house.api.get(visitor.token, "/offer/day")
    except ApiError as error:
        ui.label(error.sentence).classes("text-negative")
        return
    ui.label(fan_words(day)).classes("cf-name")
    if not any(level["power_w"] > 0.0 for one in day for level in one["levels"]):
        return
    ui.echart(charts.fan_options(day), renderer="svg").classes("w-full cf-chart").style("height: 320px").mark("fan").props(
        'role="img" aria-label="Firm power for 15 minutes, at each hour of the coming day"'
    )


def fan_words(day: list[dict[str, Any]]) -> str:
    """The fan in a sentence, for those who do not see it; and why there is nothing, if so."""
    if not day:
        return "Nothing is known of the coming day."
    first, most = day[0], max(day, key=lambda one: one["power_w"])
    cars, ready = first["grounds"]["sessions"], first["grounds"]["sessions_ready"]
    if most["power_w"] <= 0.0:
        grounds = first["grounds"]
        rated, limited, lasting, against = (power(grounds[f"{name}_power_w"]) for name in ("rated", "limited", "lasting", "against"))
        return (
            f"Nothing can be promised: of {cars} cars that are plugged in, {ready} may be discharged and are held by no dispatch; of their "
            f"{rated} {limited} fit the limits, {lasting} last, and {against} that others must charge counts against them."
        )
    return (
        f"Now {power(first['power_w'])} with {100.0 * first['confidence']:g} % certainty, from {ready} of {cars} cars; the most is "
        f"{power(most['power_w'])}, from {day_and_clock(most['start_s'])}. Only cars that are plugged in count. "
        f"As of {day_and_clock(first['made_at_s'])}."
    )


async def _commitments(house: House, visitor: Visitor) -> None:
    try:
        commitments = await house.api.get(visitor.token, "/commitments")
    except ApiError as error:
        ui.label(error.sentence).classes("text-negative")
        return
    rows = [
        {
            "id": one["commitment_id"],
            "state": one["state"],
            "pool": one["offer"]["pool"],
            "from": day_and_clock(one["offer"]["start_s"]),
            "for": f"{one['offer']['window_s'] / 60.0:.0f} min",
            "offered": power(one["offer"]["power_w"]),
            "committed": power(one["power_w"] or None),
            "by": one["committed_by"] or UNKNOWN,
        }
        for one in commitments[:REPORTS_SHOWN]
    ]
    titles = tuple((name, name.capitalize()) for name in ("id", "state", "pool", "from", "for", "offered", "committed", "by"))
    table(
        titles,
        rows,
        row_key="id",
        empty="Nothing was offered yet: counterflow offer --window 60min",
        numbers=("for", "offered", "committed"),
    )


async def _coverage(house: House, visitor: Visitor) -> None:
    try:
        coverage = await house.api.get(visitor.token, "/coverage")
    except ApiError as error:
        ui.label(error.sentence).classes("text-negative")
        return
    rows = [
        {
            "key": f"{one['pool']}/{one['window_s']}/{one['confidence']}",
            "pool": one["pool"],
            "window": f"{one['window_s'] / 60.0:.0f} min",
            "said": share(one["confidence"]),
            "reached": _interval(one),
            "forecasts": one["forecasts"],
        }
        for one in coverage
    ]
    titles = (("pool", "Pool"), ("window", "Window"), ("said", "Said"), ("reached", "Reached (95 % interval)"), ("forecasts", "Forecasts"))
    table(titles, rows, row_key="key", empty="No forecast's window has passed yet.", numbers=("window", "said", "reached", "forecasts"))


def _interval(one: dict[str, Any]) -> str:
    if one["reached_frac"] is None:
        return "not judged yet"
    return f"{share(one['reached_frac'])} ({share(one['reached_low_frac'])} to {share(one['reached_high_frac'])})"


def _reports(house: House, visitor: Visitor) -> None:
    done = [view for view in house.feed.dispatches if view["instruction"]["state"] in ("completed", "cancelled", "aborted", "resuming")]
    if not done:
        ui.label("No dispatch has ended yet.")
    for view in done[:REPORTS_SHOWN]:
        instruction = view["instruction"]
        name = instruction["dispatch_id"]
        known_wh = view.get("delivered_energy_wh")
        delivered = f", {energy(known_wh)} by the meters as they stood" if known_wh is not None else ""
        title = f"{name}: {day_and_clock(instruction['start_s'])}, {instruction['state']}{delivered}"
        with ui.expansion(title).classes("w-full").props("header-class=text-weight-medium") as opened:
            with ui.row().classes("gap-3 items-center"):
                for kind in FORMATS:
                    ui.link(kind.upper(), f"/reports/{name}.{kind}", new_tab=kind == "png")
                ui.link("Replay", f"/replay/{name}")
                check = ui.button("Verify").props("outline dense no-caps").classes("q-px-sm")
            told = ui.column().classes("w-full gap-0").props('role="status"')
            picture = ui.column().classes("w-full")
            check.on_click(lambda told=told, name=name: _verify(house, visitor, told, name))
            opened.on_value_change(
                lambda event, picture=picture, told=told, name=name: _show_report(house, visitor, event.value, (told, picture), name)
            )


async def _show_report(house: House, visitor: Visitor, is_open: bool, places: tuple[ui.column, ui.column], name: str) -> None:
    told, picture = places
    told.clear()
    picture.clear()
    if not is_open:
        return
    with picture:
        ui.image(f"/reports/{name}.png").classes("w-full").style("max-width: 1100px").props(f'alt="Picture of {name}"')
    try:
        versions = await house.api.get(visitor.token, f"/dispatches/{quote(name, safe='')}/report/versions")
    except ApiError as error:
        versions = []
        with told:
            ui.label(error.sentence)
    with told:
        for sentence in version_words(versions):
            ui.label(sentence)


def version_words(versions: list[dict[str, Any]]) -> list[str]:
    """The newest version that is kept: what it says, how sure it is, and the mark of its file."""
    if not versions:
        return ["No version is kept yet: it is written once the meter values are in."]
    newest = versions[-1]
    said = f"Version {newest['version']} of {day_and_clock(newest['generated_at_s'])}: {energy(newest['delivered_energy_wh'])} delivered"
    said += f", give or take {energy(newest['uncertainty_wh'])}."
    mark = f"SHA-256 of its file: {newest['sha256']}." if newest["sha256"] else "Its file was not written down (older release)."
    return [said, mark]


async def _verify(house: House, visitor: Visitor, told: ui.column, name: str) -> None:
    try:
        verdict = await house.api.get(visitor.token, f"/dispatches/{quote(name, safe='')}/report/verification")
    except ApiError as error:
        ui.notify(error.sentence, type="negative")
        return
    with told:
        for sentence in verdict_words(verdict):
            ui.label(sentence).classes("text-weight-medium" + ("" if verdict["holds"] else " text-negative"))


def verdict_words(verdict: dict[str, Any]) -> list[str]:
    """What came of making the report again."""
    if verdict["holds"]:
        return [f"Verified: made again from {verdict['samples']:,} meter values it says the same, to the Wh."]
    return ["Not verified: made again it is not the same.", *verdict["differences"]]
