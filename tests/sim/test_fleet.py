"""The mix of cars: what a fleet offers, and that most but not all of it may be discharged."""

import msgspec
import numpy as np
import pytest

from counterflow.sim.fleet import Fleet, draw_cars
from counterflow.sim.settings import MixSettings, PlantSettings, StationSettings

MANY = 10_000
ETA = 0.90
"""The careful efficiency that a dispatcher plans with."""


def free_share_and_power_w(mix: MixSettings, count: int, seed: int) -> tuple[float, float]:
    """Share of the cars that can be discharged for a quarter of an hour, and their nameplate power."""
    fleet = Fleet(count, "F", seed, PlantSettings(), StationSettings(), mix)
    plant = fleet.plant
    believed = plant.believed_soc()
    free = np.zeros(count, np.bool_)
    for row in range(count):
        quarter = 0.25 * float(plant.max_power_w[row]) / (ETA * float(plant.capacity_wh[row]))
        soc_after = float(believed[row]) - quarter
        stay_s = fleet.stations[row].state.first_evse.stay_s
        recharge_s = plant.recharge_time_s(row, soc_after) * plant.settings.charge_efficiency / ETA
        free[row] = soc_after > 0.3 + 0.06 and stay_s - 900.0 - recharge_s - 1200.0 > 0.0
    return float(free.mean()), float(plant.max_power_w[free].sum())


def test_nine_of_ten_cars_may_be_discharged_and_two_hundred_offer_about_1_7_mw() -> None:
    shares, powers = zip(*(free_share_and_power_w(MixSettings(), 200, seed) for seed in range(10)), strict=True)
    assert 0.90 < np.mean(shares) < 0.95
    assert 1.6e6 < np.mean(powers) < 1.8e6
    assert min(powers) > 1.5e6


def test_some_cars_have_no_time_to_give_away() -> None:
    share, _ = free_share_and_power_w(msgspec.structs.replace(MixSettings(), tight_share=1.0), 200, 1)
    assert share == 0.0


def test_sizes_batteries_and_states_of_charge_are_within_the_mix() -> None:
    mix = MixSettings()
    cars = draw_cars(mix, MANY, np.random.default_rng(1))
    assert set(cars.max_power_w) == {3_700.0, 7_400.0, 11_000.0, 22_000.0}
    assert cars.max_power_w.mean() == pytest.approx(9_055.0, rel=0.02)
    assert 40_000.0 <= cars.capacity_wh.min() < cars.capacity_wh.max() <= 90_000.0
    assert 0.55 <= cars.soc_frac.min() < cars.soc_frac.max() <= 0.95
    assert (cars.min_power_w < cars.max_power_w).all()


def test_drop_out_takes_the_share_that_was_asked_some_of_it_silently() -> None:
    fleet = Fleet(100, "F", 3, PlantSettings.ideal(), StationSettings(), MixSettings())
    assert fleet.drop_out(0.1, 0.2, 0.0) == []
    for station in fleet.stations:
        station.connect(0.0)
        station.uplink.accepted()
        station.plug_in(0.0)
        station.operation.start(station.state.first_evse, 0.0, "Authorized")
    gone = fleet.drop_out(0.1, 0.2, 10.0)
    assert len(set(gone)) == 10
    assert sum(station.state.first_evse.silent for station in gone) == 2
    assert sum(station.sessions for station in fleet.stations) == 90
