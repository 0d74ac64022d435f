"""The figures of single intervals, on any grid: for series, and for grid operators who ask by interval.

Every grid is cut from one cumulative sum, which is rounded where it is cut: the residual of one interval is carried into the next, so
that 4 s, 1 min and 15 min add up to the same whole Wh, whatever the order in which the meter values came.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from counterflow.domain.delivery import SeriesPoint, Stored
from counterflow.domain.settlement import IntervalFigures
from counterflow.engine.settlement import target as targets
from counterflow.engine.settlement.settings import SettlementSettings
from counterflow.engine.settlement.settled import FleetEnergy, Settled, counted, fleet_energy, power, qualities, settle, whole

F8 = NDArray[np.float64]


def build_intervals(
    stored: Stored, edges_s: Sequence[float], now_s: float, *, settings: SettlementSettings, version: int
) -> tuple[IntervalFigures, ...]:
    """The figures between each two of `edges_s`, epoch seconds, as of `now_s`.

    What lies outside the window holds no energy; of an interval that is not over, what is known so far. Raises ValueError for edges
    that do not grow.
    """
    edges = np.array(edges_s, dtype=np.float64)
    if not (np.isfinite(edges).all() and (np.diff(edges) > 0.0).all()):
        raise ValueError("the edges of intervals must grow")
    return intervals_of(settle(stored, now_s, settings), edges, version)


def interval_edges_s(stored: Stored, step_s: float, now_s: float) -> F8:
    """Edges of a grid over the window, up to its stop or now; the last interval may be shorter. Raises ValueError."""
    start_s = stored.instruction.start_s
    return targets.edges_s(start_s, max(start_s, min(targets.stop_s(stored.instruction, stored.log), now_s)), step_s)


def intervals_of(settled: Settled, edges_s: F8, version: int) -> tuple[IntervalFigures, ...]:
    """The same from a dispatch that is settled already; `edges_s` (M,) gives M-1 intervals."""
    if len(edges_s) < 2:
        return ()
    energy = fleet_energy(settled, edges_s)[0]
    heard = energy.share(energy.metered_s)
    metered_w = power(settled, edges_s, energy.metered_wh(settled.mode), heard)
    exported, imported, planned = whole(energy.exported_wh), whole(energy.imported_wh), whole(energy.planned_wh)
    metered_wh = np.diff(counted(settled.mode, exported, imported, np.zeros(len(edges_s))))
    baseline_wh = 0.0 - np.diff(planned)
    target_w = _mean(settled, edges_s)
    columns = (edges_s[:-1], np.diff(edges_s), metered_w, metered_wh, baseline_wh, target_w)
    rows = zip(*(column.tolist() for column in columns), qualities(settled, energy), strict=True)
    return tuple(
        IntervalFigures(
            start_s=start_s,
            duration_s=duration_s,
            mean_power_w=_known(power_w),
            energy_wh=wh,
            baseline_wh=without_wh,
            delivered_wh=wh - without_wh,
            target_power_w=asked_w,
            quality=quality,
            version=version,
        )
        for start_s, duration_s, power_w, wh, without_wh, asked_w, quality in rows
    )


def build_series(stored: Stored, step_s: float, now_s: float, *, settings: SettlementSettings) -> tuple[SeriesPoint, ...]:
    """Target, delivery and headroom on a grid from the start of the window; the last step may be shorter. Raises ValueError."""
    settled = settle(stored, now_s, settings)
    edges_s = targets.edges_s(settled.start_s, settled.until_s, step_s)
    return series_of(settled, edges_s, fleet_energy(settled, edges_s)[0])


def series_of(settled: Settled, edges_s: F8, energy: FleetEnergy) -> tuple[SeriesPoint, ...]:
    """The series on `edges_s` (M,), with the sums at these instants."""
    if len(edges_s) < 2:
        return ()
    heard = energy.share(energy.metered_s)
    power_w = power(settled, edges_s, energy.counted_wh(settled.mode), heard)
    whole_wh = np.diff(energy.counted_whole_wh(settled.mode))
    baseline_wh = 0.0 - np.diff(whole(energy.planned_wh))
    spare, known_s = targets.headroom(settled.stored.log, settled.settings.hold_s).integrals(edges_s)
    with np.errstate(invalid="ignore", divide="ignore"):
        headroom_w = np.diff(spare) / np.diff(known_s)
    columns = (edges_s[:-1], _mean(settled, edges_s), power_w, whole_wh, headroom_w, heard, baseline_wh)
    return tuple(
        SeriesPoint(
            from_s=from_s,
            target_power_w=asked_w,
            delivered_power_w=_known(given_w),
            delivered_energy_wh=wh,
            headroom_power_w=_known(spare_w),
            metered_share=share,
            baseline_energy_wh=without_wh,
            quality=quality,
        )
        for from_s, asked_w, given_w, wh, spare_w, share, without_wh, quality in zip(
            *(column.tolist() for column in columns), qualities(settled, energy), strict=True
        )
    )


def delivered_and_target_w(settled: Settled, edges_s: F8, energy: FleetEnergy) -> tuple[F8, F8]:
    """Mean delivery, NaN where too few were heard, and mean target of each step, W; (M-1,) each."""
    return power(settled, edges_s, energy.counted_wh(settled.mode), energy.share(energy.metered_s)), _mean(settled, edges_s)


def _mean(settled: Settled, edges_s: F8) -> F8:
    """Mean target of each step, W; zero outside the window."""
    inside_s = np.clip(edges_s, settled.start_s, settled.stored.instruction.end_s)
    return np.diff(settled.target.integrals(inside_s)[0]) / np.diff(edges_s)


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
