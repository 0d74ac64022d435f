"""OpenADR's instants and durations, as VTNs were seen to write them."""

import math
import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.adapters.openadr.times import (
    ENDLESS_S,
    NOW_S,
    is_now,
    read_duration,
    read_instant,
    write_duration,
    write_instant,
)

AT_S = datetime(2026, 11, 22, 17, 0, tzinfo=UTC).timestamp()
DURATION_PATTERN = r"^(-?)P(?=\d|T\d)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)([DW]))?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$"
"""Of the API description, schema `duration`."""


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T17:00:00Z",
        "2026-11-22 17:00:00",  # the reference VTN: no T, no zone
        "2026-11-22T17:00:00",
        "2026-11-22T18:00:00+01:00",
        "2026-11-22T18:00:00+0100",
        "2026-11-22t17:00:00z",
        "2026-11-22T17:00:00.000000000Z",
        "2026-11-22T17:00Z",
        " 2026-11-22T16:59:60Z ",
    ],
)
def test_instants_are_read_however_they_are_written(text: str) -> None:
    assert read_instant(text) == AT_S


def test_a_fraction_of_a_second_is_kept() -> None:
    assert read_instant("2026-11-22T17:00:00.25Z") == AT_S + 0.25
    assert read_instant("2026-11-22") == AT_S - 17 * 3600


@pytest.mark.parametrize("text", ["0001-01-01", "0001-01-01T00:00:00", "0001-01-01T00:00:00Z", "0001-01-01 00:00:00", "0000-00-00"])
def test_ug_7_now_is_a_sentinel_in_both_versions(text: str) -> None:
    assert read_instant(text) == NOW_S
    assert is_now(read_instant(text))
    assert not is_now(AT_S)
    assert not is_now(None)


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01T00:00:00Z", "2026-02-30", "1795366800", "17:00", "2026-11-22T25:00:00Z"])
def test_what_is_no_instant_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is no time such as"):
        read_instant(text)


@given(st.integers(min_value=0, max_value=4_000_000_000_000))
def test_a_written_instant_reads_the_same(at_ms: int) -> None:
    assert abs(read_instant(write_instant(at_ms / 1000)) - at_ms / 1000) < 1e-6


def test_instants_are_written_by_rfc_3339() -> None:
    assert write_instant(AT_S) == "2026-11-22T17:00:00Z"
    assert write_instant(AT_S + 0.25) == "2026-11-22T17:00:00.250Z"
    assert write_instant(NOW_S) == "0001-01-01T00:00:00Z"
    for unknown in (math.nan, math.inf):
        with pytest.raises(ValueError, match="no instant"):
            write_instant(unknown)


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [
        ("PT15M", 900),
        ("PT0S", 0),
        ("P1DT2H3M4.5S", 93784.5),
        ("P2W", 1209600),
        ("P0Y0M0DT0H15M0S", 900),  # an endless one's rewriting, seen with an ordinary one
        ("pt4s", 4),
        ("PT0,5S", 0.5),
    ],
)
def test_durations_are_read(text: str, duration_s: float) -> None:
    assert read_duration(text) == duration_s


@pytest.mark.parametrize("text", ["P9999Y", "P9999Y0M0DT0H0M0S", "P9999Y0M0D", "P10000Y"])
def test_ug_7_p9999y_is_without_end_however_it_was_rewritten(text: str) -> None:
    assert read_duration(text) == ENDLESS_S


@pytest.mark.parametrize("text", ["P1M", "P1Y", "P1Y2M10DT2H"])
def test_months_and_years_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no fixed length"):
        read_duration(text)


@pytest.mark.parametrize("text", ["", "P", "PT", "15M", "-PT15M", "PT15", "900"])
def test_what_is_no_duration_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration such as"):
        read_duration(text)


@given(st.integers(min_value=0, max_value=10**11))
def test_a_written_duration_fits_the_official_pattern_and_reads_the_same(duration_ms: int) -> None:
    text = write_duration(duration_ms / 1000)
    assert re.fullmatch(DURATION_PATTERN, text)
    assert abs(read_duration(text) - duration_ms / 1000) < 1e-6


def test_durations_are_written() -> None:
    assert [write_duration(one) for one in (0, 4, 900, 86400, 90061.5, ENDLESS_S)] == [
        "PT0S", "PT4S", "PT15M", "P1D", "P1DT1H1M1.5S", "P9999Y",
    ]  # fmt: skip
    for wrong in (-1.0, math.nan):
        with pytest.raises(ValueError, match="no duration"):
            write_duration(wrong)
