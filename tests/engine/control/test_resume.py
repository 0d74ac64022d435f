"""Charging comes back inside every limit on import, those in a hurry first."""

from typing import Any

import numpy as np
import pytest

from counterflow.domain.ids import FeederId, SiteId
from counterflow.domain.resources import Feeder, Site, Supply
from counterflow.engine.control.grid import limits_of
from counterflow.engine.control.resume import ResumeSettings, fallback_power_w, releases_due
from counterflow.engine.fleet.capability import capability
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.topology import Topology

NOW_S = 1_800_000_000.0
STANDING: dict[str, Any] = {"power_w": 0.0, "setpoint_w": 0.0, "hold_until_s": NOW_S - 100.0, "discharge_until_s": NOW_S - 150.0}
"""Cars of 7 kW that stood still under a hold of ours, which is over: their meters show what their fallbacks draw."""


def tree() -> Topology:
    """A line of 56 kW over two feeders with two sites each; one site has phases of 8 kW."""
    line = Feeder(feeder_id=FeederId("line"), max_import_power_w=56_000.0)
    feeders = [Feeder(feeder_id=FeederId(name), parent=line.feeder_id, max_import_power_w=35_000.0) for name in ("f", "g")]
    sites = [
        Site(site_id=SiteId("a"), feeder=FeederId("f"), max_import_power_per_phase_w=8_000.0),
        Site(site_id=SiteId("b"), feeder=FeederId("f")),
        Site(site_id=SiteId("c"), feeder=FeederId("g"), max_import_power_w=21_000.0, uncontrolled_load_w=7_000.0),
        Site(site_id=SiteId("d"), feeder=FeederId("g")),
    ]
    return Topology(sites, [*feeders, line])


def cars(image: Any, **columns: Any) -> Any:
    """Forty cars over the four sites, those of site `a` on all kinds of phases."""
    supply = np.arange(40) // 4 % len(Supply)
    given = {"departure_s": NOW_S + 3600.0 * (9.0 - np.arange(40) / 5.0)} | STANDING | columns
    return image(40, site=1 + np.arange(40) % 4, supply=supply, **given)


def test_what_is_handed_back_stays_inside_feeders_sites_and_phases(image: Any) -> None:
    topology, fleet = tree(), cars(image)
    able = capability(fleet, NOW_S, NOW_S, CapabilitySettings())
    rows = releases_due(fleet, able, np.ones(40, dtype=bool), np.full(40, np.nan), topology, NOW_S - 60.0, ResumeSettings())
    limits = limits_of(fleet, topology, topology.import_room_w(NOW_S))

    def used_w(charging: Any) -> Any:
        power_w = np.zeros(40)
        power_w[charging] = 7_000.0
        return limits.used_w(power_w)

    assert rows.size
    assert (used_w(rows) <= limits.cap_w + 1e-6).all()
    assert (used_w(rows[:1]) <= limits.cap_w).all()
    assert used_w(rows)[topology.group_names.index("feeder line")] >= 49_000.0
    assert (np.diff(able.laxity_s[rows]) >= 0.0).all()
    assert used_w(rows)[topology.group_names.index("site c")] <= 14_000.0, "of 21 kW others draw 7 kW"


def test_single_sites_work_as_before(image: Any) -> None:
    fleet = image(4, site=[1, 1, 2, 2], **STANDING)
    able = capability(fleet, NOW_S, NOW_S, CapabilitySettings())
    topology = Topology([Site(site_id=SiteId("a"), max_import_power_w=10_000.0), Site(site_id=SiteId("b"))])
    rows = releases_due(fleet, able, np.ones(4, dtype=bool), np.full(4, np.nan), topology, NOW_S - 60.0, ResumeSettings())
    assert sorted(rows.tolist()) in ([0, 2, 3], [1, 2, 3])


def test_all_fallbacks_together_stay_inside_every_limit(image: Any) -> None:
    topology = tree()
    fleet = cars(image, soc_frac=0.35, soc_target_frac=0.95, departure_s=NOW_S + 1_200.0)
    able = capability(fleet, NOW_S, NOW_S + 900.0, CapabilitySettings())
    rate_w = fallback_power_w(fleet, able, topology, ResumeSettings(), window_end_s=NOW_S + 900.0, capability_settings=CapabilitySettings())
    room_w = topology.import_room_w(NOW_S)
    assert (limits_of(fleet, topology, room_w).used_w(rate_w) <= room_w + 1e-6).all()
    assert (rate_w > 0.0).all()
    assert rate_w.sum() == pytest.approx(56_000.0, rel=0.35)
