from math import nan

import numpy as np
import pytest

from counterflow.engine.settlement.registers import AnomalyKind, register_resolution_wh, register_steps, thinned

LIMIT = {"power_max_w": 22_000.0, "resolution_wh": 1.0}


def steps(readings, *, every_s=10.0, expected=None):
    at_s = np.arange(len(readings)) * every_s
    expected_wh = np.zeros(len(readings)) if expected is None else np.array(expected)
    return register_steps(at_s, np.array(readings, dtype=float), expected_wh, **LIMIT)


def test_clean_readings_are_differences_and_missing_ones_are_skipped():
    found = steps([100, nan, 120, 140])
    assert found.kept.tolist() == [0, 2, 3]
    assert found.step_wh.tolist() == [20.0, 20.0]
    assert found.anomalies == ()


@pytest.mark.parametrize(("modulus", "before", "after", "energy"), [(1e5, 99_990.0, 5.0, 15.0), (2.0**32, 2.0**32 - 10, 9.0, 19.0)])
def test_a_rollover_is_exact(modulus, before, after, energy):
    found = steps([before - 20, before, after, after + 20])
    assert found.step_wh.tolist() == [20.0, energy, 20.0]
    assert [anomaly.kind for anomaly in found.anomalies] == [AnomalyKind.ROLLOVER]


def test_a_reset_leaves_one_interval_to_the_power():
    found = steps([51_234, 51_254, 0, 20, 40])
    assert np.array_equal(found.step_wh, [20.0, nan, 20.0, 20.0], equal_nan=True)
    assert [anomaly.kind for anomaly in found.anomalies] == [AnomalyKind.RESET]


def test_a_reset_soon_after_the_last_is_no_spike():
    found = steps([0, 5, 0, 8, 16, 24], expected=[0, 8, 16, 24, 32, 40])
    assert [anomaly.kind for anomaly in found.anomalies] == [AnomalyKind.RESET]


@pytest.mark.parametrize("wild", [9e6, 0.0])
def test_a_single_wild_reading_is_left_out_and_costs_nothing(wild):
    found = steps([50_000, 50_020, wild, 50_060, 50_080])
    assert found.kept.tolist() == [0, 1, 3, 4]
    assert found.step_wh.sum() == 80.0
    assert [anomaly.kind for anomaly in found.anomalies] == [AnomalyKind.SPIKE]


def test_a_lasting_jump_is_left_to_the_power():
    found = steps([100, 120, 50_000, 50_020])
    assert np.array_equal(found.step_wh, [20.0, nan, 20.0], equal_nan=True)
    assert [anomaly.kind for anomaly in found.anomalies] == [AnomalyKind.JUMP]


def test_a_coarse_register_is_not_a_spike():
    at_s = np.arange(5) * 10.0
    found = register_steps(at_s, np.array([0.0, 0.0, 100.0, 100.0, 100.0]), np.zeros(5), power_max_w=22_000.0, resolution_wh=100.0)
    assert found.anomalies == ()


@pytest.mark.parametrize(
    ("readings", "resolution"),
    [
        ([1000, 3000, nan], 1000),
        ([1200, 1300], 100),
        ([1234, 1235], 1),
        ([1.5, 1.7], 0.1),
        ([1.2345678, 1.3], 0.001),
        ([5, 5], 0),
        ([7], 0),
    ],
)
def test_resolution_is_the_coarsest_step_of_all_readings(readings, resolution):
    assert register_resolution_wh(np.array(readings, dtype=float)) == resolution


def test_thinning_keeps_the_ends_the_anchors_and_the_total():
    at_s = np.arange(100) * 10.0
    register = np.floor(at_s * 7000 / 3600)
    full = register_steps(at_s, register, np.zeros(100), **LIMIT)
    few = thinned(full, at_s, register, np.array([205.0, 500.0]), 1.0)
    assert len(few.kept) < 80
    assert {0, 20, 21, 50, 99} <= set(few.kept.tolist())
    assert few.step_wh.sum() == full.step_wh.sum()
    assert np.array_equal(np.diff(register[few.kept]), few.step_wh)


def test_a_fall_close_below_a_full_counter_is_a_reset_when_power_says_that_less_flowed():
    # 9 678 -> 54: a counter of 10 000 Wh would mean 376 Wh in a minute, and power says 70 Wh.
    at_s, reading = np.array([0.0, 60.0]), np.array([9_678.0, 54.0])
    made = register_steps(at_s, reading, np.array([0.0, 70.0]), power_max_w=22_000.0, resolution_wh=1.0)
    assert [anomaly.kind for anomaly in made.anomalies] == [AnomalyKind.RESET]
    assert np.isnan(made.step_wh).all()
    for expected_wh in (200.0, 0.0):  # 0 = power does not tell
        made = register_steps(at_s, reading, np.array([0.0, expected_wh]), power_max_w=22_000.0, resolution_wh=1.0)
        assert [anomaly.kind for anomaly in made.anomalies] == [AnomalyKind.ROLLOVER]
        assert made.step_wh.tolist() == [376.0]
