"""Dynamic profiles on the virtual clock: placed once, moved cheaply, alive only while we are (K28, decisions 3 and 4)."""

import json
from collections import Counter
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from counterflow.domain.instructions import Amendment
from counterflow.sim.rules import discharges

END_S = 250.0
DYNAMIC: dict[str, Any] = {"placing": {"control_path": "dynamic", "watchdog_s": 60.0}}


def dynamic_profiles(at: Any, since_s: float = 0.0) -> list[dict[str, Any]]:
    """Dynamic profiles that were sent."""
    placed = [one.payload["chargingProfile"] for one in at.sent if one.action == "SetChargingProfile" and one.at_s >= since_s]
    return [profile for profile in placed if profile["chargingProfileKind"] == "Dynamic"]


def test_k28_fr_02_a_moving_target_is_followed_by_updates_of_one_profile(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 1, plant=ideal, settings=DYNAMIC)
    order = at.order(420.0, 0.5)
    target_w = order.steps[0].discharge_power_w
    for share in (1.5, 0.6, 1.2, 0.5):
        at.run(40)
        at.do(at.operations.amend(order.dispatch_id, Amendment(discharge_power_w=share * target_w), "me"))
        moved_s = at.now_s
        at.run(35)
        assert at.delivered_w() == pytest.approx(share * target_w, rel=0.06)
        assert dynamic_profiles(at, moved_s) == []
        assert at.calls(since_s=moved_s)["UpdateDynamicSchedule"] > 0
    placed = dynamic_profiles(at)
    assert len(placed) == len({profile["id"] for profile in placed}) >= 30
    for profile in placed:
        [schedule] = profile["chargingSchedule"]
        assert len(schedule["chargingSchedulePeriod"]) == 1
        assert 48 <= schedule["duration"] <= 72
        assert "startSchedule" not in schedule
        assert datetime.fromisoformat(profile["validTo"]).timestamp() <= order.end_s
    at.run(420 - 300 + END_S)
    assert at.left_behind() == []


def test_k28_fr_13_to_15_watchdogs_are_refreshed_at_a_third_and_not_all_at_once(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 2, plant=ideal, settings=DYNAMIC)
    at.order(600.0, 0.8)
    at.run(60)
    steady_s = at.now_s
    at.run(400)
    refreshed = [one for one in at.sent if one.action == "UpdateDynamicSchedule" and one.at_s >= steady_s]
    each = Counter(one.station_id for one in refreshed)
    assert len(each) >= 30
    for station_id in each:
        heard = [one.at_s for one in refreshed if one.station_id == station_id]
        assert all(later - earlier <= 72 / 3 + 1.5 for earlier, later in pairwise(heard))
    assert len(refreshed) <= 1.1 * len(each) * 400 / (60 * 0.8 / 3)
    a_second = Counter(int(one.at_s) for one in refreshed if one.at_s >= steady_s + 200)
    assert max(a_second.values()) <= len(each) / 3
    at.run(140 + END_S)
    assert at.left_behind() == []


def test_when_we_fall_silent_the_watchdogs_lapse_one_after_the_other_and_cars_charge(town: Any, ideal: dict[str, Any]) -> None:
    at = town(30, 3, plant=ideal, station={"max_offline_duration": False}, settings=DYNAMIC)
    at.order(3_600.0, 0.8)
    at.run(90)
    assert at.delivered_w() > 0.0
    at.world.cut_all(None)
    silent = len(at.power_w)
    at.run(40)
    assert at.delivered_w(5) > 0.0
    at.run(60)
    power_w = at.power_w[silent:]
    lapsing = [second for second, (before, after) in enumerate(pairwise(power_w)) if after - before > 2_000.0]
    assert max(lapsing) - min(lapsing) >= 10
    assert at.world.power_w.min() > -500.0
    assert at.world.fleet.violations() == []


