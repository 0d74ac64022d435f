"""Grid connections as arrays: feeders of any depth, sites, and the phases of sites, each with its limits; and the pools of sites.

Groups stand in one order everywhere: feeders from the top down, then the sites, then three phases for every site that limits them.
A topology is immutable, but for the last reading of each load and the limits that hold for a time.
"""

from collections.abc import Iterator, Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray

from counterflow.domain.ids import ALL_SITES, EvseId, FeederId, PoolId, SiteId, StationId
from counterflow.domain.resources import Feeder, GridConnection, Site, Supply
from counterflow.engine.fleet.capacity import LEAD_S, Capacities
from counterflow.engine.fleet.loads import Loads
from counterflow.engine.fleet.snapshot import B1, F8

DEFAULT_SITE = SiteId("default")
_WHOLE_STATION = EvseId(0)
_PHASES = ("L1", "L2", "L3")

PHASE_SHARES: F8 = np.array(
    [
        {
            Supply.UNKNOWN: (1.0, 1.0, 1.0),
            Supply.L1: (1.0, 0.0, 0.0),
            Supply.L2: (0.0, 1.0, 0.0),
            Supply.L3: (0.0, 0.0, 1.0),
            Supply.THREE_PHASE: (1.0 / 3.0,) * 3,
        }[supply]
        for supply in Supply
    ]
)
"""What a watt of a car puts on L1, L2 and L3, by `Supply` (K, 3)."""
PHASE_SHARES.setflags(write=False)


class Topology:
    """The sites and feeders. Site 0 is `default`: it is always there, and unlimited unless it is given.

    `max_export_w` and `max_import_w` are (G,), W, inf where unlimited; `parent` (G,) is the group above, -1 = none (phases have none);
    `first_phase` (G,) the group of L1 of a site whose phases are limited, -1 = they are not; `group_names` say what a group is.
    Raises ValueError for a name given twice, a feeder that is not there or hangs on itself, a negative limit, or a load series that
    cannot be laid over a day.
    """

    __slots__ = (
        "_imports_limited", "_index", "_masks", "_supplies", "capacities", "first_phase", "first_site", "group_names", "loads",
        "max_export_w", "max_import_w", "parent", "phased", "site_ids",
    )  # fmt: skip

    def __init__(self, sites: Sequence[Site], feeders: Sequence[Feeder] = ()) -> None:
        """Take the configured sites and feeders, each in any order."""
        given: dict[SiteId, Site] = {}
        for site in sites:
            if site.site_id in given:
                raise ValueError(f"the site '{site.site_id}' is given twice")
            given[site.site_id] = site
        default = given.pop(DEFAULT_SITE, Site(site_id=DEFAULT_SITE))
        rows = (default, *given.values())
        lines = _top_down(feeders)
        phased = [row for row, site in enumerate(rows) if _limits_phases(site)]
        self.site_ids: tuple[SiteId, ...] = tuple(site.site_id for site in rows)
        self.first_site = len(lines)
        self.phased = bool(phased)
        self.group_names: tuple[str, ...] = (
            *(f"feeder {line.feeder_id}" for line in lines),
            *(f"site {site.site_id}" for site in rows),
            *(f"phase {phase} of site {rows[row].site_id}" for row in phased for phase in _PHASES),
        )
        self.parent = _parents(lines, rows, len(self.group_names))
        self.first_phase: NDArray[np.intp] = np.full(len(self.group_names), -1, dtype=np.intp)
        for number, row in enumerate(phased):
            self.first_phase[self.first_site + row] = self.first_site + len(rows) + 3 * number
        connections: tuple[GridConnection, ...] = (*lines, *rows)
        exports = [connection.max_export_power_w for connection in connections]
        imports = [connection.max_import_power_w for connection in connections]
        for row in phased:
            exports += [rows[row].max_export_power_per_phase_w] * 3
            imports += [rows[row].max_import_power_per_phase_w] * 3
        self.max_export_w: F8 = _limits("max_export_power", exports)
        self.max_import_w: F8 = _limits("max_import_power", imports)
        self._imports_limited = bool(np.isfinite(self.max_import_w).any())
        self.loads = Loads(connections, self.group_names, self.parent, self.first_phase)
        self._index = {site.site_id: row for row, site in enumerate(rows)}
        self._supplies = dict(_supplies(rows))
        names = {ALL_SITES, *(pool for site in rows for pool in site.pools)}
        self._masks: dict[PoolId, B1] = {}
        for pool in sorted(names):
            mask = np.array([site.in_pool(pool) for site in rows], dtype=np.bool_)
            mask.setflags(write=False)
            self._masks[pool] = mask
        self.capacities = Capacities(self._masks, self.first_site, len(self.group_names))

    def __len__(self) -> int:
        """Number of sites, the default site included."""
        return len(self.site_ids)

    @property
    def groups(self) -> int:
        """Number of groups that can have a limit."""
        return len(self.group_names)

    @property
    def limits_import(self) -> bool:
        """Some group may not import all that it likes, now or for a time."""
        return self._imports_limited or self.capacities.limits_import

    def export_limit_w(self, at_s: float, until_s: float | None = None) -> F8:
        """What each group may export (G,), W, inf = no limit, with the limits that hold for a time in [at_s, until_s], or soon."""
        if not self.capacities.limits_export:
            return self.max_export_w
        return np.minimum(self.max_export_w, self.capacities.export_w(at_s, _soon(at_s, until_s)))

    def import_limit_w(self, at_s: float) -> F8:
        """What each group may import (G,), W, inf = no limit, with the limits that hold for a time, now or soon."""
        if not self.capacities.limits_import:
            return self.max_import_w
        return np.minimum(self.max_import_w, self.capacities.import_w(at_s, _soon(at_s, None)))

    def export_room_w(self, at_s: float, until_s: float | None = None) -> F8:
        """What our cars may export together in each group (G,), W, inf = no limit; below zero where something else generates too much."""
        return self.export_limit_w(at_s, until_s) + self.loads.least_w(at_s)

    def import_room_w(self, at_s: float) -> F8:
        """What our cars may import together in each group (G,), W, inf = no limit; below zero where others draw too much already."""
        return self.import_limit_w(at_s) - self.loads.most_w(at_s)

    def site_index(self, site_id: SiteId) -> int:
        """The row of a site. One that is not configured (any more) counts as the default site, row 0."""
        return self._index.get(site_id, 0)

    def supply_of(self, site_id: SiteId, station_id: StationId, evse_id: EvseId) -> Supply:
        """On which phases of its site an EVSE is, as configured."""
        for key in ((station_id, evse_id), (station_id, _WHOLE_STATION)):
            if (site_id, *key) in self._supplies:
                return self._supplies[(site_id, *key)]
        return self._supplies.get((site_id, StationId(""), _WHOLE_STATION), Supply.UNKNOWN)

    def pool_mask(self, pool: PoolId) -> B1:
        """Which sites belong to a pool, (S,). Raises KeyError for a pool that no site names."""
        return self._masks[pool]

    def pools(self) -> tuple[PoolId, ...]:
        """All pool names, `all` among them, sorted."""
        return tuple(self._masks)


