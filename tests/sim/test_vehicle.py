"""The plant: its constants are those of the reference, and its physics hold."""

import math
from collections.abc import Callable

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.sim.draws import Draws
from counterflow.sim.settings import PlantSettings
from counterflow.sim.vehicle import UNRESTRICTED, Cars, Order, Plant

MANY = 20_000


def cars(count: int = 1, *, soc: float = 0.7, target: float = 0.6, power_w: float = 11_000.0, capacity_wh: float = 60_000.0) -> Cars:
    return Cars(
        max_power_w=np.full(count, power_w),
        min_power_w=np.full(count, 0.1 * power_w),
        capacity_wh=np.full(count, capacity_wh),
        soc_frac=np.full(count, soc),
        floor_soc_frac=np.full(count, 0.3),
        target_soc_frac=np.full(count, target),
        stay_s=np.full(count, 36_000.0),
    )


def plant(plant_settings: PlantSettings | None = None, fleet: Cars | None = None, seed: int = 1) -> Plant:
    made = Plant(plant_settings or PlantSettings.ideal(), fleet or cars(), Draws(np.random.default_rng(seed)))
    for row in range(made.size):
        made.plug(row)
        made.energise(row)
    return made


def run(made: Plant, seconds: int, *, from_s: float = 0.0) -> list[float]:
    powers = []
    for second in range(seconds):
        made.step(from_s + second)
        powers.append(float(made.power_w[0]))
    return powers


def told(made: Plant, power_w: float, now_s: float = 0.0) -> float:
    made.order(0, Order(power_w, False), now_s, from_csms=False)
    return run(made, 60, from_s=now_s)[-1]


def test_the_constants_of_the_reference_plant_are_not_softened() -> None:
    s = PlantSettings()
    assert (s.delay_min_s, s.delay_max_s, s.network_median_s) == (2.0, 10.0, 0.2)
    assert (s.ramp_min_w_per_s, s.ramp_max_w_per_s, s.dead_band_w) == (500.0, 5_000.0, 200.0)
    assert (s.gain_mean, s.gain_sd, s.bias_mean_w, s.bias_sd_w) == (0.97, 0.02, 150.0, 150.0)
    assert (s.derated_share, s.derating_min, s.derating_max, s.deaf_share, s.soc_error_sd) == (0.03, 0.5, 0.9, 0.02, 0.02)
    assert (s.attrition_per_h, s.silent_share, s.command_loss, s.meter_loss) == (0.05, 0.2, 0.01, 0.01)
    assert (s.meter_noise_frac, s.meter_noise_w, s.meter_latency_s, s.meter_latency_mean_s) == (0.005, 30.0, 0.2, 0.8)


def test_the_cars_are_spread_as_the_constants_say() -> None:
    made = plant(PlantSettings(), cars(MANY))
    assert 2.0 <= made.delay_s.min() < 2.01
    assert 9.99 < made.delay_s.max() <= 10.0
    assert 500.0 <= made.ramp_w_per_s.min() < made.ramp_w_per_s.max() <= 5_000.0
    assert made.gain.mean() == pytest.approx(0.97, abs=0.001)
    assert made.gain.std() == pytest.approx(0.02, abs=0.001)
    assert made.bias_w.mean() == pytest.approx(150.0, abs=5.0)
    assert made.bias_w.std() == pytest.approx(150.0, abs=5.0)
    assert np.isfinite(made.discharge_cap_w).mean() == pytest.approx(0.03, abs=0.005)
    derated = made.derating[made.derating < 1.0]
    assert 0.5 <= derated.min() < 0.52
    assert 0.88 < derated.max() <= 0.9
    assert made.deaf.mean() == pytest.approx(0.02, abs=0.004)
    assert made.soc_error.std() == pytest.approx(0.02, abs=0.001)


def test_one_command_in_a_hundred_is_lost_but_never_one_of_the_evse_itself() -> None:
    made = plant(PlantSettings())
    lost = sum(not made.order(0, UNRESTRICTED, 0.0, from_csms=True) for _ in range(MANY))
    assert lost / MANY == pytest.approx(0.01, abs=0.003)
    assert all(made.order(0, UNRESTRICTED, 0.0, from_csms=False) for _ in range(1000))


def test_five_of_a_hundred_cars_leave_in_an_hour_one_in_five_without_a_word() -> None:
    made = plant(PlantSettings(), cars(MANY))
    gone = [leaver for _ in range(360) for leaver in made.leavers(10.0)]
    assert len(gone) / MANY == pytest.approx(0.05, abs=0.005)
    assert sum(silent for _, silent in gone) / len(gone) == pytest.approx(0.2, abs=0.04)


def test_meter_noise_is_half_a_percent_and_thirty_watts() -> None:
    made = plant(PlantSettings())
    made.power_w[0] = -10_000.0
    readings = np.array([made.meter_w(0) for _ in range(MANY)])
    assert readings.mean() == pytest.approx(-10_000.0, abs=2.0)
    assert readings.std() == pytest.approx(math.hypot(50.0, 30.0), rel=0.03)


def test_a_setpoint_is_followed_after_the_delay_and_along_the_ramp() -> None:
    made = plant(PlantSettings(deaf_share=0.0, derated_share=0.0, command_loss=0.0))
    made.delay_s[0], made.ramp_w_per_s[0], made.gain[0], made.bias_w[0] = 4.0, 1_000.0, 1.0, 0.0
    made.order(0, Order(-7_000.0, False), 0.0, from_csms=False)
    powers = run(made, 20)
    assert powers[:4] == [0.0] * 4
    assert powers[4:11] == [-1_000.0 * step for step in range(1, 8)]
    assert powers[-1] == -7_000.0


