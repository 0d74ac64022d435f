"""Every request that a station can send is answered, and as the official schema has it."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest

from counterflow.adapters.ocpp import messages
from counterflow.adapters.ocpp.router import ROUTES


def test_every_station_action_of_ocpp_2_1_has_a_handler() -> None:
    assert set(ROUTES) == set(messages.FROM_STATION)


@pytest.mark.parametrize("action", sorted(messages.FROM_STATION))
def test_every_station_action_gets_a_schema_valid_answer(
    action: str, desk: Any, example_of: Callable[..., Any], schema_admits: Callable[[str, Any], bool]
) -> None:
    desk.open_known()
    rng = random.Random(action)
    for _ in range(12):
        payload = example_of(f"{action}Request", rng)
        kind, _, *rest = desk.says(action, payload)
        assert kind == 3, (rest, payload)
        assert schema_admits(f"{action}Response", rest[0]), rest
    assert desk.csms.counters.handler_failures == 0


def test_an_unknown_action_is_refused_as_not_implemented(desk: Any) -> None:
    desk.open_known()
    assert desk.says("MakeCoffee", {})[2] == "NotImplemented"


def test_nothing_that_a_station_sends_raises(desk: Any, example_of: Callable[..., Any]) -> None:
    """Valid requests with bytes of them changed, cut or repeated: `receive` returns, and the next good request is served."""
    desk.open_known()
    rng = random.Random(7)
    actions = sorted(messages.FROM_STATION)
    for _ in range(1500):
        action = rng.choice(actions)
        text = bytearray(json.dumps([2, "x", action, example_of(f"{action}Request", rng)]).encode())
        for _ in range(rng.randint(1, 6)):
            place = rng.randrange(len(text))
            match rng.randrange(3):
                case 0:
                    text[place] = rng.randrange(256)
                case 1:
                    del text[place : place + rng.randint(1, 20)]
                case _:
                    text[place:place] = text[: rng.randint(1, 20)]
            if not text:
                break
        desk.raw(bytes(text))
    assert desk.says("Heartbeat", {})[0] == 3
    assert desk.csms.counters.handler_failures == 0
