"""The balance of a group: what its members deliver, in the terms of the order's mode (control.md 0). Discharge positive."""

from typing import assert_never

import numpy as np

from counterflow.domain.instructions import DispatchMode
from counterflow.domain.setpoints import SetpointState
from counterflow.engine.control.grid import limits_of
from counterflow.engine.control.response import level_in_force_w
from counterflow.engine.fleet.snapshot import B1, F8, FleetImage
from counterflow.engine.fleet.topology import Topology


def as_delivery_w(mode: DispatchMode, export_w: F8, baseline_w: F8) -> F8:
    """Delivery of rows whose net export (-P) is `export_w` (N,) and whose planned import is `baseline_w` (N,)."""
    match mode:
        case DispatchMode.NET_EXPORT:
            return export_w
        case DispatchMode.GROSS_EXPORT:
            return np.maximum(export_w, 0.0)
        case DispatchMode.RELATIVE:
            return export_w + baseline_w
        case _:
            assert_never(mode)


def engage_w(mode: DispatchMode, image: FleetImage, level_w: F8, baseline_w: F8) -> F8:
    """What taking a row from left-alone to 0 W delivers by itself (N,), for held rows what letting it go would cost (RELATIVE only)."""
    drawn_w = np.where(np.isnan(image.power_w), 0.0, np.maximum(image.power_w, 0.0))
    match mode:
        case DispatchMode.NET_EXPORT:
            return np.where(np.isnan(level_w), drawn_w, 0.0)
        case DispatchMode.GROSS_EXPORT:
            return np.zeros_like(drawn_w)
        case DispatchMode.RELATIVE:
            # One that is slowed or paused goes back to what it drew before, whatever it is counted from.
            by_itself_w = np.where(image.reduced & ~np.isnan(image.drew_w), image.drew_w, baseline_w)
            return np.where(np.isnan(level_w), drawn_w, by_itself_w)
        case _:
            assert_never(mode)


SOON_S = 40.0
"""The period of a schedule that begins within this time counts already: by then others have made room for it."""


def soon_w(image: FleetImage) -> F8:
    """What periods that begin soon will ask for, magnitude, W; 0 where none does (N,)."""
    begins: B1 = image.next_setpoint_at_s <= image.at_s + SOON_S
    return np.where(begins, -image.next_setpoint_w, 0.0)


def lent_w(image: FleetImage, level_w: F8, gain: F8, rows: B1, margin: float) -> F8:
    """What `rows` are asked and surely do not give at `level_w`, W, >= 0 (N,): of their site's limit others may use it.

    A row counts at what the meter shows, and at no less than what was learned of it, plus `margin` times its order.
    """
    gives_w = np.maximum(-image.power_w, gain * level_w) + margin * level_w
    return np.where(rows, np.fmax(level_w - gives_w, 0.0), 0.0)


def worst_export_w(image: FleetImage, level_w: F8, lent_w: F8 | float = 0.0) -> F8:
    """Largest discharge a row may be giving while an order is under way: the worse of old and new (N,), W, >= 0 (I3).

    A decrease makes room only once it is acknowledged and the meter shows it. `lent_w` is taken off an order that stays as it is.
    """
    in_force_w = level_in_force_w(image, image.at_s)
    ordered_w = np.fmax(in_force_w, 0.0)
    comes_w = np.where(np.isnan(in_force_w), 0.0, soon_w(image))
    asked_w = np.fmax(level_w, 0.0)
    asked_w = np.where(asked_w == ordered_w, asked_w - lent_w, asked_w)
    ordered_w = ordered_w - lent_w
    nothing_sent = np.isnan(image.previous_setpoint_w) | (image.setpoint_state == SetpointState.NONE)
    before_w = np.where(nothing_sent, 0.0, -image.previous_setpoint_w)
    measured_w = np.where(np.isnan(image.power_w), np.inf, np.maximum(-image.power_w, 0.0))
    acknowledged = image.setpoint_state == SetpointState.ACCEPTED
    seen = image.power_at_s > image.setpoint_at_s
    before_w = np.where(acknowledged & seen, np.minimum(before_w, measured_w), before_w)
    running_w = np.where(np.isfinite(measured_w), measured_w, 0.0)
    told_w = np.maximum(np.maximum(asked_w, ordered_w), comes_w)
    return np.where(image.uid != 0, np.maximum(told_w, np.maximum(before_w, running_w)), 0.0)


def group_export_w(image: FleetImage, rows: B1, topology: Topology) -> F8:
    """Worst-case export of `rows` (N,) in each group (G,): what one dispatch tells the next as `other_export_w`."""
    if not rows.any():
        return np.zeros(topology.groups)
    worst_w = np.where(rows, worst_export_w(image, np.zeros(len(image))), 0.0)
    return limits_of(image, topology, topology.max_export_w).used_w(worst_w)
