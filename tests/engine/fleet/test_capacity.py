"""Limits that hold for a time, set by a grid operator."""

from math import inf

import numpy as np
import pytest

from counterflow.domain.grid import CapacityBound
from counterflow.domain.ids import ALL_SITES, FeederId, PoolId, SiteId
from counterflow.domain.resources import Feeder, Site
from counterflow.engine.fleet.capacity import LEAD_S
from counterflow.engine.fleet.topology import Topology

T0 = 1_800_000_000.0
EAST = PoolId("east")


def topology() -> Topology:
    sites = [
        Site(site_id=SiteId("a"), pools=(EAST,), max_export_power_w=80e3, feeder=FeederId("f")),
        Site(site_id=SiteId("b"), pools=(EAST,)),
    ]
    return Topology(sites, [Feeder(feeder_id=FeederId("f"))])


def bound(pool: PoolId = EAST, **limits: float) -> CapacityBound:
    window = {"from_s": T0, "to_s": T0 + 3600.0}
    return CapacityBound(program="north", key="e-1", pool=pool, **(window | limits))


def set_on(grid: Topology, *bounds: CapacityBound, give_w: tuple[float, ...] = (0, 0, 0), take_w: tuple[float, ...] = (0, 0, 0)) -> None:
    grid.capacities.set(bounds, np.array(give_w, dtype=np.float64), np.array(take_w, dtype=np.float64))


def test_a_limit_holds_for_its_time_and_shortly_before() -> None:
    grid = topology()
    set_on(grid, bound(max_export_w=60e3), give_w=(9.0, 1.0, 2.0))
    assert grid.group_names == ("feeder f", "site default", "site a", "site b")
    free = [inf, inf, 80e3, inf]
    held = [inf, inf, 20e3, 40e3]
    assert grid.export_room_w(T0 - LEAD_S - 1.0).tolist() == free
    assert grid.export_room_w(T0 - LEAD_S).tolist() == held
    assert grid.export_room_w(T0 + 3599.0).tolist() == held
    assert grid.export_room_w(T0 + 3600.0).tolist() == free
    assert grid.export_room_w(T0 - 600.0, T0 + 60.0).tolist() == held, "a window that meets it"
    assert grid.export_room_w(T0 - 600.0, T0 - 60.0).tolist() == free


def test_it_narrows_the_limit_of_a_site_and_never_widens_it() -> None:
    grid = topology()
    set_on(grid, bound(max_export_w=1e6))
    assert grid.export_room_w(T0).tolist() == [inf, inf, 80e3, 500e3]


def test_the_tightest_of_several_holds_and_sides_are_apart() -> None:
    grid = topology()
    set_on(grid, bound(ALL_SITES, max_export_w=30e3), bound(max_export_w=40e3), bound(max_import_w=10e3), take_w=(1, 1, 3))
    assert grid.export_limit_w(T0).tolist() == [inf, 10e3, 10e3, 10e3]
    assert grid.import_limit_w(T0).tolist() == [inf, inf, 2.5e3, 7.5e3]
    assert grid.limits_import
    set_on(grid)
    assert grid.export_limit_w(T0).tolist() == [inf, inf, 80e3, inf]
    assert not grid.limits_import


def test_a_limit_of_zero_is_a_limit_and_a_pool_that_is_not_there_an_error() -> None:
    grid = topology()
    set_on(grid, bound(max_export_w=0.0))
    assert grid.export_limit_w(T0).tolist() == [inf, inf, 0.0, 0.0]
    with pytest.raises(KeyError):
        set_on(grid, bound(PoolId("nowhere"), max_export_w=0.0))
