"""The variables of the device model that discovery reads (OCPP 2.1 part 2, 2.x; the appendix' list of components and variables)."""

from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import UNSET, UnsetType

from counterflow.adapters.ocpp import messages as ocpp
from counterflow.domain.ids import EvseId
from counterflow.domain.station_settings import StationVariable

Place = tuple[str, str, str, int]
"""A variable's component, name, instance and EVSE, without case."""


class Variable(NamedTuple):
    """One attribute of one variable; `evse_id` 0 = of the station."""

    component: str
    name: str
    instance: str = ""
    evse_id: int = 0
    attribute: ocpp.AttributeEnumType = "Actual"

    def place(self) -> Place:
        """Identifiers are compared without case (part 2, datatypes)."""
        return self.component.casefold(), self.name.casefold(), self.instance.casefold(), self.evse_id

    def of_station(self) -> StationVariable:
        """The same in the words of the domain."""
        return StationVariable(self.component, self.name, self.instance, self.evse_id)

    def __str__(self) -> str:
        return str(self.of_station())


@lru_cache(16_384)
def at_evse(variable: Variable, evse_id: int) -> Variable:
    """The same variable at an EVSE; remembered, since it is asked some hundred times a station."""
    return variable._replace(evse_id=evse_id)


@lru_cache(16_384)
def key_of(variable: Variable) -> tuple[Place, str]:
    """Where the value of a variable is kept."""
    return variable.place(), variable.attribute


def variable_of(wanted: StationVariable) -> Variable:
    """From the words of the domain."""
    return Variable(wanted.component, wanted.name, wanted.instance, wanted.evse_id)


def place_of(component: ocpp.ComponentType, variable: ocpp.VariableType) -> Place:
    """What a station names, without case."""
    instance = "" if variable.instance is UNSET else variable.instance.casefold()
    return component.name.casefold(), variable.name.casefold(), instance, 0 if component.evse is UNSET else component.evse.id


@lru_cache(4096)
def component_of(variable: Variable) -> ocpp.ComponentType:
    """As OCPP says it."""
    return ocpp.ComponentType(name=variable.component, evse=ocpp.EVSEType(id=variable.evse_id) if variable.evse_id else UNSET)


@lru_cache(4096)
def name_of(variable: Variable) -> ocpp.VariableType:
    """As OCPP says it."""
    return ocpp.VariableType(name=variable.name, instance=variable.instance or UNSET)


def attribute_of(variable: Variable) -> ocpp.AttributeEnumType | UnsetType:
    """Actual is what an absent attribute means."""
    return UNSET if variable.attribute == "Actual" else variable.attribute


_SMART: Final = "SmartChargingCtrlr"
_V2X: Final = "V2XChargingCtrlr"
_SAMPLED: Final = "SampledDataCtrlr"
_ALIGNED: Final = "AlignedDataCtrlr"
_COMM: Final = "OCPPCommCtrlr"
_EV: Final = "ConnectedEV"

LIMITED: Final = ("GetVariables", "SetVariables", "GetReport")
ITEMS: Final = {action: Variable("DeviceDataCtrlr", "ItemsPerMessage", action) for action in LIMITED}
BYTES: Final = {action: Variable("DeviceDataCtrlr", "BytesPerMessage", action) for action in LIMITED}

SMART_AVAILABLE: Final = Variable(_SMART, "Available")
SMART_ENABLED: Final = Variable(_SMART, "Enabled")
RATE_UNIT: Final = Variable(_SMART, "RateUnit")
STACK_LEVEL: Final = Variable(_SMART, "ProfileStackLevel")
PERIODS: Final = Variable(_SMART, "PeriodsPerSchedule")
ENTRIES: Final = Variable(_SMART, "Entries", "ChargingProfiles")
ENTRIES_MAX: Final = ENTRIES._replace(attribute="MaxSet")
PERSISTENCE: Final = Variable(_SMART, "ChargingProfilePersistence", "TxProfile")
EXTERNAL_ID: Final = Variable(_SMART, "MaxExternalConstraintsId")
PURPOSES: Final = Variable(_SMART, "SupportedAdditionalPurposes")
SETPOINT_PRIORITY: Final = Variable(_SMART, "SetpointPriority")
EXTERNAL_SIGNALS: Final = Variable(_SMART, "ExternalControlSignalsEnabled")
LIMIT_SCHEDULES: Final = Variable(_SMART, "NotifyChargingLimitWithSchedules")
EXTERNAL_DISALLOWED: Final = Variable(_SMART, "ExternalConstraintsProfileDisallowed")
LIMIT_CHANGE: Final = Variable(_SMART, "LimitChangeSignificance")

