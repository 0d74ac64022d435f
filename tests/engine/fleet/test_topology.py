"""Sites as arrays."""

import numpy as np
import pytest

from counterflow.domain.ids import ALL_SITES, PoolId, SiteId
from counterflow.domain.resources import Site
from counterflow.engine.fleet.topology import Topology


def test_the_default_site_is_always_row_0_and_unlimited() -> None:
    topology = Topology([Site(site_id=SiteId("north"), max_export_power_w=50_000.0, uncontrolled_load_w=100.0)])
    assert topology.site_ids == ("default", "north")
    assert len(topology) == 2
    assert topology.max_export_w.tolist() == [np.inf, 50_000.0]
    assert topology.max_import_w.tolist() == [np.inf, np.inf]
    assert topology.uncontrolled_load_w.tolist() == [0.0, 100.0]
    assert topology.site_index(SiteId("north")) == 1


def test_the_default_site_can_be_given_limits() -> None:
    topology = Topology([Site(site_id=SiteId("a")), Site(site_id=SiteId("default"), max_import_power_w=0.0)])
    assert topology.site_ids == ("default", "a")
    assert topology.max_import_w.tolist() == [0.0, np.inf]


def test_pools_are_named_by_sites_and_all_holds_everything() -> None:
    east = PoolId("east")
    topology = Topology([Site(site_id=SiteId("a"), pools=(east,)), Site(site_id=SiteId("b"))])
    assert topology.pools() == (ALL_SITES, east)
    assert topology.pool_mask(east).tolist() == [False, True, False]
    assert topology.pool_mask(ALL_SITES).tolist() == [True, True, True]


def test_an_unknown_pool_is_a_key_error_and_an_unknown_site_counts_as_the_default() -> None:
    topology = Topology([Site(site_id=SiteId("north"))])
    with pytest.raises(KeyError):
        topology.pool_mask(PoolId("nowhere"))
    assert topology.site_index(SiteId("removed")) == topology.site_index(SiteId("default")) == 0


def test_broken_sites_are_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        Topology([Site(site_id=SiteId("a")), Site(site_id=SiteId("a"))])
    with pytest.raises(ValueError, match="max_export_power_w"):
        Topology([Site(site_id=SiteId("a"), max_export_power_w=-1.0)])


def test_arrays_cannot_be_written() -> None:
    topology = Topology([])
    for array in (topology.max_export_w, topology.max_import_w, topology.uncontrolled_load_w, topology.pool_mask(ALL_SITES)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
