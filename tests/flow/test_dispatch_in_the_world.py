"""Whole dispatches on the virtual clock: server, stations and cars as they are, seconds instead of minutes."""

from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest

from counterflow.domain.dispatch_views import DispatchAnswer, DispatchView
from counterflow.domain.instructions import AllocationPolicy, Amendment, DispatchMode, DispatchOrder, DispatchState
from counterflow.domain.notices import NOTICES
from counterflow.domain.views import Refusal, RefusalKind

END_S = 200.0
"""Resume takes a minute, tombstones and late answers a little more."""


@pytest.mark.parametrize("seed", [1, 2])
def test_the_promise_within_3_percent_although_a_tenth_leaves_and_nothing_remains(town: Any, seed: int) -> None:
    at = town(200, seed)
    order = at.order(240.0)
    target_w = order.steps[0].discharge_power_w
    at.run(120).world.drop_out(0.1, 0.2)
    at.run(120)
    assert at.worst_error(target_w, 120, 180) <= 0.03
    assert at.worst_error(target_w, 225, 300) <= 0.03
    at.run(END_S)
    assert at.view(order).instruction.state is DispatchState.COMPLETED
    assert at.left_behind() == []
    report = at.report(order.dispatch_id)
    assert report.final
    assert report.delivered_energy_wh == pytest.approx(report.target_energy_wh, rel=0.12)


@pytest.mark.parametrize("policy", list(AllocationPolicy))
def test_every_policy_holds_the_target(town: Any, policy: AllocationPolicy) -> None:
    at = town(100, 3)
    order = at.order(180.0, 0.75, policy=policy)
    at.run(180)
    assert at.worst_error(order.steps[0].discharge_power_w, 130, 240, mean_s=30) <= 0.03
    at.run(END_S)
    assert at.left_behind() == []


@pytest.mark.parametrize("mode", [DispatchMode.GROSS_EXPORT, DispatchMode.RELATIVE])
def test_what_counts_as_delivery_is_what_the_mode_says(town: Any, ideal: dict[str, Any], mode: DispatchMode) -> None:
    at = town(60, 4, plant=ideal)
    before_w = at.world.power_w.copy()
    order = at.order(150.0, 0.6, mode=mode)
    at.run(140)
    now_w = at.world.power_w
    counted_w = np.maximum(-now_w, 0.0) if mode is DispatchMode.GROSS_EXPORT else before_w - now_w
    assert counted_w.sum() == pytest.approx(order.steps[0].discharge_power_w, rel=0.03)
    at.run(END_S)
    assert at.left_behind() == []


def test_more_than_is_feasible_is_accepted_told_at_once_and_does_not_oscillate(town: Any) -> None:
    at = town(60, 5)
    offer_w = at.offer_w(240.0)
    order = at.order(240.0, power_w=1.5 * offer_w)
    assert order.feasibility is not None
    assert order.feasibility.shortfall_power_w == pytest.approx(0.6 * offer_w, rel=0.01)
    [told] = [notice for notice in at.notices if notice.kind == "dispatch.shortfall"]
    assert told.at_s == order.accepted_at_s
    at.run(60)
    settled_s = at.now_s
    at.run(170)
    orders = Counter(one.station_id for one in at.sent if one.at_s > settled_s and one.action == "SetChargingProfile")
    assert orders.total() / 60 / (170 / 60) < 0.5
    assert at.delivered_w(60) == pytest.approx(0.9 * offer_w, rel=0.04)
    assert len([notice for notice in at.notices if notice.kind == "dispatch.shortfall"]) <= 3
    at.run(END_S)
    assert at.left_behind() == []


def test_power_and_end_can_be_amended_up_and_down(town: Any, ideal: dict[str, Any]) -> None:
    at = town(60, 6, plant=ideal)
    order = at.order(300.0, 0.4)
    target_w = order.steps[0].discharge_power_w
    at.run(60)
    at.do(at.operations.amend(order.dispatch_id, Amendment(discharge_power_w=1.8 * target_w), "me"))
    at.run(60)
    assert at.delivered_w() == pytest.approx(1.8 * target_w, rel=0.03)
    at.do(at.operations.amend(order.dispatch_id, Amendment(discharge_power_w=0.5 * target_w), "me"))
    at.run(60)
    assert at.delivered_w() == pytest.approx(0.5 * target_w, rel=0.06)
    at.do(at.operations.amend(order.dispatch_id, Amendment(end_s=at.now_s + 20.0), "me"))
    at.run(40)
    assert at.delivered_w(5) < 0.1 * target_w
    at.run(END_S)
    assert at.view(order).instruction.state is DispatchState.COMPLETED
    assert at.left_behind() == []


