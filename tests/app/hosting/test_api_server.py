"""The API's connections on real sockets: who keeps one for later finds it open."""

import asyncio
import time

from fastapi import FastAPI

from counterflow.adapters.web.settings import ApiSettings
from counterflow.app.hosting.api_server import ApiServer

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"


async def _closed_after_s(idle_connection_s: float) -> float:
    """How long after its answer an idle connection is closed."""
    server = ApiServer(FastAPI(), ApiSettings(port=0, idle_connection_s=idle_connection_s))
    serving = asyncio.create_task(server.serve())
    await server.until_started()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(REQUEST)
    asked_s = time.monotonic()
    async with asyncio.timeout(30.0):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404")
        await reader.read()
    took_s = time.monotonic() - asked_s
    writer.close()
    server.should_exit = True
    await serving
    return took_s


def test_an_idle_connection_is_kept_for_as_long_as_the_setting_says() -> None:
    assert asyncio.run(_closed_after_s(0.5)) >= 0.5
    assert asyncio.run(_closed_after_s(0.01)) < 30.0


def test_the_server_outlasts_proxies_that_keep_idle_connections_for_a_minute() -> None:
    """A connection that its server closes first loses the request that is just on its way: connection reset."""
    assert ApiSettings().idle_connection_s > 60.0
