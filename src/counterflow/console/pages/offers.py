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
            ui.label("Firm power over the windows to come").classes("text-h6")
            await _fan(house, visitor)
            ui.label("Offers and commitments").classes("text-h6 q-mt-md")
            await _commitments(house, visitor)
            ui.label("How forecasts of the last 30 days were kept").classes("text-h6 q-mt-md")
            await _coverage(house, visitor)
            ui.label("Delivered").classes("text-h6 q-mt-md")
            _reports(house)

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
        horizons = await house.api.get(visitor.token, "/offer/horizons")
    except ApiError as error:
        ui.label(error.sentence).classes("text-negative")
        return
    ui.echart(charts.fan_options(horizons)).classes("w-full").style("height: 320px").mark("fan")


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
    table(titles, rows, row_key="id", empty="Nothing was offered yet: counterflow offer --window 60min")


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
    table(titles, rows, row_key="key", empty="No forecast's window has passed yet.")


def _interval(one: dict[str, Any]) -> str:
    if one["reached_frac"] is None:
        return "not judged yet"
    return f"{share(one['reached_frac'])} ({share(one['reached_low_frac'])} to {share(one['reached_high_frac'])})"


def _reports(house: House) -> None:
    done = [view for view in house.feed.dispatches if view["instruction"]["state"] in ("completed", "cancelled", "aborted", "resuming")]
    if not done:
        ui.label("No dispatch has ended yet.")
    for view in done[:REPORTS_SHOWN]:
        instruction = view["instruction"]
        name = instruction["dispatch_id"]
        delivered = f"{energy(view.get('delivered_energy_wh'))} by the meters as they stood"
        title = f"{name}: {day_and_clock(instruction['start_s'])}, {instruction['state']}, {delivered}"
        with ui.expansion(title).classes("w-full") as opened:
            with ui.row().classes("gap-3"):
                for kind in FORMATS:
                    ui.link(kind.upper(), f"/reports/{name}.{kind}", new_tab=kind == "png")
                ui.link("Replay", f"/replay/{name}")
            picture = ui.column().classes("w-full")
            opened.on_value_change(lambda event, picture=picture, name=name: _show_picture(event.value, picture, name))


def _show_picture(is_open: bool, place: ui.column, name: str) -> None:
    place.clear()
    if is_open:
        with place:
            ui.image(f"/reports/{name}.png").classes("w-full").style("max-width: 1100px").props(f'alt="Picture of {name}"')