def test_an_end_moved_back_is_served_to_the_new_end(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 7, plant=ideal)
    order = at.order(60.0, 0.5)
    at.run(40)
    at.do(at.operations.amend(order.dispatch_id, Amendment(end_s=order.start_s + 160.0), "me"))
    at.run(110)
    assert at.worst_error(order.steps[0].discharge_power_w, 110, 210) <= 0.05
    at.run(END_S)
    assert at.left_behind() == []


def test_cancel_stops_at_once_and_resumes_paced(town: Any, ideal: dict[str, Any]) -> None:
    at = town(60, 8, plant=ideal)
    order = at.order(600.0)
    at.run(60)
    at.do(at.operations.cancel(order.dispatch_id, "me"))
    cancelled_s = len(at.power_w)
    at.run(100)
    power_w = np.array(at.power_w[cancelled_s:])
    full_w = float(power_w.max())
    assert power_w[8:12].mean() == pytest.approx(0.0, abs=0.25 * full_w)  # 0 W, and the cars that had to charge all along
    paced_w = power_w[8] + (full_w - power_w[8]) * np.clip((np.arange(100) + 6.0) / 60.0, 0.0, 1.0)
    assert (power_w[8:] <= paced_w[8:] + 0.06 * full_w).all()
    at.run(END_S)
    assert at.view(order).instruction.state is DispatchState.CANCELLED
    assert at.left_behind() == []
    again = at.do(at.operations.cancel(order.dispatch_id, "me"))
    assert isinstance(again, DispatchView)
    assert again.instruction.state is DispatchState.CANCELLED


@pytest.mark.parametrize("seed", [1, 2])
def test_charging_comes_back_no_faster_than_the_paced_plan(town: Any, ideal: dict[str, Any], seed: int) -> None:
    at = town(80, seed, plant=ideal)
    at.order(120.0)
    at.run(118)
    end_s = len(at.power_w) + 2
    at.run(120)
    power_w = np.array(at.power_w[end_s:])
    full_w = float(power_w[-10:].mean())
    least_w = float(power_w[3:10].min())
    paced_w = least_w + (full_w - least_w) * np.clip((np.arange(len(power_w)) + 5.0) / 60.0, 0.0, 1.0)
    assert (power_w <= paced_w + 0.05 * full_w).all()
    at.run(END_S)
    assert at.left_behind() == []


SITES = {"sites": [{"site_id": "north", "pools": ["n"]}, {"site_id": "south", "pools": ["s"]}]}


def divided(at: Any) -> None:
    """Odd stations in the north, even ones in the south."""
    for station in at.world.stations:
        at.room.registry.add(
            at.room.registry.ensure(station.station_id, at.now_s).__class__(
                station_id=station.station_id, site_id="north" if int(station.station_id[-1]) % 2 else "south", accepted_unregistered=True
            )
        )


def of_site_w(at: Any, north: bool) -> float:
    rows = [row for row, one in enumerate(at.world.stations) if int(one.station_id[-1]) % 2 == north]
    return -float(at.world.power_w[rows].sum())


def test_two_pools_are_dispatched_at_once(town: Any, ideal: dict[str, Any]) -> None:
    at = town(80, 9, plant=ideal, settings=SITES, ready=divided)
    north = at.order(150.0, 0.7, pool="n")
    south = at.order(150.0, 0.3, pool="s")
    at.run(100)
    assert of_site_w(at, north=True) == pytest.approx(north.steps[0].discharge_power_w, rel=0.04)
    assert of_site_w(at, north=False) == pytest.approx(south.steps[0].discharge_power_w, rel=0.06)
    at.run(50 + END_S)
    assert at.left_behind() == []


def test_a_later_order_is_refused_with_the_conflict_named(town: Any) -> None:
    at = town(20, 10)
    first = at.order(120.0, 0.5)
    refused = at.try_order(120.0, 10_000.0)
    assert isinstance(refused, Refusal)
    assert (refused.kind, refused.conflicting) == (RefusalKind.CONFLICT, first.dispatch_id)
    assert first.dispatch_id in refused.sentence


