"""The closed loop on the stand-in plant: the pass numbers of control reference 9, by their row numbers."""

from typing import Any

import numpy as np
import pytest

from counterflow.domain.ids import FeederId, SiteId
from counterflow.domain.instructions import AllocationPolicy
from counterflow.domain.resources import Feeder, Site
from counterflow.engine.control.grid import export_limits

POOR_GAIN = 0.95


def offered_w(loop: Any) -> float:
    """What the fleet is thought to give before anything was learned."""
    return POOR_GAIN * float(loop.plant.cap_w.sum())


def settled_after_s(error: Any, tolerance: float) -> int:
    """Seconds until the error stays inside the tolerance."""
    outside = np.flatnonzero(np.abs(error) > tolerance)
    return 0 if outside.size == 0 else int(outside[-1]) + 1


def rms(error: Any) -> float:
    return float(np.sqrt(np.mean(error**2)))


@pytest.mark.parametrize(("charging_w", "seed"), [(7_000.0, seed) for seed in range(1, 13)] + [(0.0, seed) for seed in range(13, 17)])
def test_200_cars_stay_within_3_percent_although_a_tenth_leaves(loop: Any, charging_w: float, seed: int) -> None:
    at_work = loop(cars=200, seed=seed, charging_w=charging_w)
    at_work.order([(0.0, 0.8 * offered_w(at_work))], 240.0)
    run = at_work.play(240, {120: at_work.lose(0.1)})
    assert np.abs(run.error(60, 120, 10)).max() <= 0.03
    assert np.abs(run.error(165, 235, 10)).max() <= 0.03


@pytest.mark.parametrize("policy", [AllocationPolicy.PROPORTIONAL, AllocationPolicy.MERIT])
@pytest.mark.parametrize("seed", range(1, 6))
def test_the_other_policies_hold_the_band_as_well(loop: Any, seed: int, policy: AllocationPolicy) -> None:
    at_work = loop(cars=200, seed=seed)
    at_work.order([(0.0, 0.8 * offered_w(at_work))], 240.0, policy=policy)
    run = at_work.play(240, {120: at_work.lose(0.1)})
    assert np.abs(run.error(60, 120, 10)).max() <= 0.03
    assert np.abs(run.error(165, 235, 10)).max() <= 0.03


@pytest.mark.parametrize(("cars", "seed"), [(1_000, 1), (1_000, 2), (1_000, 3), (1_000, 4), (1_000, 5), (10_000, 1)])
def test_goals_1_4_5_step_and_loss_of_a_tenth(loop: Any, cars: int, seed: int) -> None:
    at_work = loop(cars=cars, seed=seed, smallest_w=3_700.0, largest_w=22_000.0)
    at_work.order([(0.0, 0.8 * offered_w(at_work))], 400.0)
    gone = {}

    def lose() -> None:
        gone["before"] = int(at_work.plant.gone.sum())
        at_work.lose(0.1)()
        gone["lost"] = int(at_work.plant.gone.sum()) - gone["before"]

    run = at_work.play(400, {180: lose})
    assert settled_after_s(run.error(0, 180), 0.02) <= 75
    assert rms(run.error(60, 180)) <= 0.005
    assert settled_after_s(run.error(180, 395), 0.05) <= 20
    assert settled_after_s(run.error(180, 395), 0.02) <= 60
    assert abs(run.error(300, 395).mean()) <= 0.005
    assert run.messages(180.0, 270.0) <= 1.5 * gone["lost"]


@pytest.mark.parametrize("seed", range(1, 6))
def test_goal_7_a_target_beyond_reach_is_told_in_one_tick_and_does_not_oscillate(loop: Any, seed: int) -> None:
    at_work = loop(cars=200, seed=seed)
    at_work.order([(0.0, 1.5 * offered_w(at_work))], 400.0)
    run = at_work.play(400)
    assert run.decisions[0][1].figures.shortfall_w > 0.0
    assert run.decisions[0][1].alarms
    assert run.messages(60.0, 400.0) / 200.0 / (340.0 / 60.0) < 0.2


