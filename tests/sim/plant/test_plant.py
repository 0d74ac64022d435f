"""The plant of the scenarios: what an order does to a car, what meters tell of it, and that the same seed gives the same run."""

import numpy as np
import pytest
from msgspec.structs import replace

from counterflow.sim.plant.fleet import Fleet, Wishes
from counterflow.sim.plant.nature import GUARD, NATURES, REFERENCE, Nature
from counterflow.sim.plant.plant import Heard, Plant
from counterflow.sim.plant.post import Post

START_S = 1_800_000_000.0
IDEAL = replace(
    REFERENCE, delay_s=(3.0, 3.0), ramp_w_per_s=(1_000.0, 1_000.0), gain_mean=1.0, gain_sd=0.0, bias_mean_w=0.0, bias_sd_w=0.0,
    derated_share=0.0, deaf_share=0.0, soc_error_sd=0.0, attrition_per_h=0.0, command_loss=0.0, meter_loss=0.0, noise_frac=0.0, noise_w=0.0,
    network_median_s=1e-6,
)  # fmt: skip


def plant(nature: Nature = IDEAL, cars: int = 4, seed: int = 1, dt_s: float = 1.0, **wishes: object) -> Plant:
    rng = np.random.default_rng(seed)
    fleet = Fleet.drawn(Wishes(cars=cars, **{"power_w": (10_000.0, 10_000.0), **wishes}), START_S, rng)
    return Plant(nature, fleet, START_S, rng, dt_s)


def order(at: Plant, power_w: float, until_s: float = 1e4, hold_s: float = 2e4, rows: list[int] | None = None, **more: object) -> None:
    which = np.array(range(len(at.fleet)) if rows is None else rows)
    ones = np.ones(len(which))
    at.order(which, power_w * ones, (START_S + until_s) * ones, (START_S + hold_s) * ones, np.ones(len(which), dtype=np.int64), **more)


def run(at: Plant, seconds: int) -> list[Heard]:
    return [at.step() for _ in range(seconds)]


def test_an_order_is_followed_after_the_delay_by_a_ramp() -> None:
    at = plant()
    order(at, -5_000.0)
    powers = [float(at.power_w[0]) for _ in run(at, 3)]
    assert powers[-1] == pytest.approx(0.0, abs=1.0)
    run(at, 2)
    assert at.power_w[0] == pytest.approx(-2_000.0, abs=5.0)
    run(at, 4)
    assert at.power_w[0] == -5_000.0


def test_an_order_ends_by_itself_then_holds_then_the_car_charges() -> None:
    at = plant(soc_frac=(0.4, 0.4))
    assert at.power_w[0] == 10_000.0
    order(at, -5_000.0, until_s=40.0, hold_s=80.0)
    run(at, 40)
    assert at.power_w[0] == -5_000.0
    run(at, 20)
    assert at.power_w[0] == 0.0
    run(at, 60)
    assert at.power_w[0] == 10_000.0


def test_a_small_change_is_ignored_and_zero_is_not() -> None:
    at = plant()
    order(at, -5_000.0)
    run(at, 20)
    order(at, -5_150.0)
    run(at, 20)
    assert at.power_w[0] == -5_000.0
    order(at, -5_250.0)
    run(at, 20)
    assert at.power_w[0] == -5_250.0
    order(at, 0.0)
    run(at, 20)
    assert at.power_w[0] == 0.0


def test_below_the_minimum_there_is_nothing() -> None:
    at = plant(min_share=0.2)
    order(at, -1_900.0)
    run(at, 20)
    assert at.power_w[0] == 0.0


def test_what_is_delivered_is_gain_less_bias_and_no_more_than_the_ceiling() -> None:
    at = plant(replace(IDEAL, gain_mean=0.9, bias_mean_w=200.0, derated_share=1.0, derating=(0.5, 0.5)))
    order(at, -4_000.0)
    run(at, 20)
    assert at.power_w[0] == pytest.approx(-3_400.0)
    order(at, -10_000.0)
    run(at, 20)
    assert at.power_w[0] == pytest.approx(-5_000.0)
    assert at.able_w()[0] == pytest.approx(5_000.0)


def test_the_station_begins_at_the_time_it_was_told() -> None:
    at = plant()
    order(at, -5_000.0, begins_s=np.full(4, START_S + 30.0))
    run(at, 33)
    assert at.power_w[0] == pytest.approx(0.0, abs=1.0)
    run(at, 6)
    assert at.power_w[0] == -5_000.0


def test_the_later_order_wins_although_both_are_on_their_way() -> None:
    at = plant()
    order(at, -5_000.0)
    run(at, 1)
    order(at, -2_000.0)
    run(at, 20)
    assert at.power_w[0] == -2_000.0


