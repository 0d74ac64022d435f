"""Every request that a station can send in OCPP 2.1 gets an answer over the wire that the official schemas admit."""

import asyncio
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
import websockets

from counterflow.adapters.ocpp import messages

EXAMPLES = 6
BOOT = {"reason": "PowerUp", "chargingStation": {"model": "M1", "vendorName": "Acme"}}


@pytest.fixture(scope="module")
def url(serve_all: Any) -> str:
    """A server that takes in anybody."""
    served = serve_all("", "--accept-unknown-stations", "--default-consent")
    return str(served.ocpp_url)


@pytest.mark.parametrize("action", sorted(messages.FROM_STATION))
def test_fr_03_a_request_is_answered_as_the_schemas_have_it(
    url: str,
    action: str,
    example_of: Callable[[str, random.Random], dict[str, Any]],
    schema_admits: Callable[[str, Any], bool],
) -> None:
    rng = random.Random(action)
    requests = [example_of(f"{action}Request", rng) for _ in range(EXAMPLES)]
    for request, answer in zip(requests, asyncio.run(_answers(f"{url}/ACT-{action}", action, requests)), strict=True):
        assert answer[0] == 3, (request, answer)
        assert schema_admits(f"{action}Response", answer[2]), (request, answer)


async def _answers(url: str, action: str, requests: list[dict[str, Any]]) -> list[list[Any]]:
    async with websockets.connect(url, subprotocols=[websockets.Subprotocol("ocpp2.1")]) as line:
        assert (await _ask(line, "boot", "BootNotification", BOOT))[2]["status"] == "Accepted"
        return [await _ask(line, f"{number}", action, request) for number, request in enumerate(requests)]


async def _ask(line: Any, message_id: str, action: str, payload: dict[str, Any]) -> list[Any]:
    await line.send(json.dumps([2, message_id, action, payload]))
    while True:
        frame: list[Any] = json.loads(await asyncio.wait_for(line.recv(), 60.0))
        if frame[0] != 2:
            assert frame[1] == message_id
            return frame
        # We are asked what we can do while our own call waits, and answer nothing of use.
        await line.send(json.dumps([4, frame[1], "NotSupported", "", {}]))
