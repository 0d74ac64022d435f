"""What every request to the console passes: no foreign origin, no foreign host name, and no socket without a sign-in.

NiceGUI's Socket.IO server admits every origin; here nothing reaches it that the page itself did not open. A host name that is not ours is
refused as well, since a name of somebody else's that points here would make their page one of the same origin (DNS rebinding).
"""

from collections.abc import Callable, Iterable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from counterflow.console.signing import COOKIE, SIGN_IN, way_in

SOCKETS = "/_nicegui_ws"
_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' ws: wss:; "
        "frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}
"""Nothing is fetched from elsewhere. The framework compiles its templates in the page, hence 'unsafe-eval'."""


class Guard:
    """ASGI middleware around everything."""

    def __init__(self, app: ASGIApp, *, host: str, origins: Iterable[str], is_signed_in: Callable[[str | None], bool]) -> None:
        """`origins` = further addresses that browsers know the console by."""
        self._app = app
        self._origins = frozenset(origin.rstrip("/").lower() for origin in origins)
        named = {urlsplit(origin).hostname or "" for origin in self._origins}
        self._hosts = frozenset({host.lower(), *named, *_LOCAL})
        self._is_signed_in = is_signed_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request or socket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        why = self._why_not(scope)
        if why is None and scope["type"] == "http" and self._needs_sign_in(scope):
            where = way_in(scope["path"], is_over=_cookie(Headers(scope=scope)) is not None)
            await RedirectResponse(where, status_code=303)(scope, receive, send)
        elif why is None:
            await self._app(scope, receive, _with_headers(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": why})
        else:
            await PlainTextResponse(why, status_code=403)(scope, receive, send)

    def _needs_sign_in(self, scope: Scope) -> bool:
        """Pages are for people who have signed in; the framework's files are for everybody."""
        path = scope["path"]
        return path != SIGN_IN and not path.startswith("/_nicegui") and not self._is_signed_in(_cookie(Headers(scope=scope)))

    def _why_not(self, scope: Scope) -> str | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if (urlsplit(f"//{host}").hostname or "") not in self._hosts:
            return "This console is not known by that name; see console.origins in the settings."
        origin = headers.get("origin")
        sockets = scope["path"].startswith(SOCKETS)
        changes = scope["type"] == "http" and scope["method"] not in ("GET", "HEAD")
        if origin is None:
            # A browser tells the origin with every socket and every form; what tells none is no browser, and has no business there.
            if scope["type"] == "websocket" or (changes and not sockets):
                return "This was not asked by a page of this console."
        elif urlsplit(origin.lower()).netloc != host and origin.lower() not in self._origins:
            return "This was asked by a page of another origin."
        if sockets and not self._is_signed_in(_cookie(headers)):
            return "Sign in first."
        return None


def _cookie(headers: Headers) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if found is None else found.value


def _with_headers(send: Send) -> Send:
    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(_HEADERS)
        await send(message)

    return send_on
