"""What makes cars leave together: how far the rate of all departures goes up and down, for how long, and how often many rush off at once.

The bigger the fleet, the more of its risk is this, since it does not average out. Three things are told apart by hours that were counted:

- a rate that is common to all and holds on (a holiday, rain): a factor, mean 1, whose covariance is learned by how far apart two hours are.
  Over a long window its ups and downs even out as far as it does not hold on, over a short one not at all;
- a rush (the end of a match, an alarm): rare, and at once. A share of all cars leaves, whatever the rate is at that hour. One factor for
  both would be too careful over minutes, where a rush hardly ever happens, and not careful enough over hours;
- chance, by which as many leave too many as the Poisson distribution says.
"""

from collections.abc import Sequence
from math import log1p, sqrt

import numpy as np
from msgspec import Struct
from numpy.random import Generator

from counterflow.domain.offers import DepartureHour
from counterflow.engine.fleet.snapshot import B1, F8
from counterflow.engine.offers.hazard import HOUR_S, HOURS, Watch
from counterflow.engine.offers.settings import OfferSettings

HOURS_A_DAY = 24
KEPT_HOURS = 120 * HOURS_A_DAY
"""What was counted while the rates were hardly known goes in time."""
LEAST_EXPECTED = 1.0
"""An hour in which fewer departures were expected says nothing about the rate that is common to all."""
LEAST_WATCHED_H = 10.0
"""Nor does one with so few cars say whether there was a rush."""
LAGS_H = ((0,), (1, 2), (3, 4, 5), tuple(range(6, 12)), tuple(range(12, 24)))
"""Hours apart that are taken together."""
_AT_H = np.array([float(np.mean(lags)) for lags in LAGS_H])
_FEW = 5.0
_RUSH = 4.0
"""A rush is what is so many standard deviations above what the day lets expect;"""
_RESTLESS = 0.3
"""an hour of its own may be restless, too, by this share, without being one."""
_ROUNDS = 3


class Shocks(Struct, frozen=True, kw_only=True):
    """What departures share. `covariance` of the common factor at the lags `LAGS_H`; `doubt`, its relative standard error; how often a rush
    comes; `rushes` (R,), hazards of those that are known; `rushed_frac`, the share of the usual departures that are in rushes."""

    covariance: F8
    doubt: float = 0.0
    rush_per_h: float = 0.0
    rushes: F8 = np.zeros(1)
    rushed_frac: float = 0.0

    @classmethod
    def even(cls, spread: float) -> "Shocks":
        """A factor of this standard deviation that holds on for days, and no rushes."""
        return cls(covariance=np.full(len(LAGS_H), spread**2))

    def spread_over(self, length_s: float) -> float:
        """Standard deviation of the mean of the factor over so long."""
        hours = length_s / HOUR_S
        apart_h = hours * (np.arange(64) + 0.5) / 64.0
        weight = 1.0 - apart_h / hours
        return sqrt(float(weight @ np.interp(apart_h, _AT_H, self.covariance) / weight.sum()))

    def factors(self, variance: float, scores: F8, others: F8) -> F8:
        """Factors on the rates of departure (W,), from two sets of standard normal scores: the variance itself is only known so well, and
        what is seen by luck to be small may be large."""
        doubt2 = log1p(self.doubt**2)
        return factors(np.sqrt(variance * np.exp(sqrt(doubt2) * others + 0.5 * doubt2)), scores) * (1.0 - self.rushed_frac)

    def rushed(self, count: int, edges_s: F8, random: Generator) -> F8:
        """Hazard that all cars gather by rushes until each of `edges_s` (J,), in so many courses (count, J)."""
        summed = np.zeros((count, len(edges_s)))
        expected = self.rush_per_h * edges_s[-1] / HOUR_S * count
        number = int(expected + random.random())
        if number == 0:
            return summed
        # As evenly as it goes: a course has a second one only after all have one.
        courses = random.permutation(count)[np.arange(number) % count]
        at_s = edges_s[-1] * random.random(number)
        size = self.rushes[random.integers(len(self.rushes), size=number)]
        np.add.at(summed, courses, np.where(edges_s > at_s[:, np.newaxis], size[:, np.newaxis], 0.0))
        return summed


def counted(hours: tuple[DepartureHour, ...], watches: Sequence[Watch], rates: F8) -> tuple[DepartureHour, ...]:
    """`hours` with more sessions, by the rates (HOURS, KINDS) that were known; the newest `KEPT_HOURS` are kept."""
    known = {hour.number: [hour.left, hour.expected, hour.watched_h] for hour in hours}
    flat = rates.ravel()
    for watched in watches:
        numbers = np.floor(watched.from_s / HOUR_S).astype(np.int64).tolist()
        expected = (flat[watched.cell] * watched.watched_h).tolist()
        for number, more, spent_h in zip(numbers, expected, watched.watched_h.tolist(), strict=True):
            hour = known.setdefault(number, [0.0, 0.0, 0.0])
            hour[1] += more
            hour[2] += spent_h
        known[numbers[-1]][0] += watched.left
    newest = sorted(known)[-KEPT_HOURS:]
    return tuple(DepartureHour(number=at, left=known[at][0], expected=known[at][1], watched_h=known[at][2]) for at in newest)


