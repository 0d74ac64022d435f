"""Sites as arrays."""

import numpy as np
import pytest

from counterflow.domain.ids import ALL_SITES, EvseId, FeederId, PoolId, SiteId, StationId
from counterflow.domain.resources import EvsePhase, Feeder, Site, Supply
from counterflow.engine.fleet.topology import Topology


def test_the_default_site_is_always_row_0_and_unlimited() -> None:
    topology = Topology([Site(site_id=SiteId("north"), max_export_power_w=50_000.0, uncontrolled_load_w=100.0)])
    assert topology.site_ids == ("default", "north")
    assert len(topology) == 2
    assert topology.max_export_w.tolist() == [np.inf, 50_000.0]
    assert topology.max_import_w.tolist() == [np.inf, np.inf]
    assert topology.export_room_w(0.0).tolist() == [np.inf, 50_100.0]
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
    with pytest.raises(ValueError, match="max_export_power must not"):
        Topology([Site(site_id=SiteId("a"), max_export_power_w=-1.0)])


def test_arrays_cannot_be_written() -> None:
    topology = Topology([])
    for array in (topology.max_export_w, topology.max_import_w, topology.parent, topology.pool_mask(ALL_SITES)):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_feeders_stand_above_their_sites_whatever_their_order() -> None:
    low, high = FeederId("low"), FeederId("high")
    topology = Topology(
        [Site(site_id=SiteId("a"), feeder=low, max_export_power_per_phase_w=5_000.0), Site(site_id=SiteId("b"), feeder=high)],
        [Feeder(feeder_id=low, parent=high, max_export_power_w=20_000.0), Feeder(feeder_id=high, max_import_power_w=9_000.0)],
    )
    phases = tuple(f"phase {phase} of site a" for phase in ("L1", "L2", "L3"))
    assert topology.group_names == ("feeder high", "feeder low", "site default", "site a", "site b", *phases)
    assert topology.parent.tolist() == [-1, 0, -1, 1, 0, -1, -1, -1]
    assert topology.first_phase.tolist() == [-1, -1, -1, 5, -1, -1, -1, -1]
    assert topology.max_export_w.tolist() == [np.inf, 20_000.0, np.inf, np.inf, np.inf, 5_000.0, 5_000.0, 5_000.0]
    assert topology.max_import_w.tolist() == [9_000.0] + 7 * [np.inf]
    assert topology.phased


@pytest.mark.parametrize(
    ("feeders", "words"),
    [
        ([("a", "b"), ("b", "a")], "hangs on itself"),
        ([("a", "a")], "hangs on itself"),
        ([("a", "x")], "which is not given"),
        ([("a", ""), ("a", "")], "twice"),
    ],
)
def test_feeders_that_make_no_tree_are_refused(feeders: list[tuple[str, str]], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Topology([], [Feeder(feeder_id=FeederId(name), parent=FeederId(above)) for name, above in feeders])


def test_a_site_on_a_feeder_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="site 'a' hangs on the feeder 'x'"):
        Topology([Site(site_id=SiteId("a"), feeder=FeederId("x"))])


def test_the_phases_of_an_evse_are_those_of_the_evse_then_its_station_then_its_site() -> None:
    one, two = StationId("one"), StationId("two")
    site = Site(
        site_id=SiteId("a"),
        phases="three_phase",
        evse_phases=(EvsePhase(station_id=one, phases="L2"), EvsePhase(station_id=one, evse_id=EvseId(2), phases="L3")),
    )
    topology = Topology([site])
    assert topology.supply_of(site.site_id, one, EvseId(1)) is Supply.L2
    assert topology.supply_of(site.site_id, one, EvseId(2)) is Supply.L3
    assert topology.supply_of(site.site_id, two, EvseId(1)) is Supply.THREE_PHASE
    assert topology.supply_of(SiteId("default"), two, EvseId(1)) is Supply.UNKNOWN
