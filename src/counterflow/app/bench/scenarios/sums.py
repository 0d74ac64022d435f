"""Scenarios 18 to 21: allocators and recoverability against linear and quadratic programs, and what a tick takes."""

import numpy as np

from counterflow.app.bench.scenarios.oracle import best_capacity_w, least_square_share_w, recoverable
from counterflow.app.bench.scenarios.play import START_S, Course, play
from counterflow.app.bench.scenarios.scenario import OTHERS, Demand, Figures, Scenario, Setup
from counterflow.app.bench.scenarios.steps import constant, stage_for
from counterflow.domain.instructions import AllocationPolicy
from counterflow.engine.dispatch.allocate import allocate
from counterflow.engine.dispatch.limits import Limits, total_capacity_w
from counterflow.engine.dispatch.problem import AllocationProblem
from counterflow.engine.fleet.joint import recoverable as says_recoverable
from counterflow.engine.fleet.snapshot import F8

STEP_S = 300.0
CARS = 500
BISECTIONS = 14
FUZZ_CASES = 10_000
QP_CASES = 20
JOB_CASES = 200
"""Each seed draws its own, so that five seeds judge a thousand."""


def policy_share(setup: Setup) -> Figures:
    """18: five cases of windows and departures; what merit sustains, as a share of what a linear program says is possible."""
    rng = np.random.default_rng((setup.seed, 18))
    shares = [_sustained_share(rng, hours, leaving, shape, setup) for hours, leaving, shape in _cases()]
    return {"share_mean": 100.0 * float(np.mean(shares)), "share_least": 100.0 * min(shares)}


def _cases() -> tuple[tuple[int, float, str], ...]:
    return ((1, 0.0, "flat"), (1, 0.2, "flat"), (3, 0.3, "flat"), (3, 0.3, "rising"), (3, 0.3, "random"))


def _sustained_share(rng: np.random.Generator, hours: int, leaving: float, kind: str, setup: Setup) -> float:
    cars, steps = setup.sized(CARS), round(hours * 3600 / STEP_S)
    power_w = rng.uniform(3_700.0, 22_000.0, cars)
    energy_wh = rng.uniform(0.05, 0.5, cars) * rng.uniform(40_000.0, 100_000.0, cars)
    leaves_after = np.where(rng.random(cars) < leaving, rng.integers(1, steps, cars), steps)
    shapes = {"flat": np.ones(steps), "rising": np.linspace(0.5, 1.5, steps), "random": rng.uniform(0.5, 1.5, steps)}
    shape = shapes[kind]
    best_w = best_capacity_w(power_w, energy_wh, leaves_after, shape, STEP_S / 3600.0)
    low_w, high_w = 0.0, best_w
    for _ in range(BISECTIONS):
        middle_w = 0.5 * (low_w + high_w)
        if _serves(power_w, energy_wh, leaves_after, middle_w * shape):
            low_w = middle_w
        else:
            high_w = middle_w
    return low_w / best_w


def _serves(power_w: F8, energy_wh: F8, leaves_after: np.ndarray, target_w: F8) -> bool:
    energy_wh, end_s = energy_wh.copy(), START_S + len(target_w) * STEP_S
    for step, asked_w in enumerate(target_w.tolist()):
        here = leaves_after > step
        caps_w = np.where(here, np.minimum(power_w, energy_wh * 3600.0 / STEP_S), 0.0)
        now_s = START_S + step * STEP_S
        useful_s = np.where(here, START_S + leaves_after * STEP_S, now_s)
        problem = _problem(asked_w, caps_w, np.fmax(power_w, 1.0), energy_wh, useful_s, now_s, end_s)
        given = allocate(problem, AllocationPolicy.MERIT)
        if given.short_w > 1e-6 * asked_w:
            return False
        energy_wh = np.maximum(energy_wh - given.power_w * STEP_S / 3600.0, 0.0)
    return True


def _problem(
    target_w: float,
    caps_w: F8,
    weights: F8,
    energy_wh: F8,
    useful_s: F8,
    now_s: float,
    end_s: float,
    limits: Limits | None = None,
    min_w: F8 | None = None,
) -> AllocationProblem:
    cars = len(caps_w)
    return AllocationProblem(
        target_w=target_w,
        caps_w=caps_w,
        min_w=np.zeros(cars) if min_w is None else min_w,
        weights=weights,
        gain=np.ones(cars),
        energy_wh=energy_wh,
        useful_until_s=useful_s,
        running=np.zeros(cars, dtype=np.bool_),
        limits=limits or Limits.flat(np.zeros(cars, dtype=np.int32), np.array([np.inf])),
        now_s=now_s,
        window_end_s=end_s,
    )