def test_changes_below_the_dead_band_are_ignored_and_others_are_not() -> None:
    made = plant(msgspec.structs.replace(PlantSettings.ideal(), dead_band_w=200.0))
    assert told(made, -7_000.0) == -7_000.0
    assert told(made, -7_199.0, 100.0) == -7_000.0
    assert told(made, -7_200.0, 200.0) == -7_200.0


@pytest.mark.parametrize(
    ("asked_w", "got_w"), [(-1_099.0, 0.0), (-1_101.0, -1_101.0), (1_099.0, 0.0), (1_101.0, 1_101.0), (0.0, 0.0), (-50_000.0, -11_000.0)]
)
def test_a_car_runs_between_its_least_and_its_most_power_or_not_at_all(asked_w: float, got_w: float) -> None:
    assert told(plant(), asked_w) == got_w


def test_a_discharge_delivers_gain_times_asked_minus_bias() -> None:
    made = plant()
    made.gain[0], made.bias_w[0] = 0.97, 150.0
    assert told(made, -7_000.0) == pytest.approx(-(0.97 * 7_000.0 - 150.0))


def test_a_derated_car_stops_short_of_its_nameplate() -> None:
    made = plant()
    made.discharge_cap_w[0] = 0.6 * 11_000.0
    assert told(made, -11_000.0) == pytest.approx(-6_600.0)
    assert told(made, -5_000.0, 100.0) == pytest.approx(-5_000.0)


def test_a_deaf_car_does_what_it_would_do_without_us() -> None:
    made = plant(fleet=cars(soc=0.5, target=0.8))
    made.deaf[0] = True
    assert told(made, -7_000.0) == 11_000.0


def test_a_limit_is_never_exceeded_even_by_a_car_whose_gain_is_above_one() -> None:
    made = plant(fleet=cars(soc=0.5, target=0.8))
    made.gain[0] = 1.05
    made.order(0, Order(4_000.0, True), 0.0, from_csms=False)
    assert run(made, 5)[-1] == 4_000.0


def test_a_car_left_alone_charges_to_its_own_target_and_stops() -> None:
    made = plant(fleet=cars(soc=0.59, target=0.6))
    assert run(made, 1)[-1] == 11_000.0
    run(made, 600, from_s=1.0)
    assert float(made.power_w[0]) == 0.0
    assert made.believed_soc_of(0) == pytest.approx(0.6, abs=0.001)


def test_charging_power_falls_above_four_fifths() -> None:
    powers = []
    for soc in (0.8, 0.9, 0.99):
        made = plant(fleet=cars(soc=soc, target=1.0))
        powers.append(run(made, 1)[-1])
    assert powers == pytest.approx([11_000.0, 11_000.0 * (1 - 0.375), 11_000.0 * (1 - 3.75 * 0.19)], rel=1e-6)


@pytest.mark.parametrize(("soc", "target"), [(0.5, 0.7), (0.5, 0.95), (0.85, 0.95), (0.9, 0.8)])
def test_the_time_to_recharge_agrees_with_the_simulated_charge(soc: float, target: float) -> None:
    made = plant(fleet=cars(soc=soc, target=target))
    expected_s, second = made.recharge_time_s(0, soc), 0
    while made.believed_soc_of(0) < target and second < 40_000:
        made.step(float(second), 10.0)
        second += 10
    assert second == pytest.approx(expected_s, rel=0.01, abs=10.0)


def test_a_car_that_leaves_stops_at_once() -> None:
    made = plant()
    told(made, -7_000.0)
    made.release(0)
    assert run(made, 1, from_s=100.0) == [0.0]


orders = st.lists(st.tuples(st.integers(0, 3), st.floats(-30_000.0, 30_000.0), st.booleans(), st.integers(1, 60)), min_size=1, max_size=6)


@given(orders=orders, soc=st.floats(0.0, 1.0), seed=st.integers(0, 1000))
@settings(max_examples=25)
def test_energy_is_conserved_registers_never_fall_and_no_battery_is_over_full_or_below_empty(
    orders: list[tuple[int, float, bool, int]], soc: float, seed: int
) -> None:
    made = plant(PlantSettings(), cars(4, soc=soc, target=0.9, capacity_wh=500.0), seed=seed)
    first_wh, first_in, first_out = made.energy_wh.copy(), made.import_wh.copy(), made.export_wh.copy()
    now_s = 0.0
    for row, power_w, is_limit, seconds in orders:
        made.order(row, Order(abs(power_w) if is_limit else power_w, is_limit), now_s, from_csms=True)
        for _ in range(seconds):
            before = [made.registers_wh(one) for one in range(4)]
            made.step(now_s)
            now_s += 1.0
            after = [made.registers_wh(one) for one in range(4)]
            assert all(new >= old for earlier, later in zip(before, after, strict=True) for old, new in zip(earlier, later, strict=True))
    into, out = made.import_wh - first_in, made.export_wh - first_out
    stored = made.settings.charge_efficiency * into - out / made.settings.discharge_efficiency
    np.testing.assert_allclose(made.energy_wh - first_wh, stored, atol=1e-3)
    assert (made.energy_wh >= 0.0).all()
    assert (made.energy_wh <= made.capacity_wh).all()


def test_the_same_seed_gives_the_same_cars(tiny_csms: Callable[..., object]) -> None:
    one, other, third = (plant(PlantSettings(), cars(100), seed=seed) for seed in (5, 5, 6))
    assert (one.delay_s == other.delay_s).all()
    assert (one.gain == other.gain).all()
    assert not (one.delay_s == third.delay_s).all()