@pytest.mark.parametrize("code", ["InvalidProfile", "NotImplemented"])
def test_k28_fr_05_updates_that_are_refused_end_in_absolute_profiles_with_the_reason(town: Any, ideal: dict[str, Any], code: str) -> None:
    at = town(16, 4, plant=ideal, settings=DYNAMIC)

    def refuse(frame: Any) -> Any:
        if code == "NotImplemented":
            return [4, frame[1], code, "", {}]
        return [3, frame[1], {"status": "Rejected", "statusInfo": {"reasonCode": code}}]

    at.answering("UpdateDynamicSchedule", refuse, range(4))
    order = at.order(400.0, 0.7)
    at.run(200)
    for row in range(4):
        station_id = f"SIM-{row + 1:05d}"
        tries = at.calls(station_id)["UpdateDynamicSchedule"]
        if tries == 0:
            continue  # a car that was never asked
        assert tries <= 2
        [closed] = at.room.placement.paths.closed_at(station_id)
        assert closed.path == "dynamic"
        assert code in closed.reason
        view = at.operations.station(station_id)
        assert any("'dynamic'" in text and code in text for text in view.refusals)
        kinds = {one.profile.charging_profile_kind for one in at.world.stations[row].installed_profiles}
        assert kinds == {"Absolute"}
    assert any(at.room.placement.paths.closed_at(f"SIM-{row + 1:05d}") for row in range(4))
    assert at.worst_error(order.steps[0].discharge_power_w, 160, 250, mean_s=30) <= 0.05
    at.restart()
    at.run(20)
    assert any(at.room.placement.paths.closed_at(f"SIM-{row + 1:05d}") for row in range(4))
    at.run(180 + END_S)
    assert at.left_behind() == []


def test_a_station_that_loses_the_profile_gets_it_again(town: Any, ideal: dict[str, Any]) -> None:
    at = town(12, 5, plant=ideal, settings=DYNAMIC)
    at.order(400.0, 0.7)
    at.run(60)
    row = next(row for row, station in enumerate(at.world.stations) if any(discharges(one.profile) for one in station.installed_profiles))
    station = at.world.stations[row]
    lost = next(one.profile.id for one in station.installed_profiles if discharges(one.profile))
    station.state.profiles.clear(lost)
    lost_s = at.now_s
    at.run(60)
    assert [profile["id"] for profile in dynamic_profiles(at, lost_s)] == [lost]
    assert at.room.placement.paths.closed_at(station.station_id) == ()
    at.run(280 + END_S)
    assert at.left_behind() == []


def test_stations_without_dynamic_profiles_and_constant_targets_get_absolute_ones(town: Any, ideal: dict[str, Any]) -> None:
    without = town(10, 6, plant=ideal, station={"dynamic_profiles": False}, settings=DYNAMIC)
    without.order(120.0)
    without.run(60)
    assert dynamic_profiles(without) == []
    constant = town(10, 6, plant=ideal)
    order = constant.order(600.0, 0.5)
    constant.run(60)
    assert dynamic_profiles(constant) == []
    for share in (0.6, 0.7, 0.8):
        amendment = Amendment(discharge_power_w=share * order.steps[0].discharge_power_w)
        constant.do(constant.operations.amend(order.dispatch_id, amendment, "me"))
        constant.run(20)
    assert len(dynamic_profiles(constant)) > 0
    constant.run(480 + END_S)
    assert constant.left_behind() == []


def test_an_order_ends_in_a_hold_although_dynamic_profiles_know_none(town: Any, ideal: dict[str, Any]) -> None:
    at = town(30, 7, plant=ideal, settings=DYNAMIC)
    order = at.order(200.0)
    at.run(195)
    last = {
        station.station_id: one.profile.charging_profile_kind
        for station in at.world.stations
        for one in station.installed_profiles
        if discharges(one.profile)
    }
    assert len(last) >= 20
    assert set(last.values()) == {"Absolute"}
    at.world.cut_all(None)
    at.run(15)
    assert order.end_s < at.now_s
    assert at.delivered_w(3) == pytest.approx(0.0, abs=0.35 * order.steps[0].discharge_power_w)


def test_k28_a_station_that_pulls_is_told_the_setpoint_in_force(town: Any, ideal: dict[str, Any]) -> None:
    at = town(12, 8, plant=ideal, settings={"placing": {"control_path": "dynamic", "watchdog_s": 120.0, "pull_interval_s": 15}})
    answers: list[Any] = []
    at.order(400.0, 0.8)
    take = at.take_outbox

    def look() -> list[tuple[str, bytes]]:
        out: list[tuple[str, bytes]] = take()
        answers.extend(frame[2] for _, text in out if (frame := json.loads(text))[0] == 3 and "scheduleUpdate" in frame[2])
        return out

    at.take_outbox = look
    at.run(100)
    assert len(answers) >= 40
    assert all(answer["status"] == "Accepted" and answer["scheduleUpdate"]["setpoint"] <= 0.0 for answer in answers)
    at.run(300 + END_S)
    assert at.left_behind() == []


def test_the_emergency_stop_reaches_cars_on_dynamic_profiles(town: Any, ideal: dict[str, Any]) -> None:
    at = town(30, 9, plant=ideal, settings=DYNAMIC)
    at.order(600.0)
    at.run(60)
    at.do(at.operations.emergency_stop(True, "me"))
    at.run(10)
    assert at.world.power_w.min() > -200.0
    at.run(END_S)
    assert at.left_behind() == []
