"""What people and machines outside may see and ask: the port that the API, the command line and the console stand on."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from counterflow.domain.access import ApiToken, AuditEntry, Role, TokenView
from counterflow.domain.conflicts import Leader, SitePriority
from counterflow.domain.course import CourseView
from counterflow.domain.delivery import DeliveryReport, SeriesPoint, Stored
from counterflow.domain.dispatch_views import ClearingView, DispatchAnswer, DispatchView, NoteView, TargetAnswer, VerificationView
from counterflow.domain.driver_views import DriverView, ErasureAnswer, ImportAnswer
from counterflow.domain.drivers import Scope, SessionOverride
from counterflow.domain.histories import ProfileEntry, SessionHistory
from counterflow.domain.ids import DispatchId, PoolId, SessionUid, SiteId, StationId
from counterflow.domain.instructions import Amendment, DispatchMode, DispatchOrder, StreamValue
from counterflow.domain.offers import Commitment, CoverageView, Offer
from counterflow.domain.resources import StationRegistration
from counterflow.domain.security_views import CertificateView, IssuedCertificateView, PasswordView, SecurityEventView
from counterflow.domain.session_views import ExplanationView, SessionPage, SessionQuery, SessionView
from counterflow.domain.settlement import IntervalFigures, ReportVersion
from counterflow.domain.station_views import CallAnswer, ConflictView, FrameView, ProfileView, StationPage, StationQuery, StationView
from counterflow.domain.views import FleetView, HealthView, LimitView, Notice, Refusal, StorageView


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

    async def stations(self) -> Sequence[StationView]:
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

    async def conflicts(self, *, untold: bool = True) -> Sequence[ConflictView]:
        """Where somebody else steers, or may, by site and station; without `untold` not where only the station cannot tell."""
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

    async def sessions(self) -> Sequence[SessionView]:
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

    def dispatches(self, most: int | None = None) -> Sequence[DispatchView]:
        """All dispatches, newest first; with `most` only so many of the newest, and those that are open."""
        ...

    def dispatch(self, dispatch_id: DispatchId) -> DispatchView | Refusal:
        """One dispatch."""
        ...

    def dispatch_by_key(self, idempotency_key: str) -> DispatchView | None:
        """The dispatch that was ordered under this key; None = none that is known. Cheap however many are."""
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

    async def day(self, pool: PoolId, mode: DispatchMode = DispatchMode.NET_EXPORT) -> Sequence[Offer] | Refusal:
        """The same for looking only, for 15 minutes at each of the coming 24 hours; what was worked out minutes ago is shown again."""
        ...

    async def firm(
        self,
        pool: PoolId,
        window_s: float,
        confidence: float | None = None,
        start_s: float | None = None,
        *,
        mode: DispatchMode = DispatchMode.NET_EXPORT,
        storage: bool = False,
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

    def coverage(self, pool: PoolId | None, mode: DispatchMode | None = None) -> Sequence[CoverageView]:
        """How forecasts of the last 30 days were kept, by pool, window, mode and confidence."""
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
