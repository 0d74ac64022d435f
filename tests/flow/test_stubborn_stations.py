"""Stations that refuse, do not know how, or say nothing: never a loop, and others take over (4.4)."""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from counterflow.adapters.ocpp import messages as m
from counterflow.domain.instructions import DispatchState
from counterflow.domain.reasons import Reason

END_S = 250.0


def refusing(reason_code: str) -> Callable[[Any, Any], bytes | None]:
    """SetChargingProfile is answered Rejected with this code."""
    return lambda frame: [3, frame[1], {"status": "Rejected", "statusInfo": {"reasonCode": reason_code}}]


def erring(code: str) -> Callable[[Any], Any]:
    """SetChargingProfile is answered with a CALLERROR."""
    return lambda frame: [4, frame[1], code, "", {}]


def mute(frame: Any) -> None:
    """No answer at all."""


WAYS = {
    "InvalidMessageSeq": refusing("InvalidMessageSeq"),
    "RateLimitExceeded": refusing("RateLimitExceeded"),
    "InvalidStackLevel": refusing("InvalidStackLevel"),
    "DuplicateProfile": refusing("DuplicateProfile"),
    "TxNotFound": refusing("TxNotFound"),
    "InvalidSchedule": refusing("InvalidSchedule"),
    "UnsupportedPurpose": refusing("UnsupportedPurpose"),
    "no reason": refusing("Whatever"),
    "NotImplemented": erring("NotImplemented"),
    "InternalError": erring("InternalError"),
    "mute": mute,
}


def stubborn(at: Any, rows: range, way: Callable[[Any], Any], only: Callable[[dict[str, Any]], bool] = lambda _profile: True) -> None:
    """The stations of these rows treat SetChargingProfile their own way; everything else works."""
    at.answering("SetChargingProfile", way, rows, lambda payload: only(payload["chargingProfile"]))


@pytest.mark.parametrize("name", list(WAYS))
def test_refusals_never_loop_and_others_take_over(town: Any, ideal: dict[str, Any], name: str) -> None:
    at = town(24, 1, plant=ideal)
    stubborn(at, range(6), WAYS[name])
    order = at.order(240.0, 0.55)
    at.run(240)
    each = Counter(one.station_id for one in at.sent if one.action in ("SetChargingProfile", "ClearChargingProfile"))
    assert max(each[f"SIM-{row + 1:05d}"] for row in range(6)) <= 14
    assert at.worst_error(order.steps[0].discharge_power_w, 220, 290, mean_s=30) <= 0.06
    at.run(END_S)
    assert at.view(order).instruction.state is DispatchState.COMPLETED
    assert at.left_behind() == []


@pytest.mark.parametrize("name", ["InvalidStackLevel", "mute", "NotImplemented"])
def test_a_fallback_that_is_taken_and_a_discharge_that_is_not(town: Any, ideal: dict[str, Any], name: str) -> None:
    at = town(16, 2, plant=ideal)

    def discharges(profile: dict[str, Any]) -> bool:
        return "setpoint" in profile["chargingSchedule"][0]["chargingSchedulePeriod"][0]

    stubborn(at, range(4), WAYS[name], only=discharges)
    order = at.order(180.0, 0.5)
    at.run(180)
    each = Counter(one.station_id for one in at.sent if one.action in ("SetChargingProfile", "ClearChargingProfile"))
    assert max(each[f"SIM-{row + 1:05d}"] for row in range(4)) <= 16
    at.run(END_S)
    assert at.view(order).instruction.state is DispatchState.COMPLETED
    assert at.left_behind() == []


