"""Allocation problems in a line, and the LP that judges them."""

from collections.abc import Callable
from typing import Any

import highspy
import numpy as np
import pytest

from counterflow.engine.dispatch.limits import Limits
from counterflow.engine.dispatch.problem import AllocationProblem


def build(target_w: float, caps_w: Any, **given: Any) -> AllocationProblem:
    """A problem with sensible defaults for what is not given."""
    caps = np.asarray(caps_w, dtype=np.float64)
    n = len(caps)
    site = np.asarray(given.get("site", np.zeros(n)), dtype=np.intp)
    site_cap_w = np.asarray(given.get("site_cap_w", np.full(1, np.inf)), dtype=np.float64)

    def column(name: str, default: Any) -> Any:
        return np.asarray(given.get(name, default), dtype=np.float64) * np.ones(n)

    return AllocationProblem(
        target_w=target_w,
        caps_w=caps,
        min_w=column("min_w", 0.0),
        weights=column("weights", np.maximum(caps, 1.0)),
        gain=column("gain", 1.0),
        energy_wh=column("energy_wh", 20_000.0),
        useful_until_s=column("useful_until_s", 1e9),
        running=np.asarray(given.get("running", np.zeros(n)), dtype=np.bool_),
        limits=given.get("limits") or Limits.flat(site, site_cap_w),
        now_s=0.0,
        window_end_s=3600.0,
        cost=given.get("cost"),
    )


ON_PHASES = {0: (1, 1, 1), 1: (1, 0, 0), 2: (0, 1, 0), 3: (0, 0, 1), 4: (1 / 3, 1 / 3, 1 / 3)}


def groups_of(limits: Limits) -> list[tuple[Any, float]]:
    """Every group as (what a watt of each row uses of it (N,), limit)."""
    uses = np.zeros((len(limits.cap_w), len(limits.group)))
    for row, leaf in enumerate(limits.group.tolist()):
        at = leaf
        while at >= 0:
            uses[at, row] = 1.0
            at = int(limits.parent[at])
        if limits.first_phase is not None and limits.supply is not None and limits.first_phase[leaf] >= 0:
            for phase, share in enumerate(ON_PHASES[int(limits.supply[row])]):
                uses[limits.first_phase[leaf] + phase, row] = share
    return list(zip(uses, limits.cap_w.tolist(), strict=True))


def capacity_by_lp(problem: AllocationProblem) -> float:
    """What the tree can deliver at most, by HiGHS."""
    return _solve(problem, quadratic=False)[0]


def proportional_by_qp(problem: AllocationProblem) -> Any:
    """`min sum x^2/(2w)` at the full target, by HiGHS, (N,)."""
    return _solve(problem, quadratic=True)[1]


def _solve(problem: AllocationProblem, *, quadratic: bool) -> tuple[float, Any]:
    n = len(problem.caps_w)
    solver = highspy.Highs()
    solver.silent()
    for row in range(n):
        solver.addVar(0.0, float(problem.caps_w[row]))
    for uses, cap_w in groups_of(problem.limits):
        rows = np.flatnonzero(uses)
        if np.isfinite(cap_w) and rows.size:
            solver.addRow(0.0, cap_w, rows.size, rows, uses[rows])
    if quadratic:
        solver.addRow(problem.target_w, problem.target_w, n, np.arange(n), problem.gain)
        hessian = highspy.HighsHessian()
        hessian.dim_ = n
        hessian.format_ = highspy.HessianFormat.kTriangular
        hessian.start_ = np.arange(n + 1)
        hessian.index_ = np.arange(n)
        hessian.value_ = 1.0 / problem.weights
        solver.passHessian(hessian)
    else:
        for row in range(n):
            solver.changeColCost(row, float(problem.gain[row]))
        solver.changeObjectiveSense(highspy.ObjSense.kMaximize)
    solver.run()
    assert solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
    values = np.array(solver.getSolution().col_value)
    return float((problem.gain * values).sum()), values


@pytest.fixture
def problem() -> Callable[..., AllocationProblem]:
    """`problem(target_w, caps_w, site=..., site_cap_w=..., min_w=...)`."""
    return build


@pytest.fixture
def lp_capacity() -> Callable[[AllocationProblem], float]:
    """The LP's capacity."""
    return capacity_by_lp


@pytest.fixture
def qp_shares() -> Callable[[AllocationProblem], Any]:
    """The QP's proportional split."""
    return proportional_by_qp


@pytest.fixture
def groups() -> Callable[[Limits], list[tuple[Any, float]]]:
    """Uses and limit of every group."""
    return groups_of
