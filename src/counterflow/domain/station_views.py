"""Stations as people and machines outside see them, and parts of their list. Discharge power is positive here; unknown is None."""

from enum import StrEnum
from typing import Any

from msgspec import Struct

from counterflow.domain.conflicts import ForeignProfile
from counterflow.domain.resources import EvseCapability, StationFacts, StationIdentity
from counterflow.domain.security_views import SecurityEventView
from counterflow.domain.station_settings import ChangedSetting


class FrameView(Struct, frozen=True, kw_only=True):
    """One raw OCPP frame, secrets masked and identifiers of people and cars under their pseudonyms."""

    at_s: float
    direction: str
    """`in` = from the station."""
    text: str


class ProfileView(Struct, frozen=True, kw_only=True):
    """A charging profile that may be at a station because of us. Discharge positive, a limit to charging negative."""

    profile_id: int
    evse_id: int
    transaction_id: str
    kind: str
    state: str
    """`placing`, `placed`, `unsure`, or `clearing`: it is to go, and stays in the ledger until it surely has."""
    power_w: float
    placed_at_s: float
    discharge_until_s: float
    dispatch_id: str | None


class StationView(Struct, frozen=True, kw_only=True):
    """One station."""

    station_id: str
    site_id: str
    registered: bool
    connected: bool
    subprotocol: str | None
    identity: StationIdentity
    last_seen_s: float | None
    evses: tuple[EvseCapability, ...]
    meter_interval_s: float | None
    refusals: tuple[str, ...]
    sessions: int
    profiles: int
    password_set: bool
    security_profile: int = 1
    """The lowest that it may come in by."""
    facts: StationFacts = StationFacts()
    discovered_at_s: float | None = None
    outdated: str = ""
    """Why what was learned is void; "" = it is not."""
    hands_off: bool = False
    awaits_reboot: bool = False
    changed_settings: tuple[ChangedSetting, ...] = ()
    other_profiles: tuple[ForeignProfile, ...] = ()
    profiles_telling: str = "unknown"
    """`unknown`, `told` or `unsupported`."""
    profiles_told_at_s: float | None = None
    held_out: str | None = None
    """Why it is not dispatched until a person releases it; None = it may be."""
    security_events: tuple[SecurityEventView, ...] = ()
    """The newest, newest first; left out of lists."""


class StationOrder(StrEnum):
    """By what a page of stations is sorted."""

    STATION = "station"
    SITE = "site"
    MODEL = "model"
    SESSIONS = "sessions"
    PROFILES = "profiles"
    HEARD = "heard"


class StationFilter(StrEnum):
    """Which stations alone a page shows."""

    CONNECTED = "connected"
    AWAY = "away"
    HELD_OUT = "held_out"


class StationQuery(Struct, frozen=True, kw_only=True):
    """Which stations a page shows; `only` None = all. `search`: a part of id, site, vendor, model or serial number."""

    search: str = ""
    site_id: str = ""
    only: StationFilter | None = None
    sort: StationOrder = StationOrder.STATION
    descending: bool = False
    offset: int = 0
    limit: int = 50


class StationPage(Struct, frozen=True, kw_only=True):
    """A part of the stations; only these were worked out in full."""

    total: int
    """Stations that are registered or were let in."""
    connected: int
    held_out: int
    """Those that are not dispatched until a person releases them."""
    matched: int
    """Those that the filters let through."""
    stations: tuple[StationView, ...]
    """The part that was asked for."""


class ConflictView(Struct, frozen=True, kw_only=True):
    """An EVSE (0 = the whole station) where somebody else steers, or may; and what follows from it."""

    site_id: str
    station_id: str
    evse_id: int
    transaction_id: str | None
    """None = no car is plugged in."""
    conflict: str
    """A code; `none` = it does not keep the car out of dispatch."""
    conflict_text: str
    leader: str | None
    """`us` or `them`, as the site's operator confirmed; None = nobody has."""
    profiles_telling: str
    profiles_told_at_s: float | None
    other_profiles: tuple[ForeignProfile, ...]


class CallAnswer(Struct, frozen=True, kw_only=True):
    """What a station answered to a raw call: a payload, or an error code and text."""

    action: str
    payload: dict[str, Any] | None
    error_code: str | None
    error_text: str
