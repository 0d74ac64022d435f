"""The older versions of OCPP: their words are held against their own schemas, both ways."""

import importlib.util
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from counterflow.adapters.ocpp import profiles_v16, profiles_v201
from counterflow.adapters.ocpp.dialect import OCPP_1_6, OCPP_2_0_1, OCPP_2_1
from counterflow.adapters.ocpp.discovery.capability import Opted, control_mode
from counterflow.adapters.ocpp.discovery.values import DeviceModel
from counterflow.adapters.ocpp.discovery.variables import DISCHARGE_POWER_SET, RATE_UNIT, at_evse
from counterflow.adapters.ocpp.matrix import HEARD, LEFT_TO_PEOPLE, SAID
from counterflow.adapters.ocpp.profiles import ExpiredError, PlacementError
from counterflow.adapters.ocpp.settings import SUBPROTOCOLS, NegativeLimitModel
from counterflow.adapters.ocpp.versions import VERSIONS
from counterflow.domain.commands import (
    ClearProfile,
    MoveSetpoint,
    PlaceDischarge,
    PlaceFallback,
    RawCall,
    ReadProfiles,
    RequestSample,
)
from counterflow.domain.ids import EvseId, StationId
from counterflow.domain.records import DiscoveryRecord
from counterflow.domain.resources import ControlMode, EvseCapability, StationIdentity
from counterflow.domain.setpoints import NothingThere, NotSupported, RawAnswer, Rejected
from counterflow.domain.telemetry import CommandCompleted

NOON_S = 1_795_348_800.0
WHERE: dict[str, Any] = {"station_id": "S1", "evse_id": 1, "transaction_id": "77", "session_uid": 1, "profile_id": 9, "stack_level": 2}
TIMES: dict[str, Any] = {"start_s": NOON_S, "discharge_until_s": NOON_S + 600, "hold_until_s": NOON_S + 660}
NEGATIVE = PlaceDischarge(**WHERE, **TIMES, power_w=-5000.27, control_mode=ControlMode.NEGATIVE_LIMIT)
REDUCTION = PlaceDischarge(**WHERE, **TIMES, power_w=4_200.59, control_mode=ControlMode.CHARGE_ONLY)
FALLBACK = PlaceFallback(**WHERE, charge_power_w=7400.06, start_s=NOON_S)


def schema(folder: str, name: str) -> Any:
    spec = importlib.util.find_spec("ocpp")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / folder / "schemas" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8-sig"))


def wire(request: msgspec.Struct) -> Any:
    return json.loads(msgspec.json.encode(request))


def test_every_served_subprotocol_has_its_version_and_every_station_action_a_handler() -> None:
    assert tuple(VERSIONS) == SUBPROTOCOLS
    for version in VERSIONS.values():
        assert set(version.routes) == set(version.dialect.from_station)
        assert version.dialect.from_station <= set(version.dialect.served)
        assert version.dialect.to_station <= set(version.dialect.asked)
        assert version.dialect.to_station & version.dialect.from_station == {"DataTransfer"}


def test_the_matrix_speaks_of_every_action_that_stations_send_and_of_what_we_send() -> None:
    assert set(HEARD) == set().union(*(version.dialect.from_station for version in VERSIONS.values()))
    assert set(SAID) | set(LEFT_TO_PEOPLE) == set().union(*(version.dialect.to_station for version in VERSIONS.values()))
    assert not set(SAID) & set(LEFT_TO_PEOPLE)
    for version in VERSIONS.values():
        for command in (NEGATIVE, FALLBACK, ClearProfile(station_id="S1", profile_id=9, session_uid=1)):  # type: ignore[arg-type]
            assert version.to_request(command, NOON_S)[0] in SAID


@pytest.mark.parametrize("command", [NEGATIVE, FALLBACK])
def test_profiles_of_1_6_are_as_the_official_schema_has_them(command: Any) -> None:
    action, request = profiles_v16.to_request(command, NOON_S)
    payload = wire(request)
    jsonschema_rs.validator_for(schema("v16", action)).validate(payload)
    placed = payload["csChargingProfiles"]
    assert (payload["connectorId"], placed["chargingProfileId"], placed["transactionId"]) == (1, 9, 77)


