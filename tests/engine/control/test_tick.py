"""One tick, and the closed loop on the stand-in plant (control reference 9)."""

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest

from counterflow.domain.instructions import AllocationPolicy, DispatchMode
from counterflow.domain.reasons import ChangeReason, DropOutKind
from counterflow.domain.resources import Site
from counterflow.domain.setpoints import SetpointState
from counterflow.domain.settlement import BaselineMethod, CarState
from counterflow.engine.control.decision import TaskMemory
from counterflow.engine.control.settings import ControlSettings
from counterflow.engine.fleet.capability import Capability, capability
from counterflow.engine.fleet.undisturbed import ChargingTerms, Undisturbed

NOW_S = 1_800_000_000.0


def running(levels_w: Any, **columns: Any) -> dict[str, Any]:
    """Columns of cars that follow `levels_w`, ordered at NOW_S for the whole window."""
    levels = np.asarray(levels_w, dtype=np.float64)
    return {
        "setpoint_w": -levels,
        "setpoint_at_s": NOW_S,
        "previous_setpoint_w": -levels,
        "discharge_until_s": NOW_S + 900.0,
        "hold_until_s": NOW_S + 950.0,
        "setpoint_state": SetpointState.ACCEPTED,
        "power_w": -0.95 * np.nan_to_num(levels),
    } | columns


def levels(decision: Any) -> dict[int, float]:
    return {change.row: -change.power_w for change in decision.changes}


def test_the_first_tick_commits_whole_cars_until_the_settled_output_reaches_the_target(desk: Any, image: Any) -> None:
    decision = desk(target_w=14_000.0).look(image(5, power_w=0.0))
    assert sorted(levels(decision).values()) == [0.0, 0.0, pytest.approx(14_000.0 / 0.95 - 14_000.0), 7_000.0, 7_000.0]
    assert {change.reason for change in decision.changes} == {ChangeReason.START}
    assert decision.figures.expected_w == pytest.approx(14_000.0)
    assert (decision.figures.discharging, decision.figures.reserve) == (3, 2)
    assert decision.alarms == ()


def test_an_order_in_gross_export_leaves_the_others_charging(desk: Any, image: Any) -> None:
    decision = desk(target_w=14_000.0, mode=DispatchMode.GROSS_EXPORT).look(image(5, power_w=7_000.0))
    assert len(decision.changes) == 3


def test_relative_counts_charging_that_is_given_up(desk: Any, image: Any) -> None:
    decision = desk(target_w=20_000.0, mode=DispatchMode.RELATIVE).look(image(5, power_w=7_000.0))
    assert decision.figures.expected_w == pytest.approx(20_000.0, abs=500.0)
    assert len(decision.changes) == 2
    assert decision.figures.measured_w == 0.0


def test_a_tick_that_only_holds_what_was_decided_searches_for_no_promise(desk: Any, image: Any) -> None:
    """What a car can hold takes a search, which only who ranks or allots needs: the ticks between are the many."""
    at, able, asked = desk(target_w=13_300.0), list[Capability](), []

    def looked(*of: Any, **more: Any) -> Capability:
        able.append(capability(*of, **more))
        return able[-1]

    with patch("counterflow.engine.control.tick.capability", looked):
        for age_s, columns in ((0.0, {"power_w": 0.0}), (60.0, running([7_000.0, 7_000.0, 0.0], power_at_s=NOW_S + 55.0))):
            decision = at.look(image(3, now_s=NOW_S + age_s, **columns))
            asked.append((len(decision.changes), len(vars(able[-1].promise))))
    assert asked == [(3, 2), (0, 0)]


FILLING: dict[str, Any] = {"soc_frac": 0.9, "soc_target_frac": 1.0, "capacity_wh": 50_000.0}


@pytest.mark.parametrize(("charging", "gives_w"), [(ChargingTerms(), 0.0), (None, 15_600.0)])
def test_a_car_that_fills_gives_nothing_by_it_unless_its_power_was_declared(desk: Any, image: Any, charging: Any, gives_w: float) -> None:
    """Five cars draw less and less by themselves: against the plan that foresees it nothing is delivered, against a constant 3 kW each."""
    at_work = desk(target_w=1.0, mode=DispatchMode.RELATIVE, charging=charging, duration_s=3_600.0)
    at_work.look(image(5, power_w=7_000.0, **FILLING))
    plan = at_work.memory.plans.power_at(NOW_S + 900.0, ChargingTerms())
    assert plan.tolist() == [pytest.approx(3_880.0, abs=10.0)] * 5
    figures = at_work.look(image(5, now_s=NOW_S + 900.0, power_w=plan, **FILLING)).figures
    assert figures.measured_w == pytest.approx(gives_w, abs=50.0)


