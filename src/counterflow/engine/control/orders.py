"""When an order ends by itself. The end is part of the order: if everything else dies right after it was sent, the driver's floor and
departure still hold, and charging returns staggered (decisions 3, 4)."""

from math import ceil

import numpy as np
from msgspec import Struct

from counterflow.engine.control.settings import ControlSettings
from counterflow.engine.dispatch.limits import Rows
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.endurance import Stamina, endurance_s, hold_endurance_s
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import B1, F8, I8, FleetImage

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 divided by the golden ratio: multiples of it spread evenly (Knuth, TAOCP 3, 6.4)."""


class Ends(Struct, frozen=True, kw_only=True):
    """Ends of orders that would be sent now, (K,), epoch seconds; `run_s` is how long the car could go on at the power asked for."""

    discharge_until_s: F8
    hold_until_s: F8
    run_s: F8


def ends_for(
    image: FleetImage,
    capability: Capability,
    rows: Rows,
    level_w: F8,
    *,
    now_s: float,
    window_end_s: float,
    capability_settings: CapabilitySettings,
    settings: ControlSettings,
) -> Ends:
    """Ends for `rows` (K,) if they were to discharge at `level_w` (K,) from now on; 0 W = a hold."""
    stamina = Stamina.of(image, capability, rows)
    run_s = endurance_s(stamina, level_w, now_s, capability_settings)
    for_s = np.minimum(run_s, max(0.0, window_end_s - now_s))
    spare_s = hold_endurance_s(stamina, level_w, for_s, now_s, capability_settings)
    until_s = now_s + for_s
    hold_until_s = until_s + np.minimum(stagger_s(image.uid[rows], settings), spare_s)
    return Ends(discharge_until_s=until_s, hold_until_s=hold_until_s, run_s=run_s)


def stagger_s(uid: I8, settings: ControlSettings) -> F8:
    """Length of the hold after each session's discharge (N,): the same every time, spread evenly over the sessions."""
    share = spread(uid)
    return settings.hold_min_s + (max(settings.hold_max_s, settings.hold_min_s) - settings.hold_min_s) * share


def spread(uid: I8) -> F8:
    """A number in [0, 1) for each session, evenly spread, always the same for the same uid (N,)."""
    mixed = uid.astype(np.uint64) * _GOLDEN
    return (mixed >> np.uint64(11)).astype(np.float64) / float(2**53)


def due_for_renewal(image: FleetImage, level_w: F8, may: B1, *, now_s: float, window_end_s: float, settings: ControlSettings) -> B1:
    """Rows whose order in force ends soon although the window goes on (N,).

    Discharge orders are judged by the end of their discharge, holds by the end of their hold. The time ahead varies by session, and
    at most `rearm_share` of the members are due in one tick, the most pressing first, so that renewals do not bunch.
    """
    ahead_s = max(settings.rearm_before_s, 3.0 * settings.tick_interval_s)
    end_s = image.discharge_until_s
    pressing = may & ~np.isnan(level_w) & (end_s < window_end_s - 1.0) & (end_s < now_s + 2.0 * ahead_s)
    if not pressing.any():
        return pressing
    due = pressing & (end_s < now_s + ahead_s * (1.0 + spread(image.uid)))
    rows = np.flatnonzero(due)
    allowed = max(10, ceil(settings.rearm_share * np.count_nonzero(may)))
    if rows.size > allowed:
        must = end_s[rows] < now_s + ahead_s / 2.0
        order = np.argsort(end_s[rows], kind="stable")
        keep = order[: max(allowed, int(np.count_nonzero(must)))]
        due = np.zeros_like(due)
        due[rows[keep]] = True
    return due