def shocks_of(hours: tuple[DepartureHour, ...], settings: OfferSettings) -> Shocks:
    """What the hours say, and the settings as long as they say little.

    What is so every week at this time is taken out, since a rate that is wrong all the time is no shock.
    """
    number, left, expected, watched_h = (np.array([hour[at] for hour in map(_columns, hours)]) for at in range(4))
    said = (watched_h >= LEAST_WATCHED_H) & (expected > 0.0)
    number, left, expected, watched_h = (column[said] for column in (number, left, expected, watched_h))
    usual = _usual(number.astype(np.int64), left, expected)
    above, is_rush = _rushes(number // HOURS_A_DAY, left, usual)
    share = np.clip(above[is_rush] / watched_h[is_rush], 0.0, 0.99)
    covariance, doubt = _covariance(number.astype(np.int64), left, usual, ~is_rush & (expected >= LEAST_EXPECTED), settings)
    waited_h = settings.rush_every_days * HOURS_A_DAY
    return Shocks(
        covariance=covariance,
        doubt=doubt,
        rush_per_h=(len(share) + 1.0) / (len(number) + waited_h),
        rushes=-np.log1p(-np.concatenate([share, [settings.rush_share]])),
        rushed_frac=float(above[is_rush].sum() / left.sum()) if left.sum() > 0.0 else 0.0,
    )


def factors(spread: F8 | float, score: F8) -> F8:
    """Factors on the rates of departure (W,), mean 1 and this standard deviation, from standard normal scores (W,)."""
    sigma2 = np.log1p(np.square(spread))
    drawn: F8 = np.exp(np.sqrt(sigma2) * score - 0.5 * sigma2)
    return drawn


def _columns(hour: DepartureHour) -> tuple[float, float, float, float]:
    return hour.number, hour.left, hour.expected, hour.watched_h


def _usual(number: F8, left: F8, expected: F8) -> F8:
    """What is usual at this time of the week."""
    place = (number % HOURS).astype(np.intp)
    ratio = (np.bincount(place, weights=left, minlength=HOURS) + _FEW) / (np.bincount(place, weights=expected, minlength=HOURS) + _FEW)
    usual: F8 = expected * ratio[place]
    return usual * max(left.sum() / usual.sum(), 1e-3) if len(usual) else usual


def _rushes(day_number: F8, left: F8, usual: F8) -> tuple[F8, B1]:
    """By how much each hour lies above what its day lets expect, and which of them are rushes."""
    _, day = np.unique(day_number, return_inverse=True)
    is_rush = np.zeros(len(left), dtype=np.bool_)
    above = np.zeros(len(left))
    for _ in range(_ROUNDS):
        calm = np.where(is_rush, 0.0, 1.0)
        mood = (np.bincount(day, weights=calm * left) + _FEW) / (np.bincount(day, weights=calm * usual) + _FEW)
        mean = usual * mood[day]
        above = left - mean
        is_rush = above > _RUSH * np.sqrt(mean + (_RESTLESS * mean) ** 2 + 1.0)
    return above, is_rush


def _covariance(number: F8, left: F8, usual: F8, tells: B1, settings: OfferSettings) -> tuple[F8, float]:
    """Covariance of the common factor at `LAGS_H`, and its relative standard error, by how far days say different things.

    Within an hour chance has a part: E[(left - usual)^2] = usual + v * usual^2. Between two hours it has none.
    """
    prior = settings.shock_spread**2
    if not tells.any():
        return np.full(len(LAGS_H), prior), 0.0
    first = int(number[tells][0]) // HOURS_A_DAY * HOURS_A_DAY
    length = (int(number[tells][-1]) - first) // HOURS_A_DAY * HOURS_A_DAY + HOURS_A_DAY
    off, base = np.zeros(length + HOURS_A_DAY), np.zeros(length + HOURS_A_DAY)
    place = (number[tells] - first).astype(np.intp)
    scale = left[tells].sum() / usual[tells].sum()
    off[place], base[place] = left[tells] - scale * usual[tells], scale * usual[tells]
    weight = 1.0 / (1.0 + prior * base)
    off, told = off * weight, base * weight
    # What is usual at each time of the week took a part of what varies along.
    weeks = length / HOURS
    taken = weeks / max(weeks - 1.0, 0.5 * weeks)
    found, doubt = [], 0.0
    for lags in LAGS_H:
        chance = base[:length] * weight[:length] ** 2 if lags == (0,) else 0.0
        sums = sum(off[:length] * off[lag : length + lag] for lag in lags) - chance
        weights = sum(told[:length] * told[lag : length + lag] for lag in lags)
        by_day, of_day = (np.asarray(each).reshape(-1, HOURS_A_DAY).sum(axis=1) for each in (sums, weights))
        days = float(of_day.sum() ** 2 / max((of_day**2).sum(), 1e-12))
        learned = taken * float(by_day.sum() / max(of_day.sum(), 1e-12))
        value = max(0.0, (days * learned + settings.shock_weight * prior) / (days + settings.shock_weight))
        if lags == (0,):
            error = sqrt(float(((taken * by_day - learned * of_day) ** 2).sum())) / float(of_day.sum())
            doubt = min(1.0, error * days / (days + settings.shock_weight) / value) if value > 0.0 else 0.0
        found.append(value)
    return np.array(found), doubt
