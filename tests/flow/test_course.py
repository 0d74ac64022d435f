"""What a chart shows of a dispatch: the figures of its ticks, and what happened to it in words, as it happens and afterwards."""

import inspect
from typing import Any

import pytest

from counterflow.app.desks.course_reading import CourseReading
from counterflow.domain.course import CourseView
from counterflow.domain.drivers import SessionOverride
from counterflow.domain.instructions import Amendment, DispatchOrder
from counterflow.domain.views import Refusal


def course(at: Any, dispatch_id: str, since_s: float = float("-inf"), step_s: float = 1.0) -> CourseView:
    """As `Operations.course`, without the thread."""
    return CourseReading(at.journal, 0.05).build(dispatch_id, at.now_s, since_s, step_s)


def told(at: Any, kind: str) -> list[Any]:
    return [notice for notice in at.notices if notice.kind == kind]


@pytest.fixture
def eventful(town: Any, ideal: dict[str, Any]) -> tuple[Any, Any, Any]:
    """A dispatch that lost a car, was amended, noted on and cancelled: (town, order, the session that was lost)."""
    at = town(40, 43, plant=ideal)
    order = at.order(400.0, 0.6)
    at.run(40)
    lost = next(view for view in at.do(at.operations.sessions()) if view.setpoint_w)
    station = next(station for station in at.world.stations if station.station_id == lost.station_id)
    at.world.at(at.now_s, lambda: station.unplug(at.now_s))
    at.run(20)
    at.do(at.operations.amend(order.dispatch_id, Amendment(discharge_power_w=0.8 * order.steps[0].discharge_power_w), "ann"))
    at.do(at.operations.note(order.dispatch_id, "by telephone", "ann"))
    at.run(10)
    at.do(at.operations.cancel(order.dispatch_id, "ann"))
    return at, order, lost


def test_a_lost_car_is_told_with_station_reason_and_power_and_who_makes_good_for_it(eventful: Any) -> None:
    at, order, lost = eventful
    (gone,) = told(at, "session.dropped_out")
    assert (gone.values["station_id"], gone.values["dispatch_id"], gone.values["how"]) == (lost.station_id, order.dispatch_id, "ended")
    assert gone.text.startswith("its transaction has ended; ")
    assert gone.text.endswith(" kW of discharge went with it")
    (anew,) = told(at, "dispatch.replanned")
    assert anew.subject == order.dispatch_id
    assert anew.text.startswith("1 car lost, ")
    assert anew.values["asked"] >= 1
    assert at.room.dispatcher.book.tasks[order.dispatch_id].ended == {}


def test_the_course_says_afterwards_what_was_told_while_it_happened(eventful: Any) -> None:
    at, order, lost = eventful
    marks = course(at, order.dispatch_id).marks
    for kind in ("session.dropped_out", "dispatch.replanned", "dispatch.shortfall"):
        assert [mark.text for mark in marks if mark.kind == kind] == [notice.text for notice in told(at, kind)], kind
    (gone,) = (mark for mark in marks if mark.kind == "session.dropped_out")
    assert (gone.station_id, gone.session_uid) == (lost.station_id, lost.session_uid)
    assert [mark.text for mark in marks if mark.kind == "dispatch.note"] == ["ann: by telephone"]
    assert "amended by ann" in [mark.text for mark in marks]
    assert "resuming: cancelled by ann" in [mark.text for mark in marks]
    assert [mark.at_s for mark in marks] == sorted(mark.at_s for mark in marks)


def test_the_points_are_those_of_the_ticks_thinned_on_demand(eventful: Any) -> None:
    at, order, _ = eventful
    points = course(at, order.dispatch_id).points
    ticks = told(at, "dispatch.tick")
    figures = [
        (tick.values["target_power_w"], tick.values["delivered_power_w"], tick.values["headroom_power_w"])
        for tick in ticks
        if tick.subject == order.dispatch_id
    ]
    assert len(points) > 15
    seen = [(point.target_power_w, point.delivered_power_w, point.headroom_power_w) for point in points]
    assert set(seen) <= set(figures)
    assert seen[-1] == figures[-1]
    few = course(at, order.dispatch_id, step_s=20.0).points
    assert len(few) <= 5
    assert few[-1] == points[-1]
    middle_s = points[8].at_s
    assert course(at, order.dispatch_id, since_s=middle_s).points == points[8:]


def test_a_dispatch_that_is_not_known_has_no_course(town: Any) -> None:
    at = town(1)
    asked = at.operations.course("d-none", None, 1.0)
    assert inspect.iscoroutine(asked)
    answer = at.do(asked)
    assert isinstance(answer, Refusal)
    assert "no dispatch 'd-none'" in answer.sentence


def test_a_preview_says_what_drivers_limits_keep_back(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 44, plant=ideal)
    ready = [view for view in at.do(at.operations.sessions()) if view.reason == "ready"]
    for view in ready[:3]:
        at.do(at.operations.override(view.station_id, view.transaction_id, SessionOverride(stop=True, by="ann")))
    at.do(at.operations.override(ready[3].station_id, ready[3].transaction_id, SessionOverride(min_soc_frac=1.0, by="ann")))
    order = DispatchOrder(discharge_power_w=50_000.0, duration_s=900.0)
    preview = at.do(at.operations.order(order, None, True))
    assert "3 cars: the driver stopped the discharge of this session" in preview.held_back
    floor = next(words for words in preview.held_back if words.endswith("the state of charge is at the driver's floor"))
    assert int(floor.split()[0]) == sum(view.reason == "below_floor" for view in at.do(at.operations.sessions())) >= 1
    assert at.do(at.operations.order(order, None, False)).held_back == (), "an order itself needs no such words"
    long = at.do(at.operations.order(DispatchOrder(discharge_power_w=50_000.0, duration_s=6 * 3600.0), None, True))
    assert any("less for the whole window than at once" in words for words in long.held_back)
