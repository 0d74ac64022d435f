"""Whatever a VTN sends as an event: it spoils no other, and is no fault of ours."""

import asyncio
import json
from math import inf
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.adapters.openadr.stand_in import StandInGrid

from counterflow.adapters.openadr.client import VtnClient
from counterflow.adapters.openadr.settings import FollowedProgram, VtnSettings
from counterflow.adapters.openadr.ven import Ven
from counterflow.domain.grid import GridUnit, Program, Sign, Wire

NORTH = Program(name="north", wire=Wire.OPENADR, sign=Sign.LOAD, unit=GridUnit.KW, max_discharge_power_w=5e6)
GOOD = {
    "id": "good",
    "objectType": "EVENT",
    "programID": "p",
    "createdDateTime": "2027-01-15T08:00:00Z",
    "priority": 0,
    "intervalPeriod": {"start": "2027-01-15T08:00:00Z", "duration": "PT1H"},
    "intervals": [{"id": 0, "payloads": [{"type": "DISPATCH_SETPOINT", "values": [-42]}]}],
}
T0 = 1_800_000_000.0
"""2027-01-15T08:00:00Z."""

anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8), st.just([]), st.just({})
)


def mostly(usual: st.SearchStrategy[Any], less: int = 12) -> st.SearchStrategy[Any]:
    """Now and then something else."""
    return st.integers(0, less).flatmap(lambda drawn: anything if drawn == less else usual)


times = mostly(
    st.sampled_from(
        [
            "2027-01-15T08:30:00Z",
            "2027-01-15 09:00:00",
            "0001-01-01T00:00:00Z",
            "0000-00-00",
            "9999-12-31T23:59:59Z",
            "2027-01-15T07:59:00Z",
        ]
    )
)
durations = mostly(st.sampled_from(["PT15M", "PT0S", "P9999Y", "PT7M", "PT0.0001S", "P999999999D", "PT1S", "PT1H"]))
periods = mostly(st.fixed_dictionaries({}, optional={"start": times, "duration": durations, "randomizeStart": durations, "x": anything}))
kinds = st.sampled_from(
    ["DISPATCH_SETPOINT", "DISPATCH_SETPOINT_RELATIVE", "SIMPLE", "EXPORT_CAPACITY_LIMIT", "CHARGE_STATE_SETPOINT", "ALERT_X", "PRICE"]
)
values = mostly(st.lists(mostly(st.one_of(st.floats(-1e4, 0), st.integers(0, 3))), min_size=1, max_size=4))
payloads = mostly(st.lists(mostly(st.fixed_dictionaries({"type": kinds, "values": values})), min_size=1, max_size=2))
one_interval = st.fixed_dictionaries({"id": st.integers(0, 3), "payloads": payloads}, optional={"intervalPeriod": periods})
intervals = mostly(st.lists(mostly(one_interval), min_size=1, max_size=4))
descriptors = mostly(st.lists(st.fixed_dictionaries({"payloadType": kinds, "units": st.sampled_from(["KW", "MW", "HP", ""])}), max_size=2))
events = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["odd", "x y", "a/b", "", "good#2"]),
        "objectType": st.just("EVENT"),
        "programID": st.just("p"),
        "intervals": intervals,
        "intervalPeriod": st.fixed_dictionaries({"start": times, "duration": durations}, optional={"randomizeStart": durations}),
    },
    optional={
        "duration": durations,
        "priority": mostly(st.integers(-1, 9)),
        "targets": mostly(st.just([]), 4),
        "payloadDescriptors": descriptors,
        "createdDateTime": times,
        "eventName": mostly(st.text(max_size=8)),
    },
)


class Listing(httpx.AsyncBaseTransport):
    """A VTN that shows these events."""

    def __init__(self, shown: list[Any]) -> None:
        self._answers = {
            "/programs": [{"id": "p", "objectType": "PROGRAM", "programName": "north"}],
            "/vens": [{"id": "v", "objectType": "VEN", "venName": "counterflow"}],
            "/resources": [],
            "/events": shown,
        }

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = self._answers.get(request.url.path)
        return httpx.Response(404 if answer is None else 200, content=json.dumps(answer), request=request)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(events, events)
def test_it_spoils_no_other_and_is_no_fault_of_ours(one: dict[str, Any], other: dict[str, Any]) -> None:
    grid = StandInGrid(NORTH, now_s=T0)
    vtn = VtnSettings(name="dso", url="http://127.0.0.1", programs=(FollowedProgram(program="north"),), missed_polls=1)

    async def life() -> Ven:
        client = VtnClient(vtn, grid.now_s, transport=Listing([one, GOOD, other]), sleep=lambda _: asyncio.sleep(0))
        ven = Ven(vtn, grid, client)  # type: ignore[arg-type]
        for _ in range(2):
            await ven.poll()
            grid.at_s += 60.0
        return ven

    ven = asyncio.run(life())
    assert "dso: lost" not in grid.alarms
    assert ven.counts["read"] == 2
    claims_more = any(isinstance(said.get("priority"), int) and said["priority"] <= 0 for said in (one, other))
    assert grid.asks_w() == 42e3 or claims_more
    for record in grid.records.values():
        order = record.order
        assert all(0.0 <= step.discharge_power_w < inf for step in order.steps)
        assert all(step.from_s < order.end_s for step in order.steps)
