"""What there is: sites, pools, stations, EVSEs, and what a driver or site agreed to."""

from enum import IntEnum
from typing import Annotated, Literal, Self

from msgspec import Meta, Struct

from counterflow.domain.blackouts import parse_window, zone_of
from counterflow.domain.ids import ALL_SITES, EvseId, FeederId, PoolId, SiteId, StationId

ALL_PHASES = 3
"""What OCPP takes for granted where nobody says how many phases there are (ChargingSchedulePeriodType.numberPhases)."""
PowerLimit = Annotated[float, Meta(ge=0)]
PhaseName = Literal["L1", "L2", "L3", "three_phase", "unknown"]


class ControlMode(IntEnum):
    """How an EVSE can be told to discharge (ocpp: V2XChargingCtrlr, SmartChargingCtrlr). CHARGE_ONLY: it cannot, but takes a limit to
    charging; as the mode of an order it is such a limit, at any EVSE."""

    UNKNOWN = 0
    NONE = 1
    SETPOINT = 2
    DYNAMIC = 3
    NEGATIVE_LIMIT = 4
    CHARGE_ONLY = 5


class Supply(IntEnum):
    """On which phases of its site an EVSE is."""

    UNKNOWN = 0
    L1 = 1
    L2 = 2
    L3 = 3
    THREE_PHASE = 4


class ConnectedEv(Struct, frozen=True, kw_only=True):
    """What the EVSE knows of the car at it (OCPP 2.1 part 2, component ConnectedEV); also where a car brings no ISO 15118-20, such as
    CHAdeMO. `None` = not said."""

    at_s: float
    protocol: str | None = None
    vehicle_id: str | None = None
    """A pseudonym once it is kept; the station says a MAC address or the like."""
    soc_frac: float | None = None
    max_soc_frac: float | None = None
    capacity_wh: float | None = None
    """BatteryCapacity; else EnergyImport.maxSet, which CHAdeMO fills with the pack's capacity."""
    target_energy_request_wh: float | None = None
    min_energy_request_wh: float | None = None
    max_energy_request_wh: float | None = None
    max_charge_power_w: float | None = None
    max_discharge_power_w: float | None = None
    departure_s: float | None = None


class EvseCapability(Struct, frozen=True, kw_only=True):
    """What discovery learned of one EVSE. `None` = the station did not say."""

    evse_id: EvseId
    control_mode: ControlMode
    reason: str
    max_discharge_power_w: float | None = None
    """The discharge rating that counts: the least of rated and configured, else what the EVSE says that it can do now."""
    max_stack_level: int | None = None
    operation_modes: tuple[str, ...] = ()
    rate_units: tuple[str, ...] = ()
    dynamic_profiles: bool | None = None
    max_offline_duration: bool | None = None
    energy_transfer_modes: tuple[str, ...] = ()
    rated_discharge_power_w: float | None = None
    """EVSE.DischargePower, maxLimit."""
    configured_discharge_power_w: float | None = None
    """EVSE.DischargePower, MaxSet."""
    max_charge_power_w: float | None = None
    """EVSE.Power, maxLimit."""
    assumed_capacity_wh: float | None = None
    """Capacity of the cars here, as the settings name it for a model that discharges on a negative limit and cannot tell."""
    supply_phases: int | None = None
    """EVSE.SupplyPhases, 1 to 3."""
    features: tuple[str, ...] = ()
    """Further SmartChargingCtrlr.SupportsFeature that are there: UseLocalTime, RandomizedDelay, LimitAtSoC, EvseSleep."""
    tx_profiles_persist: bool | None = None
    """SmartChargingCtrlr.ChargingProfilePersistence[TxProfile]; false = a reboot loses them."""
    max_periods: int | None = None
    """SmartChargingCtrlr.PeriodsPerSchedule."""
    max_profiles: int | None = None
    """SmartChargingCtrlr.Entries[ChargingProfiles], maxLimit; of the whole station."""
    max_external_constraints_id: int | None = None
    """Ids up to this one belong to external constraints (K01.FR.80, K01.FR.81)."""
    additional_purposes: tuple[str, ...] = ()
    """SmartChargingCtrlr.SupportedAdditionalPurposes: PriorityCharging, LocalGeneration."""
    setpoint_priority: str | None = None
    """Who wins over a setpoint: `CSMS`, or `ExternalSystem` (also spelled `ExternalControl`)."""
    external_control_signals: bool | None = None
    external_profiles_disallowed: bool | None = None
    """ExternalConstraintsProfileDisallowed: a local energy system acts only inside our ExternalLimits and ExternalSetpoint (Q05)."""
    limit_notices_with_schedules: bool | None = None
    limit_change_significance_frac: float | None = None
    service_renegotiation: bool | None = None
    """ISO15118Ctrlr.ServiceRenegotiationSupport: a session can be upgraded to bidirectional transfer (Q01)."""
    iso15118: bool | None = None
    names_cars: bool = False
    """It has the component ConnectedEV, whether a car stands there or not."""
    connected_ev: ConnectedEv | None = None

    @property
    def ampere_phases(self) -> int | None:
        """Phases over which a limit is told in A, where the EVSE takes none in W; None = it is told in W."""
        units = {unit.casefold() for unit in self.rate_units}
        if not units & {"a", "current"} or units & {"w", "power"}:
            return None
        return self.supply_phases if self.supply_phases in (1, 2, 3) else ALL_PHASES


