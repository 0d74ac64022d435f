"""The end of a dispatch: cars go back to charging one after the other, those in a hurry first, inside each site's import limit,
and without a rebound step (control.md: ramp out over a minute, resume by least laxity).
"""

from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from counterflow.domain.units import WH_PER_WS
from counterflow.engine.control.grid import limits_of
from counterflow.engine.dispatch.limits import cap_in_order
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.reckoning import recharge_s
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import B1, F8, FleetImage
from counterflow.engine.fleet.topology import Topology


class ResumeSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How charging comes back after a dispatch."""

    resume_over_s: Annotated[
        float, Meta(description="Charging comes back over this long after a dispatch.", extra={"unit": "s"}, ge=0, le=3600)
    ] = 60.0
    settle_s: Annotated[
        float,
        Meta(
            description="For this long after its release a car counts at full charging power against the site's import limit, "
            "then at what its meter says.",
            extra={"unit": "s"},
            ge=0,
        ),
    ] = 90.0
    latest_hold_s: Annotated[
        float,
        Meta(
            description="If the server dies, charging by the fallback profile is reckoned to begin this long after the window.",
            extra={"unit": "s"},
            ge=0,
        ),
    ] = 180.0
    fallback_reserve: Annotated[
        float,
        Meta(description="The fallback charges this much faster than would just do.", extra={"unit": "-"}, ge=1),
    ] = 1.25
    assumed_charge_power_w: Annotated[
        float, Meta(description="Charging power assumed for a car that never told its own.", extra={"unit": "W"}, gt=0)
    ] = 22_000.0


def releases_due(
    image: FleetImage,
    capability: Capability,
    waiting: B1,
    released_at_s: F8,
    topology: Topology,
    resume_from_s: float,
    settings: ResumeSettings,
) -> NDArray[np.intp]:
    """Rows to hand back to charging at `image.at_s`, most urgent first.

    `waiting` (N,) marks rows of the dispatch, `released_at_s` (N,) when a row was already handed back (NaN = not yet). The charging
    power let go follows a straight line over `resume_over_s`. A row that no order of ours holds any more (its hold is over, or it never
    got one) charges already: it is handed back first and its power counts as let go. A site that has no room keeps its cars waiting.
    """
    released = ~np.isnan(released_at_s)
    rows = np.flatnonzero(waiting & ~released)
    if rows.size == 0:
        return rows
    charge_w = _charge_power_w(image, settings)
    loose = ~_held(image)
    # A car whose need is not known has as long as its driver said.
    left_s = np.where(np.isnan(capability.laxity_s), capability.pause_s, capability.laxity_s)
    rows = rows[np.lexsort((left_s[rows], ~loose[rows]))]
    elapsed_s = image.at_s - resume_from_s
    share = 1.0 if settings.resume_over_s <= 0.0 else min(1.0, max(0.0, elapsed_s / settings.resume_over_s))
    gone_w = float(charge_w[released].sum())
    budget_w = share * (float(charge_w[rows].sum()) + gone_w) - gone_w - float(charge_w[rows][loose[rows]].sum())
    costs_w = np.where(loose, 0.0, charge_w)[rows]
    if share < 1.0:
        rows = rows[np.cumsum(costs_w) <= max(0.0, budget_w) + 1e-6]
    return _inside_sites(image, rows, waiting, charge_w, released_at_s, topology, settings)


def fallback_power_w(
    image: FleetImage,
    capability: Capability,
    topology: Topology,
    settings: ResumeSettings,
    *,
    window_end_s: float,
    capability_settings: CapabilitySettings,
) -> F8:
    """Charging rate of the fallback profile beneath each discharge, W (N,): what departure needs if everything else dies after the
    worst that this window may ask of the car, and no more than the car's equal share of what its site and feeders may import (decisions 4).

    Never below the car's minimum or a twentieth of its charging power, except for the site's sake. Where departure or recharging time
    are unknown it is the full rate.
    """
    charge_w = _charge_power_w(image, settings)
    strongest_w = np.where(np.isnan(image.max_discharge_w), 0.0, image.max_discharge_w)
    given_wh = np.fmin(strongest_w * max(0.0, window_end_s - image.at_s) * WH_PER_WS, np.fmax(capability.energy_wh, 0.0))
    after_s = recharge_s(capability.reckoned, capability_settings, given_wh)
    stay_s = image.departure_s - max(window_end_s, image.at_s) - settings.latest_hold_s
    with np.errstate(divide="ignore", invalid="ignore"):
        # At a share of full power recharging takes at most its inverse as long, since the taper only matters near full power.
        share = np.where(stay_s > 0.0, settings.fallback_reserve * after_s / stay_s, 1.0)
    needed_w = charge_w * np.where(np.isnan(share), 1.0, np.minimum(share, 1.0))
    least_w = np.maximum(0.05 * charge_w, np.where(np.isnan(image.min_charge_w), 0.0, image.min_charge_w))
    rate: F8 = np.minimum(np.minimum(charge_w, np.maximum(needed_w, least_w)), _site_share_w(image, topology))
    return rate


def _charge_power_w(image: FleetImage, settings: ResumeSettings) -> F8:
    return np.where(np.isnan(image.max_charge_w), settings.assumed_charge_power_w, image.max_charge_w)


def _held(image: FleetImage) -> B1:
    """Rows that an order of ours keeps from charging now, (N,)."""
    held: B1 = image.at_s < np.fmax(image.hold_until_s, image.discharge_until_s)
    return held & ~np.isnan(image.setpoint_w)


def _site_share_w(image: FleetImage, topology: Topology) -> F8:
    """Each row's equal share of what the limits above it let it import, (N,); inf where that is unlimited."""
    room_w = np.maximum(0.0, topology.import_room_w(image.at_s))
    limits = limits_of(image, topology, room_w)
    each_w = room_w / np.maximum(1.0, limits.used_w(image.occupied.astype(np.float64)))
    return limits.least_above(each_w)


def _inside_sites(
    image: FleetImage,
    rows: NDArray[np.intp],
    waiting: B1,
    charge_w: F8,
    released_at_s: F8,
    topology: Topology,
    settings: ResumeSettings,
) -> NDArray[np.intp]:
    if not topology.limits_import:
        return rows
    counted_w = np.where(np.isnan(image.power_w), charge_w, np.maximum(image.power_w, 0.0))
    fresh_release = ~np.isnan(released_at_s) & (image.at_s - released_at_s < settings.settle_s)
    counted_w = np.where(fresh_release, np.maximum(counted_w, charge_w), counted_w)
    # Whoever waits falls to its fallback when its hold ends, and its meter shows that only later.
    hold_end_s = np.fmax(image.hold_until_s, image.discharge_until_s)
    falls = waiting & ~fresh_release & ~(image.at_s - hold_end_s >= settings.settle_s)
    counted_w = np.where(falls, np.maximum(counted_w, np.minimum(charge_w, _site_share_w(image, topology))), counted_w)
    counted_w = np.where(image.occupied, counted_w, 0.0)
    room = limits_of(image, topology, np.maximum(0.0, topology.import_room_w(image.at_s))).less(counted_w).of_rows(rows)
    more_w = np.maximum(charge_w - counted_w, 0.0)[rows]
    let_w = cap_in_order(more_w, np.arange(rows.size, dtype=np.float64), room)
    return rows[let_w >= more_w - 1e-6]
