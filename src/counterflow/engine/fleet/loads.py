"""What draws at feeders and sites beside our cars: a constant, a series over the day, or a reading that is still fresh.

A load makes room for export and takes room from import, so the least that it may be counts for the one and the most for the other.
A reading counts while it is fresh; then what is configured does.
"""

from collections.abc import Sequence
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from counterflow.domain.resources import GridConnection
from counterflow.domain.units import DAY_S
from counterflow.engine.fleet.snapshot import F8

STEPS = 96
"""Steps of a day; a series must divide them evenly."""
FRESH_S = 300.0
"""So long a reading of a load counts."""
SCATTER = 0.1
"""A load may differ from its last reading by this share."""


class Loads:
    """Loads of all groups (G,), W, import positive, each with all that stands below it. What loads a single phase is not known."""

    __slots__ = ("_depth", "_first_phase", "_index", "_least_w", "_most_w", "_parent", "_reading_at_s", "_reading_w")

    def __init__(
        self,
        connections: Sequence[GridConnection],
        names: Sequence[str],
        parent: NDArray[np.intp],
        first_phase: NDArray[np.intp],
    ) -> None:
        """`connections` are the feeders and sites; `names`, `parent` and `first_phase` (G,) go on with the phases."""
        groups = len(names)
        self._index = {name: at for at, name in enumerate(names[: len(connections)])}
        self._parent, self._first_phase = parent, first_phase
        self._depth = _depth(parent)
        series = any(connection.uncontrolled_load_p5_w for connection in connections)
        steps = STEPS if series else 1
        self._least_w, self._most_w = np.zeros((steps, groups)), np.zeros((steps, groups))
        for at, connection in enumerate(connections):
            self._least_w[:, at], self._most_w[:, at] = _laid_out(connection, names[at], steps)
        self._reading_w, self._reading_at_s = np.zeros(groups), np.full(groups, -np.inf)

    def note(self, name: str, power_w: float, at_s: float) -> None:
        """The load of a feeder or site (its name in `group_names`) was read. Raises KeyError for a name that is not known."""
        at = self._index[name]
        if isfinite(power_w) and at_s >= self._reading_at_s[at]:
            self._reading_w[at], self._reading_at_s[at] = power_w, at_s

    def read_at_s(self, at_s: float) -> F8:
        """When the load of each group was read (G,), NaN where no reading counts at `at_s`."""
        fresh = (at_s - self._reading_at_s >= -FRESH_S) & (at_s - self._reading_at_s < FRESH_S)
        return np.where(fresh, self._reading_at_s, np.nan)

    def least_w(self, at_s: float) -> F8:
        """The least that each group draws (G,); of a phase what would be generated, if all of it were on this phase."""
        return self._summed(self._own(self._least_w, at_s, -1.0), at_s, -1.0)

    def most_w(self, at_s: float) -> F8:
        """The most that each group draws (G,); of a phase all of it."""
        return self._summed(self._own(self._most_w, at_s, 1.0), at_s, 1.0)

    def _own(self, configured_w: F8, at_s: float, side: float) -> F8:
        step = int((at_s % DAY_S) / DAY_S * len(configured_w))
        own_w: F8 = configured_w[step]
        fresh = (at_s - self._reading_at_s >= -FRESH_S) & (at_s - self._reading_at_s < FRESH_S)
        if fresh.any():
            own_w = np.where(fresh, self._reading_w + side * SCATTER * np.abs(self._reading_w), own_w)
        return own_w

    def _summed(self, own_w: F8, at_s: float, side: float) -> F8:
        total_w: F8 = own_w.copy()
        for depth in range(int(self._depth.max(initial=0)), 0, -1):
            here = np.flatnonzero(self._depth == depth)
            total_w += np.bincount(self._parent[here], weights=total_w[here], minlength=len(total_w))
        for leaf in np.flatnonzero(self._first_phase >= 0).tolist():
            first = self._first_phase[leaf]
            total_w[first : first + 3] = side * max(0.0, side * float(own_w[leaf]))
        return total_w


def _laid_out(connection: GridConnection, name: str, steps: int) -> tuple[F8, F8]:
    least, most = connection.uncontrolled_load_p5_w, connection.uncontrolled_load_p95_w
    if not least and not most:
        constant_w = np.full(steps, connection.uncontrolled_load_w)
        return constant_w, constant_w
    if len(least) != len(most) or STEPS % len(least):
        raise ValueError(
            f"the {name} needs uncontrolled_load_p5_w and uncontrolled_load_p95_w of the same length, which divides {STEPS} (24 = hours)"
        )
    least_w = np.repeat(np.array(least, dtype=np.float64), STEPS // len(least))
    most_w = np.repeat(np.array(most, dtype=np.float64), STEPS // len(most))
    if not (np.isfinite(least_w).all() and np.isfinite(most_w).all() and (least_w <= most_w).all()):
        raise ValueError(f"the {name} needs numbers of watts in its load series, p5 nowhere above p95")
    return least_w, most_w


def _depth(parent: NDArray[np.intp]) -> NDArray[np.intp]:
    depth = np.zeros(len(parent), dtype=np.intp)
    above = parent
    while (inside := above >= 0).any():
        depth += inside
        above = np.where(inside, parent[above], -1)
    return depth
