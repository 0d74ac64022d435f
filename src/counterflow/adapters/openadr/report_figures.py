"""What is known of one interval of a report, gathered from settlement, telemetry, orders and offers. Pure; discharge positive, W and Wh.

Unknown is None. Figures of a dispatch come from settlement (registers, whole Wh); where no dispatch ran, from telemetry (power, estimated).
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct

from counterflow.domain.grid import GridOrderRecord, GridOutcome, PoolTelemetry
from counterflow.domain.offers import Offer
from counterflow.domain.settlement import IntervalFigures, Quality

ENOUGH = 0.5
"""Share of an interval that telemetry must cover for a mean."""
LONGEST_HOLD_S = 60.0
"""A record of telemetry stands for so long at most."""
IDLE_W = 100.0
"""Below this a pool counts as idle."""


class SpanFigures(Struct, frozen=True, kw_only=True):
    """One interval of a report."""

    from_s: float
    to_s: float
    interval_id: int
    mean_power_w: float | None = None
    peak_power_w: float | None = None
    """The power of greatest magnitude that telemetry saw."""
    energy_wh: float | None = None
    baseline_wh: float | None = None
    delivered_wh: float | None = None
    target_power_w: float | None = None
    state: str | None = None
    """OPERATING_STATE."""
    quality: Quality = Quality.MISSING
    version: int = 0
    """Of the settlement; grows with late meter values."""
    live: PoolTelemetry | None = None
    """What the pool says now; only there in an interval that lies around now."""
    at_end: PoolTelemetry | None = None
    """What telemetry saw last in the interval; None in forecasts."""
    offer: Offer | None = None
    """What can surely be given in the interval, beside charging; only in forecasts."""
    upward: Offer | None = None
    """The same with charging that is given up, where that counts for the program; None = it is `offer`, too."""

    @property
    def duration_s(self) -> float:
        """Its length."""
        return self.to_s - self.from_s


def settled(from_s: float, to_s: float, interval_id: int, parts: Iterable[IntervalFigures], seen: SpanFigures) -> SpanFigures:
    """Of an interval in which dispatches ran: their figures together, each of which counts only what lies in its own window.

    Peak and state are taken from `seen`, the telemetry of the same interval.
    """
    figures = list(parts)
    powers = [one.mean_power_w for one in figures]
    worst = max((one.quality for one in figures), key=_RANK.index, default=Quality.MISSING)
    length_h = (to_s - from_s) / 3600.0
    heard = all(power is not None for power in powers)
    # Registers count what power samples did not see; where neither tells anything it is unknown, and no zero.
    counted = any(one.quality is not Quality.MISSING or one.mean_power_w is not None or one.energy_wh != 0.0 for one in figures)
    return SpanFigures(
        from_s=from_s,
        to_s=to_s,
        interval_id=interval_id,
        mean_power_w=powers[0] if len(figures) == 1 else sum(one.energy_wh for one in figures) / length_h if heard else None,
        peak_power_w=seen.peak_power_w,
        energy_wh=sum(one.energy_wh for one in figures) if counted else None,
        baseline_wh=sum(one.baseline_wh for one in figures),
        delivered_wh=sum(one.delivered_wh for one in figures) if counted else None,
        target_power_w=sum(one.target_power_w for one in figures),
        state=seen.state,
        quality=worst,
        version=sum(one.version for one in figures),
        live=seen.live,
        at_end=seen.at_end,
    )


_RANK = (Quality.GOOD, Quality.ESTIMATED, Quality.STALE, Quality.MISSING)


def seen_by_telemetry(from_s: float, to_s: float, interval_id: int, records: Sequence[PoolTelemetry]) -> SpanFigures:
    """From the records of a pool that lie in the interval; each stands until the next one, `LONGEST_HOLD_S` at most."""
    inside = [one for one in records if from_s <= one.at_s < to_s]
    held: list[tuple[float, PoolTelemetry]] = []
    for number, one in enumerate(inside):
        until_s = inside[number + 1].at_s if number + 1 < len(inside) else to_s
        held.append((min(until_s - one.at_s, LONGEST_HOLD_S), one))
    known = [(length_s, one, one.measured_power_w) for length_s, one in held if one.measured_power_w is not None]
    covered_s = sum(length_s for length_s, _, _ in known)
    last = inside[-1] if inside else None
    if last is None or covered_s < ENOUGH * (to_s - from_s):
        return SpanFigures(from_s=from_s, to_s=to_s, interval_id=interval_id, state=_state_seen(last, None), at_end=last)
    mean_w = sum(length_s * power_w for length_s, _, power_w in known) / covered_s
    baseline_w = _mean([(length_s, one.baseline_power_w) for length_s, one, _ in known])
    energy_wh = mean_w * (to_s - from_s) / 3600.0
    baseline_wh = None if baseline_w is None else baseline_w * (to_s - from_s) / 3600.0
    return SpanFigures(
        from_s=from_s,
        to_s=to_s,
        interval_id=interval_id,
        mean_power_w=mean_w,
        peak_power_w=max((power_w for _, _, power_w in known), key=abs),
        energy_wh=energy_wh,
        baseline_wh=baseline_wh,
        delivered_wh=None if baseline_wh is None else energy_wh - baseline_wh,
        target_power_w=_mean([(length_s, one.target_power_w) for length_s, one, _ in known]),
        state=_state_seen(last, mean_w),
        at_end=last,
        quality=Quality.ESTIMATED,
    )


def _mean(held: Sequence[tuple[float, float | None]]) -> float | None:
    known = [(length_s, value) for length_s, value in held if value is not None]
    total_s = sum(length_s for length_s, _ in known)
    return sum(length_s * value for length_s, value in known) / total_s if total_s > 0.0 else None


def _state_seen(last: PoolTelemetry | None, mean_w: float | None) -> str | None:
    return None if last is None else operating_state(last, mean_w, refused=False)


def operating_state(now: PoolTelemetry, mean_w: float | None, *, refused: bool) -> str:
    """The enumeration of OPERATING_STATE that says it best. Discharging, and charging less, is "curtailed": less load than otherwise."""
    if now.fault or not now.available:
        return "ERROR"
    power_w = mean_w if mean_w is not None else now.measured_power_w
    if power_w is None:
        return "NORMAL" if now.target_power_w is None and not refused else "ERROR"
    moving = "RUNNING" if abs(power_w) >= IDLE_W else "IDLE"
    if refused:
        return f"{moving}_OPTED_OUT"
    return f"{moving}_CURTAILED" if now.target_power_w is not None else f"{moving}_NORMAL"


def planned_power_w(records: Iterable[GridOrderRecord], from_s: float, to_s: float) -> float | None:
    """Mean of what the orders that stand ask for in an interval, W; None where they do not cover all of it."""
    covered_s = asked_ws = 0.0
    for record in records:
        if record.outcome in (GridOutcome.REFUSED, GridOutcome.WITHDRAWN):
            continue
        edges = [step.from_s for step in record.order.steps[1:]] + [record.order.end_s]
        for step, until_s in zip(record.order.steps, edges, strict=True):
            overlap_s = max(0.0, min(until_s, to_s) - max(step.from_s, from_s))
            covered_s += overlap_s
            asked_ws += overlap_s * step.discharge_power_w
    return asked_ws / (to_s - from_s) if covered_s >= (to_s - from_s) - 1e-6 else None
