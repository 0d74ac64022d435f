"""How well a moving target was followed: PJM's classic three-part score, a tolerance band with grace, errors over time.

No single figure tells a good controller from a poor one: the three-part score hardly sees a bias or a pool that is at its limit, and a
band does not see lag. Series are sampled evenly, discharge positive, (M,).
"""

import numpy as np
from msgspec import Struct
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

F8 = NDArray[np.float64]

SAMPLE_S = 10.0
"""The score is taken on means over this long."""
WINDOW = 30
"""Samples over which signal and response are correlated (5 min)."""
LAGS = 30
"""Largest delay that is tried, in samples."""
GRACE_S = 10.0
"""A delay of this much costs nothing."""
FLAT_SD = 1e-3
"""A signal that varies less than this (per unit) has no correlation; slopes are compared."""


class ThreePartScore(Struct, frozen=True, kw_only=True):
    """Accuracy, delay and precision, each 0..1; `precision_allowed` is the best with the response shifted by no more than ten seconds."""

    accuracy: float
    delay: float
    precision: float
    precision_allowed: float

    @property
    def strict(self) -> float:
        """The headline: precision without time shift (PJM Manual 12, 4.5.6)."""
        return (self.accuracy + self.delay + self.precision) / 3.0

    @property
    def allowed(self) -> float:
        """The same with an allowance of ten seconds for the precision."""
        return (self.accuracy + self.delay + self.precision_allowed) / 3.0


def three_part_score(signal: F8, response: F8, dt_s: float = 1.0) -> ThreePartScore:
    """The score of a response (per unit, one value each `dt_s`) to a signal in -1..1.

    For every ten seconds the delay is the one of 0 to 300 s that is best in correlation plus delay score. Raises ValueError for series
    shorter than window and largest delay together, or of unequal length.
    """
    asked, given = means(signal, SAMPLE_S, dt_s), means(response, SAMPLE_S, dt_s)
    starts = len(asked) - WINDOW - LAGS + 1
    if signal.shape != response.shape or starts < 1:
        raise ValueError(f"signal and response must be of one length, at least {(WINDOW + LAGS) * SAMPLE_S:g} s")
    asked_in, given_in = sliding_window_view(asked, WINDOW), sliding_window_view(given, WINDOW)
    correlation = np.stack([_correlation(asked_in[:starts], given_in[lag : lag + starts]) for lag in range(LAGS + 1)])
    late_s = np.maximum(np.arange(LAGS + 1) * SAMPLE_S - GRACE_S, 0.0)
    in_time = np.abs(late_s - LAGS * SAMPLE_S) / (LAGS * SAMPLE_S)
    best = np.argmax(correlation + in_time[:, None], axis=0)
    accuracy = np.clip(correlation[best, np.arange(starts)], 0.0, 1.0)
    return ThreePartScore(
        accuracy=float(accuracy.mean()),
        delay=float(in_time[best].mean()),
        precision=_precision(asked, given),
        precision_allowed=max(_shifted_precision(signal, response, back, dt_s) for back in range(round(GRACE_S / dt_s) + 1)),
    )


def mileage(signal: F8) -> float:
    """How far a signal travels (per unit)."""
    return float(np.abs(np.diff(signal)).sum())


def band_share(target_w: F8, delivered_w: F8, tolerance_w: float, grace_s: float = 30.0, dt_s: float = 1.0) -> float:
    """Share of the time inside the tube that the target drew in the last `grace_s`, widened by `tolerance_w`."""
    back = round(grace_s / dt_s)
    seen = sliding_window_view(np.concatenate([np.full(back, target_w[0]), target_w]), back + 1)
    inside = (delivered_w >= seen.min(axis=1) - tolerance_w) & (delivered_w <= seen.max(axis=1) + tolerance_w)
    return float(inside.mean())


def rmse_w(target_w: F8, delivered_w: F8) -> float:
    """Root mean square of the error, W."""
    return float(np.sqrt(np.mean((delivered_w - target_w) ** 2)))


def bias_w(target_w: F8, delivered_w: F8) -> float:
    """Mean error, W; above zero = too much was delivered."""
    return float(np.mean(delivered_w - target_w))


def energy_error_frac(target_w: F8, delivered_w: F8) -> float:
    """Energy delivered too much, over the energy ordered. Raises ValueError when none was."""
    ordered_w = float(target_w.sum())
    if ordered_w <= 0.0:
        raise ValueError("no energy was ordered")
    return float(delivered_w.sum()) / ordered_w - 1.0


def worst_mean_w(target_w: F8, delivered_w: F8, over_s: float = 60.0, dt_s: float = 1.0) -> float:
    """Largest magnitude of the error's mean over `over_s`, stretch by stretch, W."""
    return float(np.abs(means(delivered_w - target_w, over_s, dt_s)).max(initial=0.0))


def settled_after_s(target_w: F8, delivered_w: F8, tolerance_frac: float, dt_s: float = 1.0) -> float:
    """Time after which the error stays inside the tolerance; inf = it is outside at the end."""
    outside = np.flatnonzero(np.abs(delivered_w - target_w) > tolerance_frac * np.abs(target_w))
    if outside.size == 0:
        return 0.0
    return float("inf") if outside[-1] == len(target_w) - 1 else (float(outside[-1]) + 1.0) * dt_s


def means(series: F8, over_s: float, dt_s: float) -> F8:
    """Means over `over_s` each, a rest at the end left out."""
    each = max(1, round(over_s / dt_s))
    return np.asarray(series[: len(series) // each * each].reshape(-1, each).mean(axis=1), dtype=np.float64)


def _correlation(asked: F8, given: F8) -> F8:
    """Pearson's, window by window (K, W) -> (K,); where the signal is flat 1 less the difference of the slopes."""
    asked_dev, given_dev = asked - asked.mean(axis=1, keepdims=True), given - given.mean(axis=1, keepdims=True)
    asked_sd, given_sd = np.sqrt((asked_dev**2).mean(axis=1)), np.sqrt((given_dev**2).mean(axis=1))
    together = (asked_dev * given_dev).mean(axis=1)
    scale = asked_sd * given_sd
    pearson = np.divide(together, scale, out=np.zeros_like(together), where=scale > 1e-12)
    ramp = np.arange(asked.shape[1]) - (asked.shape[1] - 1) / 2.0
    slopes = (asked_dev @ ramp, given_dev @ ramp)
    flat = 1.0 - np.abs(slopes[0] - slopes[1]) * asked.shape[1] / float(ramp @ ramp)
    return np.asarray(np.where(asked_sd < FLAT_SD, flat, pearson), dtype=np.float64)


def _shifted_precision(signal: F8, response: F8, back: int, dt_s: float) -> float:
    """Precision when the response is taken `back` values later."""
    kept = len(signal) - back
    return _precision(means(signal[:kept], SAMPLE_S, dt_s), means(response[back:], SAMPLE_S, dt_s))


def _precision(asked: F8, given: F8) -> float:
    scale = float(np.abs(asked).mean())
    if scale <= 0.0:
        return 1.0 if not np.abs(given).any() else 0.0
    return float(np.clip(1.0 - np.abs(given - asked).mean() / scale, 0.0, 1.0))
