"""What can be chosen about the stand-in world. The defaults are the reference plant that every published figure is measured on."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from counterflow.sim.meter import SUPPORTED_MEASURANDS


def _unit(unit: str) -> dict[str, str]:
    return {"unit": unit}


class PlantSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The cars: how they follow setpoints, how they are metered, how they fail. Drawn per car unless it says otherwise."""

    delay_min_s: Annotated[
        float, Meta(description="Shortest time between a setpoint's arrival and the car's reaction.", extra=_unit("s"), ge=0)
    ] = 2.0
    delay_max_s: Annotated[
        float, Meta(description="Longest time between a setpoint's arrival and the car's reaction.", extra=_unit("s"), ge=0)
    ] = 10.0
    network_median_s: Annotated[float, Meta(description="Median of the lognormal network delay of a command.", extra=_unit("s"), ge=0)] = (
        0.2
    )
    network_sigma: Annotated[
        float, Meta(description="Width of the lognormal network delay (of its logarithm).", extra=_unit("-"), ge=0)
    ] = 0.5
    ramp_min_w_per_s: Annotated[float, Meta(description="Slowest ramp.", extra=_unit("W/s"), gt=0)] = 500.0
    ramp_max_w_per_s: Annotated[float, Meta(description="Fastest ramp.", extra=_unit("W/s"), gt=0)] = 5_000.0
    dead_band_w: Annotated[float, Meta(description="A setpoint change smaller than this is ignored.", extra=_unit("W"), ge=0)] = 200.0
    gain_mean: Annotated[float, Meta(description="Mean share of a discharge setpoint that the car delivers.", extra=_unit("-"), gt=0)] = (
        0.97
    )
    gain_sd: Annotated[float, Meta(description="Spread of that share over the cars.", extra=_unit("-"), ge=0)] = 0.02
    bias_mean_w: Annotated[float, Meta(description="Mean power that is missing from every discharge.", extra=_unit("W"))] = 150.0
    bias_sd_w: Annotated[float, Meta(description="Spread of the missing power over the cars.", extra=_unit("W"), ge=0)] = 150.0
    derated_share: Annotated[
        float, Meta(description="Share of cars that cannot reach their nameplate power.", extra=_unit("0..1"), ge=0, le=1)
    ] = 0.03
    derating_min: Annotated[
        float, Meta(description="Lowest share of nameplate that a derated car reaches.", extra=_unit("0..1"), ge=0, le=1)
    ] = 0.5
    derating_max: Annotated[
        float, Meta(description="Highest share of nameplate that a derated car reaches.", extra=_unit("0..1"), ge=0, le=1)
    ] = 0.9
    deaf_share: Annotated[float, Meta(description="Share of cars that never respond to a setpoint.", extra=_unit("0..1"), ge=0, le=1)] = (
        0.02
    )
    soc_error_sd: Annotated[float, Meta(description="Error of a car's own state of charge.", extra=_unit("0..1"), ge=0, le=1)] = 0.02
    attrition_per_h: Annotated[
        float, Meta(description="Share of the cars that leave unannounced in an hour.", extra=_unit("1/h"), ge=0)
    ] = 0.05
    silent_share: Annotated[
        float, Meta(description="Share of the leaving cars that go without a message.", extra=_unit("0..1"), ge=0, le=1)
    ] = 0.2
    command_loss: Annotated[
        float, Meta(description="Share of accepted commands that never reach the car.", extra=_unit("0..1"), ge=0, le=1)
    ] = 0.01
    meter_loss: Annotated[float, Meta(description="Share of meter samples that are never sent.", extra=_unit("0..1"), ge=0, le=1)] = 0.01
    meter_noise_frac: Annotated[float, Meta(description="Meter noise, relative part.", extra=_unit("-"), ge=0)] = 0.005
    meter_noise_w: Annotated[float, Meta(description="Meter noise, absolute part.", extra=_unit("W"), ge=0)] = 30.0
    meter_latency_s: Annotated[float, Meta(description="Shortest time from a sample to its sending.", extra=_unit("s"), ge=0)] = 0.2
    meter_latency_mean_s: Annotated[float, Meta(description="Mean of the exponential part of that time.", extra=_unit("s"), ge=0)] = 0.8
    charge_efficiency: Annotated[
        float, Meta(description="Energy into the battery per energy from the grid.", extra=_unit("-"), gt=0, le=1)
    ] = 0.92
    discharge_efficiency: Annotated[
        float, Meta(description="Energy to the grid per energy out of the battery.", extra=_unit("-"), gt=0, le=1)
    ] = 0.92
    taper_from_soc: Annotated[
        float, Meta(description="State of charge from which charging power falls.", extra=_unit("0..1"), ge=0, le=1)
    ] = 0.8
    taper_slope: Annotated[
        float, Meta(description="Share of charging power lost per unit of state of charge above that.", extra=_unit("-"), ge=0)
    ] = 3.75

    @classmethod
    def modern(cls) -> "PlantSettings":
        """Cars of the ISO 15118-20 generation: delay 0.5 to 2 s, ramps of 5 to 20 kW/s; all else as in the reference plant."""
        return cls(delay_min_s=0.5, delay_max_s=2.0, ramp_min_w_per_s=5_000.0, ramp_max_w_per_s=20_000.0)

    @classmethod
    def ideal(cls) -> "PlantSettings":
        """Cars that do at once and exactly what they are told, for tests of everything else."""
        return cls(
            delay_min_s=0.0,
            delay_max_s=0.0,
            network_median_s=0.0,
            ramp_min_w_per_s=1e6,
            ramp_max_w_per_s=1e6,
            dead_band_w=0.0,
            gain_mean=1.0,
            gain_sd=0.0,
            bias_mean_w=0.0,
            bias_sd_w=0.0,
            derated_share=0.0,
            deaf_share=0.0,
            soc_error_sd=0.0,
            attrition_per_h=0.0,
            command_loss=0.0,
            meter_loss=0.0,
            meter_noise_frac=0.0,
            meter_noise_w=0.0,
            meter_latency_s=0.0,
            meter_latency_mean_s=0.0,
        )


class StationSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One station: what it says of itself and how it behaves on the wire."""

    vendor_name: Annotated[str, Meta(description="vendorName of BootNotification.", extra=_unit("-"), max_length=50)] = "Counterflow"
    model: Annotated[str, Meta(description="model of BootNotification.", extra=_unit("-"), max_length=20)] = "SimV2X"
    firmware_version: Annotated[str, Meta(description="firmwareVersion of BootNotification.", extra=_unit("-"), max_length=50)] = "1.0"
    meter_interval_s: Annotated[
        int, Meta(description="Sampling interval until the CSMS sets another (TxUpdatedInterval).", extra=_unit("s"), ge=0)
    ] = 10
    signed_import: Annotated[
        bool, Meta(description="Report discharge as negative Power.Active.Import, as EVerest does.", extra=_unit("-"))
    ] = False
    event_status: Annotated[
        bool, Meta(description="Report connectors by NotifyEvent in place of StatusNotification.", extra=_unit("-"))
    ] = False
    operation_modes: Annotated[tuple[str, ...], Meta(description="V2XChargingCtrlr.SupportedOperationModes.", extra=_unit("-"))] = (
        "ChargingOnly",
        "CentralSetpoint",
        "CentralFrequency",
        "Idle",
    )
    rate_units: Annotated[tuple[str, ...], Meta(description="SmartChargingCtrlr.RateUnit.", extra=_unit("-"))] = ("W", "A")
    max_stack_level: Annotated[int, Meta(description="SmartChargingCtrlr.ProfileStackLevel.", extra=_unit("-"), ge=0)] = 20
    max_profiles: Annotated[int, Meta(description="SmartChargingCtrlr.Entries[ChargingProfiles].", extra=_unit("-"), ge=1)] = 20
    max_periods: Annotated[int, Meta(description="SmartChargingCtrlr.PeriodsPerSchedule.", extra=_unit("-"), ge=1)] = 24
    max_external_constraints_id: Annotated[int, Meta(description="SmartChargingCtrlr.MaxExternalConstraintsId.", extra=_unit("-"))] = 0
    dynamic_profiles: Annotated[bool, Meta(description="SmartChargingCtrlr.SupportsFeature[DynamicProfiles].", extra=_unit("-"))] = True
    max_offline_duration: Annotated[bool, Meta(description="SmartChargingCtrlr.SupportsFeature[MaxOfflineDuration].", extra=_unit("-"))] = (
        True
    )
    plain_features: Annotated[
        bool, Meta(description="Features are spelled SupportsDynamicProfiles and so on, as the appendix does.", extra=_unit("-"))
    ] = False
    additional_purposes: Annotated[
        tuple[str, ...], Meta(description="SmartChargingCtrlr.SupportedAdditionalPurposes.", extra=_unit("-"))
    ] = ()
    setpoint_priority: Annotated[str, Meta(description="SmartChargingCtrlr.SetpointPriority.", extra=_unit("-"))] = "ExternalSystem"
    known_measurands: Annotated[
        tuple[str, ...], Meta(description="Measurands that it can sample: the values lists of its variables.", extra=_unit("-"))
    ] = SUPPORTED_MEASURANDS
    items_per_message: Annotated[int, Meta(description="DeviceDataCtrlr.ItemsPerMessage; more are refused.", extra=_unit("-"), ge=1)] = 50
    bytes_per_message: Annotated[
        int, Meta(description="DeviceDataCtrlr.BytesPerMessage; more are refused, 0 = no limit.", extra=_unit("B"), ge=0)
    ] = 0
    lacks: Annotated[
        tuple[str, ...],
        Meta(description="Components or variables that it does not have, such as V2XChargingCtrlr.TxUpdatedInterval.", extra=_unit("-")),
    ] = ()
    unknown_actions: Annotated[
        tuple[str, ...], Meta(description="Actions that it answers with NotSupported, such as GetVariables.", extra=_unit("-"))
    ] = ()
    reboot_required: Annotated[
        tuple[str, ...], Meta(description="Variables that it changes only at its next reboot.", extra=_unit("-"))
    ] = ()
    chademo: Annotated[
        bool, Meta(description="Its cars speak CHAdeMO: no charging needs are announced, ConnectedEV says what is known.", extra=_unit("-"))
    ] = False
    negative_limits: Annotated[
        bool, Meta(description="Take a negative limit as a discharge setpoint, as some older stations do.", extra=_unit("-"))
    ] = False
    meter_fault: Annotated[
        Literal["none", "power", "registers", "both"],
        Meta(
            description="What of the meter runs the wrong way round: power, registers (import for export), or both.",
            extra=_unit("-"),
        ),
    ] = "none"
    profile_rate_limit_s: Annotated[
        float, Meta(description="Least time between two profiles for one EVSE; 0 = none.", extra=_unit("s"), ge=0)
    ] = 0.0
    unread_share: Annotated[
        float, Meta(description="Share of the calls about charging profiles that it never reads.", extra=_unit("0..1"), ge=0, le=1)
    ] = 0.0
    unanswered_share: Annotated[
        float,
        Meta(
            description="Share of the calls about charging profiles that it carries out without an answer.", extra=_unit("0..1"), ge=0, le=1
        ),
    ] = 0.0
    call_timeout_s: Annotated[float, Meta(description="How long the station waits for an answer.", extra=_unit("s"), gt=0)] = 30.0
    message_attempts: Annotated[int, Meta(description="Tries of an unanswered TransactionEvent.", extra=_unit("-"), ge=1)] = 3
    message_attempt_interval_s: Annotated[float, Meta(description="Wait before try n+1, times n.", extra=_unit("s"), ge=0)] = 10.0
    queue_limit: Annotated[
        int, Meta(description="TransactionEvents kept while offline; beyond it the oldest Updated go first.", extra=_unit("-"), ge=8)
    ] = 5_000
    local_limit_w: Annotated[
        float | None, Meta(description="Cap on charging where no profile applies; none = the car's and EVSE's own.", extra=_unit("W"))
    ] = None


class MixSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which cars stand at the stations.

    Powers are the common European ratings. With these shares a car has 9.1 kW on average, so that 200 stations with about 93 % of
    the cars free to discharge offer some 1.7 MW.
    """

    sizes_w: Annotated[tuple[float, ...], Meta(description="Ratings of EVSE and car, both directions.", extra=_unit("W"))] = (
        3_700.0,
        7_400.0,
        11_000.0,
        22_000.0,
    )
    size_shares: Annotated[tuple[float, ...], Meta(description="Share of each rating.", extra=_unit("0..1"))] = (0.15, 0.45, 0.33, 0.07)
    min_power_frac: Annotated[
        float, Meta(description="Least power of a car, either direction, as a share of its rating.", extra=_unit("0..1"), ge=0, le=1)
    ] = 0.1
    capacity_min_wh: Annotated[float, Meta(description="Smallest battery.", extra=_unit("Wh"), gt=0)] = 40_000.0
    capacity_max_wh: Annotated[float, Meta(description="Largest battery.", extra=_unit("Wh"), gt=0)] = 90_000.0
    soc_min: Annotated[float, Meta(description="Lowest state of charge at the start.", extra=_unit("0..1"), ge=0, le=1)] = 0.55
    soc_max: Annotated[float, Meta(description="Highest state of charge at the start.", extra=_unit("0..1"), ge=0, le=1)] = 0.95
    floor_soc: Annotated[
        float, Meta(description="State of charge below which no car may be discharged.", extra=_unit("0..1"), ge=0, le=1)
    ] = 0.3
    target_soc_min: Annotated[float, Meta(description="Lowest target at departure.", extra=_unit("0..1"), ge=0, le=1)] = 0.6
    target_soc_max: Annotated[float, Meta(description="Highest target at departure.", extra=_unit("0..1"), ge=0, le=1)] = 0.8
    departure_min_s: Annotated[float, Meta(description="Shortest stay.", extra=_unit("s"), gt=0)] = 7_200.0
    departure_max_s: Annotated[float, Meta(description="Longest stay.", extra=_unit("s"), gt=0)] = 36_000.0
    tight_share: Annotated[
        float, Meta(description="Share of cars whose departure leaves no time to discharge.", extra=_unit("0..1"), ge=0, le=1)
    ] = 0.06
    dc_share: Annotated[float, Meta(description="Share of DC stations; the rest are AC.", extra=_unit("0..1"), ge=0, le=1)] = 0.5
    scheduled_every: Annotated[
        int, Meta(description="The car of every so manieth station negotiates ScheduledControl; 0 = none does.", extra=_unit("-"), ge=0)
    ] = 0


class WorldSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The world on a virtual clock."""

    stations: Annotated[int, Meta(description="Number of stations, one EVSE and one car each.", extra=_unit("-"), ge=1)] = 200
    prefix: Annotated[str, Meta(description="Station ids are this and a number.", extra=_unit("-"))] = "SIM"
    line_latency_s: Annotated[float, Meta(description="Time of a frame on the wire, either way.", extra=_unit("s"), ge=0)] = 0.01
    connect_over_s: Annotated[float, Meta(description="The stations connect spread over this time.", extra=_unit("s"), ge=0)] = 5.0
    plant: Annotated[PlantSettings, Meta(description="How the cars behave.", extra=_unit("-"))] = PlantSettings()
    station: Annotated[StationSettings, Meta(description="How the stations behave.", extra=_unit("-"))] = StationSettings()
    mix: Annotated[MixSettings, Meta(description="Which cars there are.", extra=_unit("-"))] = MixSettings()


class FleetClientSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same fleet as real WebSocket clients."""

    url: Annotated[
        str, Meta(description="Endpoint of the CSMS without the station id, such as ws://127.0.0.1:9000/ocpp.", extra=_unit("-"))
    ]
    stations: Annotated[int, Meta(description="Number of stations, one EVSE and one car each.", extra=_unit("-"), ge=1)] = 200
    seed: Annotated[int, Meta(description="Same seed, same cars.", extra=_unit("-"), ge=0)] = 1
    prefix: Annotated[str, Meta(description="Station ids are this and a number.", extra=_unit("-"))] = "SIM"
    password: Annotated[
        str | None, Meta(description="Password of every station (HTTP Basic), if the CSMS asks for one.", extra=_unit("-"))
    ] = None
    passwords: Annotated[dict[str, str], Meta(description="Passwords by station id; they win over `password`.", extra=_unit("-"))] = {}
    authority_file: Annotated[
        str | None,
        Meta(description="PEM file of the authority of a wss: server; none = the machine's own.", extra=_unit("-")),
    ] = None
    certificates_dir: Annotated[
        str | None, Meta(description="Folder of `<station id>.pem`, certificate and key, that stations show (profile 3).", extra=_unit("-"))
    ] = None
    connect_rate_per_s: Annotated[float, Meta(description="New connections per second.", extra=_unit("1/s"), gt=0)] = 500.0
    back_off_min_s: Annotated[
        float, Meta(description="First wait before a reconnect; it doubles up to the longest.", extra=_unit("s"), gt=0)
    ] = 1.0
    back_off_max_s: Annotated[float, Meta(description="Longest wait before a reconnect.", extra=_unit("s"), gt=0)] = 15.0
    deflate: Annotated[bool, Meta(description="Offer permessage-deflate.", extra=_unit("-"))] = False
    plant: Annotated[PlantSettings, Meta(description="How the cars behave.", extra=_unit("-"))] = PlantSettings()
    station: Annotated[StationSettings, Meta(description="How the stations behave.", extra=_unit("-"))] = StationSettings()
    mix: Annotated[MixSettings, Meta(description="Which cars there are.", extra=_unit("-"))] = MixSettings()
