"""Schedules of several periods for cars in ScheduledControl: their share of the steps ahead, and what bounds it."""

from typing import Any

import numpy as np
import pytest

from counterflow.domain.instructions import AllocationPolicy
from counterflow.domain.reasons import ChangeReason
from counterflow.domain.resources import Site
from counterflow.domain.setpoints import SetpointState
from counterflow.engine.control.ahead import BASE_SHARE
from counterflow.engine.control.settings import ControlSettings

NOW_S = 1_800_000_000.0
BASE = [True, True, True, False, False, False]
GAIN = 0.95
"""Assumed before anything is learned."""


def told(decision: Any) -> dict[int, list[tuple[float, float]]]:
    """(seconds from now, discharge power) of every period, by row."""
    return {
        change.row: [(0.0, -change.power_w), *((step.from_s - NOW_S, -step.power_w) for step in change.later)]
        for change in decision.changes
    }


def running(levels_w: list[float], **columns: Any) -> dict[str, Any]:
    level = np.asarray(levels_w)
    return {
        "setpoint_w": -level, "setpoint_at_s": NOW_S, "previous_setpoint_w": -level, "discharge_until_s": NOW_S + 900.0,
        "hold_until_s": NOW_S + 950.0, "setpoint_state": SetpointState.ACCEPTED, "power_w": -GAIN * level, "scheduled_control": BASE,
    } | columns  # fmt: skip


def test_the_base_follows_the_steps_in_order_of_merit_and_the_others_are_told_nothing_ahead(desk: Any, image: Any) -> None:
    steps = ((300.0, 7_000.0 * GAIN / BASE_SHARE), (600.0, 40_000.0))
    orders = told(desk(target_w=18_000.0, later=steps).look(image(6, power_w=0.0, scheduled_control=BASE)))
    assert orders[0] == [(0.0, 7_000.0)]
    assert orders[1][1:] == [(300.0, 0.0), (600.0, 7_000.0)]
    assert orders[2][1:] == [(300.0, 0.0), (600.0, 7_000.0)]
    assert all(len(orders[row]) == 1 for row in (3, 4, 5) if row in orders)


def test_a_share_of_a_step_that_a_car_cannot_give_is_none(desk: Any, image: Any) -> None:
    orders = told(
        desk(target_w=18_000.0, later=((300.0, 8_000.0),)).look(image(6, power_w=0.0, scheduled_control=BASE, min_discharge_w=2_000.0))
    )
    assert orders[1][1:] == [(300.0, 0.0)]


def test_proportional_shares_step_with_the_target(desk: Any, image: Any) -> None:
    at_work = desk(target_w=20_000.0, later=((300.0, 10_000.0),), policy=AllocationPolicy.PROPORTIONAL)
    orders = told(at_work.look(image(6, power_w=0.0, scheduled_control=BASE)))
    for row in (0, 1, 2):
        [(_, now_w), (at_s, then_w)] = orders[row]
        assert at_s == 300.0
        assert then_w == pytest.approx(0.5 * now_w, rel=1e-3)


def test_cars_that_must_charge_are_made_up_for_by_the_base(desk: Any, image: Any) -> None:
    columns = {"power_w": [0.0] * 5 + [5_000.0], "departure_s": [NOW_S + 8 * 3600.0] * 5 + [NOW_S + 60.0]}
    orders = told(desk(target_w=18_000.0, later=((300.0, 5_000.0),)).look(image(6, scheduled_control=BASE, **columns)))
    then_w = sum(steps[-1][1] for row, steps in orders.items() if row < 3)
    assert then_w == pytest.approx(BASE_SHARE * (5_000.0 + 5_000.0) / GAIN, rel=0.01)


def test_a_car_that_cannot_go_on_ends_where_its_energy_does_whatever_steps_would_follow(desk: Any, image: Any) -> None:
    columns = {"export_limit_wh": [500.0, *[np.inf] * 5], "power_w": 0.0, "scheduled_control": BASE}
    steps = ((300.0, 3_000.0), (600.0, 40_000.0))
    decision = desk(target_w=40_000.0, later=steps).look(image(6, **columns))
    ends = {change.row: change.discharge_until_s for change in decision.changes}
    assert ends[1] == NOW_S + 900.0
    assert ends[0] < NOW_S + 600.0
    assert all(at_s < ends[0] - NOW_S for at_s, _ in told(decision)[0])


