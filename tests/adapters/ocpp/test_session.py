"""One conversation: calls in turn, outcomes that say what is known, and nothing a peer sends gets out as an exception."""

import doctest
import json
import math
import random
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.adapters.ocpp import messages, session
from counterflow.adapters.ocpp.events import (
    Answered,
    AnswerRefused,
    CallDone,
    CallId,
    ConnectionLost,
    ErrorAnswer,
    IncomingCall,
    IncomingSend,
    InvalidAnswer,
    LateAnswer,
    NotSent,
    Superseded,
    TimedOut,
)
from counterflow.adapters.ocpp.session import Session

RESET = messages.ResetRequest(type="OnIdle")
CLEAR = messages.ClearCacheRequest()


def numbered() -> Callable[[], str]:
    numbers = iter(range(1, 1_000_000))
    return lambda: f"id{next(numbers)}"


def csms(**settings: Any) -> Session:
    return Session(incoming=messages.FROM_STATION, new_message_id=numbered(), **settings)


def station(**settings: Any) -> Session:
    return Session(incoming=messages.TO_STATION, new_message_id=numbered(), **settings)


def sent(of: Session) -> list[Any]:
    return [json.loads(frame) for frame in of.take_outbox()]


def actions(frames: list[Any]) -> list[str]:
    return [frame[2] for frame in frames]


def outcomes(events: list[Any]) -> dict[str, Any]:
    assert all(isinstance(event, CallDone) for event in events)
    return {event.call_id: event.outcome for event in events}


def test_the_example_in_the_docstring_holds() -> None:
    result = doctest.testmod(session)
    assert result.attempted > 5
    assert result.failed == 0


# ---- the peer's calls


def test_a_call_becomes_an_event_and_its_answer_carries_the_same_id() -> None:
    one = csms()
    [event] = one.receive('[2,"17","Heartbeat",{}]', 0.0)
    assert isinstance(event, IncomingCall)
    assert (event.message_id, event.action, event.salvaged) == ("17", "Heartbeat", ())
    assert isinstance(event.request, messages.HeartbeatRequest)
    assert one.take_outbox() == []
    assert one.unanswered == 1
    one.respond(event, messages.HeartbeatResponse(current_time=session.rpc.instant(60.0)))
    assert sent(one) == [[3, "17", {"currentTime": "1970-01-01T00:01:00Z"}]]
    assert one.unanswered == 0
    assert one.violations == 0


def test_an_answer_may_come_later_and_out_of_order() -> None:
    one = csms()
    [first] = one.receive('[2,"1","Heartbeat",{}]', 0.0)
    [second] = one.receive('[2,"2","Heartbeat",{}]', 0.0)
    for event in (second, first):
        one.respond(event, messages.HeartbeatResponse(current_time=session.rpc.instant(0.0)))
    assert [frame[1] for frame in sent(one)] == ["2", "1"]


def test_an_answer_of_the_wrong_type_is_our_own_mistake() -> None:
    one = csms()
    [event] = one.receive('[2,"17","Heartbeat",{}]', 0.0)
    with pytest.raises(TypeError, match="Heartbeat is answered with HeartbeatResponse, not ResetResponse"):
        one.respond(event, messages.ResetResponse(status="Accepted"))
    assert one.take_outbox() == []


def test_b02_fr_09_a_call_can_be_refused_with_a_security_error() -> None:
    one = csms()
    [event] = one.receive('[2,"17","Heartbeat",{}]', 0.0)
    one.respond_error(event, "SecurityError", "Boot first.")
    assert sent(one) == [[4, "17", "SecurityError", "Boot first.", {}]]
    assert one.unanswered == 0


