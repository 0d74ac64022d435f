"""Which setpoint may move a Dynamic profile that stands, and when its watchdog is refreshed."""

from typing import Any

import pytest

from counterflow.app.dispatching.dynamic import DynamicProfiles
from counterflow.app.dispatching.setpoint_commands import Placing, PlacingSettings, move_setpoint, place_discharge
from counterflow.domain.ids import ProfileId, SessionUid
from counterflow.domain.resources import ControlMode

NOW_S = 10_000.0
UID = SessionUid(7)
SETTINGS = PlacingSettings(watchdog_s=120.0)


def placing(**changes: Any) -> Placing:
    order: dict[str, Any] = {
        "uid": UID, "station_id": "S1", "evse_id": 1, "transaction_id": "tx", "control_mode": ControlMode.DYNAMIC, "max_stack_level": 9,
        "above_level": None, "max_offline_supported": True, "power_w": -5_000.0, "discharge_until_s": NOW_S + 3_600.0,
        "hold_until_s": NOW_S + 3_640.0, "fallback_power_w": 2_000.0, "dispatch_id": "d", "reason": "", "urgent": False, "moves": True,
    }  # fmt: skip
    return Placing(**order | changes)


@pytest.fixture
def standing() -> DynamicProfiles:
    """One profile that its station has accepted, valid for an hour."""
    profiles = DynamicProfiles(SETTINGS)
    first = profiles.shaped(placing(), NOW_S, may=True)
    profiles.accepted(place_discharge(first, ProfileId(1), 8, SETTINGS, NOW_S), NOW_S)
    return profiles


def test_a_setpoint_that_may_last_as_long_moves_the_profile_and_takes_its_end(standing: DynamicProfiles) -> None:
    later = standing.shaped(placing(power_w=-3_000.0, discharge_until_s=NOW_S + 5_000.0), NOW_S + 10.0, may=True)
    assert standing.can_move(later)
    assert later.discharge_until_s == later.hold_until_s == NOW_S + 3_600.0


def test_a_setpoint_that_must_end_sooner_is_placed_anew(standing: DynamicProfiles) -> None:
    sooner = standing.shaped(placing(power_w=-9_000.0, discharge_until_s=NOW_S + 1_800.0), NOW_S + 10.0, may=True)
    assert not standing.can_move(sooner)
    assert sooner.watchdog_s is not None
    assert sooner.discharge_until_s == NOW_S + 1_800.0


def test_the_end_is_that_of_full_power_where_it_leaves_time() -> None:
    profiles = DynamicProfiles(SETTINGS)
    assert profiles.shaped(placing(full_until_s=NOW_S + 900.7), NOW_S, may=True).discharge_until_s == NOW_S + 900.0
    assert profiles.shaped(placing(full_until_s=NOW_S + 60.0), NOW_S, may=True).discharge_until_s == NOW_S + 3_600.0


def test_the_last_stretch_and_whatever_may_not_be_are_left_as_they_are(standing: DynamicProfiles) -> None:
    short = placing(discharge_until_s=NOW_S + 90.0, hold_until_s=NOW_S + 130.0)
    assert standing.shaped(short, NOW_S, may=True) == short
    assert standing.shaped(placing(), NOW_S, may=False) == placing()
    assert standing.shaped(placing(), NOW_S + 3_590.0, may=True) == placing()


def test_watchdogs_differ_by_session_within_a_fifth() -> None:
    profiles = DynamicProfiles(SETTINGS)
    lengths = {profiles.watchdog_s(SessionUid(uid)) for uid in range(1, 200)}
    assert min(lengths) >= 96
    assert max(lengths) <= 144
    assert len(lengths) >= 30


def test_a_watchdog_is_due_a_third_after_the_newest_message_and_named_once(standing: DynamicProfiles) -> None:
    third_s = standing.watchdog_s(UID) / 3.0
    assert standing.due(NOW_S + third_s - 0.1, 9) == []
    moved = standing.shaped(placing(power_w=-3_000.0), NOW_S + 20.0, may=True)
    standing.accepted(move_setpoint(moved, ProfileId(1), is_refresh=False), NOW_S + 20.0)
    assert standing.due(NOW_S + third_s + 1.0, 9) == []
    assert standing.next_due_s() == pytest.approx(NOW_S + 20.0 + third_s)
    assert standing.due(NOW_S + 20.0 + third_s, 9) == [UID]
    assert standing.due(NOW_S + 20.0 + third_s, 9) == []
    standing.lost(UID)
    assert standing.due(NOW_S + 1_000.0, 9) == []
    assert standing.next_due_s() == float("inf")
