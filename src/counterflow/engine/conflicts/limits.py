"""What other actors' limits leave of a discharge, now and later: pure functions over stretches of time (OCPP 2.1 3.5, rules 3 and 4)."""

from collections.abc import Iterable
from math import inf, nan

from counterflow.domain.conflicts import DischargeCap, LimitPeriod

AHEAD_S = 3600.0
"""A limit that begins later than this is not looked at yet."""


def covers(period: LimitPeriod, at_s: float) -> bool:
    """Whether the stretch holds at this instant."""
    return (period.from_s is None or period.from_s <= at_s) and (period.to_s is None or at_s < period.to_s)


def allowed_w(periods: Iterable[LimitPeriod], at_s: float, *, setpoints_bind: bool = False) -> float:
    """The least discharge that is allowed at this instant, W; inf = nobody limits it.

    With `setpoints_bind` a stretch of somebody else's setpoint leaves nothing for ours.
    """
    least_w = inf
    for period in periods:
        if covers(period, at_s):
            if period.discharge_w is not None:
                least_w = min(least_w, period.discharge_w)
            if setpoints_bind and period.external_setpoint:
                least_w = 0.0
    return least_w


def external_setpoint(periods: Iterable[LimitPeriod], at_s: float) -> bool:
    """Somebody else's setpoint is in force at this instant."""
    return any(period.external_setpoint and covers(period, at_s) for period in periods)


def next_edge_s(periods: Iterable[LimitPeriod], now_s: float) -> float:
    """The next instant at which a stretch begins or ends; inf = never."""
    edges = (edge for period in periods for edge in (period.from_s, period.to_s) if edge is not None and edge > now_s)
    return min(edges, default=inf)


def discharge_cap(periods: Iterable[LimitPeriod], now_s: float, *, setpoints_bind: bool = False) -> DischargeCap:
    """What is allowed now, and the least that will be within the hour, from the first instant at which it is less than now."""
    known = tuple(periods)
    if not known:
        return DischargeCap()
    now_w = allowed_w(known, now_s)
    ahead_w, ahead_s = inf, inf
    edges = sorted({p.from_s for p in known if p.from_s is not None and now_s < p.from_s <= now_s + AHEAD_S})
    for edge_s in edges:
        then_w = allowed_w(known, edge_s, setpoints_bind=setpoints_bind)
        if then_w < now_w:
            ahead_s = min(ahead_s, edge_s)
            ahead_w = min(ahead_w, then_w)
    return DischargeCap(_or_unknown(now_w), _or_unknown(ahead_w), _or_unknown(ahead_s))


def shared(periods: Iterable[LimitPeriod], by: int) -> tuple[LimitPeriod, ...]:
    """A limit on the whole station, shared evenly by its sessions."""
    return tuple(
        LimitPeriod(
            from_s=one.from_s,
            to_s=one.to_s,
            discharge_w=None if one.discharge_w is None else one.discharge_w / by,
            external_setpoint=one.external_setpoint,
        )
        for one in periods
    )


def _or_unknown(value: float) -> float:
    return nan if value == inf else value