@pytest.mark.parametrize(
    ("text", "message_id", "code"),
    [
        ('[2,"17","Levitate",{}]', "17", "NotImplemented"),
        ('[2,"17","heartbeat",{}]', "17", "NotImplemented"),
        ('[2,"17","Reset",{"type":"OnIdle"}]', "17", "NotSupported"),
        ('[2,"17","BootNotification",{"reason":"PowerUp"}]', "17", "OccurrenceConstraintViolation"),
        ('[2,"17","BootNotification",{"reason":7,"chargingStation":{"model":"m","vendorName":"v"}}]', "17", "TypeConstraintViolation"),
        (
            '[2,"17","BootNotification",{"reason":"Boredom","chargingStation":{"model":"m","vendorName":"v"}}]',
            "17",
            "PropertyConstraintViolation",
        ),
        ('[2,"17","Heartbeat",[]]', "17", "TypeConstraintViolation"),
        ('[2,"17","Heartbeat"]', "17", "RpcFrameworkError"),
        ('[2,17,"Heartbeat",{}]', "-1", "RpcFrameworkError"),
        ("{", "-1", "RpcFrameworkError"),
    ],
)
def test_fr_03_a_call_that_cannot_be_served_gets_the_right_call_error(text: str, message_id: str, code: str) -> None:
    one = csms()
    assert one.receive(text, 0.0) == []
    [frame] = sent(one)
    assert frame[:3] == [4, message_id, code]
    assert 0 < len(frame[3]) <= 255
    assert one.violations == 1
    assert one.last_violation == frame[3]
    assert one.unanswered == 0


@pytest.mark.parametrize(
    "text",
    [
        '[7,"17","Heartbeat",{}]',
        '[3,"17"]',
        '[4,"17"]',
        '[6,"17"]',
        '[6,"1","Heartbeat",{}]',
        '[3,"17",{}]',
        '[4,"-1","InternalError","",{}]',
    ],
)
def test_what_is_no_call_is_counted_and_never_answered(text: str) -> None:
    one = csms()
    assert one.receive(text, 0.0) == []
    assert one.take_outbox() == []
    assert one.violations == 1


def test_a_lenient_session_reads_what_a_strict_one_refuses() -> None:
    text = '[2,"17","MeterValues",{"evseId":1.0,"meterValue":[{"timestamp":"2026-11-22T10:00:00Z","sampledValue":[{"value":1}]}]}]'
    [event] = csms().receive(text, 0.0)
    assert isinstance(event, IncomingCall)
    assert event.request.evse_id == 1
    assert event.salvaged == ("evseId: decimal taken as an integer",)
    strict = csms(lenient=False)
    assert strict.receive(text, 0.0) == []
    assert sent(strict)[0][2] == "TypeConstraintViolation"


def test_a_message_id_that_is_too_long_is_echoed_and_counted() -> None:
    one = csms()
    [event] = one.receive(f'[2,"{"x" * 37}","Heartbeat",{{}}]', 0.0)
    one.respond(event, messages.HeartbeatResponse(current_time=session.rpc.instant(0.0)))
    assert sent(one)[0][1] == "x" * 37
    assert one.violations == 1


def test_fr_07_a_send_is_an_event_and_never_answered() -> None:
    one = csms()
    text = '[6,"9","NotifyPeriodicEventStream",{"id":1,"pending":0,"basetime":"2026-11-22T10:00:00Z","data":[{"t":0.5,"v":"7"}]}]'
    [event] = one.receive(text, 0.0)
    assert isinstance(event, IncomingSend)
    assert event.message.data[0].v == "7"
    assert one.receive('[6,"9","NotifyPeriodicEventStream",{"id":1}]', 0.0) == []
    assert one.take_outbox() == []
    assert one.violations == 1


def test_a_send_leaves_beside_a_call_and_only_for_those_who_read_it() -> None:
    stream = messages.NotifyPeriodicEventStream(
        id=1, pending=0, basetime=session.rpc.instant(0.0), data=[messages.StreamDataElementType(t=0.5, v="7")]
    )
    with pytest.raises(ValueError, match="not known to read SEND"):
        station().send("NotifyPeriodicEventStream", stream)
    one = station(peer_reads_2_1_frames=True)
    one.call("Heartbeat", {}, 0.0)
    one.send("NotifyPeriodicEventStream", stream)
    assert [frame[0] for frame in sent(one)] == [2, 6]
    with pytest.raises(ValueError, match="no SEND"):
        one.send("NotifyPeriodicEventStream", RESET)


