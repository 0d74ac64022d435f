"""The allocators, a table of policies. Each keeps caps, minimum powers and the tree of limits, exactly."""

from collections.abc import Callable

import numpy as np

from counterflow.domain.instructions import AllocationPolicy
from counterflow.engine.dispatch.limits import Limits, cap_in_order, cap_proportionally, total_capacity_w
from counterflow.engine.dispatch.merit import merit_rank, take_in_order
from counterflow.engine.dispatch.problem import Allocation, AllocationProblem
from counterflow.engine.fleet.snapshot import B1, F8

_ROUNDS = 200


def allocate(problem: AllocationProblem, policy: AllocationPolicy) -> Allocation:
    """Split the target. Delivers `min(target, what the tree lets through)`, up to one car's minimum power where minima forbid more."""
    power_w = POLICIES[policy](problem)
    served_w = float((problem.gain * power_w).sum())
    return Allocation(power_w=power_w, served_w=served_w, short_w=max(0.0, problem.target_w - served_w))


def proportional(problem: AllocationProblem) -> F8:
    """`min sum x^2/(2w)`: every car gives in proportion to its weight until capped; cars below their minimum are then settled."""
    usable_w = np.where(problem.caps_w >= problem.min_w, problem.caps_w, 0.0)
    power_w = _fill(problem, usable_w, problem.target_w, problem.limits)
    below = (power_w > 0.0) & (power_w < problem.min_w - 1e-9)
    if not below.any():
        return power_w
    return _with_minima(problem, usable_w, power_w, below)


def merit(problem: AllocationProblem) -> F8:
    """Least discharge laxity first, each at its cap, the last one in part."""
    return _commit(problem, None)


def hybrid(problem: AllocationProblem) -> F8:
    """As merit, but among equals running cars go first, then small ones: block loading with as few changes as merit allows, and a reserve
    of large cars, few of which make good for a loss."""
    return _commit(problem, problem.running)


def economic(problem: AllocationProblem) -> F8:
    """As merit, but among cars of about the same laxity the cheapest go first, wear, energy and standing loss counted."""
    return _commit(problem, None, np.zeros_like(problem.caps_w) if problem.cost is None else problem.cost)


POLICIES: dict[AllocationPolicy, Callable[[AllocationProblem], F8]] = {
    AllocationPolicy.HYBRID: hybrid,
    AllocationPolicy.PROPORTIONAL: proportional,
    AllocationPolicy.MERIT: merit,
    AllocationPolicy.ECONOMIC: economic,
}


def _fill(problem: AllocationProblem, caps_w: F8, target_w: float, limits: Limits) -> F8:
    """Exact water-fill of `target_w` (delivered) under `caps_w` and `limits` (asked)."""
    caps_w = cap_proportionally(caps_w, problem.weights, limits)
    rows = np.flatnonzero(caps_w > 0.0)
    cap, weight, gain = caps_w[rows], problem.weights[rows], problem.gain[rows]
    if target_w >= float((gain * cap).sum()):
        return caps_w
    # Newton from below on a concave piecewise-linear curve: the set of saturated cars only grows, so this ends, exactly.
    open_w, missing_w, level = gain * weight, target_w, 0.0
    theta = cap / weight
    for _ in range(_ROUNDS):
        slope = float(open_w.sum())
        if slope <= 0.0:
            break
        level = missing_w / slope
        full = theta < level
        if not full.any():
            break
        missing_w -= float((gain[full] * cap[full]).sum())
        keep = ~full
        cap, weight, gain, theta, open_w = cap[keep], weight[keep], gain[keep], theta[keep], open_w[keep]
    return np.minimum(caps_w, problem.weights * max(level, 0.0))


def _with_minima(problem: AllocationProblem, usable_w: F8, power_w: F8, below: B1) -> F8:
    """Semi-continuous repair: the cars below their minimum that are nearest to it are lifted onto it, as far as their own total allows
    in each group; the rest are zeroed and the others are filled again. What then is missing is made up whole car by whole car.
    """
    group = problem.limits.binding_group()
    rows = np.flatnonzero(below)
    rows = rows[np.lexsort((-power_w[rows] / problem.min_w[rows], group[rows]))]
    kept_w = np.zeros_like(power_w)
    lifted = _running_sum(problem.min_w[rows], group[rows])
    room_w = np.bincount(group[rows] + 1, weights=power_w[rows])[group[rows] + 1]
    kept = rows[lifted <= room_w + 1e-9]
    kept_w[kept] = problem.min_w[kept]
    others_w = np.where(below, 0.0, usable_w)
    rest_w = max(0.0, problem.target_w - float((problem.gain * kept_w).sum()))
    filled_w = kept_w + _fill(problem, others_w, rest_w, problem.limits.less(kept_w))
    filled_w = np.where((filled_w > 0.0) & (filled_w < problem.min_w - 1e-9), 0.0, filled_w)
    return _top_up(problem, usable_w, filled_w)


