"""Water-fill of many groups at once."""

import numpy as np
from numpy.typing import NDArray

from counterflow.engine.fleet.snapshot import F8

Rows = NDArray[np.intp]


def fill_groups(caps_w: F8, weights: F8, group: Rows, cap_w: F8) -> F8:
    """`min(u, w * lambda_g)` (N,) where every group meets its limit `cap_w` (G,), which must bind."""
    filled: F8 = np.minimum(caps_w, weights * levels_of(caps_w, weights, group, cap_w)[group])
    return filled


def levels_of(caps_w: F8, weights: F8, group: Rows, cap_w: F8) -> F8:
    """lambda of every group (G,), inf where its limit does not bind: sort by saturation point, prefix sums, solve where it is met."""
    theta = caps_w / weights
    order = np.lexsort((theta, group))
    u, w, g, t = caps_w[order], weights[order], group[order], theta[order]
    first = first_of(g)
    filled_w = np.cumsum(u) - u
    filled_w -= filled_w[first]
    weight_before = np.cumsum(w) - w
    weight_before -= weight_before[first]
    totals = np.bincount(g, weights=w, minlength=len(cap_w))
    open_weight = np.maximum(totals[g] - weight_before, w)
    lambdas = (cap_w[g] - filled_w) / open_weight
    # The first row (by theta) that its own lambda does not saturate fixes the group's lambda.
    unsaturated = np.flatnonzero(lambdas <= t)
    level = np.full(len(cap_w), np.inf)
    level[g[unsaturated[::-1]]] = lambdas[unsaturated[::-1]]
    lowest: F8 = np.maximum(level, 0.0)
    return lowest


def first_of(sorted_groups: Rows) -> Rows:
    """Index of the first row of each row's group, rows being sorted by group."""
    starts = np.flatnonzero(np.concatenate([[True], sorted_groups[1:] != sorted_groups[:-1]]))
    return np.repeat(starts, np.diff(np.append(starts, len(sorted_groups))))