def test_every_action_of_a_station_is_served_by_a_csms_and_refused_by_a_station() -> None:
    for action in messages.ACTIONS:
        for one, served in ((csms(), messages.FROM_STATION), (station(), messages.TO_STATION)):
            one.receive(json.dumps([2, "1", action, None]), 0.0)
            [frame] = sent(one)
            assert (frame[2] == "TypeConstraintViolation") == (action in served)
            assert (frame[2] == "NotSupported") == (action not in served)


# ---- our calls


def test_one_call_is_in_flight_and_the_others_wait_in_order() -> None:
    one = csms()
    ids = [one.call("Reset", RESET, 0.0, context=number) for number in range(3)]
    for number, call_id in enumerate(ids):
        [frame] = sent(one)
        assert frame == [2, call_id, "Reset", {"type": "OnIdle"}]
        [event] = one.receive(f'[3,"{call_id}",{{"status":"Accepted"}}]', 1.0)
        assert event == CallDone(
            call_id=call_id, action="Reset", context=number, outcome=Answered(response=messages.ResetResponse(status="Accepted"))
        )
    assert one.take_outbox() == []
    assert one.next_deadline_s() is None


def test_the_peers_call_is_answered_while_ours_is_in_flight() -> None:
    one = csms()
    call_id = one.call("Reset", RESET, 0.0)
    [event] = one.receive('[2,"17","Heartbeat",{}]', 0.5)
    one.respond(event, messages.HeartbeatResponse(current_time=session.rpc.instant(0.0)))
    assert [frame[0] for frame in sent(one)] == [2, 3]
    [done] = one.receive(f'[3,"{call_id}",{{"status":"Scheduled"}}]', 1.0)
    assert isinstance(done.outcome, Answered)


def test_the_same_id_on_both_sides_is_not_confused() -> None:
    one = csms()
    call_id = one.call("Reset", RESET, 0.0)
    [event] = one.receive(f'[2,"{call_id}","Heartbeat",{{}}]', 0.5)
    assert isinstance(event, IncomingCall)
    [done] = one.receive(f'[3,"{call_id}",{{"status":"Accepted"}}]', 1.0)
    assert isinstance(done, CallDone)


def test_urgent_calls_overtake_those_that_wait_but_not_each_other() -> None:
    one = csms()
    one.call("Reset", RESET, 0.0)
    one.call("ClearCache", CLEAR, 0.0)
    one.call("GetLocalListVersion", {}, 0.0, urgent=True)
    one.call("GetTransactionStatus", {}, 0.0, urgent=True)
    seen = []
    for _ in range(4):
        [frame] = sent(one)
        seen.append(frame[2])
        one.receive(f'[4,"{frame[1]}","InternalError","",{{}}]', 0.0)
    assert seen == ["Reset", "GetLocalListVersion", "GetTransactionStatus", "ClearCache"]


def test_a_newer_call_with_the_same_key_takes_the_place_of_the_older() -> None:
    one = csms()
    one.call("Reset", RESET, 0.0)
    old = one.call("ClearCache", CLEAR, 0.0, coalesce_key="evse 1")
    other = one.call("ClearCache", CLEAR, 0.0, coalesce_key="evse 2")
    new = one.call("GetLocalListVersion", {}, 0.0, coalesce_key="evse 1")
    assert one.next_deadline_s() == -math.inf
    assert outcomes(one.on_deadline(0.0)) == {old: Superseded(by=new)}
    assert one.next_deadline_s() == 30.0
    one.receive('[3,"id1",{"status":"Accepted"}]', 0.0)
    one.receive(f'[3,"{new}",{{"versionNumber":1}}]', 0.0)
    assert [frame[1] for frame in sent(one)] == ["id1", new, other]


def test_an_urgent_call_supersedes_a_waiting_one_and_overtakes() -> None:
    one = csms()
    one.call("Reset", RESET, 0.0)
    one.call("ClearCache", CLEAR, 0.0)
    old = one.call("ClearCache", CLEAR, 0.0, coalesce_key="evse 1")
    new = one.call("ClearCache", CLEAR, 0.0, coalesce_key="evse 1", urgent=True)
    events = one.receive('[3,"id1",{"status":"Accepted"}]', 0.0)
    assert outcomes(events)[old] == Superseded(by=new)
    assert [frame[1] for frame in sent(one)] == ["id1", new]


