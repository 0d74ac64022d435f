"""What the engine is owed by the outside, and what the outside may ask of it. Adapters see of the engine only this file."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from counterflow.domain.access import ApiToken, AuditEntry, Role, TokenView
from counterflow.domain.commands import Command
from counterflow.domain.conflicts import Leader, SitePriority
from counterflow.domain.course import CourseView
from counterflow.domain.delivery import DeliveryReport, LogEntry, Sample, SeriesPoint, Stored
from counterflow.domain.drivers import Scope, SessionOverride
from counterflow.domain.grid import CapacityBound, GridAnswer, GridOrder, GridOrderRecord, PoolTelemetry, Program, Wire
from counterflow.domain.histories import ProfileEntry, SessionHistory
from counterflow.domain.ids import DispatchId, PoolId, SessionUid, SiteId, StationId
from counterflow.domain.instructions import Amendment, DispatchMode, DispatchOrder, StreamValue
from counterflow.domain.offers import Commitment, CoverageView, Offer
from counterflow.domain.records import DocumentKind
from counterflow.domain.resources import StationRegistration
from counterflow.domain.settlement import IntervalFigures, ReportVersion
from counterflow.domain.views import (
    CallAnswer,
    CertificateView,
    ClearingView,
    ConflictView,
    DispatchAnswer,
    DispatchView,
    DriverView,
    ErasureAnswer,
    ExplanationView,
    FleetView,
    FrameView,
    HealthView,
    ImportAnswer,
    IssuedCertificateView,
    LimitView,
    NoteView,
    Notice,
    PasswordView,
    ProfileView,
    Refusal,
    SecurityEventView,
    SessionPage,
    SessionQuery,
    SessionView,
    StationPage,
    StationQuery,
    StationView,
    StorageView,
    TargetAnswer,
    VerificationView,
)


class Clock(Protocol):
    """Where `now_s` comes from at the outermost edge."""

    def now_s(self) -> float:
        """Epoch seconds, UTC."""
        ...


class StationLink(Protocol):
    """The way to the stations. Outcomes come back as `CommandCompleted` events, never as return values."""

    def submit(self, command: Command, now_s: float) -> None:
        """Queue one command; a newer discharge of the same profile replaces one that has not left yet."""
        ...


class Journal(Protocol):
    """Durable memory. Writes are ordered, cheap and buffered; `position` grows with each and is durable once committed."""

    @property
    def position(self) -> int:
        """Number of the last write handed in."""
        ...

    @property
    def durable_position(self) -> int:
        """All writes up to here are on disk."""
        ...

    def on_durable(self, callback: Callable[[int], None]) -> None:
        """`callback(durable_position)` after each commit; it may be called from another thread."""
        ...

    def on_late(self, after_s: float, callback: Callable[[SessionUid, float, float], object]) -> None:
        """`callback(session, received_s, at_s)` for each sample that is older than `after_s` when it comes."""
        ...

    def sample(
        self,
        session_uid: SessionUid,
        received_s: float,
        at_s: float,
        power_w: float,
        export_wh: float,
        import_wh: float,
        soc_frac: float,
    ) -> None:
        """Keep one meter sample; NaN = not in the sample."""
        ...

    def put(self, kind: DocumentKind, key: str, document: Any) -> None:
        """Insert or replace one document (a Struct of domain.records, StationRegistration or DispatchInstruction)."""
        ...

    def delete(self, kind: DocumentKind, key: str) -> None:
        """Remove one document; absent is fine."""
        ...

    def log(self, dispatch_id: DispatchId, entry: LogEntry) -> None:
        """Append one line to a dispatch's log."""
        ...

    def documents(self, kind: DocumentKind) -> Iterable[tuple[str, Any]]:
        """All documents of a kind, decoded, for the start. Includes writes not yet committed only after `flush`."""
        ...

    def dispatch_log(self, dispatch_id: DispatchId) -> Sequence[LogEntry]:
        """The log of one dispatch, oldest first."""
        ...

    def samples(self, session_uids: Iterable[SessionUid], from_s: float, to_s: float) -> Sequence[Sample]:
        """Samples received in [from_s, to_s) of these sessions, in order of arrival."""
        ...

    def last_samples(self, session_uids: Iterable[SessionUid]) -> Sequence[Sample]:
        """The newest known value of each column of each session, merged into one sample a session (for the start)."""
        ...

    def flush(self) -> None:
        """Block until everything handed in is durable."""
        ...


