"""Discovery of an OCPP 1.6 station: its configuration keys, told and set in the words of the device model of OCPP 2.

So the same rules decide what it can do and which samples it is asked for, and the same memory holds what it had before.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import UNSET, inspect

from counterflow.adapters.ocpp import messages_v16 as v16
from counterflow.adapters.ocpp.discovery.sampling import Wishes
from counterflow.adapters.ocpp.discovery.talk import NO_ANSWER, Ask, GivenUpError, Script, Talk
from counterflow.adapters.ocpp.discovery.values import names
from counterflow.adapters.ocpp.discovery.variables import (
    ALIGNED_INTERVAL,
    ALIGNED_MEASURANDS,
    ENTRIES_MAX,
    HEARTBEAT,
    INTERVAL,
    PERIODS,
    PING,
    RATE_UNIT,
    SMART_AVAILABLE,
    STACK_LEVEL,
    UPDATED_MEASURANDS,
    Variable,
)
from counterflow.adapters.ocpp.discovery.writing import MAYBE, Refusals, announced
from counterflow.adapters.ocpp.events import Answered, ErrorAnswer, TimedOut
from counterflow.domain.ids import EvseId

KEYS: Final[dict[str, Variable]] = {
    "MeterValueSampleInterval": INTERVAL,
    "MeterValuesSampledData": UPDATED_MEASURANDS,
    "ClockAlignedDataInterval": ALIGNED_INTERVAL,
    "MeterValuesAlignedData": ALIGNED_MEASURANDS,
    "HeartbeatInterval": HEARTBEAT,
    "WebSocketPingInterval": PING,
    "ChargeProfileMaxStackLevel": STACK_LEVEL,
    "ChargingScheduleAllowedChargingRateUnit": RATE_UNIT,
    "ChargingScheduleMaxPeriods": PERIODS,
    "MaxChargingProfilesInstalled": ENTRIES_MAX,
}
"""The keys of OCPP 1.6 (chapter 9) that say the same as a variable of OCPP 2."""
PROFILES: Final = "SupportedFeatureProfiles"
CONNECTORS: Final = "NumberOfConnectors"
MOST_CONNECTORS: Final = 64

_KEY_OF: Final = {variable.place(): key for key, variable in KEYS.items()}
_LISTS: Final = (UPDATED_MEASURANDS, ALIGNED_MEASURANDS)


def _measurands() -> frozenset[str]:
    field = next(field for field in inspect.type_info(v16.SampledValue).fields if field.name == "measurand")  # type: ignore[attr-defined]
    return frozenset(field.type.values)


MEASURANDS: Final = _measurands()
"""Those that OCPP 1.6 has."""


def read_configuration(talk: Talk, _evse_ids: Sequence[EvseId]) -> Script[None]:
    """GetConfiguration of everything, which every station answers in one message. Raises GivenUpError when it does not."""
    outcome = yield Ask("GetConfiguration", v16.GetConfigurationRequest())
    match outcome:
        case Answered():
            entries = outcome.response.configuration_key
        case TimedOut():
            raise GivenUpError(f"{NO_ANSWER} GetConfiguration")
        case ErrorAnswer():
            raise GivenUpError(f"the station refuses GetConfiguration ({outcome.code})")
        case _:
            raise GivenUpError("the station's answer to GetConfiguration cannot be read")
    for entry in () if entries is UNSET else entries:
        value = "" if entry.value is UNSET else entry.value
        if entry.key in KEYS:
            talk.model.put(KEYS[entry.key], value)
        elif entry.key == PROFILES:
            talk.model.put(SMART_AVAILABLE, str("smartcharging" in {name.casefold() for name in names(value)}).lower())
        elif entry.key == CONNECTORS and value.isascii() and value.isdigit():
            talk.model.evse_ids |= {EvseId(number) for number in range(1, min(int(value), MOST_CONNECTORS) + 1)}


def read_connectors(_talk: Talk, _evse_ids: Sequence[EvseId]) -> Script[None]:
    """A connector has no configuration of its own."""
    yield from ()


def change_configuration(talk: Talk, wanted: Wishes, *, announce: bool = True) -> Script[Refusals]:
    """ChangeConfiguration, one key a message; returns what was not set. Measurands that OCPP 1.6 does not have are left out."""
    refused: Refusals = {}
    for variable, wish in wanted.items():
        key = _KEY_OF.get(variable.place())
        if key is None:
            continue
        value = ",".join(name for name in names(wish) if name in MEASURANDS) if variable in _LISTS else wish
        if announce:
            talk.announced.append(announced(talk, variable, value))
        outcome = yield Ask("ChangeConfiguration", v16.ChangeConfigurationRequest(key=key, value=value))
        status = outcome.response.status if isinstance(outcome, Answered) else None
        if status == "Accepted":
            talk.model.put(variable, value)
        elif status == "RebootRequired":
            talk.after_reboot.append(variable.of_station())
        elif isinstance(outcome, ErrorAnswer):
            refused[variable] = f"CALLERROR {outcome.code}"
        else:
            refused[variable] = status or MAYBE
    return refused
