"""From a reading of the meter to OCPP sampled values (part 2, J; sign convention of the measurand list, note 4)."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final

from msgspec import UNSET, Struct

from counterflow.adapters.ocpp import rpc
from counterflow.adapters.ocpp.messages import (
    MeasurandEnumType,
    MeterValueType,
    ReadingContextEnumType,
    SampledValueType,
    UnitOfMeasureType,
)

_W: Final = UnitOfMeasureType(unit="W")
_WH: Final = UnitOfMeasureType(unit="Wh")
_UNITS: Final = {
    "Power.Active.Import": _W,
    "Power.Active.Export": _W,
    "Power.Active.Setpoint": _W,
    "Energy.Active.Import.Register": _WH,
    "Energy.Active.Export.Register": _WH,
    "SoC": UnitOfMeasureType(unit="Percent"),
}

DEFAULT_MEASURANDS: Final = (
    "Power.Active.Import",
    "Power.Active.Export",
    "Energy.Active.Import.Register",
    "Energy.Active.Export.Register",
    "SoC",
)


class Reading(Struct, frozen=True, gc=False):
    """One instant of one EVSE, its power shown in whole watts: noisy power (import positive),
    registers in whole Wh, the car's own SoC, the setpoint in force."""

    at_s: float
    power_w: float
    import_wh: int
    export_wh: int
    soc_frac: float
    setpoint_w: float | None


def _value(measurand: MeasurandEnumType, value: float, context: ReadingContextEnumType) -> SampledValueType:
    return SampledValueType(
        value=value,
        measurand=measurand,
        unit_of_measure=_UNITS[measurand],
        context=UNSET if context == "Sample.Periodic" else context,  # what an absent context means
        location="EV" if measurand == "SoC" else UNSET,
    )


_often = lru_cache(1024)(_value)
"""For the few values that come again and again: whole percents, and zero."""


def _power(measurand: MeasurandEnumType, power_w: int, context: ReadingContextEnumType) -> SampledValueType:
    return _often(measurand, 0, context) if power_w == 0 else _value(measurand, power_w, context)


def _import(reading: Reading, signed: bool, context: ReadingContextEnumType) -> SampledValueType:
    power_w = round(reading.power_w)
    return _power("Power.Active.Import", power_w if signed else max(power_w, 0), context)


def _export(reading: Reading, signed: bool, context: ReadingContextEnumType) -> SampledValueType | None:
    return None if signed else _power("Power.Active.Export", max(-round(reading.power_w), 0), context)


def _setpoint(reading: Reading, signed: bool, context: ReadingContextEnumType) -> SampledValueType | None:
    del signed  # a setpoint always carries its sign
    return None if reading.setpoint_w is None else _power("Power.Active.Setpoint", round(reading.setpoint_w), context)


_READERS: Final[dict[str, Callable[[Reading, bool, ReadingContextEnumType], SampledValueType | None]]] = {
    "Power.Active.Import": _import,
    "Power.Active.Export": _export,
    "Power.Active.Setpoint": _setpoint,
    "Energy.Active.Import.Register": lambda r, _, c: _value("Energy.Active.Import.Register", r.import_wh, c),
    "Energy.Active.Export.Register": lambda r, _, c: _value("Energy.Active.Export.Register", r.export_wh, c),
    "SoC": lambda r, _, c: _often("SoC", round(100.0 * r.soc_frac), c),
}
SUPPORTED_MEASURANDS: Final = tuple(_READERS)


def meter_value(
    reading: Reading, measurands: Sequence[str], *, signed: bool, context: ReadingContextEnumType = "Sample.Periodic"
) -> MeterValueType:
    """The measurands of one reading. `signed` = discharge as negative Power.Active.Import and no Export (EVerest's way)."""
    values = [value for name in measurands if (value := _READERS[name](reading, signed, context)) is not None]
    return MeterValueType(timestamp=rpc.instant(reading.at_s), sampled_value=values)
