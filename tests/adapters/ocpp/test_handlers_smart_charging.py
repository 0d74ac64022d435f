"""The car's needs, other actors' limits, the driver's button, installed profiles."""

from typing import Any

import pytest

from counterflow.adapters.ocpp.csms import NeedsAnswer
from counterflow.domain.conflicts import InstalledProfile
from counterflow.domain.telemetry import (
    ChargingNeedsReported,
    ExternalLimitChanged,
    GridFaultReported,
    PriorityChargingChanged,
    ProfilesReported,
)

NOON_S = 1_795_348_800.0
V2X = {
    "minChargePower": 500, "maxChargePower": 11000, "minDischargePower": 500, "maxDischargePower": 10000,
    "evTargetEnergyRequest": 12000, "evMinEnergyRequest": -20000, "evMaxEnergyRequest": 25000,
    "evMinV2XEnergyRequest": -15000, "evMaxV2XEnergyRequest": 18000, "targetSoC": 80,
}  # fmt: skip


def needs_of(desk: Any, needs: dict[str, Any], **more: Any) -> ChargingNeedsReported:
    desk.open_known()
    assert desk.says("NotifyEVChargingNeeds", {"evseId": 1, "chargingNeeds": needs, **more})[0] == 3
    [event] = desk.happened(ChargingNeedsReported)
    assert isinstance(event, ChargingNeedsReported)
    return event


def test_the_needs_of_a_bidirectional_car_are_carried_over(desk: Any) -> None:
    event = needs_of(
        desk,
        {
            "requestedEnergyTransfer": "DC_BPT", "availableEnergyTransfer": ["DC", "DC_BPT"], "controlMode": "DynamicControl",
            "departureTime": "2026-11-22T17:00:00Z", "v2xChargingParameters": V2X,
        },
        maxScheduleTuples=12,
    )  # fmt: skip
    assert event == ChargingNeedsReported(
        station_id="S1", evse_id=1, at_s=NOON_S, received_s=NOON_S, bidirectional=True, can_upgrade=False, dynamic_control=True,
        iso15118_20=True, max_schedule_tuples=12, departure_s=NOON_S + 5 * 3600, min_charge_power_w=500.0, max_charge_power_w=11000.0,
        min_discharge_power_w=500.0, max_discharge_power_w=10000.0, target_energy_request_wh=12000.0, min_energy_request_wh=-20000.0,
        max_energy_request_wh=25000.0, min_v2x_energy_request_wh=-15000.0, max_v2x_energy_request_wh=18000.0, target_soc_frac=0.8,
    )  # fmt: skip


def test_discharge_powers_are_magnitudes_and_phases_are_added(desk: Any) -> None:
    v2x = {"maxDischargePower": -3000, "maxDischargePower_L2": -3100, "maxDischargePower_L3": -3200, "minDischargePower": -200}
    event = needs_of(desk, {"requestedEnergyTransfer": "AC_BPT", "v2xChargingParameters": v2x})
    assert (event.max_discharge_power_w, event.min_discharge_power_w) == (9300.0, 200.0)
    assert event.max_charge_power_w is None


def test_a_car_that_could_but_did_not_ask_can_be_upgraded(desk: Any) -> None:
    event = needs_of(desk, {"requestedEnergyTransfer": "DC", "availableEnergyTransfer": ["DC", "DC_BPT"]})
    assert (event.bidirectional, event.can_upgrade) == (False, True)


def test_an_older_car_says_its_state_in_its_own_way(desk: Any) -> None:
    dc = {
        "evMaxCurrent": 200,
        "evMaxVoltage": 400,
        "evMaxPower": 50000,
        "evEnergyCapacity": 60000,
        "energyAmount": 20000,
        "stateOfCharge": 55,
    }
    event = needs_of(desk, {"requestedEnergyTransfer": "DC", "dcChargingParameters": dc}, timestamp="2026-11-22T11:59:00Z")
    assert (event.soc_frac, event.capacity_wh, event.max_charge_power_w, event.target_energy_request_wh) == (
        0.55,
        60000.0,
        50000.0,
        20000.0,
    )
    assert (event.at_s, event.iso15118_20, event.bidirectional) == (NOON_S - 60, False, False)


@pytest.mark.parametrize("answer", list(NeedsAnswer))
def test_q01_the_answer_to_needs_is_never_rejected(desk: Any, answer: NeedsAnswer) -> None:
    desk.open_known()
    desk.policy.needs_answer = answer
    frame = desk.says("NotifyEVChargingNeeds", {"evseId": 1, "chargingNeeds": {"requestedEnergyTransfer": "DC_BPT"}})
    assert frame[2] == {"status": answer.value}
    assert frame[2]["status"] != "Rejected"


def limit_of(desk: Any, *schedules: dict[str, Any], **more: Any) -> ExternalLimitChanged:
    desk.open_known()
    said: dict[str, Any] = {"chargingLimit": {"chargingLimitSource": "EMS"}, **more}
    if schedules:
        said["chargingSchedule"] = list(schedules)
    assert desk.says("NotifyChargingLimit", said)[2] == {}
    [event] = desk.happened(ExternalLimitChanged)
    assert isinstance(event, ExternalLimitChanged)
    return event


