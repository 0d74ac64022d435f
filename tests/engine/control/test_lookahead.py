"""A stream is anticipated where it has a trend, and only there; the quick cars take its quick part."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from counterflow.domain.setpoints import SetpointState
from counterflow.engine.control.lookahead import anticipated_w, by_quickness, trail_of
from counterflow.engine.control.response import ResponseMemory, observe
from counterflow.engine.control.settings import ResponseSettings

START_S = 1_800_000_000.0


def trail(*values_w: float, every_s: float = 2.0) -> Any:
    found: Any = ()
    for number, value_w in enumerate(values_w):
        found = trail_of(found, value_w, number * every_s)
    return found


def test_a_trend_is_carried_on_by_the_smaller_of_its_last_two_slopes() -> None:
    assert anticipated_w(trail(100.0, 110.0, 130.0), 4.0, 5.0) == 130.0 + 5.0 * 5.0
    assert anticipated_w(trail(130.0, 110.0, 100.0), 4.0, 5.0) == 100.0 - 5.0 * 5.0


def test_a_step_and_a_turn_and_a_beginning_are_not() -> None:
    assert anticipated_w(trail(100.0), 0.0, 5.0) == 100.0
    assert anticipated_w(trail(100.0, 200.0), 2.0, 5.0) == 200.0
    # A step comes after a constant target: there is no trail of the value before but one, long ago.
    stepped = trail_of(trail_of(((0.0, 90.0),), 100.0, 60.0), 200.0, 600.0)
    assert anticipated_w(stepped, 600.0, 5.0) == 200.0
    assert anticipated_w(trail(100.0, 120.0, 110.0), 4.0, 5.0) == 110.0


def test_a_value_that_stands_loses_its_trend() -> None:
    moving = trail(100.0, 110.0, 120.0)
    assert anticipated_w(moving, 8.0, 5.0) > 120.0
    assert anticipated_w(moving, 10.0, 5.0) == 120.0
    assert trail_of(moving, 120.0, 9.0) is moving


@given(st.lists(st.floats(0.0, 1e9), min_size=1, max_size=8), st.floats(0.0, 20.0))
def test_no_discharge_is_ever_anticipated_below_zero_or_without_reason(values_w: list[float], lead_s: float) -> None:
    seen = trail(*values_w)
    aim_w = anticipated_w(seen, seen[-1][0], lead_s)
    assert aim_w >= 0.0
    swing_w = max(abs(one - other) for one in values_w for other in values_w)
    assert abs(aim_w - values_w[-1]) <= swing_w / 2.0 * lead_s + 1e-6 * max(values_w)


def test_the_quick_go_first_then_the_large_then_merit_decides() -> None:
    rank = np.array([0.9, 0.1, 0.2, 0.0, 0.5])
    size_w = np.array([7e3, 7e3, 7e3, 22e3, 11e3])
    order = by_quickness(rank, np.array([2.2, 9.0, 3.4, 90.0, 3.9]), size_w)
    assert np.argsort(order).tolist() == [4, 2, 0, 1, 3]
    assert 0.0 <= order.min() <= order.max() < 1.0


@pytest.mark.parametrize("true_lag_s", [2.0, 6.0, 12.0])
def test_the_lag_of_a_car_is_learned_from_readings_on_its_way(image: Any, true_lag_s: float) -> None:
    settings = ResponseSettings()
    memory = ResponseMemory.fresh(1, settings)
    now_s, level_w, before_w = START_S, 0.0, 0.0
    rng = np.random.default_rng(1)
    for _ in range(40):
        before_w, level_w, sent_s = level_w, 7_000.0 - level_w, now_s
        for age_s in (float(rng.uniform(0.5, 9.5)), 45.0, 55.0):
            now_s = sent_s + age_s
            reached = min(max(0.5 + (age_s - true_lag_s) / 3.5, 0.0), 1.0)
            seen = image(
                1,
                now_s,
                setpoint_w=-level_w,
                setpoint_at_s=sent_s,
                setpoint_state=SetpointState.ACCEPTED,
                discharge_until_s=sent_s + 3_600.0,
                hold_until_s=sent_s + 3_700.0,
                power_w=-(before_w + reached * (level_w - before_w)),
                power_at_s=now_s,
            )
            memory = observe(seen, memory, now_s, settings)
    found = memory.lag(np.ones(1, dtype=np.bool_))
    assert found.car_s[0] == pytest.approx(true_lag_s, abs=1.5)
    assert found.fleet_s == found.car_s[0]


def test_a_car_of_which_nothing_was_seen_has_the_lag_of_the_fleet() -> None:
    memory = ResponseMemory.fresh(3, ResponseSettings())
    nobody = memory.lag(np.ones(3, dtype=np.bool_))
    assert nobody.car_s.tolist() == [8.0] * 3
    known = replace(memory, lag_s=np.array([4.0, 6.0, 1.0]), lag_readings=np.array([1, 1, 0], dtype=np.int32))
    found = known.lag(np.array([True, True, True]))
    assert (found.fleet_s, found.car_s.tolist()) == (5.0, [4.0, 6.0, 5.0])
