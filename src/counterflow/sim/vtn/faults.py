"""Faults of the network, on demand: answers that come late, not at all, or say that the server is busy or broken."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from msgspec import Struct

_Scope = dict[str, Any]
_Receive = Callable[[], Awaitable[Any]]
_Send = Callable[[Any], Awaitable[None]]
_App = Callable[[_Scope, _Receive, _Send], Awaitable[None]]


class Fault(Struct, kw_only=True):
    """What happens to the next `times` requests of this method and path instead of, or around, an answer."""

    method: str = ""
    """Empty = every one."""
    path: str = ""
    """A part of the path, such as /events."""
    times: int = 1
    status: int | None = None
    """Answered at once, and nothing is done."""
    retry_after_s: int | None = None
    lost: bool = False
    """The request is carried out, and the connection breaks before its answer: the outcome is unknown to the client."""
    delay_s: float = 0.0
    """It is answered so much later."""

    def concerns(self, method: str, path: str) -> bool:
        """It strikes this request."""
        return self.times > 0 and self.method in ("", method) and self.path in path


class FaultLine:
    """The faults that are yet to strike, and a count of the requests that came."""

    def __init__(self) -> None:
        self.waiting: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        """(method, path) of every request, in the order in which they came."""

    def add(self, fault: Fault) -> None:
        """It strikes from now on."""
        self.waiting.append(fault)

    def next(self, method: str, path: str) -> Fault | None:
        """The fault that strikes this request, spent by it; None = none does."""
        self.requests.append((method, path))
        found = next((fault for fault in self.waiting if fault.concerns(method, path)), None)
        if found is not None:
            found.times -= 1
        return found

    def middleware(self, app: _App, sleep: Callable[[float], Awaitable[None]]) -> _App:
        """An ASGI application in front of another."""

        async def struck(scope: _Scope, receive: _Receive, send: _Send) -> None:
            fault = self.next(scope["method"], scope["path"]) if scope["type"] == "http" else None
            if fault is None:
                return await app(scope, receive, send)
            if fault.delay_s:
                await sleep(fault.delay_s)
            if fault.status is not None:
                return await _answer(fault.status, fault.retry_after_s, send)
            return await app(scope, receive, _cut_off(send) if fault.lost else send)

        return struck


async def _answer(status: int, retry_after_s: int | None, send: _Send) -> None:
    headers = [(b"content-type", b"application/json")]
    if retry_after_s is not None:
        headers.append((b"retry-after", str(retry_after_s).encode()))
    body = msgspec.json.encode({"title": "Out of order", "status": status, "detail": "A fault that was asked for."})
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _cut_off(send: _Send) -> _Send:
    """Promises a body and sends none of it, so that the server has to break the connection."""

    async def cut(message: Any) -> None:
        await send({**message, "body": b"", "more_body": False} if message["type"] == "http.response.body" else message)

    return cut
