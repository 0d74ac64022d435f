"""What drivers, vehicles and contracts agreed to, how much energy was taken from them, and what a driver says for one session."""

from enum import StrEnum
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from counterflow.domain.blackouts import parse_window, zone_of
from counterflow.domain.ids import SessionUid
from counterflow.domain.resources import (
    Blackouts,
    Consent,
    CycleCap,
    DayCap,
    DepartureAfter,
    DriverTerms,
    MaxPause,
    MinSoc,
    Pausing,
    SessionCap,
    TargetSoc,
    TimeZone,
    TransferByEvseAlone,
    VehicleModel,
    WearCost,
    YearCap,
)

Contract = Annotated[
    str, Meta(description="Contract that the driver or vehicle belongs to.", extra={"unit": "-"}, min_length=1, max_length=64)
]


class Scope(StrEnum):
    """Whom an agreement is about."""

    CONTRACT = "contract"
    DRIVER = "driver"
    VEHICLE = "vehicle"


class PartialTerms(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of `DriverTerms` that a site, contract, driver or vehicle sets; what is left out comes from the wider scope.

    Caps are another matter: each scope's own hold at the same time, and each counts its own subject's energy.
    """

    consent: Consent | None = None
    pausing: Pausing | None = None
    max_pause_s: MaxPause | None = None
    min_soc_frac: MinSoc | None = None
    target_soc_frac: TargetSoc | None = None
    departure_after_s: DepartureAfter | None = None
    transfer_by_evse_alone: TransferByEvseAlone | None = None
    blackouts: Blackouts | None = None
    timezone: TimeZone | None = None
    max_session_discharge_wh: SessionCap | None = None
    max_day_discharge_wh: DayCap | None = None
    max_year_discharge_wh: YearCap | None = None
    max_year_cycles: CycleCap | None = None
    wear_cost_per_kwh: WearCost | None = None
    vehicle_model: VehicleModel | None = None
    contract: Contract | None = None

    def __post_init__(self) -> None:
        """Raises ValueError for a blackout or a time zone that cannot be read."""
        for window in self.blackouts or ():
            parse_window(window)
        if self.timezone is not None:
            zone_of(self.timezone)


class Agreement(NamedTuple):
    """What is to be agreed with whom; `identifier` in clear, a label of None keeps the one that there is."""

    scope: Scope
    identifier: str
    label: str | None
    terms: PartialTerms


class DriverRecord(Struct, frozen=True, kw_only=True):
    """An agreement as it is stored: `subject` is a pseudonym of the token or EVCCID, or the name of the contract."""

    scope: Scope
    subject: str
    terms: PartialTerms
    label: str = ""
    changed_at_s: float = 0.0
    changed_by: str = ""


class EnergyCap(Struct, frozen=True, kw_only=True):
    """What one account may still be asked; None = not capped. `account` names who counts."""

    account: str
    total_wh: float | None = None
    day_wh: float | None = None
    year_wh: float | None = None
    year_cycles: float | None = None

    @property
    def is_bound(self) -> bool:
        """There is any cap at all."""
        return any(limit is not None for limit in (self.total_wh, self.day_wh, self.year_wh, self.year_cycles))


class AgreedTerms(DriverTerms, frozen=True, kw_only=True):
    """The terms of one session, narrowed, with every cap that holds for it."""

    caps: tuple[EnergyCap, ...] = ()
    authorized: bool | None = None
    """What the authorization of the driver said of discharge; None = nobody was asked. False takes the consent back."""


class AccountRecord(Struct, frozen=True, kw_only=True):
    """Energy discharged for one account by the registers, AC side, and up to which register reading each session is counted.

    Counters and readings are stored together, so nothing is counted twice or left out, whenever the process dies.
    """

    account: str
    day: str = ""
    day_wh: float = 0.0
    year_wh: float = 0.0
    year_cycles: float = 0.0
    total_wh: float = 0.0
    recent: dict[str, tuple[float, float]] = {}
    """Of each of the last 30 local days: energy given, and energy that could have been given while dispatches held the car, Wh."""
    counted: dict[SessionUid, float] = {}

    @property
    def given_share(self) -> float:
        """Energy given over energy offered in the last 30 days; NaN where nothing was offered."""
        offered_wh = sum(offered for _, offered in self.recent.values())
        return sum(given for given, _ in self.recent.values()) / offered_wh if offered_wh > 0.0 else float("nan")


class Upgrade(StrEnum):
    """How far the one offer of a session that began charging only has come (NotifyAllowedEnergyTransfer). UNKNOWN = no answer in time."""

    NONE = ""
    OFFERED = "offered"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNSUPPORTED = "unsupported"
    UNKNOWN = "unknown"


class SessionOverride(Struct, frozen=True, kw_only=True):
    """What a driver says for one session; it comes before all terms."""

    stop: bool = False
    departure_s: float | None = None
    min_soc_frac: float | None = None
    """At least so much stays in the battery; it never lowers what is agreed."""
    at_s: float = 0.0
    by: str = ""
