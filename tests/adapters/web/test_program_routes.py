"""Orders of programs over HTTP, in their sign and unit; telemetry, and its stream that goes on where a reader stopped."""

import asyncio
import hashlib
from typing import Any

import msgspec
import pytest

from counterflow.adapters.web.program_routes import _encoded, _records
from counterflow.domain.access import ApiToken, Role
from counterflow.domain.grid import GridAnswer, GridOrder, GridOutcome, GridStep
from counterflow.domain.ids import PoolId
from counterflow.domain.views import Refusal, RefusalKind

BODY: dict[str, Any] = {
    "unit": "kW",
    "steps": [{"from": "2027-01-15T08:00:00Z", "value": -500}, {"from": "2027-01-15T09:00:00+01:00", "value": -250.5}],
    "end": "2027-01-15T10:00:00Z",
}


def order(key: str) -> GridOrder:
    steps = (GridStep(from_s=1_800_000_000.0, discharge_power_w=500_000.0), GridStep(from_s=1_800_000_000.0, discharge_power_w=250_500.0))
    return GridOrder(program="north", key=key, steps=steps, end_s=1_800_007_200.0)


def test_an_order_is_turned_into_watts_of_discharge(client, grid):
    said = client.ask("POST", "/programs/north/orders", json=BODY | {"key": "o-1"})
    assert (said.status_code, said.json()["outcome"], said.json()["program"], said.json()["unit"]) == (201, "accepted", "tso", "kW")
    said = client.ask("PUT", "/programs/north/orders/o-2", json=BODY)
    assert (said.status_code, said.json()["key"], said.json()["dispatch_id"]) == (200, "o-2", "d-1")
    assert grid.calls == [("place", order("o-1")), ("place", order("o-2"))]


def test_a_withdrawal_and_a_set_point(client, grid):
    assert client.ask("DELETE", "/programs/north/orders/o-1?why=rain").json()["about"] == "withdraw"
    said = client.ask("POST", "/programs/north/setpoint", json={"value": -3, "unit": "kW", "sequence": 7, "at": "2027-01-15T08:00:00Z"})
    assert (said.status_code, said.json()["sequence"]) == (200, 7)
    assert grid.calls == [("withdraw", "north", "o-1", "rain"), ("tell", "north", 3_000.0, 1_800_000_000.0, 7)]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/programs/north/orders", BODY | {"key": "o-1", "unit": "MW"}, 422, "The message is in MW"),
        ("POST", "/programs/north/orders", BODY | {"key": "o/1"}, 422, "key"),
        ("POST", "/programs/north/orders", BODY | {"key": "o-1", "surprise": 1}, 422, "surprise"),
        ("PUT", "/programs/north/orders/o-1", BODY | {"key": "o-2"}, 422, "key"),
        ("PUT", "/programs/north/orders/o-1", BODY | {"steps": []}, 422, "steps"),
        ("POST", "/programs/south/orders", BODY | {"key": "o-1"}, 404, "no program 'south' that orders over HTTP"),
        ("POST", "/programs/north/setpoint", {"value": -3, "unit": "W"}, 422, "The message is in W"),
        ("POST", "/programs/nobody/setpoint", {"value": -3, "unit": "kW"}, 404, "nobody"),
        ("POST", "/programs/north/setpoint", {"value": True, "unit": "kW"}, 422, "value"),
        ("DELETE", "/programs/nobody/orders/o-1", None, 404, "nobody"),
        ("GET", "/programs/south/orders", None, 404, "south"),
        ("GET", "/telemetry?pool=nobody", None, 404, "There is no telemetry of a pool 'nobody'."),
        ("GET", "/telemetry/stream?pool=nobody", None, 404, "nobody"),
    ],
)
def test_what_cannot_be_meant_is_a_problem(client, grid, method, path, body, status, words):
    said = client.ask(method, path, **({} if body is None else {"json": body}))
    assert said.status_code == status, said.text
    assert words in said.text
    assert said.headers["content-type"] == "application/problem+json"
    assert grid.calls == []


def test_what_the_desk_refuses_is_a_problem_with_its_sentence(client, grid):
    refusal = Refusal(kind=RefusalKind.TOO_OFTEN, sentence="Too many.", remedy="Send fewer.")
    grid.answer = GridAnswer(outcome=GridOutcome.REFUSED, refusal=refusal)
    said = client.ask("POST", "/programs/north/orders", json=BODY | {"key": "o-1"})
    assert (said.status_code, said.json()["detail"], said.json()["remedy"]) == (429, "Too many.", "Send fewer.")


def test_a_grid_token_orders_for_its_own_program_only(client, grid, operations):
    digest = {name: hashlib.sha256(f"{name}-token-of-some-length".encode()).hexdigest() for name in ("tso", "other")}
    fields: dict[str, Any] = {"added_at_s": 0.0, "added_by": "test"}
    operations.named = [ApiToken(name=name, digest=digest[name], role=Role.GRID.name.lower(), **fields) for name in digest]
    path, body = "/programs/north/orders", BODY | {"key": "o-1"}
    assert client.ask("POST", path, json=body, token="tso-token-of-some-length").status_code == 201
    said = client.ask("POST", path, json=body, token="other-token-of-some-length")
    assert said.status_code == 403
    assert "The program north is ordered by the token tso only" in said.text
    assert client.ask("GET", path, token="other-token-of-some-length").status_code == 200


def test_standing_orders_are_shown_in_the_words_of_the_program(client, grid):
    (one,) = client.ask("GET", "/programs/north/orders").json()["orders"]
    assert (one["key"], one["steps"][0]["value"], one["state"], one["end"]) == ("o-17", -500.0, "running", "2027-01-15T09:00:00Z")


def test_telemetry_is_the_newest_record_or_what_is_behind_a_number(client, grid):
    assert [one["sequence"] for one in client.ask("GET", "/telemetry").json()] == [5]
    assert [one["sequence"] for one in client.ask("GET", "/telemetry?since=2&most=2").json()] == [3, 4]
    assert [one["sequence"] for one in client.ask("GET", "/telemetry?most=3").json()] == [3, 4, 5]
    assert client.ask("GET", "/telemetry?since=-1").status_code == 422


def test_the_stream_goes_on_behind_the_last_record_that_was_read(grid):
    async def read() -> list[bytes]:
        found: list[bytes] = []
        async for record in _records(grid, PoolId("all"), 3):
            found.append(_encoded(record))
            if len(found) == 2:
                break
        return found

    first, _ = asyncio.run(read())
    lines = first.decode().split("\n")
    assert lines[:2] == ["id: 4", "event: telemetry"]
    assert msgspec.json.decode(lines[2].removeprefix("data: "))["sequence"] == 4


def test_a_set_point_that_was_taken_is_not_in_the_audit_log_and_a_refused_one_is(client, grid, operations):
    client.ask("POST", "/programs/north/setpoint", json={"value": -3, "unit": "kW"})
    assert operations.recorded == []
    client.ask("POST", "/programs/north/setpoint", json={"value": -3, "unit": "MW"})
    (entry,) = operations.recorded
    assert (entry.action, entry.status) == ("POST /api/v1/programs/north/setpoint", 422)
