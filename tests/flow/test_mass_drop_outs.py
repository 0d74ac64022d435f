"""Many cars leave at once: they are let go in portions, so that neither metering nor the tick that replaces them is held up."""

from typing import Any

import pytest
from msgspec.structs import replace

from counterflow.domain.delivery import LogKind
from counterflow.domain.ids import StationId
from counterflow.domain.reasons import ChangeReason
from counterflow.engine.control.book import Move
from counterflow.engine.control.decision import Release

AT_ONCE = 5


@pytest.fixture
def busy(town: Any, ideal: dict[str, Any]) -> Any:
    """Forty cars that follow an order, of which five are told something at a time."""
    at = town(40, 3, plant=ideal, settings={"dispatcher": {"fan_out_per_turn": AT_ONCE}})
    at.order(600.0)
    return at.run(40.0)


def task_of(at: Any) -> Any:
    [task] = at.room.dispatcher.book.tasks.values()
    return task


def releases_by_turn(at: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sessions were let go in each turn of the dispatcher from now on."""
    turns: list[int] = []
    dispatcher, release = at.room.dispatcher, at.room.placement.release
    advance = dispatcher.advance

    def counted(uid: Any, now_s: float, **more: Any) -> int:
        turns[-1] += 1
        cleared: int = release(uid, now_s, **more)
        return cleared

    def turn(now_s: float) -> None:
        turns.append(0)
        advance(now_s)

    monkeypatch.setattr(at.room.placement, "release", counted)
    monkeypatch.setattr(dispatcher, "advance", turn)
    return turns


def test_a_broken_network_is_dealt_with_in_portions_and_everybody_is_told_of(busy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    task, members = task_of(busy), set(task_of(busy).members)
    turns = releases_by_turn(busy, monkeypatch)
    busy.world.cut_all(30.0)
    busy.run(6.0)
    gone = members - task.members
    assert len(gone) > 4 * AT_ONCE
    assert max(turns) == AT_ONCE
    assert sum(turns) == len(gone) == task.drop_outs
    assert busy.room.dispatcher.carrying.pending == 0
    log = busy.journal.dispatch_log(task.instruction.dispatch_id)
    assert {entry.session_uid for entry in log if entry.kind == LogKind.LEFT} == gone
    told = [notice for notice in busy.notices if notice.kind == "session.dropped_out"]
    assert {int(notice.subject) for notice in told} == gone
    assert all(str(notice.values["station_id"]).startswith("SIM-") for notice in told)


def test_an_order_is_not_said_again_to_a_car_that_waits_to_be_let_go(busy: Any) -> None:
    room, now_s = busy.room, busy.now_s
    members = sorted(task_of(busy).members)
    for uid in members:
        room.fleet.exclude(uid, now_s + 300.0)
    room.dispatcher.run_tick(now_s)
    assert room.dispatcher.carrying.pending > 4 * AT_ONCE
    station_id = room.fleet.key_of(next(uid for uid in members if uid not in task_of(busy).members))[0]
    before = busy.calls(station_id)["SetChargingProfile"]
    room.placement.station_back(StationId(station_id), now_s)
    busy.run(3.0)
    assert busy.calls(station_id)["SetChargingProfile"] == before
    assert not room.ledger.of_station(StationId(station_id))


def test_what_was_decided_for_a_car_before_it_was_handed_back_and_not_sent_yet_is_not_sent_any_more(
    town: Any, ideal: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = town(40, 3, plant=ideal, settings={"dispatcher": {"fan_out_per_turn": AT_ONCE}})
    at.run(20.0)
    carrying, decided = at.room.dispatcher.carrying, []
    carry_out = carrying.carry_out

    def twice(task: Any, decision: Any, *more: Any) -> None:
        decided.extend(change.uid for change in decision.changes)
        carry_out(task, decision, *more)
        back = tuple(Release(row=change.row, uid=change.uid, reason=ChangeReason.WITHDRAWN) for change in decision.changes[:20])
        carry_out(task, replace(decision, joined=(), left=(), changes=(), releases=back), *more)

    monkeypatch.setattr(carrying, "carry_out", twice)
    at.order(600.0)
    at.run(1.0)
    assert len(decided) > 30
    assert carrying.pending == 0
    assert {record.session_uid for record in at.room.ledger} == set(decided[20:])
    assert task_of(at).members >= set(decided[:20]), "they may be needed again"


def test_what_a_cancelled_dispatch_had_told_its_cars_ahead_is_taken_back_in_portions(
    town: Any, ideal: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = town(40, 3, plant=ideal, settings={"dispatcher": {"fan_out_per_turn": AT_ONCE}})
    instruction = at.order(600.0, start_s=at.now_s + 120.0)
    at.run(110.0)
    members = len(task_of(at).members)
    assert members > 4 * AT_ONCE
    turns = releases_by_turn(at, monkeypatch)
    turns.append(0)
    at.do(at.operations.cancel(instruction.dispatch_id, "me"))
    at.run(5.0)
    assert (max(turns), sum(turns)) == (AT_ONCE, members)
    assert not at.left_behind()


def test_a_crash_between_two_portions_leaves_nothing_of_a_cancelled_dispatch_behind(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 3, plant=ideal, settings={"dispatcher": {"fan_out_per_turn": AT_ONCE}})
    instruction = at.order(600.0, start_s=at.now_s + 120.0)
    at.run(110.0)
    dispatcher = at.room.dispatcher
    dispatcher.stop(instruction.dispatch_id, Move.CANCEL, ChangeReason.CANCELLED, at.now_s, "me")
    dispatcher.carrying.hand_out(AT_ONCE, at.now_s)
    assert dispatcher.carrying.pending > 4 * AT_ONCE
    at.restart(away_s=1.0)
    at.run(60.0)
    assert len(at.room.ledger) == 0
    assert not at.left_behind()
    assert min(at.power_w[-40:]) >= 0.0
