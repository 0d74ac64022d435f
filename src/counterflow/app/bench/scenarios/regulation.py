"""A regulation signal like PJM's RegD: synthetic, seeded, somewhat rougher than the real one (control.md 4.4)."""

import numpy as np

from counterflow.engine.fleet.snapshot import F8

FAST_S, SLOW_S = 60.0, 240.0
LOW_PASS_S = 8.0
SIDE_S = 900
"""The moving mean that makes it neutral in energy reaches this far to each side."""
HOLD_S = 2
"""A new value comes every two seconds."""
BASE, SWING = 0.45, 0.35
"""The target is base + swing * signal, as shares of what the cars can do by nameplate."""


def regulation(seconds: int, seed: int) -> F8:
    """The signal, -1..1, one value a second, held for two."""
    rng = np.random.default_rng((seed, 0xA6C))
    length = seconds + 2 * SIDE_S
    raw = 0.6 * _wanders(length, FAST_S, rng) + 0.8 * _wanders(length, SLOW_S, rng)
    raw = _low_passed(_low_passed(raw))
    total = np.concatenate([[0.0], np.cumsum(raw)])
    window = 2 * SIDE_S
    neutral = raw[SIDE_S : SIDE_S + seconds] - (total[window : window + seconds] - total[:seconds]) / window
    return np.repeat(np.clip(0.9 * neutral, -1.0, 1.0)[::HOLD_S], HOLD_S)[:seconds]


def _wanders(length: int, time_s: float, rng: np.random.Generator) -> F8:
    """An Ornstein-Uhlenbeck process of unit variance."""
    stays = np.exp(-1.0 / time_s)
    kicks = np.sqrt(1.0 - stays**2) * rng.normal(size=length)
    return _filtered(kicks, stays, rng.normal())


def _low_passed(series: F8) -> F8:
    share = 1.0 - np.exp(-1.0 / LOW_PASS_S)
    return _filtered(share * series, 1.0 - share, series[0])


def _filtered(drive: F8, stays: float, first: float) -> F8:
    out, value = np.empty_like(drive), float(first)
    for at, push in enumerate(drive.tolist()):
        value = stays * value + push
        out[at] = value
    return out
