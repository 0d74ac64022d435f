"""Pictures of the console's pages for README and docs: a server, a simulated fleet, one dispatch, a headless Chromium.

Run by `make screenshots`; writes docs/pictures/console-*.png.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from shutil import which

import httpx
from playwright.sync_api import Page, sync_playwright

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
max_export_power_w = 600000.0
max_import_power_w = 800000.0
[stations]
default_site = "depot"
"""
PAGES = (("dispatch", "/"), ("fleet", "/fleet"), ("sites", "/sites"), ("offers", "/offers"), ("health", "/health"))
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
            _dispatch(server.api_url, token)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS))
                for scheme in ("light", "dark"):
                    page = browser.new_context(viewport={"width": 1400, "height": 900}, color_scheme=scheme).new_page()
                    _take(page, console, token, scheme)
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


def _dispatch(api_url: str, token: str) -> None:
    """Two dispatches: a short one that has ended, and one that runs and loses cars."""
    with httpx.Client(base_url=api_url + "/api/v1", headers={"Authorization": f"Bearer {token}"}, timeout=30.0) as api:
        while api.get("/fleet").json()["sessions_ready"] < 0.75 * STATIONS:
            time.sleep(1.0)
        first = api.post("/dispatches", json={"discharge_power_w": "300kW", "duration_s": 60, "ramp_out_s": 10}).json()["dispatch"]
        path = f"/dispatches/{first['instruction']['dispatch_id']}"
        while api.get(path).json()["instruction"]["state"] != "completed":
            time.sleep(2.0)
        api.post("/dispatches", json={"discharge_power_w": "350kW", "duration_s": "15min"}).raise_for_status()
        time.sleep(60.0)
        running = [one for one in api.get("/sessions").json() if (one["setpoint_w"] or 0.0) > 1000.0]
        for one in running[:6]:
            api.put(f"/stations/{one['station_id']}/override", json={"say": "stop"}).raise_for_status()
        api.get("/offer", params={"window_min": 60}).raise_for_status()


def _take(page: Page, console: str, token: str, scheme: str) -> None:
    page.goto(console)
    page.fill("#token", token)
    page.click("button")
    page.wait_for_timeout(60_000 if scheme == "light" else 5_000)
    for name, path in PAGES if scheme == "light" else PAGES[:1]:
        page.goto(console + path)
        page.wait_for_timeout(6_000)
        page.screenshot(path=PICTURES / f"console-{name}{'' if scheme == 'light' else '-dark'}.png")
    if scheme == "light":
        page.goto(console + "/fleet")
        page.wait_for_timeout(3_000)
        page.locator("tbody a").first.click()
        page.wait_for_timeout(4_000)
        page.screenshot(path=PICTURES / "console-session.png")


if __name__ == "__main__":
    raise SystemExit(main())
