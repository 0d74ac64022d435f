"""Who else steers an EVSE: what was found there, who has priority at a site, and what must survive a crash of it (OCPP 2.1 K09, 3.5)."""

from enum import IntEnum, StrEnum
from math import nan
from typing import NamedTuple

from msgspec import Struct

from counterflow.domain.ids import EvseId, ProfileId, SiteId, StationId, TransactionId

TX_PROFILE = "TxProfile"
"""The purpose that competes with ours: only the leading profile of the transaction slot counts (4.3)."""


class Conflict(IntEnum):
    """Why other actors keep a session out of dispatch; NONE is the only one that allows it. The words are those of `Reason`."""

    NONE = 0
    UNSEEN = 1
    """The station has not told yet which profiles are installed, since this session began."""
    NOT_TELLING = 2
    """The station cannot tell, and the settings do not allow to discharge there."""
    FOREIGN_PROFILE = 3
    OTHERS_LEAD = 4
    PRIORITY_UNCLEAR = 5
    NO_LEVEL_ABOVE = 6
    EXTERNAL_SETPOINT = 7
    CONTRADICTS_ITSELF = 8


class Leader(StrEnum):
    """Who has priority at a site, as its operator confirmed it."""

    US = "us"
    THEM = "them"


class Telling(StrEnum):
    """Whether a station tells which profiles are installed."""

    UNKNOWN = "unknown"
    TOLD = "told"
    UNSUPPORTED = "unsupported"
    """It answered GetChargingProfiles with NotSupported or NotImplemented."""


class LimitPeriod(Struct, frozen=True, kw_only=True):
    """A stretch of another actor's limit; None = no end on that side. `discharge_w` is a magnitude, None = it says nothing of discharge."""

    from_s: float | None = None
    to_s: float | None = None
    discharge_w: float | None = None
    external_setpoint: bool = False
    """In this stretch the station follows a setpoint that is not ours (operation mode ExternalSetpoint)."""


class DischargeCap(NamedTuple):
    """What others allow of a discharge, magnitudes in W: now, and from `ahead_s` on within the hour. NaN = nothing limits it."""

    now_w: float = nan
    ahead_w: float = nan
    ahead_s: float = nan


class ForeignLimit(Struct, frozen=True, kw_only=True):
    """A limit that somebody told (NotifyChargingLimit) or that the inverter runs under (DER control). `evse_id` 0 = the whole station."""

    evse_id: EvseId
    source: str
    periods: tuple[LimitPeriod, ...]
    at_s: float


class CompositePeriod(Struct, frozen=True, kw_only=True):
    """A stretch of the composite schedule in W: setpoint import positive, the limits magnitudes; None = not said."""

    from_s: float
    to_s: float
    mode: str
    setpoint_w: float | None = None
    charge_limit_w: float | None = None
    discharge_limit_w: float | None = None


class DerLimit(Struct, frozen=True, kw_only=True):
    """LimitMaxDischarge: the share of the rated discharge power that the inverter gives at most. None = no end on that side."""

    control_id: str
    share: float
    from_s: float | None = None
    to_s: float | None = None


class InstalledProfile(Struct, frozen=True, kw_only=True):
    """One profile as ReportChargingProfiles lists it, ours or another's."""

    profile_id: ProfileId
    purpose: str
    stack_level: int
    kind: str = ""
    transaction_id: TransactionId = TransactionId("")
    limits: tuple[LimitPeriod, ...] = ()
    """What it forbids over time; only external constraints can (4.3)."""


class ForeignProfile(Struct, frozen=True, kw_only=True):
    """A profile that is not ours, where it was found and when. `evse_id` 0 = the whole station."""

    evse_id: EvseId
    profile: InstalledProfile
    source: str
    seen_at_s: float


class ProvedMeter(NamedTuple):
    """An EVSE whose meter agreed with itself at its first discharge, with this firmware."""

    evse_id: EvseId
    firmware_version: str


class KnownProfiles(Struct, frozen=True, kw_only=True):
    """What a station has told of the profiles that are not ours (a document, one a station)."""

    station_id: StationId
    telling: Telling = Telling.UNKNOWN
    at_s: float = 0.0
    foreign: tuple[ForeignProfile, ...] = ()
    seen: tuple[TransactionId, ...] = ()
    """The transactions that were open when the station was asked, and whose profiles are therefore known."""
    text: str = ""
    """Why it does not tell, as it said it."""
    limits: tuple[ForeignLimit, ...] = ()
    proved_meters: tuple[ProvedMeter, ...] = ()


class PriorityEntry(Struct, frozen=True, kw_only=True):
    """One statement of the site's operator; `leader` None = an earlier one is revoked."""

    at_s: float
    by: str
    leader: Leader | None
    note: str = ""


class SitePriority(Struct, frozen=True, kw_only=True):
    """Who has priority at a site, and everything that was ever said of it, oldest first (a document, one a site)."""

    site_id: SiteId
    entries: tuple[PriorityEntry, ...] = ()

    @property
    def leader(self) -> Leader | None:
        """What holds now; None = nobody has confirmed."""
        return self.entries[-1].leader if self.entries else None


class HeldOut(Struct, frozen=True, kw_only=True):
    """A station that contradicts itself and is not dispatched until a person releases it (a document, one a station)."""

    station_id: StationId
    at_s: float
    text: str
