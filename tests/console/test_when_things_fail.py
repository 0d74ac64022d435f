"""What a viewer sees in a real Chromium when the console's process falls, hangs or is cut off, when the server behind it is away or does
not answer, and when a sign-in ends: nothing looks live that is not, and nothing that is pressed goes without a word.

The server behind is played here, so that it can be away, and answer late and in any order.
"""

import asyncio
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE
from typing import Any

import httpx
import msgspec
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from counterflow.console.main import READY
from counterflow.console.settings import ConsoleOrders, ConsoleSettings
from counterflow.console.signing import COOKIE

pytestmark = pytest.mark.timeout(180)
PATIENCE_MS = 60_000
STATIONS = 60
FEASIBLE = {
    "expected_power_w": 5e5, "low_power_w": 4e5, "sessions": 50, "committed_power_w": 4e5, "low_energy_wh": 1e5, "shortfall_power_w": 0.0,
}  # fmt: skip


class Api:
    """The server behind the console; what contains one of `held` is answered once that is taken out again."""

    def __init__(self) -> None:
        self.port = free_port()
        self.held: set[str] = set()
        self.asked: list[str] = []
        self.stopped = False
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def come(self) -> None:
        """Be there."""
        app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST", "DELETE"])])
        config = uvicorn.Config(app, port=self.port, log_level="error", timeout_graceful_shutdown=0, lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        wait_for(lambda: self._server is not None and self._server.started)

    def go(self) -> None:
        """Be away: connections are refused."""
        assert self._server is not None
        assert self._thread is not None
        self._server.should_exit = self._server.force_exit = True
        self._thread.join()

    async def _answer(self, request: Request) -> Response:
        asked = f"{request.method} {request.url.path}?{request.url.query}&"
        self.asked.append(asked)
        while any(part in asked for part in self.held):
            await asyncio.sleep(0.02)
        path = request.url.path.removeprefix("/api/v1")
        if path == "/events":
            return StreamingResponse(self._stream(), media_type="text/event-stream")
        if path == "/emergency-stop":
            self.stopped = request.method == "POST"
        return JSONResponse(self._found(path, request))

    async def _stream(self) -> Any:
        while self._server is not None and not self._server.should_exit:
            yield ":\n\n"
            await asyncio.sleep(0.1)

    def _found(self, path: str, request: Request) -> Any:
        if path == "/fleet/stations":
            first, most = int(request.query_params["offset"]), int(request.query_params["limit"])
            rows = [station(number) for number in range(first, min(STATIONS, first + most))]
            return {"stations": rows, "matched": STATIONS, "total": STATIONS, "connected": STATIONS, "held_out": 0}
        if path == "/dispatches" and request.method == "POST":
            return {"dispatch": {"feasibility": FEASIBLE}}
        return {
            "/healthz": {"alarms": []},
            "/fleet": {"emergency_stop": self.stopped},
            "/whoami": {"name": "api:ann", "role": "operator"},
            "/dispatches": [],
            "/limits": [],
            "/telemetry": [],
            "/emergency-stop": {},
        }[path]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def station(number: int) -> dict[str, Any]:
    identity = {"vendor_name": "Maker", "model": "One"}
    return {
        "station_id": f"CS-{number:03d}", "evses": [], "site_id": "depot", "subprotocol": "ocpp2.1", "connected": True,
        "last_seen_s": 1.8e9, "identity": identity, "sessions": 0, "profiles": 0, "held_out": None,
    }  # fmt: skip


def wait_for(holds: Any) -> None:
    deadline_s = time.monotonic() + PATIENCE_MS / 1e3
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


class Console:
    """The console's own process, which can be killed and started again on its port."""

    def __init__(self, api: Api) -> None:
        settings = ConsoleSettings(port=free_port())
        self._orders = ConsoleOrders(settings=settings, api_url=f"http://127.0.0.1:{api.port}", feed_token="t")
        self.url = f"http://127.0.0.1:{settings.port}"

    def start(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-m", "counterflow.console"], stdin=PIPE, stdout=PIPE)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(self._orders) + b"\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline().decode().startswith(READY)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    api = Api()
    api.come()
    yield api
    api.held.clear()
    api.go()


@pytest.fixture(scope="module")
def console(api: Api) -> Iterator[Console]:
    console = Console(api)
    console.start()
    yield console
    console.kill()


@contextmanager
def somebody(browser: Browser, console: Console) -> Iterator[Page]:
    """Who has just signed in."""
    headers = {"Origin": console.url}
    key = httpx.post(console.url + "/sign-in", data={"token": "t"}, headers=headers, timeout=30.0).cookies[COOKIE]
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.add_cookies([{"name": COOKIE, "value": key, "url": console.url}])
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(console.url)
    expect(mark(page)).to_have_text(re.compile("^live"))
    yield page
    context.close()


@pytest.fixture(scope="module")
def viewer(browser: Browser, console: Console) -> Iterator[Page]:
    with somebody(browser, console) as page:
        yield page


@pytest.fixture
def page(viewer: Page, console: Console) -> Page:
    """The dispatch room, opened anew, on a laptop."""
    viewer.set_viewport_size({"width": 1400, "height": 900})
    viewer.goto(console.url)
    if "/sign-in" in viewer.url:  # the console's process is another one by now
        sign_in(viewer)
    expect(mark(viewer)).to_have_text(re.compile("^live"))
    return viewer


def sign_in(page: Page) -> None:
    page.fill("#token", "t")
    page.click("button")
    expect(page.get_by_role("button", name="Emergency stop")).to_be_visible(timeout=PATIENCE_MS)


def mark(page: Page) -> Any:
    return page.locator(".cf-live")


def is_old(page: Page) -> None:
    """The mark in the header says so, and a sentence as well."""
    expect(page.locator("html.cf-cut .cf-live[data-age]")).to_be_visible(timeout=PATIENCE_MS)
    shown = page.evaluate("getComputedStyle(document.querySelector('.cf-live'), '::before').content")
    assert "old" in shown
    expect(bar(page)).to_contain_text(re.compile(r"^No connection to the console for \d+ s: what is shown is that old\."))


def bar(page: Page) -> Any:
    return page.locator("#cf-cut")


def is_live(page: Page) -> None:
    expect(page.locator("html:not(.cf-cut) .cf-live")).to_have_text(re.compile(r"^live \d\d:\d\d:\d\d UTC$"), timeout=PATIENCE_MS)


def test_a_process_that_falls_and_comes_back_leads_to_the_sign_in_and_back_to_the_page(page: Page, console: Console) -> None:
    page.goto(console.url + "/stations")
    expect(page.get_by_role("link", name="CS-000")).to_be_visible()
    console.kill()
    is_old(page)
    page.get_by_role("button", name="Emergency stop").click()
    expect(bar(page)).to_contain_text(re.compile("“Emergency stop” was not done: .*`counterflow emergency-stop`", re.IGNORECASE))
    page.get_by_role("link", name="Sites").click()
    expect(bar(page)).to_contain_text("“Sites” was not done")
    expect(page).to_have_url(console.url + "/stations")
    console.start()
    expect(page).to_have_url(re.compile("/sign-in"), timeout=PATIENCE_MS)
    expect(page.get_by_role("alert")).to_contain_text("Your sign-in is over.")
    sign_in(page)
    expect(page).to_have_url(console.url + "/stations")
    is_live(page)


def test_a_line_that_is_cut_and_a_process_that_hangs_are_seen_and_what_was_pressed_meanwhile_is_in_doubt(
    browser: Browser, page: Page, console: Console
) -> None:
    doubt = re.compile("as “New dispatch” was pressed: whether it was done is not known", re.IGNORECASE)
    with somebody(browser, console) as cut:
        cut.context.set_offline(True)
        cut.evaluate("window.socket.io.engine.close()")
        with console.frozen():
            page.get_by_role("button", name="New dispatch").click()
            is_old(page)
            expect(bar(page)).to_contain_text(doubt)
            is_old(cut)
        is_live(page)
        is_old(cut)
        cut.context.set_offline(False)
        expect(bar(page)).to_contain_text(doubt)
        is_live(cut)
        expect(bar(cut)).to_be_hidden()


def test_a_server_that_is_away_is_said_everywhere(page: Page, console: Console, api: Api) -> None:
    api.go()
    try:
        expect(mark(page)).to_have_text(re.compile(r"^old: \d+ s, at "), timeout=PATIENCE_MS)
        gone = re.compile(r"^The server cannot be reached; .* What is shown is of \d\d:\d\d:\d\d UTC\.$")
        expect(page.get_by_role("alert").get_by_text(gone)).to_be_visible()
        page.get_by_role("button", name="Emergency stop").click()
        page.get_by_role("button", name="Stop now").click()
        expect(page.locator(".q-notification").get_by_text("The server cannot be reached")).to_be_visible()
        page.goto(console.url + "/stations")
        expect(page.get_by_text("Not known: The server cannot be reached;")).to_be_visible()
        expect(page.get_by_text("No station.")).to_have_count(0)
    finally:
        api.come()
    expect(page.get_by_role("link", name="CS-000")).to_be_visible(timeout=PATIENCE_MS)
    is_live(page)
    expect(page.get_by_role("alert").get_by_text("The server cannot be reached")).to_have_count(0)


def test_a_server_that_hangs_makes_everything_old_and_keeps_no_page_from_opening_and_no_click_without_a_word(
    page: Page, console: Console, api: Api
) -> None:
    api.held = {"/fleet?", "/fleet/stations", "/emergency-stop", "/series"}
    try:
        page.goto(console.url + "/replay/d-1")
        expect(page.get_by_text("Not known yet: the server has not answered so far.")).to_be_visible()
        page.goto(console.url + "/stations")
        expect(page.get_by_text("Not known yet: the server has not answered so far.")).to_be_visible()
        page.get_by_role("button", name="Emergency stop").click()
        page.get_by_role("button", name="Stop now").click()
        expect(page.get_by_text("Asked. The server has not answered yet: whether it is done is not known.")).to_be_visible()
        expect(mark(page)).to_have_text(re.compile(r"^old: \d+ s, at "), timeout=PATIENCE_MS)
        expect(page.get_by_role("alert").get_by_text("The server does not answer. What is shown is of")).to_be_visible()
    finally:
        api.held = set()
    expect(page.get_by_text("The emergency stop is on.")).to_be_visible()
    expect(page.get_by_text("Asked. The server has not answered yet")).to_have_count(0)
    expect(page.get_by_role("link", name="CS-000")).to_be_visible()
    is_live(page)
    api.stopped = False


def test_nothing_is_cut_off(page: Page, console: Console) -> None:
    """Figures of many digits fit their cards; where a table goes on below the window, its pages can be turned without scrolling."""
    for width, height in ((1400, 900), (1920, 1080)):
        page.set_viewport_size({"width": width, "height": height})
        page.goto(console.url)
        _figures_fit(page)
        page.goto(console.url + "/stations")
        _pages_can_be_turned(page, height)


def _figures_fit(page: Page) -> None:
    figures = page.locator(".cf-figure")
    expect(figures.first).to_have_text("–")
    for figure, text in zip(figures.all(), ("-1,234.5 kW", "100.42 kWh", "10,000 of 10,000", "123.4 MW", "10 min"), strict=True):
        fits = figure.evaluate(
            """(found, text) => {
                found.innerText = text;
                found.style.setProperty("--cf-letters", Math.max(8, text.length));
                return found.scrollWidth <= found.clientWidth && found.getBoundingClientRect().width > 0;
            }""",
            text,
        )
        assert fits, text


def _pages_can_be_turned(page: Page, height: int) -> None:
    expect(page.get_by_role("link", name="CS-000")).to_be_visible()
    apart = page.evaluate(
        """() => {
            const field = [...document.querySelectorAll(".q-field")].find(one => one.innerText.includes("all stations"));
            const [label, value] = [".q-field__label", ".q-field__native span"].map(part => field.querySelector(part));
            return value.getBoundingClientRect().top - label.getBoundingClientRect().bottom;
        }"""
    )
    assert apart >= -1.0, "the name of a field does not lie on what is in it"
    turn = page.get_by_role("button", name="Next page").bounding_box()
    assert turn is not None
    assert turn["width"] >= 20.0, "it can be hit, and seen from afar"
    assert turn["y"] + turn["height"] <= height
    assert page.evaluate("document.documentElement.scrollHeight <= window.innerHeight")
    if height == 900:
        assert page.evaluate("(body => body.scrollHeight <= body.clientHeight)(document.querySelector('.q-table__middle'))"), "25 rows"


def test_the_answer_to_an_older_question_is_not_shown_under_the_new_page(page: Page, console: Console, api: Api) -> None:
    page.goto(console.url + "/stations")
    page.get_by_label("Search").fill("CS")  # so that it is this page that asks, and no other
    asks = "search=CS&sort=station&descending=false&offset=0&"
    wait_for(lambda: any(asks in asked for asked in api.asked))
    expect(page.get_by_role("link", name="CS-000")).to_be_visible()
    api.held = {asks}
    begun = len(api.asked)
    wait_for(lambda: any(asks in asked for asked in api.asked[begun:]))
    page.get_by_role("button", name="Next page").click()  # while the refresh of the first page is on its way
    expect(page.get_by_role("link", name="CS-025")).to_be_visible()
    api.held = set()
    page.wait_for_timeout(500.0)
    expect(page.get_by_role("link", name="CS-025")).to_be_visible()
    expect(page.get_by_role("link", name="CS-000")).to_have_count(0)
    expect(page.get_by_text(f"26-50 of {STATIONS}")).to_be_visible()


def test_what_is_in_doubt_keeps_no_button_from_being_pressed_and_is_not_said_for_ever(page: Page, console: Console) -> None:
    for for_ms in (60_000, 100):
        page.evaluate(f"sessionStorage['counterflow-in-doubt'] = JSON.stringify({{what: 'Order it', until: Date.now() + {for_ms}}})")
        page.goto(console.url + "/stations")
        if for_ms > PATIENCE_MS / 2:
            expect(bar(page)).to_contain_text("as “Order it” was pressed")
            page.get_by_role("button", name="Next page").click()
            expect(page.get_by_role("link", name="CS-025")).to_be_visible()
    expect(bar(page)).to_be_hidden()


def test_a_preview_that_comes_late_is_of_no_other_order(page: Page, api: Api) -> None:
    page.get_by_role("button", name="New dispatch").click()
    page.get_by_label("Discharge power").fill("100kW")
    api.held = {"POST /api/v1/dispatches"}
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("Working it out.")).to_be_visible()
    page.get_by_label("Discharge power").fill("10MW")
    page.get_by_label("For", exact=True).focus()
    api.held = set()
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text(re.compile("^Feasible: "))).to_be_visible()
    order = page.get_by_role("button", name="Order it")
    expect(order).to_be_enabled()
    page.get_by_label("Discharge power").fill("20MW")
    expect(order).to_be_disabled()
    expect(page.get_by_text(re.compile("^Feasible: "))).to_have_count(0)


def test_a_sign_in_that_ends_under_an_open_dialog_says_so_and_leads_back(page: Page, console: Console) -> None:
    page.goto(console.url + "/sites")
    page.get_by_role("button", name="Emergency stop").click()
    expect(page.get_by_role("button", name="Stop now")).to_be_visible()
    shown = {COOKIE: next(one["value"] for one in page.context.cookies() if one["name"] == COOKIE)}
    httpx.post(console.url + "/sign-out", cookies=shown, headers={"Origin": console.url}, timeout=30.0)
    expect(page.get_by_role("alert")).to_contain_text("Sign in again; what had not been sent was not done.", timeout=PATIENCE_MS)
    sign_in(page)
    expect(page).to_have_url(console.url + "/sites")
