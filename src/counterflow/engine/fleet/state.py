"""The single writer of the fleet: events in, rows and records out. No clock, no I/O; `now_s` comes in."""

from collections.abc import Callable, Iterable, Iterator
from math import isnan, nan
from typing import assert_never

from counterflow.domain.commands import MoveSetpoint, PlaceDischarge
from counterflow.domain.conflicts import Conflict, DischargeCap
from counterflow.domain.delivery import Sample
from counterflow.domain.drivers import AccountRecord, SessionOverride, Upgrade
from counterflow.domain.ids import EvseId, SessionKey, SessionUid, SiteId, StationId, TransactionId
from counterflow.domain.reasons import DropOutKind
from counterflow.domain.records import DiscoveryRecord, ProfileRecord, SessionRecord, StationFaults
from counterflow.domain.setpoints import Accepted, CommandResult, FallbackState, PowerStep, Superseded
from counterflow.domain.telemetry import (
    CapabilitiesDiscovered,
    CapabilitiesOutdated,
    CertificateRequested,
    ChargingNeedsReported,
    CommandCompleted,
    CommandSent,
    CompositeReported,
    ConnectedEvReported,
    DerControlChanged,
    DerLimitsReported,
    EvseMeasured,
    EvseStatusChanged,
    ExternalLimitChanged,
    GridFaultReported,
    PriorityChargingChanged,
    ProfilesReported,
    SettingsChanging,
    StationBooted,
    StationConnected,
    StationDisconnected,
    StationEvent,
    StationWarned,
    TransactionReported,
    TransactionTold,
)
from counterflow.engine.fleet import actors, restoring, transactions
from counterflow.engine.fleet.accounts import Accounts
from counterflow.engine.fleet.applied import NOTHING, Applied
from counterflow.engine.fleet.meters import Meters
from counterflow.engine.fleet.orders import Order, discharge_in_force
from counterflow.engine.fleet.roster import Roster, TermsOf
from counterflow.engine.fleet.sessions import Session
from counterflow.engine.fleet.settings import FleetSettings
from counterflow.engine.fleet.snapshot import F8, FleetImage
from counterflow.engine.fleet.topology import DEFAULT_SITE, Topology


