"""What people and machines outside are shown. Discharge power is positive here; unknown is None."""

from enum import StrEnum
from typing import Any

from msgspec import Struct

from counterflow.domain.conflicts import ForeignProfile
from counterflow.domain.drivers import PartialTerms
from counterflow.domain.instructions import DispatchInstruction, Feasibility
from counterflow.domain.resources import EvseCapability, StationFacts, StationIdentity
from counterflow.domain.settlement import Quality
from counterflow.domain.station_settings import ChangedSetting


class RefusalKind(StrEnum):
    """Why something was not done; the HTTP edge gives each a status."""

    NOT_FOUND = "not-found"
    INVALID = "invalid"
    CONFLICT = "conflict"
    STOPPED = "emergency-stop"
    OFFLINE = "station-offline"
    TIMED_OUT = "timed-out"
    OVERLOADED = "overloaded"
    TOO_LITTLE = "too-little-power"
    TOO_OFTEN = "too-often"


class Refusal(Struct, frozen=True, kw_only=True):
    """A sentence about what is wrong, and one about what to do."""

    kind: RefusalKind
    sentence: str
    remedy: str
    conflicting: str | None = None


class HealthView(Struct, frozen=True, kw_only=True):
    """Liveness and readiness; `alarms` in words. The emergency stop is among the alarms, and leaves the server ready."""

    ready: bool
    alarms: tuple[str, ...]
    started_at_s: float
    version: str


class StoreView(Struct, frozen=True, kw_only=True):
    """A class of data on the disk."""

    what: str
    size_bytes: int
    kept: str
    """For how long, in words."""


class StorageView(Struct, frozen=True, kw_only=True):
    """What lies on the disk of the server."""

    stores: tuple[StoreView, ...]
    free_bytes: int


class FleetView(Struct, frozen=True, kw_only=True):
    """The fleet at one instant."""

    at_s: float
    stations_known: int
    stations_connected: int
    sessions: int
    sessions_ready: int
    reasons: dict[str, int]
    measured_power_w: float | None
    """Sum over the sessions with known power, discharge positive."""
    unmeasured_sessions: int
    available_power_w: float
    available_energy_wh: float
    target_power_w: float | None
    headroom_power_w: float | None
    running_dispatches: tuple[str, ...]
    profiles_placed: int
    messages_sent: int
    drop_outs: int
    emergency_stop: bool
    quality: Quality
    """Of the measured power."""


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


class NoteView(Struct, frozen=True, kw_only=True):
    """What a person noted of a dispatch."""

    dispatch_id: str
    at_s: float
    by: str
    text: str


class SecurityEventView(Struct, frozen=True, kw_only=True):
    """Something that matters to the security of a station; the same again is counted."""

    station_id: str
    at_s: float
    last_at_s: float
    said_at_s: float | None
    """The station's own time of it."""
    count: int
    origin: str
    """`station`: it told us; `server`: we saw it."""
    kind: str
    text: str


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


class SessionView(Struct, frozen=True, kw_only=True):
    """One session with everything we know, how old it is, and why it can or cannot be discharged."""

    session_uid: int
    station_id: str
    transaction_id: str
    site_id: str
    evse_id: int
    reason: str
    reason_text: str
    phase: str
    started_s: float | None
    soc_frac: float | None
    soc_age_s: float | None
    soc_floor_frac: float | None
    energy_above_floor_wh: float | None
    departure_s: float | None
    blackout_from_s: float | None = None
    cap_left_wh: float | None = None
    """None = no cap."""
    override: str = ""
    """What the driver said for this session, in words; empty = nothing."""
    energy_needed_wh: float | None
    """Carried forward from the last reports to now."""
    needs_age_s: float | None
    """Age of what the car said of its discharge power, its departure and its energy; None = it has said nothing."""
    laxity_s: float | None
    power_w: float | None
    """Discharge positive."""
    power_age_s: float | None
    available_power_w: float | None
    export_wh: float | None
    import_wh: float | None
    register_age_s: float | None
    setpoint_w: float | None
    """Discharge positive, a limit to charging negative; None = nothing of ours in force."""
    setpoint_age_s: float | None
    setpoint_state: str
    gain: float | None
    dispatch_id: str | None
    pausing: str
    """Whether its charging can be reduced for a relative order, a reason as for a discharge."""
    pausing_text: str
    reducible_power_w: float


