"""Scenarios 1 to 7 and 11 to 15: a constant target on cars that are slow, biased, deaf, and leave."""

from collections.abc import Callable

import numpy as np
from msgspec.structs import replace

from counterflow.app.bench.scenarios.oracle import best_delivery_w
from counterflow.app.bench.scenarios.play import Course, Run, Stage, play, set_up
from counterflow.app.bench.scenarios.scenario import OTHERS, Demand, Figures, Scenario, Setup
from counterflow.engine.control.settings import ControlSettings
from counterflow.engine.fleet.snapshot import F8
from counterflow.engine.settlement.tracking import energy_error_frac, means, rmse_w, settled_after_s, worst_mean_w
from counterflow.sim.plant.fleet import Wishes
from counterflow.sim.plant.nature import GUARD, REFERENCE, Nature
from counterflow.sim.plant.plant import Plant

SHARE = 0.8
"""Of the nameplate power: what is ordered."""
LEARNING_S, PAUSE_S = 300, 150.0


def stage_for(setup: Setup, cars: int, nature: Nature = REFERENCE, control: ControlSettings | None = None) -> Stage:
    """A fleet of so many cars, and the tracker of the setup, or these settings of control."""
    return set_up(nature, Wishes(cars=cars), setup.seed, control=control or ControlSettings(tracker=setup.tracker))


def constant(stage: Stage, seconds: int, share: float = SHARE) -> F8:
    """A constant target for a window."""
    return np.full(seconds, share * float(stage.plant.fleet.max_w.sum()))


def lose(share: float) -> Callable[[Plant], None]:
    """An event: a share of the cars that are still there leaves at once."""

    def strike(plant: Plant) -> None:
        here = np.flatnonzero(~plant.gone)
        plant.leave(np.random.default_rng(here.size).choice(here, round(share * here.size), replace=False))

    return strike


def common(run: Run, stage: Stage, from_s: int = 60) -> dict[str, float]:
    """Figures that every play tells, in percent of the target where they are errors."""
    scale_w = float(np.mean(run.target_w))
    asked_w, given_w = run.target_w[from_s:], run.delivered_w[from_s:]
    return {
        "rmse": 100.0 * rmse_w(asked_w, given_w) / scale_w,
        "worst_minute": 100.0 * worst_mean_w(asked_w, given_w) / scale_w,
        "energy_error": 100.0 * energy_error_frac(run.target_w, run.delivered_w),
        "energy_error_size": 100.0 * abs(energy_error_frac(run.target_w, run.delivered_w)),
        "messages": float(run.messages.sum() + run.ahead) / len(stage.plant.fleet),
        "overshoot": 100.0 * max(0.0, float((given_w / asked_w).max()) - 1.0),
        "tick_p99_ms": float(np.quantile(stage.centre.tick_ms, 0.99)),
        "settled_5": settled_after_s(run.target_w, run.delivered_w, 0.05),
        "settled_2": settled_after_s(run.target_w, run.delivered_w, 0.02),
    }


def taught(stage: Stage) -> None:
    """An event some minutes before, in which the cars' responses were learned."""
    play(stage, Course(target_w=constant(stage, LEARNING_S), after_s=PAUSE_S))