def test_a_refused_session_says_so_and_rests(town: Any, ideal: dict[str, Any]) -> None:
    at = town(12, 3, plant=ideal)
    stubborn(at, range(12), refusing("InvalidSchedule"))
    order = at.order(120.0, 0.5)
    at.run(20)
    resting = [view for view in at.do(at.operations.sessions()) if view.reason == Reason.COOLING_DOWN.name.lower()]
    assert len(resting) >= 10
    refused = [notice for notice in at.notices if notice.kind == "session.refused"]
    assert "malformed" in refused[0].text
    assert any(notice.kind == "dispatch.shortfall" for notice in at.notices)
    assert at.view(order).drop_outs >= 10


def test_a_level_that_is_taken_is_tried_once_more_above(town: Any, ideal: dict[str, Any]) -> None:
    at = town(6, 4, plant=ideal)
    levels: list[int] = []

    def ours_is_taken(profile: dict[str, Any]) -> bool:
        levels.append(profile["stackLevel"])
        return bool(profile["stackLevel"] <= 8)

    stubborn(at, range(6), refusing("InvalidStackLevel"), only=ours_is_taken)
    order = at.order(120.0, 0.6)
    at.run(110)
    assert set(levels) == {7, 9, 10}
    assert at.delivered_w() == pytest.approx(order.steps[0].discharge_power_w, rel=0.06)
    at.run(END_S)
    assert at.left_behind() == []


def test_clears_that_are_not_answered_are_repeated_ever_more_rarely(town: Any, ideal: dict[str, Any]) -> None:
    at = town(4, 5, plant=ideal)
    import json

    station = at.world.stations[0]
    receive = station.receive

    def deaf_to_clears(text: bytes, now_s: float) -> None:
        if json.loads(text)[2] != "ClearChargingProfile":
            receive(text, now_s)

    station.receive = deaf_to_clears
    at.order(40.0, 0.9)
    at.run(40 + 1_200)
    assert 4 <= at.calls(station.station_id)["ClearChargingProfile"] <= 16
    assert {record.station_id for record in at.room.ledger} == {station.station_id}
    station.receive = receive
    at.run(900)
    assert at.left_behind() == []


def test_unknown_is_success(town: Any, ideal: dict[str, Any]) -> None:
    at = town(6, 6, plant=ideal)
    at.order(40.0, 0.9)
    at.run(30)
    for station in at.world.stations:
        station.state.profiles.forget_tx_profiles()
    at.run(END_S)
    assert len(at.room.ledger) == 0
    assert at.calls()["ClearChargingProfile"] <= 12


def test_after_a_reboot_the_fallback_stands_again_before_the_discharge(town: Any, ideal: dict[str, Any]) -> None:
    """A station may lose its transaction profiles and keep the transaction."""
    at = town(4, 7, plant=ideal)
    order = at.order(300.0, 0.9)
    at.run(60)
    station = next(one for row, one in enumerate(at.world.stations) if at.world.power_w[row] < -1_000.0)
    station._reboot(at.now_s)
    at.world.at(at.now_s, lambda: None)
    rebooted_s = at.now_s
    at.run(60)
    sent = [one for one in at.sent if one.station_id == station.station_id and one.at_s > rebooted_s]
    again = [one.payload["chargingProfile"] for one in sent if one.action == "SetChargingProfile"]
    assert len(station.installed_profiles) == 2
    first, second = again[0]["chargingSchedule"][0], again[1]["chargingSchedule"][0]
    assert first["chargingSchedulePeriod"][0]["operationMode"] == "ChargingOnly"
    assert second["chargingSchedulePeriod"][0]["operationMode"] == "CentralSetpoint"
    assert at.delivered_w() == pytest.approx(order.steps[0].discharge_power_w, rel=0.1)
    at.run(200 + END_S)
    assert at.left_behind() == []


