"""Which profiles a station takes, over the wire, clause by clause."""

from collections.abc import Callable
from typing import Any

import pytest

NOW = 1_800_000_000.0
Make = Callable[..., dict[str, Any]]
REASONS: dict[str, tuple[dict[str, Any], str]] = {
    "k01_fr_03_tx_profile_needs_transaction_id": ({"transactionId": None}, "MissingParam"),
    "k01_fr_33_tx_profile_needs_the_running_transaction": ({"transactionId": "another"}, "TxNotFound"),
    "k01_fr_22_external_constraints_are_not_the_csms_s": ({"chargingProfilePurpose": "ChargingStationExternalConstraints"}, "InvalidValue"),
    "k01_fr_80_id_below_max_external_constraints_id": ({"profile_id": 0}, "InvalidProfileId"),
    "unknown_evse": ({"evse_id": 9}, "UnknownEvse"),
    "tx_profile_to_the_whole_station": ({"evse_id": 0}, "InvalidValue"),
    "max_profile_to_one_evse": ({"chargingProfilePurpose": "ChargingStationMaxProfile", "period": {"limit": 1.0}}, "InvalidValue"),
    "purpose_not_supported": ({"chargingProfilePurpose": "PriorityCharging"}, "UnsupportedPurpose"),
    "stack_level_above_profile_stack_level": ({"stack_level": 21}, "InvalidStackLevel"),
    "k28_fr_02_dynamic_has_one_period": (
        {
            "chargingProfileKind": "Dynamic",
            "schedule": {"chargingSchedulePeriod": [{"startPeriod": 0, "limit": 1.0}, {"startPeriod": 9, "limit": 1.0}]},
        },
        "InvalidSchedule",
    ),
    "dyn_update_fields_on_an_absolute_profile": ({"dynUpdateInterval": 60}, "InvalidProfile"),
    "absolute_needs_a_start": ({"schedule": {"startSchedule": None}}, "InvalidSchedule"),
    "relative_has_no_start": ({"chargingProfileKind": "Relative"}, "InvalidSchedule"),
    "recurring_needs_its_kind": ({"chargingProfileKind": "Recurring"}, "MissingParam"),
    "q01_fr_31_operation_mode_not_supported": ({"period": {"operationMode": "ExternalLimits"}}, "InvalidOperationMode"),
    "operation_mode_not_for_this_purpose": (
        {"chargingProfilePurpose": "ChargingStationMaxProfile", "evse_id": 0, "transactionId": None},
        "InvalidOperationMode",
    ),
    "q03_fr_02_central_setpoint_with_a_limit": (
        {"period": {"operationMode": "CentralSetpoint", "setpoint": -1.0, "limit": 9.0}},
        "InvalidSchedule",
    ),
    "q03_fr_02_central_setpoint_with_a_discharge_limit": (
        {"period": {"operationMode": "CentralSetpoint", "setpoint": -1.0, "dischargeLimit": -9.0}},
        "InvalidSchedule",
    ),
    "central_setpoint_needs_a_setpoint": ({"period": {"operationMode": "CentralSetpoint"}}, "InvalidSchedule"),
    "charging_only_needs_a_limit": ({"period": {"setpoint": -1.0}}, "InvalidSchedule"),
    "errata_2025_06_negative_limit": ({"period": {"limit": -7000.0}}, "ValueTooLow"),
    "k01_fr_44_no_phases_on_dc": ({"period": {"limit": 1.0, "numberPhases": 3}}, "NoPhaseForDC"),
    "v2x_08_no_values_per_phase": ({"period": {"limit": 1.0, "limit_L2": 1.0}}, "PhaseConflict"),
    "evse_sleep_belongs_to_idle": ({"period": {"limit": 1.0, "evseSleep": True}}, "InvalidSchedule"),
    "first_period_starts_at_zero": ({"schedule": {"chargingSchedulePeriod": [{"startPeriod": 1, "limit": 1.0}]}}, "InvalidSchedule"),
    "periods_rise": (
        {"schedule": {"chargingSchedulePeriod": [{"startPeriod": 0, "limit": 1.0}, {"startPeriod": 0, "limit": 2.0}]}},
        "InvalidSchedule",
    ),
    "too_many_periods": (
        {"schedule": {"chargingSchedulePeriod": [{"startPeriod": second, "limit": 1.0} for second in range(25)]}},
        "TooManyElements",
    ),
    "k01_fr_123_randomized_delay_not_supported": ({"schedule": {"randomizedDelay": 5}}, "UnsupportedParam"),
    "negative_duration": ({"duration": -1}, "InvalidValue"),
}


@pytest.mark.parametrize("case", REASONS)
def test_a_profile_is_refused_with_its_reason_code(case: str, bench: Any, discharge_profile: Make) -> None:
    changes, reason = REASONS[case]
    response = bench.call("SetChargingProfile", discharge_profile(bench.transaction_id, **changes))
    assert response.status == "Rejected"
    assert response.status_info.reason_code == reason
    assert bench.station.installed_profiles == []


