"""Meter values of all kinds of stations become one measurement per instant in one sign convention."""

from datetime import UTC, datetime
from math import isnan, nan
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.adapters.ocpp.measurands import BAD_PHASES, BAD_SIZE, BAD_UNIT, normalise
from counterflow.adapters.ocpp.messages import MeterValueType
from counterflow.domain.telemetry import Measurement

AT = "2026-11-22T10:01:00Z"
AT_S = datetime(2026, 11, 22, 10, 1, tzinfo=UTC).timestamp()


def value(
    amount: float, measurand: str | None = None, unit: str | None = None, multiplier: int | None = None, **more: str
) -> dict[str, Any]:
    measure = {} if unit is None else {"unit": unit}
    if multiplier is not None:
        measure["multiplier"] = multiplier  # type: ignore[assignment]  # a JSON object of mixed types
    said: dict[str, Any] = {"value": amount, **more}
    if measurand is not None:
        said["measurand"] = measurand
    if measure:
        said["unitOfMeasure"] = measure
    return said


def power(amount: float, direction: str = "Import", **more: str) -> dict[str, Any]:
    return value(amount, f"Power.Active.{direction}", "W", **more)


def read(*values: dict[str, Any], dropped: dict[str, int] | None = None) -> Measurement:
    [measurement] = read_all({AT: list(values)}, dropped)
    return measurement


def read_all(by_time: dict[str, list[dict[str, Any]]], dropped: dict[str, int] | None = None) -> tuple[Measurement, ...]:
    entries = [{"timestamp": at, "sampledValue": sampled} for at, sampled in by_time.items()]
    return normalise(msgspec.convert(entries, list[MeterValueType]), {} if dropped is None else dropped)


@pytest.mark.parametrize(
    ("power_import", "power_export", "power_w"),
    [
        (7000.0, None, 7000.0),
        (7000.0, 0.0, 7000.0),
        (0.0, 7000.0, -7000.0),
        (None, 7000.0, -7000.0),
        (None, -7000.0, -7000.0),
        (0.0, -7000.0, -7000.0),
        (-7000.0, None, -7000.0),
        (-7000.0, 0.0, -7000.0),
        (-7000.0, 7000.0, -7000.0),
        (7000.0, -7000.0, 7000.0),
        (500.0, 200.0, 300.0),
        (0.0, 0.0, 0.0),
        (0.0, None, 0.0),
    ],
)
def test_both_sign_conventions_give_one_power_counted_once(power_import: float | None, power_export: float | None, power_w: float) -> None:
    said = []
    if power_import is not None:
        said.append(power(power_import))
    if power_export is not None:
        said.append(power(power_export, "Export"))
    assert read(*said).power_w == power_w


def test_what_is_not_in_the_sample_is_unknown_not_zero() -> None:
    measurement = read(power(100.0))
    assert isnan(measurement.export_wh)
    assert isnan(measurement.import_wh)
    assert isnan(measurement.soc_frac)
    assert measurement.at_s == AT_S


def test_units_and_multipliers_are_scaled() -> None:
    measurement = read(
        value(7.2, "Power.Active.Import", "kW"),
        value(184.2, "Energy.Active.Export.Register", "Wh", 3),
        value(9_876_543, "Energy.Active.Import.Register", "kWh", -3),
        value(61, "SoC", "Percent", location="EV"),
    )
    assert measurement.power_w == pytest.approx(7200.0)
    assert measurement.export_wh == pytest.approx(184_200.0)
    assert measurement.import_wh == pytest.approx(9_876_543.0)
    assert measurement.soc_frac == pytest.approx(0.61)


def test_no_measurand_is_the_import_register_in_wh() -> None:
    assert read(value(1234.5)).import_wh == 1234.5


@pytest.mark.parametrize("unit", ["kW", "KW", "kw", " kW"])
def test_units_are_read_however_they_are_cased_but_not_guessed(unit: str) -> None:
    found = read_all({AT: [value(1.0, "Power.Active.Import", unit)]}, dropped := {})
    assert (found[0].power_w == 1000.0) if unit.strip() == unit else (found == () and dropped == {BAD_UNIT: 1})


def test_the_overall_value_wins_over_the_phases() -> None:
    phases = [power(1000.0, phase=phase) for phase in ("L1", "L2", "L3")]
    assert read(*phases, power(3100.0)).power_w == 3100.0
    assert read(power(3100.0), *phases).power_w == 3100.0


@pytest.mark.parametrize("names", [("L1", "L2", "L3"), ("L1-N", "L2-N", "L3-N")])
def test_three_phases_are_summed(names: tuple[str, ...]) -> None:
    phases = [power(watts, "Export", phase=name) for watts, name in zip((1000.0, 2000.0, 4000.0), names, strict=True)]
    assert read(*phases).power_w == -7000.0


def test_a_part_of_the_phases_is_no_value() -> None:
    dropped: dict[str, int] = {}
    assert read_all({AT: [power(1000.0, phase="L1"), power(1000.0, phase="L2")]}, dropped) == ()
    assert dropped == {BAD_PHASES: 2}


