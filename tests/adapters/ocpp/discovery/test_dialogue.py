"""Discovery asks a device model what a station can do, sets the sampling, and always ends with a reason in words."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from counterflow.adapters.ocpp.settings import NegativeLimitModel
from counterflow.domain.commands import RequestSample
from counterflow.domain.ids import EvseId
from counterflow.domain.records import DiscoveryRecord
from counterflow.domain.resources import ControlMode, EvseCapability, StationIdentity
from counterflow.domain.telemetry import CapabilitiesDiscovered

Make = Callable[..., Any]
Values = dict[str, str]
BOOT = {"reason": "PowerUp", "chargingStation": {"model": "M1", "vendorName": "Acme", "firmwareVersion": "1.0"}}


def test_a_compliant_v2x_station_takes_setpoints_and_our_sampling(desk: Any, model_of: Make, compliant: Values, wanted: str) -> None:
    desk.open_booted()
    model = model_of(desk, compliant)
    found = model.serve()
    [evse] = found.evses
    assert evse == EvseCapability(
        evse_id=EvseId(1),
        control_mode=ControlMode.SETPOINT,
        reason="CentralSetpoint in W",
        max_discharge_power_w=11_000.0,
        configured_discharge_power_w=11_000.0,
        max_stack_level=9,
        operation_modes=("ChargingOnly", "CentralSetpoint", "CentralFrequency"),
        rate_units=("W", "A"),
    )
    assert (found.meter_interval_s, found.refusals) == (10.0, ())
    assert model.written["SampledDataCtrlr.TxUpdatedInterval"] == "10"
    for name in ("TxStarted", "TxUpdated", "TxEnded"):
        assert model.written[f"SampledDataCtrlr.{name}Measurands"] == wanted


@pytest.mark.parametrize("spelling", ["SupportsFeature[{}]", "Supports{}"])
def test_both_spellings_of_feature_flags_are_read(desk: Any, spelling: str, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    flags = {f"SmartChargingCtrlr.{spelling.format(name)}": "True" for name in ("DynamicProfiles", "MaxOfflineDuration")}
    [evse] = model_of(desk, compliant | flags).serve().evses
    assert evse.control_mode is ControlMode.DYNAMIC
    assert evse.dynamic_profiles is True
    assert evse.max_offline_duration is True


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"V2XChargingCtrlr@1.SupportedOperationModes": "ChargingOnly,Idle"}, "CentralSetpoint is not among"),
        ({"V2XChargingCtrlr@1.SupportedOperationModes": ""}, "names no V2XChargingCtrlr"),
        ({"SmartChargingCtrlr.RateUnit": "A"}, "profiles in W are not accepted (RateUnit: A)"),
        ({"V2XChargingCtrlr@1.Enabled": "false"}, "V2X charging is off"),
    ],
)
def test_what_is_missing_is_said_in_words(desk: Any, changes: Values, words: str, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    [evse] = model_of(desk, compliant | changes).serve().evses
    assert evse.control_mode is ControlMode.CHARGE_ONLY
    assert words in evse.reason


def test_a_v2x_controller_of_the_station_stands_for_its_evses(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    values = {name.replace("V2XChargingCtrlr@1", "V2XChargingCtrlr"): value for name, value in compliant.items()}
    assert model_of(desk, values).serve().evses[0].control_mode is ControlMode.SETPOINT


def test_negative_limits_are_used_only_for_models_that_the_settings_name(desk_with: Make, model_of: Make, compliant: Values) -> None:
    old = compliant | {"V2XChargingCtrlr@1.SupportedOperationModes": "ChargingOnly"}
    for models, mode in (
        ((), ControlMode.CHARGE_ONLY),
        (("acme/m1",), ControlMode.NEGATIVE_LIMIT),
        (("Acme/M2",), ControlMode.CHARGE_ONLY),
    ):
        desk = desk_with(negative_limit_models=tuple(NegativeLimitModel(model=name) for name in models))
        desk.open_booted()
        assert model_of(desk, old).serve().evses[0].control_mode is mode
    desk = desk_with(negative_limit_models=(NegativeLimitModel(model="Acme/M1"),))
    desk.open_booted()
    assert model_of(desk, compliant).serve().evses[0].control_mode is ControlMode.SETPOINT


@pytest.mark.parametrize("items", ["1", "5", "20", "1000"])
def test_b06_fr_05_no_message_asks_for_more_items_than_the_station_takes(desk: Any, items: str, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    limits = {f"DeviceDataCtrlr.ItemsPerMessage[{action}]": items for action in ("GetVariables", "SetVariables")}
    model = model_of(desk, compliant | limits)
    assert model.serve().evses[0].control_mode is ControlMode.SETPOINT
    assert max(len(names) for _, names in model.messages[1:]) <= min(50, int(items))


def test_a_station_that_does_not_name_its_limit_but_has_one_is_asked_in_smaller_parts(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    values = {name: value for name, value in compliant.items() if "ItemsPerMessage" not in name}
    assert model_of(desk, values, limit=5).serve().evses[0].control_mode is ControlMode.SETPOINT


@pytest.mark.parametrize("code", ["NotSupported", "NotImplemented", "InternalError", "FormationViolation"])
def test_a_station_that_refuses_to_be_asked_ends_as_not_dispatchable(desk: Any, code: str) -> None:
    desk.open_booted()
    while desk.calls():
        desk.refuse(code)
    [found] = desk.happened(CapabilitiesDiscovered)
    assert found.evses[0].control_mode is ControlMode.NONE
    assert "refuses GetVariables" in found.evses[0].reason
    assert found.refusals


def test_a_mute_station_ends_as_not_dispatchable_and_is_asked_again_on_its_next_connection(desk: Any) -> None:
    desk.open_booted()
    for action in ("GetVariables", "GetBaseReport"):
        assert desk.call()[0] == action
        desk.ignore()
        desk.wait(30)
    [found] = desk.happened(CapabilitiesDiscovered)
    assert found.evses[0].control_mode is ControlMode.NONE
    assert "did not answer" in found.evses[0].reason
    assert desk.calls() == []
    desk.close()
    desk.open(known=DiscoveryRecord(station_id="S1", identity=StationIdentity.unknown(), evses=found.evses))
    assert desk.call()[0] == "GetVariables"


def test_answers_that_make_no_sense_end_it_too(desk: Any) -> None:
    desk.open_booted()
    while desk.calls():
        desk.answer({"getVariableResult": "none"})
    assert desk.happened(CapabilitiesDiscovered)[0].evses[0].control_mode is ControlMode.NONE


def test_results_without_the_evse_are_matched_by_their_place(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    model = model_of(desk, compliant)
    got = model.got

    def forgetful(item: dict[str, Any]) -> dict[str, Any]:
        result = got(item)
        return result | {"component": {"name": result["component"]["name"].upper()}}

    model.got = forgetful  # type: ignore[method-assign]  # this station leaves out the EVSE
    assert model.serve().evses[0].max_discharge_power_w == 11_000.0


def test_what_is_so_already_is_not_written_again(desk: Any, model_of: Make, compliant: Values, wanted: str) -> None:
    desk.open_booted()
    measurands = {f"SampledDataCtrlr.Tx{when}Measurands": wanted for when in ("Started", "Updated", "Ended")}
    model = model_of(desk, compliant | measurands | {"SampledDataCtrlr.TxUpdatedInterval": "10"})
    assert model.serve().meter_interval_s == 10.0
    assert "SetVariables" not in {action for action, _ in model.messages}


def test_the_v2x_interval_is_set_where_it_exists(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    name = "V2XChargingCtrlr@1.TxUpdatedInterval[CentralSetpoint]"
    model = model_of(desk, compliant | {name: "30"})
    model.serve()
    assert model.written[name] == "10"


def test_a_refused_interval_is_said_and_the_old_one_stays_in_force(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    found = model_of(desk, compliant, refused=frozenset({"SampledDataCtrlr.TxUpdatedInterval"})).serve()
    assert found.meter_interval_s == 60.0
    assert found.refusals == ("The station did not set SampledDataCtrlr.TxUpdatedInterval: Rejected.",)
    assert found.evses[0].control_mode is ControlMode.SETPOINT


def test_measurands_are_narrowed_to_the_values_list_of_a_report(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    model = model_of(desk, compliant)
    names = [f"SampledDataCtrlr.Tx{when}Measurands" for when in ("Started", "Updated", "Ended")]
    model.lists = dict.fromkeys(names, "Power.Active.Import,SoC,Voltage")
    assert model.serve().refusals == ()
    assert [model.written[name] for name in names] == ["Power.Active.Import,SoC"] * 3


def test_a_report_that_never_comes_does_not_hold_discovery_up(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    model = model_of(desk, compliant)
    model.lists = {"SampledDataCtrlr.TxUpdatedMeasurands": "SoC"}
    while desk.call()[0] != "GetReport":
        model.serve_one()
    desk.answer({"status": "Accepted"})
    assert desk.calls() == []
    assert desk.csms.next_deadline_s() == desk.now_s + 30.0
    desk.wait(30)
    found = model.serve()
    assert len(found.refusals) == 1
    assert "TxUpdatedMeasurands" in found.refusals[0]


def test_evses_are_discovered_when_they_are_first_mentioned(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    second = {name.replace("@1", "@2"): value for name, value in compliant.items()}
    model = model_of(desk, second | compliant)
    assert [evse.evse_id for evse in model.serve().evses] == [1]
    status = {"timestamp": "2026-11-22T12:00:00Z", "connectorStatus": "Available", "evseId": 2, "connectorId": 1}
    desk.says("StatusNotification", status)
    desk.says("StatusNotification", status)
    found = model.serve()
    assert [(evse.evse_id, evse.control_mode) for evse in found.evses] == [(1, ControlMode.SETPOINT), (2, ControlMode.SETPOINT)]
    assert len(desk.happened(CapabilitiesDiscovered)) == 2


def test_an_evse_that_is_mentioned_meanwhile_is_part_of_the_same_discovery(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    desk.says("StatusNotification", {"timestamp": "2026-11-22T12:00:00Z", "connectorStatus": "Available", "evseId": 3, "connectorId": 1})
    found = model_of(desk, compliant).serve()
    assert [evse.evse_id for evse in found.evses] == [1, 3]
    assert len(desk.happened(CapabilitiesDiscovered)) == 1


def test_a_station_that_names_evses_without_end_is_not_asked_without_end(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    model = model_of(desk, compliant)
    for number in range(2, 400):
        desk.says(
            "StatusNotification", {"timestamp": "2026-11-22T12:00:00Z", "connectorStatus": "Available", "evseId": number, "connectorId": 1}
        )
    assert len(model.serve().evses) == 64


def test_a_known_station_is_not_asked_again_until_its_firmware_changes(desk: Any) -> None:
    desk.open_known()
    desk.boot()
    assert desk.calls() == []
    desk.says("BootNotification", BOOT | {"chargingStation": BOOT["chargingStation"] | {"firmwareVersion": "2.0"}})  # type: ignore[operator]  # JSON
    assert desk.call()[0] == "GetVariables"


@pytest.mark.parametrize(
    "changes",
    [{"sampling_interval_s": 5}, {"idle_sampling_interval_s": 60}, {"aligned_interval_s": 300}, {"measurands": ("SoC",)}],
)
def test_another_sampling_in_the_settings_reaches_stations_that_are_known(desk_with: Make, changes: dict[str, Any]) -> None:
    capability = EvseCapability(evse_id=EvseId(1), control_mode=ControlMode.SETPOINT, reason="")
    before = desk_with().settings.sampling_asked
    known = DiscoveryRecord(station_id="S1", identity=StationIdentity.unknown(), evses=(capability,), set_up_for=before)
    for settings, hands_off, calls in (({}, False, 0), (changes, False, 1), (changes, True, 0)):
        desk = desk_with(**settings)
        desk.open(known=replace(known, hands_off=hands_off))
        assert len(desk.calls()) == calls


def test_never_more_stations_are_in_discovery_at_once_than_the_settings_say(desk_with: Make, model_of: Make, compliant: Values) -> None:
    desk = desk_with(discovery_parallel=3)
    stations = [f"S{number}" for number in range(8)]
    for station in stations:
        desk.open(station)
        desk.boot(station)
    asked = [station for station in stations if desk.calls(station)]
    assert asked == stations[:3]
    desk.close("S1")
    desk.close("S5")
    assert [station for station in stations if desk.calls(station)] == ["S0", "S2", "S3"]
    model = model_of(desk, compliant)
    while any(desk.calls(station) for station in stations):
        assert desk.csms.counters.discovering <= 3
        model.serve_one(next(station for station in stations if desk.calls(station)))
    assert len(desk.happened(CapabilitiesDiscovered)) == 6
    assert desk.csms.counters.discovering == 0


def test_commands_go_before_the_next_question_of_discovery(desk: Any, model_of: Make, compliant: Values) -> None:
    desk.open_booted()
    desk.submit(RequestSample(station_id="S1", evse_id=1))
    model_of(desk, compliant).serve_one()
    assert desk.call()[0] == "TriggerMessage"
    desk.answer({"status": "Accepted"})
    assert desk.call()[0] == "GetVariables"


def test_whatever_schema_valid_answers_come_discovery_ends(desk: Any, example_of: Callable[..., Any]) -> None:
    rng = random.Random(3)
    for number in range(150):
        station = f"S{number}"
        desk.open(station)
        desk.boot(station)
        for _ in range(60):
            if desk.calls(station):
                action, _ = desk.call(station)
                desk.answer(example_of(f"{action}Response", rng), station)
            else:
                desk.wait(30)
        assert [event.station_id for event in desk.happened(CapabilitiesDiscovered)].count(station) == 1
