"""What GetCompositeSchedule proves: how far the station would let our discharge go (OCPP 2.1 K08; indicative, so only against us)."""

from collections.abc import Sequence
from math import inf

from msgspec import Struct

from counterflow.domain.conflicts import CompositePeriod, LimitPeriod

TOLERANCE = 0.02
"""A setpoint that is weaker than ours by more than this share was capped."""

CLOCK_SLACK_S = 5.0
"""A schedule starts at a whole second of the station's clock, and our messages take their time: so near its end our order is over."""


class OrderInForce(Struct, frozen=True, kw_only=True):
    """The discharge that the station has accepted from us: `power_w` < 0 until `until_s`."""

    power_w: float
    until_s: float
    lapses_s: float = inf
    """When the watchdog of a Dynamic profile ends it there, by the newest message before the question. We refresh it long before."""
    fallback_w: float | None = None
    """The charging limit of our own profile beneath it; None = there is none."""


def shown_impossible(periods: Sequence[CompositePeriod], order: OrderInForce | None) -> tuple[LimitPeriod, ...]:
    """The limits that the schedule proves. Without an order of ours in force only what it says of discharge itself counts.

    What it shows from the end of our own profile on, and our own fallback where it follows our order, say nothing of others.
    """
    found = []
    follows_ours = False
    for period in periods:
        least_w = period.discharge_limit_w
        external = period.mode.casefold() == "externalsetpoint"
        capped_w = None if order is None or external else _capped_w(period, order, follows_ours=follows_ours)
        if capped_w is not None:
            least_w = capped_w if least_w is None else min(least_w, capped_w)
        if least_w is not None or external:
            to_s = period.to_s if order is None or period.discharge_limit_w is not None else _end_s(period, order, periods[-1].to_s)
            found.append(LimitPeriod(from_s=period.from_s, to_s=to_s, discharge_w=least_w, external_setpoint=external))
        follows_ours = order is not None and not external and _given_w(period) >= -order.power_w * (1.0 - TOLERANCE)
    return tuple(found)


def _given_w(period: CompositePeriod) -> float:
    return 0.0 if period.setpoint_w is None else max(0.0, -period.setpoint_w)


def _capped_w(period: CompositePeriod, order: OrderInForce, *, follows_ours: bool) -> float | None:
    """What is left of our order in this period; None = all of it, or it is not asked for any more."""
    given_w = _given_w(period)
    if period.from_s >= min(order.until_s, order.lapses_s) - CLOCK_SLACK_S or given_w >= -order.power_w * (1.0 - TOLERANCE):
        return None
    return None if follows_ours and _is_fallback(period, order) else given_w


def _is_fallback(period: CompositePeriod, order: OrderInForce) -> bool:
    if order.fallback_w is None or period.charge_limit_w is None or period.setpoint_w is not None:
        return False
    return abs(period.charge_limit_w - order.fallback_w) <= max(1.0, TOLERANCE * order.fallback_w)


def _end_s(period: CompositePeriod, order: OrderInForce, horizon_s: float) -> float:
    """A cap that lasts until the watchdog lapses lasts longer: it is refreshed, and then the schedule is another."""
    to_s = period.to_s if period.to_s < order.lapses_s - CLOCK_SLACK_S else horizon_s
    return min(to_s, order.until_s)