def test_a_higher_priority_takes_over_without_a_stop(town: Any, ideal: dict[str, Any]) -> None:
    at = town(60, 11, plant=ideal)
    loser = at.order(400.0, 0.7)
    at.run(70)
    winner = at.order(200.0, 0.7, priority=1)
    assert winner.feasibility is not None
    assert winner.feasibility.shortfall_power_w == 0.0
    at.run(70)
    assert at.worst_error(winner.steps[0].discharge_power_w, 132, 200, mean_s=4) <= 0.05
    assert at.view(loser).instruction.state_reason == f"gives way to {winner.dispatch_id}"
    at.run(130 + END_S)
    assert at.view(loser).instruction.state is DispatchState.COMPLETED
    assert at.view(winner).instruction.state is DispatchState.COMPLETED
    assert at.left_behind() == []


def test_cars_outside_the_winners_pool_stop_at_once_and_are_given_back(town: Any, ideal: dict[str, Any]) -> None:
    at = town(60, 12, plant=ideal, settings=SITES, ready=divided)
    at.order(400.0, 0.8)
    at.run(70)
    assert of_site_w(at, north=False) > 20_000.0
    winner = at.order(200.0, 0.7, pool="n", priority=1)
    at.run(15)
    assert of_site_w(at, north=False) <= 0.0
    at.run(60)
    assert of_site_w(at, north=True) == pytest.approx(winner.steps[0].discharge_power_w, rel=0.05)
    assert of_site_w(at, north=False) < -50_000.0
    at.run(130 + END_S)
    assert at.left_behind() == []


def test_emergency_stop_latches_until_a_person_resets_it(town: Any, ideal: dict[str, Any]) -> None:
    at = town(60, 13, plant=ideal)
    order = at.order(600.0)
    at.run(60)
    later = at.try_order(60.0, 50_000.0, start_s=at.now_s + 900.0)
    assert not isinstance(later, Refusal)
    at.do(at.operations.emergency_stop(True, "me"))
    at.run(1)
    zeroed = {one.station_id for one in at.sent if one.at_s >= at.now_s - 1.0 and one.action == "SetChargingProfile"}
    assert zeroed >= {one.station_id for row, one in enumerate(at.world.stations) if at.world.power_w[row] < -1_000.0}
    at.run(29)
    assert at.world.power_w.min() >= -1.0
    refused = at.try_order(60.0, 1_000.0)
    assert isinstance(refused, Refusal)
    assert refused.kind is RefusalKind.STOPPED
    at.restart()
    at.run(10)
    assert at.operations.fleet().emergency_stop
    assert isinstance(at.try_order(60.0, 1_000.0), Refusal)
    at.run(END_S)
    assert at.world.power_w.min() >= -1.0
    assert at.view(order).instruction.state is DispatchState.ABORTED
    assert at.view(later.dispatch.instruction).instruction.state is DispatchState.ABORTED
    assert at.left_behind() == []
    at.do(at.operations.emergency_stop(False, "me"))
    at.order(60.0, 0.3)


LIMITED = {
    "sites": [
        {"site_id": "north", "max_export_power_w": 60_000.0, "max_import_power_w": 110_000.0, "uncontrolled_load_w": 10_000.0},
        {"site_id": "south"},
    ]
}


def test_i3_site_limits_hold_every_second_also_when_charging_resumes(town: Any, ideal: dict[str, Any]) -> None:
    at = town(60, 14, plant=ideal, settings=LIMITED, ready=divided, warm_up_s=60.0)
    at.order(150.0, 0.8)
    worst: list[float] = []
    at.each_second.append(lambda: worst.append(of_site_w(at, north=True)))
    at.run(60)
    begun = len(worst)
    at.run(90 + END_S + 300)
    assert max(worst) <= 60_000.0 + 10_000.0 + 1.0
    assert max(worst) > 55_000.0, "the limit was never near"
    assert min(worst[begun:]) >= -(110_000.0 - 10_000.0) - 1.0
    assert min(worst[begun:]) < -80_000.0, "the limit was never near"
    assert at.world.fleet.violations() == []


BINDING: dict[str, Any] = {"sites": [{"site_id": "default", "max_export_power_w": 60_000.0}]}