FEATURES: Final = {
    name: (Variable(_SMART, "SupportsFeature", name), Variable(_SMART, f"Supports{name}"))
    for name in ("DynamicProfiles", "MaxOfflineDuration", "UseLocalTime", "RandomizedDelay", "LimitAtSoC", "EvseSleep")
}
"""Both spellings: the text of the standard has an instance of one variable, its appendix a variable of each (gotcha 25)."""

V2X_AVAILABLE: Final = Variable(_V2X, "Available")
V2X_ENABLED: Final = Variable(_V2X, "Enabled")
V2X_MODES: Final = Variable(_V2X, "SupportedOperationModes")
V2X_TRANSFERS: Final = Variable(_V2X, "SupportedEnergyTransferModes")
V2X_INTERVAL: Final = Variable(_V2X, "TxUpdatedInterval", "CentralSetpoint")
V2X_MEASURANDS: Final = Variable(_V2X, "TxUpdatedMeasurands", "CentralSetpoint")

EVSE_POWER: Final = Variable("EVSE", "Power")
SUPPLY_PHASES: Final = Variable("EVSE", "SupplyPhases")
EVSE_POWER_SET: Final = EVSE_POWER._replace(attribute="MaxSet")
DISCHARGE_POWER: Final = Variable("EVSE", "DischargePower")
DISCHARGE_POWER_SET: Final = DISCHARGE_POWER._replace(attribute="MaxSet")
ISO15118: Final = Variable("ISO15118Ctrlr", "Enabled")
RENEGOTIATION: Final = Variable("ISO15118Ctrlr", "ServiceRenegotiationSupport")

EV_PROTOCOL: Final = Variable(_EV, "ProtocolAgreed")
EV_VEHICLE_ID: Final = Variable(_EV, "VehicleId")
EV_SOC: Final = Variable(_EV, "StateOfCharge")
EV_SOC_MAX: Final = EV_SOC._replace(attribute="MaxSet")
EV_CAPACITY: Final = Variable(_EV, "BatteryCapacity")
EV_ENERGY_TARGET: Final = Variable(_EV, "EnergyImport", attribute="Target")
EV_ENERGY_MIN: Final = Variable(_EV, "EnergyImport", attribute="MinSet")
EV_ENERGY_MAX: Final = Variable(_EV, "EnergyImport", attribute="MaxSet")
EV_POWER_MAX: Final = Variable(_EV, "Power", attribute="MaxSet")
EV_DISCHARGE_MAX: Final = Variable(_EV, "DischargePower", attribute="MaxSet")
EV_DEPARTURE: Final = Variable(_EV, "DepartureTime")
CAR_VARIABLES: Final = (
    EV_PROTOCOL, EV_VEHICLE_ID, EV_SOC, EV_SOC_MAX, EV_CAPACITY, EV_ENERGY_TARGET, EV_ENERGY_MIN, EV_ENERGY_MAX, EV_POWER_MAX,
    EV_DISCHARGE_MAX, EV_DEPARTURE,
)  # fmt: skip

SAMPLED_ENABLED: Final = Variable(_SAMPLED, "Enabled")
INTERVAL: Final = Variable(_SAMPLED, "TxUpdatedInterval")
UPDATED_MEASURANDS: Final = Variable(_SAMPLED, "TxUpdatedMeasurands")
MEASURANDS: Final = (UPDATED_MEASURANDS, Variable(_SAMPLED, "TxStartedMeasurands"), Variable(_SAMPLED, "TxEndedMeasurands"))
ALIGNED_ENABLED: Final = Variable(_ALIGNED, "Enabled")
ALIGNED_INTERVAL: Final = Variable(_ALIGNED, "Interval")
ALIGNED_MEASURANDS: Final = Variable(_ALIGNED, "Measurands")
ALIGNED_IDLE: Final = Variable(_ALIGNED, "SendDuringIdle")
ALIGNED_ENDED_INTERVAL: Final = Variable(_ALIGNED, "TxEndedInterval")
ALIGNED_ENDED_MEASURANDS: Final = Variable(_ALIGNED, "TxEndedMeasurands")

