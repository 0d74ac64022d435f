"""Who a station claims to be, from the request target (OCPP-J 3.1.1)."""

import string
import urllib.parse

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.adapters.ocpp.handshake import station_id_of

ALLOWED = string.ascii_letters + string.digits + "*-_=+|@."
IDENTITIES = st.text(ALLOWED, min_size=1, max_size=48).filter(lambda text: text not in (".", ".."))


@settings(max_examples=200)
@given(IDENTITIES)
def test_ocppj_3_1_1_every_identity_survives_percent_encoding(identity: str) -> None:
    everything_escaped = "".join(f"%{ord(character):02x}" for character in identity)
    for encoded in (identity, urllib.parse.quote(identity, safe=""), everything_escaped):
        assert station_id_of(f"/ocpp/{encoded}".encode(), "/ocpp") == identity


@settings(max_examples=300)
@given(st.binary(max_size=60))
def test_whatever_the_path_holds_an_identity_is_within_the_rules_or_none(rest: bytes) -> None:
    identity = station_id_of(b"/ocpp/" + rest, "/ocpp")
    assert identity is None or (1 <= len(identity) <= 48 and set(identity) <= set(ALLOWED) and identity not in (".", ".."))


@pytest.mark.parametrize(
    "target",
    [
        b"",
        b"/",
        b"/ocpp",
        b"/ocpp/",
        b"/ocppCS1",
        b"/other/CS1",
        b"/ocpp//CS1",
        b"/ocpp/CS1/",
        b"/ocpp/a/b",
        b"/ocpp/a%2Fb",
        b"/ocpp/a%2fb",
        b"/ocpp/a%252Fb",
        b"/ocpp/..",
        b"/ocpp/.",
        b"/ocpp/%2e%2e",
        b"/ocpp/../etc",
        b"/ocpp/CS1?x=1",
        b"/ocpp/CS1%3Fx",
        b"/ocpp/CS1#x",
        b"/ocpp/CS%3A1",
        b"/ocpp/CS:1",
        b"/ocpp/CS%1",
        b"/ocpp/CS%",
        b"/ocpp/CS%zz",
        b"/ocpp/CS%00",
        b"/ocpp/CS%0d%0a",
        b"/ocpp/C\xc3\xbc",
        b"/ocpp/C%C3%BC",
        b"/ocpp/CS 1",
        b"/ocpp/CS%201",
        b"/ocpp/a\\b",
        b"http://host/ocpp/CS1",
        b"/ocpp/" + b"x" * 49,
        b"/ocpp/" + b"%78" * 49,
    ],
)
def test_ocppj_3_1_1_nothing_else_is_an_identity(target: bytes) -> None:
    assert station_id_of(target, "/ocpp") is None


def test_48_characters_fit_also_when_every_one_is_encoded() -> None:
    assert station_id_of(b"/ocpp/" + b"%78" * 48, "/ocpp") == "x" * 48


@pytest.mark.parametrize(("prefix", "target"), [("", b"/CS1"), ("/a/b", b"/a/b/CS1")])
def test_the_prefix_may_be_empty_or_several_segments(prefix: str, target: bytes) -> None:
    assert station_id_of(target, prefix) == "CS1"
