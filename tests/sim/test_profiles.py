"""What installed profiles mean, as the car at the EVSE feels it (OCPP 2.1 part 2, K02, K08-K10, K28, Q04)."""

from collections.abc import Callable
from typing import Any

from counterflow.adapters.ocpp import rpc

Make = Callable[..., dict[str, Any]]


def install(bench: Any, request: dict[str, Any]) -> None:
    response = bench.call("SetChargingProfile", request)
    assert response.status == "Accepted", response


def setpoint(bench: Any) -> tuple[float, bool]:
    """The order in force: power, and whether it is only a limit."""
    order = bench.evse.effective.order
    return order.power_w, order.is_limit


def test_the_highest_stack_level_with_a_period_that_covers_now_leads(bench: Any, discharge_profile: Make, fallback_profile: Make) -> None:
    install(bench, fallback_profile(bench.transaction_id, limit=3000.0))
    assert setpoint(bench) == (3000.0, True)
    install(bench, discharge_profile(bench.transaction_id, now_s=bench.now_s + 10))
    assert setpoint(bench) == (3000.0, True)
    bench.run(10)
    assert setpoint(bench) == (-7000.0, False)


def test_k02_fr_08_when_the_discharge_ends_the_fallback_takes_over_and_then_full_charging(
    make_bench: Callable[..., Any], discharge_profile: Make, fallback_profile: Make
) -> None:
    bench = make_bench().begin()
    install(bench, fallback_profile(bench.transaction_id, limit=3000.0, duration=60))
    install(bench, discharge_profile(bench.transaction_id, duration=30))
    bench.run(29)
    assert bench.power_w == -7000.0
    bench.run(3)
    assert setpoint(bench) == (3000.0, True)
    bench.plant.target_soc_frac[0] = 1.0
    bench.run(20)
    assert bench.power_w == 3000.0
    bench.run(10)
    assert setpoint(bench) == (float("inf"), True)
    assert bench.power_w == 11_000.0 * (1 - 3.75 * max(0.0, bench.plant.believed_soc_of(0) - 0.8))


def test_valid_to_ends_a_profile_and_valid_from_begins_it(bench: Any, discharge_profile: Make) -> None:
    window = {"validFrom": rpc.instant(bench.now_s + 10), "validTo": rpc.instant(bench.now_s + 20)}
    install(bench, discharge_profile(bench.transaction_id, **window))
    seen = []
    for _ in range(25):
        bench.run(1)
        seen.append(setpoint(bench)[0] == -7000.0)
    assert seen == [False] * 9 + [True] * 10 + [False] * 6


def test_periods_follow_one_another_on_the_stations_clock(bench: Any, discharge_profile: Make) -> None:
    periods = [
        {"startPeriod": at, "operationMode": "CentralSetpoint", "setpoint": power} for at, power in ((0, -7000.0), (10, -2000.0), (20, 0.0))
    ]
    install(bench, discharge_profile(bench.transaction_id, duration=30, schedule={"chargingSchedulePeriod": periods}))
    seen = []
    for _ in range(31):
        bench.run(1)
        seen.append(setpoint(bench)[0])
    assert seen == [-7000.0] * 9 + [-2000.0] * 10 + [0.0] * 10 + [float("inf")] * 2


def test_a_tx_profile_overrules_every_default_profile(bench: Any, discharge_profile: Make, fallback_profile: Make) -> None:
    default = {"chargingProfilePurpose": "TxDefaultProfile", "transactionId": None, "stack_level": 20, "profile_id": 5}
    install(bench, fallback_profile("", limit=1500.0, **default))
    assert setpoint(bench) == (1500.0, True)
    install(bench, discharge_profile(bench.transaction_id, stack_level=0))
    assert setpoint(bench) == (-7000.0, False)


def test_v2x_03_a_station_limit_caps_charging_but_never_restrains_discharge(
    bench: Any, discharge_profile: Make, fallback_profile: Make
) -> None:
    station = {"chargingProfilePurpose": "ChargingStationMaxProfile", "transactionId": None, "evse_id": 0, "profile_id": 5}
    install(bench, fallback_profile("", limit=2000.0, **station))
    assert setpoint(bench) == (2000.0, True)
    install(bench, discharge_profile(bench.transaction_id, 5000.0))
    assert setpoint(bench) == (2000.0, False)
    install(bench, discharge_profile(bench.transaction_id, -5000.0))
    assert setpoint(bench) == (-5000.0, False)


def test_amperes_are_per_phase_at_nominal_voltage(make_bench: Callable[..., Any], fallback_profile: Make, discharge_profile: Make) -> None:
    bench = make_bench().begin()
    bench.evse.is_dc = False
    install(bench, fallback_profile(bench.transaction_id, schedule={"chargingRateUnit": "A"}, period={"limit": 10.0}))
    assert setpoint(bench) == (6900.0, True)
    install(bench, fallback_profile(bench.transaction_id, schedule={"chargingRateUnit": "A"}, period={"limit": 10.0, "numberPhases": 1}))
    assert setpoint(bench) == (2300.0, True)


