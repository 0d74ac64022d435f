"""Days in a town of drivers, for calibration: who is plugged in, who leaves early, how cars really answer. The model never sees this file's
numbers; it learns from sessions that have ended, as in life, and is judged on days that come later.

What is in here on purpose that the model has no word for: drivers differ in how often they leave early, all their lives; a whole day is
restless or calm; in some hours something happens and people rush off together; some cars do not answer at all and nobody knows.
"""

from math import log1p, sqrt

import numpy as np
from msgspec import Struct
from numpy.random import Generator

from counterflow.domain.units import DAY_S
from counterflow.engine.fleet.snapshot import B1, F8
from counterflow.engine.offers.hazard import Watch, watch
from counterflow.engine.offers.scenarios import Cars

_STEP_S = 900.0
_HOURS = np.array([1, 1, 1, 1, 2, 4, 9, 11, 7, 4, 3, 4, 5, 4, 3, 4, 7, 9, 6, 4, 3, 2, 1, 1]) / 100.0
"""Early departures per plugged-in car and hour, by hour of a working day."""
_WEEKEND = 0.6
_DIFFER = 3.0
"""Shape of the gamma distribution of how restless drivers are: standard deviation 0.58."""
_MARGIN_S = 1_200.0


class Town(Struct, frozen=True, kw_only=True):
    """The drivers (N,): their own restlessness, their car's power, W, and its response. `spread`: how much days differ; `rush`: in how many
    hours, as a share, something happens, and the share of cars that leaves then."""

    restless: F8
    power_w: F8
    gain: F8
    spread: float
    rush: tuple[float, float]

    @classmethod
    def of(cls, drivers: int, spread: float, random: Generator) -> "Town":
        """A town of so many drivers."""
        gain = np.clip(random.normal(0.96, 0.05, drivers), 0.5, 1.05)
        return cls(
            restless=random.gamma(_DIFFER, 1.0 / _DIFFER, drivers),
            power_w=random.choice([3_700.0, 7_400.0, 11_000.0, 22_000.0], drivers, p=[0.2, 0.35, 0.35, 0.1]),
            gain=np.where(random.random(drivers) < 0.006, 0.0, gain),
            spread=spread,
            rush=(0.01, 0.15) if spread > 0.0 else (0.0, 0.0),
        )


class Day(Struct, frozen=True, kw_only=True):
    """One day (N,): when each driver plugs in, for when the departure is announced, and when the car really leaves, s since 1970."""

    plugged_s: F8
    announced_s: F8
    left_s: F8


def day_of(town: Town, number: int, random: Generator) -> Day:
    """The day `number` (days since 1970)."""
    drivers = len(town.power_w)
    begin_s = number * DAY_S
    at_work = random.random(drivers) < 0.5
    plugged_h = np.where(at_work, random.normal(8.2, 0.8, drivers), random.normal(18.0, 1.6, drivers))
    stays_h = np.where(at_work, random.normal(8.3, 1.2, drivers), random.normal(12.5, 1.8, drivers))
    # Those of the evening before are still there in the morning.
    plugged_h = np.where(~at_work & (random.random(drivers) < 0.5), plugged_h - 24.0, plugged_h)
    plugged_s = begin_s + plugged_h * 3600.0
    announced_s = plugged_s + np.clip(stays_h, 0.75, None) * 3600.0
    clock_s = np.arange(-24 * 3600.0, 48 * 3600.0 + 1.0, _STEP_S) + begin_s
    summed = _summed(town, clock_s, random)
    before = np.interp(plugged_s, clock_s, summed)
    patience = random.standard_exponential(drivers) / town.restless
    left_s = np.interp(before + patience, summed, clock_s, right=np.inf)
    # Whoever is still there leaves as announced, some a little late.
    as_said_s = announced_s + random.exponential(400.0, drivers)
    return Day(plugged_s=plugged_s, announced_s=announced_s, left_s=np.minimum(left_s, as_said_s))


def _summed(town: Town, clock_s: F8, random: Generator) -> F8:
    """What makes a driver of mean restlessness leave, summed up over the clock: ascending."""
    sigma2 = log1p(town.spread**2)
    mood = float(np.exp(random.normal(-0.5 * sigma2, sqrt(sigma2))))
    hours = np.floor(clock_s / 3600.0).astype(np.int64)
    weekend = (hours // 24 + 3) % 7 >= 5
    rate_per_s = _HOURS[hours % 24] * np.where(weekend, _WEEKEND, 1.0) * mood / 3600.0
    steps = rate_per_s * _STEP_S
    often, share = town.rush
    steps += np.where(random.random(len(clock_s)) < often * _STEP_S / 3600.0, -np.log1p(-share), 0.0)
    return np.concatenate([[0.0], np.cumsum(steps[:-1])])


class Scene(Struct, frozen=True, kw_only=True):
    """An instant: the cars as the model is told of them, and what is true (M,): power and energy that they give, and how long they stay."""

    at_s: float
    cars: Cars
    power_w: F8
    energy_wh: F8
    stay_s: F8


def scene_of(town: Town, day: Day, at_s: float, window_s: float, random: Generator) -> Scene:
    """Who is there at `at_s`, by what is known of them, and what is true."""
    here = (day.plugged_s < at_s) & (day.left_s > at_s) & (day.announced_s > at_s + _MARGIN_S)
    count = int(np.count_nonzero(here))
    power_w = town.power_w[here]
    energy_wh = power_w * random.gamma(4.0, 0.9, count)
    # Who must charge before the departure that was announced may give only until then.
    until_s = day.announced_s[here] - at_s - _MARGIN_S - random.uniform(0.0, 3600.0, count)
    known = town.gain[here] > 0.0
    believed = np.where(known, town.gain[here] * random.normal(1.0, 0.03, count), 0.96) * 0.994
    true_gain = town.gain[here] * random.normal(1.0, 0.05, count) * random.normal(1.0, 0.008)
    cars = Cars(
        power_w=power_w * believed,
        energy_wh=energy_wh,
        until_s=np.where(until_s > window_s, np.inf, np.maximum(until_s, 0.0)),
        plugged_s=at_s - day.plugged_s[here],
    )
    return Scene(
        at_s=at_s,
        cars=cars,
        power_w=power_w * np.maximum(true_gain, 0.0),
        energy_wh=energy_wh * np.maximum(random.normal(1.0, 0.08, count) * random.normal(1.0, 0.008), 0.0),
        stay_s=np.minimum(day.left_s[here] - at_s, cars.until_s),
    )


def lessons_of(town: Town, first_day: int, days: int, random: Generator, *, most: int) -> list[Watch]:
    """Sessions of `days` days as the program would have seen them end; of a large town `most` drivers, since more teach little."""
    chosen = _some(town, random, most)
    watches = []
    for number in range(first_day, first_day + days):
        day = day_of(chosen, number, random)
        for plugged_s, left_s, announced_s in zip(day.plugged_s.tolist(), day.left_s.tolist(), day.announced_s.tolist(), strict=True):
            watched = watch(plugged_s, left_s, announced_s - _MARGIN_S)
            if watched is not None:
                watches.append(watched)
    return watches


def _some(town: Town, random: Generator, most: int) -> Town:
    rows: B1 = np.zeros(len(town.power_w), dtype=np.bool_)
    rows[random.permutation(len(town.power_w))[:most]] = True
    return Town(restless=town.restless[rows], power_w=town.power_w[rows], gain=town.gain[rows], spread=town.spread, rush=town.rush)
