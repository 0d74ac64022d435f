"""Scenarios 8 to 10: a regulation signal, a new value every two seconds."""

import numpy as np

from counterflow.app.bench.scenarios.play import Course, play
from counterflow.app.bench.scenarios.regulation import BASE, SWING, regulation
from counterflow.app.bench.scenarios.scenario import OTHERS, Demand, Figures, Scenario, Setup
from counterflow.app.bench.scenarios.steps import lose, stage_for
from counterflow.engine.control.settings import ControlSettings
from counterflow.engine.settlement.tracking import (
    band_share,
    bias_w,
    energy_error_frac,
    mileage,
    rmse_w,
    three_part_score,
    worst_mean_w,
)
from counterflow.sim.plant.nature import GUARD, MODERN, REFERENCE, Nature

TOLERANCE = 0.05
"""Half the width of the tolerance band, of the largest power that can be asked."""


def stream(
    setup: Setup,
    cars: int,
    nature: Nature = REFERENCE,
    drop: float = 0.0,
    *,
    control: ControlSettings | None = None,
    event_driven: bool = True,
) -> Figures:
    """An hour of the signal; `drop` = the share of the cars that leaves at half time. `event_driven` = a tick comes with each value and
    each known loss."""
    stage = stage_for(setup, cars, nature, control)
    seconds = 1_800 if setup.quick else 3_600
    signal = regulation(seconds, setup.seed)
    rated_w = float(stage.plant.fleet.max_w.sum())
    events = {seconds // 2: lose(drop)} if drop else {}
    run = play(stage, Course(target_w=rated_w * (BASE + SWING * signal), events=events, streamed=True, event_driven=event_driven))
    response = (run.delivered_w / rated_w - BASE) / SWING
    score = three_part_score(signal, response)
    return {
        "strict": score.strict,
        "allowed": score.allowed,
        "accuracy": score.accuracy,
        "delay": score.delay,
        "precision": score.precision,
        "precision_allowed": score.precision_allowed,
        "band": 100.0 * band_share(run.target_w, run.delivered_w, TOLERANCE * (BASE + SWING) * rated_w),
        "rmse": 100.0 * rmse_w(signal, response),
        "bias": 100.0 * bias_w(signal, response),
        "energy_error": 100.0 * energy_error_frac(run.target_w, run.delivered_w),
        "worst_minute": 100.0 * worst_mean_w(signal, response),
        "messages": float(run.messages.sum()) / cars * 3_600.0 / seconds,
        "mileage": mileage(signal) * 3_600.0 / seconds,
        "tick_p99_ms": float(np.quantile(stage.centre.tick_ms, 0.99)),
    }


STRICT = Demand(key="strict", title="strict score", unit="", goal=0.92, moonshot=0.95, better="more")
OVER_PI = Demand(key="strict", title="strict score over PI's", unit="", goal=0.02, moonshot=0.04, better="more", against_pi="difference")
A_FIFTH = Demand(key="messages", title="messages over PI's", unit="", goal=0.2, moonshot=0.1, against_pi="ratio")
ALLOWED = Demand(key="allowed", title="score, 10 s allowed", unit="", goal=0.95, moonshot=0.99, better="more")
BAND = Demand(key="band", title="within 5 %, 30 s grace", unit="%", goal=95.0, moonshot=99.5, better="more")
MESSAGES = Demand(key="messages", title="messages per car and hour", unit="", goal=25.0, moonshot=15.0)

STREAMS = (
    Scenario(
        number="8",
        title="RegD-like hour",
        cars=1_000,
        demands=(OVER_PI, A_FIFTH, STRICT, ALLOWED, MESSAGES, BAND),
        measure=lambda setup: stream(setup, setup.cars),
        baselines=OTHERS,
        baseline_seeds=0,
    ),
    Scenario(
        number="8b",
        title="the same",
        cars=10_000,
        demands=(OVER_PI, A_FIFTH, STRICT, ALLOWED, MESSAGES),
        measure=lambda setup: stream(setup, setup.cars),
        baselines=OTHERS,
        baseline_seeds=1,
    ),
    Scenario(
        number="8g",
        title="the same on the guard plant",
        cars=1_000,
        demands=(OVER_PI, A_FIFTH, BAND),
        measure=lambda setup: stream(setup, setup.cars, GUARD),
        baselines=OTHERS,
        baseline_seeds=0,
    ),
    Scenario(
        number="9",
        title="RegD, a tenth lost at half time",
        cars=1_000,
        demands=(OVER_PI, A_FIFTH, ALLOWED),
        measure=lambda setup: stream(setup, setup.cars, drop=0.1),
        baselines=OTHERS,
        baseline_seeds=0,
    ),
    Scenario(
        number="10",
        title="RegD, modern plant",
        cars=1_000,
        demands=(
            Demand(key="strict", title="strict score", unit="", goal=0.97, moonshot=0.98, better="more"),
            A_FIFTH,
            Demand(key="precision", title="precision without shift", unit="", goal=0.88, moonshot=0.92, better="more"),
        ),
        measure=lambda setup: stream(setup, setup.cars, MODERN),
        baselines=OTHERS,
        baseline_seeds=0,
    ),
)
