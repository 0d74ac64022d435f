"""Authorize waits for the call-out, the rest does not; what was said of discharge holds in the session, through restarts."""

import json
from typing import Any

import msgspec
import pytest

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.config import Settings
from counterflow.app.control_room import ControlRoom
from counterflow.app.drivers.authorizing import Question, Told, Verdict
from counterflow.app.replay import message_ids
from counterflow.domain.ids import StationId, TransactionId

T = 1_795_366_800.0
TOKEN = {"idToken": "DECFW1", "type": "Central"}
BOOT_1_6 = {"chargePointVendor": "V", "chargePointModel": "M"}
BOOT = {"chargingStation": {"vendorName": "V", "model": "M"}, "reason": "PowerUp"}


class House:
    """A control room, one station, and a call-out that answers when it is told to."""

    def __init__(self, journal: MemoryJournal | None = None, subprotocol: str = "ocpp2.1") -> None:
        settings = {"stations": {"accept_unknown": True}, "drivers": {"default": {"consent": True}}}
        self.journal = journal or MemoryJournal()
        self.asked: list[tuple[Question, Told]] = []
        self.room = ControlRoom(
            msgspec.convert(settings, Settings),
            self.journal,
            new_message_id=message_ids(1),
            notify=lambda _notice: None,
            ask=lambda question, told: self.asked.append((question, told)),
        )
        self.room.restore(T)
        self.room.opened("S", subprotocol, T)
        self.says("BootNotification", BOOT_1_6 if subprotocol == "ocpp1.6" else BOOT)

    def says(self, action: str, payload: dict[str, Any]) -> dict[str, Any] | None:
        """The answer, or None when there is none yet."""
        self.room.received("S", json.dumps([2, f"{action}-1", action, payload]).encode(), T)
        return self.answer(action)

    def answer(self, action: str) -> dict[str, Any] | None:
        frames = [json.loads(text) for _, text in self.room.take_outbox()]
        return next((frame[2] for frame in frames if frame[0] == 3 and frame[1] == f"{action}-1"), None)

    def starts(self) -> dict[str, Any] | None:
        event = {
            "eventType": "Started",
            "timestamp": "2026-11-22T17:00:00Z",
            "triggerReason": "Authorized",
            "seqNo": 0,
            "transactionInfo": {"transactionId": "t", "chargingState": "Charging"},
            "evse": {"id": 1},
            "idToken": TOKEN,
        }
        return self.says("TransactionEvent", event)

    def consents(self) -> bool:
        uid = self.room.fleet.uid_of(StationId("S"), TransactionId("t"))
        assert uid is not None
        return self.room.fleet.record_of(uid).terms.consent


def test_c01_the_answer_waits_for_the_call_out_and_a_heartbeat_does_not() -> None:
    at = House()
    assert at.says("Authorize", {"idToken": TOKEN}) is None
    assert at.says("Heartbeat", {}) is not None
    [(question, told)] = at.asked
    assert (question.station_id, question.id_token) == ("S", "DECFW1")
    told(Verdict("Accepted", True), T + 2.0)
    answer = at.answer("Authorize")
    assert answer is not None
    assert answer["idTokenInfo"]["status"] == "Accepted"
    assert "DC_BPT" in answer["allowedEnergyTransfer"]


OLDER = [
    (
        "ocpp2.0.1",
        {"idToken": TOKEN},
        {"Accepted": {"idTokenInfo": {"status": "Accepted"}}, "Blocked": {"idTokenInfo": {"status": "Blocked"}}},
    ),
    ("ocpp1.6", {"idTag": "DECFW1"}, {"Accepted": {"idTagInfo": {"status": "Accepted"}}, "Blocked": {"idTagInfo": {"status": "Blocked"}}}),
]


@pytest.mark.parametrize("verdict", ["Accepted", "Blocked"])
@pytest.mark.parametrize(("subprotocol", "asks", "answers"), OLDER)
def test_c01_a_deferred_answer_is_spelled_in_the_words_of_an_older_version(
    subprotocol: str, asks: dict[str, Any], answers: dict[str, Any], verdict: str
) -> None:
    at = House(subprotocol=subprotocol)
    assert at.says("Authorize", asks) is None
    assert at.says("Heartbeat", {}) is not None
    [(question, told)] = at.asked
    assert question.id_token == "DECFW1"
    told(Verdict(verdict, verdict == "Accepted"), T + 2.0)
    assert at.answer("Authorize") == answers[verdict]


@pytest.mark.parametrize(("subprotocol", "asks", "answers"), OLDER)
def test_c01_a_deferred_answer_of_an_older_version_comes_also_when_nobody_answers_us(
    subprotocol: str, asks: dict[str, Any], answers: dict[str, Any]
) -> None:
    at = House(subprotocol=subprotocol)
    at.says("Authorize", asks)
    at.asked.pop()[1](None, T + 5.0)
    assert at.answer("Authorize") == answers["Accepted"], "on_failure = charge"


def test_c01_an_answer_that_comes_after_the_line_was_cut_goes_nowhere() -> None:
    at = House(subprotocol="ocpp1.6")
    at.says("Authorize", {"idTag": "DECFW1"})
    at.room.closed("S", T + 1.0, "cut")
    at.room.opened("S", "ocpp1.6", T + 1.5)
    at.asked.pop()[1](Verdict("Accepted", True), T + 2.0)
    assert at.answer("Authorize") is None
    assert at.says("Heartbeat", {}) is not None


def test_q01_when_nobody_answers_the_car_charges_and_is_not_discharged() -> None:
    at = House()
    at.says("Authorize", {"idToken": TOKEN})
    at.asked.pop()[1](None, T + 5.0)
    assert at.answer("Authorize") == {"idTokenInfo": {"status": "Accepted"}}
    started = at.starts()
    assert started is not None
    assert started["idTokenInfo"]["status"] == "Accepted"
    assert not at.consents()
    again = House(at.journal)
    again.room.agreements_changed(T + 10.0)
    assert not again.consents(), "a restart does not give back what was never allowed"


def test_a_verdict_that_comes_after_the_start_reaches_the_session() -> None:
    at = House()
    assert at.starts() is not None, "a transaction waits for nobody"
    at.asked.pop()[1](Verdict("Accepted", True), T + 1.0)
    assert at.consents()
    at.room.authorizing.verdict(Question(StationId("S"), "DECFW1", "Central", ""), T + 1_000.0)
    at.asked.pop()[1](Verdict("Accepted", False), T + 1_001.0)
    assert not at.consents()
