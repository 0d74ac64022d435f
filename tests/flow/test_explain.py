"""Why was this car given what it was given, and why was that one not used? Asked of the whole house, also after a restart."""

from typing import Any

import pytest

from counterflow.app.desks.explaining import under_way
from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.drivers import SessionOverride
from counterflow.domain.ids import SessionUid
from counterflow.domain.instructions import Amendment, DispatchMode, StreamTerms, StreamValue
from counterflow.domain.session_views import ExplanationView
from counterflow.domain.views import Refusal

END_S = 250.0


def ask(at: Any, uid: int, at_s: float | None = None) -> ExplanationView:
    """As `explain`, without the thread."""
    at_s = at.now_s if at_s is None else at_s
    instructions = under_way(tuple(at.room.dispatcher.book.instructions.values()), at_s)
    view = at.operations._explaining.build(SessionUid(uid), instructions, at_s)
    assert view is not None
    return view


def text(view: ExplanationView) -> str:
    return " ".join(view.sentences)


def discharging(at: Any) -> list[Any]:
    return [view for view in at.do(at.operations.sessions()) if view.setpoint_w]


def reserve(at: Any) -> list[Any]:
    return [view for view in at.do(at.operations.sessions()) if view.dispatch_id and not view.setpoint_w]


def test_the_start_says_what_was_missing_how_much_was_taken_and_when_it_ends(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 41, plant=ideal)
    order = at.order(400.0, 0.6)
    at.run(30)
    chosen = discharging(at)[0]
    view = ask(at, chosen.session_uid)
    assert (view.reason, view.dispatch_id, view.setpoint_w) == ("start", order.dispatch_id, chosen.setpoint_w)
    assert (view.station_id, view.transaction_id) == (chosen.station_id, chosen.transaction_id)
    assert view.figures["target_power_w"] == pytest.approx(order.steps[0].discharge_power_w, abs=1.0)
    assert view.figures["gap_power_w"] > 0.9 * order.steps[0].discharge_power_w
    assert view.figures["bound"] in ("own_power", "target")
    assert view.figures["ended_by"] == "window"
    assert "the dispatch began" in text(view)
    assert "the end of the window" in text(view)
    assert "Its meter showed" in text(view)


def test_a_car_in_reserve_is_told_who_met_the_target_instead(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 42, plant=ideal)
    at.order(400.0, 0.3)
    at.run(30)
    view = ask(at, reserve(at)[0].session_uid)
    assert view.reason == "reserve"
    assert "it was not needed and stood by; it was held at 0 W since" in text(view)
    assert "cars gave" in text(view)
    assert "would count against the others" in text(view) or "the dispatch began" in text(view)


def test_a_replacement_names_whom_it_replaces_and_its_place_in_the_merit_order(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 43, plant=ideal)
    at.order(400.0, 0.6)
    at.run(60)
    before = {view.session_uid for view in discharging(at)}
    lost = discharging(at)[0]
    station = next(station for station in at.world.stations if station.station_id == lost.station_id)
    at.world.at(at.now_s, lambda: station.unplug(at.now_s))
    at.run(10)
    new = [view for view in discharging(at) if view.session_uid not in before]
    assert new
    view = ask(at, new[0].session_uid)
    assert view.reason == "drop_out"
    assert f"session {lost.session_uid} (ended," in text(view)
    assert view.figures["merit_place"] >= 1
    assert view.figures["ranked"] >= view.figures["merit_place"]
    assert "in the order of merit" in text(view)
    gone = ask(at, lost.session_uid)
    assert gone.reason in ("no_session", "ended")
    assert "it was lost to the dispatch" in text(gone)


def test_an_override_is_named_with_its_time_and_so_is_what_was_before(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 44, plant=ideal)
    at.order(400.0, 0.8)
    at.run(40)
    chosen, used_s = discharging(at)[0], at.now_s
    before = ask(at, chosen.session_uid)
    assert before.setpoint_w == pytest.approx(chosen.setpoint_w)
    at.room.override(SessionUid(chosen.session_uid), SessionOverride(stop=True, at_s=at.now_s, by="app"), at.now_s)
    at.run(12)
    view = ask(at, chosen.session_uid)
    assert view.reason == "driver_stop"
    assert "the driver stopped" in text(view)
    assert view.setpoint_w is None
    then = ask(at, chosen.session_uid, used_s)
    assert (then.reason, then.setpoint_w, then.setpoint_at_s) == (before.reason, before.setpoint_w, before.setpoint_at_s)


