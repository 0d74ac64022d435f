"""Courses drawn one by one and by kind say the same, and what all cars share does not average out."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from counterflow.engine.offers.flow import firm_power_w
from counterflow.engine.offers.hazard import HOURS, KINDS, nothing_seen, rates_per_h
from counterflow.engine.offers.scenarios import (
    Cars,
    Cells,
    Group,
    Risks,
    Shared,
    Span,
    cells_of,
    courses,
    one_by_one,
    tables,
)
from counterflow.engine.offers.settings import OfferSettings
from counterflow.engine.offers.shock import Shocks

SETTINGS = OfferSettings(scenarios=1_000)
RATES = rates_per_h(nothing_seen(0.0), SETTINGS)
RISKS = Risks(rates_per_h=RATES, doubt=np.zeros(HOURS), shocks=Shocks.even(0.4))
AT_S = 1_800_000_000.0


def fleet(count: int, seed: int = 1) -> Cars:
    random = np.random.default_rng(seed)
    return Cars(
        power_w=random.uniform(3e3, 11e3, count),
        energy_wh=random.uniform(500.0, 30e3, count),
        until_s=np.where(random.random(count) < 0.5, np.inf, random.uniform(0.0, 20_000.0, count)),
        plugged_s=random.uniform(0.0, 60_000.0, count),
    )


def span(window_s: float = 3_600.0, lead_s: float = 0.0) -> Span:
    return Span(at_s=AT_S, lead_s=lead_s, window_s=window_s)


def levels(power_w: Any) -> Any:
    return np.quantile(power_w, [0.5, 0.1, 0.05, 0.01])


@pytest.mark.parametrize("window_s", [900.0, 10_800.0])
def test_row_24_cars_taken_together_say_what_cars_one_by_one_say(window_s: float) -> None:
    said = []
    for seed in range(3):
        random = np.random.default_rng(seed)
        shared = Shared.drawn(RISKS, span(window_s), SETTINGS, random)
        alone = levels(one_by_one(fleet(400, seed), span(window_s), RATES, shared, SETTINGS, random).power_w)
        together = levels(Group.of(fleet(400, seed), span(window_s), RATES, SETTINGS).courses(shared, random).power_w)
        said.append((together - alone) / alone[0])
    # Each side has luck of its own: the mean is what grouping does (the bench asks for a fifth of a percent, with more courses).
    assert np.abs(np.mean(said, axis=0)).max() <= 0.008
    assert abs(np.mean(said)) <= 0.003


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([600.0, 3_600.0, 20_000.0]))
def test_a_cell_lies_between_its_least_and_its_most_and_nothing_is_lost(seed: int, window_s: float) -> None:
    random = np.random.default_rng(seed)
    count = 60
    kind = random.integers(0, 3, count)
    power_w, run_s, until_s = random.uniform(1e3, 9e3, count), random.uniform(1.0, 9_000.0, count), random.uniform(1.0, 9_000.0, count)
    cells = cells_of(kind, power_w, run_s, until_s, window_s)
    assert cells.power_w.sum() == pytest.approx(power_w.sum())
    # Every car by itself is a cell that is exact.
    order = np.argsort(kind, kind="stable")
    own = Cells(kind=kind[order], power_w=power_w[order], run_s=run_s[order], until_s=until_s[order])
    exact = sum(tables(own, 3, window_s, 8))
    step_s = window_s / 64.0
    low, high = (
        sum(
            tables(Cells(kind=own.kind, power_w=own.power_w, run_s=np.maximum(own.run_s + d, 0.0), until_s=own.until_s + d), 3, window_s, 8)
        )
        for d in (-step_s, step_s)
    )
    grouped = sum(tables(cells, 3, window_s, 8))
    assert (low <= grouped + 1e-6).all()
    assert (grouped <= high + 1e-6).all()
    assert (low <= exact + 1e-6).all()


@pytest.mark.parametrize("window_s", [900.0, 3_600.0, 10_800.0])
def test_without_risks_the_courses_are_the_closed_form(window_s: float) -> None:
    calm = replace(SETTINGS, gain_spread=0.0, energy_spread=0.0, common_gain_spread=0.0, common_energy_spread=0.0)
    still = Risks(rates_per_h=np.zeros((HOURS, KINDS)), doubt=np.zeros(HOURS), shocks=Shocks.even(0.0))
    for count in (50, 900):
        # At the end of a shift many must charge for home, one after another, up to the last seconds of the window.
        shift = replace(fleet(count), until_s=np.where(np.arange(count) % 3 == 0, np.inf, window_s * np.linspace(0.7, 1.1, count)))
        for cars in (fleet(count), shift):
            [drawn] = courses(cars, span(window_s), still, calm, np.random.default_rng(1))
            exact = float(firm_power_w(cars.power_w, cars.energy_wh, cars.until_s, window_s))
            assert drawn.power_w == pytest.approx(np.full(calm.scenarios, exact), rel=2e-4)
            assert drawn.energy_wh.min() * 3_600.0 / window_s >= exact * 0.9998


def test_what_all_share_does_not_average_out_and_independence_promises_too_much() -> None:
    for count in (90, 4_000):
        shared, alone = courses(fleet(count), span(10_800.0), RISKS, SETTINGS, np.random.default_rng(1), independent=True)
        tail = [1.0 - np.quantile(each.power_w, 0.1) / np.median(each.power_w) for each in (shared, alone)]
        assert tail[0] > tail[1]
    assert tail[0] > 3.0 * tail[1], "the larger the fleet the more"


def test_a_window_to_come_has_lost_those_who_left_before_it() -> None:
    for count in (80, 2_000):
        now, later = (
            float(np.median(courses(fleet(count), span(1_800.0, lead_s), RISKS, SETTINGS, np.random.default_rng(1))[0].power_w))
            for lead_s in (0.0, 7_200.0)
        )
        assert later == pytest.approx(now * np.exp(-0.05 * 2.0), rel=0.03)


def test_rates_that_are_known_from_few_departures_make_offers_careful() -> None:
    unsure = Risks.of(nothing_seen(0.0), SETTINGS)
    sure = Risks(rates_per_h=unsure.rates_per_h, doubt=np.zeros(HOURS), shocks=unsure.shocks)
    said = [
        np.quantile(courses(fleet(1_500), span(10_800.0), each, SETTINGS, np.random.default_rng(1))[0].power_w, 0.1)
        for each in (unsure, sure)
    ]
    assert said[0] < said[1]
    assert unsure.spread_over(span()) > unsure.shocks.spread_over(3_600.0)


def test_the_same_fleet_and_seed_give_the_same_courses() -> None:
    one, other = (courses(fleet(500), span(), RISKS, SETTINGS, np.random.default_rng(7))[0].power_w for _ in range(2))
    assert (one == other).all()


def test_no_cars_hold_nothing() -> None:
    none = Cars(power_w=np.array([0.0, 5e3]), energy_wh=np.array([1e3, 0.0]), until_s=np.array([9e9, 9e9]), plugged_s=np.zeros(2))
    for each in courses(none, span(), RISKS, SETTINGS, np.random.default_rng(1), independent=True):
        assert not each.power_w.any()
        assert not each.energy_wh.any()