def test_a_cap_that_others_have_told_is_a_step_of_its_own(desk: Any, image: Any) -> None:
    capped = {"external_ahead_w": [2_000.0, *[np.nan] * 5], "external_ahead_s": [NOW_S + 120.0, *[np.nan] * 5]}
    orders = told(desk(target_w=30_000.0).look(image(6, power_w=0.0, scheduled_control=BASE, **capped)))
    assert orders[0] == [(0.0, 7_000.0), (120.0, 2_000.0)]
    orders = told(desk(target_w=30_000.0, later=((60.0, 50_000.0),)).look(image(6, power_w=0.0, scheduled_control=BASE, **capped)))
    assert orders[0] == [(0.0, 7_000.0), (120.0, 2_000.0)]


def test_a_schedule_that_still_suits_is_left_alone_and_one_that_does_not_is_replaced_after_its_rest(desk: Any, image: Any) -> None:
    at_work = desk(target_w=20_000.0, later=((600.0, 7_000.0),))
    first = told(at_work.look(image(6, power_w=0.0, scheduled_control=BASE)))
    now = [first.get(row, [(0.0, 0.0)])[0][1] for row in range(6)]
    ahead = {
        "next_setpoint_w": [-first[row][1][1] if len(first.get(row, ())) > 1 else np.nan for row in range(6)],
        "next_setpoint_at_s": [NOW_S + 600.0 if len(first.get(row, ())) > 1 else np.nan for row in range(6)],
    }
    later = image(6, now_s=NOW_S + 320.0, **running(now), **ahead)
    assert not [change for change in at_work.look(later).changes if change.row < 3]
    at_work.later = ((600.0, 30_000.0),)
    replaced = at_work.look(image(6, now_s=NOW_S + 324.0, **running(now), **ahead)).changes
    assert {change.row for change in replaced} == {row for row in range(3) if len(first[row]) > 1}
    assert all(change.reason is ChangeReason.TARGET_CHANGED and change.later == () for change in replaced)


