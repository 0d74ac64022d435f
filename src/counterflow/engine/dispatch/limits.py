"""Export limits of groups of cars: a laminar tree (site today; feeder above it is a change of the arrays, not of the code).

Both projections work from the deepest level upward. On a laminar tree that is exact: what a group lets through is decided by its
own limit and those below it, and the limits above only cut further in the same order.
"""

from typing import Self

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from counterflow.engine.fleet.snapshot import B1, F8

Rows = NDArray[np.intp]


class Limits(Struct, frozen=True, kw_only=True):
    """`group` (N,) is the leaf group of each row; `cap_w` (G,) what each group may export (inf = unlimited); `parent` (G,) -1 = none.

    A parent has a smaller index than its children, so that there can be no ring.
    """

    group: Rows
    cap_w: F8
    parent: Rows

    def __post_init__(self) -> None:
        groups = len(self.cap_w)
        if self.parent.shape != (groups,) or np.isnan(self.cap_w).any() or (self.cap_w < 0.0).any():
            raise ValueError("every group needs a limit of zero or more, and a parent or -1")
        if (self.parent >= np.arange(groups)).any() or (self.parent < -1).any():
            raise ValueError("a parent must have a smaller index than its children")
        if self.group.size and not (int(self.group.min()) >= 0 and int(self.group.max()) < groups):
            raise ValueError("a row names a group that does not exist")

    @classmethod
    def flat(cls, site: NDArray[np.integer], cap_w: F8) -> Self:
        """One level: each row at a site, each site with a limit."""
        return cls(group=site.astype(np.intp), cap_w=cap_w, parent=np.full(len(cap_w), -1, dtype=np.intp))

    def of_rows(self, rows: Rows) -> "Limits":
        """The same tree for a selection of rows."""
        return Limits(group=self.group[rows], cap_w=self.cap_w, parent=self.parent)

    def levels(self) -> list[Rows]:
        """For each depth, deepest first: the group of every row at that depth (N,), -1 where the row's branch is shorter."""
        depth = np.zeros(len(self.cap_w), dtype=np.intp)
        for group, above in enumerate(self.parent.tolist()):
            depth[group] = 0 if above < 0 else depth[above] + 1
        levels: list[Rows] = []
        current = self.group.copy()
        for at in range(int(depth.max(initial=-1)), -1, -1):
            here = (current >= 0) & (depth[current] == at)
            levels.append(np.where(here, current, -1))
            current = np.where(here, self.parent[current], current)
        return levels

    @property
    def unlimited(self) -> bool:
        """No group has a limit."""
        return bool(np.isinf(self.cap_w).all())


def cap_proportionally(caps_w: F8, weights: F8, limits: Limits) -> F8:
    """Caps (N,) after every group was filled in proportion to `weights` up to its limit: `min(u, w * lambda_g)`, bottom-up."""
    if limits.unlimited:
        return caps_w
    capped_w = caps_w.copy()
    for group in limits.levels():
        rows = _bound_rows(capped_w, group, limits.cap_w)
        if rows.size:
            capped_w[rows] = _fill_groups(capped_w[rows], weights[rows], group[rows], limits.cap_w)
    return capped_w


def cap_in_order(caps_w: F8, rank: F8, limits: Limits) -> F8:
    """Caps (N,) after every group was filled in the order of `rank` (least first) up to its limit."""
    if limits.unlimited:
        return caps_w
    capped_w = caps_w.copy()
    for group in limits.levels():
        rows = _bound_rows(capped_w, group, limits.cap_w)
        if rows.size == 0:
            continue
        rows = rows[np.lexsort((rank[rows], group[rows]))]
        here, power_w = group[rows], capped_w[rows]
        before_w = np.cumsum(power_w) - power_w
        before_w -= before_w[_first_of(here)]
        capped_w[rows] = np.clip(limits.cap_w[here] - before_w, 0.0, power_w)
    return capped_w


def total_capacity_w(caps_w: F8, limits: Limits) -> float:
    """What all rows together can give inside the tree, W."""
    if limits.unlimited:
        return float(caps_w.sum())
    groups = len(limits.cap_w)
    through_w = np.bincount(limits.group, weights=caps_w, minlength=groups)
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


def _fill_groups(caps_w: F8, weights: F8, group: Rows, cap_w: F8) -> F8:
    """Water-fill of every group at once: sort by saturation point, prefix sums, solve for lambda where the limit is met."""
    theta = caps_w / weights
    order = np.lexsort((theta, group))
    u, w, g, t = caps_w[order], weights[order], group[order], theta[order]
    first = _first_of(g)
    filled_w = np.cumsum(u) - u
    filled_w -= filled_w[first]
    weight_before = np.cumsum(w) - w
    weight_before -= weight_before[first]
    totals = np.bincount(g, weights=w, minlength=len(cap_w))
    open_weight = np.maximum(totals[g] - weight_before, w)
    lambdas = (cap_w[g] - filled_w) / open_weight
    # The first row (by theta) that its own lambda does not saturate fixes the group's lambda; it exists, since the limit binds.
    unsaturated = np.flatnonzero(lambdas <= t)
    level = np.full(len(cap_w), np.inf)
    level[g[unsaturated[::-1]]] = lambdas[unsaturated[::-1]]
    filled: F8 = np.minimum(caps_w, weights * np.maximum(level, 0.0)[group])
    return filled


def _first_of(sorted_groups: Rows) -> Rows:
    """Index of the first row of each row's group, rows being sorted by group."""
    starts = np.flatnonzero(np.concatenate([[True], sorted_groups[1:] != sorted_groups[:-1]]))
    return np.repeat(starts, np.diff(np.append(starts, len(sorted_groups))))