def test_the_outlet_wins_over_the_inlet_and_they_are_never_mixed() -> None:
    at_inlet = [power(9000.0, "Export", location="Inlet"), power(8000.0, location="Inlet")]
    assert read(power(7000.0, location="Outlet"), *at_inlet).power_w == 7000.0
    assert read(*at_inlet).power_w == -1000.0


@pytest.mark.parametrize("location", ["EV", "Upstream", "Cable", "Body"])
def test_power_elsewhere_is_not_the_power_of_the_evse(location: str) -> None:
    assert isnan(read(power(7000.0, location=location), value(50, "SoC")).power_w)


@pytest.mark.parametrize(
    ("strange", "reason"),
    [
        (value(101, "SoC", "Percent"), BAD_SIZE),
        (value(-1, "SoC", "Percent"), BAD_SIZE),
        (value(1e9, "Power.Active.Import", "W"), BAD_SIZE),
        (value(7, "Power.Active.Import", "W", 9), BAD_SIZE),
        (value(-5, "Energy.Active.Import.Register", "Wh"), BAD_SIZE),
        (value(7, "Power.Active.Import", "VA"), BAD_UNIT),
        (value(7, "Power.Active.Import", "Wh"), BAD_UNIT),
        (value(7, "SoC", "Wh"), BAD_UNIT),
        (value(7, "Power.Active.Import", "W", 300), BAD_UNIT),
        (value(7, "Power.Active.Import", "W", -300), BAD_UNIT),
    ],
)
def test_strange_values_are_dropped_and_counted(strange: dict[str, Any], reason: str) -> None:
    dropped: dict[str, int] = {}
    measurement = read(strange, value(5, "Energy.Active.Export.Register"), dropped=dropped)
    assert isnan(measurement.power_w)
    assert isnan(measurement.soc_frac)
    assert isnan(measurement.import_wh)
    assert dropped == {reason: 1}


def test_a_message_without_anything_usable_gives_no_measurement() -> None:
    assert read_all({AT: [value(230.0, "Voltage", "V")]}) == ()


def test_the_display_of_the_car_stands_in_for_a_missing_soc() -> None:
    assert read(value(40, "Display.PresentSOC", "Percent")).soc_frac == 0.4
    assert read(value(40, "Display.PresentSOC", "Percent"), value(41, "SoC", "Percent")).soc_frac == 0.41


def test_j02_fr_14_values_of_one_instant_split_over_entries_are_put_together() -> None:
    entries = [
        {"timestamp": AT, "sampledValue": [power(100.0)]},
        {"timestamp": "2026-11-22T10:01:10Z", "sampledValue": [power(200.0)]},
        {"timestamp": "2026-11-22T11:01:00+01:00", "sampledValue": [value(50, "SoC", "Percent")]},
    ]
    first, second = normalise(msgspec.convert(entries, list[MeterValueType]), {})
    assert (first.at_s, first.power_w, first.soc_frac) == (AT_S, 100.0, 0.5)
    assert (second.at_s, second.power_w) == (AT_S + 10.0, 200.0)


amounts = st.floats(-1e12, 1e12) | st.sampled_from([0.0, -0.0, 7000.0, -7000.0])
samples = st.builds(
    value,
    amounts,
    st.sampled_from(
        [None, "Power.Active.Import", "Power.Active.Export", "SoC", "Energy.Active.Export.Register", "Energy.Active.Net", "Voltage"]
    ),
    st.sampled_from([None, "W", "kW", "Wh", "kWh", "Percent", "V", "?"]),
    st.sampled_from([None, 0, 3, -3, 12, -2_000_000_000]),
)


@settings(max_examples=150)
@given(st.lists(st.tuples(samples, st.sampled_from(["", "L1", "L2", "L3", "N", "L1-L2"]), st.sampled_from(["", "Inlet", "EV"]))))
def test_whatever_is_sent_what_comes_out_is_in_range_or_unknown(said: list[tuple[dict[str, Any], str, str]]) -> None:
    values = [
        {**sample, **({"phase": phase} if phase else {}), **({"location": location} if location else {})}
        for sample, phase, location in said
    ]
    if not values:
        return
    for measurement in read_all({AT: values}):
        assert isnan(measurement.soc_frac) or 0.0 <= measurement.soc_frac <= 1.0
        assert isnan(measurement.power_w) or abs(measurement.power_w) <= 6e8
        assert isnan(measurement.export_wh) or measurement.export_wh >= 0.0
        assert isnan(measurement.import_wh) or measurement.import_wh >= 0.0


@settings(max_examples=200)
@given(st.floats(0.0, 1e6))
def test_every_way_to_say_a_discharge_gives_the_same_power(watts: float) -> None:
    compliant = read(power(watts, "Export"), power(0.0))
    signed = read(power(-watts))
    both = read(power(-watts), power(watts, "Export"))
    assert compliant.power_w == signed.power_w == both.power_w == -watts
    assert compliant.power_w is not nan
