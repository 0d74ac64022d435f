"""The console's process: `python -m counterflow.console`, told on its standard input what to do; it ends when that closes."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from functools import partial
from html import escape

import msgspec
import uvicorn
from fastapi import FastAPI, Request
from nicegui import ui
from starlette.responses import HTMLResponse, RedirectResponse, Response

from counterflow.adapters.http_connection import HttpConnection
from counterflow.console.api import ApiError
from counterflow.console.cut import ALIVE
from counterflow.console.guard import Guard
from counterflow.console.house import House
from counterflow.console.pages import delivered, dispatch_room, fleet, health, offers, replay, session, sites, stations
from counterflow.console.settings import ConsoleOrders
from counterflow.console.signing import COOKIE, SIGN_IN, way_back

PAGES = (dispatch_room, fleet, session, stations, sites, offers, delivered, health, replay)
IDLE_CONNECTION_S = 75
"""An idle connection is closed after this: longer than what a proxy in front keeps idle connections."""
REQUEST_WITHIN_S = 60.0
"""A request that is not whole after this is cut off with its connection."""
READY = "ready "
"""What the process writes first, followed by its port."""
_SIGN_IN = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in – Counterflow</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root{color-scheme:light dark}body{font-family:system-ui,sans-serif;display:grid;place-items:center;min-height:90vh;margin:0}
form{width:min(26rem,90vw);display:grid;gap:.8rem}input,button{font:inherit;padding:.6rem;border-radius:.4rem;border:1px solid #888}
button{background:#0072B2;color:white;border:0}.no{color:#b00020}</style></head><body><form method="post" action="/sign-in">
<input type="hidden" name="next" value="%s">
<h1>Counterflow</h1><p>Sign in with an API token. The server keeps its first one in the file <code>api-token</code> of its data folder;
<code>counterflow tokens add NAME --role viewer</code> makes further ones.</p>%s
<label for="token">Token</label><input id="token" name="token" type="password" autocomplete="current-password" autofocus required>
<button>Sign in</button></form></body></html>"""


_OVER = "Your sign-in is over. Sign in again; what had not been sent was not done."


def build(orders: ConsoleOrders) -> tuple[FastAPI, House]:
    """The application, and what its pages share."""
    house = House(orders)

    @contextlib.asynccontextmanager
    async def life(_app: FastAPI) -> AsyncIterator[None]:
        keeping = asyncio.create_task(house.feed.keep())
        yield
        keeping.cancel()
        await house.api.close()

    app = FastAPI(lifespan=life, docs_url=None, redoc_url=None, openapi_url=None)
    _add_sign_in(app, house, secure=any(origin.startswith("https:") for origin in orders.settings.origins))
    for one in PAGES:
        one.show(house)
    ui.run_with(app, title="Counterflow", show_welcome_message=False, dark=None, reconnect_timeout=10.0)
    app.add_middleware(
        Guard,
        host=orders.settings.host,
        origins=orders.settings.origins,
        is_signed_in=lambda key: house.visitors.find(key) is not None,
    )
    return app, house


def _add_sign_in(app: FastAPI, house: House, *, secure: bool) -> None:
    @app.get(SIGN_IN)
    async def form(request: Request) -> Response:
        asked = request.query_params
        return _form(asked.get("next", "/"), _OVER if asked.get("over") else "")

    @app.post(SIGN_IN)
    async def sign_in(request: Request) -> Response:
        told = await request.form()
        token, back = str(told.get("token", "")).strip(), way_back(str(told.get("next", "/")))
        try:
            who = await house.api.get(token if token.isascii() and token.isprintable() else "", "/whoami")
        except ApiError as error:
            why = "This token is not known to the server." if error.status == 401 else error.sentence
            return _form(back, why, status=403)
        visitor = house.visitors.enter(token, who["name"], who["role"])
        answer = RedirectResponse(back, status_code=303)
        answer.set_cookie(COOKIE, visitor.key, httponly=True, samesite="strict", secure=secure)
        return answer

    @app.get(ALIVE)
    async def alive() -> Response:
        return Response(status_code=204)

    @app.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        house.visitors.leave(request.cookies.get(COOKIE))
        answer = RedirectResponse(SIGN_IN, status_code=303)
        answer.delete_cookie(COOKIE)
        return answer


def _form(back: str, why: str, *, status: int = 200) -> Response:
    said = f'<p class="no" role="alert">{escape(why)}</p>' if why else ""
    return HTMLResponse(_SIGN_IN % (escape(back), said), status_code=status)


async def serve(orders: ConsoleOrders) -> None:
    """Until standard input closes, which it does when the server that started this ends, however it ends."""
    app, _ = build(orders)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=orders.settings.host,
            port=orders.settings.port,
            log_level="warning",
            access_log=False,
            server_header=False,
            http=partial(HttpConnection, request_within_s=REQUEST_WITHIN_S),  # type: ignore[arg-type]  # called as a class is
            timeout_keep_alive=IDLE_CONNECTION_S,
            timeout_graceful_shutdown=2,
        )
    )
    serving = asyncio.create_task(server.serve())
    while not server.started and not serving.done():
        await asyncio.sleep(0.02)
    if server.started:
        print(f"{READY}{server.servers[0].sockets[0].getsockname()[1]}", flush=True)
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving


def main() -> None:
    """Read the orders from the first line of standard input, then serve."""
    orders = msgspec.json.decode(sys.stdin.readline(), type=ConsoleOrders)
    asyncio.run(serve(orders))
