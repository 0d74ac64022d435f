"""Limits that a grid operator sets on a pool for a time: kept over restarts, shared out over the pool's sites, watched.

Discharge and the paced resume keep inside them (`engine.fleet.capacity`). Cars that charge outside a dispatch are not slowed by us: where
they draw more than a limit on import allows, an alarm says so.
"""

from collections.abc import Iterable, Sequence
from math import inf

import numpy as np

from counterflow.app.control_room import ControlRoom
from counterflow.domain.grid import CapacityBound, ProgramCapacity
from counterflow.domain.ids import PoolId
from counterflow.domain.records import DocumentKind
from counterflow.domain.units import format_instant, format_power
from counterflow.domain.views import Refusal
from counterflow.engine.control.targets import invalid
from counterflow.engine.fleet.snapshot import F8
from counterflow.engine.ports import Journal

_OVER_FRAC = 0.02
_OVER_W = 500.0
"""More than this above a limit is worth an alarm."""


class CapacityDesk:
    """The limits of all programs. `refresh` from time to time: what is over is forgotten, and shares follow the cars."""

    def __init__(self, room: ControlRoom, journal: Journal) -> None:
        self._room = room
        self._journal = journal
        self._bounds: dict[str, tuple[CapacityBound, ...]] = {}

    def restore(self, now_s: float) -> None:
        """After a start. Limits on pools that are no longer there are forgotten."""
        pools = self._room.topology.pools()
        for program, kept in self._journal.documents(DocumentKind.CAPACITY):
            self._bounds[program] = tuple(bound for bound in kept.bounds if bound.pool in pools)
        self.refresh(now_s)

    def of(self, program: str) -> Sequence[CapacityBound]:
        """The limits of a program, in force or to come."""
        return self._bounds.get(program, ())

    def set(self, program: str, bounds: Iterable[CapacityBound], now_s: float) -> bool | Refusal:
        """These limits, and no others, are the program's. Returns whether that is news."""
        wanted = tuple(sorted((bound for bound in bounds if bound.to_s > now_s), key=lambda bound: (bound.from_s, bound.key)))
        for bound in wanted:
            if not (bound.from_s < bound.to_s and bound.max_export_w >= 0.0 and bound.max_import_w >= 0.0):
                return invalid(f"The limit '{bound.key}' makes no sense.", "Name a limit of zero or more, and an end behind its begin.")
        if wanted == self._bounds.get(program, ()):
            return False
        self._keep(program, wanted)
        self.refresh(now_s)
        return True

    def refresh(self, now_s: float) -> None:
        """Forget what is over, and share the limits out by the cars that are there now."""
        if not self._bounds and not self._room.topology.capacities.bounds:
            return
        for program, bounds in tuple(self._bounds.items()):
            left = tuple(bound for bound in bounds if bound.to_s > now_s)
            if left != bounds:
                self._keep(program, left)
        topology, image = self._room.topology, self._room.fleet.snapshot(now_s)
        site = np.maximum(image.site, 0).astype(np.intp)

        def by_site(power_w: F8) -> F8:
            weights = np.where(image.occupied, np.nan_to_num(power_w), 0.0)
            return np.bincount(site, weights=weights, minlength=len(topology)).astype(np.float64)

        every = tuple(bound for bounds in self._bounds.values() for bound in bounds)
        topology.capacities.set(every, by_site(image.max_discharge_w), by_site(image.max_charge_w))

    def alarms(self, now_s: float) -> list[tuple[CapacityBound, str]]:
        """Limits in force that meters say are not kept, each with a sentence."""
        found = []
        for bounds in self._bounds.values():
            for bound in bounds:
                if bound.from_s <= now_s < bound.to_s:
                    sentence = self._over(bound, now_s)
                    if sentence:
                        found.append((bound, sentence))
        return found

    def _over(self, bound: CapacityBound, now_s: float) -> str:
        power_w = self._net_w(bound.pool, now_s)
        for limit_w, flows_w, verb in ((bound.max_import_w, power_w, "draws"), (bound.max_export_w, -power_w, "gives")):
            if limit_w < inf and flows_w > limit_w * (1.0 + _OVER_FRAC) + _OVER_W:
                return (
                    f"The pool '{bound.pool}' {verb} {format_power(flows_w)}, above the {format_power(limit_w)} that program "
                    f"'{bound.program}' allows until {format_instant(bound.to_s) if bound.to_s < inf else 'further notice'}."
                )
        return ""

    def _net_w(self, pool: PoolId, now_s: float) -> float:
        """By the meters as they stand, import positive."""
        image = self._room.fleet.snapshot(now_s)
        mine = image.occupied & self._room.topology.pool_mask(pool)[np.maximum(image.site, 0)] & ~np.isnan(image.power_w)
        return float(image.power_w[mine].sum())

    def _keep(self, program: str, bounds: tuple[CapacityBound, ...]) -> None:
        if bounds:
            self._bounds[program] = bounds
            self._journal.put(DocumentKind.CAPACITY, program, ProgramCapacity(program=program, bounds=bounds))
        else:
            self._bounds.pop(program, None)
            self._journal.delete(DocumentKind.CAPACITY, program)
