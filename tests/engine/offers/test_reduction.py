"""What cars give by charging less: never more than their plan, as long as they may, and with what they discharge they leave as one."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.offers.test_offer import CAPABILITY, NOW_S, picture, promised

from counterflow.domain.instructions import DispatchMode
from counterflow.engine.fleet.capability import capability
from counterflow.engine.fleet.snapshot import FleetImage
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.fleet.undisturbed import ChargingTerms, Undisturbed
from counterflow.engine.offers.flow import firm_power_w
from counterflow.engine.offers.offer import Stock, stock_of
from counterflow.engine.offers.reduction import GivenUp, on_top, plans_of
from counterflow.engine.offers.scenarios import Span

TERMS = ChargingTerms()
CHARGING: dict[str, Any] = {
    "consent": False, "pausing": True, "power_w": 7_000.0, "soc_frac": 0.3, "soc_target_frac": 0.9, "pause_left_s": 7_200.0,
    "drew_w": 7_000.0, "departure_s": NOW_S + 20 * 3_600.0,
}  # fmt: skip


def stock(image: FleetImage, mode: DispatchMode, *, window_s: float = 3_600.0, lead_s: float = 0.0) -> Stock:
    able = capability(image, NOW_S, NOW_S + window_s, CAPABILITY)
    every = np.ones(len(image), dtype=np.bool_)
    span = Span(at_s=NOW_S, lead_s=lead_s, window_s=window_s)
    return stock_of(image, able, np.ones(len(image)), every, every, Topology(()), span, CAPABILITY, mode=mode, charging=TERMS)


def test_cars_that_only_charge_are_an_offer_in_relative_and_none_in_net_export() -> None:
    image = picture(40, **CHARGING)
    assert len(stock(image, DispatchMode.NET_EXPORT).cars) == 0
    relative = stock(image, DispatchMode.RELATIVE)
    assert relative.sessions_ready == 40
    assert relative.given_up_power_w == pytest.approx(40 * 7_000.0)
    said = promised(relative)
    assert 0.5 * 40 * 7_000.0 < said.power_w < 40 * 7_000.0
    assert said.grounds.given_up_power_w == pytest.approx(40 * 7_000.0)
    assert len(stock(picture(40, **(CHARGING | {"pausing": False})), DispatchMode.RELATIVE).cars) == 0, "nobody agreed"


def test_a_pause_that_is_bounded_is_spread_over_the_window() -> None:
    short = picture(40, **(CHARGING | {"pause_left_s": 900.0}))
    cars = stock(short, DispatchMode.RELATIVE).cars
    assert cars.energy_wh == pytest.approx(np.full(40, 7_000.0 * 0.25), rel=0.03)
    held_w = firm_power_w(cars.power_w, cars.energy_wh, cars.until_s, 3_600.0)
    assert held_w == pytest.approx(40 * 7_000.0 * 0.25, rel=0.03), "a quarter of an hour of each, one after another"
    filling = stock(picture(5, **(CHARGING | {"soc_frac": 0.85, "pause_left_s": 600.0})), DispatchMode.RELATIVE).cars
    assert (filling.until_s < 3_600.0).all()
    assert (filling.energy_wh <= filling.power_w * 600.0 / 3_600.0).all()


def test_cars_that_will_be_full_before_the_window_have_nothing_to_give_up_in_it() -> None:
    filling = picture(10, **(CHARGING | {"soc_frac": 0.85}))
    assert len(stock(filling, DispatchMode.RELATIVE, lead_s=3 * 3_600.0).cars) == 0
    assert len(stock(filling, DispatchMode.RELATIVE, window_s=600.0).cars) == 10


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([600.0, 3_600.0, 20_000.0]), st.sampled_from([0.0, 1_800.0]))
def test_what_is_counted_lies_below_the_plan_at_any_time(seed: int, window_s: float, lead_s: float) -> None:
    random = np.random.default_rng(seed)
    count = 30
    image = picture(
        count,
        power_w=random.uniform(0.0, 11e3, count),
        soc_frac=random.uniform(0.1, 1.0, count),
        capacity_wh=random.uniform(20e3, 100e3, count),
        departure_s=NOW_S + random.uniform(0.0, 30_000.0, count),
    )
    plan = plans_of(image, np.ones(count, dtype=np.bool_), Span(at_s=NOW_S, lead_s=lead_s, window_s=window_s), TERMS)
    until_s = np.minimum(plan.until_s, window_s)
    for share in (0.0, 0.3, 0.7, 0.999):
        at_s = NOW_S + lead_s + share * until_s
        each = [Undisturbed.found(image, TERMS).power_at(instant, TERMS)[row] for row, instant in enumerate(at_s.tolist())]
        assert (plan.power_w <= np.array(each) + 1e-6).all()
        assert (at_s[plan.power_w > 0.0] <= image.departure_s[plan.power_w > 0.0] + 1e-6).all()


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1))
def test_discharge_and_charging_given_up_together_promise_no_more_than_both_apart(seed: int) -> None:
    random = np.random.default_rng(seed)
    count, window_s = 12, 3_600.0
    power_w, energy_wh = random.uniform(1e3, 9e3, count), random.uniform(0.0, 12e3, count)
    until_s = np.where(random.random(count) < 0.5, np.inf, random.uniform(0.0, 5_000.0, count))
    plan = GivenUp(
        power_w=np.where(random.random(count) < 0.7, random.uniform(500.0, 9e3, count), 0.0),
        until_s=np.where(random.random(count) < 0.5, np.inf, random.uniform(0.0, window_s, count)),
    )
    both = on_top(power_w, energy_wh, until_s, plan, Span(at_s=0.0, lead_s=0.0, window_s=window_s))
    together_w = firm_power_w(*both, window_s)
    apart_w = firm_power_w(
        np.concatenate([power_w, plan.power_w]),
        np.concatenate([energy_wh, np.full(count, 1e9)]),
        np.concatenate([until_s, plan.until_s]),
        window_s,
    )
    assert together_w <= apart_w + 1e-6
    assert (np.minimum(both[1], both[0]) >= np.minimum(energy_wh, power_w) - 1e-6).all()