def test_a_daily_profile_comes_back_every_day(bench: Any, fallback_profile: Make) -> None:
    day = {"chargingProfileKind": "Recurring", "recurrencyKind": "Daily", "duration": 3600, "now_s": bench.now_s - 86_400 + 600}
    install(bench, fallback_profile(bench.transaction_id, limit=1234.0, **day))
    profiles, started_s = bench.station.state.profiles, bench.evse.started_charging_s
    limits = [
        profiles.effective(1, bench.transaction_id, bench.now_s + at, tx_started_s=started_s).order.power_w
        for at in (0, 601, 4199, 4201, 87_001)
    ]
    assert limits == [float("inf"), 1234.0, 1234.0, float("inf"), 1234.0]
    assert profiles.next_change_s(1, bench.now_s + 700, tx_started_s=started_s) == bench.now_s + 4200


def test_a_relative_profile_counts_from_the_start_of_charging(bench: Any, fallback_profile: Make) -> None:
    bench.run(100)
    periods = [{"startPeriod": 0, "limit": 1500.0}, {"startPeriod": 110, "limit": 2500.0}]
    relative = {"chargingProfileKind": "Relative", "schedule": {"startSchedule": None, "chargingSchedulePeriod": periods}}
    install(bench, fallback_profile(bench.transaction_id, **relative))
    assert setpoint(bench) == (1500.0, True)
    bench.run(10)
    assert setpoint(bench) == (2500.0, True)


def test_k02_fr_06_tx_profiles_die_with_their_transaction_and_defaults_do_not(
    bench: Any, discharge_profile: Make, fallback_profile: Make
) -> None:
    default = {"chargingProfilePurpose": "TxDefaultProfile", "transactionId": None, "profile_id": 5}
    install(bench, fallback_profile("", **default))
    install(bench, discharge_profile(bench.transaction_id))
    bench.station.unplug(bench.now_s)
    bench.exchange()
    assert [one.profile.id for one in bench.station.installed_profiles] == [5]
    assert bench.power_w == 0.0


# ---- offline


def offline(bench: Any, seconds: float) -> list[float]:
    bench.cut()
    powers = []
    for _ in range(round(seconds)):
        bench.run(1)
        powers.append(bench.power_w)
    return powers


def test_max_offline_duration_stops_a_discharge_and_the_return_revives_it(bench: Any, discharge_profile: Make) -> None:
    install(bench, discharge_profile(bench.transaction_id, maxOfflineDuration=20))
    bench.run(5)
    powers = offline(bench, 30)
    assert powers[:19] == [-7000.0] * 19
    assert max(powers[:20]) == -7000.0
    assert min(powers[21:]) == 0.0
    bench.connect()
    bench.run(2)
    assert bench.power_w == -7000.0


def test_invalid_after_offline_duration_keeps_it_dead_until_it_is_sent_again(bench: Any, discharge_profile: Make) -> None:
    request = discharge_profile(bench.transaction_id, maxOfflineDuration=20, invalidAfterOfflineDuration=True)
    install(bench, request)
    offline(bench, 30)
    bench.connect()
    bench.run(2)
    assert bench.power_w == 0.0
    install(bench, request)
    bench.run(2)
    assert bench.power_w == -7000.0


def test_without_max_offline_duration_a_station_discharges_on_while_it_is_offline(bench: Any, discharge_profile: Make) -> None:
    install(bench, discharge_profile(bench.transaction_id))
    assert offline(bench, 60)[5:] == [-7000.0] * 55


# ---- dynamic


def dynamic(make: Make, transaction_id: str, power_w: float = -7000.0, **changes: Any) -> dict[str, Any]:
    return make(transaction_id, power_w, chargingProfileKind="Dynamic", schedule={"startSchedule": None}, duration=60, **changes)


def test_k28_fr_13_the_watchdog_of_a_dynamic_profile_runs_from_the_last_update(bench: Any, discharge_profile: Make) -> None:
    install(bench, dynamic(discharge_profile, bench.transaction_id))
    bench.run(50)
    answer = bench.call("UpdateDynamicSchedule", {"chargingProfileId": 1_000_001, "scheduleUpdate": {"setpoint": -5200.0}})
    assert answer.status == "Accepted"
    bench.run(50)
    assert bench.power_w == -5200.0
    bench.run(15)
    assert bench.power_w == 0.0
    assert (
        bench.call("UpdateDynamicSchedule", {"chargingProfileId": 1_000_001, "scheduleUpdate": {"setpoint": -5200.0}}).status == "Accepted"
    )
    bench.run(3)
    assert bench.power_w == -5200.0


