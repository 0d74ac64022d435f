"""Loads that are not ours: what is counted of them, at least and at most."""

from typing import Any

import numpy as np
import pytest

from counterflow.domain.ids import FeederId, SiteId
from counterflow.domain.resources import Feeder, Site
from counterflow.domain.units import DAY_S
from counterflow.engine.fleet.loads import FRESH_S
from counterflow.engine.fleet.topology import Topology

MIDNIGHT_S = 20_000 * DAY_S


def depot(**given: Any) -> Topology:
    """A site of 50 kW both ways on a feeder with 1 kW of other load."""
    site = Site(site_id=SiteId("a"), feeder=FeederId("f"), max_export_power_w=50_000.0, max_import_power_w=50_000.0, **given)
    feeder = Feeder(feeder_id=FeederId("f"), max_export_power_w=80_000.0, max_import_power_w=80_000.0, uncontrolled_load_w=1_000.0)
    return Topology([site], [feeder])


def rooms_kw(topology: Topology, at_s: float) -> tuple[list[float], list[float]]:
    """Export and import room of the feeder and of the site."""
    of = [topology.group_names.index("feeder f"), topology.group_names.index("site a")]
    return (topology.export_room_w(at_s)[of] / 1e3).tolist(), (topology.import_room_w(at_s)[of] / 1e3).tolist()


def test_a_load_makes_room_for_export_and_takes_room_from_import_up_to_the_top() -> None:
    assert rooms_kw(depot(uncontrolled_load_w=5_000.0), MIDNIGHT_S) == ([86.0, 55.0], [74.0, 45.0])
    assert rooms_kw(depot(uncontrolled_load_w=-20_000.0), MIDNIGHT_S) == ([61.0, 30.0], [99.0, 70.0])


def test_of_a_series_the_least_counts_for_export_and_the_most_for_import() -> None:
    topology = depot(uncontrolled_load_p5_w=(2_000.0, -8_000.0), uncontrolled_load_p95_w=(9_000.0, 4_000.0))
    assert rooms_kw(topology, MIDNIGHT_S + 6 * 3600.0) == ([83.0, 52.0], [70.0, 41.0])
    assert rooms_kw(topology, MIDNIGHT_S + 18 * 3600.0) == ([73.0, 42.0], [75.0, 46.0])
    assert rooms_kw(topology, MIDNIGHT_S + DAY_S) == rooms_kw(topology, MIDNIGHT_S)


def test_a_fresh_reading_counts_with_its_scatter_and_an_old_one_does_not() -> None:
    topology = depot(uncontrolled_load_w=5_000.0)
    before = rooms_kw(topology, MIDNIGHT_S)
    topology.loads.note("site a", 20_000.0, MIDNIGHT_S)
    assert rooms_kw(topology, MIDNIGHT_S + 1.0) == ([99.0, 68.0], [57.0, 28.0])
    topology.loads.note("site a", 1_000.0, MIDNIGHT_S - 60.0)
    assert rooms_kw(topology, MIDNIGHT_S + 1.0) == ([99.0, 68.0], [57.0, 28.0]), "an older reading came late"
    topology.loads.note("site a", float("nan"), MIDNIGHT_S + 10.0)
    assert rooms_kw(topology, MIDNIGHT_S + 11.0) == ([99.0, 68.0], [57.0, 28.0])
    assert rooms_kw(topology, MIDNIGHT_S + FRESH_S) == before
    with pytest.raises(KeyError):
        topology.loads.note("site nowhere", 1.0, MIDNIGHT_S)


def test_of_a_phase_it_is_not_known_what_of_the_load_is_on_it() -> None:
    topology = depot(
        max_export_power_per_phase_w=10_000.0,
        max_import_power_per_phase_w=12_000.0,
        uncontrolled_load_p5_w=(-3_000.0,),
        uncontrolled_load_p95_w=(4_000.0,),
    )
    phases = slice(topology.group_names.index("phase L1 of site a"), None)
    assert topology.export_room_w(MIDNIGHT_S)[phases].tolist() == [7_000.0] * 3
    assert topology.import_room_w(MIDNIGHT_S)[phases].tolist() == [8_000.0] * 3


@pytest.mark.parametrize(
    "given",
    [
        {"uncontrolled_load_p5_w": (1.0,)},
        {"uncontrolled_load_p5_w": (1.0,) * 7, "uncontrolled_load_p95_w": (2.0,) * 7},
        {"uncontrolled_load_p5_w": (3.0,), "uncontrolled_load_p95_w": (2.0,)},
        {"uncontrolled_load_p5_w": (np.nan,), "uncontrolled_load_p95_w": (2.0,)},
    ],
)
def test_a_series_that_cannot_be_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="site a needs"):
        depot(**given)
