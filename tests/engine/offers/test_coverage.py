"""The record of how forecasts were kept."""

import pytest

from counterflow.domain.ids import PoolId
from counterflow.domain.offers import CoverageDay
from counterflow.engine.offers.coverage import judged, pinball, views, wilson

POOL = PoolId("all")


def test_pinball_loss_weighs_promising_too_much_nine_times_as_heavy() -> None:
    assert pinball(100.0, 110.0, 0.1) == pytest.approx(1.0)
    assert pinball(100.0, 90.0, 0.1) == pytest.approx(9.0)
    assert pinball(100.0, 100.0, 0.1) == 0.0


def test_wilson_interval() -> None:
    assert wilson(0.9, 100.0) == pytest.approx((0.8256, 0.9448), abs=1e-4)
    assert wilson(1.0, 10.0) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(0.0, 10.0)[0] == 0.0


def test_a_record_adds_up_over_the_last_thirty_days_only() -> None:
    day = CoverageDay(pool=POOL, window_s=3_600.0, day=100)
    day = judged(day, (100.0, 90.0, 85.0, 80.0), 88.0, 89.0, 0.5)
    day = judged(day, (100.0, 90.0, 85.0, 80.0), 88.0, 120.0, 0.0)
    old = judged(CoverageDay(pool=POOL, window_s=3_600.0, day=70), (1.0, 1.0, 1.0, 1.0), 1.0, 0.0, 0.0)
    lines = views([old, day], 100, 0.97, 900.0)
    assert [line.reached_frac for line in lines] == [0.5, 0.5, 1.0, 1.0]
    assert [line.forecasts for line in lines] == [2] * 4
    assert lines[0].effective_forecasts == pytest.approx(0.5), "windows of an hour, every quarter of one"
    assert lines[1].guarded_reached_frac == 1.0
    assert lines[0].guarded_reached_frac is None
    assert lines[1].sharpness_frac == pytest.approx(180.0 / 209.0)
    assert lines[1].pinball_frac == pytest.approx((0.9 * 1.0 + 0.1 * 30.0) / 209.0)
    assert lines[2].pinball_frac is None
    assert lines[1].dispatched_share_frac == 0.25
    assert lines[1].guard_factor == 0.97
    assert lines[1].reached_low_frac is not None
    assert lines[1].reached_low_frac < 0.5


def test_a_record_of_days_long_past_says_that_nothing_is_known() -> None:
    [first, *_] = views([CoverageDay(pool=POOL, window_s=900.0, day=1)], 100, 1.0, 900.0)
    assert first.reached_frac is None
    assert first.reached_low_frac is None
    assert first.sharpness_frac is None
    assert first.dispatched_share_frac is None


def test_windows_in_which_nothing_was_there_have_no_sharpness() -> None:
    day = judged(CoverageDay(pool=POOL, window_s=900.0, day=1), (1.0, 1.0, 1.0, 1.0), 1.0, 0.0, 0.0)
    assert views([day], 1, 1.0, 900.0)[1].sharpness_frac is None
    assert views([day], 1, 1.0, 900.0)[1].pinball_frac is None