def test_a_discharge_of_1_6_carries_its_own_end_and_is_never_stronger_than_ordered() -> None:
    placed = wire(profiles_v16.to_request(NEGATIVE, NOON_S)[1])["csChargingProfiles"]
    assert placed["chargingSchedule"]["duration"] == 660
    assert placed["chargingSchedule"]["chargingSchedulePeriod"] == [
        {"startPeriod": 0, "limit": -5000.2},
        {"startPeriod": 600, "limit": 0.0},
    ]
    assert datetime.fromisoformat(placed["validTo"]).timestamp() == NOON_S + 660
    assert wire(profiles_v16.to_request(FALLBACK, NOON_S)[1])["csChargingProfiles"]["chargingSchedule"]["chargingSchedulePeriod"] == [
        {"startPeriod": 0, "limit": 7400.0}
    ]
    with pytest.raises(ExpiredError):
        profiles_v16.to_request(NEGATIVE, NOON_S + 661)


@pytest.mark.parametrize("mode", [ControlMode.SETPOINT, ControlMode.DYNAMIC, ControlMode.NONE, ControlMode.UNKNOWN])
@pytest.mark.parametrize("spell", [profiles_v16.to_request, profiles_v201.to_request])
def test_no_older_version_is_told_a_setpoint(spell: Any, mode: ControlMode) -> None:
    with pytest.raises(PlacementError):
        spell(msgspec.structs.replace(NEGATIVE, control_mode=mode), NOON_S)


@pytest.mark.parametrize(("limit", "told"), [
    ({}, ("W", 4_200.5)),
    ({"power_w": 0.0}, ("W", 0.0)),
    ({"ampere_phases": 3}, ("A", 6.0)),
    ({"ampere_phases": 1}, ("A", 18.2)),
    ({"power_w": 0.0, "ampere_phases": 3}, ("A", 0.0)),
])  # fmt: skip
@pytest.mark.parametrize("subprotocol", ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])
def test_a_limit_to_charging_is_one_period_that_ends_by_itself(subprotocol: str, limit: dict[str, Any], told: tuple[str, float]) -> None:
    action, request = VERSIONS[subprotocol].to_request(msgspec.structs.replace(REDUCTION, **limit), NOON_S)
    payload = wire(request)
    folder, suffix = {"ocpp1.6": ("v16", ""), "ocpp2.0.1": ("v201", "Request"), "ocpp2.1": ("v21", "Request")}[subprotocol]
    jsonschema_rs.validator_for(schema(folder, f"{action}{suffix}")).validate(payload)
    profile = payload["csChargingProfiles"] if subprotocol == "ocpp1.6" else payload["chargingProfile"]
    schedule = profile["chargingSchedule"] if subprotocol == "ocpp1.6" else profile["chargingSchedule"][0]
    [period] = schedule["chargingSchedulePeriod"]
    assert (profile["chargingProfilePurpose"], profile["chargingProfileKind"]) == ("TxProfile", "Absolute")
    assert (schedule["chargingRateUnit"], period["limit"]) == told
    assert (period.get("operationMode"), "setpoint" in period) == ("ChargingOnly" if subprotocol == "ocpp2.1" else None, False)
    assert schedule["duration"] == 660
    assert datetime.fromisoformat(profile["validTo"]).timestamp() == NOON_S + 660


@pytest.mark.parametrize("subprotocol", ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])
@pytest.mark.parametrize(("limit", "told"), [({"phases": 1}, 4_200.5), ({"phases": 1, "ampere_phases": 3}, 18.2)])
def test_k01_a_limit_for_a_car_on_one_phase_says_so(subprotocol: str, limit: dict[str, Any], told: float) -> None:
    payload = wire(VERSIONS[subprotocol].to_request(msgspec.structs.replace(REDUCTION, **limit), NOON_S)[1])
    profile = payload["csChargingProfiles"] if subprotocol == "ocpp1.6" else payload["chargingProfile"]
    schedule = profile["chargingSchedule"] if subprotocol == "ocpp1.6" else profile["chargingSchedule"][0]
    [period] = schedule["chargingSchedulePeriod"]
    assert (period["limit"], period["numberPhases"]) == (told, 1)


