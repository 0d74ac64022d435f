"""The E-p test against a linear programme, and against what cars can hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.engine.control.shape import Supply, largest_cap_w, largest_scale

WINDOW_S = 3_600.0


def feasible_by_flow(power_w: list[float], energy_ws: list[float], pieces: list[tuple[float, float]]) -> bool:
    """Serve the pieces, the longest time-to-go first in steps of a second each: optimal without departures (arXiv 1710.06302)."""
    left = np.array(energy_ws)
    for length_s, asked_w in pieces:
        for _ in range(round(length_s)):
            order = np.argsort(-left / np.array(power_w), kind="stable")
            missing = asked_w
            for car in order:
                given_w = min(power_w[car], left[car], missing)
                left[car] -= given_w
                missing -= given_w
            if missing > 1e-6 * max(1.0, asked_w):
                return False
    return True


@given(
    cars=st.lists(st.tuples(st.floats(1.0, 10.0), st.floats(0.05, 1.0)), min_size=1, max_size=5),
    shares=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=4),
)
def test_what_is_called_feasible_is_served_by_the_longest_time_to_go_and_nothing_more(
    cars: list[tuple[float, float]], shares: list[float]
) -> None:
    seconds = 20
    power_w = np.array([power for power, _ in cars])
    sustained_w = power_w * np.array([share for _, share in cars])
    supply = Supply.of(power_w, sustained_w, seconds * len(shares))
    pieces = [(float(seconds), share * float(power_w.sum())) for share in shares]
    scale = largest_scale(supply, pieces)
    energy = (sustained_w * seconds * len(shares)).tolist()
    # In steps of a second nothing can be shared out finer than that: a twentieth of a piece.
    smaller = [(length_s, 0.94 * scale * asked_w) for length_s, asked_w in pieces]
    larger = [(length_s, 1.06 * scale * asked_w) for length_s, asked_w in pieces]
    assert feasible_by_flow(power_w.tolist(), energy, smaller)
    if max(shares) > 0.0:
        assert not feasible_by_flow(power_w.tolist(), energy, larger)


def test_a_constant_target_gets_what_each_car_can_hold() -> None:
    supply = Supply.of(np.array([7_000.0, 11_000.0]), np.array([3_000.0, 11_000.0]), WINDOW_S)
    assert largest_scale(supply, [(WINDOW_S, 1_000.0)]) * 1_000.0 == pytest.approx(14_000.0)


def test_a_short_peak_gets_more_than_can_be_held() -> None:
    supply = Supply.of(np.array([10_000.0]), np.array([4_000.0]), WINDOW_S)
    pieces = [(1_800.0, 2_000.0), (900.0, 8_000.0), (900.0, 2_000.0)]
    assert largest_scale(supply, pieces) * 8_000.0 == pytest.approx(4_000.0 * 3_600.0 / (900.0 + 2_700.0 / 4.0))
    assert largest_cap_w(supply, pieces, 1.0) == pytest.approx(8_000.0)


def test_a_target_is_cut_off_where_the_share_of_the_fleet_ends() -> None:
    supply = Supply.of(np.array([10_000.0]), np.array([10_000.0]), WINDOW_S)
    assert largest_cap_w(supply, [(1_800.0, 4_000.0), (1_800.0, 12_000.0)], 0.9) == pytest.approx(9_000.0)
    assert largest_cap_w(supply, [(1_800.0, 4_000.0), (1_800.0, 8_000.0)], 0.9) == 8_000.0


def test_without_cars_there_is_nothing() -> None:
    supply = Supply.of(np.zeros(0), np.zeros(0), WINDOW_S)
    assert largest_scale(supply, [(10.0, 1.0), (10.0, 2.0)]) == 0.0
    assert largest_cap_w(supply, [(10.0, 1.0), (10.0, 2.0)], 0.9) == pytest.approx(0.0, abs=1e-3)
