"""The guarantees (control.md 7), judged live on the image: what must never be so for longer than it takes to put right.

Everything here judges orders that are in force, after the fact and by other arithmetic than that which made them. A tick mends what it sees
at once, and a station answers within seconds; so a guarantee counts as broken only when it was so at every look for its grace.
I6 (the allocators), I9 (settlement) and I10 (the pace of messages) have no trace in an image; tests hold them.
"""

from enum import StrEnum
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from counterflow.domain.ids import SessionUid
from counterflow.domain.reasons import Reason
from counterflow.domain.setpoints import FallbackState, SetpointState
from counterflow.engine.control.grid import export_limits
from counterflow.engine.dispatch.limits import Rows
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.eligibility import CONFLICT_REASONS
from counterflow.engine.fleet.snapshot import B1, F8, FleetImage
from counterflow.engine.fleet.topology import Topology


class Guarantee(StrEnum):
    """Which invariant, by its number in control.md 7."""

    FLOOR = "I1"
    DEPARTURE = "I2"
    LIMITS = "I3"
    PERMISSION = "I4"
    BOUNDS = "I5"
    ENDS = "I7"
    OWNED = "I8"
    STOPPED = "I11"


GUARANTEE_WORDS: dict[Guarantee, str] = {
    Guarantee.FLOOR: "the car is ordered to discharge although nothing is left above its floor",
    Guarantee.DEPARTURE: "the car is ordered to discharge although it must charge to be ready at departure",
    Guarantee.LIMITS: "the meters show more export than a limit above the car allows",
    Guarantee.PERMISSION: "the car is ordered to discharge although it may not be discharged",
    Guarantee.BOUNDS: "the car is ordered to discharge at a power that it, its EVSE or a local limit does not allow",
    Guarantee.ENDS: "the order outlives its dispatch, or no fallback stands beneath it",
    Guarantee.OWNED: "the car is ordered to discharge and belongs to no dispatch",
    Guarantee.STOPPED: "the car is ordered to discharge although the emergency stop is on",
}

GRACE_S: dict[Guarantee, float] = {
    Guarantee.FLOOR: 30.0,
    Guarantee.DEPARTURE: 30.0,
    Guarantee.LIMITS: 60.0,
    Guarantee.PERMISSION: 30.0,
    Guarantee.BOUNDS: 30.0,
    Guarantee.ENDS: 90.0,
    Guarantee.OWNED: 90.0,
    Guarantee.STOPPED: 15.0,
}
"""So long each must be seen broken: a few ticks, the answer of a station, the next reading of a meter."""

FORBIDDEN = (
    Reason.NO_CONSENT,
    Reason.DRIVER_STOP,
    Reason.BLACKOUT,
    Reason.EVSE_FAULTED,
    Reason.NO_V2X_CONTROL,
    Reason.NO_BIDIRECTIONAL_TRANSFER,
    Reason.PRIORITY_CHARGING,
    Reason.EXTERNAL_LIMIT,
    Reason.GRID_FAULT,
    Reason.SOC_UNKNOWN,
    Reason.GUARDED,
    *CONFLICT_REASONS.values(),
)
"""Reasons with which no discharge may go on (I4). A station that cannot be reached is not among them: its order ends by itself."""

WINDOW_MARGIN_S = 240.0
"""A hold, its stagger and the paced resume may outlast the window by this much (I7)."""
_TOLERANCE_FRAC, _TOLERANCE_W = 0.02, 200.0
_LIMIT_FRAC, _LIMIT_W = 0.06, 500.0
"""What lent room may cost for a moment (ADR 7), and the error of meters."""

Flags = dict[Guarantee, Rows]
Suspicions = dict[tuple[SessionUid, Guarantee], float]
"""Since when each session was seen with each guarantee broken, epoch seconds."""


class Breach(NamedTuple):
    """A guarantee that was broken for longer than its grace."""

    row: int
    uid: SessionUid
    guarantee: Guarantee


class Owners(Struct, frozen=True, kw_only=True):
    """Whose each row is, (N,): a dispatch that is scheduled or runs, one whose cars are being handed back, or nobody's."""

    steered: B1
    handed_back: B1