def test_a_paused_car_gives_what_it_would_have_drawn_by_now(desk: Any, image: Any) -> None:
    at_work = desk(target_w=20_000.0, mode=DispatchMode.RELATIVE, charging=ChargingTerms(), duration_s=3_600.0)
    first = levels(at_work.look(image(5, power_w=7_000.0, **FILLING)))
    level_w = [first.get(row, np.nan) for row in range(5)]
    power_w = np.where(np.isnan(level_w), 7_000.0, -np.nan_to_num(level_w))
    now_s = NOW_S + 900.0
    figures = at_work.look(image(5, now_s=now_s, **running(level_w, power_w=power_w), **FILLING)).figures
    planned_w = float(at_work.memory.plans.power_at(now_s, ChargingTerms()).sum())
    assert figures.measured_w == pytest.approx(planned_w - float(power_w.sum()))
    assert at_work.memory.baseline_w.sum() == pytest.approx(planned_w)


def test_a_plan_is_frozen_once_even_for_a_car_that_was_left_to_itself_meanwhile(desk: Any, image: Any) -> None:
    at_work = desk(target_w=1.0, mode=DispatchMode.RELATIVE)
    assert at_work.look(image(2, power_w=[7_000.0, 3_000.0])).planned.tolist() == [True, True]
    at_work.memory = TaskMemory.fresh(at_work.memory.plans)
    again = at_work.look(image(3, now_s=NOW_S + 100.0, power_w=11_000.0, uid=[1, 9, 3]))
    assert again.planned.tolist() == [False, True, True], "another car has taken the second row"
    assert at_work.memory.baseline_w.tolist() == [7_000.0, 11_000.0, 11_000.0]


def test_a_relative_order_that_is_settled_against_zero_is_steered_by_that(desk: Any, image: Any) -> None:
    at_work = desk(target_w=7_000.0, mode=DispatchMode.RELATIVE, charging=ChargingTerms(), baseline=BaselineMethod.ZERO)
    decision = at_work.look(image(4, power_w=7_000.0))
    assert at_work.memory.plans is None
    assert decision.figures.measured_w == -28_000.0, "what cars draw counts against it"
    assert decision.figures.expected_w == pytest.approx(7_000.0, abs=500.0)
    held = levels(decision)
    assert sum(0.95 * power_w for power_w in held.values()) - 7_000.0 * (4 - len(held)) == pytest.approx(7_000.0, abs=500.0)


def test_relative_hands_cars_back_when_the_target_falls(desk: Any, image: Any) -> None:
    at_work = desk(target_w=20_000.0, mode=DispatchMode.RELATIVE)
    first = levels(at_work.look(image(5, power_w=7_000.0)))
    level_w = [first.get(row, np.nan) for row in range(5)]
    power_w = np.where(np.isnan(level_w), 7_000.0, -0.95 * np.nan_to_num(level_w))
    at_work.target_w = 7_000.0
    decision = at_work.look(image(5, now_s=NOW_S + 40.0, **running(level_w, power_w=power_w)))
    assert len(decision.releases) == 1
    assert decision.figures.expected_w == pytest.approx(7_000.0, abs=500.0)


def test_no_gap_no_message(desk: Any, image: Any) -> None:
    at_work = desk(target_w=13_300.0)
    at_work.look(image(4, power_w=0.0))
    for age_s in (4.0, 8.0, 30.0, 600.0):
        assert at_work.look(image(4, now_s=NOW_S + age_s, **running([7_000.0, 7_000.0, 0.0, 0.0]))).changes == ()


