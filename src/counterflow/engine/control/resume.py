"""The end of a dispatch: cars go back to charging one after the other, those in a hurry first, inside each site's import limit,
and without a rebound step (control.md: ramp out over a minute, resume by least laxity).
"""

from typing import Annotated

import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from counterflow.engine.fleet.capability import Capability
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
    ] = 60.0
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

    `waiting` (N,) marks rows held by the dispatch, `released_at_s` (N,) when a row was already handed back (NaN = not yet).
    The charging power let go follows a straight line over `resume_over_s`; a site that has no room keeps its cars waiting.
    """
    released = ~np.isnan(released_at_s)
    rows = np.flatnonzero(waiting & ~released)
    if rows.size == 0:
        return rows
    charge_w = _charge_power_w(image, settings)
    rows = rows[np.argsort(capability.laxity_s[rows], kind="stable")]
    elapsed_s = image.at_s - resume_from_s
    share = 1.0 if settings.resume_over_s <= 0.0 else min(1.0, max(0.0, elapsed_s / settings.resume_over_s))
    total_w = float(charge_w[rows].sum() + charge_w[released].sum())
    budget_w = share * total_w - float(charge_w[released].sum())
    rows = rows if share >= 1.0 else rows[np.cumsum(charge_w[rows]) <= budget_w + 1e-6]
    return _inside_sites(image, rows, charge_w, released_at_s, topology, settings)


def fallback_power_w(image: FleetImage, capability: Capability, row: int, topology: Topology, settings: ResumeSettings) -> float:
    """Charging rate of the fallback profile beneath a discharge: what departure needs, and no more than the car's equal share of
    what the site may import (decisions 4). W, > 0 unless the car needs nothing: then its minimum charging power.
    """
    charge_w = float(_charge_power_w(image, settings)[row])
    site = int(image.site[row])
    neighbours = max(1, int(np.count_nonzero(image.site[image.occupied] == site)))
    room_w = max(0.0, float(topology.max_import_w[site]) - float(topology.uncontrolled_load_w[site])) / neighbours
    stay_s = float(image.departure_s[row]) - image.at_s
    recharge_s = float(capability.recharge_s[row])
    if np.isnan(stay_s) or np.isnan(recharge_s) or stay_s <= 0.0:
        needed_w = charge_w
    else:
        # Twice the rate that would just do: the taper and a later start are in it; the site's share still caps it.
        needed_w = min(charge_w, 2.0 * charge_w * recharge_s / stay_s)
    least_w = float(image.min_charge_w[row])
    least_w = 0.0 if np.isnan(least_w) else least_w
    return min(room_w, charge_w, max(needed_w, least_w, 0.05 * charge_w))


def _charge_power_w(image: FleetImage, settings: ResumeSettings) -> F8:
    return np.where(np.isnan(image.max_charge_w), settings.assumed_charge_power_w, image.max_charge_w)


def _inside_sites(
    image: FleetImage, rows: NDArray[np.intp], charge_w: F8, released_at_s: F8, topology: Topology, settings: ResumeSettings
) -> NDArray[np.intp]:
    limited = np.isfinite(topology.max_import_w)
    if not limited.any():
        return rows
    import_w = np.where(np.isnan(image.power_w), charge_w, np.maximum(image.power_w, 0.0))
    fresh_release = ~np.isnan(released_at_s) & (image.at_s - released_at_s < settings.settle_s)
    import_w = np.where(fresh_release, np.maximum(import_w, charge_w), import_w)
    import_w = np.where(image.occupied, import_w, 0.0)
    sites = len(topology.max_import_w)
    used_w = np.bincount(image.site[image.occupied], weights=import_w[image.occupied], minlength=sites)
    room_w = topology.max_import_w - topology.uncontrolled_load_w - used_w
    keep = np.ones(rows.size, dtype=bool)
    for site in np.unique(image.site[rows]):
        if limited[site]:
            here = np.flatnonzero(image.site[rows] == site)
            keep[here] = np.cumsum(charge_w[rows[here]]) <= room_w[site] + 1e-6
    return rows[keep]
