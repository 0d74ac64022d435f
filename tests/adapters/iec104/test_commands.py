"""Which commands count at all."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.adapters.iec104.commands import SetpointCommand, instant_of, judge

NOW_S = 1_795_366_800.0


def said(**command: object) -> str:
    refusal = judge(SetpointCommand(value=1.0, **command), NOW_S - 2.0, 5.0, NOW_S)  # type: ignore[arg-type]
    return "" if refusal is None else refusal.sentence


def test_a_command_without_a_time_counts_as_it_comes() -> None:
    assert said() == ""


def test_a_timed_command_counts_when_it_is_fresh_and_the_newest() -> None:
    assert said(said_at_s=NOW_S - 1.0) == ""
    assert said(said_at_s=NOW_S + 4.9) == ""
    assert said(said_at_s=NOW_S - 5.1) == "The time of the command is more than 5 s behind our clock."
    assert said(said_at_s=NOW_S + 5.1) == "The time of the command is more than 5 s ahead of our clock."
    assert said(said_at_s=NOW_S - 2.0) == said(said_at_s=NOW_S - 3.0) == "A newer set-point has come already."


def test_a_test_and_an_invalid_time_do_not_count() -> None:
    assert said(test=True) == "A test command has no effect."
    assert said(time_valid=False) == "The time tag of the command is marked as invalid."


@given(st.integers(946_684_800_000, 4_102_444_799_999), st.booleans(), st.integers(0, 7))
def test_a_time_tag_is_read_in_utc_to_the_millisecond(at_ms: int, summer: bool, weekday: int) -> None:
    at = datetime.fromtimestamp(at_ms / 1e3, UTC)
    octets = (at.second * 1000 + at_ms % 1000).to_bytes(2, "little")
    octets += bytes([at.minute, at.hour | summer << 7, at.day | weekday << 5, at.month, at.year % 100])
    assert instant_of(octets) == pytest.approx(at_ms / 1e3, abs=1e-4)
    assert instant_of(octets[:2] + bytes([octets[2] | 0x80]) + octets[3:]) is None


@given(st.binary(min_size=7, max_size=7))
def test_octets_that_are_no_time_are_none(octets: bytes) -> None:
    found = instant_of(octets)
    assert found is None or 946_684_800.0 <= found < 5_000_000_000.0
