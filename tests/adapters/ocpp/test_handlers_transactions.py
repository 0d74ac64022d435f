"""TransactionEvent and MeterValues in our words."""

from typing import Any

import pytest

from counterflow.domain.telemetry import EventKind, EvseMeasured, TransactionPhase, TransactionReported

AT = "2026-11-22T12:00:00.500Z"
AT_S = 1_795_348_800.5


def event(**changes: Any) -> dict[str, Any]:
    said: dict[str, Any] = {
        "eventType": "Updated", "timestamp": AT, "triggerReason": "MeterValuePeriodic", "seqNo": 14,
        "transactionInfo": {"transactionId": "tx"},
    }  # fmt: skip
    return said | changes


def report_of(desk: Any, said: dict[str, Any]) -> TransactionReported:
    desk.open_known()
    assert desk.says("TransactionEvent", said)[0] == 3
    [report] = desk.happened(TransactionReported)
    assert isinstance(report, TransactionReported)
    return report


def test_a_bare_event_leaves_all_else_unknown(desk: Any) -> None:
    report = report_of(desk, event())
    assert report == TransactionReported(
        station_id="S1", transaction_id="tx", kind=EventKind.UPDATED, at_s=AT_S, received_s=desk.now_s,
        trigger="MeterValuePeriodic", seq_no=14,
    )  # fmt: skip
    assert report.evse_id == 0
    assert report.phase is TransactionPhase.UNKNOWN


def test_a_full_event_is_carried_over(desk: Any) -> None:
    said = event(
        eventType="Ended",
        offline=True,
        numberOfPhasesUsed=1,
        evse={"id": 2, "connectorId": 1},
        transactionInfo={
            "transactionId": "tx", "chargingState": "SuspendedEV", "operationMode": "CentralSetpoint", "stoppedReason": "EVDisconnected",
        },
        meterValue=[
            {"timestamp": AT, "sampledValue": [{"value": 7.0, "measurand": "Power.Active.Export", "unitOfMeasure": {"unit": "kW"}}]},
        ],
    )  # fmt: skip
    report = report_of(desk, said)
    assert (report.kind, report.offline, report.phases_used, report.evse_id) == (EventKind.ENDED, True, 1, 2)
    assert (report.phase, report.operation_mode, report.stopped_reason) == (
        TransactionPhase.SUSPENDED_EV,
        "CentralSetpoint",
        "EVDisconnected",
    )
    assert report.measurements[0].power_w == -7000.0


@pytest.mark.parametrize("state", ["EVConnected", "Charging", "SuspendedEV", "SuspendedEVSE", "Idle"])
def test_every_charging_state_has_a_phase(desk: Any, state: str) -> None:
    report = report_of(desk, event(transactionInfo={"transactionId": "tx", "chargingState": state}))
    assert report.phase is not TransactionPhase.UNKNOWN
    assert report.phase.name.replace("_", "") == state.upper()


def test_e02_fr_02_a_token_is_answered_with_its_standing(desk: Any) -> None:
    desk.open_known()
    desk.policy.token_status = "Blocked"
    token = {"idToken": "A1", "type": "ISO14443", "additionalInfo": [{"additionalIdToken": "CAR", "type": "EVCCID"}]}
    assert desk.says("TransactionEvent", event(idToken=token))[2] == {"idTokenInfo": {"status": "Blocked"}}
    [report] = desk.happened(TransactionReported)
    assert (report.id_token, report.evccid) == ("A1", "CAR")
    assert desk.policy.asked == [("A1", "ISO14443", "CAR")]


def test_without_a_token_the_answer_is_empty(desk: Any) -> None:
    desk.open_known()
    assert desk.says("TransactionEvent", event())[2] == {}
    assert desk.policy.asked == []


def test_meter_values_of_an_evse_are_measured(desk: Any) -> None:
    desk.open_known()
    sampled = [{"value": 5000, "measurand": "Power.Active.Import", "unitOfMeasure": {"unit": "W"}}]
    assert desk.says("MeterValues", {"evseId": 2, "meterValue": [{"timestamp": AT, "sampledValue": sampled}]})[2] == {}
    [measured] = desk.happened(EvseMeasured)
    assert (measured.evse_id, measured.measurements[0].power_w, measured.measurements[0].at_s) == (2, 5000.0, AT_S)


def test_meter_values_without_anything_usable_are_taken_and_say_nothing(desk: Any) -> None:
    desk.open_known()
    sampled = [{"value": 230, "measurand": "Voltage", "unitOfMeasure": {"unit": "V"}}]
    assert desk.says("MeterValues", {"evseId": 1, "meterValue": [{"timestamp": AT, "sampledValue": sampled}]})[0] == 3
    assert desk.happened(EvseMeasured) == []


def test_dropped_values_are_counted_over_all_stations(desk: Any) -> None:
    for station in ("S1", "S2"):
        desk.open_known(station)
        sampled = [{"value": 500, "measurand": "SoC"}]
        desk.says("MeterValues", {"evseId": 1, "meterValue": [{"timestamp": AT, "sampledValue": sampled}]}, station)
    assert desk.csms.counters.dropped_values == {"value out of range": 2}
