"""Where every car stands."""

from collections.abc import Callable
from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.engine.fleet.reckoning import Reckoning, drawn_w, given_w, recharge_s, reckon, run_within_s
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import FleetImage

Cars = Callable[..., FleetImage]
PLAIN = CapabilitySettings()


def soc(image: FleetImage, now_s: float) -> float:
    return float(reckon(image, now_s, PLAIN).soc_frac[0])


def test_a_fresh_report_stands(cars: Cars, t0: float) -> None:
    assert soc(cars(), t0) == 0.6


def test_registers_carry_the_report_forward(cars: Cars, t0: float) -> None:
    assert soc(cars(export_wh=1000.0 + 5400.0), t0) == pytest.approx(0.6 - 5400.0 / 0.9 / 60_000.0)
    assert soc(cars(import_wh=5000.0 + 6000.0), t0) == pytest.approx(0.6 + 6000.0 * 0.9 / 60_000.0)


def test_discharge_goes_on_after_the_last_register_but_charging_is_not_credited(cars: Cars, t0: float) -> None:
    assert soc(cars(power_w=-7200.0), t0 + 100.0) == pytest.approx(0.6 - 200.0 / 0.9 / 60_000.0)
    assert soc(cars(power_w=7200.0), t0 + 100.0) == 0.6


def test_an_order_in_force_counts_before_the_meter_shows_it(cars: Cars, t0: float) -> None:
    told = {"setpoint_w": -7200.0, "setpoint_at_s": t0 + 10.0, "discharge_until_s": t0 + 900.0}
    assert soc(cars(**told), t0 + 20.0) == pytest.approx(0.6 - 20.0 / 0.9 / 60_000.0)
    assert soc(cars(**told, power_w=-3600.0), t0 + 20.0) == pytest.approx(0.6 - 30.0 / 0.9 / 60_000.0)
    assert soc(cars(**(told | {"discharge_until_s": t0 + 15.0})), t0 + 20.0) == pytest.approx(0.6 - 10.0 / 0.9 / 60_000.0)


def test_the_stronger_of_two_open_orders_counts(cars: Cars, t0: float) -> None:
    image = cars(setpoint_w=0.0, previous_setpoint_w=-7200.0, setpoint_at_s=t0, discharge_until_s=t0 + 900.0)
    assert soc(image, t0 + 10.0) == pytest.approx(0.6 - 20.0 / 0.9 / 60_000.0)


def test_without_an_export_register_power_counts_since_the_report(cars: Cars, t0: float) -> None:
    image = cars(export_wh=nan, soc_export_wh=nan, power_w=-7200.0, soc_at_s=t0 - 100.0)
    assert soc(image, t0) == pytest.approx(0.6 - 200.0 / 0.9 / 60_000.0)


def test_a_register_below_its_baseline_gives_nothing_negative(cars: Cars, t0: float) -> None:
    assert soc(cars(export_wh=0.0, import_wh=0.0), t0) == 0.6


def test_without_capacity_the_report_stands_and_only_energies_are_reckoned(cars: Cars, t0: float) -> None:
    image = cars(
        capacity_wh=nan, export_wh=1900.0, needs_export_wh=1000.0, needs_import_wh=5000.0, needs_at_s=t0,
        v2x_floor_wh=9000.0, target_request_wh=2000.0,
    )  # fmt: skip
    reckoned = reckon(image, t0, PLAIN)
    assert reckoned.soc_frac[0] == 0.6
    assert reckoned.v2x_above_wh[0] == pytest.approx(8000.0)
    assert recharge_s(reckoned, PLAIN)[0] == pytest.approx(3000.0 / (0.9 * 11_000.0) * 3600.0 * (0.2 + 0.2 * np.log(4.0) / 0.75) / 0.4)


