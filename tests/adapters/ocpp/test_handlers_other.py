"""Availability, authorization, security and the honest neutral answers."""

from typing import Any

import pytest

from counterflow.domain.telemetry import Availability, CertificateRequested, EvseStatusChanged, StationBooted, StationWarned

AT = "2026-11-22T12:00:00Z"
AT_S = 1_795_348_800.0


def notified(component: dict[str, Any], variable: str, value: str, trigger: str = "Delta", **more: Any) -> dict[str, Any]:
    entry = {
        "eventId": 1, "timestamp": AT, "trigger": trigger, "actualValue": value, "component": component,
        "eventNotificationType": "HardWiredNotification", "variable": {"name": variable}, **more,
    }  # fmt: skip
    return {"generatedAt": AT, "seqNo": 0, "eventData": [entry]}


@pytest.mark.parametrize("status", ["Available", "Occupied", "Reserved", "Unavailable", "Faulted"])
def test_b01_fr_05_both_ways_to_say_a_status_say_the_same(desk: Any, status: str) -> None:
    desk.open_known()
    desk.says("StatusNotification", {"timestamp": AT, "connectorStatus": status, "evseId": 2, "connectorId": 1})
    desk.says("NotifyEvent", notified({"name": "Connector", "evse": {"id": 2, "connectorId": 1}}, "AvailabilityState", status))
    first, second = desk.happened(EvseStatusChanged)
    assert first == second
    assert first == EvseStatusChanged(station_id="S1", evse_id=2, connector_id=1, at_s=AT_S, availability=Availability[status.upper()])


@pytest.mark.parametrize(
    ("component", "evse_id"),
    [({"name": "EVSE", "evse": {"id": 3}}, 3), ({"name": "ChargingStation"}, 0), ({"name": "evse", "evse": {"id": 3}}, 3)],
)
def test_the_status_of_an_evse_or_station_has_no_connector(desk: Any, component: dict[str, Any], evse_id: int) -> None:
    desk.open_known()
    desk.says("NotifyEvent", notified(component, "AvailabilityState", "Faulted"))
    [event] = desk.happened(EvseStatusChanged)
    assert (event.evse_id, event.connector_id, event.availability) == (evse_id, 0, Availability.FAULTED)


def test_other_events_are_taken_without_a_status(desk: Any) -> None:
    desk.open_known()
    desk.says("NotifyEvent", notified({"name": "Connector"}, "AvailabilityState", "Levitating"))
    desk.says("NotifyEvent", notified({"name": "Clock"}, "AvailabilityState", "Available"))
    assert desk.happened(EvseStatusChanged) == []
    assert desk.happened(StationWarned) == []


def test_an_alert_is_told_once_and_a_cleared_one_not(desk: Any) -> None:
    desk.open_known()
    alert = notified({"name": "Cooling"}, "Temperature", "95", "Alerting")
    desk.says("NotifyEvent", alert)
    desk.says("NotifyEvent", alert)
    desk.says("NotifyEvent", notified({"name": "Cooling"}, "Temperature", "20", "Alerting", cleared=True))
    assert [(warning.kind, warning.text) for warning in desk.happened(StationWarned)] == [("alert", "Cooling.Temperature = 95")]


def test_q01_an_authorization_names_the_transfers_or_leaves_them_out(desk: Any) -> None:
    desk.open_known()
    token = {"idToken": {"idToken": "A1", "type": "eMAID", "additionalInfo": [{"additionalIdToken": "CAR", "type": "EVCCID"}]}}
    assert desk.says("Authorize", token)[2] == {"idTokenInfo": {"status": "Accepted"}}
    desk.policy.transfers = ("DC", "DC_BPT")
    assert desk.says("Authorize", token)[2] == {"idTokenInfo": {"status": "Accepted"}, "allowedEnergyTransfer": ["DC", "DC_BPT"]}
    assert desk.policy.asked[0] == ("A1", "eMAID", "CAR")


def test_b01_the_boot_answer_carries_time_and_interval(desk: Any) -> None:
    desk.open()
    assert desk.boot()[2] == {"currentTime": AT, "interval": 300, "status": "Accepted"}
    [event] = desk.happened(StationBooted)
    assert (event.identity.vendor_name, event.identity.model, event.identity.firmware_version) == ("Acme", "M1", "1.0")
    assert (event.identity.serial_number, event.boot_reason) == ("", "PowerUp")


def test_a_heartbeat_is_answered_with_the_time(desk: Any) -> None:
    desk.open_known()
    assert desk.says("Heartbeat", {})[2] == {"currentTime": AT}


def test_every_security_event_is_told(desk: Any) -> None:
    desk.open_known()
    for _ in range(2):
        desk.says("SecurityEventNotification", {"type": "TamperDetection", "timestamp": AT, "techInfo": "lid"})
    assert [(warning.kind, warning.text) for warning in desk.happened(StationWarned)] == [("security event", "TamperDetection: lid")] * 2


def test_a_failed_firmware_update_is_told(desk: Any) -> None:
    desk.open_known()
    for status in ("Downloading", "InstallationFailed"):
        desk.says("FirmwareStatusNotification", {"status": status})
    assert [warning.text for warning in desk.happened(StationWarned)] == ["InstallationFailed"]


@pytest.mark.parametrize(
    ("action", "request_", "status"),
    [
        ("DataTransfer", {"vendorId": "com.example"}, "UnknownVendorId"),
        ("SignCertificate", {"csr": "x"}, "Rejected"),
        ("VatNumberValidation", {"vatNumber": "NL1"}, "Rejected"),
        ("OpenPeriodicEventStream", {"constantStreamData": {"id": 1, "variableMonitoringId": 1, "params": {}}}, "Rejected"),
        ("Get15118EVCertificate", {"iso15118SchemaVersion": "x", "action": "Install", "exiRequest": "x"}, "Failed"),
    ],
)
def test_what_is_not_offered_here_is_refused_honestly(desk: Any, action: str, request_: dict[str, Any], status: str) -> None:
    desk.open_known()
    assert desk.says(action, request_)[2]["status"] == status


def test_a02_fr_02_a_signing_request_that_is_taken_is_handed_on(desk: Any) -> None:
    desk.open_known()
    desk.policy.no_signature = None
    assert desk.says("SignCertificate", {"csr": "x", "requestId": 7, "certificateType": "V2GCertificate"})[2] == {"status": "Accepted"}
    assert desk.says("SignCertificate", {"csr": "y"})[2] == {"status": "Accepted"}
    asked = [(event.csr, event.kind, event.request_id) for event in desk.happened(CertificateRequested)]
    assert asked == [("x", "V2GCertificate", 7), ("y", "ChargingStationCertificate", None)]


def test_a_stream_message_is_taken_without_an_answer(desk: Any) -> None:
    desk.open_known()
    stream = b'[6,"9","NotifyPeriodicEventStream",{"id":1,"pending":0,"basetime":"2026-11-22T12:00:00Z","data":[{"t":1,"v":"2"}]}]'
    desk.raw(stream)
    assert desk.csms.counters.requests == {"NotifyPeriodicEventStream": 1}
    assert desk.csms.counters.answers == desk.csms.counters.call_errors == 0