def test_a_lost_car_is_replaced_in_one_tick_by_one_message(desk: Any, image: Any) -> None:
    at_work = desk(target_w=13_300.0)
    at_work.look(image(4, power_w=0.0))
    decision = at_work.look(image(4, now_s=NOW_S + 8.0, uid=[0, 2, 3, 4], **running([7_000.0, 7_000.0, 0.0, 0.0])))
    assert [departure.kind for departure in decision.left] == [DropOutKind.ENDED]
    assert levels(decision) == {2: 7_000.0}
    assert decision.changes[0].reason is ChangeReason.DROP_OUT


def test_what_was_decided_but_is_not_in_the_image_yet_is_not_decided_twice(desk: Any, image: Any) -> None:
    at_work = desk(target_w=13_300.0)
    at_work.look(image(4, power_w=0.0))
    decision = at_work.look(image(4, now_s=NOW_S + 4.0, power_w=0.0))
    assert decision.changes == ()
    assert decision.figures.expected_w == pytest.approx(13_300.0)


def test_orders_end_with_the_window_and_holds_end_staggered(desk: Any, image: Any) -> None:
    decision = desk(target_w=300_000.0).look(image(60, power_w=0.0))
    assert {change.discharge_until_s for change in decision.changes} == {NOW_S + 900.0}
    holds_s = np.array([change.hold_until_s - change.discharge_until_s for change in decision.changes])
    assert holds_s.min() >= 20.0
    assert holds_s.max() <= 80.0
    assert holds_s.std() > 10.0
    assert len(np.unique(holds_s.round(1))) > 50


def test_decision_3_an_order_never_outlasts_energy_or_departure(desk: Any, image: Any) -> None:
    columns = {"soc_frac": [0.5, 0.85], "departure_s": [NOW_S + 36_000.0, NOW_S + 4_000.0], "soc_target_frac": [0.3, 0.85]}
    decision = desk(target_w=20_000.0, duration_s=7_200.0).look(image(2, power_w=0.0, capacity_wh=20_000.0, **columns))
    by_row = {change.row: change for change in decision.changes}
    low, leaving = by_row[0], by_row[1]
    energy_above_floor_wh = 0.2 * 20_000.0
    assert (low.discharge_until_s - NOW_S) * 7_000.0 / 3600.0 < energy_above_floor_wh
    recharge_s = (leaving.discharge_until_s - NOW_S) * 1.0
    assert leaving.discharge_until_s + recharge_s < NOW_S + 4_000.0
    assert leaving.hold_until_s + recharge_s < NOW_S + 4_000.0


def test_an_order_that_ends_before_the_window_is_renewed_in_time(desk: Any, image: Any) -> None:
    at_work = desk(target_w=13_300.0)
    at_work.look(image(2, power_w=0.0))
    columns = running([7_000.0, 7_000.0], discharge_until_s=[NOW_S + 300.0, NOW_S + 900.0])
    assert at_work.look(image(2, now_s=NOW_S + 200.0, **columns)).changes == ()
    decision = at_work.look(image(2, now_s=NOW_S + 272.0, **columns))
    change = decision.changes[0]
    assert (change.row, change.power_w, change.reason) == (0, -7_000.0, ChangeReason.RE_ARM)
    assert change.discharge_until_s == NOW_S + 900.0


def test_renewals_do_not_bunch(desk: Any, image: Any) -> None:
    n = 400
    at_work = desk(target_w=0.95 * 7_000.0 * n)
    at_work.look(image(n, power_w=0.0))
    ends_s = np.full(n, NOW_S + 300.0)
    counts = []
    for age_s in range(200, 300, 4):
        decision = at_work.look(image(n, now_s=NOW_S + age_s, **running(np.full(n, 7_000.0), discharge_until_s=ends_s)))
        for change in decision.changes:
            ends_s[change.row] = change.discharge_until_s
        counts.append(len(decision.changes))
    assert sum(counts) == n
    assert max(counts) <= 0.2 * n


def test_a_car_without_energy_to_go_on_is_not_renewed(desk: Any, image: Any) -> None:
    at_work = desk(target_w=13_300.0)
    at_work.look(image(2, power_w=0.0))
    columns = running([7_000.0, 7_000.0], discharge_until_s=[NOW_S + 300.0, NOW_S + 900.0])
    columns |= {"capacity_wh": 20_000.0, "soc_frac": [0.357, 0.85]}
    decision = at_work.look(image(2, now_s=NOW_S + 285.0, **columns))
    assert all(change.row != 0 or change.reason is not ChangeReason.RE_ARM for change in decision.changes)


