"""What the strict twin of a request can read holds no identifier and no secret: it needs no search before it is kept."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.adapters.ocpp import messages, rpc
from counterflow.adapters.ocpp.plain import PLAIN_TYPES, twin_of
from counterflow.adapters.ocpp.redaction import hide_secrets
from counterflow.adapters.storage.concealing import conceal

SAMPLE: dict[str, Any] = {
    "eventType": "Updated",
    "timestamp": "2026-11-26T07:00:00Z",
    "triggerReason": "MeterValuePeriodic",
    "seqNo": 3,
    "transactionInfo": {"transactionId": "tx-1", "chargingState": "Charging"},
    "evse": {"id": 1, "connectorId": 1},
    "meterValue": [
        {
            "timestamp": "2026-11-26T07:00:00Z",
            "sampledValue": [{"value": -7000.0, "measurand": "Power.Active.Import", "unitOfMeasure": {"unit": "W"}}],
        }
    ],
}


def read(payload: dict[str, Any]) -> Any:
    return rpc.read_payload(json.dumps(payload).encode(), messages.TransactionEventRequest)


def test_an_ordinary_sample_is_read_by_the_twin_and_says_the_same() -> None:
    request = read(SAMPLE)
    assert type(request) in PLAIN_TYPES
    assert isinstance(request, messages.TransactionEventRequest)
    assert msgspec.to_builtins(request) == msgspec.to_builtins(msgspec.convert(SAMPLE, messages.TransactionEventRequest))


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ((), {"idToken": {"idToken": "04A2", "type": "ISO14443"}}),
        ((), {"customData": {"vendorId": "x", "idTag": "04A2"}}),
        (("transactionInfo",), {"customData": {"vendorId": "x"}}),
        (("evse",), {"idTag": "04A2"}),
        (("meterValue", 0), {"eMAID": "DE-1"}),
        (("meterValue", 0, "sampledValue", 0), {"customData": {"vendorId": "x"}}),
        (("meterValue", 0, "sampledValue", 0, "unitOfMeasure"), {"password": "x"}),
    ],
)
def test_what_could_name_somebody_is_not_plain_at_any_depth(path: tuple[str | int, ...], more: dict[str, Any]) -> None:
    payload = json.loads(json.dumps(SAMPLE))
    place = payload
    for part in path:
        place = place[part]
    place.update(more)
    assert read(payload) is None
    decoded = rpc.decode_payload(json.dumps(payload).encode(), messages.TransactionEventRequest)
    assert isinstance(decoded, rpc.Decoded), "it is read all the same"
    assert type(decoded.value) not in PLAIN_TYPES


def test_a_key_that_is_there_twice_hides_nothing() -> None:
    text = json.dumps(SAMPLE)[:-1] + ', "idToken": {"idToken": "04A2", "type": "Central"}, "idToken": null}'
    assert rpc.read_payload(text.encode(), messages.TransactionEventRequest) is None


def test_types_without_a_twin_are_read_as_they_are() -> None:
    assert twin_of(messages.BootNotificationRequest) is messages.BootNotificationRequest
    assert type(rpc.read_payload(b"{}", messages.HeartbeatRequest)) in PLAIN_TYPES


KEYS = st.sampled_from(["idToken", "idTag", "eMAID", "customData", "value", "unit", "timestamp", "evse", "id", "password", "x", "seqNo"])
TREES = st.recursive(
    st.none() | st.integers(0, 9) | st.sampled_from(["04A2", "W", "Updated"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, TREES, max_size=4))
def test_whatever_is_plain_would_have_been_left_alone_by_the_search(more: dict[str, Any]) -> None:
    text = json.dumps([2, "17", "TransactionEvent", SAMPLE | more])
    if rpc.read_payload(json.dumps(SAMPLE | more).encode(), messages.TransactionEventRequest) is not None:
        assert conceal(text, lambda _: "hidden") == text
        assert hide_secrets(text) == text