class ReportSink(Protocol):
    """Where finished reports go."""

    def keep(self, report: DeliveryReport) -> None:
        """Store one version of a report; one that is there already stays as it is."""
        ...

    def versions(self, dispatch_id: DispatchId) -> Sequence[int]:
        """The versions that are kept, oldest first."""
        ...

    def read(self, dispatch_id: DispatchId, version: int) -> DeliveryReport | None:
        """One version; None when it is not there or cannot be read."""
        ...

    def sums(self, dispatch_id: DispatchId) -> Mapping[str, str]:
        """The SHA-256 of each version's file, by name (`v1.json`)."""
        ...


class DriverOperations(Protocol):
    """What may be seen of drivers, vehicles and contracts, and asked for them."""

    def drivers(self) -> Sequence[DriverView]:
        """Agreements, stored ones and those of the settings."""
        ...

    def driver(self, scope: Scope, subject: str) -> DriverView | Refusal:
        """One agreement, by pseudonym or contract."""
        ...

    def find_driver(self, identifier: str) -> Sequence[DriverView]:
        """All that is known of a token, EVCCID, contract or pseudonym."""
        ...

    async def set_driver(
        self, scope: Scope, identifier: str, label: str | None, changes: dict[str, object], by: str
    ) -> DriverView | Refusal:
        """Change fields of an agreement; None takes one back to the wider scope."""
        ...

    async def remove_driver(self, scope: Scope, subject: str, by: str) -> DriverView | Refusal:
        """Take an agreement back."""
        ...

    async def import_drivers(self, text: str, dry_run: bool, by: str) -> ImportAnswer | Refusal:
        """Take every row of a CSV file, or none."""
        ...

    async def erase_driver(self, identifier: str, by: str) -> ErasureAnswer | Refusal:
        """Erase what is kept of a person or car."""
        ...

    async def override(self, station_id: StationId, transaction_id: str | None, said: SessionOverride) -> Sequence[SessionView] | Refusal:
        """What a driver says for a session, or for all of a station (None); the next tick follows it."""
        ...


