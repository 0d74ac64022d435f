"""What bounds the orders of a session besides its needs: the driver's blackouts and the caps on discharged energy.

When a bound becomes tighter, the time of that is in the row: an order that was sent before it carries an end that is too late.
"""

from math import inf, isnan, nan
from typing import NamedTuple

from counterflow.domain.blackouts import day_ends_s, next_blackout
from counterflow.domain.units import WH_PER_WS
from counterflow.engine.fleet.accounts import Accounts
from counterflow.engine.fleet.columns import Columns
from counterflow.engine.fleet.sessions import Session
from counterflow.engine.fleet.settings import FleetSettings

SHARE_AGAIN_S = 60.0
"""Sessions that share a cap get their parts anew this often."""


class Bounds(NamedTuple):
    """The cells that an order's end was worked out from."""

    departure_s: float
    soc_floor_frac: float
    soc_target_frac: float
    blackout_from_s: float
    pause_left_s: float


def bounds_of(columns: Columns, row: int) -> Bounds:
    """The bounds that a row shows."""
    return Bounds(
        columns.departure_s[row],
        columns.soc_floor_frac[row],
        columns.soc_target_frac[row],
        columns.blackout_from_s[row],
        columns.pause_left_s[row],
    )


def write_bounds(session: Session, columns: Columns, accounts: Accounts, now_s: float, settings: FleetSettings, before: Bounds) -> None:
    """Show blackout and cap in the session's row, and when what bounds it became tighter than `before`."""
    row, terms = session.row, session.terms
    blackout = next_blackout(terms.blackouts, terms.timezone, now_s) if terms.blackouts and now_s > 0.0 else None
    from_s, until_s = (nan, nan) if blackout is None else blackout
    columns.blackout_from_s[row] = from_s
    columns.blackout_until_s[row] = until_s
    revisit_s = until_s if blackout is not None else inf
    capped = False
    if session.caps and now_s > 0.0:
        capacity_wh, ordered_wh = session.capacity_wh(settings), _ordered_wh(columns, row, now_s)
        if session.set_back_wh:
            accounts.shift(session.uid, session.caps, session.set_back_wh)
            session.set_back_wh = 0.0
        book_register(session, accounts, session.export_wh, session.export_at_s, capacity_wh, now_s)
        limit_wh = accounts.limit_wh(session.uid, session.caps, session.export_wh, capacity_wh, ordered_wh)
        columns.export_limit_wh[row] = limit_wh
        if session.is_capped:
            capped = limit_wh - session.export_wh < ordered_wh
            again_s = now_s + SHARE_AGAIN_S if accounts.is_shared(session.caps) else day_ends_s(terms.timezone, now_s)
            revisit_s = min(revisit_s, again_s)
    session.revisit_s = revisit_s
    if capped or _is_tighter(before, bounds_of(columns, row)):
        columns.bounds_at_s[row] = now_s


def book_register(session: Session, accounts: Accounts, export_wh: float, at_s: float, capacity_wh: float, now_s: float) -> None:
    """Count what the session's export register shows."""
    accounts.count(
        session.uid, session.caps, export_wh, at_s, capacity_wh=capacity_wh, timezone=session.terms.timezone, now_s=max(now_s, at_s)
    )


def _ordered_wh(columns: Columns, row: int, now_s: float) -> float:
    """Energy that orders of ours may still take, if nothing stops them."""
    told_w = max(-_number(columns.setpoint_w[row]), -_number(columns.previous_setpoint_w[row]), 0.0)
    strongest_w = max(told_w, columns.strongest_ahead_w[row])
    return strongest_w * max(0.0, _number(columns.discharge_until_s[row]) - now_s) * WH_PER_WS


def _is_tighter(before: Bounds, now: Bounds) -> bool:
    earlier_blackout = not isnan(now.blackout_from_s) and not now.blackout_from_s >= before.blackout_from_s
    return (
        now.departure_s < before.departure_s
        or now.soc_floor_frac > before.soc_floor_frac
        or now.soc_target_frac > before.soc_target_frac
        or now.pause_left_s < before.pause_left_s
        or earlier_blackout
    )


def _number(value: float) -> float:
    return 0.0 if isnan(value) else value
