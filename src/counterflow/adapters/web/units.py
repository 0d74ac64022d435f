"""Quantities in request bodies: a number in the unit of the field's name, or a text as people write it. Never a guess."""

from math import isfinite
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from counterflow.domain.units import (
    MAX_DISCHARGE_POWER_W,
    MAX_DURATION_S,
    UnitError,
    parse_asked_power_w,
    parse_discharge_power_w,
    parse_duration_s,
    parse_instant_s,
    parse_ramp_w_per_s,
)

EARLIEST_INSTANT_S = 946_684_800.0
LATEST_INSTANT_S = 7_258_118_400.0
"""2000 and 2200: epoch seconds outside are milliseconds, or seconds from now, by mistake."""


def discharge_power_w(value: Any) -> float:
    """Watts of discharge, > 0, from a number (W) or a text with its unit. Raises `UnitError`."""
    if isinstance(value, str):
        return parse_discharge_power_w(value)
    number = _number(value, "a number of watts, or a text such as 2.5MW")
    if number <= 0.0:
        raise UnitError(f"{number:g} W is not a discharge power: discharge is positive here, so write it above zero, such as 1400000.")
    if number > MAX_DISCHARGE_POWER_W:
        raise UnitError(f"{number:g} W is more than {MAX_DISCHARGE_POWER_W / 1e9:g} GW; the number is in watts.")
    return number


def asked_power_w(value: Any) -> float:
    """Watts of discharge, >= 0, of a profile's step or a stream's value, from a number (W) or a text with its unit. Raises `UnitError`."""
    if isinstance(value, str):
        return parse_asked_power_w(value)
    return 0.0 if value == 0 and not isinstance(value, bool) else discharge_power_w(value)


def ramp_w_per_s(value: Any) -> float:
    """Watts per second, > 0, from a number (W/s) or a text with its unit. Raises `UnitError`."""
    if isinstance(value, str):
        return parse_ramp_w_per_s(value)
    number = _number(value, "a number of watts per second, or a text such as 20kW/s")
    if number <= 0.0:
        raise UnitError(f"{number:g} W/s is no ramp: write it above zero, such as 20000.")
    return number


def duration_s(value: Any) -> float:
    """Seconds, > 0 and at most a week, from a number (s) or a text with its unit. Raises `UnitError`."""
    if isinstance(value, str):
        return parse_duration_s(value)
    number = _number(value, "a number of seconds, or a text such as 15min")
    if not 0.0 < number <= MAX_DURATION_S:
        raise UnitError(f"{number:g} s is not a usable duration: it must be above zero and at most 7 days.")
    return number


def instant_text(value: Any) -> float:
    """Epoch seconds from an RFC 3339 text with its zone. Raises `UnitError`."""
    if not isinstance(value, str):
        raise UnitError("an instant is a text with its time zone, such as 2026-11-22T17:00Z.")
    return parse_instant_s(value)


def instant_number(value: Any) -> float:
    """Epoch seconds from a number of them. Raises `UnitError`."""
    number = _number(value, "a number of seconds since 1970-01-01T00:00Z")
    if not EARLIEST_INSTANT_S <= number <= LATEST_INSTANT_S:
        raise UnitError(f"{number:g} is not an instant between 2000 and 2200: write seconds since 1970-01-01T00:00Z.")
    return number


def _number(value: Any, expected: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise UnitError(f"this must be {expected}.")
    return float(value)


def _shown(description: str, number: dict[str, Any] | None, text: dict[str, Any] | None, examples: list[Any]) -> WithJsonSchema:
    kinds = [{"type": "number", **number}] if number is not None else []
    kinds += [{"type": "string", **text}] if text is not None else []
    return WithJsonSchema({"anyOf": kinds, "description": description, "examples": examples})


DischargePower = Annotated[
    float,
    BeforeValidator(discharge_power_w),
    _shown(
        "Discharge power at the grid side, positive: a number in W, or a text with its unit (W, kW, MW).",
        {"exclusiveMinimum": 0, "maximum": MAX_DISCHARGE_POWER_W},
        {"pattern": r"^\s*\+?\d+(\.\d+)?\s*[A-Za-z]+\s*$"},
        ["2.5MW", 1_400_000],
    ),
]
AskedPower = Annotated[
    float,
    BeforeValidator(asked_power_w),
    _shown(
        "Discharge power at the grid side, zero or positive: a number in W, or a text with its unit (W, kW, MW).",
        {"minimum": 0, "maximum": MAX_DISCHARGE_POWER_W},
        {"pattern": r"^\s*\+?\d+(\.\d+)?\s*[A-Za-z]+\s*$"},
        ["1.2MW", 0],
    ),
]
Ramp = Annotated[
    float,
    BeforeValidator(ramp_w_per_s),
    _shown(
        "How fast the target may move, up and down: a number in W/s, or a text with its unit (kW/s, MW/min).",
        {"exclusiveMinimum": 0},
        {"pattern": r"^\s*\+?\d+(\.\d+)?\s*[A-Za-z]+\s*/\s*[A-Za-z]+\s*$"},
        ["20kW/s", 20_000],
    ),
]
Duration = Annotated[
    float,
    BeforeValidator(duration_s),
    _shown(
        "Length of the window: a number in s, or a text with its unit (s, min, h, d, or 1h30min); at most 7 days.",
        {"exclusiveMinimum": 0, "maximum": MAX_DURATION_S},
        {"pattern": r"^\s*\+?(\d+(\.\d+)?\s*[A-Za-z]+\s*)+$"},
        ["15min", 900],
    ),
]
InstantText = Annotated[
    float,
    BeforeValidator(instant_text),
    _shown("An instant in RFC 3339 with its time zone.", None, {"format": "date-time"}, ["2026-11-22T17:00:00Z"]),
]
InstantNumber = Annotated[
    float,
    BeforeValidator(instant_number),
    _shown("An instant in s since 1970-01-01T00:00Z.", {"minimum": EARLIEST_INSTANT_S, "maximum": LATEST_INSTANT_S}, None, [1_795_366_800]),
]
