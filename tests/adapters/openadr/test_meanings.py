"""What payloads ask of our cars: signs, units, levels, limits, and what is refused in a sentence."""

from itertools import pairwise
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.adapters.openadr.charge_state import NOT_KNOWN, ChargePlans
from counterflow.adapters.openadr.meanings import Meaning, Setpoint, layered, meaning_of
from counterflow.adapters.openadr.models import Event, EventPayloadDescriptor
from counterflow.adapters.openadr.models import Program as OperatorsProgram
from counterflow.adapters.openadr.timeline import Course, Piece
from counterflow.domain.grid import GridUnit, PoolTelemetry, Program, Sign, Wire
from counterflow.domain.ids import ALL_SITES
from counterflow.domain.instructions import DispatchMode

T0 = 1_800_000_000.0
LEVELS_W = (10_000.0, 20_000.0, 30_000.0)


def program(sign: Sign | None = Sign.LOAD, unit: GridUnit | None = GridUnit.KW) -> Program:
    return Program(name="north", wire=Wire.OPENADR, sign=sign, unit=unit, max_discharge_power_w=5e6)


def units(kind: str, unit: str | None) -> tuple[EventPayloadDescriptor, ...]:
    return (EventPayloadDescriptor(payload_type=kind, units=unit),)


def meaning(
    kind: str,
    *values: object,
    mine: Program | None = None,
    in_event: str | None = None,
    in_program: str | None = None,
    more: dict[str, tuple[Piece, ...]] | None = None,
    levels_w: tuple[float, ...] = LEVELS_W,
    plans: ChargePlans | None = None,
) -> Meaning:
    one = Event(id="e-1", program_id="p", event_name="cold night", payload_descriptors=units(kind, in_event) if in_event else ())
    operators = OperatorsProgram(id="p", program_name="north", payload_descriptors=units(kind, in_program) if in_program else ())
    pieces = tuple(Piece(T0 + 900 * number, T0 + 900 * (number + 1), value, number) for number, value in enumerate(values))
    return meaning_of(one, Course({kind: pieces, **(more or {})}), operators, mine or program(), levels_w, plans)


def pool_record(**known: Any) -> PoolTelemetry:
    unknown: dict[str, Any] = dict.fromkeys(PoolTelemetry.__struct_fields__)
    return PoolTelemetry(**unknown | {"pool": ALL_SITES} | known)


def powers(found: Meaning) -> list[float]:
    return [setpoint.discharge_power_w for setpoint in found.setpoints]


@pytest.mark.parametrize(
    ("sign", "value", "asked_w"),
    [(Sign.LOAD, -500.0, 500e3), (Sign.GENERATOR, 500.0, 500e3), (Sign.LOAD, 0, 0.0), (Sign.GENERATOR, 0, 0.0)],
)
def test_the_sign_is_that_of_the_program(sign: Sign, value: float, asked_w: float) -> None:
    assert powers(meaning("DISPATCH_SETPOINT", value, mine=program(sign))) == [asked_w]


@pytest.mark.parametrize(
    ("in_event", "in_program", "own", "watts"),
    [
        ("MW", "KW", GridUnit.W, 1e6),
        (None, "kw", GridUnit.W, 1e3),
        (None, None, GridUnit.W, 1.0),
        (" w ", None, None, 1.0),
    ],
)
def test_the_unit_is_that_of_the_event_then_of_the_program_then_of_the_settings(
    in_event: str | None, in_program: str | None, own: GridUnit | None, watts: float
) -> None:
    found = meaning("DISPATCH_SETPOINT", -2, mine=program(unit=own), in_event=in_event, in_program=in_program)
    assert powers(found) == [2 * watts]


@pytest.mark.parametrize("unit", ["KWH", "PERCENT", "KVA", "HP"])
def test_an_unknown_unit_is_refused_and_never_guessed(unit: str) -> None:
    found = meaning("DISPATCH_SETPOINT", -2, in_event=unit)
    assert found.setpoints == ()
    assert unit in found.refused


def test_no_unit_anywhere_and_no_sign_are_refused() -> None:
    assert "unit" in meaning("DISPATCH_SETPOINT", -2, mine=program(unit=None)).refused
    assert "sign" in meaning("DISPATCH_SETPOINT", -2, mine=program(sign=None)).refused


@pytest.mark.parametrize(("sign", "value"), [(Sign.LOAD, 300.0), (Sign.GENERATOR, -300.0)])
def test_more_consumption_is_refused_in_a_sentence(sign: Sign, value: float) -> None:
    found = meaning("DISPATCH_SETPOINT", 0.0, value, mine=program(sign))
    assert found.setpoints == ()
    assert "Interval 1 asks for 300.0 kW of additional consumption" in found.refused


@pytest.mark.parametrize("value", [None, True, "high", nan, inf])
def test_what_is_no_number_is_refused(value: object) -> None:
    found = meaning("DISPATCH_SETPOINT", value)
    assert found.setpoints == ()
    assert "no number" in found.refused


