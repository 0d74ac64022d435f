"""The tree of limits for people: what each feeder, site and phase may carry, and what our cars put on it now."""

import numpy as np

from counterflow.app.control_room import ControlRoom
from counterflow.domain.grid import CapacityBound
from counterflow.domain.units import format_instant, format_power
from counterflow.domain.views import LimitView
from counterflow.engine.control.grid import limits_of
from counterflow.engine.fleet.topology import Topology


def limit_views(room: ControlRoom, now_s: float) -> list[LimitView]:
    """Feeders from the top down, sites, then phases."""
    topology, image = room.topology, room.fleet.snapshot(now_s)
    limits = limits_of(image, topology, topology.max_export_w)
    power_w = np.where(image.occupied & ~np.isnan(image.power_w), image.power_w, 0.0)
    exported_w, imported_w = limits.used_w(np.maximum(-power_w, 0.0)), limits.used_w(np.maximum(power_w, 0.0))
    least_w, most_w, read_at_s = topology.loads.least_w(now_s), topology.loads.most_w(now_s), topology.loads.read_at_s(now_s)
    export_w, import_w = topology.export_limit_w(now_s), topology.import_limit_w(now_s)
    return [
        LimitView(
            group=name,
            above=None if topology.parent[at] < 0 else topology.group_names[topology.parent[at]],
            max_export_power_w=_finite(topology.max_export_w[at]),
            max_import_power_w=_finite(topology.max_import_w[at]),
            held_export_power_w=_lower(export_w[at], topology.max_export_w[at]),
            held_import_power_w=_lower(import_w[at], topology.max_import_w[at]),
            held=_held(topology, at, now_s),
            load_least_w=float(least_w[at]),
            load_most_w=float(most_w[at]),
            load_read_at_s=_finite(read_at_s[at]),
            export_power_w=float(exported_w[at]),
            import_power_w=float(imported_w[at]),
        )
        for at, name in enumerate(topology.group_names)
    ]


def _held(topology: Topology, group: int, now_s: float) -> tuple[str, ...]:
    """What grid operators have set on the pools of a site."""
    site = group - topology.first_site
    if not 0 <= site < len(topology):
        return ()
    mine = (bound for bound in topology.capacities.bounds if bound.to_s > now_s and topology.pool_mask(bound.pool)[site])
    return tuple(words_of(bound) for bound in mine)


def words_of(bound: CapacityBound) -> str:
    """`dso, event-7: pool north exports at most 50.0 kW from ... until ...`."""
    sides = (("exports", bound.max_export_w), ("imports", bound.max_import_w))
    limits = " and ".join(f"{verb} at most {format_power(limit_w)}" for verb, limit_w in sides if np.isfinite(limit_w))
    until = f" until {format_instant(bound.to_s)}" if np.isfinite(bound.to_s) else ""
    return f"{bound.program}, {bound.key}: pool {bound.pool} {limits} from {format_instant(bound.from_s)}{until}"


def _lower(held_w: float, always_w: float) -> float | None:
    return float(held_w) if held_w < always_w else None


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
