"""What a grid operator's wire may ask: one order of the wire is one dispatch, over changes, refusals and restarts."""

import asyncio
from itertools import count
from typing import Any

import pytest
from msgspec.structs import replace

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.desks.grid_book import STREAM_KEY
from counterflow.app.desks.grid_desk import SAID_AGAIN_S
from counterflow.app.desks.grid_streams import IDLE_STREAM_S
from counterflow.domain.grid import GridAnswer, GridOrder, GridOutcome, GridStep, Wire
from counterflow.domain.ids import PoolId
from counterflow.domain.instructions import DispatchState
from counterflow.domain.records import DocumentKind
from counterflow.domain.units import MAX_DURATION_S
from counterflow.domain.views import Refusal, RefusalKind

PROGRAMS: dict[str, Any] = {
    "programs": [
        {"name": "north", "wire": "openadr", "sign": "load", "max_discharge_power_w": 100_000.0},
        {"name": "fast", "wire": "iec104", "sign": "generator", "unit": "MW", "max_discharge_power_w": 80_000.0, "max_orders_per_min": 2.0},
    ]
}


@pytest.fixture
def at(town: Any, ideal: dict[str, Any]) -> Any:
    return town(20, 1, plant=ideal, settings=PROGRAMS)


def order_of(at: Any, *steps: tuple[float, float], end: float, key: str = "e-1", program: str = "north") -> GridOrder:
    made = tuple(GridStep(from_s=at.now_s + after_s, discharge_power_w=power_w) for after_s, power_w in steps)
    return GridOrder(program=program, key=key, steps=made, end_s=at.now_s + end)


def place(at: Any, order: GridOrder) -> GridAnswer:
    answer: GridAnswer = at.do(at.grid.place(order))
    return answer


def later(at: Any, after_s: float, operation: Any) -> None:
    """Do something at a later time, without all that would have happened until then."""
    clock, at._clock = at._clock, lambda: at.world.now_s + after_s
    with pytest.raises(StopIteration):
        operation.send(None)
    at._clock = clock


def state_of(at: Any, answer: GridAnswer) -> DispatchState:
    state: DispatchState = at.operations.dispatch(answer.dispatch_id).instruction.state
    return state


def test_an_order_is_dispatched_answered_and_audited(at: Any) -> None:
    answer = place(at, order_of(at, (0.0, 50_000.0), end=300.0))
    assert answer.outcome is GridOutcome.ACCEPTED
    assert answer.feasibility is not None
    at.run(60)
    assert at.delivered_w() == pytest.approx(50_000.0, rel=0.05)
    entry = at.operations.audit(0.0, 10)[0]
    assert (entry.who, entry.action, entry.status) == ("openadr:north", "order e-1", 200)
    assert [notice.subject for notice in at.notices if notice.kind == "grid.order"] == ["north/e-1"]


def test_the_same_again_changes_nothing(at: Any) -> None:
    order = order_of(at, (0.0, 50_000.0), end=300.0)
    first = place(at, order)
    at.run(20)
    again = place(at, order)
    assert (again.outcome, again.dispatch_id) == (GridOutcome.UNCHANGED, first.dispatch_id)
    assert len(at.operations.dispatches()) == 1


def test_an_order_ends_when_it_says_however_long_it_took_to_be_taken(at: Any) -> None:
    """On a busy machine a dispatch begins later than its order was read; reports of the order's intervals would not add up to it."""
    order = order_of(at, (0.0, 50_000.0), (120.0, 40_000.0), end=300.0)
    clock, looks = at._clock, count()
    at._clock = lambda: at.world.now_s + 0.05 * next(looks)
    answer = place(at, order)
    at._clock = clock
    instruction = at.operations.dispatch(answer.dispatch_id).instruction
    assert instruction.start_s > order.steps[0].from_s + 0.1
    assert instruction.end_s == order.end_s


def test_a_changed_order_takes_over_without_a_stop(at: Any) -> None:
    first = place(at, order_of(at, (0.0, 60_000.0), end=600.0))
    at.run(60)
    changed = place(at, order_of(at, (0.0, 60_000.0), (60.0, 30_000.0), end=600.0))
    assert changed.outcome is GridOutcome.CHANGED
    at.run(50)
    assert min(-power_w for power_w in at.power_w[-45:]) > 0.85 * 60_000.0, "cars that both want go on"
    assert state_of(at, first) is not DispatchState.RUNNING
    at.run(60)
    assert at.delivered_w() == pytest.approx(30_000.0, rel=0.07)


