"""Discovery asks a device model what a station can do, sets the sampling, and always ends with a reason in words."""

import random
from collections.abc import Callable
from typing import Any

import pytest

from counterflow.domain.commands import RequestSample
from counterflow.domain.ids import EvseId
from counterflow.domain.records import DiscoveryRecord
from counterflow.domain.resources import ControlMode, EvseCapability, StationIdentity
from counterflow.domain.telemetry import CapabilitiesDiscovered

BOOT = {"reason": "PowerUp", "chargingStation": {"model": "M1", "vendorName": "Acme", "firmwareVersion": "1.0"}}
WANTED = "Power.Active.Import,Power.Active.Export,SoC,Energy.Active.Import.Register,Energy.Active.Export.Register,Power.Active.Setpoint"

Values = dict[str, str]
COMPLIANT: Values = {
    "DeviceDataCtrlr.ItemsPerMessage[GetVariables]": "20",
    "DeviceDataCtrlr.ItemsPerMessage[SetVariables]": "20",
    "SmartChargingCtrlr.Enabled": "true",
    "SmartChargingCtrlr.RateUnit": "W,A",
    "SmartChargingCtrlr.ProfileStackLevel": "9",
    "V2XChargingCtrlr@1.Enabled": "true",
    "V2XChargingCtrlr@1.SupportedOperationModes": "ChargingOnly,CentralSetpoint,CentralFrequency",
    "EVSE@1.DischargePower": "11000",
    "SampledDataCtrlr.TxUpdatedInterval": "60",
    "SampledDataCtrlr.TxUpdatedMeasurands": "Power.Active.Import",
    "SampledDataCtrlr.TxStartedMeasurands": "Power.Active.Import",
    "SampledDataCtrlr.TxEndedMeasurands": "Power.Active.Import",
}


def name_of(item: dict[str, Any]) -> str:
    component, variable = item["component"], item["variable"]
    evse = f"@{component['evse']['id']}" if "evse" in component else ""
    instance = f"[{variable['instance']}]" if "instance" in variable else ""
    return f"{component['name']}{evse}.{variable['name']}{instance}"


class DeviceModel:
    """A station's device model behind the desk. `refused` variables answer SetVariables with Rejected."""

    def __init__(self, desk: Any, values: Values, *, refused: frozenset[str] = frozenset(), limit: int = 1000) -> None:
        self.desk, self.values, self.refused, self.limit = desk, dict(values), refused, limit
        self.lists: Values = {}
        self.messages: list[tuple[str, list[str]]] = []
        self.written: Values = {}

    def serve(self, station: str = "S1") -> CapabilitiesDiscovered:
        """Answers until the CSMS asks no more; returns what it learned."""
        while self.desk.calls(station):
            self.serve_one(station)
        event: CapabilitiesDiscovered = self.desk.happened(CapabilitiesDiscovered)[-1]
        return event

    def serve_one(self, station: str = "S1") -> None:
        action, payload = self.desk.call(station)
        items = payload.get("getVariableData") or payload.get("setVariableData") or payload.get("componentVariable")
        self.messages.append((action, [name_of(item) for item in items]))
        if len(items) > self.limit:
            self.desk.refuse("OccurrenceConstraintViolation", station=station)
        elif action == "GetVariables":
            self.desk.answer({"getVariableResult": [self._got(item) for item in items]}, station)
        elif action == "SetVariables":
            self.desk.answer({"setVariableResult": [self._set(item) for item in items]}, station)
        else:
            self.desk.answer({"status": "Accepted" if self.lists else "NotSupported"}, station)
            if self.lists:
                self._report(payload["requestId"], items, station)

    def _got(self, item: dict[str, Any]) -> dict[str, Any]:
        value = self.values.get(name_of(item))
        place = {"component": item["component"], "variable": item["variable"]}
        if value is None:
            return {"attributeStatus": "UnknownVariable", **place}
        return {"attributeStatus": "Accepted", "attributeValue": value, **place}

    def _set(self, item: dict[str, Any]) -> dict[str, Any]:
        name = name_of(item)
        known = self.lists.get(name, item["attributeValue"]).split(",")
        fits = all(member in known for member in item["attributeValue"].split(","))
        status = "UnknownVariable" if name not in self.values else "Rejected" if name in self.refused or not fits else "Accepted"
        if status == "Accepted":
            self.written[name] = item["attributeValue"]
        return {"attributeStatus": status, "component": item["component"], "variable": item["variable"]}

    def _report(self, request_id: int, items: list[dict[str, Any]], station: str) -> None:
        report = [
            {
                **item,
                "variableAttribute": [{"value": "x"}],
                "variableCharacteristics": {"dataType": "MemberList", "supportsMonitoring": False, "valuesList": self.lists[name_of(item)]},
            }
            for item in items
        ]
        for seq_no, entry in enumerate(report):
            self.desk.says(
                "NotifyReport",
                {
                    "requestId": request_id,
                    "generatedAt": "2026-11-22T12:00:00Z",
                    "seqNo": seq_no,
                    "tbc": seq_no < len(report) - 1,
                    "reportData": [entry],
                },
                station,
            )


