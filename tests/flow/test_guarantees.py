"""A guarantee that is broken in a running server: the session is stopped, whatever the rest of the server wants, and everybody is told."""

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from counterflow.app.desks.course_reading import CourseReading
from counterflow.app.dispatching import deciding
from counterflow.domain.drivers import SessionOverride
from counterflow.domain.ids import SessionUid
from counterflow.domain.reasons import Reason
from counterflow.engine.control.tick import tick


def careless(*args: Any, able: Any, **more: Any) -> Any:
    """A tick with a fault of ours: it thinks that every car may be discharged."""
    blind = replace(
        able, reason=np.full_like(able.reason, Reason.READY), max_power_w=np.where(able.max_power_w > 0.0, able.max_power_w, 7_000.0)
    )
    return tick(*args, able=blind, **more)


def test_i4_a_session_without_permission_is_stopped_although_the_tick_goes_on(
    town: Any, ideal: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = town(30, 3, plant=ideal)
    order = at.order(400.0, 0.6)
    at.run(40)
    monkeypatch.setattr(deciding, "tick", careless)
    image = at.room.fleet.snapshot(at.now_s)
    row = int(np.flatnonzero(image.setpoint_w < 0.0)[0])
    uid = SessionUid(int(image.uid[row]))
    # As if nobody had looked after the session when its driver said stop: the fleet knows, and the careless tick does not care.
    at.room.fleet.override(uid, SessionOverride(stop=True, at_s=at.now_s, by="driver"), at.now_s)
    at.run(20)
    assert at.room.fleet.snapshot(at.now_s).setpoint_w[row] < 0.0, "the fault is there"
    at.run(40)
    image = at.room.fleet.snapshot(at.now_s)
    assert not image.setpoint_w[row] < 0.0
    assert image.power_w[row] > -200.0
    [told] = [notice for notice in at.notices if notice.kind == "session.guarded"]
    station_id = image.keys[row][0]
    assert told.values == {"guarantee": "I4", "station_id": station_id, "dispatch_id": order.dispatch_id}
    course = CourseReading(at.journal, 0.05).build(order.dispatch_id, at.now_s, float("-inf"), 1.0)
    [mark] = [mark for mark in course.marks if mark.kind == "session.guarded"]
    assert (mark.at_s, mark.station_id, mark.session_uid, mark.text) == (told.at_s, station_id, uid, told.text), (
        "its chart says so later, too"
    )
    assert "may not be discharged" in told.text
    assert dict(at.room.dispatcher.guarding.breaches)["I4"] == 1
    assert any("I4" in words for words in at.operations.health().alarms)
    assert at.operations.health().ready
    at.run(60)
    assert not at.room.fleet.snapshot(at.now_s).setpoint_w[row] < 0.0, "nothing discharges it again"
    monkeypatch.undo()
    at.run(420)
    assert at.left_behind() == []
    assert at.view(order).instruction.state.value == "completed"


@pytest.mark.parametrize("seed", [1, 2])
def test_an_ordinary_hour_with_losses_and_drop_outs_breaks_nothing(town: Any, seed: int) -> None:
    at = town(60, seed)
    at.order(300.0, 0.9)
    at.run(520)
    assert sum(at.room.dispatcher.guarding.breaches.values()) == 0
    assert [notice for notice in at.notices if notice.kind == "session.guarded"] == []
