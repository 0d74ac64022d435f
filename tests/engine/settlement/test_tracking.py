"""The scores of a moving target, on series whose scores are known by hand."""

import numpy as np
import pytest

from counterflow.engine.settlement.tracking import (
    band_share,
    bias_w,
    energy_error_frac,
    mileage,
    rmse_w,
    settled_after_s,
    three_part_score,
    worst_mean_w,
)

HOUR = np.arange(3_600.0)
WAVE = np.sin(2.0 * np.pi * HOUR / 360.0)
"""An hour of a sine of six minutes; its mean magnitude is 2/pi."""


def late(series: np.ndarray, by_s: int) -> np.ndarray:
    return np.concatenate([np.full(by_s, series[0]), series[: len(series) - by_s]])


def test_what_follows_exactly_scores_one() -> None:
    score = three_part_score(WAVE, WAVE)
    assert (score.accuracy, score.delay, score.precision) == pytest.approx((1.0, 1.0, 1.0))
    assert score.strict == pytest.approx(1.0)


def test_no_response_scores_no_more_than_its_undelayed_nothing() -> None:
    score = three_part_score(WAVE, np.zeros_like(WAVE))
    assert (score.accuracy, score.precision) == (0.0, 0.0)
    # Correlation is nought at every delay, so that none counts.
    assert score.delay == pytest.approx(1.0)


def test_the_opposite_gets_no_precision() -> None:
    assert three_part_score(WAVE, -WAVE).precision == 0.0


@pytest.mark.parametrize(("late_s", "delay"), [(0, 1.0), (10, 1.0), (20, 290.0 / 300.0), (70, 240.0 / 300.0)])
def test_a_pure_delay_costs_its_part_less_ten_seconds_of_grace(late_s: int, delay: float) -> None:
    # A wave of 40 minutes' worth of noise has but one best delay.
    noise = np.repeat(np.random.default_rng(3).normal(size=360), 10)
    score = three_part_score(noise, late(noise, late_s))
    assert score.delay == pytest.approx(delay, abs=1e-9)
    assert score.accuracy == pytest.approx(1.0)


def test_precision_of_a_late_sine_is_that_of_the_formula() -> None:
    # |sin(a) - sin(a - d)| = 2 sin(d/2) |cos(a - d/2)|, so that the precision is 1 - 2 sin(d/2).
    score = three_part_score(WAVE, late(WAVE, 20))
    assert score.precision == pytest.approx(1.0 - 2.0 * np.sin(np.pi * 20.0 / 360.0), abs=0.01)
    assert score.precision_allowed == pytest.approx(1.0 - 2.0 * np.sin(np.pi * 10.0 / 360.0), abs=0.01)


def test_too_little_by_a_fifth_costs_a_fifth_of_the_precision_and_nothing_else() -> None:
    score = three_part_score(WAVE, 0.8 * WAVE)
    assert (score.accuracy, score.delay, score.precision) == pytest.approx((1.0, 1.0, 0.8))
    assert score.strict == pytest.approx((1.0 + 1.0 + 0.8) / 3.0)


def test_a_flat_signal_is_judged_by_slopes() -> None:
    flat = np.full(3_600, 0.5)
    assert three_part_score(flat, flat).strict == pytest.approx(1.0)
    # A response that falls by one per unit in each window of 5 minutes.
    falls = three_part_score(flat, 0.5 - HOUR / 300.0)
    assert falls.accuracy == pytest.approx(0.0, abs=0.05)


def test_unequal_or_short_series_are_refused() -> None:
    with pytest.raises(ValueError, match="one length, at least 600 s"):
        three_part_score(WAVE, WAVE[:-10])
    with pytest.raises(ValueError, match="at least 600 s"):
        three_part_score(WAVE[:500], WAVE[:500])


def test_mileage_is_the_way_travelled() -> None:
    assert mileage(np.array([0.0, 1.0, -1.0, 0.5])) == pytest.approx(4.5)


def test_the_band_follows_the_target_with_grace() -> None:
    target = np.where(np.arange(200.0) < 100.0, 100.0, 200.0)
    reaches = np.interp(np.arange(200.0), [100.0, 130.0], [100.0, 200.0])
    assert band_share(target, reaches, 1.0) == 1.0
    never = np.full(200, 100.0)
    # From 30 s after the step on the tube holds nothing of the old value: 70 of 200 seconds outside.
    assert band_share(target, never, 1.0) == pytest.approx(1.0 - 70.0 / 200.0)
    assert band_share(target, target + 5.0, 1.0, grace_s=0.0) == 0.0


def test_errors_of_a_square_wave() -> None:
    target, delivered = np.full(240, 100.0), np.concatenate([np.full(120, 90.0), np.full(60, 130.0), np.full(60, 100.0)])
    assert rmse_w(target, delivered) == pytest.approx(np.sqrt((120 * 100 + 60 * 900) / 240))
    assert bias_w(target, delivered) == pytest.approx(2.5)
    assert energy_error_frac(target, delivered) == pytest.approx(0.025)
    assert worst_mean_w(target, delivered) == pytest.approx(30.0)
    assert settled_after_s(target, delivered, 0.05) == 180.0
    assert settled_after_s(target, delivered, 0.5) == 0.0
    assert settled_after_s(target, delivered[::-1], 0.05) == float("inf")
    with pytest.raises(ValueError, match="no energy"):
        energy_error_frac(np.zeros(3), np.ones(3))


def test_to_a_signal_of_nothing_nothing_is_the_whole_answer():
    still = np.zeros(700)
    nothing, something = three_part_score(still, still), three_part_score(still, still + 0.5)
    assert (nothing.precision, something.precision) == (1.0, 0.0)
    assert nothing.allowed == nothing.strict == 1.0