def test_registers_are_the_energy_and_the_battery_pays_with_losses() -> None:
    at = plant()
    order(at, -9_000.0)
    before_wh = float(at.energy_wh[0])
    run(at, 400)
    assert before_wh - float(at.energy_wh[0]) == pytest.approx(float(at.export_wh[0]) / 0.92)
    assert float(at.export_wh[0]) == pytest.approx(9_000.0 * (400.0 - 3.0 - 4.5) / 3600.0, rel=0.01)


def test_an_empty_battery_gives_nothing() -> None:
    at = plant(capacity_wh=(100.0, 100.0))
    order(at, -9_000.0)
    run(at, 120)
    assert at.energy_wh[0] == 0.0
    assert at.power_w[0] == 0.0


def test_what_is_heard_is_readings_answers_and_ends_and_no_truth() -> None:
    assert set(Heard.__struct_fields__) == {"readings", "answers", "ended"}
    at = plant(cars=50)
    order(at, -5_000.0)
    heard = run(at, 30)
    rows = np.concatenate([readings.rows for each in heard for readings in each.readings])
    assert np.bincount(rows, minlength=50).min() >= 2
    answers = [answers for each in heard for answers in each.answers]
    assert sum(len(answer.rows) for answer in answers) == 50
    assert all(answer.accepted.all() for answer in answers)


def test_lost_orders_time_out_and_lost_readings_do_not_come() -> None:
    at = plant(replace(IDEAL, command_loss=1.0, meter_loss=1.0))
    order(at, -5_000.0)
    heard = run(at, 31)
    assert at.power_w[0] == 0.0
    assert not any(each.readings for each in heard)
    assert [bool(answer.accepted.any()) for each in heard for answer in each.answers] == [False]


def test_a_car_that_leaves_tells_or_goes_silent() -> None:
    at = plant(replace(IDEAL, silent_share=0.5), cars=1_000)
    at.leave(np.arange(1_000))
    told = np.concatenate([each.ended for each in run(at, 20)])
    assert 400 < len(told) < 600
    assert at.power_w.sum() == 0.0
    assert not any(each.readings for each in run(at, 20)[10:])


def test_departures_and_attrition_take_cars() -> None:
    at = plant(cars=10, stay_s=(60.0, 60.0))
    run(at, 59)
    assert not at.gone.any()
    run(at, 1)
    assert at.gone.all()
    leaky = plant(replace(IDEAL, attrition_per_h=1.0), cars=2_000)
    run(leaky, 360)
    assert 0.07 < leaky.gone.mean() < 0.12


def test_bursts_take_as_many_as_single_departures_would() -> None:
    gone = []
    for seed in range(6):
        at = plant(replace(IDEAL, attrition_per_h=0.5, burst_share=1.0), cars=300, seed=seed, dt_s=10.0)
        run(at, 360)
        gone.append(at.gone.mean())
    assert 0.25 < float(np.mean(gone)) < 0.55


def test_a_coarser_step_moves_the_same_energy() -> None:
    exports = []
    for dt_s in (1.0, 10.0):
        at = plant(dt_s=dt_s)
        order(at, -9_000.0)
        run(at, round(1_000 / dt_s))
        exports.append(float(at.export_wh[0]))
    assert exports[1] == pytest.approx(exports[0], rel=0.01)


@pytest.mark.parametrize("name", sorted(NATURES))
def test_the_same_seed_gives_the_same_run(name: str) -> None:
    powers = []
    for _ in range(2):
        at = plant(NATURES[name], cars=200, seed=7)
        order(at, -8_000.0)
        run(at, 60)
        powers.append(at.power_w.copy())
    assert (powers[0] == powers[1]).all()
    assert powers[0].sum() < 0.0


def test_the_guard_is_another_fleet_than_the_reference() -> None:
    at = plant(GUARD, cars=4_000)
    assert np.quantile(at.delay_s, 0.99) > 20.0
    before = (at.gain + at.drift).copy()
    run(at, 300)
    assert np.abs(at.gain + at.drift - before).mean() > 0.005


def test_post_keeps_the_order_of_sending_inside_a_step() -> None:
    post: Post[tuple[np.ndarray]] = Post(0.0, 1.0)
    post.put(np.array([2.4, 1.0]), np.array([1, 2]))
    post.put(np.array([2.1]), np.array([3]))
    assert [part[0].tolist() for part in post.take(1.0)] == [[2]]
    post.put(np.array([0.5]), np.array([4]))
    assert [part[0].tolist() for part in post.take(2.0)] == [[4]]
    assert [part[0].tolist() for part in post.take(3.0)] == [[1], [3]]