def _top_up(problem: AllocationProblem, usable_w: F8, power_w: F8) -> F8:
    """Close what is missing: running cars up to their caps, then idle ones from their minimum on, inside the limits."""
    running = power_w > 0.0
    for movable in (running, ~running):
        missing_w = problem.target_w - float((problem.gain * power_w).sum())
        if missing_w <= 1e-6:
            break
        room_w = np.where(movable, usable_w - power_w, 0.0)
        rank = merit_rank(np.maximum(room_w, 0.0), problem.energy_wh, problem.useful_until_s, problem.now_s, problem.window_end_s)
        room_w = cap_in_order(np.maximum(room_w, 0.0), rank, problem.limits.less(power_w))
        room_w = np.where(power_w + room_w >= problem.min_w, room_w, 0.0)
        whole, part = take_in_order(rank, problem.gain * room_w, missing_w)
        power_w = power_w.copy()
        power_w[whole] += room_w[whole]
        if part >= 0:
            left_w = problem.target_w - float((problem.gain * power_w).sum())
            wanted_w = power_w[part] + left_w / problem.gain[part]
            if wanted_w >= problem.min_w[part]:
                power_w[part] = wanted_w
            else:
                _swap_in(problem, power_w, part, left_w)
    return power_w


def _commit(problem: AllocationProblem, running: B1 | None, cost: F8 | None = None) -> F8:
    usable_w = np.where(problem.caps_w >= problem.min_w, problem.caps_w, 0.0)
    rank = merit_rank(
        usable_w,
        problem.energy_wh,
        problem.useful_until_s,
        problem.now_s,
        problem.window_end_s,
        running,
        cost,
        problem.given,
        small_first=running is not None,
    )
    capped_w = cap_in_order(usable_w, rank, problem.limits)
    stranded = (capped_w > 0.0) & (capped_w < problem.min_w)
    if stranded.any():
        # A car left with less than its minimum is of no use: whoever comes after it in its group has the room.
        capped_w = cap_in_order(np.where(stranded, 0.0, usable_w), rank, problem.limits)
        capped_w = np.where(capped_w < problem.min_w, 0.0, capped_w)
    whole, part = take_in_order(rank, problem.gain * capped_w, problem.target_w)
    power_w = np.zeros_like(capped_w)
    power_w[whole] = capped_w[whole]
    if part >= 0:
        left_w = problem.target_w - float((problem.gain * power_w).sum())
        wanted_w = left_w / problem.gain[part]
        if wanted_w >= problem.min_w[part]:
            power_w[part] = min(wanted_w, float(capped_w[part]))
        elif left_w > 1e-6:
            _swap_in(problem, power_w, part, left_w)
    return power_w


def _swap_in(problem: AllocationProblem, power_w: F8, part: int, left_w: float) -> None:
    """Run `part` at its minimum and lower one running car by what that is too much. When no car can, `part` stays off."""
    excess_w = float(problem.gain[part] * problem.min_w[part]) - left_w
    lowered_w = power_w - np.divide(excess_w, problem.gain, out=np.full_like(power_w, np.inf), where=problem.gain > 0.0)
    able = (power_w > 0.0) & (lowered_w >= problem.min_w) & (lowered_w > 0.0)
    able[part] = False
    if problem.limits.unlimited or not able.any():
        fits = True
    else:
        room = problem.limits.less(power_w)
        fits = total_capacity_w(np.where(np.arange(len(power_w)) == part, problem.min_w, 0.0), room) >= problem.min_w[part] - 1e-9
    if able.any() and fits:
        other = int(np.argmax(np.where(able, power_w, -1.0)))
        power_w[other] = lowered_w[other]
        power_w[part] = problem.min_w[part]


def _running_sum(values: F8, group: np.ndarray) -> F8:
    """Cumulative sum that starts anew with each group (rows sorted by group)."""
    total = np.cumsum(values)
    starts = np.flatnonzero(np.concatenate([[True], group[1:] != group[:-1]]))
    offset = np.repeat(total[starts] - values[starts], np.diff(np.append(starts, len(group))))
    return total - offset