def test_a_relative_set_point_is_against_the_plan() -> None:
    (setpoint,) = meaning("DISPATCH_SETPOINT_RELATIVE", -50).setpoints
    assert setpoint == Setpoint(T0, T0 + 900, 50e3, DispatchMode.RELATIVE)
    (absolute,) = meaning("DISPATCH_SETPOINT", -50).setpoints
    assert absolute.mode is None


def test_absolute_and_relative_at_once_are_refused_and_one_after_the_other_not() -> None:
    def beside(from_s: float) -> Meaning:
        return meaning("DISPATCH_SETPOINT", -50, more={"DISPATCH_SETPOINT_RELATIVE": (Piece(from_s, from_s + 60, -20, 7),)})

    assert "same time" in beside(T0 + 100).refused
    assert powers(beside(T0 + 900)) == [50e3, 20e3]


@pytest.mark.parametrize(("level", "asked"), [(0, []), (1, [10e3]), (2.0, [20e3]), (3, [30e3])])
def test_simple_levels_are_looked_up(level: float, asked: list[float]) -> None:
    found = meaning("SIMPLE", level)
    assert powers(found) == asked
    assert all(setpoint.mode is DispatchMode.RELATIVE for setpoint in found.setpoints)


def test_simple_is_refused_without_a_table_and_beyond_it() -> None:
    assert "simple_power_w" in meaning("SIMPLE", 1, levels_w=()).refused
    assert "level 4" in meaning("SIMPLE", 4).refused
    assert "level 1.5" in meaning("SIMPLE", 1.5).refused
    assert meaning("SIMPLE", 0, levels_w=()).refused == ""


def test_a_dispatch_goes_before_a_level_of_the_same_time() -> None:
    found = meaning("DISPATCH_SETPOINT", -50, more={"SIMPLE": (Piece(T0 - 60, T0 + 2000, 3, 1),)})
    assert [(one.from_s - T0, one.to_s - T0, one.discharge_power_w) for one in found.setpoints] == [
        (-60, 0, 30e3),
        (0, 900, 50e3),
        (900, 2000, 30e3),
    ]


def test_capacity_limits_are_bounds_in_the_unit_of_their_own_descriptor_and_know_no_sign() -> None:
    (limit,) = meaning("EXPORT_CAPACITY_LIMIT", 0.5, in_event="MW").limits
    assert (limit.max_export_w, limit.max_import_w) == (5e5, inf)
    (limit,) = meaning("IMPORT_CAPACITY_LIMIT", 0, mine=program(sign=None)).limits
    assert (limit.max_export_w, limit.max_import_w) == (inf, 0.0)
    assert "zero or more" in meaning("IMPORT_CAPACITY_LIMIT", -1).refused


def test_alerts_are_told_in_the_operator_s_own_words() -> None:
    (alert,) = meaning("ALERT_GRID_EMERGENCY", "frequency is falling").alerts
    assert (alert.from_s, alert.to_s) == (T0, T0 + 900)
    assert "ALERT_GRID_EMERGENCY (event 'cold night'): frequency is falling" in alert.sentence


def test_an_alert_stands_even_where_the_rest_is_refused() -> None:
    found = meaning("DISPATCH_SETPOINT", 5, more={"ALERT_BLACK_START": (Piece(T0, T0 + 60, None, 0),)})
    assert found.refused
    assert len(found.alerts) == 1


def charging(value: object, unit: str | None = "PERCENT", in_percent: bool = False, now_s: float = T0, **seen: Any) -> Meaning:
    """What an event means that asks for a state of charge, of a pool that holds 60 of 100 kWh."""
    known: dict[str, Any] = {
        "storage_at_s": T0, "stored_energy_wh": 60e3, "storage_capacity_wh": 100e3, "usable_energy_wh": 40e3,
        "max_discharge_power_w": 50e3, "max_charge_power_w": 40e3,
    }  # fmt: skip
    plans = ChargePlans(now_s, {ALL_SITES: pool_record(**known | seen)}, {}, in_percent=in_percent)
    return meaning("CHARGE_STATE_SETPOINT", value, in_event=unit, plans=plans)


@pytest.mark.parametrize(
    ("value", "unit", "in_percent", "asked_w"),
    [
        (0.5, "PERCENT", False, 0.93 * 40e3),
        (50, "percent", True, 0.93 * 40e3),
        (55.0, "KWH", False, 0.93 * 20e3),
        (0.055, "MWH", False, 0.93 * 20e3),
        (0.6, "PERCENT", False, 0.0),  # it is there
        (0.65, "PERCENT", False, 0.0),  # cars charge as fast as they may
    ],
)
def test_a_state_of_charge_is_reached_by_the_interval_s_end(value: float, unit: str, in_percent: bool, asked_w: float) -> None:
    found = charging(value, unit, in_percent)
    assert found.refused == ""
    assert powers(found) == pytest.approx([asked_w])
    (setpoint,) = found.setpoints
    assert (setpoint.from_s, setpoint.to_s, setpoint.mode) == (T0, T0 + 900, DispatchMode.NET_EXPORT)


