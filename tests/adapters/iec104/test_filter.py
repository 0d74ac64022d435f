"""Which octets are handed to the library at all."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.adapters.iec104.frames import clock_of, fault_of, length_of

INFORMATION = bytes(4)


def asdu(text: str) -> bytes:
    return INFORMATION + bytes.fromhex(text)


@pytest.mark.parametrize(
    "body",
    [
        bytes.fromhex("07000000"),  # STARTDT
        bytes.fromhex("01000a00"),  # a supervisory frame
        asdu("320106002f00e903000000803f00"),
        asdu("3f0106002f00eb03000000803f00c8000d081a0b1a"),
        asdu("640106002f0000000014"),
        asdu("660105002f00d10700"),
        asdu("670106002f00000000c8000d081a0b1a"),
        asdu("6b0106002f00000000aa55c8000d081a0b1a"),
        asdu("300106002f00e90300004000"),  # another set-point: the library answers that it does not know it
    ],
)
def test_what_control_systems_send_is_handed_on(body: bytes) -> None:
    assert fault_of(body) is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (bytes.fromhex("ff000000"), "an unnumbered frame of no known function (0xff)"),
        (bytes.fromhex("0100000000"), "octets behind a frame that carries none"),
        (INFORMATION, "an ASDU without a whole head"),
        (asdu("0d0103002f00d107000000803f00"), "an ASDU of type 13, which no control system sends"),
        (asdu("320206002f00e903000000803f00"), "an ASDU of more or less than one object"),
        (asdu("320106002f00e903000000803f"), "an ASDU of type 50 of the wrong length"),
        (asdu("670106002f00000000c8003f081a0b1a"), "a time that is none"),
        (asdu("670106002f0000000060ea0d081a0b1a"), "a time that is none"),
    ],
)
def test_what_is_no_frame_is_said(body: bytes, words: str) -> None:
    assert fault_of(body) == words


def test_a_frame_begins_with_its_start_and_a_length_that_can_be() -> None:
    assert [length_of(bytes(head)) for head in ((0x68, 4), (0x68, 253), (0x68, 3), (0x68, 254), (0x69, 4))] == [4, 253, None, None, None]


@given(st.binary(min_size=4, max_size=253))
def test_any_octets_are_judged(body: bytes) -> None:
    assert fault_of(body) is None or fault_of(body)


def test_a_clock_is_read() -> None:
    said_s = datetime(2026, 11, 26, 8, 13, 0, 200_000, tzinfo=UTC).timestamp()
    assert clock_of(asdu("670106002f00000000c8000d081a0b1a")) == said_s
    assert clock_of(asdu("640106002f0000000014")) is None
    assert clock_of(bytes.fromhex("07000000")) is None