class FleetState:
    """All open sessions, written by one thread, read through frozen images.

    Commands to sessions: call `setpoint_sent` / `fallback_sent` before the command is handed to the link, and the matching
    `..._done` with its outcome. A uid that is not open (any more) is ignored there, since cars leave while answers travel.
    """

    def __init__(
        self,
        settings: FleetSettings,
        topology: Topology,
        terms: TermsOf,
        first_uid: int = 1,
        hash_token: Callable[[str], str] = lambda _token: "",
    ) -> None:
        """`terms(site, driver, vehicle)` says what was agreed, `hash_token` what is kept of a token or EVCCID and handed to `terms`."""
        self._roster = Roster(settings, topology, terms, first_uid, hash_token)

    def __len__(self) -> int:
        """Open sessions."""
        return len(self._roster.open)

    @property
    def late_events(self) -> int:
        """Transaction events that stations had kept while they were offline."""
        return self._roster.late_events

    @property
    def repeated_events(self) -> int:
        """Transaction events that had been taken already."""
        return self._roster.repeated_events

    @property
    def station_ids(self) -> tuple[StationId, ...]:
        """What the image's column `station` points into; a station keeps its index."""
        return tuple(self._roster.stations)

    def register(self, station_id: StationId, site_id: SiteId) -> None:
        """A station belongs to a site. A site that the topology does not know counts as the default site."""
        self._roster.move(self._roster.station(station_id), site_id)

    def forget(self, station_id: StationId, now_s: float) -> Applied:
        """A station is no longer registered: its open sessions end at `now_s`, and it falls to the default site.

        What it still reports of them counts as late; should it be registered again, it takes part from its next transaction on.
        """
        station = self._roster.station(station_id)
        ended = tuple(self._roster.dismiss(session, now_s) for session in tuple(station.sessions.values()))
        self._roster.move(station, DEFAULT_SITE)
        left = tuple((record.session_uid, DropOutKind.ENDED) for record in ended)
        return Applied(changed=ended, left=left, wake=bool(ended))

    def apply(self, event: StationEvent, now_s: float) -> Applied:  # one flat match over the closed union of events
        """Fold one event in; what must follow from it is in the answer. `now_s` is when it is applied."""
        self._roster.now_s = now_s
        match event:
            case TransactionReported():
                return transactions.transaction_reported(self._roster, event)
            case EvseMeasured():
                return transactions.evse_measured(self._roster, event)
            case StationConnected():
                return actors.connected(self._roster, event)
            case ChargingNeedsReported():
                return transactions.needs_reported(self._roster, event)
            case ConnectedEvReported():
                return transactions.car_described(self._roster, event)
            case EvseStatusChanged():
                return actors.status_changed(self._roster, event)
            case StationDisconnected():
                return actors.disconnected(self._roster, event)
            case CapabilitiesDiscovered():
                return actors.discovered(self._roster, event)
            case PriorityChargingChanged():
                return actors.priority_changed(self._roster, event)
            case GridFaultReported():
                return actors.grid_fault_reported(self._roster, event)
            case (
                StationBooted()
                | ProfilesReported()
                | CompositeReported()
                | TransactionTold()
                | ExternalLimitChanged()
                | DerLimitsReported()
                | DerControlChanged()
                | StationWarned()
                | CertificateRequested()
                | CommandSent()
                | CommandCompleted()
                | SettingsChanging()
                | CapabilitiesOutdated()
            ):
                return NOTHING
            case _:
                assert_never(event)

    def found_over(self, uid: SessionUid, now_s: float) -> Applied:
        """The station does not know this open session's transaction any more: it ended at some time after its last word."""
        self._roster.now_s = now_s
        return transactions.found_over(self._roster, self._roster.open[uid])

    def faults_of(self, station_id: StationId) -> StationFaults:
        """Alarms and connectors that are not well at a station."""
        return self._roster.station(station_id).faults()

    def restore_faults(self, known: StationFaults) -> None:
        """After a start, before sessions are restored."""
        self._roster.station(known.station_id).restore_faults(known)

    def judged(self, uid: SessionUid, conflict: Conflict, cap: DischargeCap) -> Applied:
        """What other actors mean for this session: whether they keep it out of dispatch, and how much they leave it."""
        return actors.judged(self._roster, uid, conflict, cap)

    def snapshot(self, now_s: float) -> FleetImage:
        """A frozen image of all rows at `now_s`."""
        self._roster.revisit(now_s)
        return self._roster.columns.image(now_s)

    def meters(self, now_s: float) -> Meters:
        """What the meters say now: much cheaper than a whole image."""
        return self._roster.columns.meters(now_s)

    def uids(self) -> Iterator[SessionUid]:
        """Open sessions, oldest first."""
        return iter(tuple(self._roster.open))

    def row_of(self, uid: SessionUid) -> int | None:
        """The row of an open session in images taken from now on; None when it is not open."""
        session = self._roster.open.get(uid)
        return None if session is None else session.row

    def uid_of(self, station_id: StationId, transaction_id: TransactionId) -> SessionUid | None:
        """The open session of a transaction."""
        station = self._roster.stations.get(station_id)
        session = None if station is None else station.sessions.get(transaction_id)
        return None if session is None else session.uid

    def uid_at(self, station_id: StationId, evse_id: EvseId) -> SessionUid | None:
        """The session that is open on an EVSE."""
        station = self._roster.stations.get(station_id)
        session = None if station is None else station.at.get(evse_id)
        return None if session is None else session.uid

    def phases_of(self, uid: SessionUid) -> int | None:
        """Phases of an AC car that charges on one or two; None where a station needs not be told: three, DC, or not known."""
        session = self._roster.open.get(uid)
        return None if session is None else session.phases_to_tell()

    def phases_refused(self, uid: SessionUid) -> None:
        """The station wants no number of phases (NoPhaseForDC, PhaseConflict): it is told none any more."""
        session = self._roster.open.get(uid)
        if session is not None:
            session.phases_refused = True

    def key_of(self, uid: SessionUid) -> SessionKey | None:
        """(station, transaction) of an open session."""
        session = self._roster.open.get(uid)
        return None if session is None else (session.station_id, session.transaction_id)

    def setpoint_age_s(self, uid: SessionUid, now_s: float) -> float | None:
        """How long ago the setpoint in force was sent; None = nothing of ours is in force."""
        session = self._roster.open.get(uid)
        at_s = nan if session is None else self._roster.columns.setpoint_at_s[session.row]
        return None if isnan(at_s) else now_s - at_s

    def discharge_in_force(self, uid: SessionUid, since_s: float) -> tuple[float, float] | None:
        """(power < 0, end) of the discharge that the station has accepted and that was sent no later than `since_s`; else None.
        Of a schedule it is the period in force.

        None, too, for a station that finds its power by a curve: what it asks for now is not known here.
        """
        session = self._roster.open.get(uid)
        return None if session is None else discharge_in_force(self._roster.columns, session.row, since_s)

    def record_of(self, uid: SessionUid) -> SessionRecord:
        """The record of an open session as it is now. Raises KeyError when it is not open."""
        return self._roster.open[uid].record()

    def setpoint_sent(
        self,
        uid: SessionUid,
        power_w: float,
        now_s: float,
        discharge_until_s: float,
        hold_until_s: float,
        is_curve: bool = False,
        reduces: bool = False,
        later: tuple[PowerStep, ...] = (),
    ) -> None:
        """A discharge order (`power_w` <= 0) is on its way, with the ends and the further periods that it carries; `is_curve`: it is the
        worst of a curve.

        `reduces`: it is a limit to charging (`power_w` >= 0). Its time counts from now on, whatever becomes of it.
        """
        session = self._roster.open.get(uid)
        if session is not None:
            order = Order(power_w, now_s, discharge_until_s, hold_until_s, is_curve, reduces, later)
            session.orders.sent(order)
            self._roster.told(session, order)
            if reduces:
                session.pause(now_s, hold_until_s, self._roster.columns.power_w[session.row])
                session.write_pause(self._roster.columns)
            else:
                self._resumes(session, now_s)

    def setpoint_done(
        self, uid: SessionUid, result: CommandResult, now_s: float, command: PlaceDischarge | MoveSetpoint | None = None
    ) -> None:
        """The outcome of `command`, told apart from others on their way by power and ends.

        Without it, it is the newest for Offline (it never left), the newest but one for Superseded, else the oldest.
        """
        session = self._roster.open.get(uid)
        if session is not None:
            session.orders.done(result, command)
            if type(result) is Accepted:
                session.orders.write_outcome(self._roster.columns, session.row)
            else:
                session.orders.write(self._roster.columns, session.row)

    def setpoint_gone(self, uid: SessionUid) -> None:
        """No discharge profile of ours is at the station for this session any more."""
        session = self._roster.open.get(uid)
        if session is not None:
            session.orders.gone()
            session.orders.write(self._roster.columns, session.row)
            self._resumes(session, self._roster.now_s)

    def _resumes(self, session: Session, now_s: float) -> None:
        if not isnan(session.pause_from_s):
            session.resume(now_s)
            session.write_pause(self._roster.columns)

    def fallback_sent(self, uid: SessionUid, now_s: float) -> None:
        """The fallback profile is on its way."""
        self._fallback(uid, FallbackState.PENDING)

    def fallback_done(self, uid: SessionUid, result: CommandResult, now_s: float) -> None:
        """Only an accepted fallback stands; after anything else it is to be placed again (the same id replaces itself)."""
        match result:
            case Superseded():
                pass
            case Accepted():
                self._fallback(uid, FallbackState.PLACED)
            case _:
                self._fallback(uid, FallbackState.NONE)

    def fallback_gone(self, uid: SessionUid) -> None:
        """The fallback profile was removed."""
        self._fallback(uid, FallbackState.NONE)

    def exclude(self, uid: SessionUid, until_s: float) -> None:
        """Ask nothing of this session before `until_s`."""
        session = self._roster.open.get(uid)
        if session is not None:
            self._roster.columns.excluded_until_s[session.row] = until_s

    def guard(self, uid: SessionUid) -> bool:
        """Discharge this session no more. Returns whether that is new."""
        session = self._roster.open.get(uid)
        if session is None or self._roster.columns.guarded[session.row]:
            return False
        self._roster.columns.guarded[session.row] = True
        return True

    def offered(self, image: FleetImage, energy_wh: F8) -> None:
        """Rows of `image` could have given so much more energy while a dispatch held them (N,), Wh."""
        self._roster.columns.add_offered(image.uid, energy_wh)

    def is_guarded(self, uid: SessionUid) -> bool:
        """Whether a guarantee was broken for an open session."""
        session = self._roster.open.get(uid)
        return session is not None and self._roster.columns.guarded[session.row]

    def override(self, uid: SessionUid, said: SessionOverride, now_s: float) -> Applied:
        """What a driver says for a session comes before everything else from the next tick on. Raises KeyError if it is not open."""
        self._roster.now_s = now_s
        session = self._roster.open[uid]
        stopped = said.stop and not session.override.stop
        session.override = said
        self._roster.show(session, self._roster.station(session.station_id))
        return Applied(changed=(session.record(),), left=((uid, DropOutKind.WITHDRAWN),) if stopped else (), wake=True)

    def note_upgrade(self, uid: SessionUid, upgrade: Upgrade) -> Applied:
        """How far the offer of a bidirectional transfer has come; a session that has ended meanwhile is passed over."""
        session = self._roster.open.get(uid)
        if session is None:
            return NOTHING
        session.upgrade = upgrade
        return Applied(changed=(session.record(),))

    def records_at(self, station_id: StationId) -> list[SessionRecord]:
        """The open sessions of a station."""
        station = self._roster.stations.get(station_id)
        return [] if station is None else [session.record() for session in station.sessions.values()]

    def count_at(self, station_id: StationId) -> int:
        """How many open sessions a station has."""
        station = self._roster.stations.get(station_id)
        return 0 if station is None else len(station.sessions)

    def override_of(self, uid: SessionUid) -> SessionOverride:
        """What its driver said for an open session. Raises KeyError when it is not open."""
        return self._roster.open[uid].override

    def terms_changed(self, now_s: float, driver: str | None = None) -> Applied:
        """Agreements have changed: every open session (or those of one driver) gets the terms that hold now."""
        self._roster.now_s = now_s
        changed = []
        for session in self._roster.open.values():
            if (driver is None or session.id_token_hash == driver) and self._roster.agree(session):
                self._roster.show(session, self._roster.station(session.station_id))
                changed.append(session.record())
        return Applied(changed=tuple(changed), wake=bool(changed))

    def erase(self, subjects: set[str], now_s: float) -> list[SessionRecord]:
        """Forget whose sessions these were: open ones go on with the terms of nobody in particular. Returns the records as they were."""
        self._roster.now_s = now_s
        return self._roster.erase(subjects)

    @property
    def accounts(self) -> Accounts:
        """Energy discharged, by driver, vehicle and contract."""
        return self._roster.accounts

    def heard_lately(self, uids: Iterable[SessionUid], now_s: float) -> None:
        """After a start: members of a dispatch under way count as heard now, so that they are not written off before they can speak.

        Their readings stay as old as they are; discharge since then is reckoned by the orders in force.
        """
        restoring.heard_lately(self._roster, uids, now_s)

    def restore(
        self,
        records: Iterable[SessionRecord],
        samples: Iterable[Sample],
        discoveries: Iterable[DiscoveryRecord],
        profiles: Iterable[ProfileRecord],
        now_s: float,
        accounts: Iterable[AccountRecord] = (),
    ) -> None:
        """Know the fleet again after a start. Register stations first.

        No station is connected yet and no restored reading counts as fresh, so nothing can be dispatched before its station is
        back and has sent a sample. Each of `samples` may be merged from several: a state of charge in it may be older than its
        registers, so all exports since the needs are counted against it until the next live report (it stays unknown where
        that baseline is).
        """
        restoring.restore(self._roster, records, samples, discoveries, profiles, now_s, accounts)

    def _fallback(self, uid: SessionUid, state: FallbackState) -> None:
        session = self._roster.open.get(uid)
        if session is not None:
            self._roster.columns.fallback_state[session.row] = state
