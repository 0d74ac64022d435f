"""Ten thousand sessions and stations in a real Chromium: turning, sorting, filtering and searching each take less than 0.3 s, from the
click to the rows on the screen, through console, API and server.
"""

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from playwright.sync_api import Browser, Page, expect

from counterflow.app.config import Settings
from counterflow.app.security.token import find_token
from counterflow.app.server import Server
from counterflow.domain.ids import EvseId, SiteId, StationId, TransactionId
from counterflow.domain.resources import StationRegistration
from counterflow.domain.session_views import SessionOrder, SessionQuery
from counterflow.domain.station_views import StationOrder, StationQuery
from counterflow.domain.telemetry import EventKind, Measurement, TransactionPhase, TransactionReported

pytestmark = pytest.mark.timeout(120)
MANY = 10_000
SOON_MS = 300.0
LITTLE_MS = 60.0
ROUNDS = 5
PATIENCE_MS = 20_000


def fill(server: Server) -> None:
    """Sessions straight into the fleet's state: what stations would have told over the wire."""
    now_s = time.time()
    for number in range(MANY):
        station_id, transaction_id = StationId(f"CS-{number:05d}"), TransactionId(f"tx-{number:05d}")
        server.room.registry.registrations[station_id] = StationRegistration(station_id=station_id, site_id=SiteId("default"))
        seen = Measurement(at_s=now_s, power_w=-float(number), soc_frac=0.2 + 0.7 * number / MANY)
        event = TransactionReported(
            station_id=station_id, transaction_id=transaction_id, kind=EventKind.STARTED, at_s=now_s, received_s=now_s,
            trigger="CablePluggedIn", seq_no=0, evse_id=EvseId(1), phase=TransactionPhase.CHARGING, measurements=(seen,),
        )  # fmt: skip
        server.room.fleet.apply(event, now_s)


class Running(NamedTuple):
    """A server on its loop, where its console is, and a token."""

    server: Server
    loop: asyncio.AbstractEventLoop
    url: str
    token: str

    def cpu_ms(self, work: Callable[[], object]) -> float:
        """CPU time of work of the server's loop: how long control waits for it."""

        async def timed() -> float:
            began_s = time.thread_time()
            work()
            return 1e3 * (time.thread_time() - began_s)

        return min(asyncio.run_coroutine_threadsafe(timed(), self.loop).result(PATIENCE_MS / 1e3) for _ in range(5))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with so many sessions, and its console; the server runs on a thread of its own."""
    folder: Path = tmp_path_factory.mktemp("many")
    sections: dict[str, Any] = {"server": {"data_dir": str(folder)}, "gateway": {"port": 0}, "api": {"port": 0}, "console": {"port": 0}}
    server = Server(msgspec.convert(sections, Settings))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.start(), loop).result(30.0)
        loop.call_soon_threadsafe(fill, server)
        url = asyncio.run_coroutine_threadsafe(server.start_console(), loop).result(30.0)
        token = find_token(folder)
        assert url is not None
        assert token is not None
        yield Running(server, loop, url, token)
    finally:
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(30.0)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture(scope="module")
def page(browser: Browser, running: Running) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(running.url)
    page.fill("#token", running.token)
    page.click("button")
    expect(page.get_by_role("button", name="Emergency stop")).to_be_visible()
    yield page
    context.close()


CLICK = """(found) => new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error("no other rows came; " + document.querySelector(".q-table__bottom").innerText)), PATIENCE_MS);
  const body = document.querySelector("tbody"), before = body.innerText, began = performance.now();
  const watcher = new MutationObserver(() => {
    if (body.innerText !== before) { watcher.disconnect(); requestAnimationFrame(() => resolve(performance.now() - began)); }
  });
  watcher.observe(document.querySelector(".q-table__container"), {subtree: true, childList: true, characterData: true});
  found.click();
})""".replace("PATIENCE_MS", str(PATIENCE_MS))
"""In the page: how long from a click until other rows are drawn. The table's own refreshes change no rows here: nothing moves."""
NEXT = '.q-table__bottom button[aria-label="Next page"]'