@pytest.mark.parametrize("seed", range(1, 6))
def test_goal_12_one_message_in_ten_lost(loop: Any, seed: int) -> None:
    at_work = loop(cars=1_000, seed=seed, command_loss=0.1)
    at_work.order([(0.0, 0.8 * offered_w(at_work))], 400.0)
    run = at_work.play(395)
    assert rms(run.error(60, 395)) <= 0.005


@pytest.mark.parametrize("seed", range(1, 6))
def test_goal_13_non_responders_are_left_out_and_nobody_else(loop: Any, seed: int) -> None:
    at_work = loop(cars=1_000, seed=seed, deaf_share=0.1)
    at_work.order([(0.0, 0.75 * offered_w(at_work))], 400.0)
    run = at_work.play(395)
    plant = at_work.plant
    left_out = at_work.response.not_responding(plant.now_s)
    commanded = at_work.memory.level_w > 0.0
    long_ago = at_work.memory.level_at_s < plant.now_s - 60.0
    assert not (plant.deaf & ~plant.gone & commanded & long_ago & ~left_out).any()
    assert (left_out & ~plant.deaf).sum() <= 1
    assert rms(run.error(60, 395)) <= 0.01


@pytest.mark.parametrize("seed", range(1, 6))
def test_goal_14_meters_once_a_minute(loop: Any, seed: int) -> None:
    at_work = loop(cars=1_000, seed=seed, meter_interval_s=60.0)
    at_work.order([(0.0, 0.8 * offered_w(at_work))], 605.0)
    run = at_work.play(600, {300: at_work.lose(0.1)})
    assert rms(run.error(60, 300)) <= 0.015
    assert settled_after_s(run.error(300, 600), 0.02) <= 240


@pytest.mark.parametrize(("cars", "worst"), [(100, 0.03), (300, 0.02)])
@pytest.mark.parametrize("seed", range(1, 6))
def test_goal_15_small_fleets(loop: Any, cars: int, worst: float, seed: int) -> None:
    at_work = loop(cars=cars, seed=seed, smallest_w=3_700.0, largest_w=22_000.0)
    at_work.order([(0.0, 0.8 * offered_w(at_work))], 605.0)
    run = at_work.play(600)
    assert np.abs(run.error(60, 600, 60)).max() <= worst


@pytest.mark.parametrize("seed", range(1, 4))
def test_goal_28_no_site_ever_exports_more_than_it_may(loop: Any, seed: int) -> None:
    sites = tuple(Site(site_id=f"s{row}", max_export_power_w=25_000.0 if row % 3 == 0 else None) for row in range(60))
    at_work = loop(cars=360, seed=seed, sites=sites, charging_w=7_000.0)
    most_w = offered_w(at_work)
    worst_w = [0.0]
    step = at_work.plant.step

    def watched() -> None:
        step()
        export_w = np.bincount(at_work.plant.columns["site"], weights=at_work.plant.true_w, minlength=61)
        worst_w.append(float((export_w - at_work.plant.topology.max_export_w).max()))

    at_work.plant.step = watched
    at_work.order([(0.0, 0.5 * most_w), (120.0, 0.25 * most_w), (240.0, 0.65 * most_w)], 400.0)
    run = at_work.play(400, {300: at_work.lose(0.05)})
    assert max(worst_w) <= 0.0
    assert np.abs(run.error(70, 118, 10)).max() <= 0.03
    assert np.abs(run.error(180, 238, 10)).max() <= 0.03


