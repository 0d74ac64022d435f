"""Runs the VTN on a port of this machine, in the event loop of its caller."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from secrets import token_hex
from typing import Any

import uvicorn
from fastapi import FastAPI
from msgspec import Struct

from counterflow.adapters.openadr.models import AnyObject, Operation, Version
from counterflow.sim.vtn.clients import Client, Role, TokenDesk
from counterflow.sim.vtn.door import BASE, House, make_app
from counterflow.sim.vtn.faults import FaultLine
from counterflow.sim.vtn.quirks import Quirks
from counterflow.sim.vtn.store import Store
from counterflow.sim.vtn.telling import Teller

OPERATOR = Client(client_id="operator", secret="operator-secret", role=Role.BUSINESS_LOGIC)
VEN = Client(client_id="ven", secret="ven-secret", role=Role.VEN)
"""Who may ask unless others are named. Known to everybody: for this machine alone."""
IDLE_CONNECTION_S = 75
"""Longer than VENs keep their connections between two polls: one that its server closes first loses the request on its way."""


class Vtn(Struct, frozen=True, kw_only=True):
    """A VTN with all its parts in reach, for tests and for the command line."""

    house: House
    app: FastAPI
    root_url: str

    def url(self, version: Version = Version.V3_1_0) -> str:
        """The base address of a version."""
        return f"{self.root_url}{BASE}/{version}"


def build(
    root_url: str,
    clients: Sequence[Client] = (OPERATOR, VEN),
    *,
    now_s: Callable[[], float] = time.time,
    run: str | None = None,
    mqtt_url: str | None = None,
    token_life_s: float = 3600.0,
    heard: Callable[[Operation, AnyObject], None] = lambda _operation, _thing: None,
) -> Vtn:
    """A VTN that is not served yet. `run` marks its ids; drawn if it is not given. `heard` is told of every change."""
    quirks = Quirks()
    teller = Teller(quirks)

    def on_change(operation: Operation, thing: AnyObject) -> None:
        heard(operation, thing)
        teller.changed(operation, thing, store)

    store = Store({client.client_id: client.role for client in clients}, now_s, run or token_hex(3), on_change)
    tokens = TokenDesk(clients, now_s, token_life_s)
    house = House(store=store, tokens=tokens, teller=teller, quirks=quirks, faults=FaultLine(), now_s=now_s, mqtt_url=mqtt_url)
    return Vtn(house=house, app=make_app(house), root_url=root_url.rstrip("/"))


def server_of(vtn: Vtn, host: str, port: int) -> uvicorn.Server:
    """A server that waits to be run. The Date header is the VTN's own, since a quirk moves its clock."""
    return uvicorn.Server(
        uvicorn.Config(
            vtn.app,
            host=host,
            port=port,
            log_level="warning",
            log_config=None,
            date_header=False,
            lifespan="off",
            timeout_keep_alive=IDLE_CONNECTION_S,
        )
    )


@contextlib.contextmanager
def beside(**options: Any) -> Iterator[Vtn]:
    """The same in an event loop of its own, in a thread: for callers that wait for each answer."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="vtn", daemon=True)
    thread.start()
    context = serving(**options)
    try:
        yield asyncio.run_coroutine_threadsafe(context.__aenter__(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(context.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextlib.asynccontextmanager
async def serving(host: str = "127.0.0.1", port: int = 0, **options: Any) -> AsyncIterator[Vtn]:
    """A VTN as long as the context lasts, on a free port unless one is named; `options` as for `build`."""
    sock = uvicorn.Config(app="", host=host, port=port, log_level="critical", log_config=None).bind_socket()
    try:
        vtn = build(f"http://{host}:{sock.getsockname()[1]}", **options)
        server = server_of(vtn, host, port)
        running = asyncio.ensure_future(server.serve(sockets=[sock]))
        while not server.started:
            await asyncio.sleep(0.002)
        try:
            yield vtn
        finally:
            await vtn.house.teller.settled()
            server.should_exit = True
            await running
    finally:
        sock.close()