def booted(desk: Any) -> None:
    desk.open()
    desk.boot()


def test_a_compliant_v2x_station_takes_setpoints_and_our_sampling(desk: Any) -> None:
    booted(desk)
    model = DeviceModel(desk, COMPLIANT)
    found = model.serve()
    [evse] = found.evses
    assert evse == EvseCapability(
        evse_id=EvseId(1),
        control_mode=ControlMode.SETPOINT,
        reason="CentralSetpoint in W",
        max_discharge_power_w=11_000.0,
        max_stack_level=9,
        operation_modes=("ChargingOnly", "CentralSetpoint", "CentralFrequency"),
        rate_units=("W", "A"),
    )
    assert (found.meter_interval_s, found.refusals) == (10.0, ())
    assert model.written["SampledDataCtrlr.TxUpdatedInterval"] == "10"
    for name in ("TxStarted", "TxUpdated", "TxEnded"):
        assert model.written[f"SampledDataCtrlr.{name}Measurands"] == WANTED


@pytest.mark.parametrize("spelling", ["SupportsFeature[{}]", "Supports{}"])
def test_both_spellings_of_feature_flags_are_read(desk: Any, spelling: str) -> None:
    booted(desk)
    flags = {f"SmartChargingCtrlr.{spelling.format(name)}": "True" for name in ("DynamicProfiles", "MaxOfflineDuration")}
    [evse] = DeviceModel(desk, COMPLIANT | flags).serve().evses
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
        ({"SmartChargingCtrlr.Enabled": "false"}, "smart charging is off"),
        ({"SmartChargingCtrlr.Available": "false"}, "smart charging is off"),
    ],
)
def test_what_is_missing_is_said_in_words(desk: Any, changes: Values, words: str) -> None:
    booted(desk)
    [evse] = DeviceModel(desk, COMPLIANT | changes).serve().evses
    assert evse.control_mode is ControlMode.NONE
    assert words in evse.reason


def test_a_v2x_controller_of_the_station_stands_for_its_evses(desk: Any) -> None:
    booted(desk)
    values = {name.replace("V2XChargingCtrlr@1", "V2XChargingCtrlr"): value for name, value in COMPLIANT.items()}
    assert DeviceModel(desk, values).serve().evses[0].control_mode is ControlMode.SETPOINT


def test_negative_limits_are_used_only_for_models_that_the_settings_name(desk_with: Callable[..., Any]) -> None:
    old = COMPLIANT | {"V2XChargingCtrlr@1.SupportedOperationModes": "ChargingOnly"}
    for models, mode in (((), ControlMode.NONE), (("acme/m1",), ControlMode.NEGATIVE_LIMIT), (("Acme/M2",), ControlMode.NONE)):
        desk = desk_with(negative_limit_models=models)
        booted(desk)
        assert DeviceModel(desk, old).serve().evses[0].control_mode is mode
    desk = desk_with(negative_limit_models=("Acme/M1",))
    booted(desk)
    assert DeviceModel(desk, COMPLIANT).serve().evses[0].control_mode is ControlMode.SETPOINT


@pytest.mark.parametrize("items", ["1", "5", "20", "1000"])
def test_b06_fr_05_no_message_asks_for_more_items_than_the_station_takes(desk: Any, items: str) -> None:
    booted(desk)
    limits = {f"DeviceDataCtrlr.ItemsPerMessage[{action}]": items for action in ("GetVariables", "SetVariables")}
    model = DeviceModel(desk, COMPLIANT | limits)
    assert model.serve().evses[0].control_mode is ControlMode.SETPOINT
    assert max(len(names) for _, names in model.messages[1:]) <= min(20, int(items))


def test_a_station_that_does_not_name_its_limit_but_has_one_is_asked_in_smaller_parts(desk: Any) -> None:
    booted(desk)
    values = {name: value for name, value in COMPLIANT.items() if "ItemsPerMessage" not in name}
    assert DeviceModel(desk, values, limit=5).serve().evses[0].control_mode is ControlMode.SETPOINT


@pytest.mark.parametrize("code", ["NotSupported", "NotImplemented", "InternalError", "FormationViolation"])
def test_a_station_that_refuses_to_be_asked_ends_as_not_dispatchable(desk: Any, code: str) -> None:
    booted(desk)
    while desk.calls():
        desk.refuse(code)
    [found] = desk.happened(CapabilitiesDiscovered)
    assert found.evses[0].control_mode is ControlMode.NONE
    assert "refuses GetVariables" in found.evses[0].reason
    assert found.refusals


def test_a_mute_station_ends_as_not_dispatchable_and_is_asked_again_on_its_next_connection(desk: Any) -> None:
    booted(desk)
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
    booted(desk)
    while desk.calls():
        desk.answer({"getVariableResult": "none"})
    assert desk.happened(CapabilitiesDiscovered)[0].evses[0].control_mode is ControlMode.NONE


