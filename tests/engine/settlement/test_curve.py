from math import nan

import numpy as np
import pytest

from counterflow.engine.settlement.curve import energy_curve, nodes
from counterflow.engine.settlement.samples import MeterColumns

LIMITS = {"power_max_w": 22_000.0, "gap_s": 30.0, "anchors_s": np.array([])}


def curve(at, power, export, **changes):
    columns = MeterColumns(*(np.array(each, dtype=float) for each in (at, power, export, [nan] * len(at))))
    return energy_curve(nodes(columns), exported=True, **{**LIMITS, **changes})


def test_the_curve_passes_through_the_readings():
    found = curve([0, 10, 20, 30], [-7000, -7000, -3600, 0], [100.001, 119.003, 134.005, 139.002])
    assert found.energy_at(np.array([0.0, 10, 20, 30])) == pytest.approx([0, 19.002, 34.004, 39.001], abs=1e-9)


def test_power_shapes_the_energy_between_two_readings():
    found = curve([0, 10, 20], [0, -7200, -7200], [100, nan, 130], gap_s=60)
    half, full = found.energy_at(np.array([10.0, 20.0]))
    assert full == pytest.approx(30.0)
    assert half == pytest.approx(10.0)  # 10 Wh by trapezoid of 30 Wh in all


def test_without_power_the_energy_is_spread_evenly():
    found = curve([0, 10, 40], [nan, nan, nan], [100, nan, 140])
    assert found.energy_at(np.array([10.0, 20.0])) == pytest.approx([10.0, 20.0])
    assert found.by_time.all()


def test_a_register_that_moves_without_power_is_spread_evenly():
    assert curve([0, 10, 20], [0, 0, 0], [100, nan, 120]).energy_at(np.array([5.0])) == pytest.approx([5.0])


def test_power_alone_is_a_trapezoid_that_stops_at_the_zero_crossing():
    found = curve([0, 10], [-3600, 3600], [nan, nan])
    assert found.energy_at(np.array([5.0, 10.0])) == pytest.approx([2.5, 2.5])
    assert found.by_power.all()


def test_a_reset_interval_is_integrated_from_power():
    found = curve([0, 10, 20, 30], [-7200] * 4, [70_000, 70_020, 0, 20])
    assert found.energy_wh[-1] == pytest.approx(60.0)
    assert found.by_register.tolist() == [True, False, True]


def test_a_power_only_gap_is_unknown_and_counts_nothing():
    found = curve([0, 10, 20, 100, 110], [-7200] * 5, [nan] * 5)
    assert found.energy_wh[-1] == pytest.approx(60.0)
    assert found.by_power.tolist() == [True, True, False, True]


def test_registers_bridge_a_gap_exactly():
    found = curve([0, 10, 20, 100, 110], [-7200] * 5, [0.5, 20.5, 40.5, 200.5, 220.5])
    assert found.energy_wh[-1] == pytest.approx(220.0)
    assert found.by_register.all()


def test_a_coarse_register_does_not_turn_steady_power_into_a_staircase():
    at = np.arange(0, 1000, 10.0)
    found = curve(at, [-7000] * len(at), np.floor(at * 7000 / 3600 / 100) * 100)
    power_w = np.diff(found.energy_at(np.arange(0, 980, 10.0))) * 360
    assert np.ptp(power_w) < 0.05 * 7000


def test_one_sample_makes_a_level_curve():
    assert curve([5], [-7000], [100]).energy_at(np.array([0.0, 5.0, 9.0])).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("moved_wh", "at_full_s"), [(18.0, 9.0), (2.0, 1.0), (10.0, 5.0)])
def test_registers_tell_when_within_the_interval_the_power_changed(moved_wh, at_full_s):
    found = curve([0, 10, 20, 30], [-7200, -7200, 0, 0], [0.001, 20.001, 20.001 + moved_wh, 20.001 + moved_wh])
    before_wh = found.energy_at(np.array([10 + at_full_s - min(at_full_s, 10 - at_full_s)]))[0]
    assert before_wh == pytest.approx(20.0 + 2.0 * (at_full_s - min(at_full_s, 10 - at_full_s)))
    assert found.rate_w.max() == pytest.approx(7200.0, rel=1e-6)


def test_a_coarse_register_places_no_change():
    found = curve([0, 10, 20, 30], [-7200, -7200, 0, 0], [0, 100, 100, 100])
    assert len(found.at_s) == 4