def _drawn(rng: np.random.Generator, cars: int) -> tuple[AllocationProblem, float]:
    """A problem at sites with limits, and what the tree lets through."""
    groups = max(1, cars // 5)
    caps_w = np.where(rng.random(cars) < 0.1, 0.0, rng.uniform(1_000.0, 22_000.0, cars))
    group = rng.integers(0, groups, cars)
    total_w = np.bincount(group, weights=caps_w, minlength=groups)
    group_cap_w = np.where(rng.random(groups) < 0.5, np.inf, total_w * rng.choice([0.0, 0.3, 0.7, 1.0], groups))
    limits = Limits.flat(group, group_cap_w)
    through_w = total_capacity_w(caps_w, limits)
    target_w = float(through_w * rng.choice([0.0, rng.random(), 1.0, 1.3]))
    flat = np.full(cars, START_S + 3600.0)
    weights = rng.uniform(500.0, 22_000.0, cars)
    return _problem(target_w, caps_w, weights, caps_w, flat, START_S, START_S + 3600.0, limits), through_w


def water_fill(setup: Setup) -> Figures:
    """19: the proportional policy against a quadratic program, and its invariants on random problems."""
    rng = np.random.default_rng((setup.seed, 19))
    worst = 0.0
    for _ in range(QP_CASES):
        problem, through_w = _drawn(rng, 60)
        if problem.target_w >= through_w or problem.target_w <= 0.0:
            continue
        ours_w = allocate(problem, AllocationPolicy.PROPORTIONAL).power_w
        cap_w = np.minimum(problem.limits.cap_w, 1e9)
        best_w = least_square_share_w(problem.caps_w, problem.weights, problem.limits.group, cap_w, problem.target_w)
        ours, best = (float((power_w**2 / (2.0 * problem.weights)).sum()) for power_w in (ours_w, best_w))
        worst = max(worst, (ours - best) / best)
    broken = sum(_broken(rng) for _ in range(FUZZ_CASES // (50 if setup.quick else 5)))
    return {"objective_error": worst, "broken": float(broken)}


def _broken(rng: np.random.Generator) -> bool:
    """Whether one random problem shows a broken invariant: total, caps, limits, the same answer for shuffled cars (I6)."""
    problem, through_w = _drawn(rng, int(rng.integers(1, 40)))
    policy = rng.choice(np.array(list(AllocationPolicy)))
    power_w = allocate(problem, AllocationPolicy(policy)).power_w
    wanted_w = min(problem.target_w, through_w)
    at_groups_w = np.bincount(problem.limits.group, weights=power_w, minlength=len(problem.limits.cap_w))
    wrong = abs(float(power_w.sum()) - wanted_w) > 1e-6 * max(wanted_w, 1.0) + 1e-6
    wrong |= bool((power_w < -1e-9).any() or (power_w > problem.caps_w + 1e-6).any())
    return wrong or bool((at_groups_w > problem.limits.cap_w + 1e-6).any())


def joint_jobs(setup: Setup) -> Figures:
    """20: whether cars behind one connection can all be charged in time, by the engine's test and by a linear program."""
    rng = np.random.default_rng((setup.seed, 20))
    cases = JOB_CASES // 10 if setup.quick else JOB_CASES
    agree, fitting = 0, 0
    for _ in range(cases):
        cars = int(rng.integers(2, 12))
        power_w, due_s = rng.uniform(3_000.0, 22_000.0, cars), rng.uniform(600.0, 6.0 * 3_600.0, cars)
        busy_s = due_s * rng.uniform(0.05, 1.0, cars)
        needed_w = float((power_w * busy_s).sum()) / float(due_s.max())
        import_w = needed_w * float(rng.uniform(0.9, 1.8))
        group = np.zeros(cars, dtype=np.intp)
        ours = bool(says_recoverable(due_s - busy_s, due_s, power_w, group, np.array([import_w]))[0])
        best = recoverable(power_w * busy_s / 3_600.0, power_w, due_s, import_w)
        agree += ours == best
        fitting += best
    return {"agree": 100.0 * agree / cases, "fitting": 100.0 * fitting / cases}


def tick_times(setup: Setup) -> Figures:
    """21: snapshot, learning and decision in the loop, CPU time of the thread."""
    figures = {}
    for cars in (10_000, 100_000):
        stage = stage_for(setup, setup.sized(cars))
        play(stage, Course(target_w=constant(stage, 400 if cars == 10_000 else 240)))
        figures[f"p99_{cars}"] = float(np.quantile(stage.centre.tick_ms[1:], 0.99))
        figures[f"first_{cars}"] = stage.centre.tick_ms[0]
    return figures


SUMS = (
    Scenario(
        number="18",
        title="merit against the linear program",
        demands=(
            Demand(key="share_mean", title="of the best capacity, mean", unit="%", goal=97.0, moonshot=99.3, better="more"),
            Demand(key="share_least", title="of the best capacity, least", unit="%", goal=95.0, moonshot=97.0, better="more"),
        ),
        measure=policy_share,
        uncompared="an allocator is judged, no tracker is in it",
    ),
    Scenario(
        number="19",
        title="water-fill against the QP",
        demands=(
            Demand(key="objective_error", title="objective over the QP's", unit="", goal=1e-9, moonshot=1e-11),
            Demand(key="broken", title="broken, 2 000 random cases a seed", unit="", goal=0.0, moonshot=0.0),
        ),
        measure=water_fill,
        uncompared="an allocator is judged, no tracker is in it",
    ),
    Scenario(
        number="20",
        title="joint recoverability against the LP",
        demands=(Demand(key="agree", title="same answer, 200 cases a seed", unit="%", goal=100.0, moonshot=100.0, better="more"),),
        measure=joint_jobs,
        uncompared="a test of limits is judged, no tracker is in it",
    ),
    Scenario(
        number="21",
        title="the tick, p99",
        demands=(
            Demand(key="p99_10000", title="10 000 sessions", unit="ms", goal=50.0, moonshot=10.0),
            Demand(key="p99_100000", title="100 000 sessions", unit="ms", goal=100.0, moonshot=40.0),
        ),
        measure=tick_times,
        baselines=OTHERS,
        baseline_seeds=1,
        alone=True,
    ),
)
