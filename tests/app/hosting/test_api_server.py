"""The API's connections on real sockets: who keeps one for later finds it open."""

import asyncio
import contextlib
import time

from fastapi import FastAPI

from counterflow.adapters.web.settings import ApiSettings
from counterflow.app.hosting.api_server import ApiServer

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
NOT_FOUND = b'{"detail":"Not Found"}'


async def _answered(server: ApiServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that has had an answer and now idles."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(REQUEST)
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 404")
    await reader.readexactly(len(NOT_FOUND))
    return reader, writer


async def _outlives(long_s: float, short_s: float) -> tuple[bool, float]:
    """Whether a connection of a server that keeps them for `long_s`, answered first, is open when one of another, which keeps them for
    `short_s`, is closed; and how long after its request that was."""
    servers = [ApiServer(FastAPI(), ApiSettings(port=0, idle_connection_s=idle_s)) for idle_s in (long_s, short_s)]
    serving = [asyncio.create_task(server.serve()) for server in servers]
    async with asyncio.timeout(60.0):
        for server in servers:
            await server.until_started()
        kept, kept_writer = await _answered(servers[0])
        began_s = time.monotonic()
        closed, closed_writer = await _answered(servers[1])
        await closed.read()
        took_s = time.monotonic() - began_s
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(kept.read(1), 0.1)
    is_open = not kept.at_eof()
    for writer in (kept_writer, closed_writer):
        writer.close()
    for server in servers:
        server.should_exit = True
    await asyncio.gather(*serving)
    return is_open, took_s


def test_an_idle_connection_is_kept_for_as_long_as_the_setting_says() -> None:
    is_open, took_s = asyncio.run(_outlives(600.0, 0.5))
    assert is_open, "each as its own setting says"
    assert took_s >= 0.5


def test_the_server_outlasts_proxies_that_keep_idle_connections_for_a_minute() -> None:
    """A connection that its server closes first loses the request that is just on its way: connection reset."""
    assert ApiSettings().idle_connection_s > 60.0