class SessionOrder(StrEnum):
    """By what a page of sessions is sorted."""

    STATION = "station"
    SOC = "soc"
    DEPARTURE = "departure"
    SETPOINT = "setpoint"
    POWER = "power"
    ERROR = "error"
    """How far the power is from the setpoint."""
    HEARD = "heard"
    AVAILABLE = "available"


class SessionQuery(Struct, frozen=True, kw_only=True):
    """Which sessions a page shows. `search` is a part of the station or transaction id."""

    search: str = ""
    reason: str = ""
    site_id: str = ""
    sort: SessionOrder = SessionOrder.STATION
    descending: bool = False
    offset: int = 0
    limit: int = 50


class SessionPage(Struct, frozen=True, kw_only=True):
    """A part of the open sessions; only these were worked out in full."""

    at_s: float
    total: int
    """Open sessions."""
    matched: int
    """Those that the filters let through."""
    reasons: dict[str, int]
    """How many of all have which reason."""
    sessions: tuple[SessionView, ...]
    """The part that was asked for."""


class ExplanationView(Struct, frozen=True, kw_only=True):
    """Why a car was given what it was given at an instant, or nothing; discharge positive."""

    session_uid: int
    station_id: str
    transaction_id: str
    at_s: float
    dispatch_id: str | None
    setpoint_w: float | None
    """What was asked; None = nothing of ours."""
    setpoint_at_s: float | None
    reason: str
    sentences: tuple[str, ...]
    figures: dict[str, float | str | None]


class StreamView(Struct, frozen=True, kw_only=True):
    """A streamed target: its newest value, and where its dead-man stands."""

    phase: str
    """`waiting`, `live`; overdue: `holding`, `falling`, `silent`."""
    value_power_w: float | None
    heard_at_s: float | None
    sequence: int | None


class TargetAnswer(Struct, frozen=True, kw_only=True):
    """What became of a value of a stream: `taken`, `duplicate` or `late`."""

    dispatch_id: str
    outcome: str
    at_s: float
    asked_power_w: float
    target_power_w: float
    bounded: bool
    """It was more than was ordered at most."""
    committed_power_w: float | None
    stream: StreamView


class LimitView(Struct, frozen=True, kw_only=True):
    """A feeder, a site or a phase of a site: what it may carry, and what flows there now."""

    group: str
    above: str | None
    max_export_power_w: float | None
    max_import_power_w: float | None
    held_export_power_w: float | None
    """What a grid operator allows for the time being, and for how long `held` says; None = as always."""
    held_import_power_w: float | None
    held: tuple[str, ...]
    """Limits of grid operators on a pool of the site, in force or to come, in words."""
    load_least_w: float
    load_most_w: float
    load_read_at_s: float | None
    """None = no reading counts now; what is configured does."""
    export_power_w: float
    """Of our cars, by their meters as they stand; a car that charges counts under import."""
    import_power_w: float


class DispatchView(Struct, frozen=True, kw_only=True):
    """One dispatch and where it stands."""

    instruction: DispatchInstruction
    feasibility: Feasibility
    target_power_w: float | None
    delivered_power_w: float | None
    delivered_energy_wh: float | None
    """So far, from the meters as they stand; the report settles it from registers."""
    expected_power_w: float | None
    headroom_power_w: float | None
    shortfall_power_w: float | None
    members: int
    discharging: int
    drop_outs: int
    messages_sent: int
    binds: tuple[str, ...] = ()
    """Limits of sites, feeders or phases that leave no room while cars could give more, in words."""
    stream: StreamView | None = None
    capability_power_w: float | None = None
    """What all members together could give now; None = not running."""
    at_s: float | None = None
    """When the delivered power was taken, from the meters as they stood; None = nothing runs."""
    quality: Quality | None = None
    """How far the delivered power can be trusted then."""


