"""Who goes first: discharge laxity, least first, so that energy that would be lost later is used now (control.md 2.2).

Without departures this is "longest time-to-go first" (Evans, Tindemans, Angeli, arXiv 1710.06302).
"""

import numpy as np
from numpy.typing import NDArray

from counterflow.engine.fleet.snapshot import B1, F8

_LAXITY_STEP_S = 15.0
_COST_STEP_S = 900.0
"""Cars whose laxity differs by less go by what they cost (control.md 2.2)."""
_LAXITY_STEPS = 2**20
_LEAVE_STEPS = 64
_GIVEN_STEPS = 256
_BUCKETS = 4096
_SORT_BELOW = 3000
_NOTHING_W = 1e-6
"""A millionth of a watt of rounding must not cost a message."""


def discharge_laxity_s(power_w: F8, energy_wh: F8, useful_until_s: F8, now_s: float, window_end_s: float) -> F8:
    """Time a car can wait and still give all its energy inside the window (N,): `time left - energy / power`, >= 0; inf without power."""
    left_s = np.clip(useful_until_s, now_s, window_end_s) - now_s
    needs_s = np.divide(energy_wh * 3600.0, power_w, out=np.full_like(power_w, -np.inf), where=power_w > 0.0)
    return left_s - np.minimum(needs_s, left_s)


def merit_rank(
    power_w: F8,
    energy_wh: F8,
    useful_until_s: F8,
    now_s: float,
    window_end_s: float,
    running: B1 | None = None,
    cost: F8 | None = None,
    given: F8 | None = None,
    *,
    small_first: bool = False,
) -> F8:
    """One sortable number a car in [0, 1) (N,), least first: laxity in steps of 15 s, then running cars (if given), then the earlier
    end of use, then whoever gave the smaller share lately (`given`, where it is told), then the larger power (fewer messages), or the
    smaller (the large ones stay in reserve: whoever makes good for a loss then needs few of them). Cars without power come last (1.0).
    With `cost` (N,), in any unit, laxity counts in steps of a quarter of an hour, and within a step the cheapest car goes first.
    """
    laxity_s = discharge_laxity_s(power_w, energy_wh, useful_until_s, now_s, window_end_s)
    able = power_w > 0.0
    step_s = _LAXITY_STEP_S if cost is None else _COST_STEP_S
    step = np.minimum(np.floor(np.where(able, laxity_s, 0.0) / step_s), _LAXITY_STEPS - 1)
    window_s = max(window_end_s - now_s, 1e-9)
    leaves = np.floor((_LEAVE_STEPS - 1) * np.clip((np.minimum(useful_until_s, window_end_s) - now_s) / window_s, 0.0, 1.0))
    largest_w = max(float(power_w.max(initial=0.0)), 1e-9)
    share = power_w / largest_w
    tie = share if small_first else 1.0 - share
    if given is not None:
        gave = np.floor((_GIVEN_STEPS - 1) * np.fmin(np.fmax(given, 0.0), 1.0))
        tie = (gave + 0.999 * tie) / _GIVEN_STEPS
    tie = (leaves + 0.999 * tie) / _LEAVE_STEPS
    if running is not None:
        tie = np.where(running, 0.5 * tie, 0.5 + 0.5 * tie)
    if cost is not None:
        dearest = max(float(cost[able].max(initial=0.0)), 1e-9)
        tie = 0.999999 * np.where(able, cost, 0.0) / dearest + 1e-7 * tie
    return np.where(able, (step + tie) / _LAXITY_STEPS, 1.0)


def take_in_order(rank: F8, gives_w: F8, need_w: float) -> tuple[NDArray[np.intp], int]:
    """Rows to take, least rank first, until they give `need_w`: (rows taken whole, the row that is needed in part or -1).

    Rows that give nothing are never taken. Ranks are in [0, 1]; ties go by row. Large fleets are cut by a histogram, and the
    marginal bucket again, so that few are sorted.
    """
    rows = np.flatnonzero(gives_w > 0.0)
    if need_w <= _NOTHING_W or rows.size == 0:
        return rows[:0], -1
    sure, wider = rows[:0], rows.size + 1
    # Ranks may lie close together, all in one bucket of the first cut.
    while _SORT_BELOW < rows.size < wider:
        wider = rows.size
        ranks = rank[rows]
        lowest, highest = float(ranks.min()), float(ranks.max())
        scale = (_BUCKETS - 1) / max(highest - lowest, 1e-300)
        bucket = np.minimum((ranks - lowest) * scale, _BUCKETS - 1).astype(np.intp)
        filled_w = np.cumsum(np.bincount(bucket, weights=gives_w[rows], minlength=_BUCKETS))
        margin = int(np.searchsorted(filled_w, need_w, side="left"))
        below = rows[bucket < margin]
        sure, rows = np.concatenate([sure, below]), rows[bucket == margin]
        need_w -= float(gives_w[below].sum())
        if rows.size == 0 or need_w <= _NOTHING_W:
            return sure, -1
    rows = rows[np.argsort(rank[rows], kind="stable")]
    filled_w = np.cumsum(gives_w[rows])
    count = int(np.searchsorted(filled_w, need_w - _NOTHING_W, side="left"))
    if count >= rows.size:
        return np.concatenate([sure, rows]), -1
    if filled_w[count] <= need_w + _NOTHING_W:
        return np.concatenate([sure, rows[: count + 1]]), -1
    return np.concatenate([sure, rows[:count]]), int(rows[count])
