"""The console as an operator uses it: a real headless Chromium, `counterflow serve` with its console's process, simulated stations on
WebSockets. A dispatch from the page, delivered rises on the chart, an amendment, cars leave and are marked, cancel, report, replay; stop
and reset; who leads where somebody else steers; a viewer only looks; foreign origins get nothing.

Meter values and control ticks come quickly here, and the pages of an operator and a viewer are shared: starting is what takes time.
"""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from counterflow.console.signing import COOKIE

pytestmark = pytest.mark.timeout(300)
STATIONS = 24
PATIENCE_MS = 60_000
RISEN_MW = 0.02
LIVE_S = 2.5
"""A second of the fleet is drawn before so much has passed since it began: itself, the page's next second, and the way."""


SETTINGS = """
[[sites]]
site_id = "depot"
max_export_power_w = 500000.0
[stations]
default_site = "depot"
[ocpp]
sampling_interval_s = 2
[capability]
silence_min_s = 60.0 # on a busy machine a car is heard late: who leaves is to be missed by its end
[control]
tick_interval_s = 1.0
[telemetry]
period_s = 1.0
"""


class Place:
    """Where everything is."""

    def __init__(self, served: Any, console: str, tokens: dict[str, str]) -> None:
        self.served = served
        self.console = console
        self.tokens = tokens

    def api(self) -> httpx.Client:
        return httpx.Client(base_url=self.served.api_url + "/api/v1", headers=self.served.authorization, timeout=30.0)

    def signed_in(self, role: str) -> str:
        """The cookie of somebody with that role, as the form of the sign-in page gives it."""
        answer = httpx.post(self.console + "/sign-in", data={"token": self.tokens[role]}, headers={"Origin": self.console}, timeout=30.0)
        assert answer.status_code == 303
        return answer.cookies[COOKIE]

    def page(self, browser: Browser, role: str) -> Page:
        """The first page as somebody with that role sees it."""
        context = browser.new_context(viewport={"width": 1400, "height": 900})
        context.add_cookies([{"name": COOKIE, "value": self.signed_in(role), "url": self.console}])
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(self.console)
        return page


@pytest.fixture(scope="module")
def place(serve_all: Any) -> Iterator[Place]:
    served = serve_all(SETTINGS, "--accept-unknown-stations", "--default-consent", "--console", "--console-port", "0")
    found = re.search(r"Console +(http://\S+)", served.log)
    assert found is not None, served.log
    arguments = ("simulate", "--stations", str(STATIONS), "--url", served.ocpp_url)
    command = (sys.executable, "-c", "from counterflow.app.cli import main; main()")
    fleet = subprocess.Popen([*command, *arguments], stdout=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url=served.api_url + "/api/v1", headers=served.authorization, timeout=30.0) as root:
            tokens = {role: root.post("/tokens", json={"name": role, "role": role}).json()["token"] for role in ("viewer", "operator")}
            deadline_s = time.monotonic() + 120.0
            while root.get("/fleet").json()["sessions_ready"] < STATIONS - 2:
                assert time.monotonic() < deadline_s, root.get("/fleet").text
                time.sleep(0.2)
        yield Place(served, found[1], tokens)
    finally:
        fleet.kill()
        fleet.wait()


@pytest.fixture(scope="module")
def operator(browser: Browser, place: Place) -> Page:
    """The page of an operator, which the tests of this file share."""
    return place.page(browser, "operator")


def figure(page: Page, name: str) -> str:
    return page.get_by_test_id(name).inner_text()


def megawatts(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"W": 1e-6, "kW": 1e-3, "MW": 1.0}[unit]


def chart_of(page: Page) -> dict[str, Any]:
    """What the chart of a page draws: the data of each line by its name, and under `marks` the names of its marks."""
    drawn = page.evaluate(
        """() => {
            const chart = getElement(Number(document.querySelector(".nicegui-echart").id.slice(1))).chart;
            const lines = chart.getOption().series.map(one => [one.name, one.data]);
            const marks = chart.getOption().series.flatMap(one => (one.markLine?.data ?? []).map(mark => mark.name));
            return Object.fromEntries([...lines, ["marks", marks]]);
        }"""
    )
    assert isinstance(drawn, dict)
    return drawn