class VerificationView(Struct, frozen=True, kw_only=True):
    """A report held against the same one made again from the dispatch's log and meter values."""

    dispatch_id: str
    version: int
    holds: bool
    delivered_energy_wh: float
    made_again_wh: float | None
    """None = it could not be made again; `differences` says why."""
    samples: int
    differences: tuple[str, ...]
    """In sentences; nothing = it holds to the Wh."""


class Displacement(Struct, frozen=True, kw_only=True):
    """What an order takes from one of lower priority."""

    dispatch_id: str
    runs_until_s: float | None
    """Where it is cut short; None = it never runs."""
    former_end_s: float
    left_over_s: float
    """So much of its window lies behind the new order; nobody dispatches it, unless it is ordered anew."""


class DispatchAnswer(Struct, frozen=True, kw_only=True):
    """The answer to an order. `repeated` = the idempotency key was known; `dry_run` = nothing was started."""

    dispatch: DispatchView
    repeated: bool
    dry_run: bool
    displaced: tuple[Displacement, ...] = ()
    obstacle: Refusal | None = None
    """Dry run only: why the order itself would be refused now."""
    held_back: tuple[str, ...] = ()
    """Dry run only: limits of drivers that keep cars out, or make them give less, in words."""


class ClearingView(Struct, frozen=True, kw_only=True):
    """The answer to clear-all: profiles of ours that go, and when."""

    profiles: int
    paced: int
    """Of these, so many lie at cars that a dispatch holds; each is cleared as its car resumes charging."""
    paced_over_s: float
    """About how long that takes; an import limit of a site can make it longer. 0 = nothing is paced."""


class DriverView(Struct, frozen=True, kw_only=True):
    """What is agreed with a driver, vehicle or contract, and the energy that was taken."""

    scope: str
    subject: str
    label: str
    stored: bool
    terms: PartialTerms
    changed_at_s: float | None
    changed_by: str
    counted_day: str
    day_discharged_wh: float
    year_discharged_wh: float
    year_cycles: float


class BadRow(Struct, frozen=True, kw_only=True):
    """A line of an import that cannot be taken."""

    line: int
    sentence: str


class ImportAnswer(Struct, frozen=True, kw_only=True):
    """The outcome of an import: either every row was taken, or none was and `bad_rows` says why."""

    dry_run: bool
    rows: int
    imported: int
    bad_rows: tuple[BadRow, ...] = ()


class ErasureAnswer(Struct, frozen=True, kw_only=True):
    """What was erased of a person or car."""

    agreements: int
    accounts: int
    sessions: int
    learned: int = 0


class PasswordView(Struct, frozen=True, kw_only=True):
    """What became of a new password: `changed`, `refused`, or `unknown` - then both are accepted."""

    station_id: str
    outcome: str
    text: str


class CertificateView(Struct, frozen=True, kw_only=True):
    """A certificate that this server shows to stations."""

    port: int
    serves_profile: int
    key: str
    names: tuple[str, ...]
    issuer: str
    not_before_s: float
    not_after_s: float


class IssuedCertificateView(Struct, frozen=True, kw_only=True):
    """A certificate of a station by the built-in authority."""

    serial: str
    name: str
    """Empty for one that was revoked although it is not in the authority's book."""
    issued_at_s: float | None
    not_after_s: float | None
    """None: unknown, since it is not in the book."""
    revoked_at_s: float | None
    reason: str | None
    """As RFC 5280 spells it."""


class CallAnswer(Struct, frozen=True, kw_only=True):
    """What a station answered to a raw call: a payload, or an error code and text."""

    action: str
    payload: dict[str, Any] | None
    error_code: str | None
    error_text: str


class Notice(Struct, frozen=True, kw_only=True):
    """One thing that happened, for the event stream; the kinds are in `domain.notices`."""

    at_s: float
    kind: str
    subject: str
    text: str
    values: dict[str, float | int | str | bool | None]
    id: str = ""
    """Its place in the stream, from which a reader can go on after a break; "" = it has none."""