class StationFacts(Struct, frozen=True, kw_only=True):
    """What discovery learned of a station as a whole, apart from its EVSEs. `None` = the station did not say."""

    measurands: tuple[str, ...] = ()
    """SampledDataCtrlr.TxUpdatedMeasurands in force."""
    setpoint_interval_s: float | None = None
    """V2XChargingCtrlr.TxUpdatedInterval[CentralSetpoint], where all EVSEs have the same."""
    aligned_interval_s: float | None = None
    aligned_measurands: tuple[str, ...] = ()
    tx_start_points: tuple[str, ...] = ()
    tx_stop_points: tuple[str, ...] = ()
    tx_resumption_timeout_s: float | None = None
    stops_on_invalid_token: bool | None = None
    heartbeat_interval_s: float | None = None
    ping_interval_s: float | None = None
    """OCPPCommCtrlr.WebSocketPingInterval; 0 = the station does not ping."""
    offline_threshold_s: float | None = None
    message_timeout_s: float | None = None
    message_attempts: int | None = None
    message_attempt_interval_s: float | None = None
    clock_offset_s: float | None = None
    """The station's clock minus ours, when it was read."""


Consent = Annotated[bool, Meta(description="The car may be discharged at all.", extra={"unit": "-"})]
Pausing = Annotated[
    bool, Meta(description="Charging of the car may be slowed or paused for an order of the mode `relative`.", extra={"unit": "-"})
]
MaxPause = Annotated[
    float,
    Meta(
        description="Longest that the car may be slowed or paused in one session altogether. Left out, only its departure bounds that, and "
        "a car of which it is not known how much it needs by when is not paused at all.",
        extra={"unit": "s"},
        ge=0,
    ),
]
VehicleModel = Annotated[
    str,
    Meta(
        description="Make and model of the car, in the same words for all of it: a new one begins with what was learned of others.",
        extra={"unit": "-"},
        max_length=64,
    ),
]
MinSoc = Annotated[float, Meta(description="State of charge below which the car is never discharged.", extra={"unit": "0..1"}, ge=0, le=1)]
TargetSoc = Annotated[
    float, Meta(description="State of charge wanted at departure when the car names none.", extra={"unit": "0..1"}, ge=0, le=1)
]
DepartureAfter = Annotated[
    float, Meta(description="Assumed stay after plug-in when the car names no departure.", extra={"unit": "s"}, gt=0)
]
TransferByEvseAlone = Annotated[
    bool,
    Meta(description="The EVSE model discharges without an agreed bidirectional transfer (CHAdeMO and the like).", extra={"unit": "-"}),
]


Blackouts = Annotated[
    tuple[str, ...], Meta(description="Weekly local times without discharge, such as `mon-fri 06:30-09:00`.", extra={"unit": "-"})
]
TimeZone = Annotated[
    str, Meta(description="IANA name of the time zone in which blackouts, days and years count.", extra={"unit": "-"}, min_length=1)
]
SessionCap = Annotated[float, Meta(description="Most energy discharged in one session, by the register.", extra={"unit": "Wh"}, ge=0)]
DayCap = Annotated[float, Meta(description="Most energy discharged in a local day.", extra={"unit": "Wh"}, ge=0)]
YearCap = Annotated[float, Meta(description="Most energy discharged in a calendar year.", extra={"unit": "Wh"}, ge=0)]
CycleCap = Annotated[
    float,
    Meta(description="Most equivalent full cycles in a calendar year: energy discharged over capacity.", extra={"unit": "-"}, ge=0),
]


WearCost = Annotated[
    float, Meta(description="What wear of the battery costs, a kWh discharged; for the policy economic.", extra={"unit": "EUR/kWh"}, ge=0)
]


class DriverTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a driver, site or contract agreed to. The narrower scope wins field by field."""

    consent: Consent = False
    pausing: Pausing = False
    max_pause_s: MaxPause | None = None
    min_soc_frac: MinSoc = 0.3
    target_soc_frac: TargetSoc = 0.8
    departure_after_s: DepartureAfter = 3600.0
    transfer_by_evse_alone: TransferByEvseAlone = False
    blackouts: Blackouts = ()
    timezone: TimeZone = "UTC"
    max_session_discharge_wh: SessionCap | None = None
    max_day_discharge_wh: DayCap | None = None
    max_year_discharge_wh: YearCap | None = None
    max_year_cycles: CycleCap | None = None
    wear_cost_per_kwh: WearCost | None = None
    vehicle_model: VehicleModel = ""

    def __post_init__(self) -> None:
        """Raises ValueError for a blackout or a time zone that cannot be read."""
        for window in self.blackouts:
            parse_window(window)
        zone_of(self.timezone)


class GridConnection(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a feeder and a site have in common. A limit that is left out does not exist."""

    max_export_power_w: Annotated[
        PowerLimit | None, Meta(description="Most power that may flow to the grid here.", extra={"unit": "W"})
    ] = None
    max_import_power_w: Annotated[
        PowerLimit | None, Meta(description="Most power that may be taken from the grid here.", extra={"unit": "W"})
    ] = None
    uncontrolled_load_w: Annotated[
        float,
        Meta(
            description="What else draws here, beside what stands below it; it makes room for export (negative: something generates).",
            extra={"unit": "W"},
        ),
    ] = 0.0
    uncontrolled_load_p5_w: Annotated[
        tuple[float, ...],
        Meta(
            description="What else draws here at least, in even steps over the day from 00:00 UTC; 24 values are hours.",
            extra={"unit": "W"},
        ),
    ] = ()
    uncontrolled_load_p95_w: Annotated[
        tuple[float, ...],
        Meta(
            description="What else draws here at most, in even steps over the day from 00:00 UTC; 24 values are hours.", extra={"unit": "W"}
        ),
    ] = ()


class Feeder(GridConnection, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line or transformer that several sites hang on."""

    feeder_id: Annotated[FeederId, Meta(description="Name of the feeder.", extra={"unit": "-"}, min_length=1, max_length=64)]
    parent: Annotated[FeederId, Meta(description="The feeder above it; empty = none.", extra={"unit": "-"}, max_length=64)] = FeederId("")


class EvsePhase(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """On which phases of its site an EVSE is."""

    station_id: Annotated[StationId, Meta(description="The station.", extra={"unit": "-"}, min_length=1)]
    evse_id: Annotated[EvseId, Meta(description="Its EVSE; 0 = all of them.", extra={"unit": "-"}, ge=0)] = EvseId(0)
    phases: Annotated[PhaseName, Meta(description="L1, L2, L3, three_phase or unknown.", extra={"unit": "-"})]


class Site(GridConnection, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One grid connection of stations."""

    site_id: Annotated[SiteId, Meta(description="Name of the site, as stations name it.", extra={"unit": "-"}, min_length=1, max_length=64)]
    feeder: Annotated[FeederId, Meta(description="The feeder that it hangs on; empty = none.", extra={"unit": "-"}, max_length=64)] = (
        FeederId("")
    )
    max_export_power_per_phase_w: Annotated[
        PowerLimit | None, Meta(description="Most power that may flow to the grid on each phase.", extra={"unit": "W"})
    ] = None
    max_import_power_per_phase_w: Annotated[
        PowerLimit | None, Meta(description="Most power that may be taken from the grid on each phase.", extra={"unit": "W"})
    ] = None
    phases: Annotated[
        PhaseName,
        Meta(description="Phases of EVSEs that evse_phases does not name; unknown = each counts in full on all.", extra={"unit": "-"}),
    ] = "unknown"
    evse_phases: Annotated[
        tuple[EvsePhase, ...], Meta(description="Phases of single EVSEs: station_id, evse_id, phases.", extra={"unit": "-"})
    ] = ()
    pools: Annotated[
        tuple[PoolId, ...], Meta(description="Pools that the site belongs to, beside `all`; orders name them.", extra={"unit": "-"})
    ] = ()

    def in_pool(self, pool: PoolId) -> bool:
        """Every site is in the pool `all`."""
        return pool == ALL_SITES or pool in self.pools


class StationRegistration(Struct, frozen=True, kw_only=True):
    """A station that may connect. `password_hash` None = no password asked (trusted network only)."""

    station_id: StationId
    site_id: SiteId
    password_hash: str | None = None
    pending_password_hashes: tuple[str, ...] = ()
    """New passwords that may have reached the station; each is accepted, and the one that it shows makes all others void."""
    added_at_s: float = 0.0
    accepted_unregistered: bool = False
    security_profile: int = 1
    """The lowest security profile that it may come in by; a stolen password is worth nothing where it is 3."""
    serial_number: str | None = None
    """Its certificate (profile 3) may name this in place of its identity, and its BootNotification must then say the same."""


class StationIdentity(Struct, frozen=True, kw_only=True):
    """What the station said of itself in BootNotification."""

    vendor_name: str = ""
    model: str = ""
    serial_number: str = ""
    firmware_version: str = ""

    @classmethod
    def unknown(cls) -> Self:
        """Before the first boot."""
        return cls()
