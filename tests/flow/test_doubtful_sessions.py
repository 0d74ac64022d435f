"""Sessions that nothing is heard of although their station is there (E14, F06.FR.07, gotcha 22)."""

from typing import Any

import msgspec

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.domain.ids import StationId
from counterflow.domain.records import DocumentKind, SessionRecord

QUIET_S = 150.0
"""Long enough for a session to be silent, and in doubt, and its station asked."""


def test_gotcha_22_a_transaction_that_a_reboot_swallowed_with_its_end_is_found_over(town: Any, ideal: dict[str, Any]) -> None:
    at = town(3, 1, plant=ideal)
    lost = at.world.stations[0]
    lost.power_cycle(at.now_s, keeps_profiles=False, keeps_transaction=False, keeps_queue=False)
    lost.state.first_evse.waiting = False  # its car has left meanwhile
    at.world.cut(lost.station_id, 3.0)
    at.run(QUIET_S)
    assert at.calls(lost.station_id)["GetTransactionStatus"] == 1
    assert lost.station_id not in {view.station_id for view in at.do(at.operations.sessions())}
    assert at.room.doubts.found_over == 1
    assert at.calls("SIM-00002")["GetTransactionStatus"] == at.calls("SIM-00002")["TriggerMessage"] == 0
    at.restart()
    assert lost.station_id not in {view.station_id for view in at.do(at.operations.sessions())}


def test_f06_fr_07_one_that_goes_on_is_asked_for_a_sample_ever_more_rarely(town: Any, ideal: dict[str, Any]) -> None:
    at = town(2, 2, plant=ideal)
    mute = at.world.stations[0]
    mute.state.meter_interval_s = 0
    at.run(QUIET_S)
    assert "SIM-00001" in {view.station_id for view in at.do(at.operations.sessions())}
    assert at.calls("SIM-00001")["GetTransactionStatus"] == at.calls("SIM-00001")["TriggerMessage"] == 1
    assert at.room.doubts.found_over == 0
    at.run(900)
    assert 3 <= at.calls("SIM-00001")["GetTransactionStatus"] <= 9


def says_when_asked(at: Any, station: Any, answer: ocpp.GetTransactionStatusResponse) -> None:
    """What a station answers to GetTransactionStatus, whatever is so."""
    hear = station.receive

    def receive(text: bytes, now_s: float) -> None:
        frame = msgspec.json.decode(text)
        if frame[0] == 2 and frame[2] == "GetTransactionStatus":
            at.world.csms.received(station.station_id, msgspec.json.encode([3, frame[1], msgspec.to_builtins(answer)]), now_s)
        else:
            hear(text, now_s)

    station.receive = receive


def test_e14_what_is_still_queued_may_tell_the_end_itself(town: Any, ideal: dict[str, Any]) -> None:
    at = town(2, 3, plant=ideal)
    station = at.world.stations[0]
    station.state.meter_interval_s = 0
    says_when_asked(at, station, ocpp.GetTransactionStatusResponse(messages_in_queue=True, ongoing_indicator=False))
    at.run(QUIET_S)
    assert at.calls("SIM-00001")["GetTransactionStatus"] == 1
    assert "SIM-00001" in {view.station_id for view in at.do(at.operations.sessions())}


def test_a_transaction_that_was_called_over_and_goes_on_is_taken_up_again(town: Any, ideal: dict[str, Any]) -> None:
    at = town(2, 4, plant=ideal)
    station = at.world.stations[0]
    [before] = [view for view in at.do(at.operations.sessions()) if view.station_id == "SIM-00001"]
    station.state.meter_interval_s = 0
    says_when_asked(at, station, ocpp.GetTransactionStatusResponse(messages_in_queue=False, ongoing_indicator=False))
    at.run(QUIET_S)
    assert "SIM-00001" not in {view.station_id for view in at.do(at.operations.sessions())}
    station.operation.tell(station.state.first_evse, "Updated", "MeterValuePeriodic", at.now_s, context="Sample.Periodic")
    at.world.at(at.now_s, lambda: None)
    at.run(5)
    [again] = [view for view in at.do(at.operations.sessions()) if view.station_id == "SIM-00001"]
    assert (again.transaction_id, again.evse_id) == (before.transaction_id, 1)
    assert again.session_uid != before.session_uid


def test_a_station_that_cannot_tell_is_asked_for_a_sample_from_then_on(town: Any, ideal: dict[str, Any]) -> None:
    at = town(1, 5, plant=ideal, station={"unknown_actions": ["GetTransactionStatus"]})
    at.world.stations[0].state.meter_interval_s = 0
    at.run(900)
    assert at.calls("SIM-00001")["GetTransactionStatus"] == 1
    assert at.calls("SIM-00001")["TriggerMessage"] >= 3


def test_tx_not_found_is_asked_about_at_once_and_the_session_is_over(town: Any, ideal: dict[str, Any]) -> None:
    at = town(4, 6, plant=ideal)
    station = at.world.stations[0]
    evse = station.state.first_evse
    station.state.profiles.forget_transaction(evse.transaction_id)
    evse.transaction_id = "another"  # as after a reboot that nobody told of
    at.order(60.0, 0.9)
    at.run(15)
    assert at.calls("SIM-00001")["GetTransactionStatus"] == 1
    assert at.room.doubts.found_over == 1
    at.run(200)
    assert at.left_behind() == []
    assert StationId("SIM-00001") in at.room.connected


def test_a_transaction_that_was_called_over_has_its_end_from_the_station_in_the_end(town: Any, ideal: dict[str, Any]) -> None:
    at = town(2, 4, plant=ideal)
    station = at.world.stations[0]
    station.state.meter_interval_s = 0
    says_when_asked(at, station, ocpp.GetTransactionStatusResponse(messages_in_queue=False, ongoing_indicator=False))
    at.run(QUIET_S)

    def record() -> SessionRecord:
        [found] = [one for _, one in at.journal.documents(DocumentKind.SESSION) if one.station_id == "SIM-00001"]
        return found

    assert record().end_assumed
    assumed_s = record().ended_s
    assert assumed_s is not None
    told: list[SessionRecord] = []
    at.room.on_ended = lambda one, _now_s: told.append(one)
    at.world.at(at.now_s, lambda: station.unplug(at.now_s))
    at.run(5)
    assert not record().end_assumed
    assert record().ended_s > assumed_s
    assert told == [record()]