def test_a_shorter_window_cuts_the_orders_that_reach_beyond_it(desk: Any, image: Any) -> None:
    at_work = desk(target_w=13_300.0)
    at_work.look(image(2, power_w=0.0))
    at_work.duration_s = 300.0
    decision = at_work.look(image(2, now_s=NOW_S + 100.0, **running([7_000.0, 7_000.0])))
    assert [change.discharge_until_s for change in decision.changes] == [NOW_S + 300.0] * 2


def test_an_order_lost_on_the_way_is_told_again(desk: Any, image: Any) -> None:
    at_work = desk(target_w=13_300.0)
    at_work.look(image(2, power_w=0.0))
    columns = running([7_000.0, 7_000.0], setpoint_state=[SetpointState.UNKNOWN, SetpointState.ACCEPTED])
    assert at_work.look(image(2, now_s=NOW_S + 4.0, **columns)).changes == ()
    decision = at_work.look(image(2, now_s=NOW_S + 12.0, **columns))
    assert [(change.row, change.power_w, change.reason) for change in decision.changes] == [(0, -7_000.0, ChangeReason.REFUSED_RETRY)]


def test_an_order_that_surely_got_lost_is_written_off_once_others_have_taken_over(desk: Any, image: Any) -> None:
    at_work = desk(target_w=6_650.0)
    at_work.look(image(2, power_w=0.0))
    lost = {"setpoint_state": [SetpointState.PENDING, SetpointState.ACCEPTED], "power_w": 0.0}
    replaced = at_work.look(image(2, now_s=NOW_S + 30.0, **running([7_000.0, 0.0], **lost)))
    assert levels(replaced) == {1: 7_000.0}
    unknown = {
        "setpoint_state": [SetpointState.UNKNOWN, SetpointState.ACCEPTED],
        "setpoint_at_s": [NOW_S, NOW_S + 30.0],
        "power_w": [0.0, -6_650.0],
    }
    decision = at_work.look(image(2, now_s=NOW_S + 64.0, **running([7_000.0, 7_000.0], **unknown)))
    assert levels(decision) == {0: 0.0}
    assert decision.changes[0].reason is ChangeReason.REFUSED_RETRY
    assert decision.figures.expected_w == pytest.approx(6_650.0, abs=350.0)


def test_too_large_a_target_is_told_at_once_and_sends_no_further_messages(desk: Any, image: Any) -> None:
    at_work = desk(target_w=99_000.0)
    first = at_work.look(image(3, power_w=0.0))
    assert first.figures.shortfall_w == pytest.approx(99_000.0 - 3 * 0.95 * 7_000.0)
    assert "short by" in first.alarms[0]
    assert levels(first) == {0: 7_000.0, 1: 7_000.0, 2: 7_000.0}
    for age_s in (4.0, 8.0, 60.0):
        again = at_work.look(image(3, now_s=NOW_S + age_s, **running([7_000.0] * 3)))
        assert again.changes == ()
        assert again.figures.shortfall_w > 0.0


def test_emergency_stop_orders_everything_to_zero_offline_cars_too(desk: Any, image: Any) -> None:
    at_work = desk(target_w=26_600.0)
    at_work.look(image(5, power_w=0.0))
    at_work.stop = True
    columns = running([7_000.0, 7_000.0, 7_000.0, 7_000.0, 0.0], connected=[True, False, True, True, True])
    decision = at_work.look(image(5, now_s=NOW_S + 8.0, **columns))
    assert levels(decision) == {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0}
    assert all(change.urgent and change.reason is ChangeReason.EMERGENCY_STOP for change in decision.changes)
    assert at_work.look(image(5, now_s=NOW_S + 12.0, **running([0.0] * 5, power_w=-6_650.0))).changes == ()


def test_a_target_of_zero_takes_everything_to_zero(desk: Any, image: Any) -> None:
    at_work = desk(target_w=13_300.0)
    at_work.look(image(3, power_w=0.0))
    at_work.target_w = 0.0
    decision = at_work.look(image(3, now_s=NOW_S + 8.0, **running([7_000.0, 7_000.0, 0.0])))
    assert levels(decision) == {0: 0.0, 1: 0.0}


