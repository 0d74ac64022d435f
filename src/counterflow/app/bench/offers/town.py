"""Days in a town of drivers, for calibration: who is plugged in, who leaves early, how cars really answer. The model never sees this file's
numbers; it learns from sessions that have ended, as in life, and is judged on days that come later.

What is in here on purpose that the model has no word for: drivers differ in how often they leave early, all their lives; a whole day is
restless or calm; in some hours something happens and people rush off together; some cars do not answer at all and nobody knows.
"""

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.random import Generator

from counterflow.app.bench.offers.ways import STEP_S, STEPS_A_DAY, WAYS, Ways
from counterflow.domain.units import DAY_S
from counterflow.engine.fleet.snapshot import B1, F8
from counterflow.engine.offers.flow import firm_power_w
from counterflow.engine.offers.hazard import Watch, watch
from counterflow.engine.offers.scenarios import Cars

MARGIN_S = 1_200.0


class Town(Struct, frozen=True, kw_only=True):
    """The drivers (N,): their own restlessness, their car's power, W, and its response. `spread`: how much days differ. The same hour of
    the same day is restless for all alike: `seed` is that of its calendar."""

    ways: Ways
    restless: F8
    power_w: F8
    gain: F8
    spread: float
    seed: int

    @classmethod
    def of(cls, drivers: int, spread: float, random: Generator, ways: Ways = WAYS["town"]) -> "Town":
        """A town of so many drivers."""
        gain = np.clip(random.normal(0.96, 0.05, drivers), 0.5, 1.05)
        return cls(
            ways=ways,
            restless=ways.restless(drivers, random),
            power_w=random.choice(ways.powers_w, drivers, p=ways.power_shares),
            gain=np.where(random.random(drivers) < ways.silent, 0.0, gain),
            spread=spread,
            seed=int(random.integers(2**31)),
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
    plugged_h, stays_h = town.ways.stays(drivers, random)
    plugged_s = begin_s + plugged_h * 3600.0
    announced_s = plugged_s + np.clip(stays_h, 0.75, None) * 3600.0
    clock_s = begin_s + np.arange(-STEPS_A_DAY, 2 * STEPS_A_DAY + 1) * STEP_S
    steps = [town.ways.leaving(number + at, town.spread, town.seed) for at in (-1, 0, 1)]
    summed = np.concatenate([[0.0], np.cumsum(np.concatenate(steps))])
    before = np.interp(plugged_s, clock_s, summed)
    patience = random.standard_exponential(drivers) / town.restless
    left_s = np.interp(before + patience, summed, clock_s, right=np.inf)
    # Whoever is still there leaves as announced, some a little late.
    as_said_s = announced_s + random.exponential(400.0, drivers)
    return Day(plugged_s=plugged_s, announced_s=announced_s, left_s=np.minimum(left_s, as_said_s))


class Scene(Struct, frozen=True, kw_only=True):
    """An instant: the cars as the model is told of them, and what is true (M,): power and energy that they give, and how long they stay."""

    at_s: float
    cars: Cars
    power_w: F8
    energy_wh: F8
    stay_s: F8

    def there_w(self, window_s: float) -> float:
        """The constant power that was there."""
        return float(firm_power_w(self.power_w, self.energy_wh, self.stay_s, window_s))


def scene_of(town: Town, day: Day, at_s: float, window_s: float, random: Generator) -> Scene:
    """Who is there at `at_s`, by what is known of them, and what is true."""
    here = (day.plugged_s < at_s) & (day.left_s > at_s) & (day.announced_s > at_s + MARGIN_S)
    count = int(np.count_nonzero(here))
    power_w = town.power_w[here]
    energy_wh = power_w * town.ways.lasts_h(count, random)
    # Who must charge before the departure that was announced may give only until then.
    until_s = day.announced_s[here] - at_s - MARGIN_S - random.uniform(0.0, 3600.0, count)
    known = town.gain[here] > 0.0
    believed = np.where(known, town.gain[here] * random.normal(1.0, 0.03, count), 0.96) * (1.0 - town.ways.silent)
    true_gain = town.gain[here] * (1.0 + town.ways.own(count, random)) * (1.0 + town.ways.common(random))
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
        energy_wh=energy_wh * np.maximum(random.normal(1.0, 0.08, count) * (1.0 + town.ways.common(random)), 0.0),
        stay_s=np.minimum(day.left_s[here] - at_s, cars.until_s),
    )


def lessons_of(town: Town, first_day: int, days: int, random: Generator, *, most: int) -> list[Watch]:
    """Sessions of `days` days as the program would have seen them end; of a large town `most` drivers, since more teach little."""
    chosen = _some(town, random, most)
    watches = []
    for number in range(first_day, first_day + days):
        day = day_of(chosen, number, random)
        for plugged_s, left_s, announced_s in zip(day.plugged_s.tolist(), day.left_s.tolist(), day.announced_s.tolist(), strict=True):
            watched = watch(plugged_s, left_s, announced_s - MARGIN_S)
            if watched is not None:
                watches.append(watched)
    return watches


def _some(town: Town, random: Generator, most: int) -> Town:
    rows: B1 = np.zeros(len(town.power_w), dtype=np.bool_)
    rows[random.permutation(len(town.power_w))[:most]] = True
    return replace(town, restless=town.restless[rows], power_w=town.power_w[rows], gain=town.gain[rows])