def test_results_without_the_evse_are_matched_by_their_place(desk: Any) -> None:
    booted(desk)
    model = DeviceModel(desk, COMPLIANT)
    got = model._got

    def forgetful(item: dict[str, Any]) -> dict[str, Any]:
        result = got(item)
        return result | {"component": {"name": result["component"]["name"].upper()}}

    model._got = forgetful  # type: ignore[method-assign]  # this station leaves out the EVSE
    assert model.serve().evses[0].max_discharge_power_w == 11_000.0


def test_what_is_so_already_is_not_written_again(desk: Any) -> None:
    booted(desk)
    measurands = {f"SampledDataCtrlr.Tx{when}Measurands": WANTED for when in ("Started", "Updated", "Ended")}
    model = DeviceModel(desk, COMPLIANT | measurands | {"SampledDataCtrlr.TxUpdatedInterval": "10"})
    assert model.serve().meter_interval_s == 10.0
    assert "SetVariables" not in {action for action, _ in model.messages}


def test_the_v2x_interval_is_set_where_it_exists(desk: Any) -> None:
    booted(desk)
    name = "V2XChargingCtrlr@1.TxUpdatedInterval[CentralSetpoint]"
    model = DeviceModel(desk, COMPLIANT | {name: "30"})
    model.serve()
    assert model.written[name] == "10"


def test_a_refused_interval_is_said_and_not_taken_for_confirmed(desk: Any) -> None:
    booted(desk)
    found = DeviceModel(desk, COMPLIANT, refused=frozenset({"SampledDataCtrlr.TxUpdatedInterval"})).serve()
    assert found.meter_interval_s is None
    assert found.refusals == ("The station did not set SampledDataCtrlr.TxUpdatedInterval: Rejected.",)
    assert found.evses[0].control_mode is ControlMode.SETPOINT


def test_measurands_are_narrowed_to_the_values_list_of_a_report(desk: Any) -> None:
    booted(desk)
    model = DeviceModel(desk, COMPLIANT)
    names = [f"SampledDataCtrlr.Tx{when}Measurands" for when in ("Started", "Updated", "Ended")]
    model.lists = dict.fromkeys(names, "Power.Active.Import,SoC,Voltage")
    assert model.serve().refusals == ()
    assert [model.written[name] for name in names] == ["Power.Active.Import,SoC"] * 3


def test_a_report_that_never_comes_does_not_hold_discovery_up(desk: Any) -> None:
    booted(desk)
    model = DeviceModel(desk, COMPLIANT)
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


def test_evses_are_discovered_when_they_are_first_mentioned(desk: Any) -> None:
    booted(desk)
    second = {name.replace("@1", "@2"): value for name, value in COMPLIANT.items()}
    model = DeviceModel(desk, second | COMPLIANT)
    assert [evse.evse_id for evse in model.serve().evses] == [1]
    status = {"timestamp": "2026-11-22T12:00:00Z", "connectorStatus": "Available", "evseId": 2, "connectorId": 1}
    desk.says("StatusNotification", status)
    desk.says("StatusNotification", status)
    found = model.serve()
    assert [(evse.evse_id, evse.control_mode) for evse in found.evses] == [(1, ControlMode.SETPOINT), (2, ControlMode.SETPOINT)]
    assert len(desk.happened(CapabilitiesDiscovered)) == 2


def test_an_evse_that_is_mentioned_meanwhile_is_part_of_the_same_discovery(desk: Any) -> None:
    booted(desk)
    desk.says("StatusNotification", {"timestamp": "2026-11-22T12:00:00Z", "connectorStatus": "Available", "evseId": 3, "connectorId": 1})
    found = DeviceModel(desk, COMPLIANT).serve()
    assert [evse.evse_id for evse in found.evses] == [1, 3]
    assert len(desk.happened(CapabilitiesDiscovered)) == 1


def test_a_station_that_names_evses_without_end_is_not_asked_without_end(desk: Any) -> None:
    booted(desk)
    model = DeviceModel(desk, COMPLIANT)
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


def test_another_sampling_interval_in_the_settings_reaches_stations_that_are_known(desk_with: Callable[..., Any]) -> None:
    capability = EvseCapability(evse_id=EvseId(1), control_mode=ControlMode.SETPOINT, reason="")
    known = DiscoveryRecord(station_id="S1", identity=StationIdentity.unknown(), evses=(capability,), meter_interval_s=10.0)
    for interval_s, calls in ((10, 0), (5, 1)):
        desk = desk_with(sampling_interval_s=interval_s)
        desk.open(known=known)
        assert len(desk.calls()) == calls


def test_never_more_stations_are_in_discovery_at_once_than_the_settings_say(desk_with: Callable[..., Any]) -> None:
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
    model = DeviceModel(desk, COMPLIANT)
    while any(desk.calls(station) for station in stations):
        assert desk.csms.counters.discovering <= 3
        model.serve_one(next(station for station in stations if desk.calls(station)))
    assert len(desk.happened(CapabilitiesDiscovered)) == 6
    assert desk.csms.counters.discovering == 0


def test_commands_go_before_the_next_question_of_discovery(desk: Any) -> None:
    booted(desk)
    desk.submit(RequestSample(station_id="S1", evse_id=1))
    DeviceModel(desk, COMPLIANT).serve_one()
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