def test_who_never_could_be_used_is_told_why_without_a_line_a_tick(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 45, plant=ideal, settings={"drivers": {"default": {"consent": False}}})
    order = at.order(100.0, power_w=10_000.0)
    at.run(40)
    view = ask(at, at.do(at.operations.sessions())[0].session_uid)
    assert view.reason == "no_consent"
    assert "the driver has not agreed to discharge (since" in text(view)
    lines = [entry for entry in at.journal.dispatch_log(order.dispatch_id) if entry.kind == "aside"]
    assert len(lines) == 1
    assert len(lines[0].uids) == 20


def test_in_a_relative_order_a_car_that_can_be_paused_but_was_not_needed_says_so(town: Any, ideal: dict[str, Any]) -> None:
    terms = {"consent": False, "pausing": True, "max_pause_s": 3_600.0}
    at = town(20, 45, plant=ideal, settings={"drivers": {"default": terms}})
    at.order(100.0, power_w=5_000.0, mode=DispatchMode.RELATIVE)
    at.run(40)
    asked = {view.session_uid: view for view in at.do(at.operations.sessions())}
    views = {uid: ask(at, uid) for uid, car in asked.items() if car.dispatch_id is None or car.setpoint_w is None}
    assert "no_consent" not in {view.reason for view in views.values()}
    spare = [view for uid, view in views.items() if asked[uid].pausing == "ready" and view.reason == "reserve"]
    assert spare, {view.reason for view in views.values()}
    assert "and not to charge less. Why: it" in text(spare[0])
    assert "not needed" in text(spare[0])


def test_a_value_of_a_stream_and_its_dead_man_are_named(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 46, plant=ideal)
    order = at.order(400.0, 0.8, stream=StreamTerms(timeout_s=10.0, hold_s=5.0, ramp_down_s=30.0))
    most_w = order.steps[0].discharge_power_w
    for share in (0.3, 0.3, 0.9):
        at.do(at.operations.tell(order.dispatch_id, StreamValue(discharge_power_w=share * most_w)))
        at.run(4)
    views = [ask(at, view.session_uid) for view in discharging(at)]
    assert any("the stream asked for" in text(view) for view in views)
    uid = discharging(at)[0].session_uid
    at.run(120)
    assert ask(at, uid).reason == "at_rest"
    assert "nothing was asked of the dispatch" in text(ask(at, uid))


def test_after_a_restart_the_same_is_told_and_after_the_end_that_it_ended(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 47, plant=ideal)
    order = at.order(200.0, 0.6)
    at.run(60)
    uid, asked_s = discharging(at)[0].session_uid, at.now_s
    before = ask(at, uid, asked_s)
    at.restart()
    assert ask(at, uid, asked_s) == before
    at.run(20)
    at.do(at.operations.amend(order.dispatch_id, Amendment(discharge_power_w=0.2 * order.steps[0].discharge_power_w), "me"))
    at.run(140 + END_S)
    ended = ask(at, uid, order.end_s + 5.0)
    assert ended.reason == "resuming"
    assert "the window ended" in text(ended)
    nobody = at.operations._nothing_asked(SessionUid(uid), [], at.now_s)
    assert nobody.reason == "no_dispatch"


def test_an_order_that_was_only_said_again_is_told_with_the_reason_that_it_was_given_first(town: Any, ideal: dict[str, Any]) -> None:
    at = town(10, 49, plant=ideal)
    at.order(400.0, 0.6)
    at.run(30)
    chosen = discharging(at)[0]
    first = ask(at, chosen.session_uid)
    uid = SessionUid(chosen.session_uid)
    said = LogEntry(at_s=at.now_s, kind=LogKind.SETPOINT, session_uid=uid, power_w=-chosen.setpoint_w, text="re_arm")
    at.journal.log(chosen.dispatch_id, said)
    at.run(1)
    again = ask(at, chosen.session_uid)
    assert (again.reason, again.setpoint_at_s, again.setpoint_w) == (first.reason, first.setpoint_at_s, first.setpoint_w)
    assert "the dispatch began" in text(again)
    assert "It was said again at" in text(again)


def test_a_session_that_nobody_knows_is_refused(town: Any) -> None:
    at = town(2, 48)
    answer = at.do(at.operations.explain(SessionUid(999_999), None))
    assert isinstance(answer, Refusal)
    assert "session 999999" in answer.sentence
    known = at.do(at.operations.explain(SessionUid(at.do(at.operations.sessions())[0].session_uid), None))
    assert known.reason == "no_dispatch"
