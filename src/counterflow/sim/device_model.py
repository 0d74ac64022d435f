"""The variables of a simulated station, as one table (OCPP 2.1 part 2, 2.x)."""

from collections.abc import Callable
from typing import Final

from counterflow.adapters.ocpp.messages import DataEnumType
from counterflow.domain.units import format_instant
from counterflow.sim.evse import SimEvse
from counterflow.sim.settings import StationSettings
from counterflow.sim.state import StationState
from counterflow.sim.variable import (
    Variable,
    fixed,
    flag,
    known,
    known_names,
    listed,
    measurand_list,
    of_car,
    protocol,
    set_heartbeat,
    set_interval,
    set_password,
    set_priority,
    set_setpoint_interval,
    set_setpoint_measurands,
    whole,
)

_SMART: Final = "SmartChargingCtrlr"
_V2X: Final = "V2XChargingCtrlr"

_FEATURES: Final[dict[str, Callable[[StationSettings], bool]]] = {
    "DynamicProfiles": lambda s: s.dynamic_profiles,
    "MaxOfflineDuration": lambda s: s.max_offline_duration,
    "UseLocalTime": lambda _s: False,
    "RandomizedDelay": lambda _s: False,
    "LimitAtSoC": lambda _s: False,
    "EvseSleep": lambda _s: False,
}


def _feature(name: str, has: Callable[[StationSettings], bool]) -> tuple[Variable, Variable]:
    """In the one spelling or the other; a station has one of them."""

    def read(station: StationState, _evse: SimEvse, _now_s: float) -> str:
        return flag(has(station.settings))

    return (
        Variable(component=_SMART, name="SupportsFeature", instance=name, kind="boolean", read=read, needs=lambda s: not s.plain_features),
        Variable(component=_SMART, name=f"Supports{name}", kind="boolean", read=read, needs=lambda s: s.plain_features),
    )


def _limits(action: str) -> tuple[Variable, Variable]:
    return (
        Variable(
            component="DeviceDataCtrlr",
            name="ItemsPerMessage",
            instance=action,
            kind="integer",
            read=lambda s, _e, _t: str(s.settings.items_per_message),
        ),
        Variable(
            component="DeviceDataCtrlr",
            name="BytesPerMessage",
            instance=action,
            kind="integer",
            read=lambda s, _e, _t: str(s.settings.bytes_per_message),
            needs=lambda s: s.bytes_per_message > 0,
        ),
    )


def _into_aligned(name: str, valid: Callable[[StationState, str], bool]) -> Callable[[StationState, str], bool]:
    def write(station: StationState, text: str) -> bool:
        if not valid(station, text):
            return False
        station.aligned[name] = text
        return True

    return write


_VALID: Final[dict[DataEnumType, Callable[[StationState, str], bool]]] = {
    "integer": lambda _s, text: whole(text) is not None,
    "boolean": lambda _s, text: text in ("true", "false"),
    "MemberList": lambda s, text: known_names(s, text) is not None,
}


def _aligned(name: str, kind: DataEnumType) -> Variable:
    return Variable(
        component="AlignedDataCtrlr",
        name=name,
        kind=kind,
        unit="s" if kind == "integer" else None,
        read=lambda s, _e, _t: s.aligned[name],
        write=_into_aligned(name, _VALID[kind]),
        values=known if kind == "MemberList" else None,
    )


_ALIGNED_ROWS: Final = (
    _aligned("Enabled", "boolean"),
    _aligned("Interval", "integer"),
    _aligned("Measurands", "MemberList"),
    _aligned("SendDuringIdle", "boolean"),
    _aligned("TxEndedInterval", "integer"),
    _aligned("TxEndedMeasurands", "MemberList"),
)

