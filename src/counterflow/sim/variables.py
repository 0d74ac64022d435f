"""The device model of a simulated station: one table of variables (OCPP 2.1 part 2, 2.x; part 1 B05-B08)."""

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import UNSET, Struct, UnsetType

from counterflow.adapters.ocpp.messages import (
    ComponentType,
    DataEnumType,
    EVSEType,
    GetVariableDataType,
    GetVariableResultType,
    ReportDataType,
    SetVariableDataType,
    SetVariableResultType,
    SetVariableStatusEnumType,
    VariableAttributeType,
    VariableCharacteristicsType,
    VariableType,
)
from counterflow.domain.units import format_instant
from counterflow.sim.evse import SimEvse
from counterflow.sim.meter import SUPPORTED_MEASURANDS
from counterflow.sim.state import StationState


class Variable(Struct, frozen=True, kw_only=True):
    """One row: how it is read, and written if it is. `maximum` is its maxLimit characteristic."""

    component: str
    name: str
    instance: str | None = None
    per_evse: bool = False
    kind: DataEnumType = "string"
    unit: str | None = None
    read: Callable[[StationState, SimEvse, float], str]
    write: Callable[[StationState, str], bool] | None = None
    maximum: Callable[[StationState, SimEvse], float] | None = None
    values: str | None = None


def _interval(station: StationState, text: str) -> bool:
    seconds = _whole(text)
    if seconds is None:
        return False
    station.meter_interval_s = seconds
    return True


def _interval_in_setpoint(station: StationState, text: str) -> bool:
    seconds = _whole(text)
    if seconds is None:
        return False
    station.setpoint_interval_s = seconds
    return True


def _measurands(kind: str) -> Callable[[StationState, str], bool]:
    def write(station: StationState, text: str) -> bool:
        names = tuple(name.strip() for name in text.split(",") if name.strip())
        if not set(names) <= set(SUPPORTED_MEASURANDS):
            return False
        station.measurands[kind] = names
        return True

    return write


def _measurand_list(kind: str) -> Variable:
    return Variable(
        component="SampledDataCtrlr",
        name=f"Tx{kind}Measurands",
        kind="MemberList",
        values=_LIST,
        read=lambda s, _e, _t: ",".join(s.measurands[kind]),
        write=_measurands(kind),
    )


def _heartbeat(station: StationState, text: str) -> bool:
    seconds = _whole(text)
    if seconds is None:
        return False
    station.heartbeat_interval_s = seconds
    return True


def _priority(station: StationState, text: str) -> bool:
    if text not in ("CSMS", "ExternalSystem"):
        return False
    station.setpoint_priority = text
    return True


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 10 else None


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _fixed(text: str) -> Callable[[StationState, SimEvse, float], str]:
    return lambda _station, _evse, _now_s: text


_LIST: Final = ",".join(SUPPORTED_MEASURANDS)
_SMART: Final = "SmartChargingCtrlr"
_V2X: Final = "V2XChargingCtrlr"

