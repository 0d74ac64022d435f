"""A stream is anticipated where it has a trend, and only there; the quick cars take its quick part."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from counterflow.engine.control.lookahead import Trail, by_quickness

LAG_S = 8.0


def trail(*values_w: float, every_s: float = 2.0) -> Trail:
    found = Trail()
    for number, value_w in enumerate(values_w):
        found = found.with_value(value_w, number * every_s, LAG_S)
    return found


def test_half_of_the_last_slope_goes_on_before_anything_was_learned_and_the_share_asked_for_is_taken_of_it() -> None:
    rising = trail(100.0, 110.0, 130.0)
    assert rising.anticipated_w(4.0, LAG_S, 1.0) == 130.0 + LAG_S * 0.5 * 10.0
    assert rising.anticipated_w(4.0, LAG_S, 0.5) == 130.0 + 0.5 * LAG_S * 0.5 * 10.0
    assert rising.anticipated_w(4.0, LAG_S, 0.0) == 130.0
    assert trail(130.0, 110.0, 100.0).anticipated_w(4.0, LAG_S, 1.0) == 100.0 - LAG_S * 0.5 * 5.0


def test_a_step_and_a_turn_and_a_beginning_are_not_anticipated() -> None:
    assert trail(100.0).anticipated_w(0.0, LAG_S, 1.0) == 100.0
    assert trail(100.0, 200.0).anticipated_w(2.0, LAG_S, 1.0) == 200.0
    # A step comes after a constant target: there is no trail of the value before but one, long ago.
    stepped = Trail(((0.0, 90.0),)).with_value(100.0, 60.0, LAG_S).with_value(200.0, 600.0, LAG_S)
    assert stepped.anticipated_w(600.0, LAG_S, 1.0) == 200.0
    assert trail(100.0, 120.0, 110.0).anticipated_w(4.0, LAG_S, 1.0) == 110.0


def test_a_value_that_stands_loses_its_trend() -> None:
    moving = trail(100.0, 110.0, 120.0)
    assert moving.anticipated_w(8.0, LAG_S, 1.0) > 120.0
    assert moving.anticipated_w(10.0, LAG_S, 1.0) == 120.0
    assert moving.with_value(120.0, 9.0, LAG_S) is moving


def _mean_miss_w(values_w: list[float], share: float) -> float:
    """How far the target of a lag later is missed in the second half of a stream."""
    seen, misses_w = Trail(), []
    later = round(LAG_S / 2.0)
    for number, value_w in enumerate(values_w[:-later]):
        seen = seen.with_value(value_w, 2.0 * number, LAG_S)
        if number > len(values_w) // 2:
            misses_w.append(abs(seen.anticipated_w(2.0 * number, LAG_S, share) - values_w[number + later]))
    return float(np.mean(misses_w))


def test_what_trends_of_this_stream_went_on_by_is_learned_from_it() -> None:
    steady = [5e6 + 3e6 * np.sin(number / 20.0) for number in range(600)]
    assert _mean_miss_w(steady, 1.0) < 0.25 * _mean_miss_w(steady, 0.0)
    # One that is back where it was after a lag: its trends come to nothing, and that is learned.
    zigzag = [5e6 + 1e5 * (0, 1, 2, 1)[number % 4] for number in range(600)]
    assert _mean_miss_w(zigzag, 1.0) < 0.1 * 1e5
    wandering = np.cumsum(np.random.default_rng(4).normal(size=2_000)) * 1e4 + 1e7
    assert _mean_miss_w(wandering.tolist(), 1.0) < 1.03 * _mean_miss_w(wandering.tolist(), 0.0)


@given(st.lists(st.floats(0.0, 1e9), min_size=1, max_size=40), st.floats(0.0, 20.0), st.floats(0.0, 1.0))
def test_nothing_is_anticipated_below_zero_or_steeper_than_what_was_seen(values_w: list[float], lag_s: float, share: float) -> None:
    seen = trail(*values_w)
    aim_w = seen.anticipated_w(seen.values[-1][0], lag_s, share)
    assert aim_w >= 0.0
    swing_w = max(abs(one - other) for one in values_w for other in values_w)
    assert abs(aim_w - values_w[-1]) <= swing_w / 2.0 * lag_s + 1e-6 * max(values_w)


def test_the_quick_go_first_and_the_large_and_among_cars_alike_merit_decides() -> None:
    rank = np.array([0.9, 0.1, 0.2, 0.0, 0.5])
    size_w = np.array([7e3, 7e3, 7e3, 22e3, 11e3])
    lag_s = np.array([2.2, 9.0, 2.2, 90.0, 3.9])
    order = by_quickness(rank, lag_s, size_w, 12.0)
    assert np.argsort(order).tolist() == [4, 2, 0, 1, 3]
    assert 0.0 <= order.min() <= order.max() < 1.0
    # Where size is worth nothing, a second is.
    assert np.argsort(by_quickness(rank, lag_s, size_w, 0.0)).tolist() == [2, 0, 4, 1, 3]
