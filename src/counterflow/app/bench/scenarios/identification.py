"""How well delay and ramp are told, within an event (`lags`) and after it (`identification`), side by side against the plant's truth; and
what the better estimate brings to the next event."""

import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from statistics import fmean

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

from counterflow.app.bench.scenarios.centre import RESPONSE
from counterflow.app.bench.scenarios.play import Course, Run, Stage, play, set_up
from counterflow.app.bench.scenarios.regulation import BASE, SWING, regulation
from counterflow.app.bench.scenarios.scenario import Figures
from counterflow.app.bench.scenarios.steps import constant, taught
from counterflow.domain.instructions import AllocationPolicy, DispatchMode
from counterflow.domain.reasons import ChangeReason
from counterflow.engine.control.decision import SetpointChange
from counterflow.engine.control.lags import LagMemory
from counterflow.engine.fleet.snapshot import B1, F8
from counterflow.engine.settlement.tracking import settled_after_s, three_part_score
from counterflow.sim.plant.fleet import Wishes
from counterflow.sim.plant.nature import GUARD, MODERN, NATURES, REFERENCE
from counterflow.sim.plant.plant import Plant

WITHIN, AFTER = "within the event", "after it"
STEP_W = 7_000.0
DT_S = 0.25
"""The plant's registers count whole steps: by steps of a second they would be half a second early."""
QUICKEST_W_PER_S, SLOWEST_W_PER_S = 50_000.0, 100.0
"""Ramps that are told beyond these count as these."""
LESSONS = tuple(product((REFERENCE.name, MODERN.name, GUARD.name), (10.0, 60.0), (3, 10)))
NEXT = tuple(product((REFERENCE.name, MODERN.name, GUARD.name), ("step", "stream")))

TOLD = {
    "delay": ("delay, rms s", 2),
    "ramp": ("ramp, rms %", 0),
    "ramp_median": ("median %", 0),
    "slow": ("1/ramp, rms %", 0),
    "lag": ("lag, rms s", 2),
}
BROUGHT = {"settled": ("within 2 % after s", 1), "minute": ("first minute, RMSE %", 2), "strict": ("strict score", 4)}
"""Figures that are shown: title and digits."""


class Job(Struct, frozen=True, kw_only=True):
    """One play, or one pair of plays."""

    nature: str
    seed: int
    cars: int
    meter_interval_s: float = 10.0
    steps: int = 0
    """So many moves of each car; 0 = the next event is played."""
    following: str = ""
    seconds: int = 0


def measured(job: Job) -> dict[str, Figures]:
    """Figures by estimator."""
    if job.steps:
        return lesson(job)
    return {how: next_event(job, identified=how == AFTER) for how in (WITHIN, AFTER)}


def lesson(job: Job) -> dict[str, Figures]:
    """Each car is told so many levels, about a minute and a half apart; what both estimators then say of it."""
    nature = replace(NATURES[job.nature], meter_interval_s=job.meter_interval_s, attrition_per_h=0.0)
    stage = set_up(nature, Wishes(cars=job.cars), job.seed, dt_s=DT_S)
    plant, centre = stage.plant, stage.centre
    centre.begin(plant.now_s, plant.now_s + 86_400.0, AllocationPolicy.HYBRID, DispatchMode.NET_EXPORT)
    rng = np.random.default_rng((job.seed, job.steps))
    next_s, left = plant.now_s + 70.0 + rng.uniform(0.0, 30.0, job.cars), np.full(job.cars, job.steps)
    high = np.ones(job.cars, dtype=np.bool_)
    for step in range(round((200.0 + 130.0 * job.steps) / DT_S)):
        if step % round(4.0 / DT_S) == 0:
            centre.look(plant.now_s)
            rows = np.flatnonzero((next_s <= plant.now_s) & (left > 0))
            share = np.where(high[rows], rng.uniform(0.6, 1.0, rows.size), rng.uniform(0.0, 0.25, rows.size))
            centre.send(_changes(rows, np.round(share * plant.fleet.max_w[rows]), plant.now_s), plant.now_s, plant, None)
            high[rows], left[rows] = ~high[rows], left[rows] - 1
            next_s[rows] = plant.now_s + rng.uniform(80.0, 120.0, rows.size)
        centre.hear(plant.step(), plant.now_s)
    sound = ~plant.deaf & (plant.ceiling_w >= plant.fleet.max_w)
    online = centre.response.lags
    centre.identify()
    return {WITHIN: _off(plant, online, sound), AFTER: _off(plant, centre.response.lags, sound)}


def _changes(rows: np.ndarray, levels_w: F8, now_s: float) -> tuple[SetpointChange, ...]:
    return tuple(
        SetpointChange(
            row=row,
            uid=row + 1,
            power_w=-level_w,
            discharge_until_s=now_s + 1e4,
            hold_until_s=now_s + 2e4,
            reason=ChangeReason.TARGET_CHANGED,
            urgent=False,
        )
        for row, level_w in zip(rows.tolist(), levels_w.tolist(), strict=True)
    )