def test_at_a_site_limit_what_is_said_to_be_feasible_is_delivered(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 19, plant=ideal, settings=BINDING | {"feasibility": {"headroom_factor": 1.0}})
    order = at.order(200.0, 1.0, mode=DispatchMode.GROSS_EXPORT)
    assert order.feasibility is not None
    assert 50_000.0 < order.feasibility.committed_power_w < 59_000.0
    at.run(190)
    gross_w = -float(np.minimum(at.world.power_w, 0.0).sum())
    assert gross_w == pytest.approx(order.feasibility.committed_power_w, rel=0.02)
    assert gross_w <= 60_000.0
    shortfalls = [notice for notice in at.notices if notice.kind == "dispatch.shortfall"]
    assert all(notice.at_s < at.now_s - 100.0 for notice in shortfalls)


def test_at_a_site_limit_others_make_good_for_a_car_that_falls_to_half(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 19, plant=ideal, settings=BINDING)
    order = at.order(400.0, 1.0, mode=DispatchMode.GROSS_EXPORT)
    assert order.feasibility is not None
    at.run(100)
    plant = at.world.fleet.plant
    largest = int(np.argmin(plant.power_w))
    plant.discharge_cap_w[largest] = -0.5 * plant.power_w[largest]
    at.run(150)
    gross_w = -float(np.minimum(plant.power_w, 0.0).sum())
    assert gross_w == pytest.approx(order.feasibility.committed_power_w, rel=0.03)
    assert gross_w <= 60_000.0


def test_an_order_that_is_displaced_before_it_begins_is_cancelled_at_once(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 21, plant=ideal)
    later_s = at.now_s + 600.0
    loser = at.order(900.0, 0.5, start_s=later_s)
    winner = at.try_order(300.0, 20_000.0, start_s=later_s, priority=1)
    assert [(one.dispatch_id, one.runs_until_s, one.left_over_s) for one in winner.displaced] == [(loser.dispatch_id, None, 600.0)]
    shown = at.view(loser).instruction
    assert (shown.state, shown.state_reason) == (DispatchState.CANCELLED, f"displaced by {winner.dispatch.instruction.dispatch_id}")
    assert [notice.kind for notice in at.notices if notice.subject == loser.dispatch_id][-2:] == ["dispatch.displaced", "dispatch.state"]
    kept = [(entry.kind, entry.text) for entry in at.journal.dispatch_log(loser.dispatch_id)][-2:]
    assert kept == [("displaced", shown.state_reason), ("state", "cancelled")], "and its log says so for good"


def test_all_or_nothing_and_a_dry_run_beside_a_running_dispatch(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 22, plant=ideal)
    refused = at.try_order(300.0, 5e6, require_full=True)
    assert (refused.kind, at.operations.dispatches()) == (RefusalKind.TOO_LITTLE, [])
    wanted = DispatchOrder(discharge_power_w=5e6, duration_s=300.0)
    free_w = at.do(at.operations.order(wanted, None, True)).dispatch.feasibility.expected_power_w
    running = at.order(600.0, 0.5)
    at.run(20)
    dry = at.do(at.operations.order(wanted, None, True))
    assert dry.dispatch.feasibility.expected_power_w == pytest.approx(free_w, rel=0.1), "as if nothing were in its way"
    assert (dry.obstacle.kind, dry.obstacle.conflicting) == (RefusalKind.CONFLICT, running.dispatch_id)
    assert dry.dispatch.feasibility.shortfall_power_w > 0.0
    assert len(at.operations.dispatches()) == 1
    at.do(at.operations.emergency_stop(True, "me"))
    assert "what would be feasible is not told" in at.do(at.operations.order(wanted, None, True)).sentence


def test_every_notice_has_the_values_that_are_documented(town: Any) -> None:
    at = town(40, 23)
    order = at.order(120.0, 0.6)
    at.run(40)
    at.world.drop_out(0.2, 0.5)
    at.do(at.operations.amend(order.dispatch_id, Amendment(discharge_power_w=1e6), "me"))
    at.run(50)
    at.do(at.operations.emergency_stop(True, "me"))
    at.run(30)
    seen = {notice.kind for notice in at.notices}
    assert {"dispatch.accepted", "dispatch.amended", "dispatch.second", "dispatch.tick", "session.dropped_out", "emergency_stop"} <= seen
    for notice in at.notices:
        assert set(notice.values) == set(NOTICES[notice.kind].values), notice