def test_one_that_is_to_come_is_put_off_without_running_before(at: Any) -> None:
    first = place(at, order_of(at, (100.0, 60_000.0), end=600.0))
    second = place(at, order_of(at, (300.0, 60_000.0), end=600.0))
    assert state_of(at, first) is DispatchState.CANCELLED
    assert state_of(at, second) is DispatchState.SCHEDULED
    at.run(200)
    assert at.delivered_w() < 0.0, "the cars still charge"


def test_a_change_to_nothing_ends_it_and_past_orders_are_over(at: Any) -> None:
    first = place(at, order_of(at, (0.0, 60_000.0), end=600.0))
    at.run(30)
    nothing = place(at, order_of(at, (0.0, 0.0), end=600.0))
    assert (nothing.outcome, state_of(at, first)) == (GridOutcome.CHANGED, DispatchState.RESUMING)
    assert place(at, order_of(at, (-600.0, 60_000.0), end=-1.0, key="old")).outcome is GridOutcome.OVER
    assert place(at, order_of(at, (0.0, 0.0), end=60.0, key="none")).outcome is GridOutcome.ACCEPTED


def test_a_withdrawn_order_stops(at: Any) -> None:
    first = place(at, order_of(at, (0.0, 60_000.0), end=600.0))
    at.run(30)
    assert at.do(at.grid.withdraw("north", "e-1", "event deleted")).outcome is GridOutcome.WITHDRAWN
    assert state_of(at, first) is DispatchState.RESUMING
    again = place(at, order_of(at, (0.0, 60_000.0), end=600.0))
    assert again.dispatch_id != first.dispatch_id, "the operator may order it anew"
    unknown = at.do(at.grid.withdraw("north", "e-9", ""))
    assert (unknown.outcome, unknown.refusal.kind) == (GridOutcome.REFUSED, RefusalKind.NOT_FOUND)
    at.run(700)
    assert at.do(at.grid.withdraw("north", "e-1", "")).outcome is GridOutcome.OVER


def test_what_is_refused_is_answered_audited_and_leaves_the_former_version_standing(at: Any) -> None:
    first = place(at, order_of(at, (0.0, 60_000.0), end=600.0))
    refused = place(at, order_of(at, (0.0, 500_000.0), end=600.0))
    assert refused.refusal is not None
    assert "may order at most 100.0 kW" in refused.refusal.sentence
    assert at.operations.audit(0.0, 1)[0].status == 422
    assert state_of(at, first) is DispatchState.RUNNING
    assert [record.dispatch_id for record in at.grid.standing("north")] == [first.dispatch_id]
    other = place(at, order_of(at, (0.0, 10_000.0), end=60.0, key="e-2"))
    assert other.refusal is not None, "the pool is taken"
    assert [record.sentence[:8] for record in at.grid.standing("north") if record.order.key == "e-2"] == ["Dispatch"]
    nobody = place(at, order_of(at, (0.0, 10_000.0), end=60.0, program="south"))
    assert nobody.refusal is not None
    assert nobody.refusal.kind is RefusalKind.NOT_FOUND


def test_orders_are_refused_while_the_emergency_stop_is_on_and_may_be_repeated_after(at: Any) -> None:
    at.do(at.operations.emergency_stop(True, "test"))
    order = order_of(at, (0.0, 50_000.0), end=300.0)
    refused = place(at, order)
    assert refused.refusal is not None
    assert refused.refusal.kind is RefusalKind.STOPPED
    at.do(at.operations.emergency_stop(False, "test"))
    assert place(at, order).outcome is GridOutcome.ACCEPTED


def test_a_program_that_orders_too_often_is_held_back(at: Any) -> None:
    answers = [place(at, order_of(at, (600.0, 10_000.0), end=700.0 + number, program="fast")) for number in range(3)]
    assert [answer.accepted for answer in answers] == [True, True, False]
    assert answers[2].refusal is not None
    assert answers[2].refusal.kind is RefusalKind.TOO_OFTEN
    assert not place(at, order_of(at, (600.0, 10_000.0), end=799.0, program="fast")).accepted
    assert [entry.status for entry in at.operations.audit(0.0, 9)].count(429) == 1, "who orders too often does not fill the audit"
    at.run(31)
    assert place(at, order_of(at, (600.0, 10_000.0), end=800.0, program="fast")).accepted


