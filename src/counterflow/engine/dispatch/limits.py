"""Limits of groups of cars: a laminar tree (feeders of any depth, sites), and beneath a site its three phases.

Both projections work from the deepest level upward. On a laminar tree that is exact: what a group lets through is decided by its
own limit and those below it, and the limits above only cut further in the same order. Phases are no part of the tree, since a
three-phase car loads all of them; they are settled first, site by site (docs/limits.md).
"""

from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from counterflow.engine.dispatch.phases import fill_phases, phases_in_order, through_phases_w
from counterflow.engine.dispatch.water import fill_groups, first_of
from counterflow.engine.fleet.snapshot import B1, F8, I1
from counterflow.engine.fleet.topology import PHASE_SHARES

Rows = NDArray[np.intp]


class Limits(Struct, frozen=True, kw_only=True):
    """`group` (N,) is the leaf group of each row; `cap_w` (G,) what each group may give (inf = unlimited); `parent` (G,) -1 = none.

    A parent has a smaller index than its children, so that there can be no ring. `first_phase` (G,) names the group of L1 of a leaf
    whose phases are limited, L2 and L3 follow it, -1 = they are not; `supply` (N,) is how each row loads them (`Supply`). Groups of
    phases have no parent. None = nowhere.
    """

    group: Rows
    cap_w: F8
    parent: Rows
    first_phase: Rows | None = None
    supply: I1 | None = None
    whole_w: F8 | None = None
    """The limit of each group before anything was taken off or put on (G,), for words."""

    def __post_init__(self) -> None:
        groups = len(self.cap_w)
        if self.parent.shape != (groups,) or np.isnan(self.cap_w).any() or (self.cap_w < 0.0).any():
            raise ValueError("every group needs a limit of zero or more, and a parent or -1")
        if (self.parent >= np.arange(groups)).any() or (self.parent < -1).any():
            raise ValueError("a parent must have a smaller index than its children")
        if self.group.size and not (int(self.group.min()) >= 0 and int(self.group.max()) < groups):
            raise ValueError("a row names a group that does not exist")
        if self.first_phase is not None and (self.supply is None or self.supply.shape != self.group.shape):
            raise ValueError("where phases are limited every row needs a supply")

    @classmethod
    def flat(cls, site: NDArray[np.integer], cap_w: F8) -> Self:
        """One level: each row at a site, each site with a limit."""
        return cls(group=site.astype(np.intp), cap_w=cap_w, parent=np.full(len(cap_w), -1, dtype=np.intp))

    def of_rows(self, rows: Rows) -> "Limits":
        """The same tree for a selection of rows."""
        supply = None if self.supply is None else self.supply[rows]
        return Limits(
            group=self.group[rows],
            cap_w=self.cap_w,
            parent=self.parent,
            first_phase=self.first_phase,
            supply=supply,
            whole_w=self.whole_w,
        )

    def levels(self) -> list[Rows]:
        """For each depth, deepest first: the group of every row at that depth (N,), -1 where the row's branch is shorter."""
        depth = self._depth()
        levels: list[Rows] = []
        current = self.group.copy()
        for at in range(int(depth.max(initial=-1)), -1, -1):
            here = (current >= 0) & (depth[current] == at)
            levels.append(np.where(here, current, -1))
            current = np.where(here, self.parent[current], current)
        return levels

    def used_w(self, power_w: F8) -> F8:
        """What rows that give `power_w` (N,) use of every group (G,)."""
        total_w: F8 = np.bincount(self.group, weights=power_w, minlength=len(self.cap_w)).astype(np.float64)
        depth = self._depth()
        for at in range(int(depth.max(initial=0)), 0, -1):
            groups = np.flatnonzero(depth == at)
            total_w += np.bincount(self.parent[groups], weights=total_w[groups], minlength=len(total_w))
        if self.first_phase is not None and self.supply is not None:
            first = self.first_phase[self.group]
            rows = np.flatnonzero((first >= 0) & (power_w != 0.0))
            shares = PHASE_SHARES[self.supply[rows]]
            for phase in range(3):
                total_w += np.bincount(first[rows] + phase, weights=power_w[rows] * shares[:, phase], minlength=len(total_w))
        return total_w

    def less(self, power_w: F8) -> "Limits":
        """The limits with what rows use at `power_w` (N,) already taken off."""
        if self.unlimited:
            return self
        return Limits(
            group=self.group,
            cap_w=np.maximum(0.0, self.cap_w - self.used_w(power_w)),
            parent=self.parent,
            first_phase=self.first_phase,
            supply=self.supply,
            whole_w=self.whole_w,
        )

    def least_above(self, value: F8) -> F8:
        """The least `value` (G,) of the groups that each row uses (N,), for each watt of it."""
        at = self.group
        least: F8 = value[at].astype(np.float64)
        while (inside := (at := np.where(at >= 0, self.parent[at], -1)) >= 0).any():
            least = np.where(inside, np.minimum(least, value[at]), least)
        if self.first_phase is not None and self.supply is not None:
            first = self.first_phase[self.group]
            for phase in range(3):
                loads = (first >= 0) & (PHASE_SHARES[self.supply, phase] > 0.0)
                least = np.where(loads, np.minimum(least, value[first + phase]), least)
        return least

    def binding_group(self) -> Rows:
        """The nearest limited group above each row, itself a leaf or not (N,), -1 = none; rows that load phases differently differ."""
        at = self.group.copy()
        while True:
            open_rows = (at >= 0) & np.isinf(self.cap_w[at])
            if not open_rows.any():
                break
            at = np.where(open_rows, self.parent[at], at)
        if self.first_phase is None or self.supply is None:
            return at
        groups, kinds = len(self.cap_w), len(PHASE_SHARES)
        return np.where(self.first_phase[self.group] >= 0, groups + self.group * kinds + self.supply, at)

    @property
    def unlimited(self) -> bool:
        """No group has a limit."""
        return bool(np.isinf(self.cap_w).all())

    def _depth(self) -> Rows:
        """How many groups are above each group, (G,)."""
        depth = np.zeros(len(self.cap_w), dtype=np.intp)
        above = self.parent
        while (inside := above >= 0).any():
            depth += inside
            above = np.where(inside, self.parent[above], -1)
        return depth


