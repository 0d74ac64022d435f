"""The whole CSMS side played by hand: lines, commands, their order and their ends."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from counterflow.adapters.ocpp.csms import AuthorizationAnswer
from counterflow.domain.commands import (
    ClearProfile,
    Command,
    MoveSetpoint,
    PlaceDischarge,
    PlaceFallback,
    RawCall,
    ReadComposite,
    ReadProfiles,
    RequestSample,
)
from counterflow.domain.resources import ControlMode
from counterflow.domain.setpoints import (
    Accepted,
    NothingThere,
    NotSupported,
    Offline,
    RawAnswer,
    Rejected,
    Superseded,
    TimedOut,
)
from counterflow.domain.telemetry import (
    CommandCompleted,
    CommandSent,
    EventKind,
    ProfilesReported,
    StationBooted,
    StationConnected,
    StationDisconnected,
    StationWarned,
    TransactionPhase,
    TransactionReported,
)

NOON_S = 1_795_348_800.0


def discharge(power_w: float = -7000.0, *, profile: int = 11, session: int = 1, station: str = "S1", **changes: Any) -> PlaceDischarge:
    order: dict[str, Any] = {
        "station_id": station, "evse_id": 1, "transaction_id": "tx", "session_uid": session, "profile_id": profile, "stack_level": 8,
        "power_w": power_w, "start_s": NOON_S, "discharge_until_s": NOON_S + 900, "hold_until_s": NOON_S + 960,
        "control_mode": ControlMode.SETPOINT,
    }  # fmt: skip
    return PlaceDischarge(**order | changes)


def moved(power_w: float = -5000.0, *, profile: int = 11, session: int = 1, urgent: bool = False) -> MoveSetpoint:
    return MoveSetpoint(
        station_id="S1", evse_id=1, transaction_id="tx", session_uid=session, profile_id=profile, power_w=power_w,
        discharge_until_s=NOON_S + 900, hold_until_s=NOON_S + 900, watchdog_s=120, urgent=urgent,
    )  # fmt: skip


def fallback(*, profile: int = 12, session: int = 1) -> PlaceFallback:
    return PlaceFallback(
        station_id="S1", evse_id=1, transaction_id="tx", session_uid=session, profile_id=profile, stack_level=7,
        charge_power_w=3000.0, start_s=NOON_S,
    )  # fmt: skip


def clear(*, profile: int = 11, session: int = 1, urgent: bool = False) -> ClearProfile:
    return ClearProfile(station_id="S1", profile_id=profile, session_uid=session, urgent=urgent)


def raw(action: str, payload: dict[str, Any] | None = None, token: int = 1) -> RawCall:
    return RawCall(station_id="S1", action=action, payload=payload or {}, token=token)


def results(desk: Any) -> list[tuple[Command, Any]]:
    return [(event.command, event.result) for event in desk.happened(CommandCompleted)]


def sent_profiles(desk: Any) -> list[float | str]:
    """Answers every waiting call and lists what they were: setpoints, limits, `clear`."""
    said: list[float | str] = []
    while desk.calls():
        action, payload = desk.call()
        if action == "SetChargingProfile":
            period = payload["chargingProfile"]["chargingSchedule"][0]["chargingSchedulePeriod"][0]
            said.append(period.get("setpoint", period.get("limit")))
        else:
            update = payload.get("scheduleUpdate")
            said.append(update["setpoint"] if update else "clear" if action == "ClearChargingProfile" else action)
        desk.answer({"status": "Accepted"})
    return said


def test_what_has_left_is_told_apart_from_what_was_replaced_or_never_could(desk: Any) -> None:
    desk.submit(clear())  # no line: it cannot leave
    desk.open_known()
    desk.submit(discharge(power_w=-1000.0))
    desk.submit(discharge(power_w=-2000.0))
    desk.submit(discharge(power_w=-3000.0))  # takes the place of the one that waits
    assert [event.command.power_w for event in desk.happened(CommandSent)] == [-1000.0]
    sent_profiles(desk)
    assert [event.command.power_w for event in desk.happened(CommandSent)] == [-1000.0, -3000.0]


# ---- lines


def test_a_station_boots_reports_a_transaction_and_takes_a_setpoint(desk: Any) -> None:
    desk.open()
    assert desk.boot()[2]["status"] == "Accepted"
    while desk.calls():
        desk.refuse("NotSupported")
    started = {
        "eventType": "Started", "timestamp": "2026-11-22T12:00:00Z", "triggerReason": "CablePluggedIn", "seqNo": 0,
        "transactionInfo": {"transactionId": "tx", "chargingState": "Charging"}, "evse": {"id": 1, "connectorId": 1},
        "meterValue": [{"timestamp": "2026-11-22T12:00:00Z", "sampledValue": [{"value": 5, "measurand": "SoC"}]}],
    }  # fmt: skip
    assert desk.says("TransactionEvent", started)[2] == {}
    [report] = desk.happened(TransactionReported)
    assert (report.kind, report.phase, report.evse_id, report.at_s) == (EventKind.STARTED, TransactionPhase.CHARGING, 1, NOON_S)
    assert report.measurements[0].soc_frac == 0.05
    desk.submit(discharge())
    assert desk.call()[0] == "SetChargingProfile"
    desk.answer({"status": "Accepted"})
    assert results(desk) == [(discharge(), Accepted())]
    desk.close()
    assert [type(event) for event in desk.events if isinstance(event, StationConnected | StationBooted | StationDisconnected)] == [
        StationConnected,
        StationBooted,
        StationDisconnected,
    ]


def test_a_known_station_is_served_at_once(desk: Any) -> None:
    desk.open_known()
    assert desk.says("Heartbeat", {})[0] == 3
    assert desk.calls() == []


def test_a_station_that_booted_in_this_life_is_served_at_once_when_it_comes_back(desk: Any) -> None:
    desk.open()
    desk.boot()
    desk.close()
    desk.open()
    assert desk.says("Heartbeat", {})[0] == 3


def test_a_new_connection_ends_what_the_old_one_had(desk: Any) -> None:
    desk.open_known()
    desk.submit(discharge())
    desk.ignore()
    desk.open_known()
    assert results(desk) == [(discharge(), TimedOut())]
    assert len(desk.happened(StationDisconnected)) == 1
    assert desk.csms.counters.lines == 1


def test_only_served_subprotocols_are_opened(desk: Any) -> None:
    with pytest.raises(ValueError, match=r"ocpp1\.5"):
        desk.csms.open("S1", "ocpp1.5", NOON_S)


def test_a_station_that_is_not_open_is_not_heard(desk: Any) -> None:
    assert desk.csms.receive("S1", b'[2,"1","Heartbeat",{}]', NOON_S) == []
    assert desk.csms.close("S1", NOON_S, "gone") == []


# ---- commands and how they end


def test_a_command_for_an_absent_station_is_offline_at_once(desk: Any) -> None:
    desk.submit(discharge())
    assert results(desk) == [(discharge(), Offline())]


@pytest.mark.parametrize(
    ("command", "answer", "result"),
    [
        (discharge(), {"status": "Accepted"}, Accepted()),
        (
            discharge(),
            {"status": "Rejected", "statusInfo": {"reasonCode": "TxNotFound", "additionalInfo": "gone"}},
            Rejected(reason_code="TxNotFound", text="gone"),
        ),
        (discharge(), {"status": "Rejected"}, Rejected(reason_code="", text="Rejected")),
        (fallback(), {"status": "Accepted"}, Accepted()),
        (clear(), {"status": "Accepted"}, Accepted()),
        (clear(), {"status": "Unknown"}, NothingThere()),
        (RequestSample(station_id="S1", evse_id=1), {"status": "Accepted"}, Accepted()),
        (
            RequestSample(station_id="S1", evse_id=1),
            {"status": "NotImplemented"},
            NotSupported(code="NotImplemented"),
        ),
        (ReadProfiles(station_id="S1", request_id=3), {"status": "Accepted"}, Accepted()),
        (raw("GetLocalListVersion"), {"versionNumber": 3}, RawAnswer(payload={"versionNumber": 3})),
    ],
)
def test_answers_become_results(desk: Any, command: Command, answer: dict[str, Any], result: Any) -> None:
    desk.open_known()
    desk.submit(command)
    desk.answer(answer)
    assert results(desk) == [(command, result)]


def test_no_profiles_is_nothing_there_and_an_empty_report(desk: Any) -> None:
    desk.open_known()
    desk.submit(ReadProfiles(station_id="S1", request_id=3))
    desk.answer({"status": "NoProfiles"})
    assert results(desk)[0][1] == NothingThere()
    [report] = desk.happened(ProfilesReported)
    assert (report.request_id, report.profiles, report.last) == (3, (), True)


def test_a_callerror_is_not_supported_and_for_a_person_it_is_said_as_it_is(desk: Any) -> None:
    desk.open_known()
    desk.submit(discharge())
    desk.refuse("NotImplemented", "no")
    desk.submit(raw("Reset", {"type": "OnIdle"}))
    desk.refuse("InternalError", "oh")
    assert [result for _, result in results(desk)] == [
        NotSupported(code="NotImplemented", text="no"),
        RawAnswer(error_code="InternalError", error_text="oh"),
    ]


def test_a_time_out_is_an_unknown_outcome_and_the_next_command_leaves(desk: Any) -> None:
    desk.open_known()
    desk.submit(discharge())
    desk.submit(fallback())
    desk.ignore()
    assert desk.csms.next_deadline_s() == NOON_S + 30.0
    desk.wait(29.9)
    assert results(desk) == []
    desk.wait(0.1)
    assert results(desk) == [(discharge(), TimedOut())]
    assert desk.call()[1]["chargingProfile"]["id"] == 12


def test_an_answer_that_cannot_be_read_is_an_unknown_outcome(desk: Any) -> None:
    desk.open_known()
    desk.submit(discharge())
    desk.answer({"status": ["?"]})
    assert results(desk) == [(discharge(), TimedOut())]


def test_a_late_answer_is_told_but_changes_nothing(desk: Any) -> None:
    desk.open_known()
    desk.submit(discharge())
    late = desk.ignore()
    desk.wait(31)
    desk.raw(f'[3,"{late[1]}",{{"status":"Accepted"}}]'.encode())
    assert [result for _, result in results(desk)] == [TimedOut()]
    assert desk.csms.counters.late_answers == 1
    assert [warning.kind for warning in desk.happened(StationWarned)] == ["late answer"]


def test_a_lost_line_makes_what_was_in_flight_unknown_and_what_waited_offline(desk: Any) -> None:
    desk.open_known()
    desk.submit(fallback())
    desk.submit(discharge())
    desk.close()
    assert results(desk) == [(fallback(), TimedOut()), (discharge(), Offline())]


def test_a_raw_call_that_makes_no_sense_is_refused_with_a_sentence(desk: Any) -> None:
    desk.open_known()
    desk.submit(raw("SetVariables", {"setVariableData": []}))
    desk.submit(raw("GetVariabels"))
    first, second = [result for _, result in results(desk)]
    assert isinstance(first, Rejected)
    assert isinstance(second, Rejected)
    assert first.reason_code == second.reason_code == "InvalidRequest"
    assert "GetVariables" in second.text
    assert desk.calls() == []


def test_an_order_that_cannot_be_placed_is_rejected_and_one_that_is_over_never_leaves(desk: Any) -> None:
    desk.open_known()
    desk.submit(discharge(power_w=5.0))
    desk.now_s += 960
    desk.submit(discharge())
    rejected, over = [result for _, result in results(desk)]
    assert isinstance(rejected, Rejected)
    assert rejected.reason_code == "NotPlaceable"
    assert over == Offline()


def test_raw_calls_without_end_are_not_queued_without_end(desk: Any) -> None:
    desk.open_known()
    for token in range(100):
        desk.submit(raw("GetLocalListVersion", token=token))
    refused = [result for _, result in results(desk)]
    assert len(refused) == 100 - 64 - 1
    assert all(isinstance(result, Rejected) and result.reason_code == "QueueFull" for result in refused)


# ---- the order in which commands leave


def test_only_the_newest_discharge_of_a_profile_leaves(desk: Any) -> None:
    desk.open_known()
    desk.submit(fallback(profile=99, session=9))
    for watts in (-1000.0, -2000.0, -3000.0):
        desk.submit(discharge(watts))
    assert [result for _, result in results(desk)] == [Superseded(), Superseded()]
    assert sent_profiles(desk) == [3000.0, -3000.0]
    assert len(results(desk)) == 4


def test_discharges_of_different_profiles_do_not_replace_each_other(desk: Any) -> None:
    desk.open_known()
    desk.submit(fallback(profile=99, session=9))
    desk.submit(discharge(-1000.0, profile=21, session=2))
    desk.submit(discharge(-2000.0, profile=31, session=3))
    assert sent_profiles(desk) == [3000.0, -1000.0, -2000.0]


def test_urgent_commands_leave_first(desk: Any) -> None:
    desk.open_known()
    desk.submit(fallback(profile=99, session=9))
    desk.submit(discharge(-1000.0, profile=21, session=2))
    desk.submit(raw("GetLocalListVersion"))
    desk.submit(discharge(-2000.0, profile=31, session=3, urgent=True))
    desk.answer({"status": "Accepted"})
    assert desk.call()[1]["chargingProfile"]["id"] == 31


def test_what_only_looks_waits_behind_everything_else_and_the_newest_question_counts(desk: Any) -> None:
    desk.open_known()
    desk.submit(discharge(-1000.0, profile=11, session=1))  # in flight
    desk.submit(ReadProfiles(station_id="S1", request_id=3))
    desk.submit(ReadComposite(station_id="S1", evse_id=1, duration_s=900))
    desk.submit(ReadProfiles(station_id="S1", request_id=4))
    desk.submit(clear(profile=21, session=2))
    desk.submit(discharge(-2000.0, profile=31, session=3, urgent=True))
    actions = []
    while desk.calls():
        actions.append(desk.call()[0])
        desk.answer({"status": "Accepted"})
    assert actions == ["SetChargingProfile", "SetChargingProfile", "ClearChargingProfile", "GetCompositeSchedule", "GetChargingProfiles"]
    assert (ReadProfiles(station_id="S1", request_id=3), Superseded()) in results(desk)


def test_an_urgent_discharge_does_not_overtake_the_fallback_of_its_session(desk: Any) -> None:
    desk.open_known()
    desk.submit(discharge(-1000.0, profile=21, session=2))
    desk.submit(discharge(-1500.0, profile=31, session=3))
    desk.submit(fallback())
    desk.submit(discharge(-2000.0, urgent=True))
    assert sent_profiles(desk) == [-1000.0, 3000.0, -2000.0, -1500.0]


def test_a_clear_is_not_overtaken_by_an_older_discharge(desk: Any) -> None:
    desk.open_known()
    desk.submit(fallback(profile=99, session=9))
    desk.submit(discharge(-1000.0))
    desk.submit(clear(urgent=True))
    assert sent_profiles(desk) == [3000.0, "clear"]
    assert (discharge(-1000.0), Superseded()) in results(desk)


def test_a_discharge_after_a_clear_leaves_after_it(desk: Any) -> None:
    desk.open_known()
    desk.submit(fallback(profile=99, session=9))
    desk.submit(clear())
    desk.submit(discharge(-1000.0, urgent=True))
    desk.submit(discharge(-2000.0, urgent=True))
    assert sent_profiles(desk) == [3000.0, "clear", -2000.0]


def test_a_fallback_is_never_dropped_in_the_queue(desk: Any) -> None:
    desk.open_known()
    desk.submit(discharge(-1.0, profile=99, session=9))
    desk.submit(fallback())
    desk.submit(fallback())
    desk.submit(clear(profile=12))
    assert sent_profiles(desk) == [-1.0, 3000.0, 3000.0, "clear"]


def test_of_updates_that_wait_only_the_newest_leaves_after_its_profile(desk: Any) -> None:
    desk.open_known()
    desk.submit(fallback(profile=99, session=9))
    desk.submit(discharge(-1000.0))
    desk.submit(moved(-2000.0))
    desk.submit(moved(-3000.0))
    assert sent_profiles(desk) == [3000.0, -1000.0, -3000.0]
    assert (moved(-2000.0), Superseded()) in results(desk)


def test_a_new_profile_and_a_clear_make_a_waiting_update_pointless(desk: Any) -> None:
    desk.open_known()
    desk.submit(fallback(profile=99, session=9))
    desk.submit(moved(-2000.0))
    desk.submit(discharge(-1000.0))
    desk.submit(moved(-2000.0, profile=21, session=2))
    desk.submit(clear(profile=21, session=2))
    assert sent_profiles(desk) == [3000.0, -1000.0, "clear"]


def test_an_update_to_0_w_leaves_first_when_it_is_urgent(desk: Any) -> None:
    desk.open_known()
    desk.submit(fallback(profile=99, session=9))
    desk.submit(moved(-1000.0, profile=21, session=2))
    desk.submit(discharge(-1500.0, profile=31, session=3))
    desk.submit(moved(0.0, profile=11, urgent=True))
    assert sent_profiles(desk) == [3000.0, 0.0, -1000.0, -1500.0]


# ---- faults and figures


def test_a_fault_of_ours_is_answered_internal_error_and_told(desk: Any) -> None:
    desk.open()
    desk.policy.failure = RuntimeError("broken")
    frame = desk.boot()
    assert frame[0] == 4
    assert frame[2] == "InternalError"
    [warning] = desk.happened(StationWarned)
    assert "broken" in warning.text
    desk.policy.failure = None
    assert desk.boot()[2]["status"] == "Accepted"


def test_salvaged_fields_are_counted_and_told_once(desk: Any) -> None:
    desk.open_known()
    status = {"timestamp": "2026-11-22T12:00:00Z", "connectorStatus": "Available", "evseId": 1.0, "connectorId": 1}
    for _ in range(3):
        assert desk.says("StatusNotification", status)[0] == 3
    assert desk.csms.counters.salvaged == 3
    assert len([warning for warning in desk.happened(StationWarned) if warning.kind == "salvaged"]) == 1


def test_garbage_is_counted_told_once_and_does_not_disturb_another_station(desk: Any) -> None:
    desk.open_known("S1")
    desk.open_known("S2")
    for _ in range(50):
        desk.raw(b"\xff[", "S1")
    assert desk.csms.counters.violations == 50
    assert len(desk.happened(StationWarned)) == 1
    assert desk.says("Heartbeat", {}, "S2")[0] == 3


def test_messages_are_counted_by_action(desk: Any) -> None:
    desk.open_known()
    desk.says("Heartbeat", {})
    desk.says("Heartbeat", {})
    desk.says("Nonsense", {})
    desk.submit(clear())
    desk.answer({"status": "Unknown"})
    counters = desk.csms.counters
    assert counters.requests == {"Heartbeat": 2}
    assert counters.calls == {"ClearChargingProfile": 1}
    assert counters.outcomes == {"Answered": 1}
    assert (counters.answers, counters.call_errors) == (2, 1)


def test_stations_time_out_each_at_its_own_time_and_old_alarms_do_nothing(desk_with: Callable[..., Any]) -> None:
    desk = desk_with(call_timeout_s=10.0)
    for number in range(20):
        desk.open_known(f"S{number}")
        desk.submit(discharge(station=f"S{number}"))
        desk.now_s += 1.0
    for number in range(0, 20, 2):
        desk.answer({"status": "Accepted"}, f"S{number}")
    desk.close("S1")
    desk.wait(100.0)
    timed_out = [command.station_id for command, result in results(desk) if result == TimedOut()]
    assert sorted(timed_out) == sorted(f"S{number}" for number in range(1, 20, 2))
    assert desk.csms.next_deadline_s() is None


AUTHORIZE = {"idToken": {"idToken": "DECFW1", "type": "Central"}}


def test_c01_an_authorize_may_be_answered_later_and_nothing_waits_behind_it(desk: Any) -> None:
    desk.open_known()
    desk.policy.deferred = 7
    desk.raw(json.dumps([2, "auth", "Authorize", AUTHORIZE]).encode())
    assert desk.says("Heartbeat", {})[0] == 3
    desk.csms.authorized(7, AuthorizationAnswer("Accepted", ("DC", "DC_BPT")))
    [answer] = [json.loads(out.text) for out in desk.csms.take_outbox()]
    assert answer == [3, "auth", {"idTokenInfo": {"status": "Accepted"}, "allowedEnergyTransfer": ["DC", "DC_BPT"]}]
    desk.csms.authorized(7, AuthorizationAnswer("Blocked"))
    assert desk.csms.take_outbox() == []


def test_an_answer_whose_line_has_gone_is_passed_over(desk: Any) -> None:
    desk.open_known()
    desk.policy.deferred = 8
    desk.raw(json.dumps([2, "auth", "Authorize", AUTHORIZE]).encode())
    desk.csms.close("S1", desk.now_s, "gone")
    desk.csms.authorized(8, AuthorizationAnswer("Accepted"))
    assert desk.csms.take_outbox() == []


def test_a_profile_of_ours_needs_no_search_for_identifiers_and_what_a_person_typed_does(desk: Any) -> None:
    desk.open_known()
    profile = {
        "id": 1, "stackLevel": 0, "chargingProfilePurpose": "TxProfile", "chargingProfileKind": "Relative", "transactionId": "tx",
        "chargingSchedule": [{"id": 1, "chargingRateUnit": "W", "chargingSchedulePeriod": [{"startPeriod": 0, "limit": 1.0}]}],
    }  # fmt: skip
    commands = (discharge(), raw("SetChargingProfile", {"evseId": 1, "chargingProfile": profile}), fallback(), clear())
    plain = []
    for command in commands:
        desk.csms.submit(command, NOON_S)
        [said] = [out for out in desk.csms.take_outbox() if out.is_call]
        plain.append(said.names_nobody)
        desk.csms.receive(said.station_id, json.dumps([3, json.loads(said.text)[1], {"status": "Accepted"}]).encode(), NOON_S)
    assert plain == [True, False, True, False]
