"""What must survive a crash, as documents: each has a kind, a key and one Struct (stored as JSON)."""

from enum import StrEnum
from typing import NamedTuple, Self

from msgspec import Struct
from msgspec.structs import replace

from counterflow.domain.commands import ProfileKind
from counterflow.domain.drivers import AgreedTerms, Scope, SessionOverride, Upgrade
from counterflow.domain.ids import ConnectorId, EvseId, ProfileId, SessionUid, SiteId, StationId, TransactionId
from counterflow.domain.resources import EvseCapability, StationFacts, StationIdentity
from counterflow.domain.setpoints import PowerStep, power_at
from counterflow.domain.telemetry import Availability, ChargingNeedsReported


class DocumentKind(StrEnum):
    """The tables of documents."""

    STATION = "station"
    DISCOVERY = "discovery"
    SESSION = "session"
    DISPATCH = "dispatch"
    PROFILE = "profile"
    LATCH = "latch"
    DRIVER = "driver"
    ACCOUNT = "account"
    PATH = "path"
    FORMER_SETTINGS = "former_settings"
    KNOWN_PROFILES = "known_profiles"
    SITE_PRIORITY = "site_priority"
    HELD_OUT = "held_out"
    SECURITY = "security"
    API_TOKEN = "api_token"
    AUDIT = "audit"
    TRANSACTION_NUMBER = "transaction_number"
    STATION_FAULTS = "station_faults"
    LEARNED_RESPONSE = "learned_response"
    GRID_ORDER = "grid_order"
    WIRE_NOTE = "wire_note"
    LEARNED_DEPARTURES = "learned_departures"
    LEARNED_ANSWERS = "learned_answers"
    COMMITMENT = "commitment"
    COVERAGE_DAY = "coverage_day"
    OFFER_GUARD = "offer_guard"
    CAPACITY = "capacity"


class SessionRecord(Struct, frozen=True, kw_only=True):
    """A session as it must be known again after a restart; meter values come back from the samples."""

    session_uid: SessionUid
    station_id: StationId
    transaction_id: TransactionId
    site_id: SiteId
    evse_id: EvseId
    started_s: float
    terms: AgreedTerms
    ended_s: float | None = None
    phase: int = 0
    phases: int = 0
    """Phases that the car charges on, as the station told; 0 = it has not."""
    id_token_hash: str = ""
    evccid_hash: str = ""
    override: SessionOverride = SessionOverride()
    upgrade: Upgrade = Upgrade.NONE
    needs: ChargingNeedsReported | None = None
    needs_export_wh: float | None = None
    needs_import_wh: float | None = None
    needs_soc_frac: float | None = None
    """The state of charge that goes with the needs, theirs or one reported close to them (capacity is inferred from it)."""
    priority_charging: bool = False
    paused_s: float = 0.0
    """How long orders have slowed or paused its charging, the one in force counted to its end."""
    drew_w: float | None = None
    """What it drew before that order."""
    end_assumed: bool = False
    """Its end was never told: the station did not know the transaction any more."""

    def without(self, subjects: set[str]) -> Self:
        """The same session, with nothing that tells whose it was when that is one of these pseudonyms."""
        accounts = {f"{scope}:{subject}" for scope in Scope for subject in subjects}
        terms = replace(self.terms, caps=tuple(cap for cap in self.terms.caps if cap.account not in accounts))
        return replace(
            self,
            terms=terms,
            id_token_hash="" if self.id_token_hash in subjects else self.id_token_hash,
            evccid_hash="" if self.evccid_hash in subjects else self.evccid_hash,
        )


class DiscoveryRecord(Struct, frozen=True, kw_only=True):
    """What a station said it is and can do."""

    station_id: StationId
    identity: StationIdentity
    evses: tuple[EvseCapability, ...] = ()
    meter_interval_s: float | None = None
    at_s: float = 0.0
    refusals: tuple[str, ...] = ()
    facts: StationFacts = StationFacts()
    set_up_for: str = ""
    """The sampling that was asked for; "" = none yet, or by an older release."""
    hands_off: bool = False
    """The station was given back its own settings: they are left alone until somebody asks for discovery."""
    awaits_reboot: bool = False
    """Some of what we set holds only after a reboot."""
    outdated: str = ""
    """Why what was learned is void, in words; "" = it is not."""
    subprotocol: str = "ocpp2.1"
    """The version of OCPP in which it was told."""


