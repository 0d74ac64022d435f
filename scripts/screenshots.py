"""Pictures of the console's pages for README and docs: a server, a simulated fleet, one dispatch, a headless Chromium.

Run by `make screenshots`; writes docs/pictures/console-*.png, and out/screenshots/*.png of every page at two sizes, light and dark.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from shutil import which
from typing import Literal

import httpx
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from counterflow.app.hosting.own_server import OwnServer

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
STATIONS = 120
SETTINGS = """
[[feeders]]
feeder_id = "north"
max_export_power_w = 900000.0
[[sites]]
site_id = "depot"
feeder = "north"
max_export_power_w = 480000.0
max_import_power_w = 800000.0
[stations]
default_site = "depot"
"""
PAGES = {"dispatch": "/", "fleet": "/fleet", "stations": "/stations", "sites": "/sites", "health": "/health"}
SIZES = {"laptop": (1400, 900), "wall": (1920, 1080)}
LOOK = Path("out") / "screenshots"
"""Where the pictures of all sizes, light and dark, go, to be looked at; those of the docs are the laptop's in light, and one in dark."""
LOOKED_AT_ONLY = frozenset({"report", "replay", "order"})
FILLED_MS = 6_000
COLOURS = 256
"""Of a picture in the docs: screens have few, and the file is a third."""
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")


def main() -> int:
    """Take them all."""
    program = which("chromium")
    if program is None:
        print("This needs Debian's chromium: make tools")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "counterflow.toml"
        config.write_text(SETTINGS)
        server = OwnServer(Path(folder), config, console=True)
        simulate = (sys.executable, "-c", "from counterflow.app.cli import main; main()", "simulate", "--stations", str(STATIONS))
        fleet = None
        try:
            token, console = _await_server(server)
            fleet = subprocess.Popen([*simulate, "--url", server.ocpp_url], stdout=subprocess.DEVNULL)
            with sync_playwright() as playwright, _api(server.api_url, token) as api:
                browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
                views = [View(browser, console, token, name, scheme) for scheme in ("light", "dark") for name in SIZES]
                past = _past_dispatch(api)
                take(views, "offers", "/offers")
                take(views, "report", "/offers")
                take(views, "replay", f"/replay/{past}")
                _running_dispatch(api)
                _rival(api)
                time.sleep(75.0)
                for name, path in (PAGES | _closely(api)).items():
                    take(views, name, path)
                take(views, "order", "/")
                browser.close()
        finally:
            if fleet is not None:
                fleet.kill()
                fleet.wait()
            server.stop()
    return 0


def _await_server(server: OwnServer) -> tuple[str, str]:
    while True:
        token, console = server.token(), server.console_url()
        if token is not None and console is not None:
            return token, console
        time.sleep(0.2)


