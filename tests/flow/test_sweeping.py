"""Emergency stop and clear-all over many profiles: at once in what is refused, in portions in what is sent."""

from collections import Counter
from typing import Any

import pytest

from counterflow.domain.commands import ClearProfile
from counterflow.domain.records import ProfileState
from counterflow.domain.views import Refusal, RefusalKind

AT_ONCE = 5


@pytest.fixture
def deaf(town: Any, ideal: dict[str, Any]) -> Any:
    """Forty stations that followed an order, were let go, and did not answer to that: profiles of ours that no dispatch holds."""
    at = town(40, 3, plant=ideal, settings={"dispatcher": {"fan_out_per_turn": AT_ONCE}, "ledger": {"clear_retry_s": 3600.0}})
    order = at.order(600.0)
    at.run(40.0)
    at.answering("ClearChargingProfile", lambda _frame: None)
    while at.room.dispatcher.book.owner:
        for uid in sorted(at.room.fleet.uids()):
            at.room.fleet.exclude(uid, at.now_s + 3600.0)
        at.room.dispatcher.run_tick(at.now_s)
        at.run(60.0)
    assert not at.room.dispatcher.book.owner
    assert len(at.room.ledger) > 4 * AT_ONCE
    assert {record.state for record in at.room.ledger} == {ProfileState.CLEARING}
    assert at.view(order).members == 0
    return at


def clears_by_turn(at: Any, monkeypatch: pytest.MonkeyPatch) -> list[Counter[Any]]:
    """Which clears were sent in each turn of the dispatcher from now on, and before the first."""
    turns: list[Counter[Any]] = [Counter()]
    dispatcher, clearing = at.room.dispatcher, at.room.placement._clearing
    advance, submit = dispatcher.advance, clearing._link.submit

    def submitted(command: Any, now_s: float) -> None:
        if isinstance(command, ClearProfile):
            turns[-1][command.station_id, command.urgent] += 1
        submit(command, now_s)

    def turn(now_s: float) -> None:
        turns.append(Counter())
        advance(now_s)

    monkeypatch.setattr(clearing._link, "submit", submitted)
    monkeypatch.setattr(dispatcher, "advance", turn)
    return turns


@pytest.mark.parametrize("stop", [True, False])
def test_everything_is_cleared_in_portions(deaf: Any, monkeypatch: pytest.MonkeyPatch, stop: bool) -> None:
    stations = {record.station_id for record in deaf.room.ledger if record.kind == "discharge"}
    turns = clears_by_turn(deaf, monkeypatch)
    deaf.do(deaf.operations.emergency_stop(True, "me") if stop else deaf.operations.clear_all("me"))
    if stop:
        refused = deaf.try_order(60.0, 1_000.0)
        assert isinstance(refused, Refusal)
        assert refused.kind is RefusalKind.STOPPED
    deaf.run(1.0)
    assert max(turn.total() for turn in turns) == AT_ONCE
    assert sum(turns, Counter()) == Counter({(station_id, stop): 1 for station_id in stations})
    assert not deaf.room.placement.sweep


def test_a_stop_while_a_clear_all_is_under_way_makes_what_is_left_urgent_and_sends_nothing_twice(
    deaf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, keep = deaf.room, frozenset[Any]()
    turns = clears_by_turn(deaf, monkeypatch)
    many = room.placement.clear_everything(keep)
    assert room.placement.clear_everything(keep, urgent=True) == many == len(room.placement.sweep)
    deaf.run(1.0)
    assert {urgent for turn in turns for _, urgent in turn} == {True}
    assert set(sum(turns, Counter()).values()) == {1}


def test_who_is_ordered_anew_after_a_clear_all_keeps_the_new_order(town: Any, ideal: dict[str, Any]) -> None:
    at = town(10, 3, plant=ideal, settings={"dispatcher": {"fan_out_per_turn": AT_ONCE}})
    at.order(600.0)
    at.run(40.0)
    placement, orders = at.room.placement, dict(at.room.placement._latest)
    again = max(orders)
    placement.clear_everything(frozenset())
    assert placement._latest == {}, "from now on nothing of theirs is repeated"
    placement.place(orders[again], at.now_s)
    while placement.sweep:
        placement.sweep.send(AT_ONCE, at.now_s)
    left = {record.session_uid for record in at.room.ledger if record.state is not ProfileState.CLEARING}
    assert left == {again}


def test_a_stop_is_sent_whole_and_at_once_where_ticks_fail(deaf: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server rests for a second after a tick that failed: forty clears a second would take minutes."""

    def fails(_now_s: float) -> None:
        raise ZeroDivisionError

    dispatcher, stations = deaf.room.dispatcher, {record.station_id for record in deaf.room.ledger if record.kind == "discharge"}
    monkeypatch.setattr(dispatcher, "_move_by_time", fails)
    turns = clears_by_turn(deaf, monkeypatch)
    dispatcher.emergency_stop(True, deaf.now_s, "me")
    with pytest.raises(ZeroDivisionError):
        dispatcher.advance(dispatcher.rhythm.next_s)
    assert sum(turns, Counter()) == Counter({(station_id, True): 1 for station_id in stations})


def test_cars_that_discharge_are_told_to_stop_where_ticks_fail(town: Any, ideal: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_now_s: float) -> None:
        raise ZeroDivisionError

    at = town(40, 3, plant=ideal, settings={"dispatcher": {"fan_out_per_turn": AT_ONCE}})
    at.order(600.0)
    at.run(40.0)
    dispatcher = at.room.dispatcher
    monkeypatch.setattr(dispatcher, "_move_by_time", fails)
    dispatcher.emergency_stop(True, at.now_s, "me")
    assert dispatcher.carrying.pending > AT_ONCE
    with pytest.raises(ZeroDivisionError):
        dispatcher.advance(dispatcher.rhythm.next_s)
    assert not dispatcher.carrying.pending
    orders = at.room.placement._latest.values()
    assert {placing.power_w for placing in orders} == {0.0}


def test_a_server_that_falls_between_two_portions_of_a_stop_knows_after_its_start_what_is_left_to_clear(deaf: Any) -> None:
    deaf.room.dispatcher.emergency_stop(True, deaf.now_s, "me")
    deaf.room.advance(deaf.now_s)
    assert deaf.room.placement.sweep, "some are not sent yet"
    deaf.restart()
    assert not deaf.room.placement.sweep
    for station in deaf.world.stations:
        del station.receive  # it answers again
    deaf.run(60.0)
    assert deaf.room.dispatcher.latch.on
    assert deaf.left_behind() == []
