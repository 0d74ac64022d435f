"""How well the target was followed: error, worst mean, time in band."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from counterflow.domain.delivery import DropOut

F8 = NDArray[np.float64]
B1 = NDArray[np.bool_]


def rmse_frac(delivered_w: F8, target_w: F8, weight_s: F8) -> float | None:
    """Root mean square of (delivered - target) over the mean target; steps with unknown delivery (NaN) are left out. All (M,)."""
    known = np.isfinite(delivered_w) & (weight_s > 0.0)
    if not known.any():
        return None
    mean_w = float(np.average(target_w[known], weights=weight_s[known]))
    if mean_w <= 0.0:
        return None
    square = np.average((delivered_w[known] - target_w[known]) ** 2, weights=weight_s[known])
    return float(np.sqrt(square)) / mean_w


def time_in_band_frac(delivered_w: F8, target_w: F8, weight_s: F8, band_frac: float) -> float | None:
    """Share of the known time in which delivery is within `band_frac` of the target. All (M,)."""
    known = np.isfinite(delivered_w) & (weight_s > 0.0)
    if not known.any():
        return None
    inside = np.abs(delivered_w[known] - target_w[known]) <= band_frac * target_w[known]
    return float(np.average(inside, weights=weight_s[known]))


def worst_error_frac(delivered_w: F8, target_w: F8, judged: B1) -> float | None:
    """Largest |delivered - target| / target over the judged steps with known delivery and a target above zero. All (M,)."""
    usable = judged & np.isfinite(delivered_w) & (target_w > 0.0)
    if not usable.any():
        return None
    return float(np.max(np.abs(delivered_w[usable] - target_w[usable]) / target_w[usable]))


def bursts(drops: Sequence[DropOut], target_w: float, *, span_s: float, share_frac: float) -> tuple[tuple[float, float], ...]:
    """(first, last) beginning of each burst: losses within `span_s` of the first that together lose `share_frac` of the target.

    `drops` come in any order.
    """
    found: list[tuple[float, float]] = []
    group: list[DropOut] = []
    for drop in [*sorted(drops, key=lambda each: each.began_s), None]:
        if group and (drop is None or drop.began_s > group[0].began_s + span_s):
            if sum(each.lost_power_w for each in group) >= share_frac * target_w:
                found.append((group[0].began_s, group[-1].began_s))
            group = []
        if drop is not None:
            group.append(drop)
    return tuple(found)


def outside(edges_s: F8, pauses: Sequence[tuple[float, float]]) -> B1:
    """Steps (M,) of the grid `edges_s` (M+1,) that touch none of the pauses (from_s, to_s)."""
    free = np.ones(len(edges_s) - 1, dtype=np.bool_)
    for from_s, to_s in pauses:
        free &= (edges_s[1:] <= from_s) | (edges_s[:-1] >= to_s)
    return free
