"""The control room against a registry that names what the settings do not know any more."""

from typing import Any

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.config import Settings
from counterflow.app.replay import Replay
from counterflow.domain.ids import SiteId
from counterflow.domain.resources import StationRegistration
from counterflow.sim.settings import WorldSettings


def test_stations_of_a_site_that_was_removed_from_the_settings_are_served_at_the_default_site() -> None:
    at = Replay(Settings(), WorldSettings(stations=3), 1, journal=MemoryJournal())
    for station in at.world.stations:
        at.room.registry.add(StationRegistration(station_id=station.station_id, site_id=SiteId("removed")))
    at.run(60)
    counters = at.room.csms.counters
    assert counters.requests["NotifyEVChargingNeeds"] >= 3
    assert (counters.handler_failures, counters.call_errors) == (0, 0)
    views: Any = at.do(at.operations.sessions())
    assert [view.site_id for view in views] == ["default"] * 3
    assert all(view.departure_s is not None for view in views)
