"""The allocators against LP and QP, and their invariants (control I5, I6)."""

import os
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterflow.domain.instructions import AllocationPolicy
from counterflow.engine.dispatch.allocate import POLICIES, allocate
from counterflow.engine.dispatch.limits import Limits, cap_in_order, total_capacity_w

ANY_POLICY = st.sampled_from(list(AllocationPolicy))
MANY = 2_000 if os.environ.get("COUNTERFLOW_EXAMPLES") == "fresh" else 80
FUZZ = settings(max_examples=MANY, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def fleets(draw: Any, *, minima: bool = False, mixed: bool = False) -> dict[str, Any]:
    """A random fleet on a random tree of any depth; many caps and limits are zero or equal on purpose. Some leaves limit their phases;
    their cars are `mixed`, or all of one phase, or all of three.
    """
    n = draw(st.integers(1, 30))
    groups = draw(st.integers(1, 8))
    phased = draw(st.integers(0, min(2, groups)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    caps_w = rng.choice([0.0, 3_700.0, 7_000.0, 11_000.0, rng.uniform(1.0, 22_000.0)], n)
    cap_w = rng.choice([0.0, 5_000.0, 30_000.0, np.inf, rng.uniform(1.0, 60_000.0)], groups + 3 * phased)
    parent = np.array([-1] + [rng.integers(-1, at) for at in range(1, groups)] + [-1] * 3 * phased, dtype=np.intp)
    group = rng.integers(0, groups, n).astype(np.intp)
    first_phase = np.full(len(cap_w), -1, dtype=np.intp)
    first_phase[rng.choice(groups, phased, replace=False)] = groups + 3 * np.arange(phased)
    three = np.where(rng.random(len(cap_w)) < 0.5, 4, 0)[group]
    supply = rng.integers(0, 5, n) if mixed else np.where(three > 0, 4, rng.integers(1, 4, n))
    limits = Limits(group=group, cap_w=cap_w, parent=parent, first_phase=first_phase, supply=supply.astype(np.int8))
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
@given(fleet=fleets(minima=True, mixed=True), policy=ANY_POLICY)
def test_i5_every_car_gives_nothing_or_between_its_minimum_and_its_cap_inside_every_limit(
    problem: Any, groups: Any, fleet: Any, policy: Any
) -> None:
    asked = problem(**fleet)
    power_w = allocate(asked, policy).power_w
    assert (power_w <= asked.caps_w + 1e-6).all()
    assert ((power_w == 0.0) | (power_w >= asked.min_w - 1e-6)).all()
    for uses, cap_w in groups(asked.limits):
        on = uses > 0.0
        assert uses[on] @ power_w[on] <= cap_w + 1e-6


@FUZZ
@given(fleet=fleets(mixed=True), policy=ANY_POLICY)
def test_on_mixed_phases_no_car_could_give_more_unless_another_gave_less(
    problem: Any, lp_capacity: Any, groups: Any, fleet: Any, policy: Any
) -> None:
    fleet["gain"] = np.ones(len(fleet["caps_w"]))
    asked = problem(**fleet)
    assert total_capacity_w(asked.caps_w, asked.limits) == pytest.approx(lp_capacity(asked), rel=1e-6, abs=1e-3)
    given_w = allocate(asked, policy)
    if given_w.short_w <= 1e-3:
        return
    stuck = given_w.power_w >= asked.caps_w - 1e-3
    for uses, cap_w in groups(asked.limits):
        if uses @ given_w.power_w >= cap_w - 1e-3:
            stuck |= uses > 0.0
    assert stuck.all()


@FUZZ
@given(fleet=fleets(mixed=True), policy=ANY_POLICY)
def test_i6_the_same_question_has_the_same_answer(problem: Any, fleet: Any, policy: Any) -> None:
    first, again = allocate(problem(**fleet), policy), allocate(problem(**fleet), policy)
    assert (first.power_w == again.power_w).all()


@FUZZ
@given(fleet=fleets(mixed=True), seed=st.integers(0, 1000))
def test_in_order_is_what_one_car_after_the_other_would_take(groups: Any, fleet: Any, seed: int) -> None:
    limits, caps_w = fleet["limits"], fleet["caps_w"]
    rank = np.random.default_rng(seed).permutation(len(caps_w)) / len(caps_w)
    expected_w = np.zeros(len(caps_w))
    room_w = limits.cap_w.copy()
    uses = np.array([use for use, _ in groups(limits)])
    for row in np.argsort(rank).tolist():
        on = uses[:, row] > 0.0
        expected_w[row] = min(caps_w[row], float((room_w[on] / uses[on, row]).min()))
        room_w[on] = np.maximum(0.0, room_w[on] - expected_w[row] * uses[on, row])
    np.testing.assert_allclose(cap_in_order(caps_w, rank, limits), expected_w, atol=1e-6)
    np.testing.assert_allclose(limits.used_w(expected_w), uses @ expected_w, atol=1e-6)


@FUZZ
@given(fleet=fleets(minima=True), policy=ANY_POLICY)
def test_minimum_powers_cost_at_most_one_car_where_no_limit_binds(problem: Any, fleet: Any, policy: Any) -> None:
    fleet["limits"] = None
    asked = problem(**fleet)
    given_w = allocate(asked, policy)
    wanted_w = min(asked.target_w, float((asked.gain * asked.caps_w).sum()))
    largest_min_w = float((asked.gain * asked.min_w).max())
    assert wanted_w - largest_min_w - 1e-3 <= given_w.served_w <= wanted_w + 1e-3


@FUZZ
@given(fleet=fleets(mixed=True), policy=ANY_POLICY, share=st.floats(0.0, 1.0))
def test_i6_more_target_never_delivers_less(problem: Any, fleet: Any, policy: Any, share: float) -> None:
    more = allocate(problem(**fleet), policy)
    less = allocate(problem(**{**fleet, "target_w": share * fleet["target_w"]}), policy)
    assert less.served_w <= more.served_w + 1e-6
    if policy is AllocationPolicy.PROPORTIONAL:
        assert (less.power_w <= more.power_w + 1e-6).all()


@FUZZ
@given(fleet=fleets(mixed=True), policy=ANY_POLICY, seed=st.integers(0, 1000))
def test_i6_the_order_of_the_cars_does_not_matter(problem: Any, fleet: Any, policy: Any, seed: int) -> None:
    n = len(fleet["caps_w"])
    # Distinct caps, so that no two cars are interchangeable.
    fleet["caps_w"] = np.where(fleet["caps_w"] > 0.0, fleet["caps_w"] + np.arange(n), 0.0)
    order = np.random.default_rng(seed).permutation(n)
    limits = fleet["limits"]
    shuffled = {name: value[order] for name, value in fleet.items() if name not in ("target_w", "limits")}
    shuffled["limits"] = limits.of_rows(order)
    straight = allocate(problem(**fleet), policy).power_w
    turned = allocate(problem(target_w=fleet["target_w"], **shuffled), policy).power_w
    np.testing.assert_allclose(turned, straight[order], rtol=1e-6, atol=1e-3)


@FUZZ
@given(fleet=fleets(mixed=True), policy=ANY_POLICY)
def test_i6_cars_without_capacity_change_nothing(problem: Any, fleet: Any, policy: Any) -> None:
    limits = fleet["limits"]
    wider = {name: np.append(value, value[-1]) for name, value in fleet.items() if name not in ("target_w", "limits")}
    wider["caps_w"][-1] = 0.0
    wider["limits"] = limits.of_rows(np.append(np.arange(len(fleet["caps_w"])), 0))
    straight = allocate(problem(**fleet), policy).power_w
    with_idle = allocate(problem(target_w=fleet["target_w"], **wider), policy).power_w
    assert with_idle[-1] == 0.0
    np.testing.assert_allclose(with_idle[:-1], straight, rtol=1e-9, atol=1e-6)


@pytest.mark.parametrize("seed", range(25))
def test_proportional_is_the_optimum_of_the_quadratic_program(problem: Any, qp_shares: Any, lp_capacity: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 25
    # Two lines under one, and three sites on each line; the cars of one site load one phase each.
    parent = np.array([-1, 0, 0, 1, 1, 1, 2, 2, 2, -1, -1, -1], dtype=np.intp)
    first_phase = np.array([-1] * 8 + [9] + [-1] * 3, dtype=np.intp)
    limits = Limits(
        group=rng.integers(3, 9, n).astype(np.intp),
        cap_w=np.concatenate([rng.choice([20.0, 40.0, 90.0, np.inf], 9), rng.choice([10.0, 15.0, np.inf], 3)]),
        parent=parent,
        first_phase=first_phase,
        supply=rng.integers(1, 4, n).astype(np.int8),
    )
    asked = problem(0.0, rng.uniform(1.0, 22.0, n), limits=limits, weights=rng.uniform(1.0, 10.0, n))
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
    np.testing.assert_allclose(power_w, [2_000.0, 5_500.0])


def test_among_equals_hybrid_keeps_the_large_cars_in_reserve(problem: Any) -> None:
    asked = problem(10_000.0, [22_000.0, 3_000.0, 7_000.0, 11_000.0], energy_wh=[90_000.0] * 4)
    np.testing.assert_allclose(allocate(asked, AllocationPolicy.HYBRID).power_w, [0.0, 3_000.0, 7_000.0, 0.0])
    np.testing.assert_allclose(allocate(asked, AllocationPolicy.MERIT).power_w, [10_000.0, 0.0, 0.0, 0.0])


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
