"""The car's needs, other actors' limits, the driver's button, installed profiles."""

from typing import Any

import pytest

from counterflow.adapters.ocpp.csms import NeedsAnswer
from counterflow.domain.conflicts import DerLimit, InstalledProfile, LimitPeriod
from counterflow.domain.telemetry import (
    ChargingNeedsReported,
    DerControlChanged,
    DerLimitsReported,
    ExternalLimitChanged,
    GridFaultReported,
    PlannedPower,
    PriorityChargingChanged,
    ProfilesReported,
    StationWarned,
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
        station_id="S1", evse_id=1, at_s=NOON_S, received_s=NOON_S, bidirectional=True, ac=False, can_upgrade=False, dynamic_control=True,
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


@pytest.mark.parametrize(("transfer", "phases"), [("AC_single_phase", 1), ("AC_two_phase", 2), ("AC_three_phase", 3)])
def test_k15_a_car_of_iso_15118_2_on_ac_says_currents(desk: Any, transfer: str, phases: int) -> None:
    ac = {"energyAmount": 9000, "evMinCurrent": 6, "evMaxCurrent": 16, "evMaxVoltage": 400}
    event = needs_of(desk, {"requestedEnergyTransfer": transfer, "acChargingParameters": ac})
    assert (event.min_charge_power_w, event.max_charge_power_w) == (phases * 1380.0, phases * 3680.0)
    assert (event.target_energy_request_wh, event.bidirectional) == (9000.0, False)


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


NOON = 1_795_348_800.0
"""2026-11-22T12:00:00Z, the desk's now."""


def test_k12_an_external_limit_without_a_start_begins_now_and_has_no_end(desk: Any) -> None:
    event = limit_of(
        desk, schedule({"startPeriod": 0, "operationMode": "ExternalLimits", "limit": 11000, "dischargeLimit": -3000}), evseId=1
    )
    assert (event.active, event.source, event.evse_id) == (True, "EMS", 1)
    assert event.periods == (LimitPeriod(from_s=NOON, discharge_w=3000.0),)


def test_k12_all_periods_of_a_schedule_are_kept_until_its_end_and_each_schedule_counts(desk: Any) -> None:
    first = schedule(
        {"startPeriod": 0, "limit": 1, "dischargeLimit": -1},
        {"startPeriod": 60, "limit": 9000, "dischargeLimit": -5000},
        {"startPeriod": 600, "limit": 2},
        {"startPeriod": 9000, "limit": 2},
        startSchedule="2026-11-22T11:58:00Z",
        duration=900,
    )
    second = schedule({"startPeriod": 0, "operationMode": "ExternalSetpoint"})
    assert limit_of(desk, first, second).periods == (
        LimitPeriod(from_s=NOON - 120, to_s=NOON - 60, discharge_w=1.0),
        LimitPeriod(from_s=NOON - 60, to_s=NOON + 480, discharge_w=5000.0),
        LimitPeriod(from_s=NOON + 480, to_s=NOON + 780),
        LimitPeriod(from_s=NOON, external_setpoint=True),
    )


@pytest.mark.parametrize(
    ("period", "discharge_w"),
    [
        ({"dischargeLimit": -16}, 16 * 207.0),
        ({"dischargeLimit": -16, "numberPhases": 3}, 3 * 16 * 207.0),
        ({"dischargeLimit": -16, "dischargeLimit_L2": -10, "dischargeLimit_L3": -6}, 32 * 207.0),
    ],
)
def test_a_limit_in_ampere_is_worth_its_least(desk: Any, period: dict[str, Any], discharge_w: float) -> None:
    [limit] = limit_of(desk, schedule({"startPeriod": 0, **period}, unit="A")).periods
    assert limit.discharge_w == discharge_w


def test_a_limit_without_a_schedule_says_only_that_someone_steers(desk: Any) -> None:
    event = limit_of(desk)
    assert (event.active, event.periods) == (True, ())


def test_k09_external_constraints_that_are_installed_come_with_what_they_forbid(desk: Any) -> None:
    desk.open_known()
    constraints = {
        "id": -5, "stackLevel": 1, "chargingProfilePurpose": "ChargingStationExternalConstraints", "chargingProfileKind": "Absolute",
        "validTo": "2026-11-22T12:10:00Z",
        "chargingSchedule": [schedule({"startPeriod": 0, "dischargeLimit": -100}, startSchedule="2026-11-22T12:00:00Z")],
    }  # fmt: skip
    later = schedule({"startPeriod": 60, "dischargeLimit": -7})
    moving = constraints | {"id": -6, "chargingProfileKind": "Relative", "chargingSchedule": [later]}
    moving.pop("validTo")
    found = {"requestId": 1, "chargingLimitSource": "EMS", "evseId": 0, "chargingProfile": [constraints, moving]}
    desk.says("ReportChargingProfiles", found)
    [event] = desk.happened(ProfilesReported)
    assert [one.limits for one in event.profiles] == [
        (LimitPeriod(from_s=NOON, to_s=NOON + 600, discharge_w=100.0),),
        (LimitPeriod(discharge_w=7.0),),
    ]


def test_a_cleared_limit_is_no_longer_active(desk: Any) -> None:
    desk.open_known()
    assert desk.says("ClearedChargingLimit", {"chargingLimitSource": "EMS", "evseId": 1})[2] == {}
    [event] = desk.happened(ExternalLimitChanged)
    assert (event.active, event.evse_id, event.periods) == (False, 1, ())


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


def test_r02_limits_of_discharge_are_taken_from_a_report_but_superseded_ones(desk: Any) -> None:
    desk.open_known()
    limit = {"priority": 1, "pctMaxDischargePower": 40, "startTime": "2026-11-22T12:00:00Z", "duration": 600}
    desk.says(
        "ReportDERControl",
        {
            "requestId": 4,
            "tbc": True,
            "limitMaxDischarge": [
                {"id": "a", "isDefault": False, "isSuperseded": False, "limitMaxDischarge": limit},
                {"id": "b", "isDefault": True, "isSuperseded": True, "limitMaxDischarge": limit},
                {"id": "c", "isDefault": True, "isSuperseded": False, "limitMaxDischarge": {"priority": 1, "pctMaxDischargePower": 250}},
                {"id": "d", "isDefault": True, "isSuperseded": False, "limitMaxDischarge": {"priority": 1}},
            ],
        },
    )
    [event] = desk.happened(DerLimitsReported)
    assert event.limits == (DerLimit(control_id="a", share=0.4, from_s=NOON, to_s=NOON + 600), DerLimit(control_id="c", share=1.0))
    assert (event.request_id, event.last) == (4, False)


def test_r03_a_control_that_starts_or_ends_is_told_with_those_it_supersedes(desk: Any) -> None:
    desk.open_known()
    said = {"controlId": "a", "started": True, "timestamp": "2026-11-22T12:00:00Z", "supersededIds": ["b"]}
    assert desk.says("NotifyDERStartStop", said)[2] == {}
    assert desk.happened(DerControlChanged) == [
        DerControlChanged(station_id="S1", at_s=NOON, control_id="a", started=True, superseded=("b",))
    ]


PLAN = {
    "id": 1,
    "chargingRateUnit": "W",
    "chargingSchedulePeriod": [{"startPeriod": 0, "setpoint": -5000}, {"startPeriod": 600, "limit": 7000, "limit_L2": 100}],
    "duration": 900,
}


def test_k17_a_cars_plan_is_held_against_our_schedule(desk: Any) -> None:
    desk.open_known()
    ask = {"timeBase": "2026-11-22T12:00:00Z", "evseId": 2, "chargingSchedule": PLAN, "powerToleranceAcceptance": True}
    assert desk.says("NotifyEVChargingSchedule", ask)[2] == {"status": "Accepted"}
    desk.policy.plan_answer = "The car plans too much."
    answer = desk.says("NotifyEVChargingSchedule", ask)[2]
    assert (answer["status"], answer["statusInfo"]["reasonCode"]) == ("Rejected", "InvalidSchedule")
    [warned] = desk.happened(StationWarned)
    assert warned.text == "EVSE 2: The car plans too much."
    plan = [
        PlannedPower(from_s=NOON_S, until_s=NOON_S + 600.0, power_w=-5000.0),
        PlannedPower(from_s=NOON_S + 600.0, until_s=NOON_S + 900.0, power_w=7100.0),
    ]
    assert desk.policy.plans[-1] == ("S1", 2, plan, True)


def test_k17_a_plan_in_ampere_cannot_be_compared(desk: Any) -> None:
    desk.open_known()
    desk.says(
        "NotifyEVChargingSchedule", {"timeBase": "2026-11-22T12:00:00Z", "evseId": 2, "chargingSchedule": PLAN | {"chargingRateUnit": "A"}}
    )
    assert desk.policy.plans[-1][2:] == ([], False)


@pytest.mark.parametrize(
    ("transfer", "is_ac", "phases"),
    [("AC_single_phase", True, 1), ("AC_two_phase", True, 2), ("AC_three_phase", True, 3), ("AC_BPT", True, None), ("DC_BPT", False, None)],
)
def test_needs_name_the_phases_of_an_ac_transfer(desk: Any, transfer: str, is_ac: bool, phases: int | None) -> None:
    event = needs_of(desk, {"requestedEnergyTransfer": transfer})
    assert (event.ac, event.phases) == (is_ac, phases)
