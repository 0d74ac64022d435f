"""The console's own process and people who look at it: ten pages over NiceGUI's Socket.IO, as browsers open them, without their drawing.

Run as `python -m counterflow.app.bench.viewers CORE`, asked over its standard input (see `processes`).
"""

import asyncio
import contextlib
import sys
import time
from ast import literal_eval
from asyncio.subprocess import PIPE, Process
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import socketio

from counterflow.app.bench.figures import CannotError
from counterflow.app.bench.processes import answer_requests, cpu_s, pin_from_command_line
from counterflow.console.main import READY
from counterflow.console.settings import ConsoleOrders, ConsoleSettings
from counterflow.console.signing import COOKIE

PLACES = ("/", "/fleet", "/", "/fleet", "/stations", "/", "/fleet", "/sites", "/", "/health")
"""Which page each viewer has open, in turn."""
PAGE_EVERY_S = 3.0
"""So often a viewer of the fleet turns a page or sorts anew."""
SORTS = ("station", "soc", "departure", "setpoint", "power", "error", "heard")
ROWS = 25
_START_S, _ANSWER_S = 30.0, 10.0
_ESCAPED = (("&#36;", "$"), ("&#96;", "`"), ("&gt;", ">"), ("&lt;", "<"), ("&amp;", "&"))


class Viewer:
    """One page of one person, open."""

    def __init__(self, url: str, cookie: str, place: str) -> None:
        self._url = url
        self._headers = {"Cookie": f"{COOKIE}={cookie}", "Origin": url}
        self._place = place
        self._socket = socketio.AsyncClient(reconnection=False)
        self._socket.on("update", self._on_update)
        self._table: dict[str, Any] = {}
        self._rows_came = asyncio.Event()
        self.updates = 0

    async def open(self) -> None:
        """The page, then its socket, as the page's script does it."""
        async with httpx.AsyncClient(base_url=self._url, headers=self._headers, timeout=_START_S, trust_env=False) as http:
            page = (await http.get(self._place)).raise_for_status().text
        asked: dict[str, Any] = literal_eval(_between(page, "query: ", ",\n"))
        elements = _between(page, "parseElements(String.raw`", "`)")
        for escaped, plain in _ESCAPED:
            elements = elements.replace(escaped, plain)
        for number, element in msgspec.json.decode(elements).items():
            if element.get("tag") == "nicegui-table":
                self._table = {"number": number, "client_id": asked["client_id"], **element}
        asked |= {"document_id": str(uuid4()), "tab_id": str(uuid4()), "old_tab_id": ""}
        parts = "&".join(f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in asked.items())
        await self._socket.connect(
            f"{self._url}?{parts}", headers=self._headers, transports=["websocket"], socketio_path="/_nicegui_ws/socket.io"
        )

    @property
    def turns_pages(self) -> bool:
        """Whether it has the table of the fleet open."""
        return self._place == "/fleet"

    async def turn(self, number: int) -> float:
        """Ask for another page of the table; how long until its rows came, in s, and no longer than is waited for them. Raises CannotError
        when the console has closed the line."""
        listener = next(event["listener_id"] for event in self._table["events"] if event["type"] == "request")
        pagination = {"sortBy": SORTS[number % len(SORTS)], "descending": bool(number % 2), "page": 1 + number % 300, "rowsPerPage": ROWS}
        asked = {"pagination": {**pagination, "rowsNumber": 10_000}, "filter": None}
        message = {
            "id": int(self._table["number"]), "client_id": self._table["client_id"], "listener_id": listener,
            "args": [msgspec.json.encode(asked).decode()],
        }  # fmt: skip
        self._rows_came.clear()
        began_s = time.monotonic()
        if not self._socket.connected:
            raise CannotError("The console closed the line of a viewer: this machine is too busy to keep ten of them.")
        await self._socket.emit("event", message)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._rows_came.wait(), _ANSWER_S)
        return time.monotonic() - began_s

    async def close(self) -> None:
        """The page is closed."""
        await self._socket.disconnect()

    async def _on_update(self, elements: dict[str, Any]) -> None:
        self.updates += 1
        shown = elements.get(self._table.get("number", ""))
        # The table tells first that other rows are on their way: that is no answer.
        if shown is not None and not shown["props"].get("loading"):
            self._rows_came.set()


class Audience:
    """The console and all who look."""

    def __init__(self) -> None:
        self._viewers: list[Viewer] = []

    async def open(self, api_url: str, token: str, viewers: int) -> dict[str, Any]:
        """Start the console, sign everybody in, open their pages."""
        orders = ConsoleOrders(settings=ConsoleSettings(port=0), api_url=api_url, feed_token=token)
        self._process: Process = await asyncio.create_subprocess_exec(sys.executable, "-m", "counterflow.console", stdin=PIPE, stdout=PIPE)
        assert self._process.stdin is not None, "it is a pipe"
        assert self._process.stdout is not None, "it is a pipe"
        self._process.stdin.write(msgspec.json.encode(orders) + b"\n")
        line = await asyncio.wait_for(self._process.stdout.readline(), _START_S)
        url = f"http://127.0.0.1:{int(line.removeprefix(READY.encode()))}"
        self._viewers = []
        for number in range(viewers):
            async with httpx.AsyncClient(base_url=url, headers={"Origin": url}, timeout=_START_S, trust_env=False) as http:
                signed = await http.post("/sign-in", data={"token": token})
            viewer = Viewer(url, signed.cookies[COOKIE], PLACES[number % len(PLACES)])
            await viewer.open()
            self._viewers.append(viewer)
        return {"pid": self._process.pid}

    async def look(self, window_s: float) -> dict[str, Any]:
        """Look for so long, and turn pages; how long each took, what the pages were sent, and what the console's process spent."""
        updates, spent_s, began_s = sum(viewer.updates for viewer in self._viewers), cpu_s(self._process.pid), time.monotonic()
        turning = [viewer for viewer in self._viewers if viewer.turns_pages]
        took = await asyncio.gather(*(_turn(viewer, number, window_s) for number, viewer in enumerate(turning)))
        await asyncio.sleep(max(0.0, began_s + window_s - time.monotonic()))
        lasted_s = time.monotonic() - began_s
        return {
            "pages_s": [each_s for viewer in took for each_s in viewer],
            "updates": sum(viewer.updates for viewer in self._viewers) - updates,
            "cores": (cpu_s(self._process.pid) - spent_s) / lasted_s,
        }

    async def close(self) -> dict[str, Any]:
        """Everybody goes, and the console ends."""
        for viewer in self._viewers:
            await viewer.close()
        assert self._process.stdin is not None, "it is a pipe"
        self._process.stdin.close()
        await self._process.wait()
        return {}


async def _turn(viewer: Viewer, number: int, window_s: float) -> list[float]:
    """Turn pages until the window is over; viewers do not do it at the same moment."""
    took: list[float] = []
    until_s = time.monotonic() + window_s
    await asyncio.sleep(PAGE_EVERY_S * (number + 1) / 4.0)
    while time.monotonic() < until_s:
        took.append(await viewer.turn(101 * number + len(took)))
        await asyncio.sleep(min(PAGE_EVERY_S, max(0.0, until_s - time.monotonic())))
    return took


def _between(text: str, begin: str, end: str) -> str:
    return text.partition(begin)[2].partition(end)[0]


async def _main() -> None:
    audience = Audience()
    await answer_requests({"open": audience.open, "look": audience.look, "close": audience.close})


if __name__ == "__main__":
    pin_from_command_line()
    asyncio.run(_main())