def test_what_supersedes_an_urgent_call_stays_urgent() -> None:
    one = csms()
    one.call("Reset", RESET, 0.0)
    one.call("ClearCache", CLEAR, 0.0)
    one.call("ClearCache", CLEAR, 0.0, coalesce_key="evse 1", urgent=True)
    new = one.call("ClearCache", CLEAR, 0.0, coalesce_key="evse 1")
    one.receive('[3,"id1",{"status":"Accepted"}]', 0.0)
    assert [frame[1] for frame in sent(one)] == ["id1", new]


def test_a_call_in_flight_is_never_superseded() -> None:
    one = csms()
    first = one.call("ClearCache", CLEAR, 0.0, coalesce_key="evse 1")
    one.call("ClearCache", CLEAR, 0.0, coalesce_key="evse 1")
    assert one.on_deadline(1.0) == []
    [event] = one.receive(f'[3,"{first}",{{"status":"Accepted"}}]', 2.0)
    assert isinstance(event.outcome, Answered)


def test_a_full_queue_says_so_and_still_takes_what_is_urgent() -> None:
    one = csms(queue_limit=2)
    ids = [one.call("ClearCache", CLEAR, 0.0) for _ in range(4)]
    assert outcomes(one.on_deadline(0.0)) == {ids[3]: NotSent(reason="queue full")}
    urgent = one.call("Reset", RESET, 0.0, urgent=True)
    assert outcomes(one.on_deadline(0.0)) == {ids[2]: NotSent(reason="queue full")}
    one.receive(f'[3,"{ids[0]}",{{"status":"Accepted"}}]', 0.0)
    assert [frame[1] for frame in sent(one)] == [ids[0], urgent]


def test_events_that_waited_come_in_order() -> None:
    one = csms(queue_limit=0)
    ids = [one.call("ClearCache", CLEAR, 0.0) for _ in range(3)]
    events = one.receive(f'[3,"{ids[0]}",{{"status":"Accepted"}}]', 0.0)
    assert [event.call_id for event in events if isinstance(event, CallDone)] == [ids[1], ids[2], ids[0]]


def test_a_call_error_is_an_outcome_in_todays_spelling_and_cut() -> None:
    one = csms()
    call_id = one.call("Reset", RESET, 0.0)
    [event] = one.receive(f'[4,"{call_id}","FormationViolation","{"d" * 665}",{{}}]', 1.0)
    assert event.outcome == ErrorAnswer(code="FormatViolation", description="d" * 255)


@pytest.mark.parametrize(("reads_2_1", "answers"), [(False, 0), (True, 1)])
def test_fr_06_an_invalid_answer_ends_the_call_and_is_refused_only_where_that_is_understood(reads_2_1: bool, answers: int) -> None:
    one = csms(peer_reads_2_1_frames=reads_2_1)
    call_id = one.call("Reset", RESET, 0.0)
    one.take_outbox()
    [event] = one.receive(f'[3,"{call_id}",{{"status":"Perhaps"}}]', 1.0)
    assert event.outcome == InvalidAnswer(code="PropertyConstraintViolation", description="status: unknown value.")
    frames = sent(one)
    assert len(frames) == answers
    assert all(frame[:3] == [5, call_id, "PropertyConstraintViolation"] for frame in frames)
    assert one.violations == 1
    assert one.next_deadline_s() is None


@pytest.mark.parametrize("text", ['[3,"id1"]', '[4,"id1"]'])
def test_a_mutilated_answer_ends_the_call_at_once(text: str) -> None:
    one = csms()
    one.call("Reset", RESET, 0.0)
    follower = one.call("ClearCache", CLEAR, 0.0)
    [event] = one.receive(text, 1.0)
    assert event.call_id == "id1"
    assert isinstance(event.outcome, InvalidAnswer)
    assert sent(one)[-1][1] == follower