VARIABLES: Final[tuple[Variable, ...]] = (
    Variable(component="SampledDataCtrlr", name="Enabled", kind="boolean", read=_fixed("true")),
    *(_measurand_list(kind) for kind in ("Started", "Updated", "Ended")),
    Variable(
        component="SampledDataCtrlr",
        name="TxUpdatedInterval",
        kind="integer",
        unit="s",
        read=lambda s, _e, _t: str(s.meter_interval_s),
        write=_interval,
    ),
    Variable(component="SampledDataCtrlr", name="TxEndedInterval", kind="integer", unit="s", read=_fixed("0")),
    Variable(component="AlignedDataCtrlr", name="Interval", kind="integer", unit="s", read=_fixed("0")),
    Variable(component=_V2X, name="Available", per_evse=True, kind="boolean", read=_fixed("true")),
    Variable(component=_V2X, name="Enabled", per_evse=True, kind="boolean", read=_fixed("true")),
    Variable(
        component=_V2X, name="SupportedEnergyTransferModes", per_evse=True, kind="MemberList", read=lambda _s, e, _t: ",".join(e.transfers)
    ),
    Variable(
        component=_V2X,
        name="SupportedOperationModes",
        per_evse=True,
        kind="MemberList",
        read=lambda s, _e, _t: ",".join(s.settings.operation_modes),
    ),
    Variable(
        component=_V2X,
        name="TxUpdatedInterval",
        instance="CentralSetpoint",
        per_evse=True,
        kind="integer",
        unit="s",
        read=lambda s, _e, _t: str(s.setpoint_interval_s),
        write=_interval_in_setpoint,
    ),
    Variable(component=_SMART, name="Available", kind="boolean", read=_fixed("true")),
    Variable(component=_SMART, name="Enabled", kind="boolean", read=_fixed("true")),
    Variable(component=_SMART, name="ProfileStackLevel", kind="integer", read=lambda s, _e, _t: str(s.settings.max_stack_level)),
    Variable(component=_SMART, name="RateUnit", kind="MemberList", values="A,W", read=lambda s, _e, _t: ",".join(s.settings.rate_units)),
    Variable(component=_SMART, name="PeriodsPerSchedule", kind="integer", read=lambda s, _e, _t: str(s.settings.max_periods)),
    Variable(
        component=_SMART,
        name="Entries",
        instance="ChargingProfiles",
        kind="integer",
        read=lambda s, _e, _t: str(len(s.profiles)),
        maximum=lambda s, _e: s.settings.max_profiles,
    ),
    Variable(
        component=_SMART,
        name="SupportsFeature",
        instance="DynamicProfiles",
        kind="boolean",
        read=lambda s, _e, _t: _flag(s.settings.dynamic_profiles),
    ),
    Variable(
        component=_SMART,
        name="SupportsFeature",
        instance="MaxOfflineDuration",
        kind="boolean",
        read=lambda s, _e, _t: _flag(s.settings.max_offline_duration),
    ),
    Variable(component=_SMART, name="SupportsFeature", instance="UseLocalTime", kind="boolean", read=_fixed("false")),
    Variable(component=_SMART, name="SupportsFeature", instance="RandomizedDelay", kind="boolean", read=_fixed("false")),
    Variable(component=_SMART, name="SupportsFeature", instance="LimitAtSoC", kind="boolean", read=_fixed("false")),
    Variable(component=_SMART, name="SupportsFeature", instance="EvseSleep", kind="boolean", read=_fixed("false")),
    Variable(
        component=_SMART,
        name="MaxExternalConstraintsId",
        kind="integer",
        read=lambda s, _e, _t: str(s.settings.max_external_constraints_id),
    ),
    Variable(component=_SMART, name="SupportedAdditionalPurposes", kind="MemberList", read=_fixed("")),
    Variable(
        component=_SMART,
        name="SetpointPriority",
        kind="OptionList",
        values="ExternalSystem,CSMS",
        read=lambda s, _e, _t: s.setpoint_priority,
        write=_priority,
    ),
    Variable(component=_SMART, name="LimitChangeSignificance", kind="decimal", read=_fixed("1")),
    Variable(component=_SMART, name="NotifyChargingLimitWithSchedules", kind="boolean", read=_fixed("true")),
    Variable(component=_SMART, name="ExternalControlSignalsEnabled", kind="boolean", read=_fixed("false")),
    Variable(component=_SMART, name="ChargingProfilePersistence", instance="TxProfile", kind="boolean", read=_fixed("false")),
    Variable(
        component="EVSE",
        name="Power",
        per_evse=True,
        kind="decimal",
        unit="W",
        read=lambda _s, e, _t: f"{e.plant.power_w[e.row]:.0f}",
        maximum=lambda _s, e: float(e.plant.max_power_w[e.row]),
    ),
    Variable(
        component="EVSE",
        name="DischargePower",
        per_evse=True,
        kind="decimal",
        unit="W",
        read=lambda _s, e, _t: f"{max(0.0, -float(e.plant.power_w[e.row])):.0f}",
        maximum=lambda _s, e: float(e.plant.max_power_w[e.row]),
    ),
    Variable(component="EVSE", name="AvailabilityState", per_evse=True, kind="OptionList", read=lambda _s, e, _t: e.status),
    Variable(component="EVSE", name="ActiveTransactionId", per_evse=True, read=lambda _s, e, _t: e.transaction_id or ""),
    Variable(component="ConnectedEV", name="VehicleId", per_evse=True, read=lambda _s, e, _t: e.evccid if e.occupied else ""),
    Variable(
        component="ConnectedEV",
        name="ProtocolAgreed",
        per_evse=True,
        read=lambda _s, e, _t: "urn:iso:std:iso:15118:-20:DC,1,0" if e.is_dc else "urn:iso:std:iso:15118:-20:AC,1,0",
    ),
    Variable(
        component="ConnectedEV",
        name="StateOfCharge",
        per_evse=True,
        kind="decimal",
        unit="Percent",
        read=lambda _s, e, _t: f"{100 * e.plant.believed_soc_of(e.row):.0f}",
    ),
    Variable(
        component="ConnectedEV",
        name="BatteryCapacity",
        per_evse=True,
        kind="decimal",
        unit="Wh",
        read=lambda _s, e, _t: f"{e.plant.capacity_wh[e.row]:.0f}",
    ),
    Variable(
        component="ConnectedEV",
        name="DischargePower",
        per_evse=True,
        kind="decimal",
        unit="W",
        read=lambda _s, e, _t: f"{max(0.0, -float(e.plant.power_w[e.row])):.0f}",
        maximum=lambda _s, e: float(e.plant.max_power_w[e.row]),
    ),
    Variable(
        component="ConnectedEV", name="DepartureTime", per_evse=True, kind="dateTime", read=lambda _s, e, _t: format_instant(e.departure_s)
    ),
    Variable(component="ISO15118Ctrlr", name="Enabled", per_evse=True, kind="boolean", read=_fixed("true")),
    Variable(component="ISO15118Ctrlr", name="ServiceRenegotiationSupport", per_evse=True, kind="boolean", read=_fixed("true")),
    Variable(component="TxCtrlr", name="TxStartPoint", kind="MemberList", read=_fixed("Authorized")),
    Variable(component="TxCtrlr", name="TxStopPoint", kind="MemberList", read=_fixed("EVConnected")),
    Variable(component="TxCtrlr", name="StopTxOnInvalidId", kind="boolean", read=_fixed("true")),
    Variable(
        component="OCPPCommCtrlr",
        name="HeartbeatInterval",
        kind="integer",
        unit="s",
        read=lambda s, _e, _t: str(s.heartbeat_interval_s),
        write=_heartbeat,
    ),
    Variable(component="OCPPCommCtrlr", name="WebSocketPingInterval", kind="integer", unit="s", read=_fixed("0")),
    Variable(component="OCPPCommCtrlr", name="OfflineThreshold", kind="integer", unit="s", read=_fixed("60")),
    Variable(
        component="OCPPCommCtrlr",
        name="MessageTimeout",
        instance="Default",
        kind="integer",
        unit="s",
        read=lambda s, _e, _t: f"{s.settings.call_timeout_s:.0f}",
    ),
    Variable(
        component="OCPPCommCtrlr",
        name="MessageAttempts",
        instance="TransactionEvent",
        kind="integer",
        read=lambda s, _e, _t: str(s.settings.message_attempts),
    ),
    Variable(component="ClockCtrlr", name="DateTime", kind="dateTime", read=lambda _s, _e, t: format_instant(round(t, 3))),
    Variable(component="DeviceDataCtrlr", name="ItemsPerMessage", instance="GetVariables", kind="integer", read=_fixed("50")),
    Variable(component="DeviceDataCtrlr", name="ItemsPerMessage", instance="SetVariables", kind="integer", read=_fixed("50")),
)