def seconds_of(text: str) -> int:
    hours, minutes, seconds = text[:8].split(":")
    return 3600 * int(hours) + 60 * int(minutes) + int(seconds)


def unplug(place: Place, count: int) -> list[str]:
    """Cars that discharge now are taken off their stations; returns which."""
    with place.api() as api:
        running = [one for one in api.get("/sessions").json() if (one["setpoint_w"] or 0.0) > 1000.0][:count]
        for one in running:
            body = {"action": "RequestStopTransaction", "payload": {"transactionId": one["transaction_id"]}}
            assert api.post(f"/stations/{one['station_id']}/calls", json=body).json()["payload"] == {"status": "Accepted"}
    assert len(running) == count
    return [one["station_id"] for one in running]


def test_who_signs_in_and_out(browser: Browser, place: Place) -> None:
    page = browser.new_context().new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(place.console)
    expect(page).to_have_url(re.compile("/sign-in$"))
    page.fill("#token", "not-a-token-of-this-server")
    page.click("button")
    expect(page.get_by_role("alert")).to_contain_text("not known to the server")
    page.fill("#token", place.tokens["viewer"])
    page.click("button")
    expect(page.get_by_text("(viewer)")).to_be_visible(timeout=PATIENCE_MS)
    # A sign-in that is over, here since it was ended elsewhere, leads back to the form by itself.
    shown = {COOKIE: next(one["value"] for one in page.context.cookies() if one["name"] == COOKIE)}
    httpx.post(place.console + "/sign-out", cookies=shown, headers={"Origin": place.console}, timeout=30.0)
    expect(page.get_by_label("Token")).to_be_visible(timeout=PATIENCE_MS)
    page.fill("#token", place.tokens["viewer"])
    page.click("button")
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/sign-in$"))
    page.goto(place.console + "/fleet")
    expect(page).to_have_url(re.compile(r"/sign-in\?next=%2Ffleet$"))
    page.context.close()


