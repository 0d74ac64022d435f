"""A page of stations: filtered, sorted, and the same as the whole list says."""

from typing import Any

import msgspec
import pytest

from counterflow.app.config import Settings
from counterflow.app.replay import Replay
from counterflow.domain.station_views import StationFilter, StationOrder, StationQuery
from counterflow.sim.settings import WorldSettings

OPEN_HOUSE: dict[str, Any] = {"stations": {"accept_unknown": True}, "drivers": {"default": {"consent": True}}}
KEYS = {
    StationOrder.STATION: lambda view: view.station_id,
    StationOrder.SITE: lambda view: view.site_id,
    StationOrder.MODEL: lambda view: f"{view.identity.vendor_name} {view.identity.model}".strip() or None,
    StationOrder.SESSIONS: lambda view: view.sessions,
    StationOrder.PROFILES: lambda view: view.profiles,
    StationOrder.HEARD: lambda view: view.last_seen_s,
}


@pytest.fixture(scope="module")
def at() -> Any:
    """One town for all: nothing here changes it."""
    return Replay(msgspec.convert(OPEN_HOUSE, Settings), msgspec.convert({"stations": 40}, WorldSettings), 3).run(60.0)


def test_pages_together_are_the_whole_list(at: Any) -> None:
    everything = list(at.do(at.operations.stations()))
    pages = [at.operations.station_page(StationQuery(offset=offset, limit=15)) for offset in (0, 15, 30, 45)]
    assert [view for page in pages for view in page.stations] == everything
    assert {(page.total, page.matched) for page in pages} == {(40, 40)}
    assert pages[0].connected == sum(view.connected for view in everything)
    assert pages[0].held_out == sum(view.held_out is not None for view in everything)


@pytest.mark.parametrize("sort", list(StationOrder))
@pytest.mark.parametrize("descending", [False, True])
def test_sorted_by_what_is_asked_with_the_unknown_last(at: Any, sort: StationOrder, descending: bool) -> None:
    page = at.operations.station_page(StationQuery(sort=sort, descending=descending, limit=500))
    values = [KEYS[sort](view) for view in page.stations]
    known = [value for value in values if value is not None]
    assert len(values) == 40
    assert known == sorted(known, reverse=descending)
    assert values[: len(known)] == known


def test_filters_and_search_narrow_it(at: Any) -> None:
    everything = list(at.do(at.operations.stations()))
    for only, belongs in (
        (StationFilter.CONNECTED, lambda view: view.connected),
        (StationFilter.AWAY, lambda view: not view.connected),
        (StationFilter.HELD_OUT, lambda view: view.held_out is not None),
    ):
        page = at.operations.station_page(StationQuery(only=only, limit=500))
        assert list(page.stations) == [view for view in everything if belongs(view)], only
    one = everything[7]
    assert [view.station_id for view in at.operations.station_page(StationQuery(search=one.station_id.lower())).stations] == [
        one.station_id
    ]
    model = one.identity.model
    assert model
    found = at.operations.station_page(StationQuery(search=model, limit=500)).stations
    assert list(found) == [view for view in everything if model in view.identity.model]
    assert at.operations.station_page(StationQuery(site_id=one.site_id)).matched == sum(view.site_id == one.site_id for view in everything)
    for nothing in (StationQuery(site_id="nowhere"), StationQuery(search="no such station")):
        assert at.operations.station_page(nothing).stations == ()