def test_no_order_can_take_the_name_of_the_set_points(at: Any) -> None:
    first = at.do(at.grid.tell("fast", 40_000.0, None, None))
    refused = place(at, order_of(at, (0.0, 10_000.0), end=60.0, key=STREAM_KEY, program="fast"))
    assert (refused.outcome, state_of(at, first)) == (GridOutcome.REFUSED, DispatchState.RUNNING)
    assert not at.do(at.grid.withdraw("fast", STREAM_KEY, "")).accepted
    assert state_of(at, first) is DispatchState.RUNNING


def test_what_lies_far_ahead_is_placed_in_time(at: Any) -> None:
    far_s = MAX_DURATION_S + 40.0
    answer = place(at, order_of(at, (far_s, 10_000.0), end=far_s + 60.0))
    assert (answer.outcome, answer.dispatch_id) == (GridOutcome.ACCEPTED, None)
    at.do(at.grid.look_after())
    assert at.operations.dispatches() == []
    at.run(45)
    at.do(at.grid.look_after())
    (view,) = at.operations.dispatches()
    assert view.instruction.state is DispatchState.SCHEDULED
    at.do(at.grid.look_after())
    assert len(at.operations.dispatches()) == 1


def test_a_restart_knows_orders_and_notes(at: Any) -> None:
    order = order_of(at, (0.0, 50_000.0), end=300.0)
    first = place(at, order)
    at.grid.note(Wire.OPENADR, "anchor/e-1", {"now_s": 17.5})
    at.grid.note(Wire.OPENADR, "gone", 1)
    at.grid.note(Wire.OPENADR, "gone", None)
    at.grid.note(Wire.OPENADR, "gone", None)
    at.restart()
    assert at.grid.notes(Wire.OPENADR) == {"anchor/e-1": {"now_s": 17.5}}
    assert at.grid.notes(Wire.MQTT) == {}
    again = place(at, order)
    assert (again.outcome, again.dispatch_id) == (GridOutcome.UNCHANGED, first.dispatch_id)


def test_a_crash_between_the_dispatch_and_its_record_finds_the_dispatch_again(at: Any) -> None:
    journal: MemoryJournal = at.journal
    order = order_of(at, (0.0, 50_000.0), end=300.0)
    first = place(at, order)
    ((key, record),) = journal.documents(DocumentKind.GRID_ORDER)
    journal.put(DocumentKind.GRID_ORDER, key, replace(record, dispatch_id=None))
    at.restart()
    at.do(at.grid.look_after())
    assert len(at.operations.dispatches()) == 1
    assert place(at, order).dispatch_id == first.dispatch_id


def test_a_crash_between_the_record_of_a_change_and_its_dispatch_leaves_no_dispatch_alone(at: Any) -> None:
    journal: MemoryJournal = at.journal
    first = place(at, order_of(at, (0.0, 60_000.0), end=600.0))
    changed = order_of(at, (0.0, 30_000.0), end=600.0)
    ((key, record),) = journal.documents(DocumentKind.GRID_ORDER)
    journal.put(DocumentKind.GRID_ORDER, key, replace(record, order=changed, revision=record.revision + 1, dispatch_id=None))
    at.restart()
    at.do(at.grid.look_after())
    second = place(at, changed)
    assert second.dispatch_id not in (None, first.dispatch_id), "the change is made up for"
    assert state_of(at, first) is not DispatchState.RUNNING
    assert at.operations.dispatch(second.dispatch_id).instruction.steps[0].discharge_power_w == 30_000.0
    at.do(at.grid.look_after())
    assert len(at.operations.dispatches()) == 2


def crash_in_a_change(at: Any, changed: GridOrder) -> None:
    """The change was written down, and is not dispatched yet."""
    ((key, record),) = at.journal.documents(DocumentKind.GRID_ORDER)
    at.journal.put(DocumentKind.GRID_ORDER, key, replace(record, order=changed, revision=record.revision + 1, dispatch_id=None))
    at.restart()


def test_an_order_said_again_after_such_a_crash_is_carried_out_at_once(at: Any) -> None:
    first = place(at, order_of(at, (0.0, 60_000.0), end=600.0))
    changed = order_of(at, (0.0, 30_000.0), end=600.0)
    crash_in_a_change(at, changed)
    second = place(at, changed)
    assert (second.outcome, second.dispatch_id == first.dispatch_id) == (GridOutcome.CHANGED, False)
    assert state_of(at, first) is not DispatchState.RUNNING
    assert place(at, changed) == GridAnswer(outcome=GridOutcome.UNCHANGED, dispatch_id=second.dispatch_id, feasibility=second.feasibility)