class Operations(DriverOperations, Protocol):
    """Everything that people and machines outside may see or ask. Commands answer once their effect is durable.

    A refusal is a value: `Refusal` carries what is wrong and what to do about it.
    """

    def health(self) -> HealthView:
        """Is the process alive, and is it ready to dispatch."""
        ...

    def fleet(self) -> FleetView:
        """The whole fleet in one line."""
        ...

    def stations(self) -> Sequence[StationView]:
        """Registered and connected stations, by id."""
        ...

    def station(self, station_id: StationId) -> StationView | Refusal:
        """One station."""
        ...

    async def frames(self, station_id: StationId, search: str, most: int) -> Sequence[FrameView] | Refusal:
        """The newest raw frames of a station that hold a text, oldest first, as far as they are kept."""
        ...

    def profiles(self, station_id: StationId) -> Sequence[ProfileView] | Refusal:
        """Profiles of ours that may be at a station."""
        ...

    async def course(self, dispatch_id: DispatchId, since_s: float | None, step_s: float) -> CourseView | Refusal:
        """Figures and happenings of a dispatch so far, from its log; of the ticks one in each `step_s`."""
        ...

    async def note(self, dispatch_id: DispatchId, text: str, by: str) -> NoteView | Refusal:
        """A person notes something of a dispatch; it is kept in its log."""
        ...

    async def session_history(self, session_uid: SessionUid, since_s: float | None) -> SessionHistory | Refusal:
        """Meter values and orders of a session, open or over, from `since_s` (None = the last hours) on."""
        ...

    async def profile_ledger(self, station_id: StationId) -> Sequence[ProfileEntry] | Refusal:
        """What became of each profile at a station, the newest first."""
        ...

    async def clear_station(self, station_id: StationId) -> ClearingView | Refusal:
        """Take every profile of ours off a station, and leave its sessions alone for a while."""
        ...

    async def add_station(self, registration: StationRegistration) -> StationView | Refusal:
        """Register a station so that it may connect."""
        ...

    async def remove_station(self, station_id: StationId) -> StationView | Refusal:
        """Forget a station and close its connection."""
        ...

    async def discover_station(self, station_id: StationId) -> StationView | Refusal:
        """Ask a station anew what it can do, and set its sampling."""
        ...

    async def give_settings_back(self, station_id: StationId) -> StationView | Refusal:
        """Set what we changed at a station to what it was before, and leave its settings alone from then on."""
        ...

    async def release_station(self, station_id: StationId, by: str, note: str) -> StationView | Refusal:
        """A person lets a station that contradicted itself take part again."""
        ...

    def conflicts(self) -> Sequence[ConflictView]:
        """Where somebody else steers, or may, by site and station."""
        ...

    def priorities(self) -> Sequence[SitePriority]:
        """What the operators of sites confirmed, with who and when."""
        ...

    async def confirm_priority(self, site_id: SiteId, leader: Leader | None, by: str, note: str) -> SitePriority | Refusal:
        """The operator of a site says who has priority there; None takes an earlier word back."""
        ...

    def limits(self) -> Sequence[LimitView]:
        """What feeders, sites and phases may carry, and what flows there now."""
        ...

    def note_load(self, group: str, power_w: float) -> LimitView | Refusal:
        """What draws at a feeder or site beside our cars was read, W, import positive."""
        ...

    def security_events(self, station_id: StationId | None, limit: int) -> Sequence[SecurityEventView] | Refusal:
        """The newest security events of one station, or of all; newest first."""
        ...

    async def rotate_password(self, station_id: StationId, by: str) -> PasswordView | Refusal:
        """Give a connected station a new random password."""
        ...

    async def install_authority(self, station_id: StationId, use: str, certificate: str | None) -> CallAnswer | Refusal:
        """Give a station a root certificate; None = that of the built-in authority."""
        ...

    def certificates(self) -> Sequence[CertificateView]:
        """What this server's listeners show to stations."""
        ...

    async def reload_certificates(self) -> Sequence[CertificateView] | Refusal:
        """Read certificate files and revocation lists again; open lines stay, but for those whose certificate is revoked now."""
        ...

    async def issued_certificates(self) -> Sequence[IssuedCertificateView] | Refusal:
        """The certificates that the built-in authority has issued to stations and that are not over, newest first."""
        ...

    async def revoke_certificates(
        self, station_id: StationId | None, serial: str | None, reason: str, by: str
    ) -> Sequence[IssuedCertificateView] | Refusal:
        """Revoke all of one station, or one by its serial number (hexadecimal), for ever; open lines with them end. Returns those."""
        ...

    async def call_station(self, station_id: StationId, action: str, payload: dict[str, Any]) -> CallAnswer | Refusal:
        """Send any OCPP request and wait for the answer."""
        ...

    def sessions(self) -> Sequence[SessionView]:
        """Open sessions."""
        ...

    async def storage(self) -> StorageView:
        """What lies on the disk, how much, and for how long."""
        ...

    def station_page(self, query: StationQuery) -> StationPage:
        """A part of the stations, filtered and sorted."""
        ...

    def session_page(self, query: SessionQuery) -> SessionPage:
        """A part of the open sessions, filtered and sorted."""
        ...

    def session(self, station_id: StationId, transaction_id: str) -> SessionView | Refusal:
        """One open session."""
        ...

    def dispatches(self) -> Sequence[DispatchView]:
        """All dispatches, newest first."""
        ...

    def dispatch(self, dispatch_id: DispatchId) -> DispatchView | Refusal:
        """One dispatch."""
        ...

    async def order(self, order: DispatchOrder, idempotency_key: str | None, dry_run: bool) -> DispatchAnswer | Refusal:
        """Accept an order, or say why not. A repeated key returns the same dispatch; with another order it is refused."""
        ...

    async def amend(self, dispatch_id: DispatchId, amendment: Amendment, by: str) -> DispatchView | Refusal:
        """Change power or end of a dispatch."""
        ...

    async def tell(self, dispatch_id: DispatchId, value: StreamValue) -> TargetAnswer | Refusal:
        """One value of a streamed target."""
        ...

    async def explain(self, session_uid: SessionUid, at_s: float | None) -> ExplanationView | Refusal:
        """Why a car was given what it was given at an instant (None = now), or nothing."""
        ...

    async def cancel(self, dispatch_id: DispatchId, by: str) -> DispatchView | Refusal:
        """Stop a dispatch; charging is resumed paced."""
        ...

    async def series(self, dispatch_id: DispatchId, step_s: float) -> Sequence[SeriesPoint] | Refusal:
        """Power and energy on a grid of `step_s`."""
        ...

    async def intervals(self, dispatch_id: DispatchId, edges_s: Sequence[float]) -> Sequence[IntervalFigures] | Refusal:
        """What was delivered between each two of `edges_s` (epoch seconds, growing), as known now. Raises ValueError for other edges."""
        ...

    async def report(self, dispatch_id: DispatchId, version: int | None = None) -> DeliveryReport | Refusal:
        """The settlement so far, final once the dispatch has ended and its meter data are in; or a version that is kept."""
        ...

    async def report_versions(self, dispatch_id: DispatchId) -> Sequence[ReportVersion] | Refusal:
        """The versions of the report that are kept, oldest first."""
        ...

    async def verification(self, dispatch_id: DispatchId, version: int | None = None) -> VerificationView | Refusal:
        """The report made again from log and meter values, and held against what it says."""
        ...

    async def evidence(self, dispatch_id: DispatchId, version: int | None = None) -> tuple[DeliveryReport, Stored] | Refusal:
        """A report, and all that it was made from."""
        ...

    async def offer(
        self,
        pool: PoolId,
        window_s: float,
        confidence: float | None,
        start_s: float | None,
        mode: DispatchMode = DispatchMode.NET_EXPORT,
    ) -> Offer | Refusal:
        """What a pool can surely give over a window (from now on, unless `start_s` says when) as `mode` counts it; whoever wants it commits
        to it."""
        ...

    async def horizons(
        self, pool: PoolId, confidence: float | None, start_s: float | None, mode: DispatchMode = DispatchMode.NET_EXPORT
    ) -> Sequence[Offer] | Refusal:
        """The same for looking only, for windows from 5 minutes to 24 hours, the shortest first."""
        ...

    async def day(self, pool: PoolId) -> Sequence[Offer] | Refusal:
        """The same for looking only, for 15 minutes at each of the coming 24 hours; what was worked out minutes ago is shown again."""
        ...

    async def firm(
        self, pool: PoolId, window_s: float, confidence: float | None = None, start_s: float | None = None, *, storage: bool = False
    ) -> Offer | Refusal:
        """The same for looking only, as if the cars of dispatches within the pool were free: what it can give in all. With `storage` its
        levels tell the pool as a storage at the window's end, too."""
        ...

    def commitments(self) -> Sequence[Commitment]:
        """Offers and commitments, newest first."""
        ...

    async def commit(self, offer_id: str, power_w: float | None, holder: str) -> Commitment | Refusal:
        """Hold what was offered, or `power_w` of it, for `holder`, whose orders for this pool and window call it."""
        ...

    async def withdraw_commitment(self, commitment_id: str, by: str) -> Commitment | Refusal:
        """Take an offer or a commitment back that nothing was ordered from."""
        ...

    def coverage(self, pool: PoolId | None) -> Sequence[CoverageView]:
        """How forecasts of the last 30 days were kept, by pool, window and confidence."""
        ...

    async def clear_all(self, by: str) -> ClearingView:
        """Clear every profile of ours everywhere (offline stations keep a tombstone)."""
        ...

    async def emergency_stop(self, on: bool, by: str) -> FleetView:
        """Latch or reset the emergency stop."""
        ...

    def notices(self, after: str | None = None) -> AsyncIterator[Notice]:
        """What happens, as it happens, or from behind the notice with the id `after` on, as far as it is kept.

        A slow reader loses the oldest and is told how many.
        """
        ...

    def live_tokens(self) -> Sequence[ApiToken]:
        """Named tokens that are good now; asked with every request."""
        ...

    def tokens(self) -> Sequence[TokenView]:
        """All named tokens."""
        ...

    async def add_token(self, name: str, role: Role, expires_at_s: float | None, by: str) -> TokenView | Refusal:
        """Make a token; it is shown in this answer and never again."""
        ...

    async def revoke_token(self, name: str) -> TokenView | Refusal:
        """Take a token back."""
        ...

    def record(self, entry: AuditEntry) -> None:
        """Write an entry of the audit log."""
        ...

    def audit(self, since_s: float, most: int) -> Sequence[AuditEntry]:
        """Who changed what, newest first."""
        ...

    def now_s(self) -> float:
        """The server's clock."""
        ...


