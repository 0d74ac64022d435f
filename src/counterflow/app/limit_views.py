"""The tree of limits for people: what each feeder, site and phase may carry, and what our cars put on it now."""

import numpy as np

from counterflow.app.control_room import ControlRoom
from counterflow.domain.views import LimitView
from counterflow.engine.control.grid import limits_of


def limit_views(room: ControlRoom, now_s: float) -> list[LimitView]:
    """Feeders from the top down, sites, then phases."""
    topology, image = room.topology, room.fleet.snapshot(now_s)
    limits = limits_of(image, topology, topology.max_export_w)
    power_w = np.where(image.occupied & ~np.isnan(image.power_w), image.power_w, 0.0)
    exported_w, imported_w = limits.used_w(np.maximum(-power_w, 0.0)), limits.used_w(np.maximum(power_w, 0.0))
    least_w, most_w, read_at_s = topology.loads.least_w(now_s), topology.loads.most_w(now_s), topology.loads.read_at_s(now_s)
    return [
        LimitView(
            group=name,
            above=None if topology.parent[at] < 0 else topology.group_names[topology.parent[at]],
            max_export_power_w=_finite(topology.max_export_w[at]),
            max_import_power_w=_finite(topology.max_import_w[at]),
            load_least_w=float(least_w[at]),
            load_most_w=float(most_w[at]),
            load_read_at_s=_finite(read_at_s[at]),
            export_power_w=float(exported_w[at]),
            import_power_w=float(imported_w[at]),
        )
        for at, name in enumerate(topology.group_names)
    ]


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