def schedule(*periods: dict[str, Any], unit: str = "W", **more: Any) -> dict[str, Any]:
    return {"id": -5, "chargingRateUnit": unit, "chargingSchedulePeriod": list(periods), **more}


def test_an_external_limit_holds_both_directions(desk: Any) -> None:
    event = limit_of(
        desk, schedule({"startPeriod": 0, "operationMode": "ExternalLimits", "limit": 11000, "dischargeLimit": -3000}), evseId=1
    )
    assert (event.active, event.source, event.evse_id) == (True, "EMS", 1)
    assert (event.charge_limit_w, event.discharge_limit_w) == (11000.0, -3000.0)


def test_the_period_that_holds_now_counts_and_of_several_schedules_the_tightest(desk: Any) -> None:
    first = schedule(
        {"startPeriod": 0, "limit": 1, "dischargeLimit": -1},
        {"startPeriod": 60, "limit": 9000, "dischargeLimit": -5000},
        {"startPeriod": 600, "limit": 2, "dischargeLimit": -2},
        startSchedule="2026-11-22T11:58:00Z",
    )
    second = schedule({"startPeriod": 0, "limit": 10000, "dischargeLimit": -4000})
    event = limit_of(desk, first, second)
    assert (event.charge_limit_w, event.discharge_limit_w, event.evse_id) == (9000.0, -4000.0, 0)


@pytest.mark.parametrize(
    "said",
    [
        (),
        (schedule({"startPeriod": 0, "limit": 16, "dischargeLimit": -16}, unit="A"),),
        (schedule({"startPeriod": 0, "limit": 5, "dischargeLimit": -5}, startSchedule="2026-11-22T11:00:00Z", duration=60),),
        (schedule({"startPeriod": 0, "limit": 5, "dischargeLimit": -5}, startSchedule="2026-11-22T13:00:00Z"),),
    ],
)
def test_a_limit_that_is_not_known_in_watts_now_is_unknown_but_someone_steers(desk: Any, said: tuple[dict[str, Any], ...]) -> None:
    event = limit_of(desk, *said)
    assert (event.active, event.charge_limit_w, event.discharge_limit_w) == (True, None, None)


def test_a_cleared_limit_is_no_longer_active(desk: Any) -> None:
    desk.open_known()
    assert desk.says("ClearedChargingLimit", {"chargingLimitSource": "EMS", "evseId": 1})[2] == {}
    [event] = desk.happened(ExternalLimitChanged)
    assert (event.active, event.evse_id, event.discharge_limit_w) == (False, 1, None)


def test_priority_charging_is_told(desk: Any) -> None:
    desk.open_known()
    desk.says("NotifyPriorityCharging", {"transactionId": "tx", "activated": True})
    assert desk.happened(PriorityChargingChanged) == [
        PriorityChargingChanged(station_id="S1", transaction_id="tx", at_s=NOON_S, activated=True)
    ]


def test_installed_profiles_are_reported_in_parts(desk: Any) -> None:
    desk.open_known()
    profile = {
        "id": 7, "stackLevel": 3, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Absolute", "transactionId": "tx",
        "chargingSchedule": [schedule({"startPeriod": 0, "limit": 5})],
    }  # fmt: skip
    for tbc in (True, False):
        desk.says(
            "ReportChargingProfiles",
            {"requestId": 77, "chargingLimitSource": "CSO", "evseId": 1, "tbc": tbc, "chargingProfile": [profile]},
        )
    first, second = desk.happened(ProfilesReported)
    assert first.profiles == (InstalledProfile(profile_id=7, purpose="TxProfile", stack_level=3, kind="Absolute", transaction_id="tx"),)
    assert (first.request_id, first.evse_id, first.source) == (77, 1, "CSO")
    assert (first.last, second.last) == (False, True)


def test_k28_a_pulled_setpoint_is_given_or_refused_as_an_invalid_profile(desk: Any) -> None:
    desk.open_known()
    assert desk.says("PullDynamicScheduleUpdate", {"chargingProfileId": 1})[2] == {
        "status": "Rejected",
        "statusInfo": {"reasonCode": "InvalidProfile"},
    }
    desk.policy.setpoint_w = -5200.0
    assert desk.says("PullDynamicScheduleUpdate", {"chargingProfileId": 1})[2] == {
        "status": "Accepted",
        "scheduleUpdate": {"setpoint": -5200.0},
    }


def test_a_grid_fault_lasts_until_its_end_is_told(desk: Any) -> None:
    desk.open_known()
    alarm = {"controlType": "FreqDroop", "timestamp": "2026-11-22T12:00:00Z", "gridEventFault": "OverFrequency"}
    desk.says("NotifyDERAlarm", alarm)
    desk.says("NotifyDERAlarm", alarm | {"alarmEnded": True})
    assert [(event.control_type, event.ended) for event in desk.happened(GridFaultReported)] == [("FreqDroop", False), ("FreqDroop", True)]
