"""How a course went, on either clock, and the figures of it."""

from collections.abc import Mapping

import numpy as np
from msgspec import Struct

from counterflow.app.bench.realtime.course import Course
from counterflow.app.bench.realtime.truth import Standing
from counterflow.app.bench.scenarios.regulation import BASE, SWING
from counterflow.engine.fleet.snapshot import F8
from counterflow.engine.settlement.tracking import band_share, energy_error_frac, rmse_w, three_part_score

TOLERANCE = 0.05
"""Half the width of the tolerance band, of the largest power that can be asked."""


class Played(Struct, frozen=True, kw_only=True):
    """Powers are true ones, one a second of the window, W, discharge positive; NaN = not known."""

    target_w: list[float]
    delivered_w: list[float]
    standing: Standing
    messages: int
    """Setpoints and what else a dispatch sends to cars."""
    metered_wh: float
    """What the delivery report says was delivered."""
    disturbance: Mapping[str, float]
    """How much the machine has disturbed a run in real time: what is late by how much."""


class Figures(Struct, frozen=True, kw_only=True):
    """RMSE, bias and energy error of what is judged, in percent of the largest target or of the energy ordered."""

    rmse_percent: float
    rmse_whole_percent: float
    """The same with the first minute."""
    energy_error_percent: float
    band_percent: float
    """Share of the time within 5 % of the largest target, 30 s grace."""
    strict: float | None
    allowed: float | None
    """Three-part score; None = the window is too short for one."""
    messages_per_car_hour: float
    metered_error_percent: float
    """Energy of the delivery report over the energy that was truly delivered in the window."""


def figures_of(played: Played, course: Course) -> Figures:
    """Raises ValueError where seconds of the run are missing."""
    target_w, delivered_w = np.array(played.target_w), np.array(played.delivered_w)
    if np.isnan(delivered_w).any():
        raise ValueError(f"{int(np.isnan(delivered_w).sum())} of {len(delivered_w)} seconds of the run are missing")
    peak_w = float(target_w.max(initial=0.0))
    judged = slice(min(course.settle_s, len(target_w) // 2), None)
    strict, allowed = _scores(target_w[judged], delivered_w[judged], peak_w)
    true_wh = float(delivered_w.sum()) / 3_600.0
    return Figures(
        rmse_percent=100.0 * rmse_w(target_w[judged], delivered_w[judged]) / peak_w,
        rmse_whole_percent=100.0 * rmse_w(target_w, delivered_w) / peak_w,
        energy_error_percent=100.0 * energy_error_frac(target_w[judged], delivered_w[judged]),
        band_percent=100.0 * band_share(target_w[judged], delivered_w[judged], TOLERANCE * peak_w),
        strict=strict,
        allowed=allowed,
        messages_per_car_hour=played.messages / course.stations * 3_600.0 / course.seconds,
        metered_error_percent=100.0 * (played.metered_wh / true_wh - 1.0),
    )


def _scores(target_w: F8, delivered_w: F8, peak_w: float) -> tuple[float | None, float | None]:
    base, swing = peak_w * BASE / (BASE + SWING), peak_w * SWING / (BASE + SWING)
    try:
        score = three_part_score((target_w - base) / swing, (delivered_w - base) / swing)
    except ValueError:
        return None, None
    return score.strict, score.allowed
