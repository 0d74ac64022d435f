"""How well offers were kept: coverage with its uncertainty, sharpness and pinball loss, by day and over the last 30 days."""

from collections.abc import Iterable, Sequence
from math import sqrt

from msgspec.structs import replace

from counterflow.domain.offers import LEVELS, CoverageDay, CoverageView

DAYS_SHOWN = 30
GUARDED = LEVELS.index(0.9)
_Z = 1.959963984540054
"""Of an interval of 95 %."""


def pinball(said: float, there: float, quantile: float) -> float:
    """Pinball loss of a forecast of `quantile`, >= 0, in the unit of its arguments."""
    return (quantile if there >= said else quantile - 1.0) * (there - said)


def wilson(share: float, count: float) -> tuple[float, float]:
    """The interval of 95 % around a share seen in `count` > 0 trials (Wilson)."""
    middle = share + _Z**2 / (2.0 * count)
    half = _Z * sqrt(share * (1.0 - share) / count + _Z**2 / (4.0 * count**2))
    whole = 1.0 + _Z**2 / count
    return max(0.0, (middle - half) / whole), min(1.0, (middle + half) / whole)


def judged(day: CoverageDay, said_w: Sequence[float], guarded_w: float, there_w: float, dispatched_share: float) -> CoverageDay:
    """`day` with one more forecast: what was said at each of `LEVELS`, and what was there, W."""
    return replace(
        day,
        forecasts=day.forecasts + 1,
        reached=tuple(count + (there_w >= said) for count, said in zip(day.reached, said_w, strict=True)),
        guarded_reached=day.guarded_reached + (there_w >= guarded_w),
        level_sum_w=tuple(total + said for total, said in zip(day.level_sum_w, said_w, strict=True)),
        there_sum_w=day.there_sum_w + there_w,
        pinball_sum_w=day.pinball_sum_w + pinball(said_w[GUARDED], there_w, 1.0 - LEVELS[GUARDED]),
        dispatched_share_sum=day.dispatched_share_sum + dispatched_share,
    )


def views(days: Iterable[CoverageDay], today: int, guard_factor: float, forecast_every_s: float) -> list[CoverageView]:
    """The record of one pool, window length and mode: a line for each of `LEVELS`. `days` must not be empty."""
    known = list(days)
    counted = [day for day in known if today - DAYS_SHOWN < day.day <= today]
    count = sum(day.forecasts for day in counted)
    effective = count * min(1.0, forecast_every_s / known[0].window_s)
    there_w = sum(day.there_sum_w for day in counted)
    lines = []
    for place, confidence in enumerate(LEVELS):
        share = sum(day.reached[place] for day in counted) / count if count else None
        low, high = wilson(share, effective) if share is not None else (None, None)
        guarded = place == GUARDED and count > 0
        lines.append(
            CoverageView(
                pool=known[0].pool,
                window_s=known[0].window_s,
                mode=known[0].mode,
                confidence=confidence,
                forecasts=count,
                effective_forecasts=effective,
                reached_frac=share,
                reached_low_frac=low,
                reached_high_frac=high,
                guarded_reached_frac=sum(day.guarded_reached for day in counted) / count if guarded else None,
                sharpness_frac=sum(day.level_sum_w[place] for day in counted) / there_w if there_w > 0.0 else None,
                pinball_frac=sum(day.pinball_sum_w for day in counted) / there_w if guarded and there_w > 0.0 else None,
                guard_factor=guard_factor,
                dispatched_share_frac=sum(day.dispatched_share_sum for day in counted) / count if count else None,
            )
        )
    return lines
