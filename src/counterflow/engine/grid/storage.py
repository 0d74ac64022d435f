"""A pool as a storage: what its cars hold, could hold, give and take, as far as their states of charge are known. Pure and vectorised.

Only cars that may be discharged count: their drivers agreed and their transfer is bidirectional, ready now or not. The others are load.
"""

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from counterflow.domain.grid import PoolTelemetry, Quality
from counterflow.domain.reasons import Reason
from counterflow.engine.control.grid import export_limits, limits_of
from counterflow.engine.dispatch.limits import total_capacity_w
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.eligibility import NOT_READY_PHASES
from counterflow.engine.fleet.snapshot import B1, FleetImage
from counterflow.engine.fleet.topology import Topology

_FULL_FRAC = 0.995
"""From here on a car counts as full."""


class PoolStorage(Struct, frozen=True, kw_only=True):
    """Magnitudes, in the words of `PoolTelemetry`."""

    at_s: float
    stored_energy_wh: float | None
    capacity_wh: float | None
    usable_energy_wh: float | None
    max_discharge_power_w: float | None
    max_charge_power_w: float | None
    unknown_sessions: int
    quality: Quality


def pool_storage(image: FleetImage, able: Capability, topology: Topology, sites: B1, tolerated_share: float) -> PoolStorage:
    """Of the cars at `sites` (S,). Up to `tolerated_share` of them may be unknown before the quality is less than good."""
    cars = image.occupied & image.consent & image.bidirectional & ~image.driver_stop & sites[np.maximum(image.site, 0)]
    stored_wh = able.soc_frac * image.capacity_wh
    known = cars & ~np.isnan(stored_wh)
    count, unknown = int(np.count_nonzero(cars)), int(np.count_nonzero(cars & ~known))
    quality = Quality.GOOD if unknown <= tolerated_share * count else Quality.ESTIMATED if known.any() else Quality.MISSING
    if quality is Quality.MISSING:
        return PoolStorage(
            at_s=image.at_s, stored_energy_wh=None, capacity_wh=None, usable_energy_wh=None, max_discharge_power_w=None,
            max_charge_power_w=None, unknown_sessions=unknown, quality=quality,
        )  # fmt: skip
    ready = cars & np.equal(able.reason, Reason.READY)
    takes = known & image.connected & ~np.isin(image.phase, NOT_READY_PHASES) & (able.soc_frac < _FULL_FRAC)
    takes_w = np.where(takes, np.nan_to_num(image.max_charge_w, nan=0.0), 0.0)
    room = limits_of(image, topology, np.maximum(0.0, topology.import_room_w(image.at_s)))
    return PoolStorage(
        at_s=image.at_s,
        stored_energy_wh=float(stored_wh[known].sum()),
        capacity_wh=float(image.capacity_wh[known].sum()),
        usable_energy_wh=float(able.energy_wh[ready].sum()),
        max_discharge_power_w=total_capacity_w(np.where(ready, able.max_power_w, 0.0), export_limits(image, topology)),
        max_charge_power_w=total_capacity_w(takes_w, room),
        unknown_sessions=unknown,
        quality=quality,
    )


def with_storage(record: PoolTelemetry, storage: PoolStorage | None) -> PoolTelemetry:
    """The record, and what the pool was as a storage when that was looked at last."""
    if storage is None:
        return record
    return replace(
        record,
        storage_at_s=storage.at_s,
        stored_energy_wh=storage.stored_energy_wh,
        storage_capacity_wh=storage.capacity_wh,
        usable_energy_wh=storage.usable_energy_wh,
        max_discharge_power_w=storage.max_discharge_power_w,
        max_charge_power_w=storage.max_charge_power_w,
        storage_unknown_sessions=storage.unknown_sessions,
        storage_quality=storage.quality,
    )
