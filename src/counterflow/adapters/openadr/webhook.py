"""Where a VTN's notifications come in: a small listener of its own, apart from the API, with a token of its own.

A notification is a hint. It says that something has changed; what has, is read from the VTN. So nothing that comes in here can order
anything, and one that nobody understands does no harm.
"""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from hmac import compare_digest
from typing import Any
from urllib.parse import parse_qs

import uvicorn

from counterflow.adapters.http_connection import HttpConnection
from counterflow.adapters.openadr.settings import WebhookSettings

MOST_BYTES = 1 << 20
_ECHO = re.compile(r"[A-Za-z0-9._~-]{1,256}")
_WAIT_S = 10.0
REQUEST_WITHIN_S = 2.0 * _WAIT_S
"""Whoever has asked nothing by then is gone: else a few dozen silent connections would keep every notification out."""

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class WebhookDoor:
    """An ASGI app. `heard` is called for each notification that shows the token."""

    def __init__(self, token: str, heard: Callable[[], None]) -> None:
        self._header = f"Bearer {token}".encode()
        self._heard = heard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        status, text = await self._answer(scope, receive)
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff")]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text.encode()})

    async def _answer(self, scope: Scope, receive: Receive) -> tuple[int, str]:
        if scope["method"] == "GET":
            # The VTN makes sure that the callback wants to be called (User Guide, echo); some put /echo behind the path.
            echo = parse_qs(scope["query_string"].decode("latin-1")).get("echo", [""])[0]
            return (200, echo) if _ECHO.fullmatch(echo) else (404, "")
        if scope["method"] != "POST":
            return 405, ""
        shown = dict(scope["headers"]).get(b"authorization", b"")
        if not compare_digest(shown, self._header):
            return 401, ""
        try:
            async with asyncio.timeout(_WAIT_S):
                whole = await _drained(receive)
        except TimeoutError:
            return 408, ""
        if not whole:
            return 413, ""
        self._heard()
        return 200, ""


async def _drained(receive: Receive) -> bool:
    """Read the body away; False = it is too long."""
    length = 0
    while True:
        message = await receive()
        length += len(message.get("body", b""))
        if length > MOST_BYTES:
            return False
        if message["type"] != "http.request" or not message.get("more_body", False):
            return True


class _Quiet(uvicorn.Server):
    """uvicorn inside our loop: signals stay ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install nothing."""
        yield


class WebhookListener:
    """`serve()` it as a task; `port` tells what was taken where the settings say 0."""

    def __init__(self, settings: WebhookSettings, door: WebhookDoor) -> None:
        self._server = _Quiet(
            uvicorn.Config(
                door,
                host=settings.host,
                port=settings.port,
                loop="none",
                lifespan="off",
                log_level="warning",
                access_log=False,
                log_config=None,
                limit_concurrency=50,
                http=partial(HttpConnection, request_within_s=REQUEST_WITHIN_S),  # type: ignore[arg-type]  # called as a class is
                timeout_graceful_shutdown=1,
                ssl_certfile=settings.tls_certificate or None,
                ssl_keyfile=settings.tls_key or None,
                server_header=False,
            )
        )

    async def serve(self) -> None:
        """Until it is told to stop, or cancelled. Raises OSError when the port is taken."""
        try:
            await self._server.serve()
        except SystemExit:
            raise OSError(f"The port {self._server.config.port} for OpenADR notifications cannot be opened.") from None

    @property
    def listening(self) -> bool:
        """Notifications can come in."""
        return bool(self._server.started)

    @property
    def port(self) -> int:
        """The port that was taken."""
        port: int = self._server.servers[0].sockets[0].getsockname()[1]
        return port

    def stop(self) -> None:
        """Let `serve` return."""
        self._server.should_exit = True