def test_within_its_rest_a_wrong_schedule_is_replaced_only_when_its_step_is_close(desk: Any, image: Any) -> None:
    at_work = desk(target_w=7_000.0 * GAIN)
    at_work.look(image(6, power_w=0.0, scheduled_control=BASE))
    now = running([7_000.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    risen = {"next_setpoint_w": [np.nan, -7_000.0, *[np.nan] * 4], "strongest_ahead_w": [0.0, 7_000.0, *[0.0] * 4]}
    far = {"next_setpoint_at_s": [np.nan, NOW_S + 200.0, *[np.nan] * 4]}
    assert at_work.look(image(6, now_s=NOW_S + 60.0, **now, **risen, **far)).changes == ()
    [change] = at_work.look(image(6, now_s=NOW_S + 170.0, **now, **risen, **far)).changes
    assert (change.row, change.power_w, change.later) == (1, 0.0, ())


def test_i11_a_stop_takes_back_what_is_still_to_come(desk: Any, image: Any) -> None:
    at_work = desk(target_w=7_000.0 * GAIN)
    at_work.look(image(6, power_w=0.0, scheduled_control=BASE))
    at_work.stop = True
    ahead = {"strongest_ahead_w": [0.0, 7_000.0, *[0.0] * 4]}
    stopped = at_work.look(image(6, now_s=NOW_S + 60.0, **running([7_000.0, *[0.0] * 5]), **ahead)).changes
    assert {(change.row, change.power_w, change.urgent) for change in stopped} == {(0, 0.0, True), (1, 0.0, True)}


def test_a_period_to_come_that_is_more_than_the_car_may_give_is_taken_back_at_once(desk: Any, image: Any) -> None:
    at_work = desk(target_w=7_000.0 * GAIN)
    at_work.look(image(6, power_w=0.0, scheduled_control=BASE))
    ahead = {"strongest_ahead_w": [0.0, 7_000.0, *[0.0] * 4], "external_discharge_w": [np.nan, 3_000.0, *[np.nan] * 4]}
    [change] = at_work.look(image(6, now_s=NOW_S + 60.0, **running([7_000.0, *[0.0] * 5]), **ahead)).changes
    assert (change.row, change.power_w, change.reason) == (1, 0.0, ChangeReason.FLOOR_OR_DEPARTURE)


def at_rest_with_a_period_to_come(desk: Any, image: Any) -> tuple[Any, dict[str, Any]]:
    """Row 1 is at 0 W and will discharge from 300 s on."""
    at_work = desk(target_w=7_000.0 * GAIN, later=((300.0, 40_000.0),))
    at_work.look(image(6, power_w=0.0, scheduled_control=BASE))
    ahead = {"next_setpoint_w": [np.nan, -7_000.0, *[np.nan] * 4], "next_setpoint_at_s": [np.nan, NOW_S + 300.0, *[np.nan] * 4]}
    return at_work, running([7_000.0, *[0.0] * 5]) | ahead | {"strongest_ahead_w": [0.0, 7_000.0, *[0.0] * 4]}


def test_decision_3_a_bound_that_came_closer_ends_a_period_to_come_sooner_also_when_another_has_begun_since(desk: Any, image: Any) -> None:
    at_work, columns = at_rest_with_a_period_to_come(desk, image)
    assert not [change for change in at_work.look(image(6, now_s=NOW_S + 60.0, **columns)).changes if change.row == 1]
    begun = columns | {"setpoint_at_s": NOW_S + 61.0, "bounds_at_s": [np.nan, NOW_S + 60.5, *[np.nan] * 4]}
    limited = {"export_limit_wh": [np.inf, 300.0, *[np.inf] * 4]}
    [change] = [change for change in at_work.look(image(6, now_s=NOW_S + 64.0, **begun, **limited)).changes if change.row == 1]
    assert change.reason is ChangeReason.FLOOR_OR_DEPARTURE
    assert NOW_S + 300.0 < change.discharge_until_s < NOW_S + 500.0


def test_a_window_that_became_shorter_ends_a_period_to_come(desk: Any, image: Any) -> None:
    at_work, columns = at_rest_with_a_period_to_come(desk, image)
    at_work.duration_s = 400.0
    [change] = [change for change in at_work.look(image(6, now_s=NOW_S + 60.0, **columns)).changes if change.row == 1]
    assert change.discharge_until_s == NOW_S + 400.0


def test_i3_others_make_room_before_a_period_begins(desk: Any, image: Any) -> None:
    limit = (Site(site_id="default", max_export_power_w=10_000.0),)
    at_work = desk(target_w=6_650.0, later=((300.0, 9_500.0),), sites=limit)
    at_work.look(image(2, power_w=0.0, scheduled_control=[True, False]))
    columns = running([0.0, 7_000.0]) | {"scheduled_control": [True, False]}
    ahead = {"next_setpoint_w": [-7_000.0, np.nan], "next_setpoint_at_s": [NOW_S + 300.0, np.nan], "strongest_ahead_w": [7_000.0, 0.0]}
    assert all(
        change.row == 0 or change.power_w == -7_000.0 for change in at_work.look(image(2, now_s=NOW_S + 60.0, **columns, **ahead)).changes
    )
    lowered = {change.row: change for change in at_work.look(image(2, now_s=NOW_S + 280.0, **columns, **ahead)).changes}
    assert -lowered[1].power_w <= 3_000.0
    assert lowered[1].reason is ChangeReason.SITE_LIMIT


def test_others_are_moved_first_and_a_car_at_work_only_for_what_they_leave(desk: Any, image: Any) -> None:
    at_work = desk(target_w=GAIN * 26_000.0, settings=ControlSettings(scheduled_change_s=0.0))
    at_work.look(image(6, power_w=0.0, scheduled_control=BASE))
    now = running([7_000.0, 7_000.0, 5_000.0, 7_000.0, 0.0, 0.0])
    at_work.target_w = GAIN * 28_000.0
    more = at_work.look(image(6, now_s=NOW_S + 400.0, **now)).changes
    assert {change.row for change in more if change.power_w < 0.0} == {4}, "not the one that is partly loaded"
    at_work.target_w = GAIN * 41_800.0
    most = at_work.look(image(6, now_s=NOW_S + 500.0, **now)).changes
    assert {change.row for change in most if change.power_w < 0.0} == {2, 4, 5}