class BestPossible:
    """The most that the cars of a play could have delivered of its target, step by step of `every` seconds, had everything been known
    beforehand: who is there, what each can give, its energy above its floor, and (`from_start`) its delay and ramp at the begin."""

    def __init__(self, stage: Stage, seconds: int, *, from_start: bool, every: int = 10) -> None:
        self._every, self._from_start = every, from_start
        self._able_w = np.zeros((seconds // every, len(stage.plant.fleet)))
        self._energy_wh = stage.plant.above_floor_wh()

    def watch(self, step: int, plant: Plant) -> None:
        """Look at each step of the play."""
        able_w = plant.able_w()
        if self._from_start:
            able_w = np.minimum(able_w, plant.ramp_w_per_s * np.maximum(0.0, step + 1.0 - plant.delay_s))
        if step // self._every < len(self._able_w):
            self._able_w[step // self._every] += able_w / self._every

    def delivery_w(self, target_w: F8) -> F8:
        """The most of this target (one value a second), in the mean of each step (K,), by a linear program."""
        return best_delivery_w(self._able_w, self._energy_wh, means(target_w, float(self._every), 1.0), float(self._every))


def _share_of_best(run: Run, best_w: F8, from_s: int = 0, every: int = 10) -> float:
    """Energy delivered of the target, in percent of the most that could have been."""
    given_w = means(np.minimum(run.delivered_w, run.target_w), float(every), 1.0)
    return 100.0 * float(given_w[from_s // every :].sum() / best_w[from_s // every :].sum())


def first_step(setup: Setup, nature: Nature = REFERENCE) -> Figures:
    """1: nothing was learned."""
    stage = stage_for(setup, setup.cars, nature)
    best = BestPossible(stage, 900, from_start=True)
    run = play(stage, Course(target_w=constant(stage, 900)), best.watch)
    return common(run, stage) | {"share_of_best": _share_of_best(run, best.delivery_w(run.target_w))}


def known_step(setup: Setup) -> Figures:
    """2: the cars are known from an event before."""
    stage = stage_for(setup, setup.cars)
    taught(stage)
    return common(play(stage, Course(target_w=constant(stage, 900))), stage)


def scheduled_step(setup: Setup) -> Figures:
    """3: the same with a minute of notice."""
    stage = stage_for(setup, setup.cars)
    taught(stage)
    return common(play(stage, Course(target_w=constant(stage, setup.lasting(3_600)), notice_s=60.0)), stage)


def drop_out(setup: Setup, cars: int, share: float, ordered: float = SHARE, nature: Nature = REFERENCE) -> Figures:
    """4 to 6: so many leave at once in mid-window."""
    stage = stage_for(setup, cars, nature)
    at_s, lost = 300, {}

    def strike(plant: Plant) -> None:
        before = int(np.count_nonzero(plant.gone))
        lose(share)(plant)
        lost["count"] = int(np.count_nonzero(plant.gone)) - before

    best = BestPossible(stage, 900, from_start=False)
    run = play(stage, Course(target_w=constant(stage, 900, ordered), events={at_s: strike}), best.watch)
    asked_w, given_w = run.target_w[at_s:], run.delivered_w[at_s:]
    later_w = means(given_w[120:], 10.0, 1.0)
    best_w = best.delivery_w(run.target_w)
    reachable_w = best_w[(at_s + 120) // 10 :]
    return common(run, stage) | {
        "dip": 100.0 * float(1.0 - (given_w / asked_w)[:120].min()),
        "back_5": settled_after_s(asked_w, given_w, 0.05),
        "back_2": settled_after_s(asked_w, given_w, 0.02),
        "sustained": 100.0 * abs(float((given_w[120:] - asked_w[120:]).mean())) / asked_w[0],
        "worst_later": 100.0 * float(np.abs(later_w - reachable_w).max() / asked_w[0]),
        "worst_of_target": 100.0 * float(np.abs(later_w - asked_w[0]).max() / asked_w[0]),
        "reachable": 100.0 * float(reachable_w.min() / asked_w[0]),
        "messages_per_lost": run.messages_between(at_s, at_s + 90) / max(1, lost["count"]),
        "share_of_best": _share_of_best(run, best_w, at_s + 120),
    }


def fifteen_or_twenty(setup: Setup) -> Figures:
    """6: both losses, the worse of each figure."""
    cars = setup.cars
    lighter, heavier = drop_out(setup, cars, 0.15), drop_out(setup, cars, 0.20, ordered=0.7)
    return {
        "worst_15": lighter["worst_later"],
        "worst_20": heavier["worst_later"],
        "worst_of_target_15": lighter["worst_of_target"],
        "worst_of_target_20": heavier["worst_of_target"],
        "reachable_15": lighter["reachable"],
        "reachable_20": heavier["reachable"],
        "share_of_best_15": lighter["share_of_best"],
        "share_of_best_20": heavier["share_of_best"],
    }


def beyond_reach(setup: Setup) -> Figures:
    """7: more is ordered than there is."""
    stage = stage_for(setup, setup.cars)
    seconds = 600
    run = play(stage, Course(target_w=constant(stage, seconds, 1.2)))
    # An order that got lost is sent again, and a car that joins is asked: neither is a swing to and fro.
    changes = run.messages_between(60, seconds) / len(stage.plant.fleet) / ((seconds - 60) / 60.0)
    return common(run, stage) | {"notice": min(run.alarms_s, default=float("inf")), "changes_per_min": changes}


def constant_hour(setup: Setup) -> Figures:
    """11: what an hour costs in messages."""
    stage = stage_for(setup, setup.cars)
    return common(play(stage, Course(target_w=constant(stage, 3_600))), stage)


def lost_messages(setup: Setup) -> Figures:
    """12: one order in ten is lost."""
    stage = stage_for(setup, setup.cars, replace(REFERENCE, command_loss=0.1))
    return common(play(stage, Course(target_w=constant(stage, setup.lasting(1_800)))), stage)


def deaf_cars(setup: Setup) -> Figures:
    """13: a tenth of the cars never responds. What counts is how long a deaf car was under orders until it was found."""
    stage = stage_for(setup, setup.cars, replace(REFERENCE, deaf_share=0.1))
    cars = len(stage.plant.fleet)
    asked_s, found, wronged = np.zeros(cars), np.zeros(cars, dtype=np.bool_), np.zeros(cars, dtype=np.bool_)

    def watch(_step: int, plant: Plant) -> None:
        asked_s[(stage.centre.memory.level_w > 0.0) & ~found] += 1.0
        out = stage.centre.response.not_responding(plant.now_s)
        found[out] = True
        wronged[out & ~plant.deaf] = True

    run = play(stage, Course(target_w=constant(stage, setup.lasting(1_800), 0.7)), watch)
    deaf = stage.plant.deaf
    wrong = 100.0 * float(np.count_nonzero(wronged)) / max(1, int(np.count_nonzero(~deaf)))
    return common(run, stage) | {"found_after": float(asked_s[deaf & ~stage.plant.gone].max(initial=0.0)), "wronged": wrong}


def slow_meters(setup: Setup) -> Figures:
    """14: a meter value a minute."""
    figures = drop_out(setup, setup.cars, 0.1, nature=replace(REFERENCE, meter_interval_s=60.0))
    quiet = common_of_minute_meters(setup)
    return {"rmse": quiet["rmse"], "back_2": figures["back_2"], "settled_2": quiet["settled_2"]}


def common_of_minute_meters(setup: Setup) -> Figures:
    """The same without a loss."""
    stage = stage_for(setup, setup.cars, replace(REFERENCE, meter_interval_s=60.0))
    return common(play(stage, Course(target_w=constant(stage, 1_200))), stage)


def small_fleets(setup: Setup) -> Figures:
    """15: a hundred and three hundred cars."""
    figures = {}
    for cars in (100, 300):
        stage = stage_for(setup, cars)
        run = play(stage, Course(target_w=constant(stage, setup.lasting(1_800))))
        figures[f"worst_minute_{cars}"] = common(run, stage)["worst_minute"]
    return figures


STEPS = (
    Scenario(
        number="1",
        title="step to 80 %, nothing learned",
        cars=10_000,
        demands=(
            Demand(key="settled_2", title="until within 2 %", unit="s", goal=75.0, moonshot=55.0),
            Demand(key="rmse", title="RMSE after 60 s", unit="%", goal=0.5, moonshot=0.1),
            Demand(key="share_of_best", title="energy of the best possible", unit="%", goal=99.0, moonshot=99.8, better="more"),
        ),
        measure=first_step,
        baselines=OTHERS,
    ),
    Scenario(
        number="1g",
        title="the same on the guard plant",
        cars=10_000,
        demands=(Demand(key="rmse", title="RMSE after 60 s", unit="%", goal=3.0, moonshot=1.5),),
        measure=lambda setup: first_step(setup, GUARD),
        baselines=OTHERS,
    ),
    Scenario(
        number="2",
        title="step, cars known",
        cars=10_000,
        demands=(Demand(key="settled_2", title="until within 2 %", unit="s", goal=30.0, moonshot=22.0),),
        measure=known_step,
        baselines=OTHERS,
    ),
    Scenario(
        number="3",
        title="step with notice, cars known",
        cars=10_000,
        demands=(
            Demand(key="settled_2", title="until within 2 %", unit="s", goal=15.0, moonshot=6.0),
            Demand(key="energy_error_size", title="energy error of the window", unit="%", goal=0.3, moonshot=0.1),
        ),
        measure=scheduled_step,
        baselines=OTHERS,
    ),
    Scenario(
        number="4",
        title="a tenth drops out",
        cars=10_000,
        demands=(
            Demand(key="back_5", title="back within 5 %", unit="s", goal=20.0, moonshot=16.0),
            Demand(key="back_2", title="back within 2 %", unit="s", goal=60.0, moonshot=25.0),
            Demand(key="sustained", title="error from 120 s on", unit="%", goal=0.5, moonshot=0.2),
            Demand(key="share_of_best", title="energy of the best possible", unit="%", goal=99.0, moonshot=99.8, better="more"),
            Demand(key="messages_per_lost", title="messages in 90 s per car lost", unit="", goal=1.5, moonshot=1.0),
        ),
        measure=lambda setup: drop_out(setup, setup.cars, 0.1),
        baselines=OTHERS,
    ),
    Scenario(
        number="6",
        title="15 % lost at 0.8, 20 % at 0.7",
        cars=2_000,
        demands=(
            Demand(key="worst_15", title="15 %: off the reachable, worst from 120 s on", unit="%", goal=2.0, moonshot=1.0),
            Demand(key="worst_20", title="20 %: the same", unit="%", goal=2.0, moonshot=1.0),
            Demand(key="share_of_best_15", title="15 %: energy of the best possible", unit="%", goal=99.0, moonshot=99.8, better="more"),
            Demand(key="share_of_best_20", title="20 %: the same", unit="%", goal=99.0, moonshot=99.8, better="more"),
        ),
        measure=fifteen_or_twenty,
        baselines=OTHERS,
    ),
    Scenario(
        number="7",
        title="more than there is",
        cars=10_000,
        demands=(
            Demand(key="notice", title="shortfall told after", unit="s", goal=8.0, moonshot=4.0),
            Demand(key="changes_per_min", title="changes per car and minute", unit="", goal=0.2, moonshot=0.0),
        ),
        measure=beyond_reach,
        baselines=OTHERS,
    ),
    Scenario(
        number="11",
        title="a constant hour",
        cars=1_000,
        demands=(Demand(key="messages", title="setpoints per car", unit="", goal=2.0, moonshot=1.2),),
        measure=constant_hour,
        baselines=OTHERS,
    ),
    Scenario(
        number="12",
        title="one order in ten lost",
        cars=1_000,
        demands=(Demand(key="rmse", title="RMSE after 60 s", unit="%", goal=0.5, moonshot=0.13),),
        measure=lost_messages,
        baselines=OTHERS,
    ),
    Scenario(
        number="13",
        title="a tenth never responds",
        cars=1_000,
        demands=(
            Demand(key="found_after", title="under orders until found, longest", unit="s", goal=600.0, moonshot=300.0),
            Demand(key="wronged", title="excluded wrongly", unit="%", goal=0.1, moonshot=0.0),
            Demand(key="rmse", title="RMSE after 60 s", unit="%", goal=1.0, moonshot=0.3),
        ),
        measure=deaf_cars,
        baselines=OTHERS,
    ),
    Scenario(
        number="14",
        title="a meter value a minute",
        cars=1_000,
        demands=(
            Demand(key="rmse", title="RMSE after 60 s", unit="%", goal=1.5, moonshot=0.75),
            Demand(key="back_2", title="a tenth lost: back in 2 %", unit="s", goal=240.0, moonshot=150.0),
        ),
        measure=slow_meters,
        baselines=OTHERS,
    ),
    Scenario(
        number="15",
        title="small fleets",
        demands=(
            Demand(key="worst_minute_100", title="100 cars: worst minute", unit="%", goal=3.0, moonshot=1.5),
            Demand(key="worst_minute_300", title="300 cars: worst minute", unit="%", goal=2.0, moonshot=1.2),
        ),
        measure=small_fleets,
        baselines=OTHERS,
    ),
)