class ProfileState(StrEnum):
    """Where a profile of ours stands; the moves are in `engine.control.ledger`."""

    PLACING = "placing"
    PLACED = "placed"
    UNSURE = "unsure"
    CLEARING = "clearing"


class ProfileRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A profile that may be at a station because of us. Written before the message leaves; removed once it is surely gone."""

    station_id: StationId
    profile_id: ProfileId
    session_uid: SessionUid
    evse_id: EvseId
    transaction_id: TransactionId
    kind: ProfileKind
    state: ProfileState
    power_w: float
    placed_at_s: float
    discharge_until_s: float
    hold_until_s: float
    dispatch_id: str = ""
    path: str = ""
    """Not empty = the station finds its power by curves, for this control path; `power_w` is the strongest that they can ask for."""
    watchdog_s: int | None = None
    """A Dynamic profile: it lapses this long after the newest message about it."""
    reduces: bool = False
    """It is a limit to charging; `power_w` >= 0 is the most that the car may draw."""
    later: tuple[PowerStep, ...] = ()
    """Further periods of a discharge, in the order of time; `power_w` is the first."""

    def power_at(self, at_s: float) -> float:
        """What its period in force asks for at `at_s`, W."""
        return power_at(self.power_w, self.later, at_s)


class PathRecord(Struct, frozen=True, kw_only=True):
    """A way to control an EVSE that it offers and does not stand by, with the reason in words. Kept until its firmware changes."""

    station_id: StationId
    evse_id: EvseId
    path: str
    reason: str
    at_s: float


class SecurityRecord(Struct, frozen=True, kw_only=True):
    """Something that matters to the security of a station. `origin`: `station` (it told us) or `server` (we saw it)."""

    station_id: StationId
    number: int
    """Counts up over all stations; the key."""
    origin: str
    kind: str
    text: str
    at_s: float
    """When it was first seen here."""
    last_at_s: float
    count: int = 1
    said_at_s: float | None = None
    """The station's own time of it."""


class TransactionNumber(Struct, frozen=True, kw_only=True):
    """The newest number that was given to a transaction of an OCPP 1.6 connector, and what it was given for."""

    station_id: StationId
    evse_id: EvseId
    number: int
    started_s: float
    meter_start_wh: int


class ConnectorState(NamedTuple):
    """A connector's status, and the station's own time of it."""

    evse_id: EvseId
    connector_id: ConnectorId
    at_s: float
    availability: Availability


class StationFaults(Struct, frozen=True, kw_only=True):
    """What keeps cars at a station out until the station itself takes it back, which it says once: a fault or a DER alarm (R04)."""

    station_id: StationId
    alarms: dict[str, float] = {}
    """DER alarms that have not ended, by kind of control, with their time."""
    connectors: tuple[ConnectorState, ...] = ()
    """All connectors of the station, as soon as one is faulted or unavailable."""

    def __bool__(self) -> bool:
        return bool(self.alarms or self.connectors)


Transitions = tuple[float, float, float, float, float]
"""Sums over transitions: how many, of half steps (W) and their squares, of lags (s), of lags times half steps."""
NO_TRANSITIONS: Transitions = (0.0, 0.0, 0.0, 0.0, 0.0)


class LearnedResponse(Struct, frozen=True, kw_only=True):
    """How orders were answered: by one car (known by a pseudonym), at one EVSE, or by all cars at one model of EVSE."""

    subject: str
    """The key: `vehicle:`, `evse:` or `model:`, and which."""
    at_s: float
    """The end of the newest session that taught."""
    gain: float = 0.0
    """Delivered over asked; means nothing without readings, like the other two."""
    gain_readings: float = 0.0
    idle_w: float = 0.0
    """What it delivers when held at 0 W; negative: it draws."""
    idle_readings: float = 0.0
    transitions: Transitions = NO_TRANSITIONS
    out_until_s: float | None = None
    """It did not follow, and was left out until then."""


class Latch(Struct, frozen=True, kw_only=True):
    """The emergency stop."""

    on: bool
    at_s: float
    by: str