def test_the_larger_of_two_needs_counts(cars: Cars, t0: float) -> None:
    known = {"needs_export_wh": 1000.0, "needs_import_wh": 5000.0, "needs_at_s": t0}
    by_soc = recharge_s(reckon(cars(), t0, PLAIN), PLAIN)[0]
    assert by_soc == pytest.approx(12_000.0 / 9900.0 * 3600.0)
    assert recharge_s(reckon(cars(**known, target_request_wh=11_000.0), t0, PLAIN), PLAIN)[0] == pytest.approx(by_soc)
    assert recharge_s(reckon(cars(**known, target_request_wh=13_000.0), t0, PLAIN), PLAIN)[0] > by_soc


def test_the_taper_makes_the_last_part_slower(cars: Cars, t0: float) -> None:
    full = recharge_s(reckon(cars(soc_target_frac=1.0), t0, PLAIN), PLAIN)[0]
    assert full == pytest.approx((12_000.0 + 12_000.0 * np.log(4.0) / 0.75) / 9900.0 * 3600.0)


def test_a_car_above_its_target_needs_no_charging(cars: Cars, t0: float) -> None:
    reckoned = reckon(cars(soc_frac=0.9), t0, PLAIN)
    assert recharge_s(reckoned, PLAIN)[0] == 0.0
    assert recharge_s(reckoned, PLAIN, 0.9 * 6000.0)[0] == pytest.approx(0.0, abs=1e-6)
    assert recharge_s(reckoned, PLAIN, 0.9 * 12_000.0)[0] == pytest.approx(6000.0 / 9900.0 * 3600.0)


def test_unknown_stays_unknown(cars: Cars, t0: float) -> None:
    assert np.isnan(recharge_s(reckon(cars(max_charge_w=nan), t0, PLAIN), PLAIN)[0])
    assert np.isnan(reckon(cars(soc_frac=nan), t0, PLAIN).goal_frac[0])


def lost_s(reckoned: Reckoning, power_w: float, run_s: float) -> float:
    """Time lost to a run: itself and the recharging that it costs."""
    given_wh = float(drawn_w(np.array([power_w]), PLAIN)[0]) * run_s / 3600.0
    return run_s + float((recharge_s(reckoned, PLAIN, given_wh) - recharge_s(reckoned, PLAIN))[0])


@settings(max_examples=200)
@given(at=st.floats(0.1, 1.0), goal=st.floats(0.1, 1.0), power_w=st.floats(0.0, 20_000.0), budget_s=st.floats(0.0, 40_000.0))
def test_a_run_within_a_budget_is_never_too_long_and_nearly_all_of_it(
    cars: Cars, t0: float, at: float, goal: float, power_w: float, budget_s: float
) -> None:
    reckoned = reckon(cars(soc_frac=at, soc_target_frac=goal), t0, PLAIN)
    run_s = float(run_within_s(reckoned, np.array([power_w]), np.array([budget_s]), PLAIN)[0])
    assert 0.0 <= run_s <= budget_s + 1e-6
    assert lost_s(reckoned, power_w, run_s) <= budget_s + 1e-6 * max(1.0, budget_s)
    assert lost_s(reckoned, power_w, run_s * 1.02 + 1.0) > budget_s


def test_part_load_costs_more_than_the_careful_efficiency_allows_for() -> None:
    """Ten cars at a tenth of their power empty batteries faster than one at the whole of it (control 1.4)."""
    one, ten = (float(drawn_w(np.array([power_w]), PLAIN)[0]) for power_w in (10_000.0, 1_000.0))
    assert one == 10_000.0, "the careful efficiency is worse than that at full load"
    assert 10.0 * ten > 1.12 * one
    assert drawn_w(np.array([0.0]), PLAIN)[0] == 0.0
    powers_w = np.linspace(1.0, 20_000.0, 300)
    assert given_w(drawn_w(powers_w, PLAIN), PLAIN) == pytest.approx(powers_w)
    assert (np.diff(drawn_w(powers_w, PLAIN)) > 0.0).all()
