"""The allocators against LP and QP, and their invariants (control I5, I6)."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterflow.domain.instructions import AllocationPolicy
from counterflow.engine.dispatch.allocate import POLICIES, allocate
from counterflow.engine.dispatch.limits import Limits, total_capacity_w

ANY_POLICY = st.sampled_from(list(AllocationPolicy))
FUZZ = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def fleets(draw: Any, *, minima: bool = False) -> dict[str, Any]:
    """A random fleet on a random tree of two levels; many caps and limits are zero or equal on purpose."""
    n = draw(st.integers(1, 30))
    sites = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    caps_w = rng.choice([0.0, 3_700.0, 7_000.0, 11_000.0, rng.uniform(1.0, 22_000.0)], n)
    cap_w = rng.choice([0.0, 5_000.0, 30_000.0, np.inf, rng.uniform(1.0, 60_000.0)], sites + 1)
    limits = Limits(group=rng.integers(1, sites + 1, n).astype(np.intp), cap_w=cap_w, parent=np.array([-1] + [0] * sites, dtype=np.intp))
    return {
        "caps_w": caps_w,
        "target_w": float(rng.choice([0.0, 1.2, rng.uniform(0.0, 1.0)]) * caps_w.sum()),
        "limits": limits,
        "weights": rng.uniform(100.0, 10_000.0, n),
        "gain": rng.uniform(0.5, 1.1, n),
        "energy_wh": rng.uniform(0.0, 40_000.0, n),
        "useful_until_s": rng.uniform(0.0, 7_200.0, n),
        "running": rng.random(n) < 0.5,
        "min_w": rng.uniform(0.0, 0.6, n) * caps_w if minima else np.zeros(n),
    }


def test_there_is_an_allocator_for_every_policy() -> None:
    assert set(POLICIES) == set(AllocationPolicy)


@FUZZ
@given(fleet=fleets(), policy=ANY_POLICY)
def test_i6_delivers_the_target_or_all_that_the_tree_lets_through(problem: Any, lp_capacity: Any, fleet: Any, policy: Any) -> None:
    fleet["gain"] = np.ones(len(fleet["caps_w"]))
    asked = problem(**fleet)
    given_w = allocate(asked, policy)
    capacity_w = total_capacity_w(asked.caps_w, asked.limits)
    assert capacity_w == pytest.approx(lp_capacity(asked), rel=1e-6, abs=1e-3)
    assert given_w.served_w == pytest.approx(min(asked.target_w, capacity_w), rel=1e-6, abs=1e-3)
    assert given_w.short_w == pytest.approx(asked.target_w - given_w.served_w, abs=1e-6)


@FUZZ
@given(fleet=fleets(minima=True), policy=ANY_POLICY)
def test_i5_every_car_gives_nothing_or_between_its_minimum_and_its_cap_inside_every_limit(
    problem: Any, groups: Any, fleet: Any, policy: Any
) -> None:
    asked = problem(**fleet)
    power_w = allocate(asked, policy).power_w
    assert (power_w <= asked.caps_w + 1e-6).all()
    assert ((power_w == 0.0) | (power_w >= asked.min_w - 1e-6)).all()
    for rows, cap_w in groups(asked.limits):
        assert power_w[rows].sum() <= cap_w + 1e-6


@FUZZ
@given(fleet=fleets(minima=True), policy=ANY_POLICY)
def test_minimum_powers_cost_at_most_one_car_where_no_limit_binds(problem: Any, fleet: Any, policy: Any) -> None:
    fleet["limits"] = None
    asked = problem(**fleet)
    given_w = allocate(asked, policy)
    wanted_w = min(asked.target_w, float((asked.gain * asked.caps_w).sum()))
    largest_min_w = float(asked.min_w.max())
    assert wanted_w - largest_min_w - 1e-3 <= given_w.served_w <= wanted_w + 1e-3


@FUZZ
@given(fleet=fleets(), policy=ANY_POLICY, share=st.floats(0.0, 1.0))
def test_i6_more_target_never_delivers_less(problem: Any, fleet: Any, policy: Any, share: float) -> None:
    more = allocate(problem(**fleet), policy)
    less = allocate(problem(**{**fleet, "target_w": share * fleet["target_w"]}), policy)
    assert less.served_w <= more.served_w + 1e-6
    if policy is AllocationPolicy.PROPORTIONAL:
        assert (less.power_w <= more.power_w + 1e-6).all()


@FUZZ
@given(fleet=fleets(), policy=ANY_POLICY, seed=st.integers(0, 1000))
def test_i6_the_order_of_the_cars_does_not_matter(problem: Any, fleet: Any, policy: Any, seed: int) -> None:
    n = len(fleet["caps_w"])
    # Distinct caps, so that no two cars are interchangeable.
    fleet["caps_w"] = np.where(fleet["caps_w"] > 0.0, fleet["caps_w"] + np.arange(n), 0.0)
    order = np.random.default_rng(seed).permutation(n)
    limits = fleet["limits"]
    shuffled = {name: value[order] for name, value in fleet.items() if name not in ("target_w", "limits")}
    shuffled["limits"] = Limits(group=limits.group[order], cap_w=limits.cap_w, parent=limits.parent)
    straight = allocate(problem(**fleet), policy).power_w
    turned = allocate(problem(target_w=fleet["target_w"], **shuffled), policy).power_w
    np.testing.assert_allclose(turned, straight[order], rtol=1e-6, atol=1e-3)


@FUZZ
@given(fleet=fleets(), policy=ANY_POLICY)
def test_i6_cars_without_capacity_change_nothing(problem: Any, fleet: Any, policy: Any) -> None:
    limits = fleet["limits"]
    wider = {name: np.append(value, value[-1]) for name, value in fleet.items() if name not in ("target_w", "limits")}
    wider["caps_w"][-1] = 0.0
    wider["limits"] = Limits(group=np.append(limits.group, 1), cap_w=limits.cap_w, parent=limits.parent)
    straight = allocate(problem(**fleet), policy).power_w
    with_idle = allocate(problem(target_w=fleet["target_w"], **wider), policy).power_w
    assert with_idle[-1] == 0.0
    np.testing.assert_allclose(with_idle[:-1], straight, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("seed", range(25))
def test_proportional_is_the_optimum_of_the_quadratic_program(problem: Any, qp_shares: Any, lp_capacity: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, sites = 25, 5
    asked = problem(
        0.0,
        rng.uniform(1.0, 22.0, n),
        site=rng.integers(0, sites, n),
        site_cap_w=rng.choice([20.0, 40.0, np.inf], sites),
        weights=rng.uniform(1.0, 10.0, n),
    )
    asked = problem(
        rng.uniform(0.2, 0.98) * lp_capacity(asked),
        asked.caps_w,
        limits=asked.limits,
        weights=asked.weights,
    )
    ours_w, theirs_w = allocate(asked, AllocationPolicy.PROPORTIONAL).power_w, qp_shares(asked)
    cost = [float((power_w**2 / (2.0 * asked.weights)).sum()) for power_w in (ours_w, theirs_w)]
    # The solver meets its constraints to 1e-7 only, so that it may come out a hair cheaper.
    assert cost[0] <= cost[1] * (1.0 + 1e-6)
    np.testing.assert_allclose(ours_w, theirs_w, rtol=1e-3, atol=2e-3)


def test_proportional_shares_follow_the_weights_until_a_cap_binds(problem: Any) -> None:
    asked = problem(9_000.0, [2_000.0, 8_000.0, 8_000.0], weights=[1.0, 1.0, 2.0])
    power_w = allocate(asked, AllocationPolicy.PROPORTIONAL).power_w
    np.testing.assert_allclose(power_w, [2_000.0, 7_000.0 / 3.0, 14_000.0 / 3.0])


def test_merit_commits_whole_cars_and_one_in_part(problem: Any) -> None:
    asked = problem(10_000.0, [7_000.0] * 4, energy_wh=[1_000.0, 7_000.0, 2_000.0, 3_000.0])
    power_w = allocate(asked, AllocationPolicy.MERIT).power_w
    np.testing.assert_allclose(power_w, [0.0, 7_000.0, 0.0, 3_000.0])


def test_the_last_car_is_lifted_to_its_minimum_and_another_makes_room(problem: Any) -> None:
    asked = problem(7_500.0, [7_000.0, 6_000.0], min_w=2_000.0)
    power_w = allocate(asked, AllocationPolicy.HYBRID).power_w
    np.testing.assert_allclose(power_w, [5_500.0, 2_000.0])


def test_hybrid_keeps_running_cars_of_the_same_merit(problem: Any) -> None:
    asked = problem(7_000.0, [7_000.0] * 3, running=[False, False, True])
    np.testing.assert_allclose(allocate(asked, AllocationPolicy.HYBRID).power_w, [0.0, 0.0, 7_000.0])
    np.testing.assert_allclose(allocate(asked, AllocationPolicy.MERIT).power_w, [7_000.0, 0.0, 0.0])


def test_gains_count_towards_the_target_but_not_against_the_limits(problem: Any) -> None:
    asked = problem(1e9, [7_000.0, 7_000.0], gain=0.5, site_cap_w=[10_000.0])
    given_w = allocate(asked, AllocationPolicy.HYBRID)
    assert given_w.power_w.sum() == pytest.approx(10_000.0)
    assert given_w.served_w == pytest.approx(5_000.0)


@pytest.mark.parametrize("policy", list(AllocationPolicy))
def test_a_large_fleet_is_served_to_the_watt(problem: Any, policy: Any) -> None:
    rng = np.random.default_rng(5)
    n = 20_000
    caps_w = rng.uniform(3_700.0, 22_000.0, n)
    asked = problem(
        0.6 * caps_w.sum(),
        caps_w,
        energy_wh=rng.uniform(1_000.0, 30_000.0, n),
        useful_until_s=rng.uniform(600.0, 7_200.0, n),
        site=np.arange(n) % 1_000,
        site_cap_w=rng.choice([150_000.0, np.inf], 1_000),
    )
    assert allocate(asked, policy).served_w == pytest.approx(asked.target_w, rel=1e-9)
