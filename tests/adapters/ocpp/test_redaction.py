"""No password in a raw frame that is kept."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.adapters.ocpp.redaction import HIDDEN, UNREADABLE, hide_secrets

SECRET = "s3cret-s3cret-s3cret"


def variable(name: str, **more: Any) -> dict[str, Any]:
    return {"component": {"name": "SecurityCtrlr"}, "variable": {"name": name}, **more}


@pytest.mark.parametrize(
    "payload",
    [
        {"setVariableData": [variable("BasicAuthPassword", attributeValue=SECRET)]},
        {"setVariableData": [variable("basicauthpassword", attributeValue=SECRET), variable("Identity", attributeValue="CS1")]},
        {"getVariableResult": [variable("BasicAuthPassword", attributeStatus="Accepted", attributeValue=SECRET)]},
        {"reportData": [variable("VpnKey", variableAttribute=[{"type": "Actual", "value": SECRET}])]},
        {"connectionData": {"basicAuthPassword": SECRET, "apn": {"apnPassword": SECRET}, "vpn": {"password": SECRET, "key": SECRET}}},
        {"key": "AuthorizationKey", "value": SECRET},
        {"configurationKey": [{"key": "AuthorizationKey", "readonly": False, "value": SECRET}]},
    ],
)
def test_a_password_is_hidden_wherever_ocpp_carries_one(payload: dict[str, Any]) -> None:
    text = json.dumps([2, "1", "SetVariables", payload])
    hidden = hide_secrets(text)
    assert SECRET not in hidden
    assert HIDDEN in hidden
    assert json.loads(hidden)[:3] == [2, "1", "SetVariables"]
    assert "CS1" in hidden or "CS1" not in text


def test_an_escaped_name_or_value_hides_nothing_from_us() -> None:
    text = json.dumps([2, "1", "SetVariables", {"setVariableData": [variable("BasicAuthPassword", attributeValue=SECRET)]}])
    text = text.replace("Password", "Passw\\u006frd").replace(SECRET, SECRET.replace("s", "\\u0073"))
    assert SECRET not in text
    assert SECRET not in hide_secrets(text)


@pytest.mark.parametrize("text", ['[2,"1","X",{"BasicAuthPassword": "' + SECRET, "[" * 100_000 + '"basicAuthPassword"'])
def test_what_cannot_be_read_and_may_hold_one_is_withheld(text: str) -> None:
    assert hide_secrets(text) == UNREADABLE


def test_other_frames_are_kept_letter_by_letter() -> None:
    for text in ('[3,"1",{ "key":  "value" }]', '[2, "1", "Heartbeat", {}]', "[3,", '[2,"1","X",{"variable":{"name":"Password expired"}}]'):
        assert hide_secrets(text) == text


@given(
    st.recursive(st.none() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner))
)
def test_it_never_raises_and_keeps_valid_json(value: Any) -> None:
    text = json.dumps([2, "1", "password", value])
    json.loads(hide_secrets(text))
