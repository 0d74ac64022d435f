"""When cars leave before they said: learned per hour of the week and time since plug-in, each shrunk to what is usual.

Aggregates only: hours that were watched and departures that were seen; nothing in here is of one person or car. A car counts for as
long as it would have been counted on, that is until its laxity margin before the announced departure; whoever leaves later, as announced,
is no surprise.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import exp, log

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from counterflow.domain.offers import LearnedDepartures
from counterflow.engine.fleet.snapshot import F8
from counterflow.engine.offers.settings import OfferSettings

HOUR_S = 3600.0
HOURS = 168
_GUESS = 0.25
"""Relative variance of the rate that the settings name: it may be off by half."""
_THURSDAY = 72
"""1970-01-01 was a Thursday; weeks are counted from Monday 00:00 UTC."""
PLUGGED_H = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
KINDS = len(PLUGGED_H) + 1
"""Kinds of cars by the time since plug-in."""
_USUAL = ((0, 1), (0, 2), (1, 2))
_SPECIAL = ((2,), (0,), ())
"""Axes of (day, hour, kind) that departures are summed over, step by step."""
LONGEST_STAY_S = 14 * 86_400.0
"""A session that lasted longer teaches with its last two weeks: it was forgotten rather than parked."""


def nothing_seen(at_s: float) -> LearnedDepartures:
    """Nothing was learned yet."""
    zeros = (0.0,) * (HOURS * KINDS)
    return LearnedDepartures(at_s=at_s, watched_h=zeros, left=zeros)


class Watch(Struct, frozen=True, kw_only=True):
    """One session as it was watched, hour by hour: cell, instant and length of each part; the last one ended in a departure or not."""

    cell: NDArray[np.intp]
    from_s: F8
    watched_h: F8
    left: bool


def hour_of_week(at_s: F8) -> NDArray[np.intp]:
    """0 = Monday 00:00 to 01:00 UTC."""
    hours = np.floor(np.asarray(at_s) / HOUR_S).astype(np.intp)
    return (hours + _THURSDAY) % HOURS


def kind_of(plugged_s: F8) -> NDArray[np.intp]:
    """The kind of cars that have been plugged in for so long."""
    return np.searchsorted(np.array(PLUGGED_H) * HOUR_S, plugged_s, side="right").astype(np.intp)


def watch(started_s: float, ended_s: float, counted_until_s: float) -> Watch | None:
    """What a session teaches that was counted on until `counted_until_s` at most; None when it never was."""
    until_s = min(ended_s, counted_until_s)
    from_s = max(started_s, until_s - LONGEST_STAY_S)
    if not until_s > from_s:
        return None
    hours_s = np.arange(np.ceil(from_s / HOUR_S), np.ceil(until_s / HOUR_S)) * HOUR_S
    kinds_s = started_s + np.array(PLUGGED_H) * HOUR_S
    cuts_s = np.unique(np.concatenate([[from_s], hours_s, kinds_s[(kinds_s > from_s) & (kinds_s < until_s)], [until_s]]))
    begin_s = cuts_s[:-1]
    middle_s = 0.5 * (cuts_s[:-1] + cuts_s[1:])
    cell = hour_of_week(middle_s) * KINDS + kind_of(middle_s - started_s)
    return Watch(cell=cell, from_s=begin_s, watched_h=np.diff(cuts_s) / HOUR_S, left=ended_s < counted_until_s)


def taught(seen: LearnedDepartures, watches: Sequence[Watch], at_s: float, memory_days: float) -> LearnedDepartures:
    """`seen`, faded to `at_s`, with more sessions."""
    fade = exp(-log(2.0) * max(0.0, at_s - seen.at_s) / (memory_days * 86_400.0))
    hours, left = fade * np.array(seen.watched_h), fade * np.array(seen.left)
    for watched in watches:
        np.add.at(hours, watched.cell, watched.watched_h)
        left[watched.cell[-1]] += watched.left
    return replace(seen, at_s=max(at_s, seen.at_s), watched_h=tuple(hours.tolist()), left=tuple(left.tolist()))


def rates_per_h(seen: LearnedDepartures, settings: OfferSettings) -> F8:
    """Departures per car and hour (HOURS, KINDS): that of all, shrunk to the setting, times what is usual for a kind, an hour of the day
    and a day of the week, each by itself; then what is special of an hour of the week, of a kind at an hour of the day, and of both.

    Every step is a factor, departures seen over departures expected by the steps before, as if `leave_weight` more had come as expected.
    So weekends are told from working days by all their hours together, which no hour of the week would see enough departures for.
    """
    hours, left = (np.array(each).reshape(7, 24, KINDS) for each in (seen.watched_h, seen.left))
    weight = settings.leave_weight
    rate = np.full(hours.shape, (left.sum() + weight) / (hours.sum() + weight / settings.leave_per_h))
    for over in (*_USUAL, *_USUAL, *_SPECIAL):
        expected = (hours * rate).sum(axis=over, keepdims=True)
        rate = rate * (left.sum(axis=over, keepdims=True) + weight) / (expected + weight)
    found: F8 = rate.reshape(HOURS, KINDS)
    return found


def doubts(seen: LearnedDepartures, settings: OfferSettings, varies: float = 0.0) -> F8:
    """How little is known of the rate of each hour of the week (HOURS,): the relative variance of the mean rate of the cars that are there.

    It follows the steps of `rates_per_h`: what comes from departures errs as their number does, what comes from before as that does.
    Departures of the same day are no separate witnesses: days differ by `varies`, the variance of their common factor.
    """
    left = np.array(seen.left).reshape(7, 24, KINDS).sum(axis=2)
    weight = settings.leave_weight
    days = max(7.0, min(len(seen.hours) / 24.0, 2.0 * settings.leave_memory_days / log(2.0)))

    def tells(seen_left: F8, on_days: float) -> F8:
        return seen_left / (1.0 + seen_left * varies / on_days)

    every = _variance(tells(left.sum(), days), _GUESS, weight)
    of_hour = _variance(tells(left.sum(axis=0, keepdims=True), days), every, weight)
    of_day = _variance(tells(left.sum(axis=1, keepdims=True), days / 7.0), 0.0, weight)
    found: F8 = _variance(tells(left, days / 7.0), of_hour + of_day, weight).ravel()
    return found


def doubt_over(doubt: F8, at_s: float, until_s: float) -> float:
    """The relative variance of the mean rate between two instants, by that of each hour of the week (HOURS,): hours err by themselves."""
    cuts_s = np.unique(np.concatenate([[at_s], np.arange(np.ceil(at_s / HOUR_S), np.ceil(until_s / HOUR_S)) * HOUR_S, [until_s]]))
    share = np.diff(cuts_s) / (until_s - at_s)
    return float(share**2 @ doubt[hour_of_week(0.5 * (cuts_s[:-1] + cuts_s[1:]))])


def hazard_before(rate_per_h: F8, at_s: float, plugged_s: F8, edges_s: F8) -> F8:
    """Hazard (K, J) that a car, plugged in for `plugged_s` (K,) at `at_s`, gathers until `edges_s` (J,) after that: it has left by then
    with the probability `1 - exp(-hazard)`."""
    steps_s = np.concatenate([[0.0], edges_s])
    finest_s = 900.0
    inner = [np.linspace(a, b, 1 + max(1, int(np.ceil((b - a) / finest_s))))[:-1] for a, b in pairwise(steps_s)]
    grid_s = np.concatenate([*inner, steps_s[-1:]])
    middle_s = 0.5 * (grid_s[:-1] + grid_s[1:])
    rate = rate_per_h[hour_of_week(at_s + middle_s)[np.newaxis, :], kind_of(plugged_s[:, np.newaxis] + middle_s)]
    summed = np.concatenate([np.zeros((len(plugged_s), 1)), np.cumsum(rate * np.diff(grid_s) / HOUR_S, axis=1)], axis=1)
    at_edges: F8 = summed[:, np.searchsorted(grid_s, edges_s)]
    return at_edges


def _variance(left: F8, wider: F8 | float, weight: float) -> F8:
    """The relative variance of a rate that was seen in `left` departures and shrunk to one of the relative variance `wider`."""
    variance: F8 = left / (left + weight) ** 2 + (weight / (left + weight)) ** 2 * wider
    return variance
