"""What stations report, in our words. Events are past tense; NaN, None and -1 mean unknown, never zero.

These are built once per message on the hot path, so they are `msgspec.Struct`s outside the garbage collector (docs/adr/0002).
"""

from enum import IntEnum
from math import nan

from msgspec import Struct

from counterflow.domain.commands import Command
from counterflow.domain.conflicts import CompositePeriod, DerLimit, InstalledProfile, LimitPeriod
from counterflow.domain.ids import ConnectorId, EvseId, StationId, TransactionId
from counterflow.domain.resources import ConnectedEv, EvseCapability, StationFacts, StationIdentity
from counterflow.domain.setpoints import CommandResult
from counterflow.domain.station_settings import ChangedSetting, StationVariable


class TransactionPhase(IntEnum):
    """OCPP `transactionInfo.chargingState`. Discharging is reported as CHARGING; direction comes from the meter only."""

    UNKNOWN = 0
    EV_CONNECTED = 1
    CHARGING = 2
    SUSPENDED_EV = 3
    SUSPENDED_EVSE = 4
    IDLE = 5


class Availability(IntEnum):
    """OCPP connector status."""

    UNKNOWN = 0
    AVAILABLE = 1
    OCCUPIED = 2
    RESERVED = 3
    UNAVAILABLE = 4
    FAULTED = 5


class EventKind(IntEnum):
    """OCPP `TransactionEvent.eventType`."""

    STARTED = 1
    UPDATED = 2
    ENDED = 3


class Measurement(Struct, frozen=True, gc=False):
    """One instant of one EVSE's meter, normalised: power import positive, registers in Wh, SoC 0..1; NaN = not in this sample."""

    at_s: float
    power_w: float = nan
    export_wh: float = nan
    import_wh: float = nan
    soc_frac: float = nan


class TransactionReported(Struct, frozen=True, kw_only=True):
    """A TransactionEvent. `evse_id` 0 = not in this message (it comes once per transaction)."""

    station_id: StationId
    transaction_id: TransactionId
    kind: EventKind
    at_s: float
    received_s: float
    trigger: str
    seq_no: int
    evse_id: EvseId = EvseId(0)
    phase: TransactionPhase = TransactionPhase.UNKNOWN
    operation_mode: str = ""
    offline: bool = False
    stopped_reason: str = ""
    id_token: str = ""
    evccid: str = ""
    phases_used: int = 0
    """Phases that the car charges on (AC); 0 = not in this message."""
    measurements: tuple[Measurement, ...] = ()


class EvseMeasured(Struct, frozen=True, kw_only=True):
    """A MeterValues message: clock-aligned values of an EVSE (0 = the station's main meter)."""

    station_id: StationId
    evse_id: EvseId
    received_s: float
    measurements: tuple[Measurement, ...]


class ChargingNeedsReported(Struct, frozen=True, kw_only=True):
    """NotifyEVChargingNeeds. Powers are magnitudes in W, energies signed Wh as OCPP defines them; None = not said."""

    station_id: StationId
    evse_id: EvseId
    at_s: float
    received_s: float
    bidirectional: bool
    ac: bool | None = None
    """The requested transfer is AC; False = DC, which has no phases."""
    phases: int | None = None
    """Of an AC transfer that names them."""
    can_upgrade: bool = False
    dynamic_control: bool = False
    iso15118_20: bool = False
    max_schedule_tuples: int | None = None
    departure_s: float | None = None
    min_charge_power_w: float | None = None
    max_charge_power_w: float | None = None
    min_discharge_power_w: float | None = None
    max_discharge_power_w: float | None = None
    target_energy_request_wh: float | None = None
    min_energy_request_wh: float | None = None
    max_energy_request_wh: float | None = None
    min_v2x_energy_request_wh: float | None = None
    max_v2x_energy_request_wh: float | None = None
    target_soc_frac: float | None = None
    soc_frac: float | None = None
    capacity_wh: float | None = None


class PlannedPower(Struct, frozen=True, kw_only=True):
    """One stretch of a car's own plan (NotifyEVChargingSchedule): `power_w` import positive, epoch seconds."""

    from_s: float
    until_s: float
    power_w: float


class StationConnected(Struct, frozen=True, kw_only=True):
    """A station's socket is open."""

    station_id: StationId
    at_s: float
    subprotocol: str


class StationDisconnected(Struct, frozen=True, kw_only=True):
    """A station's socket is gone. It may still be discharging."""

    station_id: StationId
    at_s: float
    reason: str


class StationBooted(Struct, frozen=True, kw_only=True):
    """BootNotification."""

    station_id: StationId
    at_s: float
    identity: StationIdentity
    boot_reason: str


class EvseStatusChanged(Struct, frozen=True, kw_only=True):
    """StatusNotification, or NotifyEvent of a Connector's AvailabilityState."""

    station_id: StationId
    evse_id: EvseId
    connector_id: ConnectorId
    at_s: float
    availability: Availability