def _soon(at_s: float, until_s: float | None) -> float:
    return at_s + LEAD_S if until_s is None else max(until_s, at_s + LEAD_S)


def _top_down(feeders: Sequence[Feeder]) -> tuple[Feeder, ...]:
    """Every feeder behind the one that it hangs on."""
    by_name: dict[FeederId, Feeder] = {}
    for feeder in feeders:
        if feeder.feeder_id in by_name:
            raise ValueError(f"the feeder '{feeder.feeder_id}' is given twice")
        by_name[feeder.feeder_id] = feeder
    placed: dict[FeederId, Feeder] = {}
    for feeder in feeders:
        above: list[Feeder] = []
        while feeder.feeder_id not in placed:
            if feeder in above:
                raise ValueError(f"the feeder '{feeder.feeder_id}' hangs on itself")
            above.append(feeder)
            if not feeder.parent:
                break
            if feeder.parent not in by_name:
                raise ValueError(f"the feeder '{feeder.feeder_id}' hangs on '{feeder.parent}', which is not given")
            feeder = by_name[feeder.parent]
        placed.update((one.feeder_id, one) for one in reversed(above))
    return tuple(placed.values())


def _parents(lines: Sequence[Feeder], rows: Sequence[Site], groups: int) -> NDArray[np.intp]:
    index = {line.feeder_id: at for at, line in enumerate(lines)}
    parent = np.full(groups, -1, dtype=np.intp)
    for at, line in enumerate(lines):
        if line.parent:
            parent[at] = index[line.parent]
    for row, site in enumerate(rows):
        if site.feeder:
            if site.feeder not in index:
                raise ValueError(f"the site '{site.site_id}' hangs on the feeder '{site.feeder}', which is not given")
            parent[len(lines) + row] = index[site.feeder]
    parent.setflags(write=False)
    return parent


def _limits_phases(site: Site) -> bool:
    return site.max_export_power_per_phase_w is not None or site.max_import_power_per_phase_w is not None


def _supplies(rows: Sequence[Site]) -> Iterator[tuple[tuple[SiteId, StationId, EvseId], Supply]]:
    for site in rows:
        yield (site.site_id, StationId(""), _WHOLE_STATION), Supply[site.phases.upper()]
        for one in site.evse_phases:
            yield (site.site_id, one.station_id, one.evse_id), Supply[one.phases.upper()]


def _limits(name: str, values: list[float | None]) -> F8:
    limits = np.array([inf if value is None else value for value in values], dtype=np.float64)
    if not bool(np.all(limits >= 0.0)):
        raise ValueError(f"{name} must not be negative")
    limits.setflags(write=False)
    return limits