def test_a_salvaged_answer_says_what_was_repaired() -> None:
    one = csms()
    one.call("Reset", RESET, 0.0)
    [event] = one.receive('[3,"id1",{"status":"accepted"}]', 1.0)
    assert event.outcome == Answered(response=messages.ResetResponse(status="Accepted"), salvaged=("status: letter case",))


def test_the_peer_may_refuse_our_answer() -> None:
    one = csms()
    [event] = one.receive('[5,"17","FormatViolation","what?",{}]', 0.0)
    assert event == AnswerRefused(message_id="17", code="FormatViolation", description="what?")
    assert one.violations == 1


# ---- time


def test_no_answer_in_time_is_an_unknown_outcome_and_frees_the_slot() -> None:
    one = csms(call_timeout_s=10.0)
    first = one.call("Reset", RESET, 100.0)
    second = one.call("ClearCache", CLEAR, 101.0)
    assert one.next_deadline_s() == 110.0
    assert one.on_deadline(109.9) == []
    assert outcomes(one.on_deadline(110.0)) == {first: TimedOut()}
    assert [frame[1] for frame in sent(one)] == [first, second]
    assert one.next_deadline_s() == 120.0


def test_a_late_answer_is_told_apart_from_the_answer_to_the_next_call() -> None:
    one = csms()
    first = one.call("Reset", RESET, 0.0, context="first")
    second = one.call("ClearCache", CLEAR, 0.0, context="second")
    one.on_deadline(30.0)
    [late] = one.receive(f'[3,"{first}",{{"status":"Accepted"}}]', 31.0)
    response = messages.ResetResponse(status="Accepted")
    assert late == LateAnswer(call_id=first, action="Reset", context="first", outcome=Answered(response=response))
    assert one.next_deadline_s() == 60.0
    [done] = one.receive(f'[3,"{second}",{{"status":"Rejected"}}]', 32.0)
    assert (done.call_id, done.context) == (second, "second")
    assert one.receive(f'[3,"{first}",{{"status":"Accepted"}}]', 33.0) == []
    assert one.violations == 1


def test_a_late_refusal_and_a_late_invalid_answer_are_told_too() -> None:
    one = csms()
    first, second = one.call("Reset", RESET, 0.0), one.call("Reset", RESET, 0.0)
    one.on_deadline(30.0)
    one.on_deadline(60.0)
    [error] = one.receive(f'[4,"{first}","InternalError","",{{}}]', 61.0)
    [invalid] = one.receive(f'[3,"{second}",{{}}]', 61.0)
    assert isinstance(error.outcome, ErrorAnswer)
    assert isinstance(invalid.outcome, InvalidAnswer)


def test_only_the_latest_timed_out_calls_are_remembered() -> None:
    one = csms()
    ids = []
    for number in range(session.LATE_ANSWERS_REMEMBERED + 1):
        ids.append(one.call("Reset", RESET, number * 30.0))
        one.on_deadline(number * 30.0 + 30.0)
    assert one.receive(f'[3,"{ids[0]}",{{"status":"Accepted"}}]', 1e4) == []
    assert isinstance(one.receive(f'[3,"{ids[1]}",{{"status":"Accepted"}}]', 1e4)[0], LateAnswer)


def test_the_time_out_counts_from_sending_not_from_asking() -> None:
    one = csms()
    one.call("Reset", RESET, 0.0)
    one.call("ClearCache", CLEAR, 0.0)
    one.receive('[3,"id1",{"status":"Accepted"}]', 25.0)
    assert one.next_deadline_s() == 55.0


def test_closing_says_which_calls_may_have_had_an_effect() -> None:
    one = csms()
    flying = one.call("Reset", RESET, 0.0)
    waiting = one.call("ClearCache", CLEAR, 0.0)
    urgent = one.call("Reset", RESET, 0.0, urgent=True)
    events = outcomes(one.close(1.0))
    closed = NotSent(reason="connection closed")
    assert events == {flying: ConnectionLost(), waiting: closed, urgent: closed}
    assert one.close(2.0) == []
    assert one.take_outbox() == []
    assert one.next_deadline_s() is None


