"""The cumulative energy curve of one session in one direction: monotone, exact at register readings, shaped by power between them.

Everything that is reported about energy is a difference of such curves, so that all grids add up to the same Wh (control brief 6).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterflow.domain.units import WH_PER_WS
from counterflow.engine.settlement.registers import Anomaly, register_resolution_wh, register_steps, thinned
from counterflow.engine.settlement.samples import MeterColumns

F8 = NDArray[np.float64]
B1 = NDArray[np.bool_]

_SHAPELESS = 5.0
"""When registers moved this many times more than power explains, power says nothing about when."""

_RESET_GAPS = 4.0
"""Across a register that began again, power is integrated over up to this many gap limits: the meter was there on both sides."""

_LARGE_W = 500.0
_LARGE_FRAC = 0.2
_FINE = 0.2
"""A change of power is placed by registers when it is large, and the resolution finer than this share of the energy it moves."""


class Curve(NamedTuple):
    """Energy since `at_s[0]` in Wh. Between two nodes the rate is a straight line; outside the nodes the curve is level.

    `at_s`, `energy_wh` are (N,), N >= 1; the rest is (N-1,), one value a piece.
    """

    at_s: F8
    energy_wh: F8
    rate_w: F8
    """Rate at the start of the piece."""
    slope_w_per_s: F8
    by_register: B1
    """The energy of this piece is from a register."""
    by_power: B1
    """The energy of this piece is from power alone; neither = unknown, and nothing is counted."""
    by_time: B1
    """Nothing told when the energy flowed: it is spread evenly over the reading interval that the piece belongs to."""
    reading_s: F8
    """When the readings were taken that the curve passes through, (K,)."""
    resolution_wh: float
    anomalies: tuple[Anomaly, ...]

    def energy_at(self, at_s: F8) -> F8:
        """Cumulative Wh at these instants, (M,) -> (M,)."""
        last = len(self.rate_w) - 1
        if last < 0:
            return np.zeros(len(at_s))
        piece = np.searchsorted(self.at_s, at_s, side="right") - 1
        piece = np.minimum(np.maximum(piece, 0), last)
        begin_s = self.at_s[piece]
        into_s = np.minimum(np.maximum(at_s - begin_s, 0.0), self.at_s[piece + 1] - begin_s)
        inside_wh = self.energy_wh[piece] + into_s * (self.rate_w[piece] + 0.5 * self.slope_w_per_s[piece] * into_s) * WH_PER_WS
        return np.where(at_s >= self.at_s[-1], self.energy_wh[-1], np.minimum(inside_wh, self.energy_wh[piece + 1]))


class Nodes(NamedTuple):
    """Where the pieces of a session's curves meet: at each sample, and where the power changes its sign. (N,) but the last, (N-1,)."""

    at_s: F8
    power_w: F8
    """Import positive, straight between samples; NaN = unknown."""
    export_wh: F8
    import_wh: F8
    power_interval_s: F8
    """Distance of the two power samples around a piece; infinite where there are none."""
    export_resolution_wh: float
    import_resolution_wh: float


def nodes(columns: MeterColumns) -> Nodes:
    """Nodes of one session with at least one sample."""
    at_s, power_w, export_wh, import_wh = columns
    resolutions = register_resolution_wh(export_wh), register_resolution_wh(import_wh)
    known = np.isfinite(power_w)
    when, power = at_s[known], power_w[known]
    if len(when) == 0:
        return Nodes(at_s, power_w, export_wh, import_wh, np.full(len(at_s) - 1, np.inf), *resolutions)
    between_s = np.concatenate(([np.inf], np.diff(when), [np.inf]))
    sampled_s = when
    when, power = _with_changes_placed(when, power, export_wh[known], import_wh[known], max(resolutions))
    cross = np.flatnonzero(power[:-1] * power[1:] < 0.0)
    if len(cross):
        zero_s = when[cross] + (when[cross + 1] - when[cross]) * power[cross] / (power[cross] - power[cross + 1])
        when, power = _merged(when, power, zero_s, np.zeros(len(zero_s)))
    node_s = at_s
    if len(when) > len(sampled_s):
        node_s = np.union1d(at_s, when)
        export_wh, import_wh = _spread_out(export_wh, at_s, node_s), _spread_out(import_wh, at_s, node_s)
    power_at = np.interp(node_s, when, power, left=np.nan, right=np.nan)
    interval_s = between_s[np.searchsorted(sampled_s, 0.5 * (node_s[:-1] + node_s[1:]), side="right")]
    return Nodes(node_s, power_at, export_wh, import_wh, interval_s, *resolutions)


