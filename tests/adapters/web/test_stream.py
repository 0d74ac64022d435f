import asyncio
import contextlib
import json
from hashlib import sha256

import httpx
import pytest
import uvicorn
from msgspec.structs import replace

from counterflow.adapters.web.stream import KEEP_ALIVE, OPENED, EventStreams, encoded
from counterflow.domain.access import ApiToken
from counterflow.domain.views import Notice

TOKEN = "a-token-for-the-tests-0123456789"


def notice(number, kind="dispatch.state"):
    return Notice(at_s=1.0, kind=kind, subject="d-1", text="line\nbreak", values={"number": number})


@contextlib.asynccontextmanager
async def serving(app):
    """A real server on a port of its own."""
    server = uvicorn.Server(
        uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning", log_config=None, lifespan="off", timeout_graceful_shutdown=1)
    )
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    headers = {"Authorization": f"Bearer {TOKEN}"}
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}/api/v1", headers=headers, timeout=60, trust_env=False) as client:
            yield client
    finally:
        server.should_exit = True
        await task


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


def test_notices_arrive_as_events_between_signs_of_life_and_the_reader_is_forgotten(make_app, operations):
    async def story():
        async with serving(make_app(keep_alive_s=0.05)) as client:
            async with client.stream("GET", "/events") as response:
                assert response.headers["content-type"].startswith("text/event-stream")
                assert response.headers["x-request-id"]
                lines = response.aiter_lines()
                assert await anext(lines) == OPENED.decode().strip()
                await until(lambda: operations.listening == 1)
                operations.published.put_nowait(notice(1))
                operations.published.put_nowait(notice(2, kind="lost"))
                seen = []
                while len([line for line in seen if line.startswith("data:")]) < 2 or KEEP_ALIVE.decode().strip() not in seen:
                    seen.append(await anext(lines))
            await until(lambda: operations.listening == 0)
            return seen

    seen = asyncio.run(story())
    data = [json.loads(line.removeprefix("data: ")) for line in seen if line.startswith("data:")]
    assert [each["values"]["number"] for each in data] == [1, 2]
    assert [line for line in seen if line.startswith("event:")] == ["event: dispatch.state", "event: lost"]


def test_a_reader_that_comes_back_says_where_it_was(make_app, operations):
    async def story():
        async with serving(make_app()) as client, client.stream("GET", "/events", headers={"Last-Event-ID": "life-7"}) as response:
            lines = response.aiter_lines()
            await anext(lines)
            operations.published.put_nowait(replace(notice(8), id="life-8"))
            while not (line := await anext(lines)):
                pass
            return line

    assert asyncio.run(story()) == "id: life-8"
    assert ("notices", "life-7") in operations.calls


def test_streams_are_bounded_and_a_place_comes_free(make_app, operations):
    async def story():
        async with serving(make_app(max_event_streams=1)) as client:
            async with client.stream("GET", "/events") as first:
                await anext(first.aiter_lines())
                refused = await client.get("/events")
                assert refused.status_code == 503
                assert refused.json()["type"] == "urn:counterflow:problem:overloaded"
                assert refused.headers["retry-after"]
            await until(lambda: operations.listening == 0)
            async with client.stream("GET", "/events") as again:
                assert again.status_code == 200

    asyncio.run(story())


def test_the_stream_of_a_token_that_is_revoked_ends_before_it_tells_anything_more(make_app, operations):
    token = "a-token-of-a-viewer-0123456789"
    digest = sha256(token.encode()).hexdigest()
    operations.named = [ApiToken(name="viewer", role="viewer", digest=digest, added_at_s=0.0, added_by="x")]

    async def story():
        headers = {"Authorization": f"Bearer {token}"}
        async with serving(make_app(keep_alive_s=30.0)) as client, client.stream("GET", "/events", headers=headers) as response:
            lines = response.aiter_lines()
            await anext(lines)
            operations.published.put_nowait(notice(1))
            while not (await anext(lines)).startswith("data:"):
                pass
            operations.named = []
            operations.published.put_nowait(notice(2))
            return [line async for line in lines if line]

    assert asyncio.run(story()) == []


def test_the_stream_needs_a_token(make_app, operations):
    async def story():
        async with serving(make_app()) as client:
            return await client.get("/events", headers={"Authorization": "Bearer wrong"})

    assert asyncio.run(story()).status_code == 401
    assert operations.listening == 0


def test_a_stream_ends_with_its_notices(operations):
    async def story():
        operations.published.put_nowait(notice(1))
        operations.published.put_nowait(None)
        return [part async for part in EventStreams(1, 5.0).events(operations.notices(), encoded)]

    assert asyncio.run(story()) == [OPENED, encoded(notice(1))]


def test_a_failing_source_ends_the_stream_with_its_error():
    async def broken():
        yield notice(1)
        raise RuntimeError("the board is gone")

    async def story():
        return [part async for part in EventStreams(1, 5.0).events(broken(), encoded)]

    with pytest.raises(RuntimeError, match="board"):
        asyncio.run(story())


@pytest.mark.parametrize("kind", ["a\ndata: forged", "a\r\n\r\nevent: b"])
def test_a_notice_cannot_forge_another_event(kind):
    lines = encoded(notice(1, kind=kind)).split(b"\n")
    assert len(lines) == 4
    assert [line.split(b":")[0] for line in lines[:2]] == [b"event", b"data"]
    assert lines[2:] == [b"", b""]
    assert b"\r" not in encoded(notice(1, kind=kind))