def test_nothing_is_sent_after_closing() -> None:
    one = csms()
    [event] = one.receive('[2,"17","Heartbeat",{}]', 0.0)
    one.close(1.0)
    one.respond(event, messages.HeartbeatResponse(current_time=session.rpc.instant(0.0)))
    assert one.receive('[2,"18","Heartbeat",{}]', 2.0) == []
    call_id = one.call("Reset", RESET, 3.0)
    assert outcomes(one.on_deadline(3.0)) == {call_id: NotSent(reason="connection closed")}
    assert one.take_outbox() == []


# ---- what may be sent


def test_a_dict_is_checked_before_anything_happens() -> None:
    one = csms()
    with pytest.raises(ValueError, match="Reset is not valid"):
        one.call("Reset", {"type": "Later"}, 0.0)
    with pytest.raises(ValueError, match="Did you mean Reset"):
        one.call("Rset", {}, 0.0)
    with pytest.raises(ValueError, match="is no request of OCPP"):
        one.call("Rset", RESET, 0.0)
    with pytest.raises(ValueError, match="Heartbeat is a request that the other side sends"):
        one.call("Heartbeat", {}, 0.0)
    with pytest.raises(ValueError, match="ClearCache does not carry a ResetRequest"):
        one.call("ClearCache", RESET, 0.0)
    with pytest.raises(ValueError, match="cannot be written as UTF-8"):
        one.call("DataTransfer", {"vendorId": "\ud800"}, 0.0)
    assert one.take_outbox() == []
    assert one.next_deadline_s() is None
    one.call("DataTransfer", {"vendorId": "org.example", "data": [1, {"a": None}]}, 0.0)
    assert sent(one)[0][3] == {"vendorId": "org.example", "data": [1, {"a": None}]}


def test_a_message_id_of_ours_has_at_most_36_characters() -> None:
    one = Session(incoming=(), new_message_id=lambda: "x" * 37)
    with pytest.raises(ValueError, match="36"):
        one.call("Reset", RESET, 0.0)


# ---- whatever comes


VALID = [
    '[2,"17","Heartbeat",{}]',
    '[3,"id1",{"status":"Accepted"}]',
    '[4,"id1","InternalError","oh",{}]',
    '[5,"17","FormatViolation","",{}]',
    '[6,"9","NotifyPeriodicEventStream",{"id":1,"pending":0,"basetime":"2026-11-22T10:00:00Z","data":[{"t":0.5,"v":"7"}]}]',
    '[2,"18","TransactionEvent",{"eventType":"Started","timestamp":"2026-11-22T10:00:00Z","triggerReason":"Authorized","seqNo":0,'
    '"transactionInfo":{"transactionId":"t"},"meterValue":[{"timestamp":"2026-11-22T10:00:00Z","sampledValue":[{"value":1.5}]}]}]',
]
INSERTS = ["[" * 5000, "null", "1e999", "9" * 400, "\\ud800", "\\u0000", '"', "}", "]", "{}", "-", "true", "\ud800", "\u00e9", "1.0", "[]"]


def mutated(seed: int) -> str:
    rng = random.Random(seed)
    text = rng.choice(VALID)
    for _ in range(rng.randint(1, 4)):
        at, width = rng.randrange(len(text) + 1), rng.choice([0, 0, 1, 2, 5, 20])
        text = text[:at] + rng.choice([*INSERTS, ""]) + text[at + width :]
    return text


def mutated_bytes(seed: int) -> bytes:
    rng = random.Random(seed)
    raw = bytearray(rng.choice(VALID).encode())
    for _ in range(rng.randint(1, 6)):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    return bytes(raw)


seeds = st.integers(0, 2**32)
texts = st.binary(max_size=40) | st.text(max_size=40) | seeds.map(mutated) | seeds.map(mutated_bytes) | st.sampled_from(VALID)


