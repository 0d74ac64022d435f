"""The server compared with: as small as one can be written on the PyPI packages `ocpp` (its default validation) and `websockets`.

It keeps nothing and writes nothing; it runs on the same event loop as ours, which is kinder to it than its own documentation.
Run as `python -m counterflow.app.bench.peer CORE`, asked over its standard input (see `processes`).
"""

import contextlib
from datetime import UTC, datetime
from typing import Any

import uvloop
from ocpp.routing import on
from ocpp.v21 import ChargePoint, call_result
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from counterflow.app.bench.processes import answer_requests, need_files, pin_from_command_line


class _Station(ChargePoint):  # type: ignore[misc]  # the package is not typed
    @on("BootNotification")  # type: ignore[untyped-decorator]  # the package is not typed
    def on_boot(self, charging_station: dict[str, Any], reason: str, **_: Any) -> Any:
        return call_result.BootNotification(current_time=datetime.now(UTC).isoformat(), interval=300, status="Accepted")

    @on("TransactionEvent")  # type: ignore[untyped-decorator]  # the package is not typed
    def on_transaction_event(self, **_: Any) -> Any:
        return call_result.TransactionEvent()


async def _talk(connection: ServerConnection) -> None:
    assert connection.request is not None
    station = _Station(connection.request.path.rpartition("/")[2], connection)
    with contextlib.suppress(ConnectionClosed):
        await station.start()


class Peer:
    """The server behind the requests."""

    async def start(self, stations: int) -> dict[str, Any]:
        """Listen."""
        need_files(stations)
        self._server = await serve(_talk, "127.0.0.1", 0, subprotocols=["ocpp2.1"], ping_interval=None, open_timeout=None, backlog=4096)  # type: ignore[list-item]  # a plain string is a Subprotocol
        return {"port": next(iter(self._server.sockets)).getsockname()[1]}


async def _main() -> None:
    peer = Peer()
    await answer_requests({"start": peer.start})


if __name__ == "__main__":
    pin_from_command_line()
    uvloop.run(_main())
