"""Sampled values (OCPP 2.1, J and MeasurandEnumType) in our words: one `Measurement` per timestamp, power import positive.

What stations do differently is evened out here:

- Units W, kW, MW, Wh, kWh, MWh, Percent, and the decimal `multiplier`. No measurand means Energy.Active.Import.Register.
- The overall value counts; without one, the sum of L1 to L3 if all three are there.
- Values at the outlet count; without any, those at the inlet. Values at the car (location EV) count for SoC only.
- OCPP 2.1 has unsigned Import and Export (note 4 of MeasurandEnumType); some stations send a signed Import instead, some both.
  A negative Import is the power, and Export is then not counted again.

What cannot be trusted (unknown unit, absurd size, SoC outside 0..100, a phase missing) is left out and counted by reason.
"""

from math import nan
from typing import Final

from msgspec import UNSET, UnsetType

from counterflow.adapters.ocpp.messages import MeterValueType, SampledValueType, UnitOfMeasureType
from counterflow.domain.telemetry import Measurement

MAX_POWER_W: Final = 100e6
MAX_REGISTER_WH: Final = 1e13
MAX_MULTIPLIER: Final = 12

BAD_UNIT: Final = "unit not usable"
BAD_SIZE: Final = "value out of range"
BAD_PHASES: Final = "not all phases"

_POWER_IMPORT, _POWER_EXPORT, _ENERGY_IMPORT, _ENERGY_EXPORT, _SOC, _DISPLAY_SOC = range(6)

_KINDS: Final[dict[str | UnsetType, int]] = {
    UNSET: _ENERGY_IMPORT,
    "Power.Active.Import": _POWER_IMPORT,
    "Power.Active.Export": _POWER_EXPORT,
    "Energy.Active.Import.Register": _ENERGY_IMPORT,
    "Energy.Active.Export.Register": _ENERGY_EXPORT,
    "SoC": _SOC,
    "Display.PresentSOC": _DISPLAY_SOC,
}

_POWER_SCALES: Final[dict[str | UnsetType, float]] = {UNSET: 1.0, "W": 1.0, "kW": 1e3, "MW": 1e6, "w": 1.0, "kw": 1e3, "KW": 1e3}
_ENERGY_SCALES: Final[dict[str | UnsetType, float]] = {
    UNSET: 1.0,
    "Wh": 1.0,
    "kWh": 1e3,
    "MWh": 1e6,
    "WH": 1.0,
    "wh": 1.0,
    "kwh": 1e3,
    "KWh": 1e3,
    "KWH": 1e3,
}
_SOC_SCALES: Final[dict[str | UnsetType, float]] = {UNSET: 1.0, "Percent": 1.0, "percent": 1.0, "%": 1.0}
_SCALES: Final = (_POWER_SCALES, _POWER_SCALES, _ENERGY_SCALES, _ENERGY_SCALES, _SOC_SCALES, _SOC_SCALES)
_LOWEST: Final = (-MAX_POWER_W, -MAX_POWER_W, 0.0, 0.0, 0.0, 0.0)
_HIGHEST: Final = (MAX_POWER_W, MAX_POWER_W, MAX_REGISTER_WH, MAX_REGISTER_WH, 100.0, 100.0)

_OUTLET, _INLET, _NOWHERE = 0, 8, -1
_LOCATIONS: Final[dict[str | UnsetType, int]] = {UNSET: _OUTLET, "Outlet": _OUTLET, "Inlet": _INLET}
# A key is kind + location, and once more + phase * 16 for the values of single phases.
_PHASES: Final[dict[str, int]] = {"L1": 16, "L2": 32, "L3": 48, "L1-N": 16, "L2-N": 32, "L3-N": 48}

Dropped = dict[str, int]
"""How many values were left out, by reason."""