def test_with_less_time_left_it_takes_more_power_and_before_its_time_nothing_is_asked() -> None:
    assert powers(charging(0.55, now_s=T0 + 450.0, storage_at_s=T0 + 440.0)) == pytest.approx([0.93 * 40e3])
    before = charging(0.5, now_s=T0 - 1.0)
    assert (before.setpoints, before.refused) == ((), "")


@pytest.mark.parametrize(
    ("value", "unit", "seen", "words"),
    [
        (33, "PERCENT", {}, "asks for a CHARGE_STATE_SETPOINT of 33 PERCENT, which goes from 0 to 1 (reports.charge_level_in_percent)."),
        (-1, "KWH", {}, "asks for a CHARGE_STATE_SETPOINT of -1 KWH."),
        (0.5, "KW", {}, "comes in 'KW', and program 'north' understands PERCENT, WH, KWH and MWH."),
        (0.5, None, {}, "comes in '', and"),
        (True, "KWH", {}, "which is no number"),
        (0.5, "PERCENT", {"stored_energy_wh": None}, "How much energy the pool's cars hold is not known."),
        (0.5, "PERCENT", {"storage_at_s": T0 - 200.0}, "How much energy the pool's cars hold is not known."),
        (0.5, "PERCENT", {"storage_capacity_wh": 0.0}, "How much energy the pool's cars hold is not known."),
        (0.8, "PERCENT", {}, "80 % cannot be reached: the pool's cars hold 60 of 100 kWh, and at most 69 kWh by the interval's end."),
        (120, "KWH", {"max_charge_power_w": 4e6}, "120 kWh cannot be reached: the pool's cars hold 60 of 100 kWh, and at most 100 kWh"),
        (
            0.1,
            "PERCENT",
            {},
            "60 of 100 kWh, and by what drivers agreed they can give 40 kWh of it now.",
        ),
        (0.4, "PERCENT", {}, "40 % cannot be reached: that takes 74.4 kW, and the pool can give 50.0 kW."),
    ],
)
def test_a_state_of_charge_that_cannot_be_reached_or_read_is_refused(
    value: object, unit: str | None, seen: dict[str, Any], words: str
) -> None:
    found = charging(value, unit, **seen)
    assert words in found.refused
    assert found.setpoints == ()


def test_beside_set_points_a_state_of_charge_is_for_the_time_that_they_leave_and_its_refusal_is_a_remark() -> None:
    pieces = {"CHARGE_STATE_SETPOINT": (Piece(T0 - 900, T0, 0.5, 1),)}
    descriptors = (*units("DISPATCH_SETPOINT", "KW"), *units("CHARGE_STATE_SETPOINT", "PERCENT"))
    one = Event(id="e-1", program_id="p", payload_descriptors=descriptors)
    course = Course({"DISPATCH_SETPOINT": (Piece(T0, T0 + 900, -50, 0),), **pieces})
    record = pool_record(
        storage_at_s=T0 - 900, stored_energy_wh=60e3, storage_capacity_wh=100e3, usable_energy_wh=40e3, max_discharge_power_w=50e3
    )
    found = meaning_of(one, course, None, program(), (), ChargePlans(T0 - 900, {ALL_SITES: record}, {}))
    assert [(one.from_s, one.mode) for one in found.setpoints] == [(T0 - 900, DispatchMode.NET_EXPORT), (T0, None)]
    unknown = meaning_of(one, course, None, program(), (), ChargePlans(T0 - 900, {}, {}))
    assert (powers(unknown), unknown.refused, unknown.remark) == ([50e3], "", NOT_KNOWN)


def test_a_state_of_charge_without_end_is_refused() -> None:
    one = Event(id="e-1", program_id="p", payload_descriptors=units("CHARGE_STATE_SETPOINT", "PERCENT"))
    course = Course({"CHARGE_STATE_SETPOINT": (Piece(T0, inf, 0.5, 3),)})
    assert "Interval 3 has no end" in meaning_of(one, course, None, program(), (), ChargePlans(T0, {}, {})).refused


def test_other_payloads_are_passed_over() -> None:
    found = meaning("PRICE", 0.17)
    assert found == Meaning(passed_over=frozenset({"PRICE"}))


edges = st.lists(st.integers(0, 40), min_size=2, max_size=8, unique=True).map(sorted)
layer = st.tuples(edges, st.integers(1, 4)).map(
    lambda drawn: tuple(
        Setpoint(float(a), float(b), float(drawn[1] * (1 + number % 2)), None)
        for number, (a, b) in enumerate(zip(drawn[0][::2], drawn[0][1::2], strict=False))
    )
)


@given(st.lists(layer, max_size=4))
def test_at_every_instant_the_first_layer_that_asks_holds(layers: list[tuple[Setpoint, ...]]) -> None:
    found = layered(layers)
    for instant in range(42):
        at = instant + 0.5
        asked = [(number, one) for number, asks in enumerate(layers) for one in asks if one.from_s <= at < one.to_s]
        holds = [(number, one) for number, one in found if one.from_s <= at < one.to_s]
        assert [(number, one.discharge_power_w) for number, one in holds] == [(number, one.discharge_power_w) for number, one in asked[:1]]
    assert all(before.to_s <= after.from_s for (_, before), (_, after) in pairwise(found))
