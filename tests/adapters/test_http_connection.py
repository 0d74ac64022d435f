"""What becomes a WebSocket is no request that is not whole."""

import asyncio
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from counterflow.adapters.http_connection import HttpConnection

UPGRADE = (
    b"GET /socket HTTP/1.1\r\nHost: here\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
HELLO = b"\x81\x05hello"
WITHIN_S = 0.2


async def greet(socket: WebSocket) -> None:
    """Say hello long after a request should have been whole."""
    await socket.accept()
    await asyncio.sleep(3.0 * WITHIN_S)
    await socket.send_text("hello")


def test_a_websocket_is_not_cut_off_as_a_request_that_never_ends() -> None:
    async def story() -> bytes:
        app = Starlette(routes=[WebSocketRoute("/socket", greet)])
        http = partial(HttpConnection, request_within_s=WITHIN_S)
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off", http=http))  # type: ignore[arg-type]
        serving = asyncio.create_task(server.serve())
        async with asyncio.timeout(60.0):
            while not server.started:
                await asyncio.sleep(0.01)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.servers[0].sockets[0].getsockname()[1])
            writer.write(UPGRADE)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
            said = await reader.read(len(HELLO))
            writer.close()
            server.should_exit = True
            await serving
        return said

    assert asyncio.run(story()) == HELLO