def discharging_orders(image: FleetImage) -> B1:
    """Rows with an order of ours to discharge that may be in force (N,): one that was refused is not."""
    orders: B1 = (image.setpoint_w < 0.0) & (image.at_s < image.discharge_until_s) & (image.setpoint_state != SetpointState.REJECTED)
    return orders & image.occupied


def of_members(image: FleetImage, able: Capability, member: B1, window_end_s: float) -> Flags:
    """What does not hold for members (N,) of a dispatch that ends at `window_end_s` (I1, I2, I4, I5, I7)."""
    rows = np.flatnonzero(member & discharging_orders(image))
    if rows.size == 0:
        return {}
    asked_w, reason = -image.setpoint_w[rows], able.reason[rows]
    connected = image.connected[rows]
    ceiling_w = np.fmin(np.nan_to_num(image.max_discharge_w[rows]), np.maximum(image.external_discharge_w[rows], 0.0))
    least_w = np.fmax(image.min_discharge_w[rows], 0.0)
    slack_w = np.maximum(_TOLERANCE_FRAC * asked_w, _TOLERANCE_W)
    steps = ~image.self_steered[rows]
    found = {
        Guarantee.FLOOR: able.energy_wh[rows] <= 0.0,
        Guarantee.DEPARTURE: able.must_charge[rows],
        Guarantee.PERMISSION: np.isin(reason, FORBIDDEN),
        Guarantee.BOUNDS: (asked_w > ceiling_w + slack_w) | (steps & (asked_w < least_w - slack_w)),
        Guarantee.ENDS: (image.discharge_until_s[rows] > window_end_s + WINDOW_MARGIN_S)
        | ((image.fallback_state[rows] == FallbackState.NONE) & (image.setpoint_state[rows] == SetpointState.ACCEPTED)),
    }
    # A station that cannot be reached goes on with an order that carries its own end; nothing else can be done.
    return {guarantee: rows[broken & connected] for guarantee, broken in found.items()}


def of_fleet(image: FleetImage, topology: Topology, owners: Owners, *, latched: bool) -> Flags:
    """What does not hold for the fleet as a whole (I3, I7, I8, I11). `latched`: the emergency stop is on."""
    orders = discharging_orders(image) & image.connected
    return {
        Guarantee.OWNED: np.flatnonzero(orders & ~owners.steered & ~owners.handed_back),
        Guarantee.ENDS: np.flatnonzero(orders & owners.handed_back & ~owners.steered),
        Guarantee.STOPPED: np.flatnonzero(orders) if latched else np.zeros(0, dtype=np.intp),
        Guarantee.LIMITS: _over_limits(image, topology, orders),
    }


def ripened(image: FleetImage, flags: Flags, before: Suspicions) -> tuple[Suspicions, list[Breach]]:
    """What is suspected now, and what was broken at every look for its grace. `before` are the suspicions of the last look."""
    now_s, suspicions, breaches = image.at_s, Suspicions(), []
    for guarantee, rows in flags.items():
        for row in rows.tolist():
            key = (SessionUid(int(image.uid[row])), guarantee)
            suspicions[key] = since_s = min(before.get(key, now_s), now_s)
            if now_s - since_s >= GRACE_S[guarantee]:
                breaches.append(Breach(row, key[0], guarantee))
    return suspicions, breaches


def _over_limits(image: FleetImage, topology: Topology, orders: B1) -> Rows:
    """Rows with an order that give most, as many as bring each group back inside its limit, by the meters."""
    if np.isinf(topology.export_limit_w(image.at_s)).all() or not orders.any():
        return np.zeros(0, dtype=np.intp)
    limits = export_limits(image, topology)
    given_w: F8 = np.where(image.occupied & ~np.isnan(image.power_w), np.maximum(-image.power_w, 0.0), 0.0)
    over_w = limits.used_w(given_w) - limits.cap_w * (1.0 + _LIMIT_FRAC) - _LIMIT_W
    stops: set[int] = set()
    for group in np.flatnonzero(over_w > 0.0).tolist():
        alone = np.zeros(len(limits.cap_w))
        alone[group] = -1.0
        below = np.flatnonzero(orders & (limits.least_above(alone) < 0.0) & (given_w > 0.0))
        below = below[np.argsort(-given_w[below], kind="stable")]
        enough = int(np.searchsorted(np.cumsum(given_w[below]), over_w[group])) + 1
        stops.update(below[:enough].tolist())
    return np.array(sorted(stops), dtype=np.intp)