VARIABLES: Final[tuple[Variable, ...]] = (
    Variable(component="SecurityCtrlr", name="BasicAuthPassword", read=fixed(""), write=set_password, write_only=True),
    Variable(component="SampledDataCtrlr", name="Enabled", kind="boolean", read=fixed("true")),
    *(measurand_list(kind) for kind in ("Started", "Updated", "Ended")),
    Variable(
        component="SampledDataCtrlr",
        name="TxUpdatedInterval",
        kind="integer",
        unit="s",
        read=lambda s, _e, _t: str(s.meter_interval_s),
        write=set_interval,
    ),
    Variable(component="SampledDataCtrlr", name="TxEndedInterval", kind="integer", unit="s", read=fixed("0")),
    *_ALIGNED_ROWS,
    Variable(component=_V2X, name="Available", per_evse=True, kind="boolean", read=fixed("true")),
    Variable(component=_V2X, name="Enabled", per_evse=True, kind="boolean", read=fixed("true")),
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
        write=set_setpoint_interval,
    ),
    Variable(
        component=_V2X,
        name="TxUpdatedMeasurands",
        instance="CentralSetpoint",
        per_evse=True,
        kind="MemberList",
        values=known,
        read=lambda s, _e, _t: ",".join(s.setpoint_measurands),
        write=set_setpoint_measurands,
    ),
    Variable(component=_SMART, name="Available", kind="boolean", read=fixed("true")),
    Variable(component=_SMART, name="Enabled", kind="boolean", read=fixed("true")),
    Variable(component=_SMART, name="ProfileStackLevel", kind="integer", read=lambda s, _e, _t: str(s.settings.max_stack_level)),
    Variable(
        component=_SMART, name="RateUnit", kind="MemberList", values=listed("A,W"), read=lambda s, _e, _t: ",".join(s.settings.rate_units)
    ),
    Variable(component=_SMART, name="PeriodsPerSchedule", kind="integer", read=lambda s, _e, _t: str(s.settings.max_periods)),
    Variable(
        component=_SMART,
        name="Entries",
        instance="ChargingProfiles",
        kind="integer",
        read=lambda s, _e, _t: str(len(s.profiles)),
        maximum=lambda s, _e: s.settings.max_profiles,
    ),
    *(row for name, read in _FEATURES.items() for row in _feature(name, read)),
    Variable(
        component=_SMART,
        name="MaxExternalConstraintsId",
        kind="integer",
        read=lambda s, _e, _t: str(s.settings.max_external_constraints_id),
    ),
    Variable(
        component=_SMART,
        name="SupportedAdditionalPurposes",
        kind="MemberList",
        read=lambda s, _e, _t: ",".join(s.settings.additional_purposes),
    ),
    Variable(
        component=_SMART,
        name="SetpointPriority",
        kind="OptionList",
        values=listed("ExternalSystem,CSMS"),
        read=lambda s, _e, _t: s.setpoint_priority,
        write=set_priority,
    ),
    Variable(component=_SMART, name="LimitChangeSignificance", kind="decimal", read=fixed("1")),
    Variable(component=_SMART, name="NotifyChargingLimitWithSchedules", kind="boolean", read=fixed("true")),
    Variable(component=_SMART, name="ExternalControlSignalsEnabled", kind="boolean", read=fixed("false")),
    Variable(component=_SMART, name="ChargingProfilePersistence", instance="TxProfile", kind="boolean", read=fixed("false")),
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
    Variable(component="ConnectedEV", name="VehicleId", per_evse=True, read=of_car(lambda _s, e, _t: e.evccid)),
    Variable(
        component="ConnectedEV",
        name="ProtocolAgreed",
        per_evse=True,
        read=of_car(protocol),
    ),
    Variable(
        component="ConnectedEV",
        name="StateOfCharge",
        per_evse=True,
        kind="decimal",
        unit="Percent",
        read=of_car(lambda _s, e, _t: f"{100 * e.plant.believed_soc_of(e.row):.0f}"),
    ),
    Variable(
        component="ConnectedEV",
        name="BatteryCapacity",
        per_evse=True,
        kind="decimal",
        unit="Wh",
        read=of_car(lambda s, e, _t: "" if s.settings.chademo else f"{e.plant.capacity_wh[e.row]:.0f}"),
    ),
    Variable(
        component="ConnectedEV",
        name="EnergyImport",
        per_evse=True,
        kind="decimal",
        unit="Wh",
        read=fixed(""),
        maximum=lambda _s, e: float(e.plant.capacity_wh[e.row]) if e.occupied else None,
        needs=lambda s: s.chademo,
    ),
    Variable(
        component="ConnectedEV",
        name="DischargePower",
        per_evse=True,
        kind="decimal",
        unit="W",
        read=of_car(lambda _s, e, _t: f"{max(0.0, -float(e.plant.power_w[e.row])):.0f}"),
        maximum=lambda _s, e: float(e.plant.max_power_w[e.row]) if e.occupied else None,
        needs=lambda s: not s.chademo,
    ),
    Variable(
        component="ConnectedEV",
        name="DepartureTime",
        per_evse=True,
        kind="dateTime",
        read=of_car(lambda s, e, _t: "" if s.settings.chademo else format_instant(e.departure_s)),
    ),
    Variable(component="ISO15118Ctrlr", name="Enabled", per_evse=True, kind="boolean", read=fixed("true")),
    Variable(
        component="ISO15118Ctrlr",
        name="ServiceRenegotiationSupport",
        per_evse=True,
        kind="boolean",
        read=lambda s, _e, _t: flag(not s.settings.chademo),
    ),
    Variable(component="TxCtrlr", name="TxStartPoint", kind="MemberList", read=fixed("Authorized")),
    Variable(component="TxCtrlr", name="TxStopPoint", kind="MemberList", read=fixed("EVConnected")),
    Variable(component="TxCtrlr", name="ResumptionTimeout", kind="integer", unit="s", read=fixed("0")),
    Variable(component="TxCtrlr", name="StopTxOnInvalidId", kind="boolean", read=fixed("true")),
    Variable(
        component="OCPPCommCtrlr",
        name="HeartbeatInterval",
        kind="integer",
        unit="s",
        read=lambda s, _e, _t: str(s.heartbeat_interval_s),
        write=set_heartbeat,
    ),
    Variable(component="OCPPCommCtrlr", name="WebSocketPingInterval", kind="integer", unit="s", read=fixed("0")),
    Variable(component="OCPPCommCtrlr", name="OfflineThreshold", kind="integer", unit="s", read=fixed("60")),
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
    *(row for action in ("GetVariables", "SetVariables", "GetReport") for row in _limits(action)),
)