def _key(component: str, name: str, instance: str | UnsetType | None) -> tuple[str, str, str]:
    """Names are compared without case (part 2, datatypes)."""
    return component.casefold(), name.casefold(), instance.casefold() if isinstance(instance, str) else ""


_COMPONENTS: Final = frozenset(variable.component.casefold() for variable in VARIABLES)
_BY_KEY: Final = {_key(variable.component, variable.name, variable.instance): variable for variable in VARIABLES}


def _find(station: StationState, component: ComponentType, variable: VariableType) -> tuple[Variable, SimEvse] | None:
    row = _BY_KEY.get(_key(component.name, variable.name, variable.instance))
    if row is None:
        return None
    if isinstance(component.evse, UnsetType):
        return None if row.per_evse else (row, station.first_evse)
    evse = station.evses.get(component.evse.id)
    return (row, evse) if row.per_evse and evse is not None else None


def get_variable(station: StationState, asked: GetVariableDataType, now_s: float) -> GetVariableResultType:
    """One result of GetVariables; Actual and MaxSet are the attributes that exist here."""
    found = _find(station, asked.component, asked.variable)
    attribute = asked.attribute_type
    if found is None:
        unknown = "UnknownVariable" if asked.component.name.casefold() in _COMPONENTS else "UnknownComponent"
        return GetVariableResultType(
            attribute_status=unknown,  # type: ignore[arg-type]  # one of two members of the enum, both spelled above
            component=asked.component,
            variable=asked.variable,
            attribute_type=attribute,
        )
    row, evse = found
    if attribute is UNSET or attribute == "Actual":
        value: str | None = row.read(station, evse, now_s)
    else:
        value = f"{row.maximum(station, evse):.0f}" if attribute == "MaxSet" and row.maximum is not None else None
    return GetVariableResultType(
        attribute_status="NotSupportedAttributeType" if value is None else "Accepted",
        component=asked.component,
        variable=asked.variable,
        attribute_type=attribute,
        attribute_value=UNSET if value is None else value,
    )


