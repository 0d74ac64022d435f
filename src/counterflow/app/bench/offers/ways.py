"""How people live where offers are judged: two towns whose days are made by different distributions.

The first is the one whose goals are set. The second is a guard against a model that fits the first one only: nothing in it has the same
shape, and whoever works on the model does not look at it for its numbers.
"""

from collections.abc import Callable
from math import log1p, sqrt

import numpy as np
from msgspec import Struct
from numpy.random import Generator

from counterflow.engine.fleet.snapshot import F8

STEP_S = 900.0
STEPS_A_DAY = 96
_HOURS = np.array([1, 1, 1, 1, 2, 4, 9, 11, 7, 4, 3, 4, 5, 4, 3, 4, 7, 9, 6, 4, 3, 2, 1, 1]) / 100.0
"""Early departures per plugged-in car and hour, by hour of a working day."""
_OTHER_HOURS = np.array([2, 1, 1, 1, 1, 2, 3, 6, 8, 8, 5, 4, 9, 8, 4, 4, 5, 6, 8, 9, 7, 6, 5, 3]) / 100.0
_WEEKEND, _OTHER_WEEKEND = 0.6, 1.4
_DIFFER = 3.0
"""Shape of the gamma distribution of how restless drivers are: standard deviation 0.58."""
_LOOK_BACK = 96
"""Steps after which the other town's mood has forgotten itself."""


class Ways(Struct, frozen=True):
    """What differs between places. `restless` of so many drivers, mean 1. `leaving` sums up, for each step of a day of such a spread, what
    makes a driver leave. `stays`: when they plug in, and how long they say they stay, h. `answers`: gains, a car's own error of an
    answer, what all share of it, and of the energy."""

    restless: Callable[[int, Generator], F8]
    leaving: Callable[[int, float, int], F8]
    stays: Callable[[int, Generator], tuple[F8, F8]]
    powers_w: tuple[float, ...]
    power_shares: tuple[float, ...]
    silent: float
    """Share of cars that do not answer although nobody knows it."""
    own: Callable[[int, Generator], F8]
    common: Callable[[Generator], float]
    lasts_h: Callable[[int, Generator], F8]


def _town_leaving(number: int, spread: float, seed: int) -> F8:
    """A day is restless or calm as a whole, and in some hours something happens and people rush off together."""
    random = np.random.default_rng([seed, number])
    sigma2 = log1p(spread**2)
    mood = float(np.exp(random.normal(-0.5 * sigma2, sqrt(sigma2))))
    weekend = (number + 3) % 7 >= 5
    steps = np.repeat(_HOURS, 4) * (_WEEKEND if weekend else 1.0) * mood * STEP_S / 3600.0
    if spread > 0.0:
        steps = steps + np.where(random.random(STEPS_A_DAY) < 0.01 * STEP_S / 3600.0, -np.log1p(-0.15), 0.0)
    summed: F8 = steps
    return summed


def _other_leaving(number: int, spread: float, seed: int) -> F8:
    """The mood drifts through the day, with jumps now and then (a moving average of Student's t over some hours, cut off), and events draw
    people away for an hour or two at several times the usual rate."""
    at = np.arange(number * STEPS_A_DAY - _LOOK_BACK, (number + 1) * STEPS_A_DAY)
    yesterday, today = (np.random.default_rng([seed, 5, day]) for day in (number - 1, number))
    steps = np.concatenate([yesterday.standard_t(4, STEPS_A_DAY), today.standard_t(4, STEPS_A_DAY)]) / sqrt(2.0)
    kernel = np.exp(-np.arange(_LOOK_BACK) * STEP_S / (5.0 * 3600.0))
    drift = np.convolve(steps, kernel / np.sqrt((kernel**2).sum()))[_LOOK_BACK : len(at)]
    mood = np.exp(np.clip(spread * drift - 0.5 * spread**2, -2.0, 1.6))
    draws = today.random(STEPS_A_DAY) < 0.006 * spread * STEP_S / 3600.0 * 4.0
    events = np.ones(STEPS_A_DAY)
    for begin in np.flatnonzero(draws).tolist():
        events[begin : begin + int(today.integers(4, 9))] *= today.uniform(2.0, 6.0)
    rate = np.repeat(_OTHER_HOURS, 4) * (_OTHER_WEEKEND if (number + 3) % 7 >= 5 else 1.0)
    summed: F8 = rate * mood * events * STEP_S / 3600.0
    return summed


def _town_stays(drivers: int, random: Generator) -> tuple[F8, F8]:
    at_work = random.random(drivers) < 0.5
    plugged_h = np.where(at_work, random.normal(8.2, 0.8, drivers), random.normal(18.0, 1.6, drivers))
    stays_h = np.where(at_work, random.normal(8.3, 1.2, drivers), random.normal(12.5, 1.8, drivers))
    # Those of the evening before are still there in the morning.
    return np.where(~at_work & (random.random(drivers) < 0.5), plugged_h - 24.0, plugged_h), stays_h


def _other_stays(drivers: int, random: Generator) -> tuple[F8, F8]:
    return random.uniform(-14.0, 22.0, drivers), random.lognormal(1.7, 0.5, drivers)


WAYS = {
    "town": Ways(
        restless=lambda drivers, random: random.gamma(_DIFFER, 1.0 / _DIFFER, drivers),
        leaving=_town_leaving,
        stays=_town_stays,
        powers_w=(3_700.0, 7_400.0, 11_000.0, 22_000.0),
        power_shares=(0.2, 0.35, 0.35, 0.1),
        silent=0.006,
        own=lambda drivers, random: random.normal(0.0, 0.05, drivers),
        common=lambda random: float(random.normal(0.0, 0.008)),
        lasts_h=lambda drivers, random: random.gamma(4.0, 0.9, drivers),
    ),
    "other town": Ways(
        restless=lambda drivers, random: np.where(random.random(drivers) < 0.3, 2.3, 0.443),
        leaving=_other_leaving,
        stays=_other_stays,
        powers_w=(7_400.0, 11_000.0),
        power_shares=(0.3, 0.7),
        silent=0.01,
        own=lambda drivers, random: 0.04 * random.standard_t(5, drivers),
        common=lambda random: float(random.uniform(-0.02, 0.02)),
        lasts_h=lambda drivers, random: random.uniform(0.5, 8.0, drivers),
    ),
}