def test_i3_an_increase_waits_for_the_room_that_a_decrease_makes(desk: Any, image: Any) -> None:
    site = (Site(site_id="s", max_export_power_w=7_000.0),)
    at_work = desk(target_w=6_650.0, sites=site)
    at_work.look(image(2, site=1, power_w=0.0))
    # Car 0 must stop (its floor); car 1 may take over only when the meter has seen car 0 come down.
    columns = running([7_000.0, 0.0], soc_frac=[0.31, 0.85], site=1, power_w=[-7_000.0, 0.0])
    decision = at_work.look(image(2, now_s=NOW_S + 4.0, **columns))
    assert levels(decision) == {0: 0.0}
    ordered = columns | {"setpoint_w": 0.0, "setpoint_at_s": [NOW_S + 4.0, NOW_S], "previous_setpoint_w": [-7_000.0, 0.0]}
    pending = ordered | {"setpoint_state": [SetpointState.PENDING, SetpointState.ACCEPTED]}
    assert at_work.look(image(2, now_s=NOW_S + 8.0, **pending)).changes == ()
    assert at_work.look(image(2, now_s=NOW_S + 12.0, **ordered)).changes == ()
    seen = ordered | {"power_w": [-1_000.0, 0.0]}
    assert levels(at_work.look(image(2, now_s=NOW_S + 16.0, **seen))) == {1: pytest.approx(6_000.0)}


def test_i3_a_new_spread_lowers_first_and_raises_when_there_is_room(desk: Any, image: Any) -> None:
    at_work = desk(target_w=6_650.0, policy=AllocationPolicy.PROPORTIONAL, sites=(Site(site_id="s", max_export_power_w=7_000.0),))
    assert levels(at_work.look(image(2, site=1, power_w=0.0))) == {0: pytest.approx(3_500.0), 1: pytest.approx(3_500.0)}
    at_work.target_w = 6_600.0
    columns = running([3_500.0, 3_500.0], site=1, capacity_wh=20_000.0, soc_frac=[0.40, 0.85], power_w=-3_500.0)
    decision = at_work.look(image(2, now_s=NOW_S + 4.0, **columns))
    assert [change.row for change in decision.changes] == [0]
    assert -decision.changes[0].power_w < 2_500.0


def test_decreases_leave_before_increases(desk: Any, image: Any) -> None:
    at_work = desk(target_w=8_550.0)
    at_work.look(image(4, power_w=0.0))
    columns = running([2_000.0, 7_000.0, 0.0, 0.0], soc_frac=[0.31, 0.85, 0.85, 0.85], uid=[1, 0, 3, 4])
    decision = at_work.look(image(4, now_s=NOW_S + 40.0, **columns))
    assert [round(-change.power_w) for change in decision.changes] == [0, 7_000, 2_000]


def test_a_site_limit_that_shrinks_lowers_its_cars(desk: Any, image: Any) -> None:
    at_work = desk(target_w=13_300.0)
    at_work.look(image(2, site=0, power_w=0.0))
    at_work.sites = (Site(site_id="default", max_export_power_w=9_000.0),)
    decision = at_work.look(image(2, now_s=NOW_S + 8.0, **running([7_000.0, 7_000.0])))
    assert [(round(-change.power_w), change.reason, change.urgent) for change in decision.changes] == [
        (2_000, ChangeReason.SITE_LIMIT, True)
    ]
    assert decision.figures.shortfall_w > 0.0


def derated(at_work: Any, image: Any, gives_w: float, readings: int, first_s: float = 30.0) -> Any:
    """Two cars at 7 kW and an idle one at a site of 14 kW; the first has given no more than `gives_w` for some readings."""
    for number in range(readings):
        now_s = NOW_S + first_s + 10.0 * number
        decision = at_work.look(image(3, now_s=now_s, site=1, **running([7_000.0, 7_000.0, 0.0], power_w=[-gives_w, -6_650.0, 0.0])))
    return decision