def look_closely_and_clear(page: Page, place: Place) -> None:
    """The pages of a car that discharges, and of its station: orders with their answers, a driver's minimum, the ledger, a clear."""
    with place.api() as api:
        one = next(view for view in api.get("/sessions").json() if (view["setpoint_w"] or 0.0) > 1000.0)
    page.goto(f"{place.console}/sessions/{one['station_id']}/{one['transaction_id']}")
    expect(page.get_by_text(re.compile("^Why: "))).to_be_visible(timeout=PATIENCE_MS)
    rows = page.get_by_role("row")
    expect(rows.filter(has_text=re.compile(r"\d\.\d kW.*Accepted at \d\d:\d\d:\d\d UTC")).first).to_be_visible(timeout=PATIENCE_MS)
    drawn = chart_of(page)
    assert [value for _, value in drawn["power"] if value is not None]
    assert all(0 <= value <= 100 for _, value in drawn["state of charge"] if value is not None)
    assert drawn["asked"][-1][1] > 1.0
    page.get_by_label("Driver: keep at least (%)").fill("35")
    page.get_by_role("button", name="Keep it").click()
    expect(page.get_by_text("keeps at least 35 %")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("link", name="Its station").click()
    expect(rows.filter(has_text="accepted: the station has it")).to_have_count(2, timeout=PATIENCE_MS)
    with place.api() as api:
        deadline_s = time.monotonic() + 60.0
        while len(api.get(f"/stations/{one['station_id']}/profiles").json()) != 2:
            assert time.monotonic() < deadline_s, "both are there, none on its way anew"
            time.sleep(0.1)
    page.get_by_role("button", name="Clear all of ours here").click()
    page.get_by_role("button", name="Clear them").click()
    gone = rows.filter(has_text=re.compile(r"cleared: .*UTC: Accepted"))
    expect(gone).to_have_count(2, timeout=PATIENCE_MS)
    with place.api() as api:
        assert api.get(f"/stations/{one['station_id']}/profiles").json() == []
        (entry, *_) = [entry for entry in api.get("/audit").json() if entry["action"].endswith("/clear")]
        assert (entry["who"], entry["status"], entry["before"]["profiles"]) == ("api:operator", 202, 2)
    page.goto(place.console)
    lost = re.compile(rf"drop-out: {one['station_id']}: its station did not take an order, or was cleared by a person")
    expect(page.get_by_test_id("marks").get_by_text(lost)).to_be_visible(timeout=PATIENCE_MS)


def amend(page: Page) -> None:
    """From 60 to 50 kW, in the dialog."""
    page.get_by_role("button", name="Amend", exact=True).click()
    page.get_by_label("Discharge power from now on").fill("50kW")
    page.get_by_role("button", name="Amend it").click()
    expect(page.get_by_text("Amended.", exact=True)).to_be_visible()
    expect(page.get_by_test_id("marks").get_by_text("amended by api:operator")).to_be_visible()
    shown(page, lambda drawn: drawn["target"][-1][1] == 0.05 and "amended" in " ".join(drawn["marks"]))


def shown(page: Page, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What the chart draws, once it draws that."""
    deadline_s = time.monotonic() + PATIENCE_MS / 1e3
    while not wanted(drawn := chart_of(page)):
        assert time.monotonic() < deadline_s, drawn
        time.sleep(0.2)
    return drawn


def test_dispatch_from_the_page_until_its_report(operator: Page, place: Place) -> None:
    page = operator
    with place.api() as api:
        first = api.get("/sessions").json()[0]
        said = f"/sessions/{first['station_id']}/{first['transaction_id']}/override"
        api.put(said, json={"say": "stop"}).raise_for_status()
    page.get_by_role("button", name="New dispatch").click()
    page.get_by_label("Discharge power").fill("60kW")
    page.get_by_label("For", exact=True).fill("10min")
    order = page.get_by_role("button", name="Order it")
    expect(order).to_be_disabled()
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text(re.compile(r"Feasible: .* expected, .* at the low end"))).to_be_visible(timeout=PATIENCE_MS)
    # One driver said stop: the preview tells that it binds.
    expect(page.get_by_text("Of drivers: 1 car: the driver stopped the discharge of this session.")).to_be_visible()
    order.click()
    expect(page.get_by_text("Ordered.", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    deadline_s = time.monotonic() + 90.0
    while (now := figure(page, "now")) == "–" or megawatts(now) < RISEN_MW:
        assert time.monotonic() < deadline_s, now
        time.sleep(0.2)
    drawn = chart_of(page)
    rises = [power for _, power in drawn["delivered"] if power is not None]
    assert max(rises) > RISEN_MW > 0.0 > min(rises), "delivered rises on the chart, from charging"
    assert drawn["target"][-1][1] == drawn["committed"][0][1] == 0.06
    assert len(drawn["target"]) > 1
    assert len(drawn["headroom held"]) > 1
    low_mw, wide_mw = drawn["tolerance from"][-1][1], drawn["tolerance"][-1][1]
    assert low_mw < 0.06 < low_mw + wide_mw, "the band is around the target"
    assert re.fullmatch(r"\d+ s", figure(page, "age")), "the oldest meter value has an age"
    shown(page, lambda drawn: time.time() - drawn["delivered"][-1][0] / 1e3 < LIVE_S)
    amend(page)
    look_closely_and_clear(page, place)
    # Two cars are unplugged: they leave the dispatch, others step in, and all of it is marked and said.
    unplugged = unplug(place, 2)
    happened = page.get_by_test_id("marks")
    for station_id in unplugged:
        lost = re.compile(rf"drop-out: {station_id}: its transaction has ended; \d+\.\d kW of discharge went with it")
        expect(happened.get_by_text(lost)).to_be_visible(timeout=PATIENCE_MS)
    expect(happened.get_by_text(re.compile(r"re-plan: .* lost, .* kW with .* asked instead")).first).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Note").click()
    page.get_by_label("What is to be remembered").fill("10 kW less, by telephone")
    page.get_by_role("button", name="Keep it").click()
    expect(happened.get_by_text("note: api:operator: 10 kW less, by telephone")).to_be_visible(timeout=PATIENCE_MS)
    marked = " ".join(shown(page, lambda drawn: "note" in " ".join(drawn["marks"]))["marks"])
    assert "drop-out" in marked
    assert "re-plan" in marked
    # Whoever opens the page later sees the same.
    page.reload()
    expect(happened.get_by_text("note: api:operator: 10 kW less, by telephone")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("button", name="Cancel dispatch").click()
    page.get_by_role("button", name="Cancel it").click()
    expect(page.get_by_text("Cancelled.", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    page.goto(place.console + "/offers")
    page.locator(".q-expansion-item").first.click()
    with page.expect_download() as waiting:
        page.get_by_role("link", name="CSV").first.click()
    assert waiting.value.suggested_filename.endswith(".csv")
    assert b"delivered" in waiting.value.path().read_bytes()
    page.get_by_role("button", name="Verify").first.click()
    expect(page.get_by_text(re.compile(r"^Verified: made again from .* meter values it says the same, to the Wh\.$"))).to_be_visible()
    page.get_by_role("link", name="Replay").first.click()
    said = page.get_by_text(re.compile(r"target .*, delivered .*, so far .*"))
    expect(said).to_contain_text(re.compile(r" [2-9] drop-outs"), timeout=PATIENCE_MS)
    # Second by second: at the first nothing had happened yet; an arrow key goes one second on.
    slider = page.get_by_role("slider")
    last_s = int(slider.get_attribute("aria-valuemax") or 0)
    assert last_s > 10
    box = slider.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2.0
    page.mouse.click(box["x"] + 1.0, middle)
    expect(said).to_contain_text(" 0 drop-outs")
    assert len(chart_of(page)["delivered"]) == 1
    first = said.inner_text().split(" ")[0]
    slider.press("ArrowRight")
    expect(said).not_to_contain_text(first)
    assert seconds_of(said.inner_text()) - seconds_of(first) == 1
    expect(page.get_by_test_id("marks").get_by_text(re.compile("drop-out"))).to_have_count(0)
    page.mouse.click(box["x"] + box["width"] - 1.0, middle)
    expect(page.get_by_test_id("marks").get_by_text("note: api:operator: 10 kW less, by telephone")).to_be_visible(timeout=PATIENCE_MS)


def test_the_emergency_stop_latches_and_a_person_resets_it(operator: Page, place: Place) -> None:
    page = operator
    page.get_by_role("button", name="Emergency stop").click()
    page.get_by_role("button", name="Stop now").click()
    expect(page.get_by_text("The emergency stop is on.").first).to_be_visible(timeout=PATIENCE_MS)
    with place.api() as api:
        assert api.get("/fleet").json()["emergency_stop"] is True
    page.get_by_role("button", name="Reset emergency stop").click()
    page.get_by_role("button", name="Reset it").click()
    expect(page.get_by_role("button", name="Emergency stop", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    with place.api() as api:
        assert api.get("/fleet").json()["emergency_stop"] is False


def test_a_person_says_who_leads_where_somebody_else_steers(operator: Page, place: Place) -> None:
    page = operator
    page.goto(place.console + "/sites")
    expect(page.get_by_text("Nobody else steers a station of ours.")).to_be_visible()
    # Somebody places a profile that we do not know of; its station tells when it is asked anew.
    with place.api() as api:
        one = next(view for view in api.get("/sessions").json() if view["reason"] == "ready" and view["station_id"] != "SIM-00007")
        limit = {"id": 1, "chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 2000.0}]}
        theirs = {
            "id": 900_001, "stackLevel": 3, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Absolute",
            "transactionId": one["transaction_id"], "chargingSchedule": [limit | {"startSchedule": "2026-01-01T00:00:00Z"}],
        }  # fmt: skip
        body = {"action": "SetChargingProfile", "payload": {"evseId": one["evse_id"], "chargingProfile": theirs}}
        assert api.post(f"/stations/{one['station_id']}/calls", json=body).json()["payload"] == {"status": "Accepted"}
        api.post(f"/stations/{one['station_id']}/discovery").raise_for_status()
    row = page.get_by_role("row").filter(has_text=one["station_id"])
    expect(row).to_contain_text("nobody has confirmed", timeout=PATIENCE_MS)
    page.get_by_role("button", name="Confirm who leads").click()
    page.get_by_label("Who of the site's operator says so").fill("Ms Depot")
    page.get_by_role("button", name="Confirm", exact=True).click()
    expect(page.get_by_text("Confirmed.", exact=True)).to_be_visible()
    expect(row).to_contain_text("they lead")
    expect(page.get_by_text(re.compile(r"^Site depot\. Last word: they lead, said by Ms Depot \(api:operator\), "))).to_be_visible()
    with place.api() as api:
        assert [(said["site_id"], said["entries"][-1]["leader"]) for said in api.get("/conflicts/priorities").json()] == [("depot", "them")]


def test_a_viewer_sees_and_cannot_act(browser: Browser, place: Place) -> None:
    with place.api() as api:
        stopped = api.get("/sessions").json()[0]
        said = f"/sessions/{stopped['station_id']}/{stopped['transaction_id']}/override"
        api.put(said, json={"say": "stop"}).raise_for_status()
        count = sum(view["reason"] == "driver_stop" for view in api.get("/sessions").json())
    page = place.page(browser, "viewer")
    for name in ("New dispatch", "Note", "Amend", "Cancel dispatch", "Emergency stop"):
        expect(page.get_by_role("button", name=name)).to_be_disabled()
    page.goto(place.console + "/fleet")
    expect(page.get_by_text(re.compile(r"^(\d+) of \1 sessions$"))).to_be_visible(timeout=PATIENCE_MS)
    # Filtered by why, and searched.
    page.get_by_label("Why").click()
    page.get_by_role("option", name=f"driver stop ({count})").click()
    rows = page.locator("tbody tr")
    expect(rows.filter(has_text="the driver stopped the discharge of this session")).to_have_count(count, timeout=PATIENCE_MS)
    expect(rows).to_have_count(count)
    expect(rows.filter(has_text=stopped["station_id"])).to_be_visible()
    page.get_by_label("Search station or transaction").fill("sim-00007")
    expect(page.get_by_text("No session.")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_label("Why").click()
    page.get_by_role("option", name="all reasons").click()
    expect(page.get_by_text(re.compile(r"^1 of \d+ sessions$"))).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("link", name="SIM-00007").click()
    expect(page.get_by_text("May it be discharged?")).to_be_visible(timeout=PATIENCE_MS)
    for name in ("Driver: stop discharging", "Say so", "Keep it", "Take the driver's word back"):
        expect(page.get_by_role("button", name=name)).to_be_disabled()
    page.get_by_role("link", name="Its station").click()
    expect(page.get_by_text(re.compile(r"^connected \(ocpp2"))).to_be_visible(timeout=PATIENCE_MS)
    for name in ("Ask anew", "Clear all of ours here"):
        expect(page.get_by_role("button", name=name)).to_be_disabled()
    page.get_by_label("Search messages").fill("BootNotification")
    expect(page.get_by_text(re.compile(r'^\[2,.*"BootNotification"')).first).to_be_visible(timeout=PATIENCE_MS)
    page.goto(place.console + "/stations")
    expect(page.get_by_text(f"{STATIONS} of {STATIONS} stations")).to_be_visible(timeout=PATIENCE_MS)
    page.goto(place.console + "/sites")
    expect(page.get_by_text(re.compile(r"export .* of 500.0 kW"))).to_be_visible(timeout=PATIENCE_MS)
    page.goto(place.console + "/health")
    expect(page.get_by_test_id("stations connected")).to_have_text(f"{STATIONS} of {STATIONS}", timeout=PATIENCE_MS)


def test_foreign_origins_and_strangers_get_nothing(place: Place) -> None:
    cookie = place.signed_in("operator")
    sockets = place.console.replace("http", "ws") + "/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    for origin, shown in (("https://evil.example", cookie), (place.console, "nobody"), (None, cookie)):
        with pytest.raises(InvalidStatus) as refused:
            connect(sockets, origin=origin, additional_headers={"Cookie": f"{COOKIE}={shown}"})  # type: ignore[arg-type]
        assert refused.value.response.status_code == 403
    with connect(sockets, origin=place.console, additional_headers={"Cookie": f"{COOKIE}={cookie}"}) as ours:  # type: ignore[arg-type]
        assert str(ours.recv(10.0)).startswith("0{")
