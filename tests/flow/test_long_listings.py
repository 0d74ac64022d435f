"""Listings of the whole fleet are made in portions: control and metering have their turn between, whatever happens meanwhile."""

from collections.abc import Coroutine
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest

from counterflow.app.desks import listings, views
from counterflow.domain.drivers import SessionOverride
from counterflow.domain.ids import StationId

NAMES = [f"SIM-{number:05d}" for number in range(1, 11)]


@pytest.fixture
def at(town: Any, ideal: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ten cars, of which four are shown in one piece."""
    monkeypatch.setattr(listings, "ROWS_AT_ONCE", 4)
    return town(10, 1, plant=ideal)


def rest_of(listing: Coroutine[Any, Any, Any]) -> Any:
    """What a listing comes to, once it has had all its turns."""
    while True:
        try:
            listing.send(None)
        except StopIteration as done:
            return done.value


def rows_by_turn(listing: Coroutine[Any, Any, Any], worked_out: Mock) -> list[int]:
    """How many rows were worked out in each turn but the last."""
    turns: list[int] = []
    for _ in range(2):
        listing.send(None)
        turns.append(sum(_rows(call) for call in worked_out.call_args_list) - sum(turns))
    return turns


def _rows(call: Any) -> int:
    rows = call.args[-1]
    return len(rows) if isinstance(rows, list) else 1


@pytest.mark.parametrize(("which", "part"), [("sessions", "views_of_rows"), ("stations", "station_view")])
def test_a_listing_is_worked_out_in_portions(at: Any, monkeypatch: pytest.MonkeyPatch, which: str, part: str) -> None:
    worked_out = Mock(wraps=getattr(listings, part))
    monkeypatch.setattr(listings, part, worked_out)
    listing = getattr(at.operations, which)()
    assert rows_by_turn(listing, worked_out) == [4, 4]
    assert [view.station_id for view in rest_of(listing)] == NAMES


def test_a_session_that_ends_meanwhile_is_not_listed_and_the_others_are_as_they_were(at: Any) -> None:
    listing = at.operations.sessions()
    listing.send(None)
    for station in at.world.stations:
        if station.station_id in (NAMES[0], NAMES[9]):
            at.world.at(at.now_s, partial(station.unplug, at.now_s))
    at.order(60.0)
    at.run(15.0)
    assert at.room.dispatcher.book.owner
    views = rest_of(listing)
    assert [view.station_id for view in views] == NAMES[:9], "the first was listed already"
    assert {view.setpoint_w for view in views} == {None}


def test_a_station_that_is_removed_meanwhile_is_not_listed(at: Any) -> None:
    listing = at.operations.stations()
    listing.send(None)
    at.room.forget_station(StationId(NAMES[9]), at.now_s)
    assert [view.station_id for view in rest_of(listing)] == NAMES[:9]


@pytest.mark.parametrize("look", ["station", "override"])
def test_one_station_is_looked_up_without_a_walk_over_all(at: Any, monkeypatch: pytest.MonkeyPatch, look: str) -> None:
    worked_out = Mock(wraps=views.views_of_rows)
    monkeypatch.setattr(views, "views_of_rows", worked_out)
    name = StationId(NAMES[3])
    if look == "override":
        [view] = at.do(at.operations.override(name, None, SessionOverride(stop=True)))
        assert (view.station_id, view.override) == (name, "stop")
        assert [_rows(call) for call in worked_out.call_args_list] == [1]
    else:
        monkeypatch.setattr(at.room.fleet, "uids", Mock(side_effect=AssertionError("all sessions were walked over")))
        assert at.operations.station(name).sessions == 1