def test_lines_that_break_again_and_again_leave_nothing_behind(town: Any) -> None:
    at = town(30, 8)
    at.order(200.0, 0.7)
    for second in range(0, 200, 10):
        at.run(10)
        for row in range(second // 10, 30, 4):
            at.world.cut(at.world.stations[row].station_id, 3.0 + row % 7)
    at.run(END_S)
    assert at.left_behind() == []


def test_cars_that_leave_while_their_clear_is_under_way(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 9, plant=ideal)
    order = at.order(60.0, 0.7)
    at.run(60)

    def leave(sent: Any) -> None:
        if sent.action == "ClearChargingProfile" and int(sent.station_id[-1]) % 2:
            station = at.world.stations[int(sent.station_id[-5:]) - 1]
            at.world.at(at.now_s, lambda: station.unplug(at.now_s))

    at.on_sent.append(leave)
    at.run(END_S)
    assert at.view(order).instruction.state is DispatchState.COMPLETED
    assert at.left_behind() == []


def test_needs_are_answered_by_whether_a_profile_follows(town: Any, ideal: dict[str, Any]) -> None:
    answers: list[str] = []

    def watched(at: Any) -> None:
        for station in at.world.stations:
            answered = station.operation.needs_answered

            def noted(evse: Any, status: str, now_s: float, answered: Any = answered) -> None:
                answers.append(status)
                answered(evse, status, now_s)

            station.operation.needs_answered = noted

    at = town(6, 10, plant=ideal, ready=watched)
    assert set(answers) == {"NoChargingProfile"}
    answers.clear()
    at.order(300.0, 0.5)
    for station in at.world.stations[:2]:
        station.unplug(at.now_s)
    at.run(5)
    for station in at.world.stations[:2]:
        station.plug_in(at.now_s)
        at.world.at(at.now_s, lambda: None)
    at.run(20)
    assert set(answers) == {"Processing"}
    assert m.NotifyEVChargingNeedsResponse(status="Processing")


@pytest.mark.parametrize("consent", [True, False])
def test_only_with_consent_is_a_bidirectional_transfer_offered(town: Any, consent: bool) -> None:
    at = town(4, 11, settings={"drivers": {"default": {"consent": consent}}})
    for station in at.world.stations:
        evse = station.state.first_evse
        assert bool(evse.allowed) is consent
        assert evse.bidirectional is consent
    if not consent:
        assert {view.reason for view in at.do(at.operations.sessions())} == {"no_consent"}
        assert at.offer_w(60.0) == 0.0


def test_k01_a_car_on_one_phase_is_told_so_and_a_station_that_wants_no_number_of_phases_gets_none(town: Any, ideal: dict[str, Any]) -> None:
    at = town(4, 12, plant=ideal, mix={"dc_share": 0.0}, settings={"refusals": {"short_rest_s": 5.0}})
    for station in at.world.stations:
        evse = station.state.first_evse
        moment = datetime.fromtimestamp(at.now_s, UTC).isoformat()
        info = {"transactionId": evse.transaction_id, "chargingState": "Charging"}
        event = {"eventType": "Updated", "timestamp": moment, "triggerReason": "ChargingStateChanged", "seqNo": 99, "transactionInfo": info}
        at.world.csms.received(station.station_id, json.dumps([2, "p", "TransactionEvent", event | {"numberOfPhasesUsed": 1}]), at.now_s)
    stubborn(
        at,
        range(1),
        refusing("NoPhaseForDC"),
        only=lambda profile: "numberPhases" in profile["chargingSchedule"][0]["chargingSchedulePeriod"][0],
    )
    at.order(90.0, 0.9)
    at.run(60)
    sent = [one for one in at.sent if one.action == "SetChargingProfile"]

    def phases(one: Any) -> list[Any]:
        return [period.get("numberPhases") for period in one.payload["chargingProfile"]["chargingSchedule"][0]["chargingSchedulePeriod"]]

    assert all(set(phases(one)) == {1} for one in sent if one.station_id != "SIM-00001")
    mine = [phases(one) for one in sent if one.station_id == "SIM-00001"]
    assert mine[0] == [1]
    assert len(mine) >= 2
    assert all(set(one) == {None} for one in mine[1:])
    at.run(200)
    assert at.left_behind() == []
