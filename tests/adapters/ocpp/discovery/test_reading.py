"""Reading a device model: in the sizes that the station takes, from reports where that is cheaper or all there is."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from counterflow.adapters.ocpp.wire import READ_BUFFER_BYTES
from counterflow.domain.resources import ControlMode
from counterflow.domain.telemetry import CapabilitiesDiscovered

Make = Callable[..., Any]
Values = dict[str, str]
UUID_MORE = 36 - 2
"""How much longer a real message id is than those of the desk."""
WEBSOCKET_HEADER = 8
PICOWS_SPARE = 256
"""What picows leaves free of its buffer; it doubles it when nine tenths of the rest are in use."""


@pytest.mark.parametrize("limit", [450, 1000, 5000])
def test_b06_fr_05_no_message_is_longer_than_the_station_takes(desk: Any, model_of: Make, compliant: Values, limit: int) -> None:
    names = [f"DeviceDataCtrlr.BytesPerMessage[{action}]" for action in ("GetVariables", "SetVariables", "GetReport")]
    model = model_of(desk, compliant | dict.fromkeys(names, str(limit)))
    model.lists = {"SampledDataCtrlr.TxUpdatedMeasurands": "SoC,Power.Active.Import"}
    desk.open_booted()
    sizes = []
    while desk.calls():
        [frame] = desk.calls()
        sizes.append((len(json.dumps(frame, separators=(",", ":"))) + UUID_MORE, frame[2]))
        model.serve_one()
    assert desk.happened(CapabilitiesDiscovered)[-1].evses[0].control_mode is ControlMode.SETPOINT
    assert {action for _, action in sizes} >= {"GetVariables", "SetVariables"}
    # A wish for one list of measurands is longer than 450 bytes, and cannot be made smaller.
    assert max(size for size, action in sizes[1:] if action != "SetVariables") <= limit
    assert max(size for size, _ in sizes[1:]) <= max(limit, 560)


def test_no_answer_makes_the_buffer_that_it_is_read_into_grow(desk: Any, model_of: Make, compliant: Values) -> None:
    names = [f"DeviceDataCtrlr.ItemsPerMessage[{action}]" for action in ("GetVariables", "SetVariables")]
    model = model_of(desk, compliant | dict.fromkeys(names, "50"), limit=50)
    desk.open_booted()
    sizes = []
    while desk.calls():
        [frame] = desk.calls()
        if frame[2] == "GetVariables":
            told = [item | {"attributeStatus": "Accepted", "attributeValue": "x" * 20} for item in frame[3]["getVariableData"]]
            text = json.dumps([3, frame[1], {"getVariableResult": told}], separators=(",", ":"))
            sizes.append(len(text) + UUID_MORE + WEBSOCKET_HEADER)
        model.serve_one()
    assert len(sizes) > 5
    assert max(sizes) < 0.9 * (READ_BUFFER_BYTES - PICOWS_SPARE)


def test_a_station_that_cuts_what_is_too_long_for_it_is_asked_for_the_rest(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    model = model_of(desk, {name: value for name, value in compliant.items() if "ItemsPerMessage" not in name}, limit=4, cuts=True)
    [evse] = model.serve().evses
    assert (evse.control_mode, evse.max_discharge_power_w, evse.max_stack_level) == (ControlMode.SETPOINT, 11_000.0, 9)


def test_where_many_messages_would_be_needed_one_report_is_asked_for_first(desk: Any, model_of: Make, compliant: Values) -> None:
    tiny = {f"DeviceDataCtrlr.ItemsPerMessage[{action}]": "2" for action in ("GetVariables", "SetVariables")}
    knows = frozenset({"GetVariables", "SetVariables", "GetBaseReport"})
    desk.open_booted()
    model = model_of(desk, compliant | tiny, limit=2, knows=knows)
    [evse] = model.serve().evses
    assert (evse.control_mode, evse.max_discharge_power_w) == (ControlMode.SETPOINT, 11_000.0)
    actions = [action for action, _ in model.messages]
    assert actions.count("GetBaseReport") == 1
    assert all("ItemsPerMessage" in name or "BytesPerMessage" in name for name in model.asked("GetVariables"))
    assert model.written["SampledDataCtrlr.TxUpdatedInterval"] == "10"


def test_where_the_report_is_refused_the_many_messages_are_sent(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    model = model_of(desk, compliant | {"DeviceDataCtrlr.ItemsPerMessage[GetVariables]": "2"}, limit=2)
    assert model.serve().evses[0].control_mode is ControlMode.SETPOINT
    assert len(model.messages) > 30


@pytest.mark.parametrize("silent", [False, True])
def test_b07_a_station_that_only_gives_reports_is_known_and_set_up_too(desk: Any, model_of: Make, compliant: Values, silent: bool) -> None:
    desk.open_booted()
    model = model_of(desk, compliant, knows=frozenset({"GetBaseReport", "SetVariables"}))
    model.maxima = {"EVSE@1.DischargePower": 9_000.0}
    model.lists = {"SampledDataCtrlr.TxUpdatedMeasurands": "SoC,Power.Active.Import"}
    if silent:
        desk.ignore()
        desk.wait(30)
    [evse] = model.serve().evses
    assert evse.control_mode is ControlMode.SETPOINT
    assert (evse.rated_discharge_power_w, evse.configured_discharge_power_w, evse.max_discharge_power_w) == (9_000.0, 11_000.0, 9_000.0)
    assert model.written["SampledDataCtrlr.TxUpdatedMeasurands"] == "Power.Active.Import,SoC"
    assert "GetReport" not in {action for action, _ in model.messages}, "the report has told the values lists"


def test_b07_evses_that_only_the_report_names_are_known(desk: Any, model_of: Make, compliant: Values, with_evse: Make) -> None:
    desk.open_booted()
    found = model_of(desk, with_evse(compliant, 2), knows=frozenset({"GetBaseReport"})).serve()
    assert [(evse.evse_id, evse.control_mode) for evse in found.evses] == [(1, ControlMode.SETPOINT), (2, ControlMode.SETPOINT)]


def test_b07_a_long_report_may_take_its_time_as_long_as_parts_come(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    desk.refuse("NotImplemented")
    action, payload = desk.call()
    assert (action, payload["reportBase"]) == ("GetBaseReport", "FullInventory")
    desk.answer({"status": "Accepted"})
    model = model_of(desk, compliant, knows=frozenset())
    for name in sorted({name.partition("!")[0] for name in compliant}):
        model.report(payload["requestId"], [name], ends=False)
        desk.wait(29)
    assert desk.happened(CapabilitiesDiscovered) == []
    desk.wait(2)
    model.serve()
    [found] = desk.happened(CapabilitiesDiscovered)
    assert found.evses[0].control_mode is ControlMode.SETPOINT


def test_b07_a_station_without_a_full_inventory_is_asked_for_what_can_be_configured(desk: Any) -> None:
    desk.open_booted()
    desk.refuse("NotSupported")
    desk.answer({"status": "NotSupported"})
    assert desk.call()[1]["reportBase"] == "ConfigurationInventory"
    desk.answer({"status": "Rejected"})
    [found] = desk.happened(CapabilitiesDiscovered)
    assert found.evses[0].reason == "the station refuses GetVariables (NotSupported)"


def test_parts_of_somebody_elses_report_change_nothing(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    desk.refuse("NotSupported")
    request_id = desk.call()[1]["requestId"]
    desk.answer({"status": "Accepted"})
    model = model_of(desk, compliant)
    model.report(request_id + 77, ["SmartChargingCtrlr.RateUnit"])
    desk.wait(30)
    assert desk.happened(CapabilitiesDiscovered)[0].evses[0].control_mode is ControlMode.NONE


def test_b08_values_lists_and_limits_are_asked_of_what_exists_before_anything_is_set(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    model = model_of(desk, compliant)
    model.lists = {f"SampledDataCtrlr.Tx{when}Measurands": "SoC,Voltage,Power.Active.Import" for when in ("Updated", "Ended")}
    model.maxima = {"EVSE@1.DischargePower": 7_400.0}
    found = model.serve()
    actions = [action for action, _ in model.messages]
    assert actions.index("GetReport") < actions.index("SetVariables")
    assert set(model.asked("GetReport")) == {
        *(f"SampledDataCtrlr.Tx{when}Measurands" for when in ("Started", "Updated", "Ended")),
        "EVSE@1.DischargePower",
    }
    assert found.evses[0].max_discharge_power_w == 7_400.0
    assert model.written["SampledDataCtrlr.TxUpdatedMeasurands"] == "Power.Active.Import,SoC"
    assert found.refusals == ()


def test_a_variable_that_a_station_chokes_on_is_left_out(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    model = model_of(desk, compliant)
    while desk.calls():
        _, payload = desk.call()
        names = [item["variable"]["name"] for item in payload.get("getVariableData", [])]
        if "SetpointPriority" in names:
            desk.refuse("InternalError")
        else:
            model.serve_one()
    [found] = desk.happened(CapabilitiesDiscovered)
    assert found.evses[0].control_mode is ControlMode.SETPOINT
    assert found.evses[0].setpoint_priority is None
