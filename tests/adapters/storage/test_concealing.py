"""No token, EVCCID or vehicle id in a frame that is kept."""

import json
from pathlib import Path

import pytest

from counterflow.adapters.storage.concealing import IDENTIFIER_HINTS, conceal
from counterflow.adapters.storage.frames import FrameRing, Hiding
from counterflow.domain.ids import StationId

SECRET = "DECFW000000007"


def name(identifier: str) -> str:
    return f"#{len(identifier)}"


@pytest.mark.parametrize(
    "payload",
    [
        {"idToken": {"idToken": SECRET, "type": "Central", "additionalInfo": [{"additionalIdToken": SECRET, "type": "EVCCID"}]}},
        {"idTokenInfo": {"status": "Accepted", "groupIdToken": {"idToken": SECRET, "type": "Central"}}},
        {"idTag": SECRET},
        {"idTagInfo": {"parentIdTag": SECRET, "status": "Accepted"}},
        {"certificate": f"-----BEGIN CERTIFICATE----- {SECRET}"},
        {"getVariableResult": [{"component": {"name": "ConnectedEV"}, "variable": {"name": "VehicleId"}, "attributeValue": SECRET}]},
        {"reportData": [{"variable": {"name": "VehicleId"}, "variableAttribute": [{"value": SECRET}]}]},
        {"eventData": [{"variable": {"name": "vehicleid"}, "actualValue": SECRET}]},
    ],
)
def test_identifiers_are_replaced_wherever_ocpp_has_them(payload: object) -> None:
    text = json.dumps([2, "1", "Any", payload])
    hidden = conceal(text, name)
    assert SECRET not in str(hidden)
    assert "#14" in str(hidden) or "left out" in str(hidden)
    assert json.loads(hidden)[:3] == [2, "1", "Any"]


def test_a_key_written_in_escapes_hides_nothing() -> None:
    text = '[2,"1","Authorize",{"id\\u0054oken":{"idTo\\u006ben":"' + SECRET + '"}}]'
    assert SECRET not in str(conceal(text, name))


def test_customer_information_is_left_out() -> None:
    text = json.dumps([2, "1", "NotifyCustomerInformation", {"data": f"name of {SECRET}"}])
    assert SECRET not in str(conceal(text, name))


def test_a_frame_without_identifiers_stays_as_it_was() -> None:
    text = '[2, "1",  "Heartbeat", {}]'
    assert conceal(text, name) is text


def test_what_is_no_json_and_may_hold_an_identifier_is_left_out() -> None:
    hidden = conceal('[2,"1","Authorize",{"idToken":"' + SECRET, name)
    assert SECRET not in str(hidden)
    assert "left out" in str(hidden)


@pytest.mark.parametrize("clear", [False, True])
def test_the_ring_keeps_pseudonyms_unless_a_setting_says_otherwise(tmp_path: Path, clear: bool) -> None:
    text = json.dumps([2, "1", "Authorize", {"idToken": {"idToken": SECRET, "type": "Central"}}])
    with FrameRing(tmp_path, 1_000_000, hidings=() if clear else [Hiding(IDENTIFIER_HINTS, lambda frame: conceal(frame, name))]) as ring:
        ring.record(StationId("A"), "in", 1.0, text.encode())
        [frame] = ring.newest(StationId("A"), 1)
    kept = "".join(path.read_text() for path in tmp_path.glob("frames-*.jsonl"))
    assert (SECRET in kept, SECRET in frame.text) == (clear, clear)


@pytest.mark.parametrize("key", ["idToken", "IDTOKEN", "id\\u0054oken", "idTo\u212aen", "emaid"])
def test_one_frame_among_many_that_holds_an_identifier_is_found(tmp_path: Path, key: str) -> None:
    plain = '[2,"1","Heartbeat",{"caf\xe9":1}]'
    with FrameRing(tmp_path, 1_000_000, hidings=[Hiding(IDENTIFIER_HINTS, lambda frame: conceal(frame, name))]) as ring:
        for number in range(50):
            text = plain if number != 31 else f'[2,"1","Authorize",{{"{key}":"{SECRET}"}}]'
            ring.record(StationId("A"), "in", float(number), text.encode())
        frames = ring.newest(StationId("A"), 50)
    assert [frame.received_s for frame in frames] == [float(number) for number in range(50)]
    assert {frame.text for frame in frames if frame.received_s != 31.0} == {plain}
    assert SECRET not in frames[31].text
