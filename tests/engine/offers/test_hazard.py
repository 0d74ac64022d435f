"""When cars leave before they said: what is watched, how it fades, and how it shrinks to what is known of more."""

import numpy as np
import pytest

from counterflow.engine.offers.hazard import (
    HOURS,
    KINDS,
    LONGEST_STAY_S,
    PLUGGED_H,
    doubt_over,
    doubts,
    hazard_before,
    hour_of_week,
    kind_of,
    nothing_seen,
    rates_per_h,
    taught,
    watch,
)
from counterflow.engine.offers.settings import OfferSettings

SETTINGS = OfferSettings()
MONDAY_S = 345_600.0
"""1970-01-05T00:00Z."""


def test_the_week_begins_on_monday_at_midnight_utc() -> None:
    assert hour_of_week(np.array([MONDAY_S, MONDAY_S - 1.0, MONDAY_S + 7 * 86_400.0 + 3_600.0])).tolist() == [0, 167, 1]


def test_a_session_is_watched_hour_by_hour_until_it_leaves() -> None:
    watched = watch(MONDAY_S + 1_800.0, MONDAY_S + 9_000.0, MONDAY_S + 36_000.0)
    assert watched is not None
    assert watched.left
    assert watched.watched_h.sum() == pytest.approx(2.0)
    # Half an hour in hour 0, then kinds change at half an hour (with the hour), one and two hours after plug-in.
    assert [(int(cell) // KINDS, int(cell) % KINDS) for cell in watched.cell] == [(0, 0), (1, 1), (1, 2), (2, 2)]
    assert watched.from_s.tolist() == [MONDAY_S + 1_800.0, MONDAY_S + 3_600.0, MONDAY_S + 5_400.0, MONDAY_S + 7_200.0]


def test_who_leaves_as_announced_is_no_departure_and_who_was_never_counted_on_teaches_nothing() -> None:
    watched = watch(MONDAY_S, MONDAY_S + 9_000.0, MONDAY_S + 7_200.0)
    assert watched is not None
    assert not watched.left
    assert watched.watched_h.sum() == pytest.approx(2.0)
    assert watch(MONDAY_S, MONDAY_S + 9_000.0, MONDAY_S - 60.0) is None
    assert watch(MONDAY_S, MONDAY_S - 5.0, MONDAY_S + 60.0) is None, "a clock that ran backwards"


def test_a_car_that_was_forgotten_teaches_with_its_last_two_weeks() -> None:
    watched = watch(MONDAY_S, MONDAY_S + 100 * 86_400.0, MONDAY_S + 200 * 86_400.0)
    assert watched is not None
    assert watched.watched_h.sum() == pytest.approx(LONGEST_STAY_S / 3_600.0)


def test_what_was_learned_fades_to_half_and_never_backwards() -> None:
    watched = watch(MONDAY_S, MONDAY_S + 3_600.0, MONDAY_S + 7_200.0)
    assert watched is not None
    seen = taught(nothing_seen(MONDAY_S), [watched, watched], MONDAY_S, 60.0)
    assert seen.departures == pytest.approx(2.0)
    later = taught(seen, [], MONDAY_S + 60 * 86_400.0, 60.0)
    assert later.departures == pytest.approx(1.0)
    assert sum(later.watched_h) == pytest.approx(1.0)
    assert taught(later, [], MONDAY_S, 60.0) == later


def test_nothing_seen_is_the_setting_and_much_seen_is_what_was_seen() -> None:
    assert rates_per_h(nothing_seen(0.0), SETTINGS) == pytest.approx(np.full((HOURS, KINDS), SETTINGS.leave_per_h))
    seen = nothing_seen(0.0)
    cell = 10 * KINDS + 2
    hours, left = np.full(HOURS * KINDS, 1_000.0), np.full(HOURS * KINDS, 100.0)
    left[cell] = 900.0
    rates = rates_per_h(type(seen)(at_s=0.0, watched_h=tuple(hours), left=tuple(left)), SETTINGS)
    assert rates[0, 0] == pytest.approx(0.1, rel=0.05)
    assert rates[10, 2] == pytest.approx(0.9, rel=0.06)
    assert rates[34, 2] > rates[34, 3], "the same hour of another day knows of it, a little"


def test_hazard_follows_the_clock_and_the_time_since_plug_in() -> None:
    rates = np.zeros((HOURS, KINDS))
    rates[0, 0], rates[1, 1], rates[1, 2] = 1.0, 2.0, 4.0
    found = hazard_before(rates, MONDAY_S, np.array([0.0, 1_800.0]), np.array([0.0, 1_800.0, 3_600.0, 5_400.0, 7_200.0]))
    assert found[0] == pytest.approx([0.0, 0.5, 0.5, 0.5 + 2.0, 2.5 + 2.0], rel=0.02)
    assert found[1].tolist() == sorted(found[1].tolist())


def test_what_is_known_from_few_departures_is_doubted_and_hours_err_by_themselves() -> None:
    seen = nothing_seen(0.0)
    assert doubts(seen, SETTINGS) == pytest.approx(np.full(HOURS, 0.25)), "the setting may be off by half"
    left, hours = np.ones((HOURS, KINDS)), np.full((HOURS, KINDS), 10.0)
    left[0, :] = 50.0
    doubt = doubts(type(seen)(at_s=0.0, watched_h=tuple(hours.ravel()), left=tuple(left.ravel())), SETTINGS)
    assert doubt[0] == pytest.approx(1.0 / (50.0 * KINDS), rel=0.2), "much was seen in this hour"
    assert doubt[0] < doubt[24] < doubt[1], "the same hour of another day is known better than another hour"
    assert doubt_over(doubt, MONDAY_S, MONDAY_S + 1_800.0) == pytest.approx(doubt[0])
    assert doubt_over(doubt, MONDAY_S + 1_800.0, MONDAY_S + 5_400.0) == pytest.approx(0.25 * (doubt[0] + doubt[1]))
    assert doubt_over(doubt, MONDAY_S + 3_600.0, MONDAY_S + 5 * 3_600.0) == pytest.approx(doubt[1] / 4.0)


def test_weekends_are_told_from_working_days_though_no_hour_of_them_saw_much() -> None:
    seen, random = nothing_seen(0.0), np.random.default_rng(1)
    by_hour, by_day = np.linspace(0.02, 0.1, 24), np.array([1.0] * 5 + [0.4] * 2)
    true = np.repeat((by_day[:, np.newaxis] * by_hour).reshape(HOURS, 1), KINDS, axis=1)
    hours = np.full((HOURS, KINDS), 40.0)
    left = random.poisson(true * hours)
    found = rates_per_h(type(seen)(at_s=0.0, watched_h=tuple(hours.ravel()), left=tuple(left.ravel().astype(float))), SETTINGS)
    assert found[:120].mean() / true[:120].mean() == pytest.approx(1.0, abs=0.04)
    assert found[120:].mean() / true[120:].mean() == pytest.approx(1.0, abs=0.08)
    assert np.abs(found.mean(axis=1) / true[:, 0] - 1.0).mean() < 0.15, "as one hour alone would be known by 0.2 at best"
    assert (left.sum() / hours.sum()) == pytest.approx(found.mean(), rel=0.02)


def test_kinds_end_where_they_are_said_to() -> None:
    assert kind_of(np.array([0.0, *(3_600.0 * hours for hours in PLUGGED_H)])).tolist() == list(range(KINDS))
