"""Reports of what was delivered: picture, version and uncertainty, downloads, and whether they can be made again."""

from typing import Any
from urllib.parse import quote

from fastapi import Request
from nicegui import app, ui
from starlette.responses import PlainTextResponse, Response

from counterflow.console.api import ApiError
from counterflow.console.asking import NOT_YET
from counterflow.console.frame import again_and_again, every_second
from counterflow.console.house import House
from counterflow.console.signing import COOKIE, Visitor
from counterflow.console.words import day_and_clock, energy

FORMATS = {
    "pdf": "application/pdf",
    "png": "image/png",
    "csv": "text/csv",
    "json": "application/json",
    "parquet": "application/vnd.apache.parquet",
}
REPORTS_SHOWN = 30
VERSIONS_EVERY_S = 10.0
REPORT_WITHIN_S = 3_600.0
"""So long after the end a report is waited for; one that never began gets none."""
ENDED = frozenset({"completed", "cancelled", "aborted", "resuming"})


def show(house: House) -> None:
    """Add the way to a report's files."""

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


class Delivered:
    """The newest dispatches that have ended, as one viewer sees them; one that ends while the page is open comes to the top."""

    def __init__(self, house: House, visitor: Visitor) -> None:
        self._house = house
        self._visitor = visitor
        self._none = ui.label(NOT_YET).classes("cf-name")
        self._list = ui.column().classes("w-full gap-0")
        self._shown: dict[str, OneReport] = {}
        self._energies_wh: dict[str, float] = {}
        """As the newest report of each says."""
        self._asked: set[str] = set()

    async def keep(self) -> None:
        """Now, and for as long as the page is open."""
        every_second(self.update)
        await again_and_again(VERSIONS_EVERY_S, self.load)

    async def load(self) -> None:
        """What those delivered whose report is there by now."""
        for name in self._shown.keys() - self._energies_wh.keys():
            view = self._house.feed.dispatch(name)
            if view is None or (name in self._asked and not report_may_come(view, self._house.now_s())):
                continue
            try:
                versions = await self._house.api.get(self._visitor.token, f"/dispatches/{quote(name, safe='')}/report/versions")
            except ApiError:
                return  # its title goes without; unfolded, it says why
            self._asked.add(name)
            if versions:
                self._energies_wh[name] = versions[-1]["delivered_energy_wh"]
                self._shown[name].versions_came(versions)
        self.update()

    def update(self) -> None:
        """Those that are not shown yet, and the titles of the others."""
        done = [view for view in self._house.feed.dispatches if view["instruction"]["state"] in ENDED][:REPORTS_SHOWN]
        self._none.set_text("No dispatch has ended yet." if self._house.feed.is_known else NOT_YET)
        self._none.set_visibility(not done)
        for view in reversed(done):
            name = view["instruction"]["dispatch_id"]
            if name not in self._shown:
                with self._list:
                    self._shown[name] = OneReport(self._house, self._visitor, name)
            self._shown[name].entitle(report_title(view, self._energies_wh.get(name)))


def report_may_come(view: dict[str, Any], now_s: float) -> bool:
    """Whether a dispatch that has none so far may get its report yet."""
    instruction = view["instruction"]
    return bool(instruction["start_s"] <= now_s <= instruction["end_s"] + REPORT_WITHIN_S)


def report_title(view: dict[str, Any], reported_wh: float | None) -> str:
    """Which dispatch, when, how it ended, and what it delivered: as its report says or, before there is one, as far as is known at once."""
    instruction, seen_wh = view["instruction"], view.get("delivered_energy_wh")
    if reported_wh is not None:
        delivered = f", {energy(reported_wh)} delivered"
    else:
        delivered = f", {energy(seen_wh)} by the meters as they stood" if seen_wh is not None else ""
    return f"{instruction['dispatch_id']}: {day_and_clock(instruction['start_s'])}, {instruction['state']}{delivered}"


class OneReport:
    """One of them, folded up until somebody wants to see it."""

    def __init__(self, house: House, visitor: Visitor, name: str) -> None:
        self._house = house
        self._visitor = visitor
        self._path = f"/dispatches/{quote(name, safe='')}/report"
        self._name = name
        self._title = ""
        self._waits = False
        with ui.expansion().classes("w-full").props("header-class=text-weight-medium") as self._fold:
            with ui.row().classes("gap-3 items-center"):
                for kind in FORMATS:
                    ui.link(kind.upper(), f"/reports/{name}.{kind}", new_tab=kind == "png")
                ui.link("Replay", f"/replay/{name}")
                ui.button("Verify", on_click=self._verify).props("outline dense no-caps").classes("q-px-sm")
            self._told = ui.column().classes("w-full gap-0").props('role="status"')
            self._verdict = ui.column().classes("w-full gap-0").props('role="status"')
            self._picture = ui.column().classes("w-full")
        self._fold.move(target_index=0)
        self._fold.on_value_change(lambda event: self._unfolded(event.value))

    def entitle(self, title: str) -> None:
        """What stands on it while it is folded up."""
        if title != self._title:
            self._title = title
            self._fold.set_text(title)

    async def _unfolded(self, is_open: bool) -> None:
        for part in (self._told, self._verdict, self._picture):
            part.clear()
        if not is_open:
            return
        with self._picture:
            ui.image(f"/reports/{self._name}.png").classes("w-full").style("max-width: 1100px").props(f'alt="Picture of {self._name}"')
        try:
            versions = await self._house.api.get(self._visitor.token, f"{self._path}/versions")
        except ApiError as error:
            self._tell([error.sentence])
        else:
            self._waits = not versions
            self._tell(version_words(versions))

    def versions_came(self, versions: list[dict[str, Any]]) -> None:
        """Who has it unfolded was told that there is none yet."""
        if self._waits and self._fold.value:
            self._waits = False
            self._told.clear()
            self._tell(version_words(versions))

    async def _verify(self) -> None:
        self._judge(["Making it again from log and meter values."])
        try:
            verdict = await self._house.api.get(self._visitor.token, f"{self._path}/verification")
        except ApiError as error:
            self._judge([error.sentence], "text-negative")
            return
        self._judge(verdict_words(verdict), "text-weight-medium" + ("" if verdict["holds"] else " text-negative"))

    def _judge(self, sentences: list[str], classes: str = "") -> None:
        self._verdict.clear()
        with self._verdict:
            for sentence in sentences:
                ui.label(sentence).classes(classes)

    def _tell(self, sentences: list[str], classes: str = "") -> None:
        with self._told:
            for sentence in sentences:
                ui.label(sentence).classes(classes)


def version_words(versions: list[dict[str, Any]]) -> list[str]:
    """The newest version that is kept: what it says, how sure it is, and the mark of its file."""
    if not versions:
        return ["No version is kept yet: it is written once the meter values are in."]
    newest = versions[-1]
    said = f"Version {newest['version']} of {day_and_clock(newest['generated_at_s'])}: {energy(newest['delivered_energy_wh'])} delivered"
    said += f", give or take {energy(newest['uncertainty_wh'])}."
    mark = f"SHA-256 of its file: {newest['sha256']}." if newest["sha256"] else "Its file was not written down (older release)."
    return [said, mark]


def verdict_words(verdict: dict[str, Any]) -> list[str]:
    """What came of making the report again."""
    if verdict["holds"]:
        return [f"Verified: made again from {verdict['samples']:,} meter values it says the same, to the Wh."]
    return ["Not verified: made again it is not the same.", *verdict["differences"]]
