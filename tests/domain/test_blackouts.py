"""Weekly local times without discharge."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.domain.blackouts import day_ends_s, day_of, next_blackout, parse_window


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "days", "from_min", "length_min"),
    [
        ("mon-fri 06:30-09:00", {0, 1, 2, 3, 4}, 390, 150),
        ("Sat,Sun  22:00-06:00", {5, 6}, 1320, 480),
        ("fri-mon 0:00-24:00", {4, 5, 6, 0}, 0, 1440),
        ("daily 12:00-14:00", set(range(7)), 720, 120),
    ],
)
def test_what_people_write_is_understood(text: str, days: set[int], from_min: int, length_min: int) -> None:
    window = parse_window(text)
    assert (window.days, window.from_min, window.length_min) == (frozenset(days), from_min, length_min)


@pytest.mark.parametrize(
    "text", ["", "mon", "mon 8-9", "mun 08:00-09:00", "mon 08:00-08:00", "mon 25:00-26:00", "mon 08:60-09:00", "mon 24:00-01:00"]
)
def test_what_is_not_understood_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="'"):
        parse_window(text)


def test_the_blackout_that_is_on_comes_before_the_next() -> None:
    windows = ("mon-fri 06:30-09:00",)  # 2026-11-23 is a Monday
    assert next_blackout(windows, "UTC", at("2026-11-23T07:00")) == (at("2026-11-23T06:30"), at("2026-11-23T09:00"))
    assert next_blackout(windows, "UTC", at("2026-11-23T09:00")) == (at("2026-11-24T06:30"), at("2026-11-24T09:00"))
    assert next_blackout(windows, "UTC", at("2026-11-27T10:00")) == (at("2026-11-30T06:30"), at("2026-11-30T09:00"))
    assert next_blackout((), "UTC", at("2026-11-23T07:00")) is None


def test_times_are_local_and_a_night_reaches_into_the_next_day() -> None:
    night = next_blackout(("sun 22:00-06:00",), "Europe/Berlin", at("2026-11-23T02:00"))
    assert night == (at("2026-11-22T21:00"), at("2026-11-23T05:00"))


def test_where_the_clocks_go_back_the_window_is_the_longer_one() -> None:
    # On 2026-10-25 in Berlin 02:30 comes twice: at 00:30Z and at 01:30Z.
    assert next_blackout(("sun 02:30-02:45",), "Europe/Berlin", at("2026-10-25T00:00")) == (at("2026-10-25T00:30"), at("2026-10-25T01:45"))


def test_a_day_is_a_local_day() -> None:
    assert day_of("Europe/Berlin", at("2026-11-22T23:30")) == "2026-11-23"
    assert day_ends_s("Europe/Berlin", at("2026-11-22T22:30")) == at("2026-11-22T23:00")


ZONES = ["UTC", "Europe/Berlin", "America/New_York"]


@given(now_s=st.floats(1.7e9, 1.9e9), begin=st.integers(0, 1439), length=st.integers(1, 1439), zone=st.sampled_from(ZONES))
def test_a_daily_window_is_never_over_and_never_more_than_a_day_ahead(now_s: float, begin: int, length: int, zone: str) -> None:
    end = (begin + length) % 1440
    text = f"daily {begin // 60:02d}:{begin % 60:02d}-{end // 60:02d}:{end % 60:02d}"
    found = next_blackout((text,), zone, now_s)
    assert found is not None
    assert found[1] > now_s
    assert found[0] <= now_s + 26 * 3600.0
