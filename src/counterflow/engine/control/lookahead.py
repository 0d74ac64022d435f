"""What fights lag on a streamed target: it is anticipated by what the cars take to follow, and the quick cars take its quick part.

A stream is followed late by the cars' own lag, whatever the loop does. Where its last two slopes agree on a trend, that trend is carried
on over the learned lag, by as much as such trends of this stream went on before. A single step has no trend, so that it is never
overshot; a turn is noticed with the next value.
"""

import numpy as np
from msgspec import Struct

from counterflow.engine.fleet.snapshot import F8

_MOST_VALUES = 32
_STALE = 2.5
"""A value that is this many intervals old carries no trend."""
_FADES = 0.995
"""What was learned counts by so much less with each value: two hundred values are remembered."""
_ASSUMED = 10.0
"""The assumption below counts like so many values."""
_CARRIED = 0.5
"""Assumed before anything was learned: half of the last slope goes on."""
_SLOWEST_S = 30.0
"""A lag at which a car counts as the slowest."""
_ALIKE_S = 0.5
"""Cars whose lags differ by less are as quick as each other."""


class Lag(Struct, frozen=True, kw_only=True):
    """How late the cars follow: each one's time to the middle of its step (N,), s, and that of the fleet."""

    car_s: F8
    fleet_s: float


class Trail(Struct, frozen=True):
    """The last values of a target as (since s, W), oldest first, and what they teach of its trends: sums over pairs of slopes (the last
    one, the one before) and the slope that came true after them."""

    values: tuple[tuple[float, float], ...] = ()
    last_last: float = 0.0
    last_before: float = 0.0
    before_before: float = 0.0
    last_true: float = 0.0
    before_true: float = 0.0
    count: float = 0.0

    def with_value(self, target_w: float, now_s: float, lag_s: float) -> "Trail":
        """The trail with the target of now, having learned from it what became of the trend a lag ago."""
        if self.values and self.values[-1][1] == target_w:
            return self
        values = (*self.values, (now_s, target_w))[-_MOST_VALUES:]
        then = sum(at_s <= now_s - lag_s for at_s, _ in values)
        slopes = _slopes(values[:then], values[then - 1][0]) if then else None
        if slopes is None:
            return Trail(values, self.last_last, self.last_before, self.before_before, self.last_true, self.before_true, self.count)
        since_s, since_w = values[then - 1]
        true = (target_w - since_w) / (now_s - since_s)
        before, last = slopes
        return Trail(
            values,
            _FADES * self.last_last + last * last,
            _FADES * self.last_before + last * before,
            _FADES * self.before_before + before * before,
            _FADES * self.last_true + last * true,
            _FADES * self.before_true + before * true,
            _FADES * self.count + 1.0,
        )

    def anticipated_w(self, now_s: float, lag_s: float, share: float) -> float:
        """The target in `lag_s` if its trend goes on as trends did before, W, >= 0; `share` (0..1) of the way there."""
        target_w = self.values[-1][1]
        slopes = _slopes(self.values, now_s)
        if slopes is None or slopes[0] * slopes[1] <= 0.0:
            return target_w
        before, last = slopes
        by_last, by_before = self._weights()
        steepest = max(abs(before), abs(last))
        slope = min(max(by_last * last + by_before * before, -steepest), steepest)
        return max(0.0, target_w + share * lag_s * slope) if slope * last > 0.0 else target_w

    def _weights(self) -> tuple[float, float]:
        """How much of the last slope, and of the one before, goes on: least squares, drawn to the assumption."""
        pull = _ASSUMED * (self.last_last + self.before_before) / 2.0 / max(self.count, 1.0)
        one, other = self.last_last + pull, self.before_before + pull
        determinant = one * other - self.last_before**2
        if determinant <= 0.0:
            return _CARRIED, 0.0
        right = self.last_true + pull * _CARRIED
        return (
            (other * right - self.last_before * self.before_true) / determinant,
            (one * self.before_true - self.last_before * right) / determinant,
        )


def _slopes(values: tuple[tuple[float, float], ...], now_s: float) -> tuple[float, float] | None:
    """The last two slopes, the older first, W/s; None where too few values, or too old ones, tell of none."""
    if len(values) < 3:
        return None
    (first_s, first_w), (middle_s, middle_w), (last_s, last_w) = values[-3:]
    before_s, after_s = middle_s - first_s, last_s - middle_s
    if before_s <= 0.0 or after_s <= 0.0 or now_s - last_s > _STALE * after_s or after_s > _STALE * before_s:
        return None
    return (middle_w - first_w) / before_s, (last_w - middle_w) / after_s


def by_quickness(rank: F8, lag_s: F8, size_w: F8, size_worth_s: float) -> F8:
    """A rank in [0, 1) (N,) in which the quick go first, and the large, which need fewest messages: the largest car's size makes up for
    `size_worth_s` of lag. Among cars alike those of least `rank`."""
    small = 1.0 - size_w / max(float(size_w.max(initial=0.0)), 1e-9)
    late_s = np.clip(lag_s, 0.0, _SLOWEST_S) + size_worth_s * small + _ALIKE_S * np.clip(rank, 0.0, 0.999)
    return np.asarray(late_s / (_SLOWEST_S + size_worth_s + _ALIKE_S))
