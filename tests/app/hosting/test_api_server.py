"""The API's connections on real sockets: who keeps one for later finds it open."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterable

import pytest
from fastapi import FastAPI, Request
from starlette.responses import Response

from counterflow.adapters import http_connection
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


LONG = 32_000_000
"""Bytes of an answer that no network takes at once."""
HEAD = b"POST /%s HTTP/1.1\r\nHost: here\r\nContent-Length: 9\r\n\r\n"


def an_api(settings: ApiSettings, go_on: asyncio.Event) -> ApiServer:
    app = FastAPI()

    @app.post("/read")
    async def read(request: Request) -> int:
        return len(await request.body())

    @app.get("/slow")
    async def slow() -> str:
        await go_on.wait()
        return "done"

    @app.post("/api/v1/emergency-stop")
    async def stop() -> str:
        return "stopped"

    @app.get("/long")
    async def long() -> Response:
        return Response(bytes(LONG))

    return ApiServer(app, settings)


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (b"", b""),
        (b"", b"GET / HTTP/1.1\r\nHos"),
        (b"", HEAD % b"read" + b"half"),
        (REQUEST, b"GET /aga"),
        (HEAD % b"nothing" + b"half", b"of"),
    ],
    ids=["nothing", "half a head", "half a body", "half a head after a request", "a body that is not read"],
)
def test_who_does_not_finish_a_request_is_cut_off(before: bytes, words: bytes) -> None:
    async def story() -> None:
        server = an_api(ApiSettings(port=0, request_within_s=0.2, idle_connection_s=600.0), asyncio.Event())
        serving = asyncio.create_task(server.serve())
        await server.until_started()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        async with asyncio.timeout(60.0):
            if before:
                writer.write(before)
                await reader.readuntil(NOT_FOUND)
            writer.write(words)
            assert await reader.read() == b""
        writer.close()
        server.should_exit = True
        await serving

    asyncio.run(story())


def test_whoever_waits_for_an_answer_or_idles_between_requests_is_not_cut_off() -> None:
    async def story() -> None:
        go_on = asyncio.Event()
        server = an_api(ApiSettings(port=0, request_within_s=0.2), go_on)
        serving = asyncio.create_task(server.serve())
        await server.until_started()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        async with asyncio.timeout(60.0):
            for words, answer in ((HEAD % b"read" + b"9" * 9, b"9"), (b"GET /slow HTTP/1.1\r\nHost: here\r\n\r\n", b'"done"')):
                writer.write(words)
                await asyncio.sleep(0.5)
                go_on.set()
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                assert await reader.readexactly(len(answer)) == answer
                await asyncio.sleep(0.5)
        assert not reader.at_eof()
        writer.close()
        server.should_exit = True
        await serving

    asyncio.run(story())


Opened = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _says(server: ApiServer, words: bytes) -> Opened:
    """A new connection on which these words are said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(words)
    return reader, writer


async def _until(happened: Callable[[], bool]) -> None:
    while not happened():
        await asyncio.sleep(0.005)


def _gone(opened: Iterable[Opened]) -> list[bool]:
    return [reader.at_eof() or reader.exception() is not None for reader, _ in opened]


@pytest.mark.parametrize("words", [b"", b"GET / HTTP/1.1\r\nHos", HEAD % b"read" + b"half", REQUEST])
def test_whoever_comes_takes_the_place_of_one_that_waits_for_no_answer(words: bytes) -> None:
    async def story() -> None:
        server = an_api(ApiSettings(port=0, max_connections=4), asyncio.Event())
        serving = asyncio.create_task(server.serve())
        await server.until_started()
        async with asyncio.timeout(60.0):
            opened: list[Opened] = []
            for _ in range(12):
                opened.append(await _says(server, words))
                if words == REQUEST:
                    await opened[-1][0].readuntil(NOT_FOUND)
            await _until(lambda: sum(_gone(opened)) == 8)
            reader, writer = await _says(server, HEAD % b"read" + b"9" * 9)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            await _until(lambda: sum(_gone(opened)) == 9)
            assert len(server.server_state.connections) == 4
            if words == REQUEST:
                assert _gone(opened) == [True] * 9 + [False] * 3, "who has said nothing for longest goes first"
        for _, one in (*opened, (reader, writer)):
            one.close()
        server.should_exit = True
        await serving

    asyncio.run(story())


def test_an_answer_that_is_read_slowly_is_not_cut_off_for_whoever_comes() -> None:
    async def story() -> None:
        server = an_api(ApiSettings(port=0, max_connections=4), asyncio.Event())
        serving = asyncio.create_task(server.serve())
        await server.until_started()
        async with asyncio.timeout(60.0):
            reader, writer = await _says(server, b"GET /long HTTP/1.1\r\nHost: here\r\n\r\n")
            await reader.readuntil(b"\r\n\r\n")
            opened = [await _says(server, b"") for _ in range(9)]
            await _until(lambda: sum(_gone(opened)) == 6)
            assert len(await reader.readexactly(LONG)) == LONG
        for _, one in (*opened, (reader, writer)):
            one.close()
        server.should_exit = True
        await serving

    asyncio.run(story())


def test_who_asks_and_reads_nothing_keeps_nobody_out_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "STUCK_AFTER_S", 0.2)

    async def story() -> None:
        server = an_api(ApiSettings(port=0, max_connections=4), asyncio.Event())
        serving = asyncio.create_task(server.serve())
        await server.until_started()
        async with asyncio.timeout(60.0):
            deaf = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(4)]
            for one in deaf:
                one.send(b"GET /long HTTP/1.1\r\nHost: here\r\n\r\n")
            await _until(lambda: len(server.server_state.connections) == 4 and server.server_state.total_requests == 4)
            told = b""
            while not told.startswith(b"HTTP/1.1 404"):
                reader, writer = await _says(server, REQUEST)
                told = await reader.readuntil(b"\r\n\r\n")
                writer.close()
                await asyncio.sleep(0.05)
        for one in deaf:
            one.close()
        server.should_exit = True
        await serving

    asyncio.run(story())


def test_where_everybody_waits_for_an_answer_one_more_is_told_so_and_the_others_are_answered() -> None:
    async def story() -> None:
        go_on = asyncio.Event()
        server = an_api(ApiSettings(port=0, max_connections=4), go_on)
        serving = asyncio.create_task(server.serve())
        await server.until_started()
        async with asyncio.timeout(60.0):
            waiting = [await _says(server, b"GET /slow HTTP/1.1\r\nHost: here\r\n\r\n") for _ in range(4)]
            await _until(lambda: len(server.server_state.tasks) == 4)
            for _ in range(3):
                reader, writer = await _says(server, b"GET /slow HTTP/1.1\r\nHost: here\r\n\r\n")
                told = await reader.read()
                assert told.startswith(b"HTTP/1.1 503")
                assert b"application/problem+json" in told
                assert b"api.max_connections" in told
                writer.close()
            reader, writer = await _says(server, b"POST /api/v1/emergency-stop HTTP/1.1\r\nHost: here\r\n\r\n")
            assert (await reader.readuntil(b'"stopped"')).startswith(b"HTTP/1.1 200")
            writer.close()
            go_on.set()
            for reader, writer in waiting:
                assert (await reader.readuntil(b'"done"')).startswith(b"HTTP/1.1 200")
                writer.close()
        server.should_exit = True
        await serving

    asyncio.run(story())