def test_what_a_settled_car_does_not_use_of_its_site_others_may(desk: Any, image: Any) -> None:
    at_work = desk(target_w=12_000.0, sites=(Site(site_id="s", max_export_power_w=14_000.0),))
    at_work.look(image(3, site=1, power_w=0.0))
    assert 2 not in levels(derated(at_work, image, 3_500.0, 1)), "once may be chance"
    raised = levels(derated(at_work, image, 3_500.0, 1, first_s=40.0))
    room_w = 14_000.0 - 7_000.0 - (3_500.0 + 0.05 * 7_000.0)
    assert raised[2] == pytest.approx(min(room_w, (12_000.0 - 3_500.0 - 6_650.0) / 0.95), abs=100.0)
    level_w = [7_000.0, 7_000.0, raised[2]]
    steady = running(level_w, power_w=[-3_560.0, -6_650.0, -0.95 * raised[2]], site=1)
    assert at_work.look(image(3, now_s=NOW_S + 60.0, **steady)).changes == (), "readings scatter"
    back = running(level_w, power_w=[-6_900.0, -6_650.0, -0.95 * raised[2]], site=1)
    decision = at_work.look(image(3, now_s=NOW_S + 64.0, **back))
    lowered = {**dict(enumerate(level_w)), **levels(decision)}
    assert 7_000.0 + 6_650.0 + 0.95 * lowered[2] <= 14_000.0, "when it comes back, the site's limit holds again with the next tick"
    assert lowered[2] < 0.2 * raised[2]
    assert {change.reason for change in decision.changes if change.urgent} == {ChangeReason.SITE_LIMIT}


def test_a_margin_of_one_lends_nothing(desk: Any, image: Any) -> None:
    settings = ControlSettings(lend_margin=1.0)
    at_work = desk(target_w=12_000.0, sites=(Site(site_id="s", max_export_power_w=14_000.0),), settings=settings)
    at_work.look(image(3, site=1, power_w=0.0))
    assert 2 not in levels(derated(at_work, image, 3_500.0, 4))


def test_proportional_spreads_by_what_each_can_sustain(desk: Any, image: Any) -> None:
    decision = desk(target_w=10_000.0, policy=AllocationPolicy.PROPORTIONAL).look(image(4, power_w=0.0))
    assert list(levels(decision).values()) == [pytest.approx(10_000.0 / 0.95 / 4)] * 4


def test_after_a_restart_members_are_taken_up_where_they_stand(desk: Any, image: Any) -> None:
    picture = image(4, now_s=NOW_S + 100.0, **running([7_000.0, 7_000.0, 0.0, np.nan]))
    plans = Undisturbed.of([CarState(500.0, None, None, None, None)], np.array([NOW_S]), [2])
    memory = TaskMemory.resumed(picture, [1, 2, 3, 77], plans, NOW_S + 100.0)
    assert memory.members() == (1, 2, 3)
    assert memory.baseline_w.tolist() == [0.0, 500.0, 0.0, 0.0]
    at_work = desk(target_w=13_300.0, memory=memory)
    decision = at_work.look(picture)
    assert decision.left == ()
    assert decision.joined == ((3, 4),)
    assert levels(decision) == {3: 0.0}


def test_an_image_that_shrinks_is_a_broken_rule(desk: Any, image: Any) -> None:
    at_work = desk()
    at_work.look(image(3))
    with pytest.raises(ValueError, match="shrank"):
        at_work.look(image(2))


@pytest.mark.parametrize("share", [0.2, 0.8, 1.2])
@pytest.mark.parametrize("policy", list(AllocationPolicy))
def test_i6_the_same_image_again_sends_nothing(desk: Any, image: Any, policy: AllocationPolicy, share: float) -> None:
    at_work = desk(target_w=share * 20 * 0.95 * 7_000.0, policy=policy)
    first = levels(at_work.look(image(20, power_w=0.0)))
    level_w = [first.get(row, np.nan) for row in range(20)]
    for age_s in (1.0, 1.0, 45.0):
        assert at_work.look(image(20, now_s=NOW_S + age_s, **running(level_w))).changes == ()


def test_settings_can_widen_the_band(desk: Any, image: Any) -> None:
    at_work = desk(target_w=13_300.0, settings=ControlSettings(band_w=8_000.0))
    at_work.look(image(4, power_w=0.0))
    assert at_work.look(image(4, now_s=NOW_S + 8.0, uid=[0, 2, 3, 4], **running([7_000.0, 7_000.0, 0.0, 0.0]))).changes == ()