def test_k28_a_station_pulls_the_values_of_a_profile_that_asks_for_it_until_it_is_gone(bench: Any, discharge_profile: Make) -> None:
    install(bench, dynamic(discharge_profile, bench.transaction_id, dynUpdateInterval=20))
    bench.csms.pulled_w = -4000.0
    bench.run(22)
    assert bench.power_w == -4000.0
    bench.csms.pulled_w = -3000.0
    bench.run(20)
    assert bench.power_w == -3000.0
    bench.call("ClearChargingProfile", {"chargingProfileId": 1_000_001})
    bench.csms.requests.clear()
    bench.run(60)
    assert not any(action == "PullDynamicScheduleUpdate" for _, _, action, _ in bench.csms.requests)


def test_updating_what_is_not_there_or_not_dynamic_is_an_invalid_profile(bench: Any, discharge_profile: Make) -> None:
    install(bench, discharge_profile(bench.transaction_id))
    answers = [
        bench.call("UpdateDynamicSchedule", {"chargingProfileId": one, "scheduleUpdate": {"setpoint": 0.0}}) for one in (5, 1_000_001)
    ]
    assert [(one.status, one.status_info.reason_code) for one in answers] == [("Rejected", "InvalidProfile")] * 2


# ---- reading and clearing


def test_k10_clearing_by_id_says_accepted_and_then_unknown(bench: Any, discharge_profile: Make) -> None:
    install(bench, discharge_profile(bench.transaction_id))
    bench.run(3)
    assert bench.power_w == -7000.0
    assert bench.call("ClearChargingProfile", {"chargingProfileId": 1_000_001}).status == "Accepted"
    bench.run(3)
    assert bench.power_w == 0.0
    assert bench.call("ClearChargingProfile", {"chargingProfileId": 1_000_001}).status == "Unknown"


def test_k10_criteria_must_all_hold_and_no_criteria_clear_nothing(bench: Any, discharge_profile: Make, fallback_profile: Make) -> None:
    install(bench, fallback_profile(bench.transaction_id))
    install(bench, discharge_profile(bench.transaction_id))
    tx = {"evseId": 1, "chargingProfilePurpose": "TxProfile"}
    assert bench.call("ClearChargingProfile", {}).status == "Unknown"
    assert bench.call("ClearChargingProfile", {"chargingProfileCriteria": {**tx, "stackLevel": 9}}).status == "Unknown"
    assert bench.call("ClearChargingProfile", {"chargingProfileCriteria": {**tx, "stackLevel": 8}}).status == "Accepted"
    assert [one.profile.stack_level for one in bench.station.installed_profiles] == [7]


def test_k09_installed_profiles_are_reported_by_evse(bench: Any, discharge_profile: Make, fallback_profile: Make) -> None:
    install(bench, fallback_profile("", chargingProfilePurpose="TxDefaultProfile", transactionId=None, evse_id=0, profile_id=5))
    install(bench, discharge_profile(bench.transaction_id))
    assert bench.call("GetChargingProfiles", {"requestId": 77, "chargingProfile": {}}).status == "Accepted"
    reports = [request for _, _, action, request in bench.csms.requests if action == "ReportChargingProfiles"]
    assert [(one.evse_id, one.request_id, one.charging_limit_source, one.tbc) for one in reports] == [
        (0, 77, "CSO", True),
        (1, 77, "CSO", False),
    ]
    assert [one.charging_profile[0].id for one in reports] == [5, 1_000_001]
    narrow = {"requestId": 78, "evseId": 1, "chargingProfile": {"chargingProfilePurpose": "TxProfile", "stackLevel": 3}}
    assert bench.call("GetChargingProfiles", narrow).status == "NoProfiles"
    other = {"requestId": 79, "chargingProfile": {"chargingLimitSource": ["EMS"]}}
    assert bench.call("GetChargingProfiles", other).status == "NoProfiles"


def test_k08_the_composite_schedule_shows_what_will_apply(bench: Any, discharge_profile: Make, fallback_profile: Make) -> None:
    install(bench, fallback_profile(bench.transaction_id, limit=3000.0))
    install(bench, discharge_profile(bench.transaction_id, duration=600))
    schedule = bench.call("GetCompositeSchedule", {"evseId": 1, "duration": 900, "chargingRateUnit": "W"}).schedule
    first, second = schedule.charging_schedule_period
    assert (first.start_period, first.setpoint, first.operation_mode) == (0, -7000.0, "CentralSetpoint")
    assert (second.start_period, second.limit, second.operation_mode) == (600, 3000.0, "ChargingOnly")
    assert bench.call("GetCompositeSchedule", {"evseId": 1, "duration": 900, "chargingRateUnit": "A"}).status == "Rejected"
    assert bench.call("GetCompositeSchedule", {"evseId": 4, "duration": 900}).status == "Rejected"
