"""What there is: sites, pools, stations, EVSEs, and what a driver or site agreed to."""

from enum import IntEnum
from typing import Annotated, Self

from msgspec import Meta, Struct

from counterflow.domain.ids import ALL_SITES, EvseId, PoolId, SiteId, StationId


class ControlMode(IntEnum):
    """How an EVSE can be told to discharge (ocpp: V2XChargingCtrlr, SmartChargingCtrlr)."""

    UNKNOWN = 0
    NONE = 1
    SETPOINT = 2
    DYNAMIC = 3
    NEGATIVE_LIMIT = 4


class EvseCapability(Struct, frozen=True, kw_only=True):
    """What discovery learned of one EVSE. `None` = the station did not say."""

    evse_id: EvseId
    control_mode: ControlMode
    reason: str
    max_discharge_power_w: float | None = None
    max_stack_level: int | None = None
    operation_modes: tuple[str, ...] = ()
    rate_units: tuple[str, ...] = ()
    dynamic_profiles: bool | None = None
    max_offline_duration: bool | None = None


class DriverTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a driver, site or contract agreed to. The narrower scope wins field by field."""

    consent: Annotated[bool, Meta(description="The car may be discharged at all.", extra={"unit": "-"})] = False
    min_soc_frac: Annotated[
        float,
        Meta(description="State of charge below which the car is never discharged.", extra={"unit": "0..1"}, ge=0, le=1),
    ] = 0.3
    target_soc_frac: Annotated[
        float,
        Meta(
            description="State of charge wanted at departure when the car names none.",
            extra={"unit": "0..1"},
            ge=0,
            le=1,
        ),
    ] = 0.8
    departure_after_s: Annotated[
        float,
        Meta(description="Assumed stay after plug-in when the car names no departure.", extra={"unit": "s"}, gt=0),
    ] = 3600.0
    transfer_by_evse_alone: Annotated[
        bool,
        Meta(
            description="The EVSE model discharges without an agreed bidirectional transfer (CHAdeMO and the like).",
            extra={"unit": "-"},
        ),
    ] = False


class Site(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One grid connection. `None` limits are unlimited."""

    site_id: SiteId
    max_export_power_w: float | None = None
    max_import_power_w: float | None = None
    uncontrolled_load_w: float = 0.0
    pools: tuple[PoolId, ...] = ()

    def in_pool(self, pool: PoolId) -> bool:
        """Every site is in the pool `all`."""
        return pool == ALL_SITES or pool in self.pools


class StationRegistration(Struct, frozen=True, kw_only=True):
    """A station that may connect. `password_hash` None = no password asked (trusted network only)."""

    station_id: StationId
    site_id: SiteId
    password_hash: str | None = None
    added_at_s: float = 0.0
    accepted_unregistered: bool = False


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
