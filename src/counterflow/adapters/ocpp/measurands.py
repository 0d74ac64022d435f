"""Sampled values (OCPP 2.1, J and MeasurandEnumType) in our words: one `Measurement` per timestamp, power import positive.

What stations do differently is evened out here:

- Units W, kW, MW, Wh, kWh, MWh, Percent, and the decimal `multiplier`. No measurand means Energy.Active.Import.Register.
- The overall value counts; without one, the sum of L1 to L3 if all three are there.
- Values at the outlet count; without any, those at the inlet. Values at the car (location EV) count for SoC only.
- OCPP 2.1 has unsigned Import and Export (note 4 of MeasurandEnumType); some stations send a signed Import instead, some both.
  A negative Import is the power, and Export is then not counted again.

What cannot be trusted (unknown unit, absurd size, SoC outside 0..100, a phase missing) is left out and counted by reason.
"""

from math import inf, nan
from typing import Final, NamedTuple

from msgspec import UNSET, UnsetType

from counterflow.adapters.ocpp.messages import MeterValueType, SampledValueType
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
_SCALES: Final = (
    *({"w": 1.0, "kw": 1e3, "mw": 1e6},) * 2,
    *({"wh": 1.0, "kwh": 1e3, "mwh": 1e6},) * 2,
    *({"percent": 1.0, "%": 1.0},) * 2,
)
_LOWEST: Final = (-MAX_POWER_W, -MAX_POWER_W, 0.0, 0.0, 0.0, 0.0)
_HIGHEST: Final = (MAX_POWER_W, MAX_POWER_W, MAX_REGISTER_WH, MAX_REGISTER_WH, 100.0, 100.0)

# A slot is a kind, plus 8 when measured at the inlet, plus 16, 32 or 48 for one phase.
_INLET: Final = 8
_SINGLE_PHASE: Final = 16
_LOCATIONS: Final[dict[str | UnsetType, int]] = {UNSET: 0, "Outlet": 0, "Inlet": _INLET}
_PHASES: Final[dict[str | UnsetType, int]] = {UNSET: 0, "L1": 16, "L2": 32, "L3": 48, "L1-N": 16, "L2-N": 32, "L3-N": 48}
_IGNORED: Final = -1

Dropped = dict[str, int]
"""How many values were left out, by reason."""

_Kind = tuple[str | UnsetType, str | UnsetType, str | UnsetType, str | UnsetType, int | UnsetType]


class _Reading(NamedTuple):
    """What to do with every sampled value of one kind; `slot` _IGNORED = nothing, `scale` 0 = no use for the unit, and no value fits."""

    slot: int
    scale: float
    lowest: float
    highest: float


MAX_READINGS: Final = 4096
"""Stations use a few dozen kinds of values; what one invents beyond this many is worked out anew each time."""
_NO_SIZE: Final = (inf, -inf)
"""Bounds of what cannot be used: no value is within."""


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
        unit = sample.unit_of_measure
        if unit is UNSET:
            kind: _Kind = (sample.measurand, sample.location, sample.phase, UNSET, UNSET)
        else:
            kind = (sample.measurand, sample.location, sample.phase, unit.unit, unit.multiplier)
        slot, scale, lowest, highest = _readings[kind]
        if slot < 0:
            continue
        value = sample.value * scale
        if lowest <= value <= highest:  # never true of NaN
            if slot not in values:
                values[slot] = value
        else:
            cause = BAD_SIZE if scale else BAD_UNIT
            dropped[cause] = dropped.get(cause, 0) + 1
    if values and max(values) >= _SINGLE_PHASE:
        _sum_phases(values, dropped)
    return _assemble(at_s, values) if values else None


def _reading(kind: _Kind) -> _Reading:
    measurand, location, phase, unit, multiplier = kind
    number = _KINDS.get(measurand)
    reading = _Reading(_IGNORED, 1.0, 0.0, 0.0)
    if number is not None:
        # A state of charge is the car's wherever it is said; a power or energy at the car or upstream is none of the EVSE's.
        slot = number
        if number < _SOC:
            place, line = _LOCATIONS.get(location), _PHASES.get(phase)
            slot = _IGNORED if place is None or line is None else number + place + line
        scale = 1.0 if unit is UNSET else _SCALES[number].get(unit.casefold(), 0.0)
        if multiplier is not UNSET:
            scale = scale * 10.0**multiplier if -MAX_MULTIPLIER <= multiplier <= MAX_MULTIPLIER else 0.0
        reading = _Reading(slot, scale, *((_LOWEST[number], _HIGHEST[number]) if scale != 0.0 else _NO_SIZE))
    return reading


class _Readings(dict[_Kind, _Reading]):
    """What is worked out once for each kind."""

    def __missing__(self, kind: _Kind) -> _Reading:
        reading = _reading(kind)
        if len(self) < MAX_READINGS:
            self[kind] = reading
        return reading


_readings: Final = _Readings()


def _sum_phases(values: dict[int, float], dropped: Dropped) -> None:
    """Put the sum of three phases where no overall value is; a part of the phases is no value. Only overall slots are left."""
    single = {slot: values.pop(slot) for slot in [slot for slot in values if slot >= _SINGLE_PHASE]}
    for overall in {slot % _SINGLE_PHASE for slot in single} - values.keys():
        phases = [value for slot, value in single.items() if slot % _SINGLE_PHASE == overall]
        if len(phases) == 3:
            values[overall] = sum(phases)
        else:
            dropped[BAD_PHASES] = dropped.get(BAD_PHASES, 0) + len(phases)


def _assemble(at_s: float, values: dict[int, float]) -> Measurement:
    """Both directions of power, and of energy, come from one place: the outlet if it has either, else the inlet."""
    get = values.get
    power_import, power_export = get(_POWER_IMPORT, nan), get(_POWER_EXPORT, nan)
    if power_import != power_import and power_export != power_export:
        power_import, power_export = get(_POWER_IMPORT + _INLET, nan), get(_POWER_EXPORT + _INLET, nan)
    energy_import, energy_export = get(_ENERGY_IMPORT, nan), get(_ENERGY_EXPORT, nan)
    if energy_import != energy_import and energy_export != energy_export:
        energy_import, energy_export = get(_ENERGY_IMPORT + _INLET, nan), get(_ENERGY_EXPORT + _INLET, nan)
    soc_percent = get(_SOC, nan)
    if soc_percent != soc_percent:
        soc_percent = get(_DISPLAY_SOC, nan)
    return Measurement(at_s, _signed_power(power_import, power_export), energy_export, energy_import, soc_percent / 100.0)


def _signed_power(power_import: float, power_export: float) -> float:
    """Import positive, both sign conventions, nothing counted twice."""
    if power_import < 0.0 or power_export != power_export:
        return power_import
    if power_import != power_import or power_import == 0.0:
        return 0.0 - abs(power_export)
    if power_export < 0.0:  # the station repeats its import with the other sign
        return power_import
    return power_import - power_export
