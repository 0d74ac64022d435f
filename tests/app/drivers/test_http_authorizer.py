"""The HTTP call-out: one POST, one verdict, within the time-out, whatever the other side does."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from counterflow.app.drivers.authorizing import AuthorizationSettings, ListError, Question, Verdict
from counterflow.app.drivers.http_authorizer import HttpAuthorizer
from counterflow.domain.ids import StationId

QUESTION = Question(StationId("S"), "DECFW1", "Central", "0A1B")


def ask(answer: Callable[[httpx.Request], Any], **settings: Any) -> list[tuple[Verdict | None, float]]:
    told: list[tuple[Verdict | None, float]] = []

    async def run() -> None:
        one = HttpAuthorizer(AuthorizationSettings(url="http://hook/auth", **settings), lambda: 7.0, httpx.MockTransport(answer))
        one(QUESTION, lambda verdict, now_s: told.append((verdict, now_s)))
        for _ in range(100):
            if told:
                break
            await asyncio.sleep(0.01)
        await one.close()

    asyncio.run(run())
    return told


def test_the_question_is_posted_and_the_verdict_told(tmp_path: Path) -> None:
    seen: list[httpx.Request] = []
    (tmp_path / "bearer").write_text("secret\n")

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"status": "Accepted", "discharge": True, "more": 1})

    assert ask(answer, bearer_file=str(tmp_path / "bearer")) == [(Verdict("Accepted", True), 7.0)]
    assert json.loads(seen[0].content) == {"station_id": "S", "id_token": "DECFW1", "token_type": "Central", "evccid": "0A1B"}
    assert seen[0].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, b'{"status":"Blocked","discharge":true}', Verdict("Blocked", False)),
        (200, b'{"status":"Accepted"}', Verdict("Accepted", False)),
        (200, b'{"status":"Perhaps"}', None),
        (200, b"<html>", None),
        (500, b'{"status":"Accepted","discharge":true}', None),
    ],
)
def test_only_a_clear_answer_is_a_verdict(status: int, body: bytes, verdict: Verdict | None) -> None:
    assert ask(lambda _request: httpx.Response(status, content=body)) == [(verdict, 7.0)]


def test_silence_and_a_broken_line_are_no_verdict() -> None:
    async def silent(_request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(10.0)
        return httpx.Response(200)

    def broken(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("DECFW1 refused")

    assert ask(silent, timeout_s=0.05) == [(None, 7.0)]
    assert ask(broken) == [(None, 7.0)]


def test_a_bearer_file_that_cannot_be_read_stops_the_start() -> None:
    with pytest.raises(ListError):
        HttpAuthorizer(AuthorizationSettings(url="http://hook", bearer_file="no-such-file"), lambda: 0.0)
