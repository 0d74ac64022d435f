"""What makes cars leave together is told apart from chance, from a rate that is simply wrong, and from rushes."""

import numpy as np
import pytest

from counterflow.domain.offers import DepartureHour
from counterflow.engine.offers.hazard import HOUR_S, nothing_seen, rates_per_h, watch
from counterflow.engine.offers.settings import OfferSettings
from counterflow.engine.offers.shock import KEPT_HOURS, Shocks, counted, factors, shocks_of

SETTINGS = OfferSettings()
DAYS = 110
CARS = 300.0


def hours(
    spread: float, *, expected: float = 30.0, days: int = DAYS, wrong_by: float = 1.0, holds_h: int = 24, rush: float = 0.0
) -> tuple[DepartureHour, ...]:
    """Days of departures: the common factor is another one every `holds_h` hours, and in a share `rush` of hours a quarter goes."""
    random = np.random.default_rng(2)
    count = days * 24
    mood = np.repeat(factors(spread, random.standard_normal(count // holds_h)), holds_h)
    left = random.poisson(expected * wrong_by * mood) + np.where(random.random(count) < rush, 0.25 * CARS, 0.0)
    return tuple(
        DepartureHour(number=400_008 + number, left=float(seen), expected=expected, watched_h=CARS)
        for number, seen in enumerate(left.tolist())
    )


@pytest.mark.parametrize("spread", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("wrong_by", [1.0, 2.0])
def test_the_spread_is_found_whatever_the_rate(spread: float, wrong_by: float) -> None:
    shocks = shocks_of(hours(spread, wrong_by=wrong_by), SETTINGS)
    assert shocks.spread_over(HOUR_S) == pytest.approx(spread, abs=0.12)
    assert shocks.rush_per_h < 0.002


def test_what_does_not_hold_on_evens_out_over_a_long_window_and_what_does_does_not() -> None:
    short, day = shocks_of(hours(0.4, holds_h=2), SETTINGS), shocks_of(hours(0.4), SETTINGS)
    assert short.spread_over(900.0) == pytest.approx(day.spread_over(900.0), rel=0.25)
    assert short.spread_over(6 * HOUR_S) < 0.65 * short.spread_over(900.0)
    assert day.spread_over(6 * HOUR_S) > 0.85 * day.spread_over(900.0)


def test_rushes_are_told_apart_from_restless_days() -> None:
    shocks = shocks_of(hours(0.3, rush=0.01), SETTINGS)
    assert shocks.rush_per_h == pytest.approx(0.01, rel=0.5)
    assert np.median(-np.expm1(-shocks.rushes)) == pytest.approx(0.25, abs=0.05)
    assert shocks.spread_over(HOUR_S) == pytest.approx(0.3, abs=0.1)
    assert shocks.rushed_frac == pytest.approx(0.01 * 0.25 * CARS / 30.0, rel=0.6)


def test_little_seen_leaves_the_settings() -> None:
    nothing = shocks_of((), SETTINGS)
    assert nothing.spread_over(900.0) == pytest.approx(SETTINGS.shock_spread)
    assert nothing.rush_per_h == pytest.approx(1.0 / (24.0 * SETTINGS.rush_every_days))
    assert -np.expm1(-nothing.rushes) == pytest.approx([SETTINGS.rush_share])
    few = shocks_of(hours(2.0, expected=0.1), SETTINGS)
    assert few.spread_over(HOUR_S) == pytest.approx(SETTINGS.shock_spread), "an hour of so few says nothing"
    assert shocks_of(hours(0.0, days=1), SETTINGS).spread_over(HOUR_S) == pytest.approx(SETTINGS.shock_spread, abs=0.1)


def test_hours_count_what_was_expected_and_what_came_and_only_the_newest_are_kept() -> None:
    rates = rates_per_h(nothing_seen(0.0), SETTINGS)
    early, late = watch(0.0, 2.5 * HOUR_S, 1e9), watch(0.0, 3_600.0, 3_600.0)
    assert early is not None
    assert late is not None
    found = counted((), [early, late], rates)
    assert [(hour.number, hour.left, hour.watched_h) for hour in found] == [(0, 0.0, 2.0), (1, 0.0, 1.0), (2, 1.0, 0.5)]
    assert [hour.expected for hour in found] == pytest.approx([0.05 * 2.0, 0.05, 0.05 * 0.5])
    full = hours(0.0, days=KEPT_HOURS // 24)
    last = full[-1].number
    newer = watch((last + 1) * HOUR_S, (last + 2) * HOUR_S - 1.0, 1e12)
    assert newer is not None
    assert counted(full, [newer], rates)[:-1] == full[1:]


def test_factors_have_mean_one_and_the_spread_that_is_asked_for() -> None:
    drawn = factors(0.4, np.random.default_rng(1).standard_normal(200_000))
    assert drawn.mean() == pytest.approx(1.0, abs=0.01)
    assert drawn.std() == pytest.approx(0.4, abs=0.01)
    assert factors(0.0, np.array([-3.0, 3.0])).tolist() == [1.0, 1.0]


def test_rushes_come_as_often_as_they_should_and_stay() -> None:
    shocks = Shocks(covariance=np.zeros(5), rush_per_h=0.05, rushes=np.array([0.1, 0.3]))
    summed = shocks.rushed(4_000, np.array([HOUR_S, 2 * HOUR_S, 4 * HOUR_S]), np.random.default_rng(1))
    assert (summed[:, -1] > 0.0).mean() == pytest.approx(0.2, abs=0.01)
    assert (summed[:, 0] > 0.0).mean() == pytest.approx(0.05, abs=0.015)
    assert summed[:, -1].mean() == pytest.approx(0.2 * 0.2, rel=0.1)
    assert (np.diff(summed, axis=1) >= 0.0).all()
    assert not Shocks.even(0.3).rushed(100, np.array([HOUR_S]), np.random.default_rng(1)).any()
