"""Foreign origins, foreign names and strangers are refused, on pages and on sockets."""

import asyncio
from typing import Any

import pytest

from counterflow.console.guard import Guard
from counterflow.console.signing import COOKIE

OURS = "http://127.0.0.1:8080"
SIGNED_IN = f"{COOKIE}=good"


def ask(kind: str = "http", path: str = "/", method: str = "GET", **headers: str) -> list[dict[str, Any]]:
    """What is sent back; the application behind answers `through`."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start" if scope["type"] == "http" else "through", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    guard = Guard(app, host="127.0.0.1", origins=["https://console.example"], is_signed_in=lambda key: key == "good")
    raw = [(name.encode(), value.encode()) for name, value in ({"host": "127.0.0.1:8080"} | headers).items()]
    asyncio.run(guard({"type": kind, "path": path, "method": method, "headers": raw}, receive, send))
    return sent


def status(**asked: Any) -> int:
    code: int = ask(**asked)[0]["status"]
    return code


def test_whoever_is_signed_in_gets_pages_with_a_policy_and_strangers_the_sign_in() -> None:
    started = ask(cookie=SIGNED_IN)[0]
    assert started["status"] == 200
    assert b"frame-ancestors 'none'" in dict(started["headers"])[b"content-security-policy"]
    assert status() == 303
    assert status(path="/sign-in") == 200
    assert status(path="/_nicegui/3/static/x.js") == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", ""])
def test_a_name_that_is_not_ours_is_refused(host: str) -> None:
    assert status(host=host, cookie=SIGNED_IN) == 403


@pytest.mark.parametrize(
    ("origin", "cookie", "through"),
    [
        (OURS, SIGNED_IN, True),
        ("https://console.example", SIGNED_IN, True),
        ("https://evil.example", SIGNED_IN, False),
        ("http://127.0.0.1:9999", SIGNED_IN, False),
        ("null", SIGNED_IN, False),
        (None, SIGNED_IN, False),
        (OURS, "", False),
        (OURS, f"{COOKIE}=bad", False),
        (OURS, "\x00;=", False),
    ],
)
def test_a_socket_needs_our_origin_and_a_sign_in(origin: str | None, cookie: str, through: bool) -> None:
    headers = {"cookie": cookie} | ({} if origin is None else {"origin": origin})
    answer = ask(kind="websocket", path="/_nicegui_ws/socket.io/", **headers)[0]
    assert (answer["type"] == "through") is through
    if not through:
        assert (answer["type"], answer["code"]) == ("websocket.close", 1008)


def test_a_form_of_another_page_is_refused() -> None:
    assert status(path="/sign-in", method="POST", origin=OURS) == 200
    assert status(path="/sign-in", method="POST", origin="https://evil.example") == 403
    assert status(path="/sign-in", method="POST") == 403
    assert status(path="/_nicegui_ws/socket.io/", method="POST", origin="https://evil.example", cookie=SIGNED_IN) == 403


def test_other_scopes_pass() -> None:
    assert ask(kind="lifespan")[0]["type"] == "through"