def test_a_correct_discharge_profile_is_accepted(bench: Any, discharge_profile: Make, fallback_profile: Make) -> None:
    assert bench.call("SetChargingProfile", fallback_profile(bench.transaction_id)).status == "Accepted"
    assert bench.call("SetChargingProfile", discharge_profile(bench.transaction_id)).status == "Accepted"


@pytest.mark.parametrize(
    ("settings", "changes", "reason"),
    [
        ({"rate_units": ("A",)}, {}, "UnsupportedRateUnit"),
        ({"dynamic_profiles": False}, {"chargingProfileKind": "Dynamic"}, "UnsupportedKind"),
        ({"max_offline_duration": False}, {"maxOfflineDuration": 60}, "UnsupportedParam"),
        ({"operation_modes": ("ChargingOnly", "Idle")}, {}, "InvalidOperationMode"),
        ({"operation_modes": ("LocalFrequency",)}, {"period": {"operationMode": "LocalFrequency"}}, "NoFreqWattCurve"),
        ({"max_external_constraints_id": 2_000_000}, {}, "InvalidProfileId"),
    ],
)
def test_what_a_station_does_not_support_it_refuses(
    settings: dict[str, Any], changes: dict[str, Any], reason: str, make_bench: Callable[..., Any], discharge_profile: Make
) -> None:
    bench = make_bench(**settings).begin()
    response = bench.call("SetChargingProfile", discharge_profile(bench.transaction_id, **changes))
    assert (response.status, response.status_info.reason_code) == ("Rejected", reason)


def test_k01_fr_39_same_transaction_and_stack_level_with_another_id_is_refused(bench: Any, fallback_profile: Make) -> None:
    assert bench.call("SetChargingProfile", fallback_profile(bench.transaction_id)).status == "Accepted"
    response = bench.call("SetChargingProfile", fallback_profile(bench.transaction_id, profile_id=7))
    assert response.status_info.reason_code == "InvalidStackLevel"


def test_k01_fr_05_the_same_id_replaces(bench: Any, fallback_profile: Make) -> None:
    for level in (7, 3):
        assert bench.call("SetChargingProfile", fallback_profile(bench.transaction_id, stack_level=level)).status == "Accepted"
    assert [one.profile.stack_level for one in bench.station.installed_profiles] == [3]


def test_k01_fr_06_two_default_profiles_of_one_level_are_refused_unless_their_validity_is_apart(bench: Any, fallback_profile: Make) -> None:
    default = {"chargingProfilePurpose": "TxDefaultProfile", "transactionId": None}
    first = {"validTo": "2030-01-01T00:00:00Z", **default}
    assert bench.call("SetChargingProfile", fallback_profile("", **first)).status == "Accepted"
    clash = bench.call("SetChargingProfile", fallback_profile("", profile_id=7, evse_id=0, **default))
    assert clash.status_info.reason_code == "DuplicateProfile"
    apart = fallback_profile("", profile_id=7, validFrom="2030-01-01T00:00:00Z", **default)
    assert bench.call("SetChargingProfile", apart).status == "Accepted"


def test_more_profiles_than_entries_are_refused(make_bench: Callable[..., Any], fallback_profile: Make) -> None:
    bench = make_bench(max_profiles=2).begin()
    answers = [bench.call("SetChargingProfile", fallback_profile(bench.transaction_id, profile_id=n, stack_level=n)) for n in (1, 2, 3)]
    assert [answer.status for answer in answers] == ["Accepted", "Accepted", "Rejected"]
    assert answers[2].status_info.reason_code == "TooManyElements"
    assert bench.call("SetChargingProfile", fallback_profile(bench.transaction_id, profile_id=2, stack_level=2)).status == "Accepted"


def test_k01_fr_57_profiles_that_come_too_fast_are_refused_with_the_wait(make_bench: Callable[..., Any], fallback_profile: Make) -> None:
    bench = make_bench(profile_rate_limit_s=10.0).begin()
    assert bench.call("SetChargingProfile", fallback_profile(bench.transaction_id)).status == "Accepted"
    response = bench.call("SetChargingProfile", fallback_profile(bench.transaction_id))
    assert response.status_info.reason_code == "RateLimitExceeded"
    assert response.status_info.additional_info == "10 seconds before retry"
    bench.run(10)
    assert bench.call("SetChargingProfile", fallback_profile(bench.transaction_id)).status == "Accepted"


def test_k18_fr_17_a_tx_profile_before_the_needs_is_an_invalid_sequence(
    make_bench: Callable[..., Any], tiny_csms: Any, fallback_profile: Make
) -> None:
    csms = tiny_csms()
    csms.mute.add("NotifyEVChargingNeeds")
    bench = make_bench(csms).begin()
    response = bench.call("SetChargingProfile", fallback_profile(bench.transaction_id))
    assert response.status_info.reason_code == "InvalidMessageSeq"


def test_a_station_of_the_older_kind_discharges_on_a_negative_limit(make_bench: Callable[..., Any], discharge_profile: Make) -> None:
    bench = make_bench(negative_limits=True).begin()
    assert bench.call("SetChargingProfile", discharge_profile(bench.transaction_id, period={"limit": -7000.0})).status == "Accepted"
    bench.run(3)
    assert bench.power_w == -7000.0