def test_a_change_that_is_refused_after_such_a_crash_is_told_once_and_leaves_the_former_version(at: Any) -> None:
    first = place(at, order_of(at, (0.0, 60_000.0), end=600.0))
    crash_in_a_change(at, order_of(at, (0.0, 500_000.0), end=600.0))  # more than it may order: the settings were changed in between
    for _ in range(3):
        at.do(at.grid.look_after())
        at.run(30)
    refused = [entry for entry in at.operations.audit(0.0, 20) if entry.status == 422]
    assert [entry.action for entry in refused] == ["order e-1"]
    (record,) = at.grid.standing("north")
    assert (record.outcome, record.dispatch_id) == (GridOutcome.REFUSED, first.dispatch_id)
    assert "may order at most 100.0 kW" in record.sentence
    assert state_of(at, first) is DispatchState.RUNNING
    assert at.do(at.grid.withdraw("north", "e-1", "")).outcome is GridOutcome.WITHDRAWN
    assert state_of(at, first) is DispatchState.RESUMING


def test_a_change_to_later_that_a_crash_cut_off_ends_what_runs(at: Any) -> None:
    first = place(at, order_of(at, (0.0, 60_000.0), end=600.0))
    crash_in_a_change(at, order_of(at, (2.0 * MAX_DURATION_S, 60_000.0), end=3.0 * MAX_DURATION_S))
    at.do(at.grid.look_after())
    assert state_of(at, first) is not DispatchState.RUNNING


def test_a_withdrawal_after_such_a_crash_stops_what_still_runs(at: Any) -> None:
    journal: MemoryJournal = at.journal
    first = place(at, order_of(at, (0.0, 60_000.0), end=600.0))
    ((key, record),) = journal.documents(DocumentKind.GRID_ORDER)
    journal.put(DocumentKind.GRID_ORDER, key, replace(record, revision=record.revision + 1, dispatch_id=None))
    at.restart()
    assert at.do(at.grid.withdraw("north", "e-1", "")).outcome is GridOutcome.WITHDRAWN
    assert state_of(at, first) is DispatchState.CANCELLED


def test_an_order_without_end_goes_on_after_the_longest_dispatch_and_a_persons_cancel_stays(at: Any) -> None:
    answer = place(at, order_of(at, (0.0, 10_000.0), end=1e9))
    book = at.room.dispatcher.book
    instruction = book.instructions[answer.dispatch_id]
    assert instruction.end_s - instruction.start_s == MAX_DURATION_S
    at.do(at.operations.cancel(answer.dispatch_id, "a person"))
    at.do(at.grid.look_after())
    assert len(at.operations.dispatches()) == 1, "what a person ended stays ended"


def test_old_records_are_forgotten(at: Any) -> None:
    place(at, order_of(at, (-100.0, 10_000.0), end=-60.0))
    assert len(at.grid.standing("north")) == 1
    later(at, 8 * 86_400.0, at.grid.look_after())
    assert at.grid.standing("north") == []
    assert list(at.journal.documents(DocumentKind.GRID_ORDER)) == []


def test_the_name_of_an_order_that_is_forgotten_may_be_used_again(at: Any) -> None:
    place(at, order_of(at, (0.0, 500_000.0), end=60.0))  # more than it may order: the first version has no dispatch
    first = place(at, order_of(at, (0.0, 20_000.0), end=60.0))
    at.run(200)
    assert state_of(at, first) is DispatchState.COMPLETED
    later(at, 8 * 86_400.0, at.grid.look_after())
    for restarts, power_w in enumerate((20_000.0, 30_000.0, 10_000.0)):
        again = place(at, order_of(at, (0.0, power_w), end=600.0))
        assert (again.outcome, again.refusal) == (GridOutcome.CHANGED if restarts else GridOutcome.ACCEPTED, None)
        at.restart()
        at.do(at.grid.look_after())
        (record,) = at.grid.standing("north")
        assert record.dispatch_id == again.dispatch_id != first.dispatch_id
    assert len(at.operations.dispatches()) == 4


