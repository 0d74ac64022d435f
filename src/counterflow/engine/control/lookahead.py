"""What fights lag on a streamed target: it is anticipated by what the cars take to follow, and the quick cars take its quick part.

A stream is followed late by the cars' own lag, whatever the loop does. Where its last values agree on a trend, that trend is carried on
over a share of the learned lag. A single step has no trend, so that it is never overshot; a turn is noticed with the next value.
"""

import numpy as np
from msgspec import Struct

from counterflow.engine.fleet.snapshot import F8

Trail = tuple[tuple[float, float], ...]
"""The last values of a target as (since s, W), oldest first, at most three."""

_KEPT = 3
_STALE = 2.5
"""A value that is this many intervals old carries no trend."""
_SLOWEST_S = 30.0
"""A lag at which a car counts as the slowest."""
_LAG_STEP_S = 2.0
_SIZES = 16


class Lag(Struct, frozen=True, kw_only=True):
    """How late the cars follow: each one's time to the middle of its step (N,), s, and that of the fleet."""

    car_s: F8
    fleet_s: float


def trail_of(trail: Trail, target_w: float, now_s: float) -> Trail:
    """The trail with the target of now."""
    if trail and trail[-1][1] == target_w:
        return trail
    return (*trail, (now_s, target_w))[-_KEPT:]


def anticipated_w(trail: Trail, now_s: float, lead_s: float) -> float:
    """The target in `lead_s` if its trend goes on, W, >= 0: the smaller of its last two slopes where both agree in sign."""
    target_w = trail[-1][1]
    if len(trail) < _KEPT:
        return target_w
    (first_s, first_w), (middle_s, middle_w), (last_s, last_w) = trail
    before, after = middle_s - first_s, last_s - middle_s
    if before <= 0.0 or after <= 0.0 or now_s - last_s > _STALE * after or after > _STALE * before:
        return target_w
    earlier, later = (middle_w - first_w) / before, (last_w - middle_w) / after
    if earlier * later <= 0.0:
        return target_w
    slope = min(earlier, later, key=abs)
    return max(0.0, target_w + slope * lead_s)


def by_quickness(rank: F8, lag_s: F8, size_w: F8) -> F8:
    """A rank in [0, 1) (N,) in which the quick go first; among those as quick as each other within 2 s the large (fewest messages), then
    those of least `rank`."""
    slow = np.floor(np.clip(lag_s, 0.0, _SLOWEST_S) / _LAG_STEP_S)
    small = np.floor((1.0 - size_w / max(float(size_w.max(initial=0.0)), 1e-9)) * (_SIZES - 1))
    return (slow + (small + np.clip(rank, 0.0, 0.999)) / _SIZES) / (_SLOWEST_S / _LAG_STEP_S + 1.0)
