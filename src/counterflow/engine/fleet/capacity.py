"""Limits that hold for a time: what a grid operator lets the sites of a pool export or import together.

They narrow the limits of the sites and never widen them. A pool of several sites hangs on no common line here, so its limit is shared out:
each site gets a share by what its cars could give, or take, and all shares together are the limit.
"""

from collections.abc import Mapping, Sequence
from math import inf

import numpy as np
from msgspec import Struct

from counterflow.domain.grid import CapacityBound
from counterflow.domain.ids import PoolId
from counterflow.engine.fleet.snapshot import B1, F8

LEAD_S = 15.0
"""A limit counts from so long before it begins, since cars need time to follow."""


class _Held(Struct, frozen=True):
    from_s: float
    to_s: float
    export_w: F8
    import_w: F8


class Capacities:
    """The limits in force, and those to come. `masks` says which sites (S,) a pool has; groups stand as in `Topology`."""

    __slots__ = ("_first_site", "_groups", "_held", "_masks", "bounds", "limits_export", "limits_import")

    def __init__(self, masks: Mapping[PoolId, B1], first_site: int, groups: int) -> None:
        self._masks, self._first_site, self._groups = masks, first_site, groups
        self._held: tuple[_Held, ...] = ()
        self.bounds: tuple[CapacityBound, ...] = ()
        """As set last."""
        self.limits_export = self.limits_import = False
        """Whether there is any limit on this side, in force or to come."""

    def set(self, bounds: Sequence[CapacityBound], could_give_w: F8, could_take_w: F8) -> None:
        """These limits, and no others, hold from now on. `could_give_w` and `could_take_w` (S,) weigh the sites of a pool.

        Raises KeyError for a pool that no site names.
        """
        self.bounds = tuple(bounds)
        self._held = tuple(
            _Held(
                bound.from_s,
                bound.to_s,
                self._shared(self._masks[bound.pool], bound.max_export_w, could_give_w),
                self._shared(self._masks[bound.pool], bound.max_import_w, could_take_w),
            )
            for bound in bounds
        )
        self.limits_export = any(bool(np.isfinite(held.export_w).any()) for held in self._held)
        self.limits_import = any(bool(np.isfinite(held.import_w).any()) for held in self._held)

    def export_w(self, at_s: float, until_s: float) -> F8:
        """The tightest limits on export in [at_s, until_s] (G,), W, inf = none."""
        return self._tightest([held.export_w for held in self._at(at_s, until_s)])

    def import_w(self, at_s: float, until_s: float) -> F8:
        """The tightest limits on import in [at_s, until_s] (G,), W, inf = none."""
        return self._tightest([held.import_w for held in self._at(at_s, until_s)])

    def _at(self, at_s: float, until_s: float) -> list[_Held]:
        return [held for held in self._held if held.from_s <= until_s and at_s < held.to_s]

    def _tightest(self, limits_w: list[F8]) -> F8:
        tightest_w: F8 = np.full(self._groups, inf)
        for limit_w in limits_w:
            tightest_w = np.minimum(tightest_w, limit_w)
        return tightest_w

    def _shared(self, mask: B1, limit_w: float, weights_w: F8) -> F8:
        shared_w = np.full(self._groups, inf)
        if limit_w < inf:
            weights = np.where(mask, weights_w, 0.0)
            if not weights.sum() > 0.0:
                weights = mask.astype(np.float64)
            sites = self._first_site + np.flatnonzero(mask)
            shared_w[sites] = limit_w * weights[mask] / weights.sum()
        return shared_w