def set_variable(station: StationState, wish: SetVariableDataType) -> SetVariableResultType:
    """One result of SetVariables; an accepted value is in force at once."""
    found = _find(station, wish.component, wish.variable)
    status: SetVariableStatusEnumType
    if found is None:
        status = "UnknownVariable" if wish.component.name.casefold() in _COMPONENTS else "UnknownComponent"
    elif wish.attribute_type not in (UNSET, "Actual"):
        status = "NotSupportedAttributeType"
    else:
        write = found[0].write
        status = "Accepted" if write is not None and write(station, wish.attribute_value) else "Rejected"
    return SetVariableResultType(
        attribute_status=status, component=wish.component, variable=wish.variable, attribute_type=wish.attribute_type
    )


def report(station: StationState, now_s: float) -> Iterator[ReportDataType]:
    """Every variable as NotifyReport carries it."""
    for row in VARIABLES:
        for evse in station.evses.values() if row.per_evse else (station.first_evse,):
            attributes = [
                VariableAttributeType(
                    type="Actual",
                    value=row.read(station, evse, now_s),
                    mutability="ReadOnly" if row.write is None else "ReadWrite",
                )
            ]
            if row.maximum is not None:
                attributes.append(VariableAttributeType(type="MaxSet", value=f"{row.maximum(station, evse):.0f}", mutability="ReadOnly"))
            yield ReportDataType(
                component=ComponentType(name=row.component, evse=EVSEType(id=evse.evse_id) if row.per_evse else UNSET),
                variable=VariableType(name=row.name, instance=UNSET if row.instance is None else row.instance),
                variable_attribute=attributes,
                variable_characteristics=VariableCharacteristicsType(
                    data_type=row.kind,
                    supports_monitoring=False,
                    unit=UNSET if row.unit is None else row.unit,
                    max_limit=UNSET if row.maximum is None else row.maximum(station, evse),
                    values_list=UNSET if row.values is None else row.values,
                ),
            )
