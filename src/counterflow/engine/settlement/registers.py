"""Energy registers as they really are: which steps between readings can be believed, and to how much of a Wh."""

from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterflow.domain.units import WH_PER_WS

F8 = NDArray[np.float64]
I8 = NDArray[np.int64]

ROLLOVER_WH = (1e4, 65_536.0, 1e5, 1e6, 1e7, 16_777_216.0, 1e8, 429_496_729.6, 1e9, 2_147_483_648.0, 4_294_967_296.0, 1e10)
"""Where counters start again: whole decades of Wh and kWh, and 16, 24, 31 and 32 bit counters of 1 or 0.1 Wh."""

_RESOLUTIONS_WH = (1000.0, 100.0, 10.0, 1.0, 0.1, 0.01, 0.001)
_SLACK_FRAC = 1.05
_SLACK_WH = 2.0
_CLOCK_S = 1.0
"""Stations stamp whole seconds: two stamps may be off against each other by this much."""
_COARSE = 25.0
_AT_MOST = 2.0


class AnomalyKind(StrEnum):
    """What was wrong with a reading."""

    ROLLOVER = "rollover"
    RESET = "reset"
    JUMP = "jump"
    SPIKE = "spike"


class Anomaly(NamedTuple):
    """A reading that could not be taken as it stood."""

    at_s: float
    kind: AnomalyKind


class RegisterSteps(NamedTuple):
    """Believed readings by index, (K,), and the energy between neighbours, (K-1,), >= 0; NaN = only the power can tell."""

    kept: I8
    step_wh: F8
    anomalies: tuple[Anomaly, ...]


def register_resolution_wh(register_wh: F8) -> float:
    """The coarsest decimal step that all readings are multiples of, 0.001 Wh at least; 0 without two different readings."""
    readings = register_wh[np.isfinite(register_wh)]
    if len(readings) < 2 or readings.min() == readings.max():
        return 0.0
    for resolution in _RESOLUTIONS_WH:
        counts = readings / resolution
        if abs(counts[0] - round(counts[0])) <= 1e-6 and np.abs(counts - np.rint(counts)).max() <= 1e-6:
            return resolution
    return _RESOLUTIONS_WH[-1]


def register_steps(at_s: F8, register_wh: F8, expected_wh: F8, *, power_max_w: float, resolution_wh: float) -> RegisterSteps:
    """Believe what can be believed.

    `at_s` (N,) increasing; `register_wh` (N,) with NaN where there is no reading; `expected_wh` (N,) cumulative energy by power,
    level where power does not tell; `power_max_w` bounds what can flow. A step is plausible from 0 to 1.05 P dt + 2 Wh + resolution.
    An implausible reading whose successor fits its predecessor is a spike and left out; a fall by one of `ROLLOVER_WH` is a
    rollover and exact, unless power speaks against it; any other fall is a reset, any other rise a jump: there the power counts, for that
    interval only.
    """
    index = np.flatnonzero(np.isfinite(register_wh))
    reading = register_wh[index]
    when = at_s[index]
    step = np.diff(reading)
    limit_wh_per_s = power_max_w * WH_PER_WS * _SLACK_FRAC
    slack_wh = _SLACK_WH + resolution_wh + limit_wh_per_s * _CLOCK_S
    limit = np.diff(when) * limit_wh_per_s + slack_wh
    if np.all((step >= 0.0) & (step <= limit)):
        return RegisterSteps(index, step, ())
    return _walk(index, when, reading, expected_wh[index], limit_wh_per_s, slack_wh)


def _walk(index: I8, when: F8, reading: F8, expected: F8, limit_wh_per_s: float, slack_wh: float) -> RegisterSteps:
    """Reading by reading; only sessions with an anomaly come here."""

    def fits(left: int, right: int, offset_wh: float = 0.0) -> bool:
        limit = (when[right] - when[left]) * limit_wh_per_s + slack_wh
        return bool(0.0 <= reading[right] - reading[left] + offset_wh <= limit)

    def miss(left: int, right: int) -> float:
        return abs(float(reading[right] - reading[left] - (expected[right] - expected[left])))

    def likely(left: int, right: int, energy_wh: float) -> bool:
        """By power: a load that changed between two samples draws no more than twice what a straight line says. Unknown = it may be."""
        by_power_wh = float(expected[right] - expected[left])
        return by_power_wh <= 0.0 or energy_wh <= _AT_MOST * by_power_wh + slack_wh

    kept = [0]
    steps: list[float] = []
    anomalies: list[Anomaly] = []
    here = 1
    while here < len(index):
        last = kept[-1]
        after = here + 1
        energy = float(reading[here] - reading[last])
        if not fits(last, here):
            at_s = float(when[here])
            if after < len(index) and fits(last, after) and not (fits(here, after) and miss(here, after) < miss(last, after)):
                anomalies.append(Anomaly(at_s, AnomalyKind.SPIKE))
                here = after
                continue
            turns = (wh for wh in ROLLOVER_WH if wh > reading[last] and fits(last, here, wh) and likely(last, here, energy + wh))
            turn = next(turns, None)
            if turn is not None:
                anomalies.append(Anomaly(at_s, AnomalyKind.ROLLOVER))
                energy += turn
            else:
                anomalies.append(Anomaly(at_s, AnomalyKind.RESET if energy < 0.0 else AnomalyKind.JUMP))
                energy = float("nan")
        kept.append(here)
        steps.append(energy)
        here = after
    return RegisterSteps(index[kept], np.array(steps), tuple(anomalies))


def thinned(steps: RegisterSteps, at_s: F8, register_wh: F8, anchors_s: F8, resolution_wh: float) -> RegisterSteps:
    """Fewer readings, so that a coarse register does not turn steady power into a staircase.

    Of readings that differ by less than `_COARSE` resolutions one is kept, and always those next to an anchor, the first and the
    last, and both ends of a step that is not a plain difference. Dropped readings stay within the resolution of the curve.
    """
    if resolution_wh <= 0.0 or len(steps.step_wh) < 3:
        return steps
    reading = register_wh[steps.kept]
    when = at_s[steps.kept]
    bucket = np.floor((reading - reading[0]) / (_COARSE * resolution_wh))
    keep = np.concatenate(([True], np.diff(bucket) != 0.0))
    keep[-1] = True
    odd = np.flatnonzero(np.diff(reading) != steps.step_wh)
    keep[odd] = keep[odd + 1] = True
    before = np.clip(np.searchsorted(when, anchors_s, side="right") - 1, 0, len(when) - 1)
    keep[before] = keep[np.clip(np.searchsorted(when, anchors_s, side="left"), 0, len(when) - 1)] = True
    kept = np.flatnonzero(keep)
    return RegisterSteps(steps.kept[kept], np.add.reduceat(steps.step_wh, kept[:-1]), steps.anomalies)
