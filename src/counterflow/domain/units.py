"""Units, the one sign convention, and the way people write quantities.

Inside Counterflow power is positive when energy flows from the grid into the car (import) and negative when the car discharges.
Orders, reports and the command line speak of discharge power, which is positive. The turn happens at the edge, once.
"""

import re
from datetime import UTC, datetime

WH_PER_WS = 1.0 / 3600.0
DAY_S = 86_400.0
MAX_DISCHARGE_POWER_W = 100e9
MAX_DURATION_S = 7 * DAY_S

_POWER_FACTORS = {"w": 1.0, "kw": 1e3, "mw": 1e6}
_ENERGY_FACTORS = {"wh": 1.0, "kwh": 1e3, "mwh": 1e6}
_DURATION_FACTORS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": DAY_S}
UNITS = frozenset((*_POWER_FACTORS, *_DURATION_FACTORS))
"""Units that people may write, in small letters."""
_PARTS = re.compile(r"\s*(?:(\d+)\s*d)?\s*(?:(\d+)\s*h)?\s*(?:(\d+)\s*min)?\s*(?:(\d+(?:\.\d+)?)\s*s)?\s*", re.IGNORECASE)
"""Days, hours, minutes and seconds in this order; each can be left out, but not all of them."""
_QUANTITY = re.compile(r"\s*([+-]?)(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")


class UnitError(ValueError):
    """A quantity that we refuse to guess; the text is a sentence that says what to write."""


def parse_discharge_power_w(text: str) -> float:
    """`"2.5MW"`, `"1400 kW"`, `"7000W"` as watts of discharge, > 0. Raises `UnitError`."""
    value = _quantity(text, _POWER_FACTORS, "a power such as 2.5MW, 1400kW or 7000W")
    if value <= 0.0:
        raise UnitError(f"'{text}' is not a discharge power: write it as a number above zero, such as 1400kW.")
    if value > MAX_DISCHARGE_POWER_W:
        raise UnitError(f"'{text}' is more than {MAX_DISCHARGE_POWER_W / 1e9:g} GW; check the unit (W, kW or MW).")
    return value


def parse_asked_power_w(text: str) -> float:
    """A discharge power in a profile or a stream: as `parse_discharge_power_w`, and zero in any unit. Raises `UnitError`."""
    value = _quantity(text, _POWER_FACTORS, "a power such as 2.5MW, 1400kW or 0W")
    return 0.0 if value == 0.0 else parse_discharge_power_w(text)


def parse_ramp_w_per_s(text: str) -> float:
    """`"20kW/s"`, `"1.5MW/min"` as watts per second, > 0. Raises `UnitError`."""
    power, slash, each = text.partition("/")
    factor = _DURATION_FACTORS.get(each.strip().lower())
    if not slash or factor is None:
        raise UnitError(f"'{text}' is not understood: write a ramp such as 20kW/s or 1.5MW/min.")
    return parse_discharge_power_w(power) / factor


def parse_duration_s(text: str, most_s: float = MAX_DURATION_S) -> float:
    """`"15min"`, `"900s"`, `"1.5h"`, `"1h30min"`, `"2d"` as seconds, > 0 and at most `most_s`. Raises `UnitError`."""
    parts = _PARTS.fullmatch(text)
    if parts is not None and any(parts.groups()):
        value = sum(
            float(number or 0) * _DURATION_FACTORS[unit] for number, unit in zip(parts.groups(), ("d", "h", "min", "s"), strict=True)
        )
    else:
        value = _quantity(text, _DURATION_FACTORS, "a duration such as 15min, 900s, 1.5h, 1h30min or 2d")
    if not 0.0 < value <= most_s:
        raise UnitError(f"'{text}' is not a usable duration: it must be above zero and at most {most_s / 86_400.0:g} days.")
    return value


def parse_energy_wh(text: str) -> float:
    """`"20kWh"`, `"1.5 MWh"`, `"800Wh"` as watt-hours, >= 0. Raises `UnitError`."""
    value = _quantity(text, _ENERGY_FACTORS, "an energy such as 20kWh, 1.5MWh or 800Wh")
    if value < 0.0:
        raise UnitError(f"'{text}' is below zero; energy discharged is positive here.")
    return value


def parse_share(text: str) -> float:
    """`"40%"` or `"0.4"` as a share 0..1. Raises `UnitError`; a bare number above 1 is refused, since it may be either."""
    number = text.strip().removesuffix("%").strip()
    try:
        value = float(number) / (100.0 if text.strip().endswith("%") else 1.0)
    except ValueError:
        raise UnitError(f"'{text}' is not a share: write it like 40% or 0.4.") from None
    if not 0.0 <= value <= 1.0:
        raise UnitError(f"'{text}' is not between 0% and 100%: write it like 40% or 0.4.")
    return value


def parse_instant_s(text: str) -> float:
    """An RFC 3339 instant with its zone, such as `2026-11-22T17:00Z`, as epoch seconds. Raises `UnitError`."""
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UnitError(f"'{text}' is not an instant: write it like 2026-11-22T17:00Z.") from None
    if moment.tzinfo is None:
        raise UnitError(f"'{text}' has no time zone: add Z for UTC or an offset such as +01:00.")
    return moment.timestamp()


def format_power(power_w: float) -> str:
    """Watts as people read them: `1.42 MW`, `-7.0 kW`, `0 W`; unknown (NaN) is `?`."""
    if power_w != power_w:
        return "?"
    size = abs(power_w)
    if size >= 999_500.0:
        return f"{power_w / 1e6:.3f} MW"
    if size >= 999.5:
        return f"{power_w / 1e3:.1f} kW"
    return f"{round(power_w)} W"


def format_energy(energy_wh: float) -> str:
    """Watt-hours as people read them; unknown (NaN) is `?`."""
    if energy_wh != energy_wh:
        return "?"
    size = abs(energy_wh)
    if size >= 999_500.0:
        return f"{energy_wh / 1e6:.3f} MWh"
    if size >= 999.5:
        return f"{energy_wh / 1e3:.2f} kWh"
    return f"{round(energy_wh)} Wh"


def format_instant(at_s: float) -> str:
    """Epoch seconds as RFC 3339 UTC with at most milliseconds (OCPP 2.1 Part 2, 2.x datatypes)."""
    moment = datetime.fromtimestamp(at_s, tz=UTC)
    text = moment.isoformat(timespec="milliseconds" if moment.microsecond >= 1000 else "seconds")
    return text.replace("+00:00", "Z")


def _quantity(text: str, factors: dict[str, float], example: str) -> float:
    match = _QUANTITY.fullmatch(text)
    if match is None:
        raise UnitError(f"'{text}' is not understood: write {example}.")
    sign, number, unit = match.groups()
    factor = factors.get(unit.lower())
    if factor is None or unit == "mW":
        raise UnitError(f"'{unit}' is not a unit that can be used here: write {example}.")
    return float(number) * factor * (-1.0 if sign == "-" else 1.0)