def _off(plant: Plant, lags: LagMemory, sound: B1) -> Figures:
    """How far what is said of cars is off, for those that can follow an order."""
    cars = len(sound)
    network_s = plant.nature.network_median_s * float(np.exp(plant.nature.network_sigma**2 / 2.0))
    delay_s = lags.lags_s(np.zeros(cars), RESPONSE.prior_lag_s)
    lag_s = lags.lags_s(np.full(cars, STEP_W), RESPONSE.prior_lag_s)
    ramp = STEP_W / 2.0 / np.clip(lag_s - delay_s, STEP_W / 2.0 / QUICKEST_W_PER_S, STEP_W / 2.0 / SLOWEST_W_PER_S)
    true_s = plant.delay_s + network_s
    off = {
        "delay": delay_s - true_s,
        "ramp": 100.0 * (ramp / plant.ramp_w_per_s - 1.0),
        "slow": 100.0 * (plant.ramp_w_per_s / ramp - 1.0),
        "lag": lag_s - true_s - STEP_W / 2.0 / plant.ramp_w_per_s,
    }
    figures = {name: float(np.sqrt(np.mean(one[sound] ** 2))) for name, one in off.items()}
    return figures | {"ramp_median": float(np.median(np.abs(off["ramp"][sound])))}


def next_event(job: Job, *, identified: bool) -> Figures:
    """Two events in a row; what the second is like, with what the first taught within it, or with what was identified after it."""
    stage = set_up(NATURES[job.nature], Wishes(cars=job.cars), job.seed)
    if job.following == "step":
        taught(stage)
        run = _then(stage, Course(target_w=constant(stage, job.seconds), notice_s=60.0), identified)
        off = run.delivered_w[:60] / run.target_w[:60] - 1.0
        return {
            "settled": min(settled_after_s(run.target_w, run.delivered_w, 0.02), float(job.seconds)),
            "minute": 100.0 * float(np.sqrt(np.mean(off**2))),
        }
    rated_w = float(stage.plant.fleet.max_w.sum())
    signals = [regulation(job.seconds, job.seed + 100 * place) for place in range(2)]
    first, second = (Course(target_w=rated_w * (BASE + SWING * signal), streamed=True, after_s=150.0) for signal in signals)
    play(stage, first)
    run = _then(stage, second, identified)
    return {"strict": three_part_score(signals[1], (run.delivered_w[: job.seconds] / rated_w - BASE) / SWING).strict}


def _then(stage: Stage, course: Course, identified: bool) -> Run:
    if identified:
        stage.centre.identify()
    return play(stage, course)


def run_identification(seeds: int, console: Console, *, quick: bool = False) -> int:
    """Measure both with so many seeds, and print mean and worst. Always 0: it has no goals."""
    cars, seconds = (60, 600) if quick else (200, 1_800)
    jobs = [
        Job(nature=nature, seed=seed, cars=cars, meter_interval_s=every_s, steps=steps)
        for (nature, every_s, steps), seed in product(LESSONS, range(1, seeds + 1))
    ]
    jobs += [
        Job(nature=nature, seed=seed, cars=2 * cars, following=following, seconds=seconds)
        for (nature, following), seed in product(NEXT, range(1, seeds + 1))
    ]
    told: dict[tuple[str, ...], list[Figures]] = {}
    brought: dict[tuple[str, ...], list[Figures]] = {}
    with console.status("") as status, ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        for number, (job, figures) in enumerate(zip(jobs, pool.map(measured, jobs), strict=True), start=1):
            for how, one in figures.items():
                where = (job.nature, f"{job.meter_interval_s:.0f} s", f"{job.steps}") if job.steps else (job.nature, job.following)
                (told if job.steps else brought).setdefault((*where, how), []).append(one)
            status.update(f"{number} of {len(jobs)} plays")
    console.print(_table("What is told of a car, mean (worst seed)", ("plant", "meters", "steps", "told"), TOLD, told))
    console.print(_table("The next event, mean (worst seed)", ("plant", "event", "lags told"), BROUGHT, brought))
    return 0


def _table(title: str, heads: Iterable[str], columns: dict[str, tuple[str, int]], rows: dict[tuple[str, ...], list[Figures]]) -> Table:
    table = Table(title=title, title_justify="left")
    for head in heads:
        table.add_column(head)
    for words, _ in columns.values():
        table.add_column(words, justify="right")
    for where, plays in rows.items():
        table.add_row(*where, *(_cell([play[key] for play in plays if key in play], digits, key) for key, (_, digits) in columns.items()))
    return table


def _cell(values: list[float], digits: int, key: str) -> str:
    if not values:
        return ""
    worst = min(values) if key == "strict" else max(values)
    return f"{fmean(values):.{digits}f} ({worst:.{digits}f})"