class GridSide(Protocol):
    """What the wire of a grid operator may see and ask. Every order is bounded by its program; a refusal is an answer, and is audited.

    Answers come once their effect is durable. Wires do not know each other.
    """

    def now_s(self) -> float:
        """The server's clock."""
        ...

    def programs(self, wire: Wire) -> Sequence[Program]:
        """The programs whose orders come by this wire."""
        ...

    async def place(self, order: GridOrder) -> GridAnswer:
        """A new order, a changed one, or the same again."""
        ...

    async def withdraw(self, program: str, key: str, why: str) -> GridAnswer:
        """An order is taken back: charging is resumed paced. One that is over stays as it is."""
        ...

    async def tell(self, program: str, discharge_power_w: float, said_at_s: float | None, sequence: int | None) -> GridAnswer:
        """A streamed set-point, W. The first above zero opens a dispatch of the program; it goes on for as long as values come."""
        ...

    async def decline(self, program: str, key: str, end_s: float, refusal: Refusal) -> GridAnswer:
        """An order of which the wire itself can make no sense: refused, kept and audited as one. A former version of it is taken back."""
        ...

    async def bound(self, program: str, bounds: Sequence[CapacityBound]) -> GridAnswer:
        """These limits, in force or to come, and no others, hold on the program's pool."""
        ...

    def bounds(self, program: str) -> Sequence[CapacityBound]:
        """The limits of a program, in force or to come."""
        ...

    def decline_value(self, program: str, sent: Mapping[str, Any], refusal: Refusal, key: str | None = None) -> None:
        """What a wire has refused by rules of its own, for the audit: a streamed set-point whose time is stale, an order in another unit.

        `key` None = a set-point. Nothing is changed by it.
        """
        ...

    def turned_away(self, wire: Wire, key: str, sent: Mapping[str, Any], refusal: Refusal) -> None:
        """An order that is for no program of this wire, for the audit; the same again is written down now and then."""
        ...

    def standing(self, program: str) -> Sequence[GridOrderRecord]:
        """The orders of a program that were heard and whose window has not passed long ago, refused ones among them."""
        ...

    def dispatch(self, dispatch_id: DispatchId) -> DispatchView | None:
        """Where the dispatch of an order stands; None = it is not known (any more)."""

    async def intervals(self, dispatch_id: DispatchId, edges_s: Sequence[float]) -> Sequence[IntervalFigures] | Refusal:
        """What was delivered between each two of `edges_s` (epoch seconds, growing), as known now, with quality and version.

        Whatever the grid, the energies add up to the same whole Wh. A version above the last one seen corrects what was told. It reads
        the journal: ask once an interval is over, not each second. Raises ValueError for edges that do not grow.
        """
        ...

    async def offer(self, pool: PoolId, window_s: float, confidence: float | None = None, start_s: float | None = None) -> Offer | Refusal:
        """What a pool can surely give over a window from `start_s` (None = now) on, dispatches within it included.

        P50, P90, P95 and P99 are in its `levels`, with the pool as a storage at the window's end; what counts at `confidence` (None = 0.9,
        as the settings say) is `power_w`. It takes part of a second, and nothing is kept of it.
        """
        ...

    def telemetry(self, pool: PoolId) -> PoolTelemetry:
        """The newest record of a pool. Raises KeyError for a pool that is not recorded (`[telemetry] pools`, or one of a program)."""
        ...

    async def telemetry_since(self, pool: PoolId, sequence: int, most: int, wait_s: float = 0.0) -> Sequence[PoolTelemetry]:
        """Up to `most` records of a pool behind `sequence`, in their order, from disk where they are old; where there are none yet, what
        comes within `wait_s`. `sequence` 0 = from the oldest that is kept. Raises KeyError as above.
        """
        ...

    def note(self, wire: Wire, key: str, body: Any) -> None:
        """Keep something over restarts; None drops it."""
        ...

    def notes(self, wire: Wire) -> Mapping[str, Any]:
        """What was noted, by key."""
        ...

    def alarm(self, wire: Wire, subject: str, sentence: str | None) -> None:
        """Something that the operator's staff must know, in a sentence; None = it is over."""
        ...

    def notices(self) -> AsyncIterator[Notice]:
        """What happens, as it happens."""
        ...