TX_START: Final = Variable("TxCtrlr", "TxStartPoint")
TX_STOP: Final = Variable("TxCtrlr", "TxStopPoint")
TX_RESUMPTION: Final = Variable("TxCtrlr", "ResumptionTimeout")
TX_STOP_ON_INVALID: Final = Variable("TxCtrlr", "StopTxOnInvalidId")
HEARTBEAT: Final = Variable(_COMM, "HeartbeatInterval")
PING: Final = Variable(_COMM, "WebSocketPingInterval")
OFFLINE_THRESHOLD: Final = Variable(_COMM, "OfflineThreshold")
MESSAGE_TIMEOUT: Final = Variable(_COMM, "MessageTimeout", "Default")
MESSAGE_ATTEMPTS: Final = Variable(_COMM, "MessageAttempts", "TransactionEvent")
ATTEMPT_INTERVAL: Final = Variable(_COMM, "MessageAttemptInterval", "TransactionEvent")
CLOCK: Final = Variable("ClockCtrlr", "DateTime")

STATION_VARIABLES: Final = (
    SMART_AVAILABLE, SMART_ENABLED, RATE_UNIT, STACK_LEVEL, PERIODS, ENTRIES, ENTRIES_MAX, PERSISTENCE, EXTERNAL_ID, PURPOSES,
    SETPOINT_PRIORITY, EXTERNAL_SIGNALS, LIMIT_SCHEDULES, EXTERNAL_DISALLOWED, LIMIT_CHANGE,
    *(spelling for spellings in FEATURES.values() for spelling in spellings),
    V2X_AVAILABLE, V2X_ENABLED, V2X_MODES, V2X_TRANSFERS, ISO15118, RENEGOTIATION,
    SAMPLED_ENABLED, INTERVAL, *MEASURANDS,
    ALIGNED_ENABLED, ALIGNED_INTERVAL, ALIGNED_MEASURANDS, ALIGNED_IDLE, ALIGNED_ENDED_INTERVAL, ALIGNED_ENDED_MEASURANDS,
    TX_START, TX_STOP, TX_RESUMPTION, TX_STOP_ON_INVALID,
    HEARTBEAT, PING, OFFLINE_THRESHOLD, MESSAGE_TIMEOUT, MESSAGE_ATTEMPTS, ATTEMPT_INTERVAL, CLOCK,
)  # fmt: skip
"""Of the station. Controllers that belong to an EVSE stand here too, since some stations have one for all."""

EVSE_VARIABLES: Final = (
    V2X_AVAILABLE, V2X_ENABLED, V2X_MODES, V2X_TRANSFERS, V2X_INTERVAL, V2X_MEASURANDS, ISO15118, RENEGOTIATION,
    SUPPLY_PHASES, EVSE_POWER_SET, DISCHARGE_POWER, DISCHARGE_POWER_SET, *CAR_VARIABLES,
)  # fmt: skip

LISTED: Final = (*MEASURANDS, ALIGNED_MEASURANDS, ALIGNED_ENDED_MEASURANDS, ENTRIES)
EVSE_LISTED: Final = (V2X_MEASURANDS, DISCHARGE_POWER, EVSE_POWER)
"""Variables whose values list or limit is asked for: only reports carry those."""


@lru_cache(256)
def of_evse(evse_id: EvseId, variables: tuple[Variable, ...]) -> tuple[Variable, ...]:
    """The same variables at one EVSE."""
    return tuple(variable._replace(evse_id=evse_id) for variable in variables)


_KNOWN: Final = frozenset(
    variable.place()[:3] for variable in (*STATION_VARIABLES, *EVSE_VARIABLES, *LISTED, *EVSE_LISTED, *ITEMS.values(), *BYTES.values())
)


def is_of_use(place: Place) -> bool:
    """Is this one of the variables that discovery knows? A report holds hundreds of others."""
    return place[:3] in _KNOWN
