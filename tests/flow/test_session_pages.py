"""A page of sessions: filtered, sorted, and the same as the whole list says."""

from typing import Any

import msgspec
import pytest

from counterflow.app.config import Settings
from counterflow.app.replay import Replay
from counterflow.domain.instructions import DispatchOrder
from counterflow.domain.session_views import SessionOrder, SessionQuery
from counterflow.domain.views import Refusal
from counterflow.sim.settings import WorldSettings

OPEN_HOUSE: dict[str, Any] = {"stations": {"accept_unknown": True}, "drivers": {"default": {"consent": True}}}
KEYS = {
    SessionOrder.SOC: lambda view: view.soc_frac,
    SessionOrder.DEPARTURE: lambda view: view.departure_s,
    SessionOrder.SETPOINT: lambda view: view.setpoint_w,
    SessionOrder.POWER: lambda view: view.power_w,
    SessionOrder.ERROR: lambda view: None if None in (view.power_w, view.setpoint_w) else abs(view.power_w - view.setpoint_w),
    SessionOrder.HEARD: lambda view: None if view.power_age_s is None else -view.power_age_s,
    SessionOrder.AVAILABLE: lambda view: view.available_power_w,
}


@pytest.fixture(scope="module")
def at() -> Any:
    """One town for all: nothing here changes it."""
    town = Replay(msgspec.convert(OPEN_HOUSE, Settings), msgspec.convert({"stations": 40}, WorldSettings), 3).run(60.0)
    town.do(town.operations.order(DispatchOrder(discharge_power_w=100_000.0, duration_s=300.0), None, False))
    return town.run(60.0)


def test_pages_together_are_the_whole_list(at: Any) -> None:
    everything = at.do(at.operations.sessions())
    pages = [at.operations.session_page(SessionQuery(offset=offset, limit=15)) for offset in (0, 15, 30, 45)]
    assert [view for page in pages for view in page.sessions] == everything
    assert {(page.total, page.matched) for page in pages} == {(len(everything), len(everything))}
    assert sum(pages[0].reasons.values()) == len(everything)


@pytest.mark.parametrize("sort", list(KEYS))
@pytest.mark.parametrize("descending", [False, True])
def test_sorted_by_what_is_asked_with_the_unknown_last(at: Any, sort: SessionOrder, descending: bool) -> None:
    page = at.operations.session_page(SessionQuery(sort=sort, descending=descending, limit=500))
    values = [KEYS[sort](view) for view in page.sessions]
    known = [value for value in values if value is not None]
    assert known == sorted(known, reverse=descending)
    assert values[: len(known)] == known


def test_filters_and_search_narrow_it(at: Any) -> None:
    everything = at.do(at.operations.sessions())
    ready = at.operations.session_page(SessionQuery(reason="ready", limit=500))
    assert {view.reason for view in ready.sessions} == {"ready"}
    assert ready.matched == sum(view.reason == "ready" for view in everything)
    one = everything[7]
    found = at.operations.session_page(SessionQuery(search=one.station_id.lower()))
    assert [view.station_id for view in found.sessions] == [one.station_id]
    assert at.operations.session_page(SessionQuery(search=one.transaction_id)).sessions[0].transaction_id == one.transaction_id
    assert at.operations.session_page(SessionQuery(site_id=one.site_id)).matched == sum(view.site_id == one.site_id for view in everything)
    for nothing in (SessionQuery(site_id="nowhere"), SessionQuery(reason="bored"), SessionQuery(search="no such id")):
        assert at.operations.session_page(nothing).sessions == ()


def test_by_station_both_ways(at: Any) -> None:
    up = at.operations.session_page(SessionQuery(limit=500)).sessions
    down = at.operations.session_page(SessionQuery(limit=500, descending=True)).sessions
    assert down == up[::-1]


def test_what_may_be_at_a_station_is_shown_with_discharge_positive(at: Any) -> None:
    one = next(view for view in at.do(at.operations.sessions()) if (view.setpoint_w or 0.0) > 1000.0)
    profiles = at.operations.profiles(one.station_id)
    assert {view.kind.lower(): view.power_w > 0.0 for view in profiles} == {"discharge": True, "fallback": False}, profiles
    assert {view.state for view in profiles} == {"placed"}, profiles
    assert isinstance(at.operations.profiles("NOBODY"), Refusal)


def test_a_note_is_kept_in_the_log_and_told(at: Any) -> None:
    dispatch_id = at.operations.dispatches()[0].instruction.dispatch_id
    noted = at.do(at.operations.note(dispatch_id, "asked by telephone", "api:ann"))
    assert (noted.by, noted.text) == ("api:ann", "asked by telephone")
    assert at.journal.dispatch_log(dispatch_id)[-1].text == "api:ann: asked by telephone"
    assert isinstance(at.do(at.operations.note("d-none", "x", "api:ann")), Refusal)
