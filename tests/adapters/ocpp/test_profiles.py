"""Orders become profiles that are valid, that end in time, and that never push two ways."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterflow.adapters.ocpp import messages
from counterflow.adapters.ocpp.profiles import ExpiredError, PlacementError, discharge_profile, fallback_profile, to_request, toward_zero
from counterflow.domain.commands import (
    ClearProfile,
    MoveSetpoint,
    PlaceDischarge,
    PlaceFallback,
    ReadComposite,
    ReadDerLimits,
    ReadProfiles,
    RequestSample,
)
from counterflow.domain.resources import ControlMode
from counterflow.domain.setpoints import PowerStep

NOON_S = 1_795_348_800.0


def discharge(**changes: Any) -> PlaceDischarge:
    order: dict[str, Any] = {
        "station_id": "S1", "evse_id": 1, "transaction_id": "tx-1", "session_uid": 5, "profile_id": 1_000_001, "stack_level": 8,
        "power_w": -7000.0, "start_s": NOON_S, "discharge_until_s": NOON_S + 900, "hold_until_s": NOON_S + 960,
        "control_mode": ControlMode.SETPOINT,
    }  # fmt: skip
    return PlaceDischarge(**order | changes)


def fallback(**changes: Any) -> PlaceFallback:
    order: dict[str, Any] = {
        "station_id": "S1", "evse_id": 1, "transaction_id": "tx-1", "session_uid": 5, "profile_id": 1_000_002, "stack_level": 7,
        "charge_power_w": 3600.0, "start_s": NOON_S,
    }  # fmt: skip
    return PlaceFallback(**order | changes)


def on_the_wire(request: msgspec.Struct) -> dict[str, Any]:
    payload: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(request))
    return payload


def test_a_discharge_is_a_setpoint_with_an_end_and_then_a_hold() -> None:
    payload = on_the_wire(discharge_profile(discharge(max_offline_s=60), NOON_S))
    assert payload == {
        "evseId": 1,
        "chargingProfile": {
            "id": 1_000_001,
            "stackLevel": 8,
            "chargingProfilePurpose": "TxProfile",
            "chargingProfileKind": "Absolute",
            "transactionId": "tx-1",
            "validTo": "2026-11-22T12:16:00Z",
            "maxOfflineDuration": 60,
            "invalidAfterOfflineDuration": True,
            "chargingSchedule": [
                {
                    "id": 1,
                    "startSchedule": "2026-11-22T12:00:00Z",
                    "duration": 960,
                    "chargingRateUnit": "W",
                    "chargingSchedulePeriod": [
                        {"startPeriod": 0, "operationMode": "CentralSetpoint", "setpoint": -7000.0},
                        {"startPeriod": 900, "operationMode": "CentralSetpoint", "setpoint": 0.0},
                    ],
                }
            ],
        },
    }


def test_without_a_hold_there_is_one_period() -> None:
    [schedule] = on_the_wire(discharge_profile(discharge(hold_until_s=NOON_S + 900), NOON_S))["chargingProfile"]["chargingSchedule"]
    assert len(schedule["chargingSchedulePeriod"]) == 1
    assert schedule["duration"] == 900


def test_the_offline_bound_is_only_sent_when_given() -> None:
    profile = on_the_wire(discharge_profile(discharge(), NOON_S))["chargingProfile"]
    assert "maxOfflineDuration" not in profile
    assert "invalidAfterOfflineDuration" not in profile


def test_a_legacy_model_gets_negative_limits_and_no_operation_mode() -> None:
    order = discharge(control_mode=ControlMode.NEGATIVE_LIMIT)
    [schedule] = on_the_wire(discharge_profile(order, NOON_S))["chargingProfile"]["chargingSchedule"]
    assert schedule["chargingSchedulePeriod"] == [{"startPeriod": 0, "limit": -7000.0}, {"startPeriod": 900, "limit": 0.0}]


def test_a_fallback_is_charging_only_and_stays() -> None:
    profile = on_the_wire(fallback_profile(fallback()))["chargingProfile"]
    [schedule] = profile["chargingSchedule"]
    assert "duration" not in schedule
    assert "validTo" not in profile
    assert profile["transactionId"] == "tx-1"
    assert schedule["chargingSchedulePeriod"] == [{"startPeriod": 0, "operationMode": "ChargingOnly", "limit": 3600.0}]


def test_a_start_that_is_over_may_be_written_earlier_but_one_to_come_may_not() -> None:
    begun = on_the_wire(discharge_profile(discharge(start_s=NOON_S + 0.4), NOON_S + 0.4))["chargingProfile"]["chargingSchedule"][0]
    to_come = on_the_wire(discharge_profile(discharge(start_s=NOON_S + 0.4), NOON_S))["chargingProfile"]["chargingSchedule"][0]
    assert begun["startSchedule"] == "2026-11-22T12:00:00Z"
    assert to_come["startSchedule"] == "2026-11-22T12:00:01Z"
    assert to_come["duration"] == 959


@pytest.mark.parametrize(
    "changes",
    [
        {"power_w": 1.0},
        {"power_w": float("nan")},
        {"power_w": float("-inf")},
        {"discharge_until_s": NOON_S - 1},
        {"hold_until_s": NOON_S + 899},
        {"profile_id": 2**31},
        {"profile_id": -1},
        {"stack_level": -1},
        {"evse_id": 0},
        {"transaction_id": ""},
        {"transaction_id": "x" * 37},
        {"max_offline_s": -1},
        {"hold_until_s": NOON_S + 2.0**31},
        {"control_mode": ControlMode.NONE},
        {"control_mode": ControlMode.UNKNOWN},
    ],
)
def test_what_cannot_be_said_in_ocpp_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(PlacementError):
        discharge_profile(discharge(**changes), NOON_S)


def test_a_fallback_never_discharges() -> None:
    with pytest.raises(PlacementError):
        fallback_profile(fallback(charge_power_w=-1.0))


def test_an_order_whose_time_is_over_is_not_placed() -> None:
    with pytest.raises(ExpiredError):
        discharge_profile(discharge(), NOON_S + 960)


def test_questions_are_asked_by_their_own_ids() -> None:
    assert on_the_wire(to_request(ClearProfile(station_id="S1", profile_id=7, session_uid=1), 0.0)[1]) == {"chargingProfileId": 7}
    assert on_the_wire(to_request(RequestSample(station_id="S1", evse_id=2), 0.0)[1]) == {
        "requestedMessage": "TransactionEvent",
        "evse": {"id": 2},
    }


def test_k09_fr_03_everything_is_asked_for_by_naming_every_source() -> None:
    assert on_the_wire(to_request(ReadProfiles(station_id="S1", request_id=77), 0.0)[1]) == {
        "requestId": 77,
        "chargingProfile": {"chargingLimitSource": ["CSO", "EMS", "SO", "Other"]},
    }


def test_k08_a_composite_schedule_is_asked_for_in_watts_and_r02_the_inverter_for_its_limit() -> None:
    assert on_the_wire(to_request(ReadComposite(station_id="S1", evse_id=2, duration_s=900), 0.0)[1]) == {
        "evseId": 2,
        "duration": 900,
        "chargingRateUnit": "W",
    }
    assert on_the_wire(to_request(ReadDerLimits(station_id="S1", request_id=5), 0.0)[1]) == {
        "requestId": 5,
        "controlType": "LimitMaxDischarge",
    }


@settings(max_examples=300)
@given(st.floats(-1e9, 1e9))
def test_rounding_is_toward_zero_with_six_decimals(value: float) -> None:
    rounded = toward_zero(value)
    assert abs(rounded) <= abs(value)
    assert abs(value) - abs(rounded) < 2e-6
    assert round(rounded, 6) == rounded
    assert str(rounded) != "-0.0"


seconds = st.floats(0.0, 100_000.0)
orders = st.builds(
    lambda power_w, lead_s, discharge_s, hold_s, mode, offline: discharge(
        power_w=power_w,
        start_s=NOON_S + lead_s,
        discharge_until_s=NOON_S + lead_s + discharge_s,
        hold_until_s=NOON_S + lead_s + discharge_s + hold_s,
        control_mode=mode,
        max_offline_s=offline,
    ),
    st.floats(-1e6, 0.0),
    st.floats(-50.0, 5000.0),
    seconds,
    seconds,
    st.sampled_from([ControlMode.SETPOINT, ControlMode.DYNAMIC, ControlMode.NEGATIVE_LIMIT]),
    st.none() | st.integers(0, 3600),
)


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=orders)
def test_every_discharge_is_schema_valid_ends_in_time_and_is_never_stronger(
    order: PlaceDischarge, schema_admits: Callable[[str, Any], bool]
) -> None:
    try:
        request = discharge_profile(order, NOON_S)
    except ExpiredError:
        assert order.hold_until_s <= NOON_S or order.hold_until_s - order.start_s < 2.0
        return
    payload = on_the_wire(request)
    assert schema_admits("SetChargingProfileRequest", payload)
    msgspec.convert(payload, messages.SetChargingProfileRequest)
    profile = payload["chargingProfile"]
    [schedule] = profile["chargingSchedule"]
    start_s = msgspec.convert(schedule["startSchedule"], messages.Instant).timestamp()
    assert start_s > order.start_s - 1.0
    assert start_s >= order.start_s or order.start_s <= NOON_S
    periods = schedule["chargingSchedulePeriod"]
    ends = [period["startPeriod"] for period in periods[1:]] + [schedule["duration"]]
    starts = [period["startPeriod"] for period in periods]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    for period, end in zip(periods, ends, strict=True):
        power_w = period.get("setpoint", period.get("limit"))
        assert order.power_w <= power_w <= 0.0
        assert ("limit" in period) != ("setpoint" in period)
        if power_w < 0.0:
            assert order.discharge_until_s - 1.0 < start_s + end <= order.discharge_until_s
    assert start_s + schedule["duration"] <= order.hold_until_s
    assert msgspec.convert(profile["validTo"], messages.Instant).timestamp() <= order.hold_until_s


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(power_w=st.floats(0.0, 1e6), start_s=st.floats(NOON_S - 100, NOON_S + 100))
def test_every_fallback_is_schema_valid(power_w: float, start_s: float, schema_admits: Callable[[str, Any], bool]) -> None:
    payload = on_the_wire(fallback_profile(fallback(charge_power_w=power_w, start_s=start_s)))
    assert schema_admits("SetChargingProfileRequest", payload)
    [period] = payload["chargingProfile"]["chargingSchedule"][0]["chargingSchedulePeriod"]
    assert 0.0 <= period["limit"] <= power_w


def test_k28_fr_02_a_dynamic_profile_has_one_period_a_watchdog_and_an_end() -> None:
    order = discharge(watchdog_s=120, hold_until_s=NOON_S + 900.7, discharge_until_s=NOON_S + 900.7, control_mode=ControlMode.DYNAMIC)
    action, request = to_request(order, NOON_S)
    assert action == "SetChargingProfile"
    profile = on_the_wire(request)["chargingProfile"]
    assert profile["chargingProfileKind"] == "Dynamic"
    assert profile["validTo"] == "2026-11-22T12:15:00Z"
    assert profile["chargingSchedule"] == [
        {
            "id": 1,
            "duration": 120,
            "chargingRateUnit": "W",
            "chargingSchedulePeriod": [{"startPeriod": 0, "operationMode": "CentralSetpoint", "setpoint": -7000.0}],
        }
    ]
    assert "dynUpdateInterval" not in profile
    pulled = on_the_wire(to_request(msgspec.structs.replace(order, pull_every_s=30), NOON_S)[1])
    assert pulled["chargingProfile"]["dynUpdateInterval"] == 30


def test_a_dynamic_profile_with_a_hold_or_whose_time_is_over_is_not_placed() -> None:
    with pytest.raises(PlacementError):
        to_request(discharge(watchdog_s=120), NOON_S)
    over = discharge(watchdog_s=120, discharge_until_s=NOON_S + 5, hold_until_s=NOON_S + 5)
    with pytest.raises(ExpiredError):
        to_request(over, NOON_S + 5)


def move(**changes: Any) -> MoveSetpoint:
    order: dict[str, Any] = {
        "station_id": "S1", "evse_id": 1, "transaction_id": "tx-1", "session_uid": 5, "profile_id": 1_000_001, "power_w": -5200.0,
        "discharge_until_s": NOON_S + 900, "hold_until_s": NOON_S + 900, "watchdog_s": 120,
    }  # fmt: skip
    return MoveSetpoint(**order | changes)


def test_q04_an_update_names_profile_and_setpoint_and_nothing_else() -> None:
    action, request = to_request(move(), NOON_S)
    assert action == "UpdateDynamicSchedule"
    assert on_the_wire(request) == {"chargingProfileId": 1_000_001, "scheduleUpdate": {"setpoint": -5200.0}}
    with pytest.raises(ExpiredError):
        to_request(move(), NOON_S + 900)
    with pytest.raises(PlacementError):
        to_request(move(power_w=1.0), NOON_S)


@pytest.mark.parametrize("order", [discharge(phases=1), fallback(phases=1), discharge(phases=2, watchdog_s=60, hold_until_s=NOON_S + 900)])
def test_k01_watts_for_a_car_on_one_or_two_phases_say_so_in_every_period(
    order: PlaceDischarge | PlaceFallback, schema_admits: Callable[[str, Any], bool]
) -> None:
    payload = on_the_wire(to_request(order, NOON_S)[1])
    [schedule] = payload["chargingProfile"]["chargingSchedule"]
    assert {period["numberPhases"] for period in schedule["chargingSchedulePeriod"]} == {order.phases}
    assert schema_admits("SetChargingProfileRequest", payload)


def test_k01_fr_35_periods_of_a_schedule_ascend_and_are_never_longer_or_stronger_than_ordered() -> None:
    later = (PowerStep(from_s=NOON_S + 100.4, power_w=-1000.0), PowerStep(from_s=NOON_S + 200.4, power_w=-5000.1234567))
    [schedule] = on_the_wire(discharge_profile(discharge(later=later), NOON_S))["chargingProfile"]["chargingSchedule"]
    assert [(period["startPeriod"], period["setpoint"]) for period in schedule["chargingSchedulePeriod"]] == [
        (0, -7000.0), (100, -1000.0), (201, -5000.123456), (900, 0.0),
    ]  # fmt: skip
    assert schedule["duration"] == 960


def test_a_schedule_that_ends_at_rest_has_no_second_hold() -> None:
    later = (PowerStep(from_s=NOON_S + 100.0, power_w=0.0), PowerStep(from_s=NOON_S + 950.0, power_w=-500.0))
    [schedule] = on_the_wire(discharge_profile(discharge(later=later), NOON_S))["chargingProfile"]["chargingSchedule"]
    assert [period["setpoint"] for period in schedule["chargingSchedulePeriod"]] == [-7000.0, 0.0]


@pytest.mark.parametrize(
    "later",
    [
        (PowerStep(from_s=NOON_S, power_w=-1.0),),
        (PowerStep(from_s=NOON_S + 20.0, power_w=-1.0), PowerStep(from_s=NOON_S + 10.0, power_w=-2.0)),
        (PowerStep(from_s=NOON_S + 20.0, power_w=1.0),),
    ],
)
def test_periods_out_of_order_or_of_the_other_sign_are_not_sent(later: tuple[PowerStep, ...]) -> None:
    with pytest.raises(PlacementError):
        discharge_profile(discharge(later=later), NOON_S)


def test_a_dynamic_profile_has_one_period() -> None:
    later = (PowerStep(from_s=NOON_S + 20.0, power_w=-1.0),)
    with pytest.raises(PlacementError, match="one period"):
        to_request(discharge(watchdog_s=120, hold_until_s=NOON_S + 900, later=later), NOON_S)
