"""Merit order: discharge laxity, against the LP's capacity over whole windows (control 2.2)."""

from typing import Any

import highspy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.domain.instructions import AllocationPolicy
from counterflow.engine.dispatch.allocate import allocate
from counterflow.engine.dispatch.merit import discharge_laxity_s, merit_rank, take_in_order

STEP_S = 300.0


def test_laxity_is_the_time_a_car_can_wait_and_still_give_everything() -> None:
    laxity_s = discharge_laxity_s(
        np.array([6_000.0, 6_000.0, 6_000.0, 0.0]),
        np.array([1_000.0, 99_000.0, 1_000.0, 5.0]),
        np.array([9e9, 9e9, 1_200.0, 9e9]),
        0.0,
        3_600.0,
    )
    np.testing.assert_allclose(laxity_s[:3], [3_000.0, 0.0, 600.0])
    assert laxity_s[3] == np.inf


def test_rank_goes_by_laxity_then_running_then_end_of_use_then_size() -> None:
    power_w = np.array([5_000.0, 5_000.0, 5_000.0, 9_000.0, 0.0])
    energy_wh = np.array([500.0, 9_000.0, 9_000.0, 18_000.0, 9_000.0])
    useful_s = np.array([9e9, 9e9, 1_800.0, 9e9, 9e9])
    rank = merit_rank(power_w, energy_wh, useful_s, 0.0, 3_600.0)
    assert np.argsort(rank).tolist() == [2, 3, 1, 0, 4]
    running = np.array([False, True, False, False, False])
    assert np.argsort(merit_rank(power_w, energy_wh, useful_s, 0.0, 3_600.0, running)).tolist() == [1, 2, 3, 0, 4]
    assert rank[4] == 1.0


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    cars=st.sampled_from([1, 5, 50, 5_000, 20_000]),
    share=st.floats(0.0, 1.3),
    ranks=st.sampled_from(["apart", "tied", "close"]),
)
def test_taking_in_order_is_what_a_full_sort_would_take(seed: int, cars: int, share: float, ranks: str) -> None:
    rng = np.random.default_rng(seed)
    rank = rng.integers(0, 7, cars) / 8.0 if ranks == "tied" else rng.random(cars)
    if ranks == "close":
        # All but one within one bucket of the first cut, and of that again.
        rank = 0.3 + 1e-6 * np.where(rng.random(cars) < 0.5, rank, 1e-6 * rank)
        rank[0] = 1.0
    gives_w = rng.choice([0.0, 1_000.0, 7_000.0], cars)
    need_w = share * float(gives_w.sum())
    whole, part = take_in_order(rank, gives_w, need_w)
    order = np.argsort(rank, kind="stable")
    order = order[gives_w[order] > 0.0]
    filled_w = np.cumsum(gives_w[order])
    expected = order[filled_w <= need_w + 1e-6] if need_w > 0.0 else order[:0]
    assert np.array_equal(np.sort(whole), np.sort(expected))
    rest = order[len(expected) :].tolist() if need_w > 0.0 else []
    missing_w = need_w - float(gives_w[expected].sum())
    assert part == (rest[0] if rest and missing_w > 1e-6 else -1)


def capacity_by_lp(power_w: Any, energy_wh: Any, until_s: Any, shape: Any) -> float:
    """The largest multiple of `shape` that the fleet can hold over all steps."""
    n, steps = len(power_w), len(shape)
    solver = highspy.Highs()
    solver.silent()
    for row in range(n):
        for step in range(steps):
            solver.addVar(0.0, float(power_w[row]) if (step + 1) * STEP_S <= until_s[row] + 1e-6 else 0.0)
    solver.addVar(0.0, highspy.kHighsInf)
    for row in range(n):
        at = np.arange(row * steps, (row + 1) * steps)
        solver.addRow(0.0, float(energy_wh[row]) * 3600.0 / STEP_S, steps, at, np.ones(steps))
    for step in range(steps):
        at = np.append(np.arange(step, n * steps, steps), n * steps)
        solver.addRow(0.0, highspy.kHighsInf, n + 1, at, np.append(np.ones(n), -float(shape[step])))
    solver.changeColCost(n * steps, 1.0)
    solver.changeObjectiveSense(highspy.ObjSense.kMaximize)
    solver.run()
    return float(solver.getSolution().col_value[-1])


def holds(problem: Any, policy: Any, scale: float, power_w: Any, energy_wh: Any, until_s: Any, shape: Any) -> bool:
    """Whether a policy can deliver `scale * shape`, deciding a step at a time without knowing the next."""
    left_wh = energy_wh.copy()
    for step, share in enumerate(shape):
        now_s = step * STEP_S
        caps_w = np.where((step + 1) * STEP_S <= until_s + 1e-6, np.minimum(power_w, left_wh * 3600.0 / STEP_S), 0.0)
        window_s = (len(shape) - step) * STEP_S
        weights = np.maximum(np.minimum(caps_w, left_wh * 3600.0 / window_s), 1e-3)
        asked = problem(scale * share, caps_w, energy_wh=left_wh, useful_until_s=np.maximum(until_s - now_s, 0.0), weights=weights)
        asked = type(asked)(
            **{name: getattr(asked, name) for name in asked.__struct_fields__ if name != "window_end_s"}, window_end_s=window_s
        )
        given_w = allocate(asked, policy)
        if given_w.short_w > 1e-3 * scale * share:
            return False
        left_wh = np.maximum(left_wh - given_w.power_w * STEP_S / 3600.0, 0.0)
    return True


@pytest.mark.parametrize(
    ("hours", "leavers", "shape_of"),
    [(1.0, 0.0, "flat"), (1.0, 0.2, "flat"), (3.0, 0.3, "flat"), (3.0, 0.3, "rising"), (3.0, 0.3, "random")],
)
def test_merit_sustains_at_least_97_percent_of_the_lp_capacity(problem: Any, hours: float, leavers: float, shape_of: str) -> None:
    shares = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        n, steps = 60, round(hours * 3600.0 / STEP_S)
        power_w = rng.choice([3_700.0, 7_400.0, 11_000.0, 22_000.0], n)
        energy_wh = rng.uniform(0.05, 1.0, n) * 30_000.0
        leaves = rng.random(n) < leavers
        until_s = np.where(leaves, np.ceil(rng.uniform(0.1, 1.0, n) * steps) * STEP_S, steps * STEP_S)
        shape = {"flat": np.ones(steps), "rising": np.linspace(0.4, 1.0, steps), "random": rng.uniform(0.3, 1.0, steps)}[shape_of]
        best_w = capacity_by_lp(power_w, energy_wh, until_s, shape)
        low, high = 0.0, 1.0
        for _ in range(9):
            middle = (low + high) / 2.0
            if holds(problem, AllocationPolicy.MERIT, middle * best_w, power_w, energy_wh, until_s, shape):
                low = middle
            else:
                high = middle
        shares.append(low)
    assert np.mean(shares) >= 0.97
    assert min(shares) >= 0.95
