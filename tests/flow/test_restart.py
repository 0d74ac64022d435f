"""The process dies in the middle of a dispatch and another one starts on the same journal (I8)."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from counterflow.domain.ids import StationId
from counterflow.domain.instructions import DispatchState
from counterflow.domain.records import DocumentKind, ProfileState
from counterflow.domain.setpoints import CommandResult, Rejected
from counterflow.domain.views import Refusal

END_S = 200.0


def test_i8_a_running_dispatch_goes_on_without_a_second_one(town: Any) -> None:
    at = town(80, 1)
    order = at.order(300.0)
    target_w = order.steps[0].discharge_power_w
    at.run(100)
    sessions = {(view.station_id, view.transaction_id) for view in at.do(at.operations.sessions())}
    died = len(at.power_w)
    at.restart(away_s=10.0)
    assert {(view.station_id, view.transaction_id) for view in at.do(at.operations.sessions())} == sessions
    assert at.view(order).instruction.state is DispatchState.RUNNING
    at.run(90)
    means_w = [-sum(at.power_w[second : second + 5]) / 5 for second in range(died, died + 85, 5)]
    assert max(means_w) <= 1.05 * target_w
    assert min(means_w) >= 0.93 * target_w, "orders at the stations go on by themselves"
    assert at.worst_error(target_w, died + 40, died + 90) <= 0.04
    at.run(110 + END_S)
    assert at.view(order).instruction.state is DispatchState.COMPLETED
    assert at.left_behind() == []


def test_i8_stations_that_stay_away_for_long_are_taken_back_within_30_s(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 2, plant=ideal)
    order = at.order(500.0, 0.7)
    target_w = order.steps[0].discharge_power_w
    at.run(60)
    back = len(at.power_w) + 150
    at.restart(away_s=150.0)
    at.run(190)
    assert at.worst_error(target_w, back + 30, back + 40) <= 0.06
    at.run(250 + END_S)
    assert at.left_behind() == []


def test_what_was_not_committed_when_it_died_never_left_the_house(town: Any, ideal: dict[str, Any]) -> None:
    """Texts depart only once their position is durable: here they wait for a commit that comes once a second."""
    at = town(20, 3, plant=ideal, manual=True, ready=held_until_durable)
    at.order(300.0, 0.7)
    at.run(3)
    at.each_second.clear()
    at.run(1)  # decided, handed in, neither committed nor sent
    at.restart(lose_pending=True)
    held_until_durable(at)
    at.run(60)
    known = {(record.station_id, record.profile_id) for record in at.room.ledger}
    assert set(at.world.fleet.remaining_profiles()) <= known
    at.run(240 + END_S)
    assert at.left_behind() == []


def held_until_durable(at: Any) -> None:
    """What `app.lines` does: a text leaves once the journal is durable up to its position."""
    held: list[Any] = []
    take = type(at.room).take_departing

    def departing() -> list[Any]:
        held.extend((at.journal.position, one) for one in take(at.room))
        ready = [one for position, one in held if position <= at.journal.durable_position]
        del held[: len(ready)]
        return ready

    at.room.take_departing = departing
    at.each_second.append(at.journal.commit)


def test_a_crash_between_ledger_and_wire_leaves_nothing_behind(town: Any, ideal: dict[str, Any]) -> None:
    at = town(10, 4, plant=ideal)
    at.room.take_departing = list  # in the ledger, but nothing leaves any more
    at.order(60.0, 0.7)
    at.run(2)
    assert len(at.room.ledger) > 0
    assert at.world.fleet.remaining_profiles() == []
    at.restart(away_s=90.0)  # the window is over when the stations are back
    at.run(90 + END_S)
    assert at.left_behind() == []


def test_profiles_of_a_dispatch_that_nobody_knows_any_more_are_cleared(town: Any, ideal: dict[str, Any]) -> None:
    at = town(10, 5, plant=ideal)
    order = at.order(600.0, 0.7)
    at.run(30)
    assert at.world.fleet.remaining_profiles() != []
    at.journal.delete(DocumentKind.DISPATCH, order.dispatch_id)
    at.restart()
    assert {record.state for record in at.room.ledger} == {ProfileState.CLEARING}
    at.run(30)
    assert at.left_behind() == []


def test_a_dispatch_that_was_resuming_is_brought_to_its_end(town: Any, ideal: dict[str, Any]) -> None:
    at = town(30, 6, plant=ideal)
    order = at.order(60.0, 0.7)
    at.run(80)
    assert at.view(order).instruction.state is DispatchState.RESUMING
    at.restart()
    at.run(END_S)
    assert at.view(order).instruction.state is DispatchState.COMPLETED
    assert at.left_behind() == []


def test_a_window_that_passed_while_nobody_was_there(town: Any, ideal: dict[str, Any]) -> None:
    at = town(10, 7, plant=ideal)
    running = at.order(60.0, 0.5)
    later = at.order(40.0, power_w=5_000.0, start_s=at.now_s + 70.0)
    at.run(20)
    at.journal.flush()
    at.world.cut_all()
    at.world.run_until(at.now_s + 300.0)
    at.restart()
    at.run(END_S)
    assert at.view(running).instruction.state is DispatchState.COMPLETED
    assert at.view(later).instruction.state in (DispatchState.ABORTED, DispatchState.COMPLETED)


def test_nothing_acknowledged_is_ever_lost(town: Any) -> None:
    """Each answer leaves after a commit of what was written before it; then the process dies with all that came later."""
    at = town(10, 8, warm_up_s=0.0, manual=True)
    waiting: dict[str, tuple[str, float]] = {}
    acknowledged: list[tuple[str, float]] = []
    hear, take = at.room.received, at.room.take_departing

    def noted(station_id: str, text: bytes, now_s: float) -> None:
        frame = msgspec.json.decode(text)
        if frame[0] == 2 and frame[2] == "TransactionEvent":
            for value in frame[3].get("meterValue", ()):
                waiting[frame[1]] = (station_id, datetime.fromisoformat(value["timestamp"]).timestamp())
        hear(station_id, text, now_s)

    def departing() -> list[Any]:
        leaving = list(take())
        at.journal.commit()
        acknowledged.extend(waiting.pop(frame[1]) for one in leaving if (frame := msgspec.json.decode(one.text))[1] in waiting)
        return leaving

    at.room.received, at.room.take_departing = noted, departing
    at.run(60)
    sessions = {view.session_uid: view.station_id for view in at.do(at.operations.sessions())}
    at.restart(lose_pending=True)
    kept = {(sessions[sample.session_uid], sample.at_s) for sample in at.journal.samples(sessions, 0.0, 2e9)}
    assert len(acknowledged) >= 40
    assert set(acknowledged) <= kept


def test_a_raw_call_is_answered_and_an_absent_station_is_said_to_be_absent(town: Any) -> None:
    at = town(1, 9, warm_up_s=20.0)
    station_id = StationId(at.world.stations[0].station_id)
    results: list[CommandResult] = []
    query = {"getVariableData": [{"component": {"name": "OCPPCommCtrlr"}, "variable": {"name": "HeartbeatInterval"}}]}
    at.world.at(at.now_s, lambda: at.room.call(station_id, "GetVariables", query, at.now_s, results.append))
    at.run(1)
    at.world.cut(station_id)
    at.room.call(station_id, "GetVariables", query, at.now_s, results.append)
    assert [type(one).__name__ for one in results] == ["RawAnswer", "Offline"]
    at.run(10)


def test_a_raw_call_that_is_no_ocpp_is_refused_with_a_sentence(town: Any) -> None:
    at = town(1, 9, warm_up_s=20.0)
    results: list[CommandResult] = []
    at.room.call(StationId(at.world.stations[0].station_id), "GetVariables", {}, at.now_s, results.append)
    [refused] = results
    assert isinstance(refused, Rejected)
    assert "getVariableData" in refused.text


def test_a_removed_station_leaves_no_session_open_not_even_after_a_restart(town: Any, ideal: dict[str, Any]) -> None:
    at = town(6, 9, plant=ideal)
    gone = at.do(at.operations.sessions())[0]
    at.do(at.operations.remove_station(gone.station_id))
    assert gone.station_id not in {view.station_id for view in at.do(at.operations.sessions())}
    [record] = [one for _, one in at.journal.documents(DocumentKind.SESSION) if one.session_uid == gone.session_uid]
    assert record.ended_s == at.now_s
    at.restart()
    assert gone.session_uid not in {view.session_uid for view in at.do(at.operations.sessions())}


def test_r04_a_grid_fault_and_b04_a_faulted_connector_outlive_the_process_until_the_station_takes_them_back(
    town: Any, ideal: dict[str, Any]
) -> None:
    at = town(3, 10, plant=ideal)

    def says(number: int, action: str, payload: dict[str, Any]) -> None:
        at.world.csms.received(at.world.stations[number].station_id, msgspec.json.encode([2, f"{at.now_s}", action, payload]), at.now_s)
        at.run(2)

    def reasons() -> list[str]:
        return [view.reason for view in at.do(at.operations.sessions())]

    def status(now: str) -> dict[str, Any]:
        return {"timestamp": datetime.fromtimestamp(at.now_s, UTC).isoformat(), "connectorStatus": now, "evseId": 1, "connectorId": 1}

    alarm = {"controlType": "FreqDroop", "timestamp": "2026-11-22T17:00:30Z"}
    says(0, "NotifyDERAlarm", alarm)
    says(1, "StatusNotification", status("Faulted"))
    assert reasons() == ["grid_fault", "evse_faulted", "ready"]
    at.restart(away_s=3.0)
    at.run(60)
    assert reasons() == ["grid_fault", "evse_faulted", "ready"]
    says(0, "NotifyDERAlarm", alarm | {"alarmEnded": True})
    says(1, "StatusNotification", status("Occupied"))
    assert reasons() == ["ready"] * 3
    assert not list(at.journal.documents(DocumentKind.STATION_FAULTS))


def test_a_grid_fault_whose_end_was_never_said_is_lifted_by_a_person(town: Any, ideal: dict[str, Any]) -> None:
    at = town(2, 11, plant=ideal)
    station_id = StationId(at.world.stations[0].station_id)
    refused = at.do(at.operations.release_station(station_id, "ops", ""))
    assert isinstance(refused, Refusal)
    alarm = {"controlType": "HVMustTrip", "timestamp": "2026-11-22T17:00:30Z"}
    at.world.csms.received(station_id, msgspec.json.encode([2, "a", "NotifyDERAlarm", alarm]), at.now_s)
    at.run(2)
    assert at.do(at.operations.sessions())[0].reason == "grid_fault"
    at.do(at.operations.release_station(station_id, "ops", "the grid is well"))
    at.restart(away_s=3.0)
    at.run(60)
    assert at.do(at.operations.sessions())[0].reason == "ready"
