"""Frames become messages, or a close code."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.adapters.ocpp.assembly import BINARY, CONTINUATION, TEXT, MessageAssembly, ProtocolViolationError
from counterflow.adapters.ocpp.deflate import Deflater, Inflater
from counterflow.adapters.ocpp.transport import CloseCode

LIMIT_BYTES = 1000


def assembly(inflater: Inflater | None = None, max_fragments: int = 50) -> MessageAssembly:
    return MessageAssembly(LIMIT_BYTES, max_fragments, inflater)


def violation_of_the_last(of: MessageAssembly, *frames: tuple[int, bool, bool, bytes]) -> CloseCode:
    *before, (opcode, final, compressed, payload) = frames
    for early_opcode, early_final, early_compressed, early_payload in before:
        assert of.take(early_opcode, final=early_final, compressed=early_compressed, payload=early_payload) is None
    with pytest.raises(ProtocolViolationError) as caught:
        of.take(opcode, final=final, compressed=compressed, payload=payload)
    return caught.value.code


@settings(max_examples=100)
@given(st.lists(st.lists(st.binary(max_size=20), min_size=1, max_size=10), max_size=5), st.booleans())
def test_messages_come_out_whole_and_in_order_however_they_are_cut(messages: list[list[bytes]], compressed: bool) -> None:
    inbound = assembly(Inflater(12, True, LIMIT_BYTES))
    outbound = Deflater(12, True)
    seen = []
    for parts in messages:
        cuts = parts
        if compressed:
            packed = outbound.deflate(b"".join(parts))
            cuts = [packed[at : at + 3] for at in range(0, len(packed), 3)]
        for number, cut in enumerate(cuts):
            last = number == len(cuts) - 1
            whole = inbound.take(CONTINUATION if number else TEXT, final=last, compressed=compressed and number == 0, payload=cut)
            assert (whole is not None) == last
            assert inbound.idle == last
        seen.append(whole)
    assert seen == [b"".join(parts) for parts in messages]


def test_rfc6455_5_4_a_continuation_needs_a_beginning() -> None:
    assert violation_of_the_last(assembly(), (CONTINUATION, True, False, b"x")) == CloseCode.PROTOCOL_ERROR


def test_rfc6455_5_4_no_message_begins_inside_another() -> None:
    assert violation_of_the_last(assembly(), (TEXT, False, False, b"x"), (TEXT, True, False, b"x")) == CloseCode.PROTOCOL_ERROR


def test_binary_is_not_ocpp() -> None:
    assert violation_of_the_last(assembly(), (BINARY, True, False, b"x")) == CloseCode.UNSUPPORTED_DATA


def test_rfc7692_6_compressed_without_agreement_is_a_violation() -> None:
    assert violation_of_the_last(assembly(), (TEXT, True, True, b"x")) == CloseCode.PROTOCOL_ERROR


def test_rfc7692_6_1_only_the_first_fragment_carries_the_compression_bit() -> None:
    inbound = assembly(Inflater(12, True, LIMIT_BYTES))
    assert violation_of_the_last(inbound, (TEXT, False, True, b"x"), (CONTINUATION, True, True, b"x")) == CloseCode.PROTOCOL_ERROR


def test_the_size_limit_holds_for_one_frame_and_for_the_sum() -> None:
    assert assembly().take(TEXT, final=True, compressed=False, payload=b"x" * LIMIT_BYTES) == b"x" * LIMIT_BYTES
    assert violation_of_the_last(assembly(), (TEXT, True, False, b"x" * (LIMIT_BYTES + 1))) == CloseCode.MESSAGE_TOO_BIG
    assert (
        violation_of_the_last(assembly(), (TEXT, False, False, b"x" * 600), (CONTINUATION, False, False, b"x" * 401))
        == CloseCode.MESSAGE_TOO_BIG
    )


def test_the_size_counts_anew_for_each_message() -> None:
    inbound = assembly()
    for _ in range(3):
        assert inbound.take(TEXT, final=True, compressed=False, payload=b"x" * LIMIT_BYTES) is not None


def test_empty_fragments_are_counted_too() -> None:
    inbound = assembly(max_fragments=3)
    frames = [(TEXT, False, False, b""), *[(CONTINUATION, False, False, b"")] * 3]
    assert violation_of_the_last(inbound, *frames) == CloseCode.MESSAGE_TOO_BIG


def test_a_compressed_message_is_bounded_as_inflated() -> None:
    bomb = Deflater(12, False).deflate(b"x" * (LIMIT_BYTES + 1))
    assert len(bomb) < 50
    assert violation_of_the_last(assembly(Inflater(12, True, LIMIT_BYTES)), (TEXT, True, True, bomb)) == CloseCode.MESSAGE_TOO_BIG


def test_a_broken_stream_is_an_invalid_payload() -> None:
    with pytest.raises(zlib.error):
        zlib.decompressobj(-12).decompress(b"\xff\xff\xff")
    inbound = assembly(Inflater(12, True, LIMIT_BYTES))
    assert violation_of_the_last(inbound, (TEXT, True, True, b"\xff\xff\xff")) == CloseCode.INVALID_PAYLOAD
