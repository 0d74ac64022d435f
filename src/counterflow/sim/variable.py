"""A variable of a simulated station: how it is read, written and described (OCPP 2.1 part 1, 4)."""

from collections.abc import Callable

from msgspec import Struct

from counterflow.adapters.ocpp.messages import DataEnumType
from counterflow.sim.evse import SimEvse
from counterflow.sim.settings import StationSettings
from counterflow.sim.state import StationState


class Variable(Struct, frozen=True, kw_only=True):
    """One row: how it is read, and written if it is. `maximum` is its MaxSet and maxLimit, `values` its values list; `needs` = only such
    stations have it."""

    component: str
    name: str
    instance: str | None = None
    per_evse: bool = False
    kind: DataEnumType = "string"
    unit: str | None = None
    read: Callable[[StationState, SimEvse, float], str]
    write: Callable[[StationState, str], bool] | None = None
    maximum: Callable[[StationState, SimEvse], float | None] | None = None
    values: Callable[[StationSettings], str] | None = None
    needs: Callable[[StationSettings], bool] | None = None
    write_only: bool = False


def set_password(station: StationState, text: str) -> bool:
    """A01: 16 characters and more; the station reconnects with it."""
    if not 16 <= len(text) <= 64:
        return False
    station.new_password = text
    return True


def set_interval(station: StationState, text: str) -> bool:
    """SampledDataCtrlr.TxUpdatedInterval."""
    seconds = whole(text)
    if seconds is None:
        return False
    station.meter_interval_s = seconds
    return True


def set_setpoint_interval(station: StationState, text: str) -> bool:
    """V2XChargingCtrlr.TxUpdatedInterval[CentralSetpoint]."""
    seconds = whole(text)
    if seconds is None:
        return False
    station.setpoint_interval_s = seconds
    return True


def known_names(station: StationState, text: str) -> tuple[str, ...] | None:
    """The members of a list of measurands; None if one is not known."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    return names if set(names) <= set(station.settings.known_measurands) else None


def set_measurands(kind: str) -> Callable[[StationState, str], bool]:
    """A list of SampledDataCtrlr, by the eventType that carries it."""

    def write(station: StationState, text: str) -> bool:
        names = known_names(station, text)
        if names is None:
            return False
        station.measurands[kind] = names
        return True

    return write


def set_setpoint_measurands(station: StationState, text: str) -> bool:
    """V2XChargingCtrlr.TxUpdatedMeasurands[CentralSetpoint]."""
    names = known_names(station, text)
    if names is None:
        return False
    station.setpoint_measurands = names
    return True


def measurand_list(kind: str) -> Variable:
    """One of the lists of SampledDataCtrlr."""
    return Variable(
        component="SampledDataCtrlr",
        name=f"Tx{kind}Measurands",
        kind="MemberList",
        values=known,
        read=lambda s, _e, _t: ",".join(s.measurands[kind]),
        write=set_measurands(kind),
    )


def set_heartbeat(station: StationState, text: str) -> bool:
    """OCPPCommCtrlr.HeartbeatInterval."""
    seconds = whole(text)
    if seconds is None:
        return False
    station.heartbeat_interval_s = seconds
    return True


def set_priority(station: StationState, text: str) -> bool:
    """SmartChargingCtrlr.SetpointPriority."""
    if text not in ("CSMS", "ExternalSystem"):
        return False
    station.setpoint_priority = text
    station.profiles.csms_leads = text == "CSMS"
    return True


def whole(text: str) -> int | None:
    """A number of seconds, or None."""
    return int(text) if text.isdecimal() and len(text) < 10 else None


def flag(value: bool) -> str:
    """As OCPP spells it."""
    return "true" if value else "false"


def fixed(text: str) -> Callable[[StationState, SimEvse, float], str]:
    """Always this text."""
    return lambda _station, _evse, _now_s: text


Read = Callable[[StationState, SimEvse, float], str]


def known(settings: StationSettings) -> str:
    """The values list of measurands."""
    return ",".join(settings.known_measurands)


def listed(values: str) -> Callable[[StationSettings], str]:
    """A values list that never changes."""
    return lambda _settings: values


def of_car(read: Read) -> Read:
    """Of a car: empty where none stands."""
    return lambda station, evse, now_s: read(station, evse, now_s) if evse.occupied else ""


def protocol(station: StationState, evse: SimEvse, _now_s: float) -> str:
    """What EVSE and car have agreed on."""
    if station.settings.chademo:
        return "CHAdeMO,3"
    return "urn:iso:std:iso:15118:-20:DC,1,0" if evse.is_dc else "urn:iso:std:iso:15118:-20:AC,1,0"
