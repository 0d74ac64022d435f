"""permessage-deflate: what is agreed on, and that it is held to within bounds (RFC 7692)."""

import tracemalloc
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.adapters.ocpp.deflate import (
    CorruptStreamError,
    DeflateAgreement,
    Deflater,
    InflatedTooBigError,
    Inflater,
    agree,
    offer,
    read_answer,
)

LIMIT_BYTES = 10_000
SERVER = "permessage-deflate; server_no_context_takeover"


def test_decision_9_a_station_that_lets_us_choose_gets_a_12_bit_window_and_keeps_its_context() -> None:
    assert agree(["permessage-deflate; client_max_window_bits"]) == (
        DeflateAgreement(client_window_bits=12, server_keeps_context=False),
        f"{SERVER}; client_max_window_bits=12",
    )


@pytest.mark.parametrize(
    ("offered", "answer"),
    [
        ("permessage-deflate", SERVER),
        ("permessage-deflate; client_max_window_bits=10", f"{SERVER}; client_max_window_bits=10"),
        ("permessage-deflate; client_max_window_bits=15", f"{SERVER}; client_max_window_bits=12"),
        ('permessage-deflate; client_max_window_bits="9"', f"{SERVER}; client_max_window_bits=9"),
        ("permessage-deflate; server_max_window_bits=10", f"{SERVER}; server_max_window_bits=10"),
        ("permessage-deflate;server_no_context_takeover", SERVER),
        ("Permessage-Deflate ; client_no_context_takeover", f"{SERVER}; client_no_context_takeover"),
        ("x-webkit-deflate-frame, permessage-deflate", SERVER),
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", SERVER),
        ("permessage-deflate; mystery, permessage-deflate; client_max_window_bits", f"{SERVER}; client_max_window_bits=12"),
    ],
)
def test_rfc7692_7_1_the_answer_stays_within_the_first_offer_that_can_be_held_to(offered: str, answer: str) -> None:
    agreed = agree([offered])
    assert agreed is not None
    assert agreed[1] == answer


@pytest.mark.parametrize(
    "offered",
    [
        "",
        "x-webkit-deflate-frame",
        "permessage-deflate; mystery",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=012",
        "permessage-deflate; client_max_window_bits=" + "9" * 10_000,
        "permessage-deflate; client_max_window_bits=\u0661\u0662",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        ";;,,=;",
    ],
)
def test_rfc7692_7_1_an_offer_that_cannot_be_held_to_is_declined(offered: str) -> None:
    assert agree([offered]) is None


def test_offers_in_several_header_lines_are_one_list() -> None:
    assert agree(["x-other", "permessage-deflate"]) is not None


def test_what_the_client_offers_the_server_accepts_and_both_agree() -> None:
    agreed = agree([offer()])
    assert agreed is not None
    assert read_answer([agreed[1]]) == agreed[0]


@pytest.mark.parametrize(
    "answer",
    ["x-other", "permessage-deflate, permessage-deflate", "permessage-deflate; client_max_window_bits=8", "permessage-deflate; a; a"],
)
def test_a_client_refuses_an_answer_that_it_cannot_hold_to(answer: str) -> None:
    with pytest.raises(ValueError, match="server answered"):
        read_answer([answer])


def test_no_answer_means_a_plain_line() -> None:
    assert read_answer([]) is None


@settings(max_examples=60)
@given(
    st.lists(st.binary(max_size=3000) | st.sampled_from([b'{"a":1}' * 90, b""]), max_size=6),
    st.integers(9, 15),
    st.booleans(),
)
def test_every_message_comes_back_with_any_window_with_and_without_context(messages: list[bytes], bits: int, keeps: bool) -> None:
    there, back = Deflater(bits, keeps), Inflater(bits, keeps, LIMIT_BYTES)
    assert [back.inflate(there.deflate(message)) for message in messages] == messages


def test_without_context_each_message_stands_alone() -> None:
    there = Deflater(12, False)
    first, second = there.deflate(b"the same words" * 9), there.deflate(b"the same words" * 9)
    assert first == second
    assert Inflater(12, False, LIMIT_BYTES).inflate(second) == b"the same words" * 9


def test_context_makes_repetition_cheap_and_is_needed_to_read_it() -> None:
    there = Deflater(12, True)
    message = bytes(range(256)) * 2
    first, second = there.deflate(message), there.deflate(message)
    assert len(second) < len(first) / 10
    with pytest.raises(CorruptStreamError):
        Inflater(12, True, LIMIT_BYTES).inflate(second)


def test_between_messages_a_line_holds_its_window_and_no_decompressor() -> None:
    there, back = Deflater(12, True), Inflater(12, True, LIMIT_BYTES)
    packed = [there.deflate(f"message {number}".encode() * 500) for number in range(20)]
    tracemalloc.start()
    for message in packed:
        back.inflate(message)
    held_bytes = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert 4096 <= held_bytes < 4096 + 512


def test_a_bomb_stops_at_the_limit_and_so_does_the_memory() -> None:
    bomb = Deflater(12, False).deflate(bytes(64 * 1024 * 1024))
    inflater = Inflater(12, True, LIMIT_BYTES)
    tracemalloc.start()
    with pytest.raises(InflatedTooBigError):
        inflater.inflate(bomb)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < len(bomb) * 2 + 4 * LIMIT_BYTES + 65536


@pytest.mark.parametrize(("size", "fits"), [(LIMIT_BYTES, True), (LIMIT_BYTES + 1, False)])
def test_the_limit_is_exact(size: int, fits: bool) -> None:
    packed = Deflater(12, False).deflate(b"x" * size)
    inflater = Inflater(12, True, LIMIT_BYTES)
    if fits:
        assert len(inflater.inflate(packed)) == size
        assert inflater.inflate(Deflater(12, False).deflate(b"next")) == b"next"
    else:
        with pytest.raises(InflatedTooBigError):
            inflater.inflate(packed)


def test_rfc7692_7_2_3_4_a_message_may_end_in_a_final_block() -> None:
    inflater = Inflater(15, True, LIMIT_BYTES)
    assert inflater.inflate(bytes.fromhex("f348cdc9c9070000")) == b"Hello"
    assert inflater.inflate(bytes.fromhex("f248cdc9c90700")) == b"Hello"  # 7.2.3.1: a sender that begins anew
    assert inflater.inflate(bytes.fromhex("f348cdc9c9070000")) == b"Hello"
    assert inflater.inflate(bytes.fromhex("f200110000")) == b"Hello"  # 7.2.3.2: and one that goes on


def test_bytes_after_a_final_block_are_corrupt_however_many() -> None:
    with pytest.raises(CorruptStreamError):
        Inflater(15, True, LIMIT_BYTES).inflate(b"\x03\x00" * 200_000)


def test_a_window_of_8_bits_is_read_as_zlib_writes_it() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -9)
    message = bytes(range(250)) + bytes(range(250))
    packed = packer.compress(message) + packer.flush(zlib.Z_SYNC_FLUSH)
    assert Inflater(8, True, LIMIT_BYTES).inflate(packed[:-4]) == message
