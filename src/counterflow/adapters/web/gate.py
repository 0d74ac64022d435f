"""What every request passes, as plain ASGI: an id, the token, a bound on the body, a few headers.

Closed by default: whatever is not named in `OPEN_PATHS` needs a token, unknown paths among it.
"""

import re
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from counterflow.adapters.web.audit import LONGEST_BODY, is_recorded, is_value, seen, told
from counterflow.adapters.web.auth import Bearer, TokenCheck
from counterflow.adapters.web.metrics import Requests
from counterflow.adapters.web.problems import HEADERS, METHODS, REQUEST_ID, problem
from counterflow.domain.access import AuditEntry
from counterflow.engine.operations import Operations

OPEN_PATHS = frozenset({"/healthz", "/readyz"})

_USABLE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Gate:
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp, *, tokens: TokenCheck, operations: Operations, max_body_bytes: int, requests: Requests) -> None:
        self._app = app
        self._tokens = tokens
        self._operations = operations
        self._max_body_bytes = max_body_bytes
        self._requests = requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        shown = headers.get(REQUEST_ID, "")
        request_id = shown if _USABLE_ID.fullmatch(shown) else uuid4().hex
        state = scope.setdefault("state", {})
        state["request_id"] = request_id

        async def send_out(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._count(scope, message["status"])
                MutableHeaders(scope=message).update({REQUEST_ID: request_id, **HEADERS})
            await send(message)

        authorization = headers.get("Authorization")
        bearer = self._tokens.bearer(authorization)
        state["still_good"] = lambda: self._tokens.bearer(authorization) is not None
        state["who"], state["bearer"] = bearer, bearer.name if bearer else None
        if bearer is None and scope["path"] not in OPEN_PATHS:
            answer = problem(
                Request(scope),
                401,
                "token-needed",
                "This needs a token, and the one shown (if any) is not known here.",
                remedy="Send the header 'Authorization: Bearer <token>'; the server keeps its token in its data directory.",
                headers={"WWW-Authenticate": "Bearer"},
            )
            await answer(scope, receive, send_out)
            return
        stated = headers.get("Content-Length", "0")
        if not stated.isdigit() or int(stated) > self._max_body_bytes:
            answer = problem(
                Request(scope),
                413,
                "too-large",
                f"The body is larger than the {self._max_body_bytes} bytes that are read.",
                remedy="Send less.",
            )
            await answer(scope, receive, send_out)
            return
        if bearer is not None and is_recorded(scope["method"], scope["path"]):
            receive, send_on = self._audited(scope, bearer, receive, send_out)
        else:
            send_on = send_out
        try:
            await self._app(scope, self._bounded(receive), send_on)
        except Exception:
            self._count(scope, 500)
            raise

    def _audited(self, scope: Scope, bearer: Bearer, receive: Receive, send: Send) -> tuple[Receive, Send]:
        """The same, and an entry in the audit log when the answer begins."""
        path, body = scope["path"], bytearray()
        before = seen(self._operations, path)
        only_refused = is_value(scope["method"], path)

        async def receive_on() -> Message:
            message = await receive()
            if len(body) <= LONGEST_BODY:
                body.extend(message.get("body", b""))
            return message

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start" and not (only_refused and message["status"] < 300):
                entry = AuditEntry(
                    at_s=self._operations.now_s(),
                    who=bearer.name,
                    role=bearer.role.name.lower(),
                    action=f"{scope['method']} {path}",
                    sent=told(bytes(body)),
                    status=message["status"],
                    before=before,
                    after=seen(self._operations, path),
                )
                self._operations.record(entry)
            await send(message)

        return receive_on, send_on

    def _count(self, scope: Scope, status: int) -> None:
        self._requests[scope["method"] if scope["method"] in METHODS else "other", str(status)] += 1

    def _bounded(self, receive: Receive) -> Receive:
        """Counts what comes in, for bodies that do not say their length."""
        left = self._max_body_bytes

        async def receive_some() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise HTTPException(413)
            return message

        return receive_some