def cap_proportionally(caps_w: F8, weights: F8, limits: Limits) -> F8:
    """Caps (N,) after every group was filled in proportion to `weights` up to its limit: `min(u, w * lambda_g)`, bottom-up."""
    if limits.unlimited:
        return caps_w
    capped_w = caps_w.copy()
    if limits.first_phase is not None and limits.supply is not None:
        fill_phases(capped_w, weights, limits.first_phase[limits.group], limits.supply, limits.cap_w)
    for group in limits.levels():
        rows = _bound_rows(capped_w, group, limits.cap_w)
        if rows.size:
            capped_w[rows] = fill_groups(capped_w[rows], weights[rows], group[rows], limits.cap_w)
    return capped_w


def cap_in_order(caps_w: F8, rank: F8, limits: Limits) -> F8:
    """Caps (N,) after every group was filled in the order of `rank` (least first) up to its limit."""
    if limits.unlimited:
        return caps_w
    capped_w = caps_w.copy()
    if limits.first_phase is not None and limits.supply is not None:
        phases_in_order(capped_w, rank, limits.first_phase[limits.group], limits.supply, limits.cap_w)
    for group in limits.levels():
        rows = _bound_rows(capped_w, group, limits.cap_w)
        if rows.size == 0:
            continue
        rows = rows[np.lexsort((rank[rows], group[rows]))]
        here, power_w = group[rows], capped_w[rows]
        before_w = np.cumsum(power_w) - power_w
        before_w -= before_w[first_of(here)]
        capped_w[rows] = np.clip(limits.cap_w[here] - before_w, 0.0, power_w)
    return capped_w


def total_capacity_w(caps_w: F8, limits: Limits) -> float:
    """What all rows together can give inside the tree, W."""
    if limits.unlimited:
        return float(caps_w.sum())
    groups = len(limits.cap_w)
    through_w: F8 = np.bincount(limits.group, weights=caps_w, minlength=groups).astype(np.float64)
    if limits.first_phase is not None and limits.supply is not None:
        through_w = through_phases_w(caps_w, limits.group, limits.supply, limits.first_phase, limits.cap_w)
    total_w = 0.0
    for group in range(groups - 1, -1, -1):
        let_w = min(float(through_w[group]), float(limits.cap_w[group]))
        above = int(limits.parent[group])
        if above < 0:
            total_w += let_w
        else:
            through_w[above] += let_w
    return total_w


def _bound_rows(caps_w: F8, group: Rows, cap_w: F8) -> Rows:
    """Rows of the groups whose limit binds at all; the others need no work."""
    inside = group >= 0
    sums_w = np.bincount(group[inside], weights=caps_w[inside], minlength=len(cap_w))
    binds: B1 = sums_w > cap_w
    if not binds.any():
        return np.zeros(0, dtype=np.intp)
    return np.flatnonzero(inside & binds[group] & (caps_w > 0.0))