@pytest.mark.parametrize("policy", list(AllocationPolicy))
def test_goal_28_no_feeder_site_or_phase_ever_exports_more_than_it_may(loop: Any, policy: AllocationPolicy) -> None:
    """Thirty sites on five feeders on one line, phases limited at every third site; the export of each group stays inside its limit
    while the target falls and rises again and cars drive off."""
    feeders = (
        Feeder(feeder_id=FeederId("line"), max_export_power_w=900_000.0),
        *(Feeder(feeder_id=FeederId(f"f{at}"), parent=FeederId("line"), max_export_power_w=180_000.0) for at in range(5)),
    )
    sites = tuple(
        Site(
            site_id=SiteId(f"s{at}"),
            feeder=FeederId(f"f{at % 5}"),
            max_export_power_w=45_000.0 if at % 4 == 0 else None,
            max_export_power_per_phase_w=14_000.0 if at % 3 == 0 else None,
        )
        for at in range(30)
    )
    at_work = loop(cars=300, seed=4, sites=sites, feeders=feeders, charging_w=7_000.0)
    plant = at_work.plant
    image = plant.image()
    limits = export_limits(image, plant.topology)
    worst_w = [0.0]
    step = plant.step

    def watched() -> None:
        step()
        worst_w.append(float((limits.used_w(np.maximum(plant.true_w, 0.0)) - plant.topology.max_export_w).max()))

    plant.step = watched
    at_work.order([(0.0, 600_000.0), (100.0, 250_000.0), (200.0, 1_000_000.0)], 320.0, policy)
    run = at_work.play(320, {260: at_work.lose(0.05)})
    assert max(worst_w) <= 0.0
    if policy is not AllocationPolicy.PROPORTIONAL:  # spread over all cars, each at little, their bias shows until it is learned
        assert np.abs(run.error(150, 198, 10)).max() <= 0.03
    figures = run.decisions[-1][1].figures
    assert figures.shortfall_w > 0.0
    assert "limit 180.0 kW of feeder f1 binds" in figures.binds
    assert any(words.startswith("limit 14.0 kW of phase L") for words in figures.binds)
    assert "binds" in run.decisions[-1][1].alarms[0]


def test_goal_11_a_constant_half_hour_costs_little_more_than_one_message_a_car(loop: Any) -> None:
    at_work = loop(cars=300, seed=1)
    at_work.order([(0.0, 0.8 * offered_w(at_work))], 1_800.0)
    run = at_work.play(1_800)
    assert run.messages() / 300.0 <= 1.5


def test_emergency_stop_brings_the_fleet_to_zero(loop: Any) -> None:
    at_work = loop(cars=200, seed=2, command_loss=0.0)
    at_work.order([(0.0, 0.8 * offered_w(at_work))], 400.0)

    def stop() -> None:
        at_work.stopped = True

    run = at_work.play(160, {100: stop})
    assert run.true_w[100] > 0.7 * offered_w(at_work)
    assert run.true_w[150] == pytest.approx(0.0, abs=1.0)


def test_the_same_seed_gives_the_same_run(loop: Any) -> None:
    powers = []
    for _ in range(2):
        at_work = loop(cars=100, seed=4)
        at_work.order([(0.0, 0.7 * offered_w(at_work))], 200.0)
        powers.append(at_work.play(200, {100: at_work.lose(0.1)}).true_w)
    assert powers[0] == powers[1]


def test_under_economic_the_cheaper_cars_give_and_stay_when_the_target_falls(loop: Any) -> None:
    at_work = loop(cars=100, seed=6, smallest_w=7_000.0, largest_w=7_000.0, deaf_share=0.0, derated_share=0.0)
    dear = np.arange(100) % 2 == 0
    at_work.plant.columns["wear_per_kwh"][:] = np.where(dear, 0.2, 0.05)
    at_work.order([(0.0, 0.7 * offered_w(at_work)), (120.0, 0.4 * offered_w(at_work))], 240.0, AllocationPolicy.ECONOMIC)
    run = at_work.play(240)
    asked_w = np.fmax(at_work.memory.level_w, 0.0)
    assert (asked_w[~dear & ~at_work.plant.gone] > 0.0).mean() > 0.8
    assert (asked_w[dear] > 0.0).sum() <= 3
    assert np.abs(run.error(60, 115, 10)).max() <= 0.04
