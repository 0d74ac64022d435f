"""OCPP-J frames: every text is some frame, and every payload is read, repaired or refused with the right code."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.adapters.ocpp import messages, rpc

HEARTBEAT = b'[2,"17","Heartbeat",{}]'


def test_each_frame_type_is_read() -> None:
    assert rpc.decode_frame(HEARTBEAT) == rpc.Call("17", "Heartbeat", msgspec.Raw(b"{}"))
    assert rpc.decode_frame('[3,"17",{"a":1}]') == rpc.CallResult("17", msgspec.Raw(b'{"a":1}'))
    assert rpc.decode_frame('[4,"17","InternalError","oh",{}]') == rpc.CallError("17", "InternalError", "oh")
    assert rpc.decode_frame('[5,"17","FormatViolation","oh",{}]') == rpc.CallResultError("17", "FormatViolation", "oh")
    send = rpc.decode_frame('[6,"18","NotifyPeriodicEventStream",{}]')
    assert send == rpc.Send("18", "NotifyPeriodicEventStream", msgspec.Raw(b"{}"))


@pytest.mark.parametrize("kind", [bytearray, memoryview])
def test_a_payload_outlives_the_receive_buffer(kind: Any) -> None:
    buffer = bytearray(HEARTBEAT.replace(b"{}", b'{"customData":{"vendorId":"a"}}'))
    frame = rpc.decode_frame(kind(buffer))
    for place in range(len(buffer)):
        buffer[place] = 0
    assert isinstance(frame, rpc.Call)
    assert bytes(frame.payload) == b'{"customData":{"vendorId":"a"}}'


@pytest.mark.parametrize(
    ("text", "kind", "message_id", "code"),
    [
        ("", None, "-1", "RpcFrameworkError"),
        ("hello", None, "-1", "RpcFrameworkError"),
        ("{}", None, "-1", "RpcFrameworkError"),
        ("[]", None, "-1", "RpcFrameworkError"),
        ('["2","17","Heartbeat",{}]', None, "-1", "RpcFrameworkError"),
        ("[2]", 2, "-1", "RpcFrameworkError"),
        ('[2,17,"Heartbeat",{}]', 2, "-1", "RpcFrameworkError"),
        ('[2,"17"]', 2, "17", "RpcFrameworkError"),
        ('[2,"17","Heartbeat"]', 2, "17", "RpcFrameworkError"),
        ('[2,"17",null,{}]', 2, "17", "RpcFrameworkError"),
        ('[2,"17","Heartbeat",{}', None, "-1", "RpcFrameworkError"),
        ('[3,"17"]', 3, "17", "RpcFrameworkError"),
        ('[4,"17"]', 4, "17", "RpcFrameworkError"),
        ('[7,"17","Heartbeat",{}]', 7, "17", "MessageTypeNotSupported"),
        ('[2,"\\ud800","Heartbeat",{}]', None, "-1", "RpcFrameworkError"),
        (b'[2,"\xff","Heartbeat",{}]', 2, "-1", "RpcFrameworkError"),
        ("[" * 100_000, None, "-1", "RpcFrameworkError"),
        ("[2e400]", None, "-1", "RpcFrameworkError"),
        ('[99999999999999999999999999,"17"]', 10**26 - 1, "17", "MessageTypeNotSupported"),
        ("\ud800", None, "-1", "RpcFrameworkError"),
    ],
)
def test_what_is_no_frame_says_what_it_may_have_been(text: Any, kind: int | None, message_id: str, code: str) -> None:
    frame = rpc.decode_frame(text)
    assert isinstance(frame, rpc.Malformed)
    assert (frame.message_type, frame.message_id, frame.code) == (kind, message_id, code)
    assert frame.deserves_call_error == (kind in (None, 2))


@pytest.mark.parametrize("rest", ["", ",null", ",null,null", ",17,{}", ",{},{}"])
def test_a_refusal_is_read_even_if_its_end_is_odd(rest: str) -> None:
    assert rpc.decode_frame(f'[4,"17","InternalError"{rest}]') == rpc.CallError("17", "InternalError", "")


def test_a_refusal_without_a_readable_code_is_a_generic_error() -> None:
    assert rpc.decode_frame('[4,"17",null,"oh",{}]') == rpc.CallError("17", "GenericError", "oh")


def test_error_codes_of_1_6_are_read_in_todays_spelling() -> None:
    assert rpc.normal_code("FormationViolation") == "FormatViolation"
    assert rpc.normal_code("OccurenceConstraintViolation") == "OccurrenceConstraintViolation"
    assert rpc.normal_code("Vendor" * 100) == ("Vendor" * 100)[:50]


def test_frames_are_written_as_compact_utf_8() -> None:
    response = messages.ResetResponse(status="Accepted")
    assert rpc.encode_call("a", "Reset", messages.ResetRequest(type="OnIdle")) == b'[2,"a","Reset",{"type":"OnIdle"}]'
    assert rpc.encode_call_result('"\u00fc', response) == '[3,"\\"\u00fc",{"status":"Accepted"}]'.encode()
    assert rpc.encode_call_error("a", "NotSupported", "no") == b'[4,"a","NotSupported","no",{}]'
    assert rpc.encode_call_result_error("a", "FormatViolation") == b'[5,"a","FormatViolation","",{}]'
    stream = messages.NotifyPeriodicEventStream(
        id=1, pending=0, basetime=rpc.instant(0.0), data=[messages.StreamDataElementType(t=0.5, v="7")]
    )
    assert rpc.encode_send("a", "NotifyPeriodicEventStream", stream) == (
        b'[6,"a","NotifyPeriodicEventStream",{"data":[{"t":0.5,"v":"7"}],"id":1,"pending":0,"basetime":"1970-01-01T00:00:00Z"}]'
    )


def test_an_error_description_is_cut_to_255_characters() -> None:
    assert json.loads(rpc.encode_call_error("a", "InternalError", "\u00fc" * 665))[3] == "\u00fc" * 255


@pytest.mark.parametrize(
    ("epoch_s", "written"),
    [
        (1.0, "1970-01-01T00:00:01Z"),
        (1.25, "1970-01-01T00:00:01.250Z"),
        (1.9996, "1970-01-01T00:00:02Z"),
        (0.0014, "1970-01-01T00:00:00.001Z"),
    ],
)
def test_timestamps_are_written_with_at_most_three_fraction_digits(epoch_s: float, written: str) -> None:
    text = rpc.encode_call_result("a", messages.HeartbeatResponse(current_time=rpc.instant(epoch_s)))
    assert json.loads(text)[2]["currentTime"] == written


def test_a_timestamp_finer_than_milliseconds_is_cut_on_the_wire() -> None:
    fine = datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    text = rpc.encode_call_result("a", messages.HeartbeatResponse(current_time=fine))
    assert json.loads(text)[2]["currentTime"] == "2026-01-01T00:00:00.123Z"


def test_numbers_are_not_mistaken_for_timestamps() -> None:
    request = messages.DataTransferRequest(vendor_id="v 1.123456", data={"a": 1.123456, "b": ".123456"})
    assert json.loads(rpc.encode_call("a", "DataTransfer", request))[3] == {
        "vendorId": "v 1.123456",
        "data": {"a": 1.123456, "b": ".123456"},
    }


def test_a_valid_payload_is_read_without_repairs() -> None:
    read = rpc.decode_payload(msgspec.Raw(b'{"status":"Accepted","unknown":1}'), messages.ResetResponse)
    assert read == rpc.Decoded(messages.ResetResponse(status="Accepted"), ())


def test_a_payload_that_breaks_the_schema_is_repaired_and_says_so() -> None:
    read = rpc.decode_payload(b'{"status":"Accepted","statusInfo":null}', messages.ResetResponse)
    assert read == rpc.Decoded(messages.ResetResponse(status="Accepted"), ("statusInfo: dropped (null)",))


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"{}", "OccurrenceConstraintViolation"),
        (b'{"status":"Perhaps"}', "PropertyConstraintViolation"),
        (b'{"status":7}', "TypeConstraintViolation"),
        (b"[]", "TypeConstraintViolation"),
        (b'{"status":"Accepted\xff"}', "RpcFrameworkError"),
        (b'{"status":"\\ud800"}', "RpcFrameworkError"),
        (b'{"status":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "RpcFrameworkError"),
    ],
)
def test_an_unusable_payload_is_refused_with_the_code_of_the_fault(payload: bytes, code: str) -> None:
    read = rpc.decode_payload(payload, messages.ResetResponse)
    assert isinstance(read, rpc.Refused)
    assert read.code == code
    assert 0 < len(read.description) <= 255


def test_a_refusal_carries_none_of_the_peers_text() -> None:
    read = rpc.decode_payload(b'{"status":"<script>"}', messages.ResetResponse)
    assert isinstance(read, rpc.Refused)
    assert read.description == "status: unknown value."


def test_strict_reading_refuses_what_lenient_reading_repairs() -> None:
    payload = b'{"requestId":1.0,"reportBase":"FullInventory"}'
    assert isinstance(rpc.decode_payload(payload, messages.GetBaseReportRequest), rpc.Decoded)
    refused = rpc.decode_payload(payload, messages.GetBaseReportRequest, lenient=False)
    assert isinstance(refused, rpc.Refused)
    assert refused.code == "TypeConstraintViolation"


def test_of_a_field_given_twice_the_last_is_read_and_a_strict_reader_refuses() -> None:
    payload = b'{"type":"Later","type":"OnIdle"}'
    assert rpc.decode_payload(payload, messages.ResetRequest) == rpc.Decoded(messages.ResetRequest(type="OnIdle"))
    refused = rpc.decode_payload(payload, messages.ResetRequest, lenient=False)
    assert refused == rpc.Refused(code="FormatViolation", description="Not as the schema has it: a field is given twice.")


def test_a_request_from_a_dict_is_held_strictly_against_the_schema() -> None:
    assert rpc.request_from_dict("Reset", {"type": "OnIdle", "evseId": 1}) == messages.ResetRequest(type="OnIdle", evse_id=1)
    with pytest.raises(ValueError, match=r"Reset is not valid: .*Invalid enum value 'Later'.*type"):
        rpc.request_from_dict("Reset", {"type": "Later"})
    with pytest.raises(ValueError, match="Reset has no field evseID"):
        rpc.request_from_dict("Reset", {"type": "OnIdle", "evseID": 1})
    with pytest.raises(ValueError, match=r"chargingProfile\.chargingSchedule\[\]\.limt"):
        rpc.request_from_dict("SetChargingProfile", {"evseId": 1, "chargingProfile": {"chargingSchedule": [{"limt": 1}]}})
    with pytest.raises(ValueError, match="missing required field `type`"):
        rpc.request_from_dict("Reset", {})


def test_an_unknown_action_names_what_is_spelt_alike() -> None:
    with pytest.raises(ValueError, match=r"'SetChargingProfle' is no request of OCPP 2\.1\. Did you mean SetChargingProfile"):
        rpc.types_of("SetChargingProfle")
    with pytest.raises(ValueError, match=r"'zzzz' is no request of OCPP 2\.1\.$"):
        rpc.types_of("zzzz")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300)
@given(st.binary(max_size=60) | st.text(max_size=60) | st.builds(json.dumps, json_values))
def test_no_text_makes_reading_raise(text: bytes | str) -> None:
    frame = rpc.decode_frame(text)
    assert isinstance(frame, rpc.Frame)
    if isinstance(frame, rpc.Call | rpc.CallResult | rpc.Send):
        assert isinstance(rpc.decode_payload(frame.payload, messages.TransactionEventRequest), rpc.Decoded | rpc.Refused)


@settings(max_examples=200)
@given(st.text(max_size=36), st.text(max_size=300))
def test_what_is_written_reads_back(message_id: str, description: str) -> None:
    frame = rpc.decode_frame(rpc.encode_call_error(message_id, "InternalError", description))
    assert frame == rpc.CallError(message_id, "InternalError", description[:255])