@pytest.mark.parametrize("subprotocol", ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"])
def test_a_limit_to_charging_is_never_below_zero_and_never_without_an_end(subprotocol: str) -> None:
    spell = VERSIONS[subprotocol].to_request
    with pytest.raises(PlacementError, match="zero or positive"):
        spell(msgspec.structs.replace(REDUCTION, power_w=-1.0), NOON_S)
    with pytest.raises(PlacementError, match="zero or positive"):
        spell(msgspec.structs.replace(REDUCTION, power_w=float("nan")), NOON_S)
    with pytest.raises(ExpiredError):
        spell(REDUCTION, NOON_S + 661)
    with pytest.raises(PlacementError, match="watchdog"):
        spell(msgspec.structs.replace(REDUCTION, watchdog_s=60), NOON_S)


@pytest.mark.parametrize("spell", [profiles_v16.to_request, profiles_v201.to_request])
def test_no_older_version_is_told_of_dynamic_profiles(spell: Any) -> None:
    move = MoveSetpoint(
        station_id="S1",  # type: ignore[arg-type]
        evse_id=1,  # type: ignore[arg-type]
        transaction_id="77",  # type: ignore[arg-type]
        session_uid=1,  # type: ignore[arg-type]
        profile_id=9,  # type: ignore[arg-type]
        power_w=-1.0,
        discharge_until_s=NOON_S + 60,
        hold_until_s=NOON_S + 60,
        watchdog_s=60,
    )
    with pytest.raises(PlacementError, match="has no"):
        spell(move, NOON_S)
    dynamic = msgspec.structs.replace(NEGATIVE, watchdog_s=60, hold_until_s=NEGATIVE.discharge_until_s)
    with pytest.raises(PlacementError):
        spell(dynamic, NOON_S)


def test_what_1_6_cannot_say_is_refused_with_a_sentence() -> None:
    with pytest.raises(PlacementError, match="which profiles"):
        profiles_v16.to_request(ReadProfiles(station_id="S1", request_id=1), NOON_S)  # type: ignore[arg-type]
    with pytest.raises(PlacementError, match="has a number"):
        profiles_v16.to_request(msgspec.structs.replace(FALLBACK, transaction_id="abc"), NOON_S)


def test_commands_of_2_0_1_are_as_its_official_schema_has_them() -> None:
    commands: list[Any] = [
        NEGATIVE,
        FALLBACK,
        ClearProfile(station_id="S1", profile_id=9, session_uid=1),  # type: ignore[arg-type]
        RequestSample(station_id="S1", evse_id=1),  # type: ignore[arg-type]
        ReadProfiles(station_id="S1", request_id=3),  # type: ignore[arg-type]
    ]
    for command in commands:
        action, request = profiles_v201.to_request(command, NOON_S)
        jsonschema_rs.validator_for(schema("v201", f"{action}Request")).validate(wire(request))
    with pytest.raises(PlacementError, match="maxOfflineDuration"):
        profiles_v201.to_request(msgspec.structs.replace(NEGATIVE, max_offline_s=60), NOON_S)


def test_an_answer_to_a_2_0_1_station_leaves_out_what_only_2_1_has(desk: Any) -> None:
    """Bidirectional transfer is 2.1's to offer: 2.0.1's AuthorizeResponse has no field for it."""
    desk.policy.transfers = ("AC_BPT",)
    desk.open_known(subprotocol="ocpp2.0.1")
    answer = desk.says("Authorize", {"idToken": {"idToken": "T", "type": "Central"}})
    assert answer[2] == {"idTokenInfo": {"status": "Accepted"}}
    jsonschema_rs.validator_for(schema("v201", "AuthorizeResponse")).validate(answer[2])


def test_a_token_standing_that_1_6_has_no_word_for_is_invalid(desk: Any) -> None:
    desk.open_known(subprotocol="ocpp1.6")
    desk.policy.token_status = "NotAtThisTime"
    assert desk.says("Authorize", {"idTag": "T"})[2] == {"idTagInfo": {"status": "Invalid"}}


@pytest.mark.parametrize(("subprotocol", "action", "payload", "wrong"), [
    ("ocpp1.6", "GetConfiguration", {"key": ["HeartbeatInterval"]}, "GetVariables"),
    ("ocpp2.0.1", "GetLocalListVersion", {}, "UpdateDynamicSchedule"),
])  # fmt: skip
def test_a_person_may_send_any_request_of_the_version_and_no_other(
    desk: Any, subprotocol: str, action: str, payload: dict[str, Any], wrong: str
) -> None:
    desk.open_known(subprotocol=subprotocol)
    desk.submit(RawCall(station_id="S1", action=action, payload=payload, token=1))  # type: ignore[arg-type]
    assert desk.call() == (action, payload)
    desk.answer({} if subprotocol == "ocpp1.6" else {"versionNumber": 4})
    assert isinstance(desk.happened(CommandCompleted)[-1].result, RawAnswer)
    desk.submit(RawCall(station_id="S1", action=wrong, payload={}, token=2))  # type: ignore[arg-type]
    result = desk.happened(CommandCompleted)[-1].result
    assert isinstance(result, Rejected)
    assert VERSIONS[subprotocol].dialect.name in result.text


def test_outcomes_of_1_6_are_read_as_those_of_2_1(desk: Any) -> None:
    desk.open_known(subprotocol="ocpp1.6")
    desk.submit(FALLBACK)
    desk.answer({"status": "NotSupported"})
    assert isinstance(desk.happened(CommandCompleted)[-1].result, NotSupported)
    desk.submit(ClearProfile(station_id="S1", profile_id=9, session_uid=1))  # type: ignore[arg-type]
    desk.answer({"status": "Unknown"})
    assert isinstance(desk.happened(CommandCompleted)[-1].result, NothingThere)


def test_what_a_version_cannot_be_asked_is_not_supported_rather_than_unknown(desk: Any) -> None:
    """So that a 1.6 station counts as one that cannot tell who else steers, instead of being asked for ever."""
    desk.open_known(subprotocol="ocpp1.6")
    desk.submit(ReadProfiles(station_id="S1", request_id=1))  # type: ignore[arg-type]
    assert desk.calls() == []
    assert desk.happened(CommandCompleted)[-1].result == NotSupported(
        code="NotSupported", text="OCPP 1.6 cannot tell which profiles and limits are installed."
    )


NAMED = NegativeLimitModel(model="elm/post 2", max_discharge_power_w=10_000.0, capacity_wh=40_000.0)


def mode_of(subprotocol: str, *named: NegativeLimitModel, model: str = "Post 2", **told: str) -> tuple[ControlMode, str]:
    """What a station of one of the older versions is taken for, when the settings name these models."""
    manner = VERSIONS[subprotocol].manner
    device = DeviceModel()
    device.put(RATE_UNIT, "Current,Power")
    for value in told.values():
        device.put(at_evse(DISCHARGE_POWER_SET, 1), value)
    identity = StationIdentity(vendor_name="Elm", model=model)
    return control_mode(EvseId(1), 0, device, identity, Opted(named, 1_000_000, manner.no_setpoints, manner.tells_needs))


@pytest.mark.parametrize("subprotocol", ["ocpp1.6", "ocpp2.0.1"])
def test_a_model_that_takes_negative_limits_is_opted_in_by_name_in_every_version(subprotocol: str) -> None:
    assert mode_of(subprotocol, NAMED)[0] is ControlMode.NEGATIVE_LIMIT
    assert mode_of(subprotocol, NAMED, model="Post 3")[0] is ControlMode.CHARGE_ONLY
    assert mode_of(subprotocol)[0] is ControlMode.CHARGE_ONLY


def test_what_the_station_cannot_tell_must_be_named_or_it_is_said_in_words() -> None:
    bare = NegativeLimitModel(model="Elm/Post 2")
    mode, why = mode_of("ocpp1.6", bare)
    assert mode is ControlMode.CHARGE_ONLY
    assert why.endswith("the station cannot tell what they leave out: name max_discharge_power_w and capacity_wh there")
    mode, why = mode_of("ocpp2.0.1", bare)
    assert (mode, why.rpartition("name ")[2]) == (ControlMode.CHARGE_ONLY, "max_discharge_power_w there")
    assert mode_of("ocpp2.0.1", bare, rating="7400")[0] is ControlMode.NEGATIVE_LIMIT
    assert mode_of("ocpp1.6", bare, rating="7400")[1].rpartition("name ")[2] == "capacity_wh there"


def test_what_was_learned_in_another_version_is_learned_again(desk: Any) -> None:
    known = DiscoveryRecord(
        station_id=StationId("S1"),
        identity=StationIdentity(),
        evses=(EvseCapability(evse_id=EvseId(1), control_mode=ControlMode.SETPOINT, reason="known"),),
        set_up_for=desk.settings.sampling_asked,
    )
    desk.open(known=known)
    assert desk.calls() == []
    desk.open(known=known, subprotocol="ocpp1.6")
    assert desk.call() == ("GetConfiguration", {})


def _resolved(node: Any, root: Any) -> Any:
    while "$ref" in node:
        node = root["definitions"][node["$ref"].rpartition("/")[2]]
    return node


def _not_admitted(old: Any, new: Any, old_root: Any, new_root: Any, path: str) -> list[str]:
    """Where the newer schema is narrower than the older one."""
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    found = [f"{path}: {key} required" for key in new.get("required", []) if key not in old.get("required", [])]
    if old.get("type") != new.get("type") and (old.get("type"), new.get("type")) != ("integer", "number"):
        found.append(f"{path}: type")
    if "enum" in new and not set(old.get("enum", ["?"])) <= set(new["enum"]):
        found.append(f"{path}: words")
    longest = max(map(len, old["enum"])) if "enum" in old else old.get("maxLength", 10**9)
    if "maxLength" in new and longest > new["maxLength"]:
        found.append(f"{path}: length")
    if "maxItems" in new and old.get("maxItems", 10**9) > new["maxItems"]:
        found.append(f"{path}: items")
    for key, value in old.get("properties", {}).items():
        if key not in new["properties"]:
            found.append(f"{path}.{key}: gone")
        elif key != "customData":
            found += _not_admitted(value, new["properties"][key], old_root, new_root, f"{path}.{key}")
    if "items" in old:
        found += _not_admitted(old["items"], new["items"], old_root, new_root, f"{path}[]")
    return found


def test_whatever_a_2_0_1_station_says_can_be_read_as_2_1() -> None:
    """But for numbers below zero, and one field of monitoring reports, whose entries are then left out (nothing reads them)."""
    found = []
    for action in OCPP_2_0_1.from_station:
        old, new = schema("v201", f"{action}Request"), schema("v21", f"{action}Request")
        found += _not_admitted(old, new, old, new, action)
    for action in OCPP_2_0_1.to_station:
        old, new = schema("v201", f"{action}Response"), schema("v21", f"{action}Response")
        found += _not_admitted(old, new, old, new, action)
    assert found == ["NotifyMonitoringReport.monitor[].variableMonitoring[]: eventNotificationType required"]


def test_the_words_of_a_version_are_its_own() -> None:
    assert "StartTransaction" in OCPP_1_6.served
    assert "StartTransaction" not in OCPP_2_0_1.served
    assert "UpdateDynamicSchedule" not in OCPP_2_0_1.asked
    assert OCPP_2_1.served is OCPP_2_1.asked
