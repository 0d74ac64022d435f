"""Sites as arrays: one grid connection each, with its limits, and the pools they belong to."""

from collections.abc import Sequence
from math import inf

import numpy as np

from counterflow.domain.ids import ALL_SITES, PoolId, SiteId
from counterflow.domain.resources import Site
from counterflow.engine.fleet.snapshot import B1, F8

DEFAULT_SITE = SiteId("default")


class Topology:
    """The sites, immutable. Site 0 is `default`: it is always there, and unlimited unless it is given.

    Arrays are (S,): limits in W, inf where unlimited. Raises ValueError for a site given twice or a negative limit.
    """

    __slots__ = ("_index", "_masks", "max_export_w", "max_import_w", "site_ids", "uncontrolled_load_w")

    def __init__(self, sites: Sequence[Site]) -> None:
        """Take the configured sites, in any order."""
        given: dict[SiteId, Site] = {}
        for site in sites:
            if site.site_id in given:
                raise ValueError(f"the site '{site.site_id}' is given twice")
            given[site.site_id] = site
        default = given.pop(DEFAULT_SITE, Site(site_id=DEFAULT_SITE))
        rows = (default, *given.values())
        self.site_ids: tuple[SiteId, ...] = tuple(site.site_id for site in rows)
        self.max_export_w: F8 = _limits("max_export_power_w", [site.max_export_power_w for site in rows])
        self.max_import_w: F8 = _limits("max_import_power_w", [site.max_import_power_w for site in rows])
        self.uncontrolled_load_w: F8 = _sealed(np.array([site.uncontrolled_load_w for site in rows], dtype=np.float64))
        self._index = {site.site_id: row for row, site in enumerate(rows)}
        names = {ALL_SITES, *(pool for site in rows for pool in site.pools)}
        self._masks: dict[PoolId, B1] = {}
        for pool in sorted(names):
            mask = np.array([site.in_pool(pool) for site in rows], dtype=np.bool_)
            mask.setflags(write=False)
            self._masks[pool] = mask

    def __len__(self) -> int:
        """Number of sites, the default site included."""
        return len(self.site_ids)

    def site_index(self, site_id: SiteId) -> int:
        """The row of a site. One that is not configured (any more) counts as the default site, row 0."""
        return self._index.get(site_id, 0)

    def pool_mask(self, pool: PoolId) -> B1:
        """Which sites belong to a pool, (S,). Raises KeyError for a pool that no site names."""
        return self._masks[pool]

    def pools(self) -> tuple[PoolId, ...]:
        """All pool names, `all` among them, sorted."""
        return tuple(self._masks)


def _limits(name: str, values: list[float | None]) -> F8:
    limits = np.array([inf if value is None else value for value in values], dtype=np.float64)
    if not bool(np.all(limits >= 0.0)):
        raise ValueError(f"{name} must not be negative")
    return _sealed(limits)


def _sealed(values: F8) -> F8:
    values.setflags(write=False)
    return values
