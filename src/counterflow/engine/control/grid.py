"""The tree of limits over the rows of an image: what may be given, what is used, and which limit binds."""

import numpy as np
from msgspec.structs import replace

from counterflow.domain.units import format_power
from counterflow.engine.dispatch.limits import Limits
from counterflow.engine.fleet.snapshot import F8, FleetImage
from counterflow.engine.fleet.topology import Topology

_FULL_SHARE = 0.01
_FULL_W = 300.0
"""A limit binds when less than this of it is left, and some car could use more."""


def limits_of(image: FleetImage, topology: Topology, room_w: F8) -> Limits:
    """The tree over the image's rows, with `room_w` (G,) in each group."""
    return Limits(
        group=image.site.astype(np.intp) + topology.first_site,
        cap_w=room_w,
        parent=topology.parent,
        first_phase=topology.first_phase if topology.phased else None,
        supply=image.supply if topology.phased else None,
        whole_w=topology.export_limit_w(image.at_s),
    )


def export_limits(image: FleetImage, topology: Topology, from_s: float | None = None, until_s: float | None = None) -> Limits:
    """What our cars may export together now, or at any time between `from_s` and `until_s`."""
    at_s = image.at_s if from_s is None else from_s
    limits = limits_of(image, topology, np.maximum(0.0, topology.export_room_w(at_s, until_s)))
    return replace(limits, whole_w=topology.export_limit_w(at_s, until_s))


def binding(left: Limits, wish_w: F8, topology: Topology) -> tuple[str, ...]:
    """The limits that bind, in words: what is `left` of them is next to nothing, while rows have a `wish_w` (N,) to give more."""
    finite = np.isfinite(left.cap_w)
    if not finite.any():
        return ()
    full = left.cap_w < np.maximum(_FULL_W, _FULL_SHARE * np.where(finite, _whole_w(left), 0.0))
    groups = np.flatnonzero(finite & full & (left.used_w(wish_w) >= _FULL_W))
    return tuple(f"{_named(left, topology, group)} binds" for group in groups.tolist())


def overrun(limits: Limits, wish_w: F8, topology: Topology, *, short: bool) -> tuple[str, ...]:
    """The limits, in words, that are below what rows could give (N,). Only an order that is `short` of power is bound by them."""
    if limits.unlimited:
        return ()
    groups = np.flatnonzero(limits.used_w(wish_w) > limits.cap_w + _FULL_W)
    says = "binds" if short else "is below what its cars could give, but not in the way of this order"
    return tuple(f"{_named(limits, topology, group)} {says}" for group in groups.tolist())


def _named(limits: Limits, topology: Topology, group: int) -> str:
    """`limit 60.0 kW of site depot`."""
    return f"limit {format_power(float(_whole_w(limits)[group]))} of {topology.group_names[group]}"


def _whole_w(limits: Limits) -> F8:
    return limits.cap_w if limits.whole_w is None else limits.whole_w