class CapabilitiesDiscovered(Struct, frozen=True, kw_only=True):
    """Discovery of a station is through (possibly with less than we asked for: each reason says what was missing)."""

    station_id: StationId
    at_s: float
    evses: tuple[EvseCapability, ...]
    meter_interval_s: float | None = None
    """The sampling interval in force, as the station confirmed it; None = it is off, or not said."""
    refusals: tuple[str, ...] = ()
    """What was not set, and what else is to be known, in sentences."""
    facts: StationFacts = StationFacts()
    began_at_s: float = 0.0
    set_up_for: str | None = None
    """The sampling that was asked for; None = settings were left alone."""
    refused_settings: tuple[StationVariable, ...] = ()
    """What the station surely did not set."""
    given_back: tuple[StationVariable, ...] = ()
    """What has its former value again."""
    awaits_reboot: bool = False
    """Some of it holds only after a reboot."""
    subprotocol: str = "ocpp2.1"
    """The version of OCPP in which it was told."""


class SettingsChanging(Struct, frozen=True, kw_only=True):
    """These variables of the station are about to be set; what they were must be durable before the message leaves."""

    station_id: StationId
    at_s: float
    changes: tuple[ChangedSetting, ...]


class ConnectedEvReported(Struct, frozen=True, kw_only=True):
    """What an EVSE knows of the car that charges at it (component ConnectedEV): all there is of a car without charging needs (R01)."""

    station_id: StationId
    evse_id: EvseId
    at_s: float
    car: ConnectedEv


class CapabilitiesOutdated(Struct, frozen=True, kw_only=True):
    """What was learned of the station may no longer hold, such as after new firmware; `why` in words."""

    station_id: StationId
    at_s: float
    why: str


class ExternalLimitChanged(Struct, frozen=True, kw_only=True):
    """NotifyChargingLimit / ClearedChargingLimit: another actor steers, or no longer does. `evse_id` 0 = whole station."""

    station_id: StationId
    evse_id: EvseId
    at_s: float
    source: str
    active: bool
    periods: tuple[LimitPeriod, ...] = ()
    """What it allows over time; empty = it did not say."""


class TransactionTold(Struct, frozen=True, kw_only=True):
    """The answer to GetTransactionStatus. `ongoing` None = not said; `queued` = messages of it are still to come."""

    station_id: StationId
    transaction_id: TransactionId
    at_s: float
    ongoing: bool | None
    queued: bool


class CompositeReported(Struct, frozen=True, kw_only=True):
    """The answer to GetCompositeSchedule: what the station would do at an EVSE, by all profiles that it knows."""

    station_id: StationId
    evse_id: EvseId
    at_s: float
    periods: tuple[CompositePeriod, ...]


class DerLimitsReported(Struct, frozen=True, kw_only=True):
    """ReportDERControl: the limits on discharge that the inverter runs under, of all its EVSEs. `last` ends the report."""

    station_id: StationId
    at_s: float
    request_id: int
    limits: tuple[DerLimit, ...]
    last: bool


class DerControlChanged(Struct, frozen=True, kw_only=True):
    """NotifyDERStartStop: a control began or ended; those in `superseded` are over."""

    station_id: StationId
    at_s: float
    control_id: str
    started: bool
    superseded: tuple[str, ...] = ()


class PriorityChargingChanged(Struct, frozen=True, kw_only=True):
    """NotifyPriorityCharging: the driver asked for full power, or no longer does."""

    station_id: StationId
    transaction_id: TransactionId
    at_s: float
    activated: bool


class GridFaultReported(Struct, frozen=True, kw_only=True):
    """NotifyDERAlarm: the inverter tripped or limits itself until `ended`."""

    station_id: StationId
    at_s: float
    control_type: str
    ended: bool


class ProfilesReported(Struct, frozen=True, kw_only=True):
    """ReportChargingProfiles: what is installed at an EVSE (0 = the station), ours and others'. `last` ends the report."""

    station_id: StationId
    evse_id: EvseId
    at_s: float
    request_id: int
    source: str
    profiles: tuple[InstalledProfile, ...]
    last: bool


class CertificateRequested(Struct, frozen=True, kw_only=True):
    """SignCertificate (A02, A03) of a station, taken: it waits for CertificateSigned."""

    station_id: StationId
    at_s: float
    csr: str
    kind: str
    """As OCPP spells it: `ChargingStationCertificate`, `V2GCertificate`, `V2G20Certificate`."""
    request_id: int | None = None


class StationWarned(Struct, frozen=True, kw_only=True):
    """Anything worth a line in the station's history: salvaged fields, security events, protocol violations."""

    station_id: StationId
    at_s: float
    kind: str
    text: str


class CommandSent(Struct, frozen=True, kw_only=True):
    """A command of ours has left for its station; one that waits may yet be replaced by a newer one."""

    station_id: StationId
    at_s: float
    command: Command


class CommandCompleted(Struct, frozen=True, kw_only=True):
    """The outcome of a command of ours. A time-out is an unknown outcome."""

    station_id: StationId
    at_s: float
    command: Command
    result: CommandResult


StationEvent = (
    TransactionReported
    | EvseMeasured
    | ChargingNeedsReported
    | StationConnected
    | StationDisconnected
    | StationBooted
    | EvseStatusChanged
    | CapabilitiesDiscovered
    | SettingsChanging
    | CapabilitiesOutdated
    | ConnectedEvReported
    | ExternalLimitChanged
    | CompositeReported
    | TransactionTold
    | DerLimitsReported
    | DerControlChanged
    | PriorityChargingChanged
    | GridFaultReported
    | ProfilesReported
    | StationWarned
    | CertificateRequested
    | CommandSent
    | CommandCompleted
)
