"""What cars cost, and that the policy `economic` is about the cheapest there is (control 2.2)."""

from typing import Any

import highspy
import numpy as np
import pytest

from counterflow.domain.instructions import AllocationPolicy
from counterflow.engine.dispatch.allocate import allocate
from counterflow.engine.dispatch.cost import COST_MODELS, Cars, CostSettings, convex, flat, whole_cost_per_kwh

SETTINGS = CostSettings()


def cars(**given: Any) -> Cars:
    columns = {"power_w": 10_000.0, "capacity_wh": 60_000.0, "soc_frac": 0.6, "agreed_per_kwh": np.nan} | given
    n = max(np.size(value) for value in columns.values())
    return Cars(**{name: np.broadcast_to(np.asarray(value, dtype=float), n) for name, value in columns.items()})


def test_flat_is_price_over_life_and_energy_bought_back() -> None:
    costs = flat(cars(), SETTINGS)
    assert costs.per_kwh[0] == pytest.approx(120.0 / (3_000.0 * 0.8) + 0.25 / 0.81)
    assert costs.per_h[0] == pytest.approx(0.15 * 0.25)
    whole = whole_cost_per_kwh(cars(power_w=[10_000.0, 1_000.0, 0.0]), SETTINGS)
    np.testing.assert_allclose(whole[:2] - costs.per_kwh[0], [0.00375, 0.0375])
    assert whole[2] == np.inf


def test_what_was_agreed_with_a_driver_goes_first() -> None:
    costs = COST_MODELS["flat"](cars(agreed_per_kwh=[np.nan, 0.0, 0.15]), SETTINGS)
    np.testing.assert_allclose(costs.per_kwh - 0.25 / 0.81, [0.05, 0.0, 0.15])


def test_convex_wear_rises_near_empty_near_full_and_above_1_c_and_never_falls_below_flat() -> None:
    given = cars(
        soc_frac=[0.6, 0.1, 0.0, 0.95, 0.6, np.nan], power_w=[10e3, 10e3, 10e3, 10e3, 90e3, 10e3], capacity_wh=[60e3] * 5 + [np.nan]
    )
    wear = (convex(given, SETTINGS).per_kwh - 0.25 / 0.81) / 0.05
    np.testing.assert_allclose(wear, [1.0, 1.25, 2.0, 1.25, 1.5, 1.0])


def cheapest_by_milp(asked: Any, per_kwh: Any, per_h: Any) -> float:
    """The least cost of an hour at the target, by HiGHS: a car is off, or gives from its minimum to its cap."""
    n = len(asked.caps_w)
    solver = highspy.Highs()
    solver.silent()
    solver.setOptionValue("mip_rel_gap", 1e-6)
    solver.setOptionValue("time_limit", 5.0)
    for row in range(n):
        solver.addVar(0.0, float(asked.caps_w[row]) / 1e3)
        solver.changeColCost(2 * row, float(per_kwh[row]))
        solver.addVar(0.0, 1.0)
        solver.changeColCost(2 * row + 1, float(per_h[row]))
        solver.changeColIntegrality(2 * row + 1, highspy.HighsVarType.kInteger)
        pair = np.array([2 * row, 2 * row + 1])
        solver.addRow(-highspy.kHighsInf, 0.0, 2, pair, np.array([1.0, -float(asked.caps_w[row]) / 1e3]))
        solver.addRow(0.0, highspy.kHighsInf, 2, pair, np.array([1.0, -float(asked.min_w[row]) / 1e3]))
    solver.addRow(asked.target_w / 1e3, asked.target_w / 1e3, n, 2 * np.arange(n), asked.gain)
    solver.run()
    return float(solver.getInfo().mip_dual_bound)


@pytest.mark.parametrize("seed", range(6))
def test_economic_is_within_a_thousandth_of_the_cheapest_and_proportional_is_not(problem: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 250
    caps_w = rng.uniform(3_700.0, 22_000.0, n)
    told = Cars(caps_w, rng.uniform(40e3, 90e3, n), rng.uniform(0.3, 0.9, n), rng.uniform(0.04, 0.15, n))
    costs = flat(told, SETTINGS)
    asked = problem(
        rng.uniform(0.3, 0.9) * caps_w.sum(),
        caps_w,
        min_w=0.1 * caps_w,
        # All wait about as long: within one step of laxity the price decides.
        energy_wh=0.2 * caps_w,
        cost=whole_cost_per_kwh(told, SETTINGS),
    )

    def cost_of(policy: AllocationPolicy) -> float:
        power_w = allocate(asked, policy).power_w
        assert float(power_w.sum()) == pytest.approx(asked.target_w)
        return float((costs.per_kwh * power_w / 1e3).sum() + costs.per_h[power_w > 0.0].sum())

    least = cheapest_by_milp(asked, costs.per_kwh, costs.per_h)
    assert least * (1.0 - 1e-9) <= cost_of(AllocationPolicy.ECONOMIC) <= 1.001 * least
    assert cost_of(AllocationPolicy.PROPORTIONAL) > 1.01 * least


def test_energy_that_would_be_lost_goes_before_energy_that_is_cheap(problem: Any) -> None:
    asked = problem(7_000.0, [7_000.0, 7_000.0], energy_wh=[7_000.0, 1_000.0], cost=np.array([0.9, 0.1]))
    np.testing.assert_allclose(allocate(asked, AllocationPolicy.ECONOMIC).power_w, [7_000.0, 0.0])
    near = problem(7_000.0, [7_000.0, 7_000.0], energy_wh=[1_400.0, 1_000.0], cost=np.array([0.9, 0.1]))
    np.testing.assert_allclose(allocate(near, AllocationPolicy.ECONOMIC).power_w, [0.0, 7_000.0])
