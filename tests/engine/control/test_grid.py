"""Which limits bind, in words."""

from typing import Any

import numpy as np

from counterflow.domain.grid import CapacityBound
from counterflow.domain.ids import ALL_SITES, SiteId
from counterflow.domain.resources import Site
from counterflow.engine.control.grid import binding, export_limits, overrun
from counterflow.engine.fleet.topology import Topology


def test_a_limit_that_holds_for_a_time_is_named_while_it_holds(image: Any) -> None:
    picture = image(2, site=[1, 1])
    topology = Topology([Site(site_id=SiteId("depot"), max_export_power_w=80e3)])
    wish_w, given_w = np.array([1e3, 5e3]), np.array([9e3, 1e3])
    assert binding(export_limits(picture, topology).less(given_w), wish_w, topology) == ()
    window = {"from_s": picture.at_s - 60.0, "to_s": picture.at_s + 60.0}
    bound = CapacityBound(program="dso", key="e", pool=ALL_SITES, max_export_w=10e3, **window)
    topology.capacities.set([bound], np.array([0.0, 1.0]), np.zeros(2))
    limits = export_limits(picture, topology)
    assert binding(limits.less(given_w), wish_w, topology) == ("limit 10.0 kW of site depot binds",)
    assert overrun(limits, np.array([9e3, 9e3]), topology, short=True) == ("limit 10.0 kW of site depot binds",)
    assert overrun(export_limits(picture, topology, picture.at_s + 61.0), np.array([9e3, 9e3]), topology, short=True) == ()
