"""What charging profiles of ours hold to (OCPP 2.1 part 2, blocks K and Q)."""

from typing import Any

import pytest

from counterflow.domain.commands import PlaceDischarge, PlaceFallback
from counterflow.domain.resources import ControlMode

NOON_S = 1_795_348_800.0


@pytest.fixture
def discharge_profile(desk: Any) -> dict[str, Any]:
    """The profile of a discharge, as it went over the wire."""
    desk.open_known()
    desk.submit(
        PlaceDischarge(
            station_id="S1", evse_id=1, transaction_id="tx", session_uid=1, profile_id=11, stack_level=8, power_w=-7000.0, start_s=NOON_S,
            discharge_until_s=NOON_S + 900, hold_until_s=NOON_S + 960, control_mode=ControlMode.SETPOINT, max_offline_s=60,
        )
    )  # fmt: skip
    profile: dict[str, Any] = desk.call()[1]["chargingProfile"]
    return profile


@pytest.fixture
def fallback_profile(desk: Any) -> dict[str, Any]:
    """The profile of a fallback, as it went over the wire."""
    desk.open_known()
    desk.submit(
        PlaceFallback(
            station_id="S1", evse_id=1, transaction_id="tx", session_uid=1, profile_id=12, stack_level=7, charge_power_w=3000.0,
            start_s=NOON_S,
        )
    )  # fmt: skip
    profile: dict[str, Any] = desk.call()[1]["chargingProfile"]
    return profile


def periods(profile: dict[str, Any]) -> list[dict[str, Any]]:
    [schedule] = profile["chargingSchedule"]
    found: list[dict[str, Any]] = schedule["chargingSchedulePeriod"]
    return found


def test_k01_fr_03_a_tx_profile_names_its_transaction(discharge_profile: dict[str, Any]) -> None:
    assert (discharge_profile["chargingProfilePurpose"], discharge_profile["transactionId"]) == ("TxProfile", "tx")


def test_k01_an_absolute_profile_has_a_start(discharge_profile: dict[str, Any], fallback_profile: dict[str, Any]) -> None:
    for profile in (discharge_profile, fallback_profile):
        assert profile["chargingProfileKind"] == "Absolute"
        assert profile["chargingSchedule"][0]["startSchedule"] == "2026-11-22T12:00:00Z"


def test_k01_fr_34_there_is_exactly_one_schedule(discharge_profile: dict[str, Any]) -> None:
    assert len(discharge_profile["chargingSchedule"]) == 1


def test_k01_the_first_period_starts_at_zero_and_they_ascend(discharge_profile: dict[str, Any]) -> None:
    assert [period["startPeriod"] for period in periods(discharge_profile)] == [0, 900]


def test_q03_fr_02_a_central_setpoint_comes_without_limits(discharge_profile: dict[str, Any]) -> None:
    for period in periods(discharge_profile):
        assert period["operationMode"] == "CentralSetpoint"
        assert set(period) == {"startPeriod", "operationMode", "setpoint"}


def test_k01_charging_only_comes_with_a_limit_and_no_phases(fallback_profile: dict[str, Any]) -> None:
    [period] = periods(fallback_profile)
    assert set(period) == {"startPeriod", "operationMode", "limit"}
    assert period["limit"] == 3000.0


def test_a_discharge_ends_by_itself_online_and_offline(discharge_profile: dict[str, Any]) -> None:
    assert discharge_profile["chargingSchedule"][0]["duration"] == 960
    assert discharge_profile["validTo"] == "2026-11-22T12:16:00Z"
    assert discharge_profile["maxOfflineDuration"] == 60
    assert discharge_profile["invalidAfterOfflineDuration"] is True