def test_clear_all_cancels_and_clears_everywhere(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 15, plant=ideal)
    order = at.order(600.0)
    at.run(60)
    there = len(at.world.fleet.remaining_profiles())
    told = at.do(at.operations.clear_all("me"))
    assert (told.profiles, told.paced, told.paced_over_s) == (there, there, 60.0), "all cars are held: each is cleared as it resumes"
    at.run(5)
    assert len(at.world.fleet.remaining_profiles()) > there / 2
    at.run(75)
    assert at.world.fleet.remaining_profiles() == []
    at.run(END_S)
    assert at.view(order).instruction.state is DispatchState.CANCELLED
    assert at.left_behind() == []


def test_a_station_that_is_away_at_the_end_is_cleared_on_its_return(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 16, plant=ideal)
    at.order(120.0, 0.9)
    at.run(60)
    away = [one.station_id for row, one in enumerate(at.world.stations) if at.world.power_w[row] < -1_000.0][:3]
    for station_id in away:
        at.world.cut(station_id)
    at.run(60 + END_S)
    assert {record.station_id for record in at.room.ledger} == set(away)
    assert {station_id for station_id, _ in at.world.fleet.remaining_profiles()} == set(away)
    assert at.calls(since_s=at.now_s - 100.0) == Counter()
    at.world.stations[int(away[0][-5:]) - 1].state.profiles.forget_tx_profiles()  # what is not there any more answers Unknown
    for station_id in away:
        at.world.at(at.now_s + 1.0, lambda station_id=station_id: at.world._connect(at.world._seats[station_id]))
    at.run(10)
    assert at.left_behind() == []


def test_a_start_to_come_is_committed_by_what_is_there_then(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 17, plant=ideal)
    now_w = at.offer_w(120.0)
    dry = at.do(at.operations.order(DispatchOrder(discharge_power_w=0.6 * now_w, duration_s=120.0, start_s=at.now_s + 300.0), None, True))
    assert dry.dispatch.feasibility.expected_power_w == pytest.approx(now_w, rel=0.15)
    order = at.order(120.0, power_w=0.6 * now_w, start_s=at.now_s + 300.0)
    assert order.state is DispatchState.SCHEDULED
    at.run(239)
    assert at.calls()["SetChargingProfile"] == 0
    at.run(150)
    assert at.delivered_w() == pytest.approx(0.6 * now_w, rel=0.05)
    at.run(40 + END_S)
    assert at.left_behind() == []


def test_an_order_with_an_end_of_its_own_is_the_same_when_it_is_repeated(town: Any) -> None:
    at = town(10, 18)
    order = DispatchOrder(discharge_power_w=5_000.0, duration_s=600.0, start_s=at.now_s - 5.0, end_s=at.now_s + 300.0)
    first = at.do(at.operations.order(order, "key", False))
    at.run(20)
    again = at.do(at.operations.order(order, "key", False))
    assert isinstance(again, DispatchAnswer), again
    assert again.repeated
    assert again.dispatch.instruction.dispatch_id == first.dispatch.instruction.dispatch_id
    at.restart()
    assert at.do(at.operations.order(order, "key", False)).repeated


def test_the_same_idempotency_key_is_the_same_dispatch(town: Any) -> None:
    at = town(10, 18)
    order = DispatchOrder(discharge_power_w=5_000.0, duration_s=60.0)
    first = at.do(at.operations.order(order, "key", False))
    again = at.do(at.operations.order(order, "key", False))
    assert again.repeated
    assert again.dispatch.instruction.dispatch_id == first.dispatch.instruction.dispatch_id
    at.restart()
    at.do(at.operations.amend(first.dispatch.instruction.dispatch_id, Amendment(discharge_power_w=4_000.0), "me"))
    known = at.do(at.operations.order(msgspec.structs.replace(order, ordered_by="another console"), "key", False))
    assert known.repeated
    other = at.do(at.operations.order(msgspec.structs.replace(order, discharge_power_w=6_000.0), "key", False))
    assert isinstance(other, Refusal)
    assert other.kind is RefusalKind.INVALID
    assert first.dispatch.instruction.dispatch_id in other.sentence
    assert len(at.operations.dispatches()) == 1
