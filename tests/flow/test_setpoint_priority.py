"""SetpointPriority: claimed where the operator has confirmed that we lead, given back where he takes it back, and on request (3.5)."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from counterflow.adapters.ocpp.discovery.dialogue import Errand
from counterflow.domain.conflicts import Leader
from counterflow.domain.ids import SiteId, StationId
from counterflow.domain.reasons import Reason
from counterflow.sim.rival import Rival

SITE = SiteId("default")
FIRST = StationId("SIM-00001")
STEERED: dict[str, Any] = {
    "operation_modes": ["ChargingOnly", "CentralSetpoint", "ExternalSetpoint", "ExternalLimits", "Idle"],
    "setpoint_priority": "ExternalSystem",
}
"""A local energy system can set the power of these stations, and its setpoint wins."""


def priorities(at: Any) -> set[str]:
    return {station.state.setpoint_priority for station in at.world.stations}


def reasons(at: Any) -> set[str]:
    return {view.reason for view in at.do(at.operations.sessions())}


def said(at: Any, leader: Leader | None) -> None:
    at.do(at.operations.confirm_priority(SITE, leader, "A. Owner", ""))
    at.run(5)


def asked(at: Any) -> list[str]:
    """Values of SetpointPriority that were sent."""
    sent = [one.payload["setVariableData"] for one in at.sent if one.action == "SetVariables"]
    return [item["attributeValue"] for data in sent for item in data if item["variable"]["name"] == "SetpointPriority"]


def remembered(at: Any) -> list[tuple[str, tuple[str, ...]]]:
    changes = at.operations.station(FIRST).changed_settings
    return [(change.former, change.ours) for change in changes if change.variable.name == "SetpointPriority"]


def test_it_is_claimed_once_the_operator_has_confirmed_and_given_back_when_he_takes_it_back(town: Any, ideal: dict[str, Any]) -> None:
    at = town(4, 1, plant=ideal, station=STEERED)
    assert reasons(at) == {Reason.PRIORITY_UNCLEAR.name.lower()}
    assert (asked(at), priorities(at)) == ([], {"ExternalSystem"})
    said(at, Leader.US)
    assert (asked(at), priorities(at)) == (["CSMS"] * 4, {"CSMS"})
    assert remembered(at) == [("ExternalSystem", ("CSMS",))]
    assert at.operations.station(FIRST).evses[0].setpoint_priority == "CSMS"
    said(at, Leader.THEM)
    assert priorities(at) == {"ExternalSystem"}
    assert remembered(at) == []
    assert reasons(at) == {Reason.OTHERS_LEAD.name.lower()}
    said(at, Leader.US)
    said(at, None)
    assert priorities(at) == {"ExternalSystem"}
    assert reasons(at) == {Reason.PRIORITY_UNCLEAR.name.lower()}


def test_where_we_lead_a_local_setpoint_does_not_take_the_car_away(town: Any, ideal: dict[str, Any]) -> None:
    at = town(4, 2, plant=ideal, station=STEERED)
    said(at, Leader.US)
    order = at.order(200.0, 0.8)
    at.run(60)
    before_w = at.delivered_w()
    for station in at.world.stations:
        rival = Rival(station)
        at.world.at(at.now_s, lambda rival=rival: rival.steer(at.now_s, 3_000.0))
    at.run(60)
    assert at.delivered_w() == pytest.approx(before_w, rel=0.05)
    assert at.view(order).drop_outs == 0


def test_on_request_the_station_gets_it_back_with_everything_else_and_is_left_alone(town: Any, ideal: dict[str, Any]) -> None:
    at = town(1, 3, plant=ideal, station=STEERED)
    said(at, Leader.US)
    at.restart()
    at.run(40)
    assert remembered(at) == [("ExternalSystem", ("CSMS",))], "what it was survives a restart"
    former = at.room.registry.former[FIRST].changes
    at.room.discover(FIRST, Errand(set_up=False, give_back=former), at.now_s, lambda _found: None)
    at.world.at(at.now_s, lambda: None)
    at.run(20)
    assert priorities(at) == {"ExternalSystem"}
    assert at.operations.station(FIRST).changed_settings == ()
    said(at, Leader.US)
    assert priorities(at) == {"ExternalSystem"}, "its settings are its owner's until somebody asks for discovery"


def answering(at: Any, way: Callable[[Any], Any]) -> None:
    """The first station answers SetVariables of SetpointPriority its own way."""
    at.answering("SetVariables", way, [0], lambda payload: "SetpointPriority" in json.dumps(payload))


def refused(status: str) -> Callable[[Any], Any]:
    component, variable = {"name": "SmartChargingCtrlr"}, {"name": "SetpointPriority"}
    result = {"attributeStatus": status, "component": component, "variable": variable}
    return lambda frame: [3, frame[1], {"setVariableResult": [result]}]


@pytest.mark.parametrize("status", ["Rejected", "UnknownVariable", "NotSupportedAttributeType"])
def test_b05_a_station_that_does_not_let_it_be_written_keeps_it_and_is_not_asked_over_and_over(
    town: Any, ideal: dict[str, Any], status: str
) -> None:
    at = town(2, 4, plant=ideal, station=STEERED, ready=lambda at: answering(at, refused(status)))
    said(at, Leader.US)
    at.run(120)
    assert (asked(at), remembered(at)) == (["CSMS"] * 2, [])
    assert at.operations.station(FIRST).evses[0].setpoint_priority == "ExternalSystem"
    assert at.operations.station(StationId("SIM-00002")).evses[0].setpoint_priority == "CSMS"


def test_without_a_usable_answer_the_former_value_stays_remembered(town: Any, ideal: dict[str, Any]) -> None:
    at = town(1, 5, plant=ideal, station=STEERED, ready=lambda at: answering(at, lambda frame: [4, frame[1], "InternalError", "", {}]))
    said(at, Leader.US)
    assert remembered(at) == [("ExternalSystem", ("CSMS",))]
    assert at.operations.station(FIRST).evses[0].setpoint_priority == "ExternalSystem"


@pytest.mark.parametrize(
    ("when", "leader", "expected"),
    [
        ("never", Leader.US, "ExternalSystem"),
        ("always", None, "CSMS"),
        ("always", Leader.THEM, "ExternalSystem"),
        ("confirmed", None, "ExternalSystem"),
    ],
)
def test_when_it_is_claimed(town: Any, ideal: dict[str, Any], when: str, leader: Leader | None, expected: str) -> None:
    at = town(1, 6, plant=ideal, station=STEERED, settings={"conflicts": {"claim_priority": when}})
    if leader is not None:
        said(at, leader)
    assert priorities(at) == {expected}


def test_a_station_without_a_local_system_is_left_alone(town: Any, ideal: dict[str, Any]) -> None:
    at = town(2, 7, plant=ideal, station={"operation_modes": ["ChargingOnly", "CentralSetpoint", "Idle"]})
    said(at, Leader.US)
    assert (asked(at), priorities(at)) == ([], {"ExternalSystem"})
