"""A car's own plan held against our orders (NotifyEVChargingSchedule, K17, 3.2)."""

from collections.abc import Iterable, Sequence
from math import inf

from msgspec import Struct

from counterflow.domain.commands import ProfileKind
from counterflow.domain.records import ProfileRecord, ProfileState
from counterflow.domain.telemetry import PlannedPower
from counterflow.domain.units import format_instant, format_power

ROUNDING_W = 50.0
"""Cars plan in whole steps of some ten watts."""


class Bound(Struct, frozen=True, kw_only=True):
    """What we allow from `from_s` on: import positive, between the two."""

    from_s: float
    least_w: float
    most_w: float


def bounds_of(records: Iterable[ProfileRecord]) -> list[Bound]:
    """What our profiles at one EVSE allow over time, oldest first. Without a discharge of ours no discharge is allowed."""
    standing = [record for record in records if record.state is not ProfileState.CLEARING]
    beneath_w = min((record.power_w for record in standing if record.kind is ProfileKind.FALLBACK), default=inf)
    after = Bound(from_s=-inf, least_w=0.0, most_w=beneath_w)
    orders = [record for record in standing if record.kind is ProfileKind.DISCHARGE]
    if not orders:
        return [after]
    order = max(orders, key=lambda record: record.placed_at_s)
    held = Bound(from_s=order.discharge_until_s, least_w=0.0, most_w=0.0)
    periods = [(order.placed_at_s, order.power_w), *((step.from_s, step.power_w) for step in order.later)]
    return [
        after,
        *(Bound(from_s=from_s, least_w=min(power_w, 0.0), most_w=max(power_w, 0.0)) for from_s, power_w in periods),
        *([held] if order.hold_until_s > order.discharge_until_s else []),
        Bound(from_s=max(order.hold_until_s, order.discharge_until_s), least_w=0.0, most_w=beneath_w),
    ]


def disagreement(plan: Sequence[PlannedPower], bounds: Sequence[Bound], now_s: float, tolerance_share: float) -> str | None:
    """The first stretch of the plan that leaves what we allow, in a sentence; None when the whole plan stays within.

    What lies in the past is not looked at. `tolerance_share` of the allowed power is passed over, and always a little rounding.
    """
    for planned in plan:
        for number, bound in enumerate(bounds):
            ends_s = bounds[number + 1].from_s if number + 1 < len(bounds) else inf
            from_s, until_s = max(planned.from_s, bound.from_s, now_s), min(planned.until_s, ends_s)
            if until_s <= from_s:
                continue
            slack_w = ROUNDING_W + tolerance_share * max(abs(bound.least_w), 0.0 if bound.most_w == inf else abs(bound.most_w))
            if not bound.least_w - slack_w <= planned.power_w <= bound.most_w + slack_w:
                allowed = "any charging" if bound.most_w == inf else f"{format_power(bound.least_w)} to {format_power(bound.most_w)}"
                return f"The car plans {format_power(planned.power_w)} from {format_instant(from_s)}, where {allowed} is allowed."
    return None