def test_orders_are_known_again_without_a_walk_through_all_dispatches_ever_known(at: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    far_s = 3.0 * MAX_DURATION_S
    place(at, order_of(at, (far_s, 10_000.0), end=far_s + 60.0))
    monkeypatch.setattr(at.operations, "dispatches", None)
    at.do(at.grid.look_after())
    assert place(at, order_of(at, (far_s, 20_000.0), end=far_s + 60.0)).refusal is None


def test_of_many_dispatches_the_newest_are_shown_and_those_that_are_open(at: Any) -> None:
    order = order_of(at, (3_600.0, 10_000.0), end=7_200.0, key="to come")
    to_come = place(at, order)
    at.run(1)
    over = []
    for number in range(3):
        over.append(place(at, order_of(at, (0.0, 10_000.0), end=60.0, key=f"e-{number}")).dispatch_id)
        at.run(150)
    assert [view.instruction.dispatch_id for view in at.operations.dispatches()] == [*reversed(over), to_come.dispatch_id]
    assert [view.instruction.dispatch_id for view in at.operations.dispatches(2)] == [over[2], over[1], to_come.dispatch_id]
    assert [view.instruction.dispatch_id for view in at.operations.dispatches(100)] == [*reversed(over), to_come.dispatch_id]


def test_set_points_open_a_dispatch_that_goes_on_and_falls_silent(at: Any) -> None:
    tell = lambda power_w, number: at.do(at.grid.tell("fast", power_w, None, number))  # noqa: E731
    assert tell(0.0, 0).outcome is GridOutcome.UNCHANGED
    assert at.operations.dispatches() == []
    first = tell(40_000.0, 1)
    assert first.outcome is GridOutcome.ACCEPTED
    for number in range(2, 14):
        at.run(4)
        assert tell(40_000.0, number).dispatch_id == first.dispatch_id
    assert at.delivered_w() == pytest.approx(40_000.0, rel=0.06)
    assert tell(40_000.0, 13).outcome is GridOutcome.UNCHANGED, "a double"
    refused = [tell(90_000.0, 14), tell(-1.0, 15), tell(90_000.0, 16)]
    assert not any(answer.accepted for answer in refused)
    asked = [entry.action for entry in at.operations.audit(0.0, 20) if entry.status != 200]
    assert len(asked) == 3, "each refusal that differs from the one before is written down"
    assert not tell(90_000.0, 17).accepted
    assert len([entry for entry in at.operations.audit(0.0, 20) if entry.status != 200]) == 3
    at.run(240)
    assert at.operations.dispatch(first.dispatch_id).stream.phase == "silent"
    assert at.grid.standing("fast") == [], "a stream is no order"


def test_a_stream_is_made_longer_while_it_asks_and_gives_its_pool_free_when_idle(at: Any) -> None:
    first = at.do(at.grid.tell("fast", 40_000.0, None, None))
    book = at.room.dispatcher.book
    end_s = book.instructions[first.dispatch_id].end_s
    at.do(at.grid.look_after())
    assert book.instructions[first.dispatch_id].end_s == end_s
    almost = end_s - at.now_s - 900.0
    later(at, almost, at.grid.tell("fast", 40_000.0, None, None))
    later(at, almost, at.grid.look_after())
    assert book.instructions[first.dispatch_id].end_s == pytest.approx(end_s + 2700.0)
    later(at, almost + 4.0, at.grid.tell("fast", 0.0, None, None))
    later(at, almost + IDLE_STREAM_S + 1.0, at.grid.look_after())
    assert book.instructions[first.dispatch_id].state is DispatchState.CANCELLED
    later(at, almost + IDLE_STREAM_S + 1.0, at.grid.look_after())
    again = at.do(at.grid.tell("fast", 40_000.0, None, None))
    assert again.dispatch_id != first.dispatch_id


def test_a_stream_whose_pool_is_taken_is_refused_and_written_down_once(at: Any) -> None:
    place(at, order_of(at, (0.0, 10_000.0), end=600.0))
    for _ in range(5):
        assert at.do(at.grid.tell("fast", 40_000.0, None, None)).refusal is not None
        at.run(4)
    assert [entry.action for entry in at.operations.audit(0.0, 20)] == [f"set-point {STREAM_KEY}", "order e-1"]
    assert at.grid._book.get("fast", STREAM_KEY).revision == 1


def test_a_stream_that_cannot_go_on_says_so(at: Any) -> None:
    first = at.do(at.grid.tell("fast", 40_000.0, None, None))
    end_s = at.room.dispatcher.book.instructions[first.dispatch_id].end_s
    taken = order_of(at, (end_s + 60.0 - at.now_s, 10_000.0), end=end_s + 600.0 - at.now_s)
    assert place(at, taken).accepted
    almost = end_s - at.now_s - 900.0
    later(at, almost, at.grid.tell("fast", 40_000.0, None, None))
    later(at, almost, at.grid.look_after())
    later(at, almost + 30.0, at.grid.look_after())
    assert at.room.dispatcher.book.instructions[first.dispatch_id].end_s == end_s
    said = [entry for entry in at.operations.audit(0.0, 20) if entry.action == f"set-points go on {STREAM_KEY}"]
    assert [entry.status for entry in said] == [409]


def test_a_stream_that_a_person_ended_stays_ended_until_its_source_asks_for_nothing(at: Any) -> None:
    first = at.do(at.grid.tell("fast", 40_000.0, None, None))
    at.run(20)
    at.do(at.operations.cancel(first.dispatch_id, "a person"))
    for _ in range(3):
        at.run(4)
        again = at.do(at.grid.tell("fast", 40_000.0, None, None))
        assert again.refusal is not None
        assert again.refusal.kind is RefusalKind.STOPPED
    assert at.do(at.grid.tell("fast", 0.0, None, None)).outcome is GridOutcome.UNCHANGED
    at.run(120)
    anew = at.do(at.grid.tell("fast", 40_000.0, None, None))
    assert anew.outcome is GridOutcome.ACCEPTED
    assert anew.dispatch_id != first.dispatch_id


def test_an_offer_to_a_wire_tells_the_storage_to_come_and_nothing_of_it_beyond_an_order(at: Any) -> None:
    calm = asyncio.run(at.grid.offer(PoolId("all"), 900.0))
    levels = [(one.charge_level_frac, one.max_charge_power_w) for one in calm.levels]
    seen = at.grid.telemetry(PoolId("all"))
    assert 1.0 >= levels[0][0] >= levels[-1][0] > 0.5 * seen.stored_energy_wh / seen.storage_capacity_wh
    assert 0.0 < levels[-1][1] <= levels[0][1] <= seen.max_charge_power_w
    place(at, order_of(at, (600.0, 50_000.0), end=1200.0))
    assert asyncio.run(at.grid.offer(PoolId("all"), 500.0)).levels[0].charge_level_frac is not None
    assert asyncio.run(at.grid.offer(PoolId("all"), 900.0)).levels[0].charge_level_frac is None


def test_an_order_for_nobody_is_audited_once_while_it_says_the_same(at: Any) -> None:
    refusal = Refusal(kind=RefusalKind.NOT_FOUND, sentence="It is for nobody.", remedy="Agree on a program.")
    for _ in range(3):
        at.grid.turned_away(Wire.OPENADR2, "e-7", {"market_context": "elsewhere"}, refusal)
    (entry,) = [entry for entry in at.operations.audit(0.0, 10) if entry.who == "openadr2"]
    assert (entry.action, entry.status, entry.after) == ("order e-7", 404, {"outcome": "refused", "sentence": "It is for nobody."})
    at._clock = lambda: at.world.now_s + SAID_AGAIN_S
    at.grid.turned_away(Wire.OPENADR2, "e-8", {}, refusal)
    assert list(at.grid._refused_last) == [("openadr2", "turned away e-8")], "names of orders never end: old ones are forgotten"


def test_set_points_of_nobody_and_under_an_emergency_stop_are_refused(at: Any) -> None:
    assert at.do(at.grid.tell("south", 1.0, None, None)).refusal.kind is RefusalKind.NOT_FOUND
    at.do(at.operations.emergency_stop(True, "test"))
    assert at.do(at.grid.tell("fast", 1_000.0, None, None)).refusal.kind is RefusalKind.STOPPED
    assert at.grid._book.get("fast", STREAM_KEY).outcome is GridOutcome.REFUSED


def test_alarms_of_wires_are_shown_and_leave_the_server_ready(at: Any) -> None:
    at.grid.alarm(Wire.OPENADR, "vtn", "The VTN has not answered for 3 min.")
    at.grid.alarm(Wire.OPENADR, "vtn", "The VTN has not answered for 3 min.")
    health = at.operations.health()
    assert health.ready
    assert health.alarms == ("The VTN has not answered for 3 min.",)
    at.grid.alarm(Wire.OPENADR, "vtn", None)
    assert at.operations.health().alarms == ()
    assert [notice.values["on"] for notice in at.notices if notice.kind == "grid.alarm"] == [True, False]
    assert [program.name for program in at.grid.programs(Wire.IEC104)] == ["fast"]