@settings(max_examples=400)
@given(st.lists(texts, min_size=1, max_size=6), st.booleans(), st.booleans())
def test_no_peer_makes_a_session_raise_or_lose_a_call(received: list[bytes | str], reads_2_1: bool, lenient: bool) -> None:
    one = csms(peer_reads_2_1_frames=reads_2_1, lenient=lenient)
    pending = {one.call("Reset", RESET, 0.0), one.call("ClearCache", CLEAR, 0.0)}
    ended: list[CallId] = []
    now_s = 0.0
    for text in received:
        now_s += 7.0
        for event in [*one.receive(text, now_s), *one.on_deadline(now_s)]:
            if isinstance(event, CallDone):
                ended.append(event.call_id)
            elif isinstance(event, IncomingCall):
                one.respond_error(event, "NotSupported")
        assert sum(json.loads(frame)[0] == 2 for frame in one.take_outbox()) <= 2
        deadline_s = one.next_deadline_s()
        assert deadline_s is None or deadline_s > now_s
    ended += [event.call_id for event in one.close(now_s) if isinstance(event, CallDone)]
    assert sorted(ended) == sorted(pending)
    assert one.unanswered == 0


@settings(max_examples=150)
@given(st.lists(st.tuples(st.sampled_from(["call", "urgent", "answer", "wait", "receive"]), st.integers(0, 3)), max_size=25))
def test_every_call_ends_exactly_once_and_only_one_is_in_flight(steps: list[tuple[str, int]]) -> None:
    one = csms(queue_limit=4, call_timeout_s=10.0)
    started: list[CallId] = []
    ended: list[CallId] = []
    on_the_wire: list[str] = []
    now_s = 0.0

    def note(events: list[Any]) -> None:
        for event in events:
            if isinstance(event, CallDone):
                ended.append(event.call_id)
                if event.call_id in on_the_wire:
                    on_the_wire.remove(event.call_id)
        on_the_wire.extend(frame[1] for frame in sent(one) if frame[0] == 2)

    for what, number in steps:
        match what:
            case "call" | "urgent":
                key = number or None
                started.append(one.call("ClearCache", CLEAR, now_s, urgent=what == "urgent", coalesce_key=key))
                note(one.on_deadline(now_s))
            case "answer" if on_the_wire:
                note(one.receive(f'[3,"{on_the_wire[0]}",{{"status":"Accepted"}}]', now_s))
            case "wait":
                now_s += 4.0 * number
                note(one.on_deadline(now_s))
            case _:
                note(one.receive('[3,"strange",{}]', now_s))
        assert len(on_the_wire) <= 1
    note(one.close(now_s))
    assert sorted(ended) == sorted(started)


def test_two_sessions_talk_to_each_other() -> None:
    here, there = csms(peer_reads_2_1_frames=True), station(peer_reads_2_1_frames=True)
    asked = [here.call("Reset", RESET, 0.0), here.call("ClearCache", CLEAR, 0.0)]
    there.call("Heartbeat", {}, 0.0)
    answers: dict[str, Any] = {
        "Reset": messages.ResetResponse(status="Accepted"),
        "ClearCache": messages.ClearCacheResponse(status="Rejected"),
        "Heartbeat": messages.HeartbeatResponse(current_time=session.rpc.instant(0.0)),
    }
    done: list[str] = []
    for _ in range(6):
        for giver, taker in ((here, there), (there, here)):
            for frame in giver.take_outbox():
                for event in taker.receive(frame, 1.0):
                    if isinstance(event, IncomingCall):
                        taker.respond(event, answers[event.action])
                    elif isinstance(event, CallDone):
                        assert isinstance(event.outcome, Answered)
                        done.append(event.call_id)
    assert sorted(done) == sorted([*asked, "id1"])
    assert here.violations == there.violations == 0


def test_an_idle_session_is_small() -> None:
    new_message_id = numbered()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = [Session(incoming=messages.FROM_STATION, new_message_id=new_message_id) for _ in range(2000)]
        each = (tracemalloc.get_traced_memory()[0] - before) / len(kept)
    finally:
        tracemalloc.stop()
    assert sys.getsizeof(kept[0]) < each + 1
    assert each < 1536
