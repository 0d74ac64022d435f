"""Limits that a grid operator sets for a time: discharge keeps inside them, they outlive a restart, and people see them."""

from math import inf
from typing import Any

import pytest

from counterflow.domain.grid import CapacityBound, GridOrder, GridOutcome, GridStep, Wire
from counterflow.domain.ids import ALL_SITES
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.views import Refusal, RefusalKind

PROGRAMS: dict[str, Any] = {"programs": [{"name": "dso", "wire": "openadr", "sign": "load", "max_discharge_power_w": 100_000.0}]}


@pytest.fixture
def at(town: Any, ideal: dict[str, Any]) -> Any:
    return town(20, 4, plant=ideal, settings=PROGRAMS)


def bound(at: Any, after_s: float, until_s: float, *, export_w: float = inf, import_w: float = inf, key: str = "event-7") -> CapacityBound:
    window = {"from_s": at.now_s + after_s, "to_s": at.now_s + until_s}
    return CapacityBound(program="dso", key=key, pool=ALL_SITES, max_export_w=export_w, max_import_w=import_w, **window)


def set_on(at: Any, *bounds: CapacityBound, program: str = "dso") -> GridOutcome:
    outcome: GridOutcome = at.do(at.grid.bound(program, bounds)).outcome
    return outcome


def exported_w(at: Any) -> float:
    power_w: float = next(view.export_power_w for view in at.operations.limits() if view.group == "site default")
    return power_w


def test_a_running_dispatch_goes_down_to_the_limit_when_it_begins_and_comes_back_when_it_is_over(at: Any) -> None:
    at.order(600.0, power_w=50_000.0, mode=DispatchMode.GROSS_EXPORT)
    assert set_on(at, bound(at, 120.0, 300.0, export_w=20_000.0)) is GridOutcome.ACCEPTED
    at.run(95)
    assert exported_w(at) == pytest.approx(50_000.0, rel=0.05)
    at.run(35)
    assert exported_w(at) <= 20_000.0, "cars are inside the limit about when it begins, and meters tell some seconds later"
    at.run(150)
    assert 16_000.0 < exported_w(at) <= 20_000.0
    at.run(90)
    assert exported_w(at) == pytest.approx(50_000.0, rel=0.05)


def test_an_order_whose_window_meets_the_limit_is_told_what_it_will_get(at: Any) -> None:
    set_on(at, bound(at, 900.0, 1200.0, export_w=20_000.0))
    assert at.order(600.0, power_w=50_000.0, start_s=at.now_s + 900.0).feasibility.expected_power_w < 21_000.0
    assert at.offer_w(600.0) > 40_000.0, "before it nothing is held back"


def test_a_limit_outlives_a_restart_and_is_shown(at: Any) -> None:
    set_on(at, bound(at, 0.0, 600.0, export_w=20_000.0, import_w=90_000.0))
    at.restart()
    view = next(view for view in at.operations.limits() if view.group == "site default")
    assert (view.held_export_power_w, view.held_import_power_w, view.max_export_power_w) == (20_000.0, 90_000.0, None)
    (words,) = view.held
    assert words.startswith("dso, event-7: pool all exports at most 20.0 kW and imports at most 90.0 kW from ")
    assert set_on(at, *at.grid.bounds("dso")) is GridOutcome.UNCHANGED
    at.run(601)
    at.do(at.grid.look_after())
    assert at.grid.bounds("dso") == ()
    at.restart()
    assert at.grid.bounds("dso") == ()


def test_limits_are_set_as_a_whole_audited_and_nonsense_is_refused(at: Any) -> None:
    assert set_on(at, bound(at, 0.0, 60.0, export_w=1.0, key="a"), bound(at, 60.0, 90.0, import_w=0.0, key="b")) is GridOutcome.ACCEPTED
    assert set_on(at, bound(at, 0.0, 60.0, export_w=2.0, key="a")) is GridOutcome.CHANGED
    assert set_on(at, bound(at, 0.0, 60.0, export_w=-1.0)) is GridOutcome.REFUSED
    assert [one.max_export_w for one in at.grid.bounds("dso")] == [2.0], "what is refused changes nothing"
    assert set_on(at) is GridOutcome.CHANGED
    assert set_on(at, program="nobody") is GridOutcome.REFUSED
    actions = [entry.action for entry in at.operations.audit(0.0, 10)]
    assert actions[:4] == ["limits none", "limits event-7", "limits a", "limits a, b"]


def test_charging_above_a_limit_on_import_is_an_alarm_while_it_lasts(at: Any) -> None:
    at.run(60)
    set_on(at, bound(at, 0.0, 300.0, import_w=1_000.0))
    at.do(at.grid.look_after())
    alarms = [text for text in at.operations.health().alarms if "The pool 'all' draws" in text]
    assert len(alarms) == 1
    assert "above the 1.0 kW that program 'dso' allows until" in alarms[0]
    at.run(301)
    at.do(at.grid.look_after())
    assert not [text for text in at.operations.health().alarms if "The pool 'all' draws" in text]
    assert Wire.OPENADR.value in next(notice.subject for notice in at.notices if notice.kind == "grid.alarm")


def test_what_a_wire_cannot_make_sense_of_is_refused_once_and_takes_a_former_version_back(at: Any) -> None:
    step = GridStep(from_s=at.now_s, discharge_power_w=30_000.0)
    placed = at.do(at.grid.place(GridOrder(program="dso", key="e", steps=(step,), end_s=at.now_s + 600.0)))
    refusal = Refusal(kind=RefusalKind.INVALID, sentence="DISPATCH_SETPOINT comes in 'HP'.", remedy="Send kW.")
    for _ in range(2):
        assert at.do(at.grid.decline("dso", "e", at.now_s + 600.0, refusal)).outcome is GridOutcome.REFUSED
    assert at.operations.dispatch(placed.dispatch_id).instruction.state.value in ("cancelled", "resuming")
    (record,) = at.grid.standing("dso")
    assert (record.outcome, record.sentence) == (GridOutcome.REFUSED, "DISPATCH_SETPOINT comes in 'HP'. Send kW.")
    assert [entry.status for entry in at.operations.audit(0.0, 10)] == [422, 200]
    at.restart()
    assert at.grid.standing("dso")[0].sentence == record.sentence