def _with_changes_placed(when: F8, power: F8, export_wh: F8, import_wh: F8, resolution_wh: float) -> tuple[F8, F8]:
    """Put a large change of power where the registers say that it happened.

    Between two samples with powers a and b the registers give the mean, and so the share of the time at a: the change is drawn as a
    straight ramp centred there, as long as fits. A change in the middle is the plain straight line. Resolution too coarse: no change.
    """
    length_s = np.diff(when)
    change_w = np.diff(power)
    large = np.abs(change_w) > np.maximum(_LARGE_W, _LARGE_FRAC * np.maximum(np.abs(power[:-1]), np.abs(power[1:])))
    large &= resolution_wh < _FINE * np.abs(change_w) * length_s * WH_PER_WS
    if not large.any():
        return when, power
    into_wh = np.diff(import_wh) if np.isfinite(import_wh).any() else np.zeros(len(length_s))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 1.0 - ((into_wh - np.diff(export_wh)) / WH_PER_WS / length_s - power[:-1]) / change_w
    place = np.flatnonzero(large & (share > -0.1) & (share < 1.1) & (np.abs(share - 0.5) > 0.01))
    share = np.clip(share[place], 0.02, 0.98)
    early = share < 0.5
    corner_s = when[place] + length_s[place] * np.where(early, 2.0 * share, 2.0 * share - 1.0)
    return _merged(when, power, corner_s, np.where(early, power[place + 1], power[place]))


def _merged(when: F8, power: F8, more_s: F8, more_w: F8) -> tuple[F8, F8]:
    """Both in the order of time; an instant that is there already stays as it is."""
    all_s, first = np.unique(np.concatenate((when, more_s)), return_index=True)
    return all_s, np.concatenate((power, more_w))[first]


def _spread_out(values: F8, at_s: F8, node_s: F8) -> F8:
    wider = np.full(len(node_s), np.nan)
    wider[np.searchsorted(node_s, at_s)] = values
    return wider


def energy_curve(at: Nodes, *, exported: bool, power_max_w: float, gap_s: float, anchors_s: F8) -> Curve:
    """The curve of one direction.

    `power_max_w` bounds what can flow; `anchors_s` are the instants whose neighbouring readings count exactly. A stretch longer than
    `gap_s` that no register bridges is unknown and counts nothing; where a register began again inside it, power may bridge more.
    """
    node_s, power_interval_s = at.at_s, at.power_interval_s
    register_wh, resolution_wh = (at.export_wh, at.export_resolution_wh) if exported else (at.import_wh, at.import_resolution_wh)
    rate_w = np.maximum(-at.power_w if exported else at.power_w, 0.0)
    length_s = np.diff(node_s)
    begin_w, change_w = rate_w[:-1], np.diff(rate_w)
    by_power_wh = (begin_w + 0.5 * change_w) * length_s * WH_PER_WS
    known = np.isfinite(by_power_wh)
    expected_wh = np.concatenate(([0.0], np.cumsum(np.where(known, by_power_wh, 0.0))))
    steps = register_steps(node_s, register_wh, expected_wh, power_max_w=power_max_w, resolution_wh=resolution_wh)
    if len(steps.kept) and known[steps.kept[0] : steps.kept[-1]].all():
        steps = thinned(steps, node_s, register_wh, anchors_s, resolution_wh)
    usable = known & (power_interval_s <= gap_s)
    scale = np.where(usable, 1.0, 0.0)
    even_w = np.zeros(len(length_s))
    by_register = np.zeros(len(length_s), dtype=np.bool_)
    by_time = by_register
    if len(steps.step_wh):
        first, last = steps.kept[0], steps.kept[-1]
        pieces = np.diff(steps.kept)
        step_wh = np.repeat(steps.step_wh, pieces)
        shape_wh = np.repeat(np.add.reduceat(by_power_wh[:last], steps.kept[:-1]), pieces)
        inside = np.isfinite(step_wh)
        usable[first:last] |= ~inside & known[first:last] & (power_interval_s[first:last] <= _RESET_GAPS * gap_s)
        scale = np.where(usable, 1.0, 0.0)
        shaped = inside & (shape_wh > 0.0) & (step_wh <= _SHAPELESS * shape_wh)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            scale[first:last] = np.where(shaped, step_wh / shape_wh, np.where(inside, 0.0, scale[first:last]))
        mean_w = np.repeat(steps.step_wh / (np.diff(node_s[steps.kept]) * WH_PER_WS), pieces)
        even_w[first:last] = np.where(inside & ~shaped, mean_w, 0.0)
        by_register[first:last] = inside
        by_time = np.zeros(len(length_s), dtype=np.bool_)
        by_time[first:last] = inside & ~shaped
    rate = np.where(scale > 0.0, begin_w * scale, 0.0) + even_w
    slope = np.where(scale > 0.0, change_w * scale / length_s, 0.0)
    piece_wh = length_s * (rate + 0.5 * slope * length_s) * WH_PER_WS
    return Curve(
        at_s=node_s,
        energy_wh=np.concatenate(([0.0], np.cumsum(np.maximum(piece_wh, 0.0)))),
        rate_w=rate,
        slope_w_per_s=slope,
        by_register=by_register,
        by_power=usable & ~by_register,
        by_time=by_time,
        reading_s=node_s[steps.kept],
        resolution_wh=resolution_wh,
        anomalies=steps.anomalies,
    )
