"""Who is served before and after BootNotification (OCPP 2.1 part 2, B01 to B03)."""

from typing import Any

import pytest

from counterflow.adapters.ocpp.csms import BootStatus
from counterflow.domain.commands import ClearProfile, RawCall
from counterflow.domain.setpoints import Accepted, Offline, RawAnswer, Rejected
from counterflow.domain.telemetry import CommandCompleted, StationBooted

REPORT = {"requestId": 1, "generatedAt": "2026-11-22T12:00:00Z", "seqNo": 0}
CLEAR = ClearProfile(station_id="S1", profile_id=1, session_uid=1)


def raw(action: str, payload: dict[str, Any]) -> RawCall:
    return RawCall(station_id="S1", action=action, payload=payload, token=1)


def last_result(desk: Any) -> Any:
    return desk.happened(CommandCompleted)[-1].result


def test_b01_fr_10_before_any_boot_all_else_is_a_security_error(desk: Any) -> None:
    desk.open()
    for action in ("Heartbeat", "StatusNotification"):
        payload = {} if action == "Heartbeat" else {
            "timestamp": "2026-11-22T12:00:00Z", "connectorStatus": "Available", "evseId": 1, "connectorId": 1
        }  # fmt: skip
        frame = desk.says(action, payload)
        assert (frame[0], frame[2]) == (4, "SecurityError")
    assert desk.boot()[2]["status"] == "Accepted"
    assert desk.says("Heartbeat", {})[0] == 3


def test_a_station_that_thinks_it_was_accepted_is_asked_to_boot_once(desk: Any) -> None:
    desk.open()
    desk.says("Heartbeat", {})
    assert desk.call() == ("TriggerMessage", {"requestedMessage": "BootNotification"})
    desk.answer({"status": "Accepted"})
    desk.says("Heartbeat", {})
    assert desk.calls() == []


def test_b02_fr_09_while_pending_all_else_is_a_security_error(desk: Any) -> None:
    desk.policy.boot_status = BootStatus.PENDING
    desk.open()
    assert desk.boot()[2]["status"] == "Pending"
    assert desk.says("Heartbeat", {})[2] == "SecurityError"
    assert len(desk.happened(StationBooted)) == 1


def test_b02_fr_09_while_pending_what_we_asked_for_is_taken(desk: Any) -> None:
    desk.policy.boot_status = BootStatus.PENDING
    desk.open()
    desk.boot()
    assert desk.says("NotifyReport", REPORT)[2] == "SecurityError"
    desk.submit(raw("GetBaseReport", {"requestId": 1, "reportBase": "FullInventory"}))
    desk.answer({"status": "Accepted"})
    assert desk.says("NotifyReport", REPORT)[0] == 3
    desk.submit(raw("TriggerMessage", {"requestedMessage": "Heartbeat"}))
    desk.answer({"status": "Accepted"})
    assert desk.says("Heartbeat", {})[0] == 3


@pytest.mark.parametrize(
    ("action", "payload", "sent"),
    [
        ("GetVariables", {"getVariableData": [{"component": {"name": "A"}, "variable": {"name": "B"}}]}, True),
        ("Reset", {"type": "OnIdle"}, False),
        ("ClearCache", {}, False),
    ],
)
def test_b02_fr_02_while_pending_only_what_sets_a_station_up_is_asked(desk: Any, action: str, payload: dict[str, Any], sent: bool) -> None:
    desk.policy.boot_status = BootStatus.PENDING
    desk.open()
    desk.boot()
    desk.submit(raw(action, payload))
    assert bool(desk.calls()) == sent
    if not sent:
        assert last_result(desk).reason_code == "NotAccepted"


def test_while_pending_no_profile_of_ours_leaves_and_nothing_is_discovered(desk: Any) -> None:
    desk.policy.boot_status = BootStatus.PENDING
    desk.open()
    desk.boot()
    desk.submit(CLEAR)
    assert last_result(desk) == Offline()
    assert desk.calls() == []


def test_b03_fr_07_while_rejected_all_else_is_a_security_error_and_we_ask_nothing(desk: Any) -> None:
    desk.policy.boot_status = BootStatus.REJECTED
    desk.open()
    assert desk.boot()[2]["status"] == "Rejected"
    assert desk.says("Heartbeat", {})[2] == "SecurityError"
    desk.submit(raw("GetVariables", {"getVariableData": [{"component": {"name": "A"}, "variable": {"name": "B"}}]}))
    assert isinstance(last_result(desk), Rejected)
    desk.submit(CLEAR)
    assert last_result(desk) == Offline()
    assert desk.calls() == []
    assert desk.happened(StationBooted) == []


def test_a_station_accepted_later_is_served_and_discovered(desk: Any) -> None:
    desk.policy.boot_status = BootStatus.PENDING
    desk.open()
    desk.boot()
    desk.policy.boot_status = BootStatus.ACCEPTED
    desk.boot()
    assert desk.says("Heartbeat", {})[0] == 3
    assert desk.call()[0] == "GetVariables"


def test_a_station_that_is_rejected_after_it_was_accepted_loses_what_waited(desk: Any) -> None:
    desk.open_known()
    desk.submit(raw("ClearCache", {}))
    desk.submit(CLEAR)
    desk.policy.boot_status = BootStatus.REJECTED
    desk.boot()
    desk.answer({"status": "Accepted"})
    assert [event.result for event in desk.happened(CommandCompleted)] == [RawAnswer(payload={"status": "Accepted"}), Offline()]
    desk.close()
    desk.open()
    assert desk.says("Heartbeat", {})[2] == "SecurityError"


def test_5_4_a_reconnect_without_a_boot_is_served_at_once(desk: Any) -> None:
    desk.open_known()
    desk.submit(CLEAR)
    desk.answer({"status": "Accepted"})
    assert last_result(desk) == Accepted()


def test_b03_a_rejection_is_remembered_over_connections(desk: Any) -> None:
    desk.open()
    desk.boot()
    desk.policy.boot_status = BootStatus.REJECTED
    desk.boot()
    desk.close()
    desk.open()
    assert desk.says("Heartbeat", {})[2] == "SecurityError"
