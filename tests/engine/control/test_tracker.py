"""The feedback law: few cars, each by much."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.engine.control.tracker import Levers, adjust
from counterflow.engine.dispatch.limits import Limits


def levers(level_w: Any, **given: Any) -> Levers:
    n = len(level_w)

    def column(name: str, default: Any) -> Any:
        return np.asarray(given.get(name, default)) * np.ones(n)

    return Levers(
        level_w=np.asarray(level_w, dtype=np.float64),
        cap_w=column("cap_w", 7_000.0),
        min_w=column("min_w", 0.0),
        gap_w=column("gap_w", 0.0),
        gain=column("gain", 1.0),
        engage_w=column("engage_w", 0.0),
        rank=np.asarray(given.get("rank", np.arange(n) / n)),
        movable=column("movable", 1.0).astype(bool),
        rested=column("rested", 1.0).astype(bool),
        room=given.get("room") or Limits.flat(np.zeros(n, dtype=int), np.full(1, np.inf)),
    )


def moved(given: Levers, gap_w: float, haste: bool = False) -> list[float]:
    return adjust(given, gap_w, quantum_w=300.0, haste=haste).level_w.tolist()


def test_more_takes_partial_cars_first_then_idle_ones_by_merit() -> None:
    given = levers([7_000.0, 4_000.0, 0.0, 0.0], rank=[0.1, 0.2, 0.4, 0.3])
    assert moved(given, 3_000.0) == [7_000.0, 7_000.0, 0.0, 0.0]
    assert moved(given, 5_000.0) == [7_000.0, 7_000.0, 0.0, 2_000.0]


def test_less_takes_partial_cars_first_then_the_lowest_merit() -> None:
    given = levers([7_000.0, 4_000.0, 7_000.0, 0.0], rank=[0.1, 0.2, 0.3, 0.4])
    assert moved(given, -4_000.0) == [7_000.0, 0.0, 7_000.0, 0.0]
    assert moved(given, -6_000.0) == [7_000.0, 0.0, 5_000.0, 0.0]


def test_gains_are_reckoned_with() -> None:
    assert moved(levers([0.0, 0.0], gain=[0.5, 1.0]), 4_500.0) == [7_000.0, 1_000.0]


def test_a_change_below_the_quantum_is_not_made() -> None:
    assert moved(levers([6_800.0, 7_000.0]), 200.0) == [6_800.0, 7_000.0]
    assert moved(levers([6_000.0, 7_000.0]), -200.0) == [6_000.0, 7_000.0]


def test_a_car_keeps_its_power_for_its_dwell_unless_there_is_haste() -> None:
    given = levers([4_000.0, 0.0], rested=[False, True])
    assert moved(given, 3_000.0) == [4_000.0, 3_000.0]
    assert moved(given, 9_000.0) == [4_000.0, 7_000.0]
    assert moved(given, 9_000.0, haste=True) == [6_000.0, 7_000.0]


def test_cars_that_cannot_be_moved_stay() -> None:
    assert moved(levers([0.0, 0.0], movable=[False, True]), 9_000.0) == [0.0, 7_000.0]
    assert moved(levers([7_000.0, 7_000.0], movable=[False, True]), -9_000.0) == [7_000.0, 0.0]


def test_a_car_is_started_at_its_minimum_and_another_makes_room() -> None:
    assert moved(levers([7_000.0, 0.0], min_w=2_000.0), 500.0) == [5_500.0, 2_000.0]


def test_without_room_for_its_minimum_no_car_is_started() -> None:
    assert moved(levers([0.0], min_w=2_000.0), 500.0) == [0.0]


def test_no_car_is_lowered_below_its_minimum() -> None:
    assert moved(levers([7_000.0, 2_500.0], min_w=2_000.0, cap_w=7_000.0), -1_000.0) == [6_000.0, 2_500.0]


def test_site_room_bounds_what_is_added() -> None:
    room = Limits.flat(np.array([0, 0, 1]), np.array([3_000.0, np.inf]))
    assert moved(levers([0.0, 0.0, 0.0], room=room), 99_000.0) == [3_000.0, 0.0, 7_000.0]


def test_a_charging_car_taken_to_zero_counts_what_it_no_longer_draws() -> None:
    given = levers([np.nan, np.nan], engage_w=7_000.0)
    np.testing.assert_equal(moved(given, 7_000.0), [0.0, np.nan])
    np.testing.assert_equal(moved(given, 10_000.0), [3_000.0, np.nan])


def test_a_car_that_charges_faster_than_is_missing_does_not_stand_in_the_way_of_smaller_ones() -> None:
    """In a relative order the first by merit may draw more than is asked, and nobody can give way."""
    first_is_large = levers([np.nan, np.nan, np.nan], engage_w=np.array([21_000.0, 7_000.0, 0.0]), rank=np.array([0.0, 0.4, 0.5]))
    given = moved(first_is_large, 12_000.0)
    assert np.isnan(given[0])
    assert given[1] == pytest.approx(5_000.0, abs=100.0)


def test_too_much_with_everything_at_zero_hands_cars_back() -> None:
    result = adjust(levers([0.0, 2_000.0, 0.0], engage_w=7_000.0), -10_000.0, quantum_w=300.0, haste=True)
    assert result.level_w.tolist() == [0.0, 0.0, 0.0]
    assert result.let_go.tolist() == [False, False, True]


@settings(max_examples=200)
@given(seed=st.integers(0, 2**32 - 1), gap=st.floats(-1.2, 1.2), haste=st.booleans())
def test_never_beyond_caps_never_past_the_target_and_never_more_cars_than_needed(seed: int, gap: float, haste: bool) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    cap_w = rng.uniform(3_700.0, 22_000.0, n)
    min_w = rng.choice([0.0, 0.2], n) * cap_w
    level_w = np.where(rng.random(n) < 0.5, rng.choice([0.0, 1.0], n) * cap_w, rng.uniform(min_w, cap_w))
    level_w[level_w < min_w] = 0.0
    given_levers = levers(level_w, cap_w=cap_w, min_w=min_w, gain=rng.uniform(0.8, 1.05, n), rested=rng.random(n) < 0.7)
    gap_w = gap * float(cap_w.sum())
    after_w = adjust(given_levers, gap_w, quantum_w=300.0, haste=haste).level_w
    assert ((after_w == 0.0) | (after_w >= min_w - 1e-6)).all()
    assert (after_w <= cap_w + 1e-6).all()
    delivered_w = float((given_levers.gain * (after_w - level_w)).sum())
    assert min(gap_w, 0.0) - 1e-3 <= delivered_w <= max(gap_w, 0.0) + 1e-3
    changed = after_w != level_w
    if not haste:
        assert not (changed & ~given_levers.rested).any()
    # All but the last car, and one that makes room for a minimum, went all the way.
    halfway = changed & (after_w > 0.0) & (after_w < cap_w - 1e-6)
    assert np.count_nonzero(halfway) <= 2
    assert (np.abs(after_w - level_w)[changed & (after_w > 0.0) & (level_w > 0.0)] >= 1.0).all()


@pytest.mark.parametrize("cars", [5_000])
def test_a_large_fleet_is_adjusted_to_the_quantum(cars: int) -> None:
    rng = np.random.default_rng(1)
    given = levers(np.zeros(cars), cap_w=rng.uniform(3_700.0, 22_000.0, cars), rank=rng.random(cars))
    gap_w = 0.5 * float(given.cap_w.sum())
    assert abs(sum(moved(given, gap_w)) - gap_w) <= 300.0


def slowed(level_w: Any, **given: Any) -> Levers:
    """Cars that draw 11 kW, may be paused, and charge at no less than 4 kW while they are slowed."""
    return levers(level_w, **{"cap_w": 11_000.0, "gap_w": 4_000.0} | given)


@pytest.mark.parametrize(
    ("level_w", "gap_w", "expected"),
    [
        ([0.0, 0.0], 22_000.0, [11_000.0, 11_000.0]),
        ([0.0, 0.0], 6_000.0, [6_000.0, 0.0]),
        ([0.0, 0.0], 9_500.0, [7_000.0, 2_500.0]),
        ([0.0, 0.0], 20_000.0, [11_000.0, 7_000.0]),
        ([0.0, 0.0], 21_000.0, [11_000.0, 11_000.0]),
        ([11_000.0, 7_000.0], 1_000.0, [11_000.0, 7_000.0]),
        ([11_000.0, 11_000.0], -5_000.0, [6_000.0, 11_000.0]),
        ([11_000.0, 11_000.0], -11_000.0, [11_000.0, 0.0]),
        ([11_000.0, 11_000.0], -1_000.0, [11_000.0, 11_000.0]),
        ([11_000.0, 11_000.0], -3_000.0, [11_000.0, 7_000.0]),
    ],
)
def test_a_car_is_paused_or_charges_at_no_less_than_its_minimum(level_w: Any, gap_w: float, expected: list[float]) -> None:
    result = moved(slowed(level_w, rank=[0.0, 0.1]), gap_w)
    assert sorted(result) == pytest.approx(sorted(expected))


def test_what_a_slowed_car_leaves_out_is_given_by_a_car_that_discharges() -> None:
    mixed = levers([0.0, 0.0], cap_w=[11_000.0, 7_000.0], gap_w=[4_000.0, 0.0], rank=[0.0, 0.5])
    assert moved(mixed, 9_500.0) == [7_000.0, 2_500.0]


def test_a_site_without_room_for_export_may_charge_less() -> None:
    full = Limits.flat(np.zeros(2, dtype=int), np.zeros(1))
    assert moved(slowed([0.0, 0.0], gap_w=[4_000.0, 0.0], room=full), 22_000.0) == [11_000.0, 0.0]


@given(
    st.lists(st.tuples(st.sampled_from([0.0, 3_000.0, 7_000.0, 11_000.0]), st.booleans()), min_size=1, max_size=12),
    st.floats(-60_000.0, 60_000.0),
)
@settings(max_examples=200)
def test_no_car_is_ever_left_in_its_gap(cars: list[tuple[float, bool]], gap_w: float) -> None:
    gaps = np.where([slow for _, slow in cars], 4_000.0, 0.0)
    before = np.array([level for level, _ in cars])
    after = np.array(moved(levers(before, cap_w=11_000.0, gap_w=gaps, rank=np.linspace(0.0, 0.9, len(cars))), gap_w))
    assert ((gaps == 0.0) | (after <= 7_000.0) | (after == 11_000.0)).all()
    assert (after >= 0.0).all()
    assert (after <= 11_000.0).all()
    missed = gap_w - float((after - before).sum())
    assert abs(missed) <= abs(gap_w) + 1e-6, "a step never makes it worse"