def normalise(meter_values: list[MeterValueType], dropped: Dropped) -> tuple[Measurement, ...]:
    """The usable content of `meter_values`, one measurement per timestamp in order of appearance; counts into `dropped`.

    Values of one timestamp may be split over several entries (J02.FR.14): they are put together.
    """
    if len(meter_values) == 1:
        only = meter_values[0]
        measurement = _measurement(only.timestamp.timestamp(), only.sampled_value, dropped)
        return () if measurement is None else (measurement,)
    by_time: dict[float, list[SampledValueType]] = {}
    for entry in meter_values:
        by_time.setdefault(entry.timestamp.timestamp(), []).extend(entry.sampled_value)
    found = (_measurement(at_s, sampled, dropped) for at_s, sampled in by_time.items())
    return tuple(measurement for measurement in found if measurement is not None)


def _measurement(at_s: float, sampled: list[SampledValueType], dropped: Dropped) -> Measurement | None:
    values: dict[int, float] = {}
    for sample in sampled:
        kind = _KINDS.get(sample.measurand, _NOWHERE)
        if kind < 0:
            continue
        location = _OUTLET if kind >= _SOC else _LOCATIONS.get(sample.location, _NOWHERE)
        if location < 0:
            continue
        value = sample.value
        unit = sample.unit_of_measure
        if unit is not UNSET:
            scale = _scale(unit, kind)
            if scale is None:
                dropped[BAD_UNIT] = dropped.get(BAD_UNIT, 0) + 1
                continue
            value *= scale
        if not _LOWEST[kind] <= value <= _HIGHEST[kind]:  # also false for NaN
            dropped[BAD_SIZE] = dropped.get(BAD_SIZE, 0) + 1
            continue
        key = kind + location
        phase = sample.phase
        if phase is not UNSET and kind < _SOC:
            key += _PHASES.get(phase, 64)  # line-to-line and neutral values have no use here
        if key not in values:
            values[key] = value
    if not values:
        return None
    return _assemble(at_s, values, dropped)


def _scale(unit: UnitOfMeasureType, kind: int) -> float | None:
    scale = _SCALES[kind].get(unit.unit)
    multiplier = unit.multiplier
    if multiplier is UNSET or multiplier == 0 or scale is None:
        return scale
    return scale * 10.0**multiplier if -MAX_MULTIPLIER <= multiplier <= MAX_MULTIPLIER else None


def _assemble(at_s: float, values: dict[int, float], dropped: Dropped) -> Measurement | None:
    if max(values) >= 16:
        _sum_phases(values, dropped)
    power_import, power_export = _pair(values, _POWER_IMPORT, _POWER_EXPORT)
    energy_import, energy_export = _pair(values, _ENERGY_IMPORT, _ENERGY_EXPORT)
    soc_percent = values.get(_SOC)
    if soc_percent is None:
        soc_percent = values.get(_DISPLAY_SOC, nan)
    power_w = _signed_power(power_import, power_export)
    if power_w != power_w and energy_import != energy_import and energy_export != energy_export and soc_percent != soc_percent:
        return None
    return Measurement(at_s, power_w, energy_export, energy_import, soc_percent / 100.0)


def _sum_phases(values: dict[int, float], dropped: Dropped) -> None:
    """Put the sum of three phases where no overall value is; a part of the phases is no value."""
    for key in {key & 15 for key in values if 16 <= key < 64} - values.keys():
        phases = [values[key + phase] for phase in (16, 32, 48) if key + phase in values]
        if len(phases) == 3:
            values[key] = sum(phases)
        else:
            dropped[BAD_PHASES] = dropped.get(BAD_PHASES, 0) + len(phases)


def _pair(values: dict[int, float], kind_import: int, kind_export: int) -> tuple[float, float]:
    """Both directions from one location: the outlet if it has either, else the inlet."""
    bought, sold = values.get(kind_import, nan), values.get(kind_export, nan)
    if bought != bought and sold != sold:
        return values.get(kind_import + _INLET, nan), values.get(kind_export + _INLET, nan)
    return bought, sold


def _signed_power(power_import: float, power_export: float) -> float:
    """Import positive, both sign conventions, nothing counted twice."""
    if power_import < 0.0 or power_export != power_export:
        return power_import
    if power_import != power_import or power_import == 0.0:
        return 0.0 - abs(power_export)
    if power_export < 0.0:  # the station repeats its import with the other sign
        return power_import
    return power_import - power_export
