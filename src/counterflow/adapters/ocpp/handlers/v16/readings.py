"""Sampled values of OCPP 1.6 (texts) as those of 2.1 (numbers), so that one place evens out what stations do differently."""

from collections.abc import Sequence
from typing import Final

from msgspec import UNSET

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.adapters.ocpp import messages_v16 as v16
from counterflow.adapters.ocpp.measurands import Dropped, normalise
from counterflow.domain.telemetry import Measurement

BAD_NUMBER: Final = "not a number"
SIGNED: Final = "signed data"

_Sampled = v16.SampledValue | v16.StopTransactionRequestSampledValue


def readings(entries: Sequence[v16.MeterValue | v16.TransactionData], dropped: Dropped) -> tuple[Measurement, ...]:
    """The usable content, one measurement per timestamp; counts what is left out into `dropped`."""
    found = []
    for entry in entries:
        values = [value for sampled in entry.sampled_value if (value := _value(sampled, dropped)) is not None]
        if values:
            found.append(ocpp.MeterValueType(timestamp=entry.timestamp, sampled_value=values))
    return normalise(found, dropped) if found else ()


def _value(sampled: _Sampled, dropped: Dropped) -> ocpp.SampledValueType | None:
    if sampled.format == "SignedData":
        dropped[SIGNED] = dropped.get(SIGNED, 0) + 1
        return None
    try:
        number = float(sampled.value)
    except ValueError:
        dropped[BAD_NUMBER] = dropped.get(BAD_NUMBER, 0) + 1
        return None
    return ocpp.SampledValueType(
        value=number,
        measurand=sampled.measurand,  # type: ignore[arg-type]  # normalise leaves out what 2.1 does not know
        phase=sampled.phase,
        location=sampled.location,
        unit_of_measure=UNSET if sampled.unit is UNSET else ocpp.UnitOfMeasureType(unit=sampled.unit),
    )