def usual(took: list[float]) -> float:
    """What it takes where nothing else is in the way: on a busy machine the slower ones tell of its other work."""
    return sorted(took)[len(took) // 3]


def clicked(page: Page, what: str) -> float:
    took_ms: float = page.locator(what).evaluate(CLICK)
    return took_ms


def fast_enough(measured: Callable[[], list[float]]) -> None:
    """Whether it is so once in a while: what a machine with other work takes says nothing of the program."""
    seen: list[list[float]] = []
    while not seen or usual(seen[-1]) >= SOON_MS:
        assert len(seen) < ROUNDS, seen
        seen.append(measured())


def test_pages_of_ten_thousand_sessions_come_at_once(page: Page, running: Running) -> None:
    def measured() -> list[float]:
        page.goto(running.url + "/fleet")
        expect(page.get_by_text(f"{MANY} of {MANY} sessions")).to_be_visible()
        expect(page.get_by_role("link", name="CS-00000")).to_be_visible()
        took = [clicked(page, NEXT) for _ in range(8)]
        expect(page.get_by_role("link", name="CS-00200")).to_be_visible()
        return took + [clicked(page, f"th:nth-child({column})") for column in (2, 2, 5, 5)]

    fast_enough(measured)
    page.get_by_label("Search station or transaction").fill("cs-0777")
    expect(page.get_by_text(f"10 of {MANY} sessions")).to_be_visible()
    expect(page.get_by_role("link", name="CS-07770")).to_be_visible()


def test_pages_of_ten_thousand_stations_come_at_once(page: Page, running: Running) -> None:
    def measured() -> list[float]:
        page.goto(running.url + "/stations")
        expect(page.get_by_text(re.compile(f"{MANY} of {MANY} stations; 0 connected"))).to_be_visible()
        expect(page.get_by_role("link", name="CS-00000")).to_be_visible()
        took = [clicked(page, NEXT) for _ in range(4)]
        took += [clicked(page, "th:nth-child(1)") for _ in range(2)]
        expect(page.get_by_role("link", name=re.compile("CS-09999"))).to_be_visible()
        return took

    fast_enough(measured)
    page.get_by_label("Search station, site, model, serial number").fill("CS-0123")
    expect(page.get_by_text(re.compile(f"10 of {MANY} stations"))).to_be_visible()


HOLD_BACK = """(() => {
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (said) {
    if (!window.heldBack && said.includes?.("rowsPerPage") && !said.includes("pagination")) window.heldBack = () => send.call(this, said);
    else send.call(this, said);
  };
})()"""
"""What a table tells of its first page as it is made comes whenever `heldBack` is called: later than a click, where the line was slow."""


def test_a_page_that_was_turned_stays_turned_when_the_first_ones_news_comes_late(page: Page, running: Running) -> None:
    early = page.context.new_page()
    early.set_default_timeout(PATIENCE_MS)
    early.add_init_script(HOLD_BACK)
    early.goto(running.url + "/stations")
    early.wait_for_function("!!window.heldBack")
    clicked(early, NEXT)
    early.evaluate("heldBack()")
    clicked(early, NEXT)
    expect(early.get_by_role("link", name="CS-00050")).to_be_visible()
    early.close()


def test_everything_can_be_reached_and_done_by_the_keyboard(page: Page, running: Running) -> None:
    page.goto(running.url + "/fleet")
    first = page.locator("tbody tr a").first
    expect(first).to_have_text("CS-00000")
    title = page.get_by_role("columnheader", name="Measured")
    title.focus()
    page.keyboard.press("Enter")
    expect(title).to_have_class(re.compile(r"\bsorted\b"))
    page.keyboard.press("Space")  # the other way round
    expect(first).to_have_text(f"CS-{MANY - 1:05d}")
    expect(title, "rows that are made anew leave the keyboard where it was").to_be_focused()
    page.goto(running.url)
    page.keyboard.press("Tab")
    assert focused(page) == "To the content"
    found = []
    for _ in range(12):
        page.keyboard.press("Tab")
        found.append(focused(page))
    wanted = ["Dispatch", "Fleet", "Sites", "Offers and reports", "Health", "Sign out", "Emergency stop"]
    assert [name for name in found if name in wanted][: len(wanted)] == wanted, "in the order in which they stand"
    page.get_by_role("button", name="Emergency stop").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(dialog.get_by_role("button", name="Back"), "what does nothing is what Enter does first").to_be_focused()
    page.keyboard.press("Tab")
    expect(dialog.get_by_role("button", name="Stop now")).to_be_focused()
    ring = page.evaluate("getComputedStyle(document.activeElement).boxShadow")
    assert ring.startswith("rgb"), "whoever has the keyboard sees where it is"
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing sticks out at the side"


def focused(page: Page) -> str:
    name: str = page.evaluate("(document.activeElement.innerText || '').trim()")
    return name.capitalize() if name.isupper() else name


@pytest.mark.parametrize("sort", list(SessionOrder))
def test_a_page_of_sessions_costs_the_server_little(running: Running, sort: SessionOrder) -> None:
    operations = running.server.operations
    assert running.cpu_ms(lambda: operations.session_page(SessionQuery(sort=sort, search="1", limit=50))) < LITTLE_MS


def test_a_page_of_stations_costs_the_server_little(running: Running) -> None:
    operations = running.server.operations
    for sort in StationOrder:
        assert running.cpu_ms(lambda sort=sort: operations.station_page(StationQuery(sort=sort, search="1", limit=50))) < LITTLE_MS, sort  # type: ignore[misc]
