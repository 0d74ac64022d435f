"""Quantities as people write them; everything else is refused with a sentence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.domain.units import (
    MAX_DURATION_S,
    UnitError,
    format_energy,
    format_instant,
    format_power,
    parse_discharge_power_w,
    parse_duration_s,
    parse_instant_s,
)


@pytest.mark.parametrize(
    ("text", "power_w"),
    [("2.5MW", 2.5e6), ("1400 kW", 1.4e6), ("7000W", 7000.0), (" 7kw ", 7000.0), ("+3kW", 3000.0), ("1mw", 1e6)],
)
def test_power_is_read_with_its_unit(text: str, power_w: float) -> None:
    assert parse_discharge_power_w(text) == pytest.approx(power_w)


@pytest.mark.parametrize("text", ["", "7", "7000", "kW", "7 kWh", "1mW", "1e3kW", "1,5MW", "7kW 8kW", "∞MW", "nanW", "101GW", "7k W"])
def test_power_that_would_have_to_be_guessed_is_refused(text: str) -> None:
    with pytest.raises(UnitError, match="write"):
        parse_discharge_power_w(text)


@pytest.mark.parametrize("text", ["-1kW", "0W", "-0MW"])
def test_a_discharge_power_is_above_zero(text: str) -> None:
    with pytest.raises(UnitError, match="above zero"):
        parse_discharge_power_w(text)


def test_a_power_beyond_any_fleet_asks_for_the_unit() -> None:
    with pytest.raises(UnitError, match="check the unit"):
        parse_discharge_power_w("200000MW")


@pytest.mark.parametrize(
    ("text", "duration_s"),
    [
        ("15min", 900.0),
        ("900s", 900.0),
        ("1.5h", 5400.0),
        ("1 H", 3600.0),
        ("1h30min", 5400.0),
        ("2h 5s", 7205.0),
        ("2d", 172_800.0),
        ("1d12h", 129_600.0),
    ],
)
def test_duration_is_read_with_its_unit(text: str, duration_s: float) -> None:
    assert parse_duration_s(text) == duration_s


@pytest.mark.parametrize("text", ["15", "15m", "-5min", "0s", "8000h", "PT15M", "quarter", "", "1min1h", "1h-5min", "h"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(UnitError):
        parse_duration_s(text)


def test_a_week_is_the_longest_window() -> None:
    assert parse_duration_s("168h") == parse_duration_s("7d") == MAX_DURATION_S
    with pytest.raises(UnitError, match=r"'300d' is not a usable duration.*at most 7 days"):
        parse_duration_s("300d")
    assert parse_duration_s("365d", 400 * 86_400.0) == 365 * 86_400.0


def test_an_instant_needs_its_zone() -> None:
    assert parse_instant_s("2026-11-22T17:00Z") == 1795366800.0
    assert parse_instant_s("2026-11-22T18:00+01:00") == 1795366800.0
    with pytest.raises(UnitError, match="time zone"):
        parse_instant_s("2026-11-22T17:00")
    with pytest.raises(UnitError, match="not an instant"):
        parse_instant_s("five o'clock")


def test_instants_are_written_with_at_most_milliseconds() -> None:
    assert format_instant(1795366800.0) == "2026-11-22T17:00:00Z"
    assert format_instant(1795366800.1234) == "2026-11-22T17:00:00.123Z"


@given(st.floats(min_value=0, max_value=4e9, allow_nan=False))
def test_an_instant_survives_writing_and_reading_to_a_millisecond(at_s: float) -> None:
    assert parse_instant_s(format_instant(at_s)) == pytest.approx(at_s, abs=2e-3)


def test_figures_are_shown_in_the_unit_people_would_choose() -> None:
    nan = float("nan")
    assert [format_power(value) for value in (-0.0, -0.4)] == ["0 W", "0 W"]
    assert format_energy(-0.3) == "0 Wh"
    assert [format_power(value) for value in (0.0, -7000.0, 1.42e6, 999_600.0, nan)] == ["0 W", "-7.0 kW", "1.420 MW", "1.000 MW", "?"]
    assert [format_energy(value) for value in (12.0, 1500.0, 2.5e6, nan)] == ["12 Wh", "1.50 kWh", "2.500 MWh", "?"]