def _api(api_url: str, token: str) -> httpx.Client:
    return httpx.Client(base_url=api_url + "/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=30.0)


def _past_dispatch(api: httpx.Client) -> str:
    """A short and small one that has ended, with its report, and an offer of those that it left free; returns its id."""
    while api.get("/fleet").json()["sessions_ready"] < 0.75 * STATIONS:
        time.sleep(1.0)
    first = api.post("/dispatches", json={"discharge_power_w": "100kW", "duration_s": 60, "ramp_out_s": 10}).json()["dispatch"]
    path = f"/dispatches/{first['instruction']['dispatch_id']}"
    while api.get(path).json()["instruction"]["state"] != "completed":
        time.sleep(2.0)
    api.get("/offer", params={"window_min": 15}).raise_for_status()
    dispatch_id: str = first["instruction"]["dispatch_id"]
    return dispatch_id


def _running_dispatch(api: httpx.Client) -> None:
    """One that runs and loses cars, with a note."""
    made = api.post("/dispatches", json={"discharge_power_w": "320kW", "duration_s": "15min"}).raise_for_status().json()["dispatch"]
    time.sleep(60.0)
    running = [one for one in api.get("/sessions").json() if (one["setpoint_w"] or 0.0) > 1000.0]
    for one in running[:6]:
        api.put(f"/stations/{one['station_id']}/override", json={"say": "stop"}).raise_for_status()
    note = {"text": "Grid operator called: keep it up until 18:00."}
    api.post(f"/dispatches/{made['instruction']['dispatch_id']}/notes", json=note).raise_for_status()


def _rival(api: httpx.Client) -> None:
    """Somebody else places a profile at one station, which tells when it is asked anew."""
    one = next(one for one in api.get("/sessions").json() if one["reason"] == "ready" and one["setpoint_w"] == 0.0)
    schedule = {
        "id": 1,
        "chargingRateUnit": "W",
        "startSchedule": "2026-01-01T00:00:00Z",
        "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 2000}],
    }
    theirs = {"id": 900_001, "stackLevel": 9, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Absolute"}
    theirs |= {"transactionId": one["transaction_id"], "chargingSchedule": [schedule]}
    body = {"action": "SetChargingProfile", "payload": {"evseId": one["evse_id"], "chargingProfile": theirs}}
    api.post(f"/stations/{one['station_id']}/calls", json=body).raise_for_status()
    api.post(f"/stations/{one['station_id']}/discovery").raise_for_status()


def _closely(api: httpx.Client) -> dict[str, str]:
    """A car that gives some of its power, and its station."""
    one = next(one for one in api.get("/sessions").json() if (one["setpoint_w"] or 0.0) > 1000.0)
    return {"session": f"/sessions/{one['station_id']}/{one['transaction_id']}", "station": f"/stations/{one['station_id']}"}


class View:
    """A signed-in page of one size and scheme."""

    def __init__(self, browser: Browser, console: str, token: str, size: str, scheme: Literal["light", "dark"]) -> None:
        width, height = SIZES[size]
        self._console = console
        self._size = size
        self._scheme = scheme
        self.page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme).new_page()
        self.page.goto(console)
        self.page.fill("#token", token)
        self.page.click("button")
        self.page.get_by_role("button", name="Emergency stop").wait_for()

    def go(self, path: str) -> None:
        """Open a page."""
        self.page.goto(self._console + path)

    def prepare(self, name: str) -> None:
        """What somebody does on some pages to see more."""
        page = self.page
        match name:
            case "fleet":  # the largest setpoints first
                title = page.get_by_role("columnheader", name="Setpoint")
                for way in ("ascending", "descending"):
                    title.click()
                    page.locator(f"th.sorted{'.sort-desc' if way == 'descending' else ''}").wait_for()
                page.mouse.move(700, 80)
            case "report":
                page.locator(".q-expansion-item").first.click()
                page.get_by_role("button", name="Verify").first.click()
                page.mouse.wheel(0, 5_000)
            case "order":
                page.get_by_role("button", name="New dispatch").click()
                page.get_by_label("Discharge power").fill("100kW")
                page.get_by_role("button", name="Preview").click()

    def keep(self, name: str) -> None:
        """Its picture."""
        LOOK.mkdir(parents=True, exist_ok=True)
        path = LOOK / f"{name}-{self._size}-{self._scheme}.png"
        self.page.screenshot(path=path)
        if name not in LOOKED_AT_ONLY and self._size == "laptop" and (self._scheme == "light" or name == "dispatch"):
            picture = Image.open(path).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            picture.save(PICTURES / f"console-{name}{'' if self._scheme == 'light' else '-dark'}.png", optimize=True)


def take(views: list[View], name: str, path: str) -> None:
    """One page as all of them see it, once it has filled itself."""
    for view in views:
        view.go(path)
        view.prepare(name)
    views[0].page.wait_for_timeout(FILLED_MS)
    for view in views:
        view.keep(name)


if __name__ == "__main__":
    raise SystemExit(main())
