"""What GetCompositeSchedule proves: how far the station would let our discharge go (OCPP 2.1 K08; indicative, so only against us)."""

from collections.abc import Iterable

from msgspec import Struct

from counterflow.domain.conflicts import CompositePeriod, LimitPeriod

TOLERANCE = 0.02
"""A setpoint that is weaker than ours by more than this share was capped."""


class OrderInForce(Struct, frozen=True, kw_only=True):
    """The discharge that the station has accepted from us: `power_w` < 0 until `until_s`."""

    power_w: float
    until_s: float


def shown_impossible(periods: Iterable[CompositePeriod], order: OrderInForce | None) -> tuple[LimitPeriod, ...]:
    """The limits that the schedule proves. Without an order of ours in force only what it says of discharge itself counts."""
    found = []
    for period in periods:
        least_w = period.discharge_limit_w
        external = period.mode.casefold() == "externalsetpoint"
        if order is not None and not external and period.from_s < order.until_s:
            given_w = 0.0 if period.setpoint_w is None else max(0.0, -period.setpoint_w)
            if given_w < -order.power_w * (1.0 - TOLERANCE):
                least_w = given_w if least_w is None else min(least_w, given_w)
        if least_w is not None or external:
            to_s = period.to_s if order is None or period.discharge_limit_w is not None else min(period.to_s, order.until_s)
            found.append(LimitPeriod(from_s=period.from_s, to_s=to_s, discharge_w=least_w, external_setpoint=external))
    return tuple(found)
