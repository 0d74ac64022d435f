"""The HTTP API on the loop of the server: uvicorn, without its signals and its log lines."""

import asyncio
import contextlib
from collections.abc import Iterator
from functools import partial

import uvicorn
from fastapi import FastAPI, Request
from starlette.types import Receive, Scope, Send

from counterflow.adapters.http_connection import HttpConnection
from counterflow.adapters.web.problems import problem
from counterflow.adapters.web.roles import PREFIX
from counterflow.adapters.web.settings import ApiSettings

_LOOK_S = 0.005
STOP = f"{PREFIX}/emergency-stop"
"""Whoever asks for this is let in, however many wait."""


async def _crowded(scope: Scope, receive: Receive, send: Send) -> None:
    """The answer to whoever comes while everybody who is there waits for an answer."""
    answer = problem(
        Request(scope),
        503,
        "crowded",
        "Every connection that the API may have (api.max_connections) waits for an answer or reads a stream.",
        remedy="Try again in a moment, or close event streams that nobody reads.",
        headers={"Connection": "close", "Retry-After": "1"},
    )
    await answer(scope, receive, send)


class ApiServer(uvicorn.Server):
    """`serve()` as a task, `until_started()`, then `should_exit = True` to end it."""

    def __init__(self, app: FastAPI, settings: ApiSettings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                loop="none",
                lifespan="off",
                log_level="warning",
                access_log=False,
                log_config=None,  # lines of its own are ours to write (logs.py)
                http=partial(  # type: ignore[arg-type]  # called as a class is
                    HttpConnection, request_within_s=settings.request_within_s, most=settings.max_connections, crowded=self._beyond
                ),
                timeout_keep_alive=settings.idle_connection_s,  # type: ignore[arg-type]  # goes to loop.call_later
                timeout_graceful_shutdown=2,
                ssl_certfile=settings.tls_certificate or None,
                ssl_keyfile=settings.tls_key or None,
                proxy_headers=bool(settings.trusted_proxies),
                forwarded_allow_ips=list(settings.trusted_proxies),
                server_header=False,
            )
        )
        self._settings = settings

    async def _beyond(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.config.loaded_app if scope["path"] == STOP else _crowded
        await app(scope, receive, send)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install nothing: signals are the process's own."""
        yield

    async def until_started(self) -> None:
        """Raises OSError when the port cannot be had."""
        while not self.started:
            if self.should_exit:
                raise OSError(f"The API port {self._settings.port} cannot be opened; is another server running?")
            await asyncio.sleep(_LOOK_S)

    @property
    def port(self) -> int:
        """The port that was taken."""
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Where it is."""
        scheme = "https" if self._settings.tls_certificate else "http"
        return f"{scheme}://{self._settings.host}:{self.port}"
