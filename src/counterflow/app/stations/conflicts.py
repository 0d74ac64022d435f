"""Other actors at our stations: whatever hints at one, remembering it, and what follows for each session (decisions 6).

A session is judged whenever anything that it depends on changes; the verdict is one cell of its row.
"""

import heapq
from collections.abc import Callable, Iterable
from math import inf

from counterflow.app.stations.known_profiles import KnownStations
from counterflow.app.stations.limits_told import LimitsTold
from counterflow.app.stations.meter_check import MeterCheck
from counterflow.app.stations.priority_claims import Call, PriorityClaims
from counterflow.app.stations.profile_reports import ProfileReports
from counterflow.app.stations.registry import Registry
from counterflow.app.stations.site_priorities import SitePriorities
from counterflow.domain.conflicts import (
    Conflict,
    HeldOut,
    Leader,
    PriorityEntry,
    SitePriority,
    Telling,
)
from counterflow.domain.ids import EvseId, SessionKey, SessionUid, SiteId, StationId, TransactionId
from counterflow.domain.records import DocumentKind, SessionRecord
from counterflow.domain.resources import ControlMode
from counterflow.domain.telemetry import (
    CapabilitiesDiscovered,
    CompositeReported,
    DerControlChanged,
    DerLimitsReported,
    ExternalLimitChanged,
    ProfilesReported,
    StationDisconnected,
    StationEvent,
    TransactionReported,
)
from counterflow.domain.views import Notice
from counterflow.engine.conflicts.limits import discharge_cap, external_setpoint, next_edge_s
from counterflow.engine.conflicts.register import (
    periods_on,
    transaction_over,
)
from counterflow.engine.conflicts.settings import ConflictSettings
from counterflow.engine.conflicts.verdict import EXTERNAL_SETPOINT_MODE, Situation, highest_level, on_evse, ours_wins, verdict
from counterflow.engine.control.ledger import ProfileLedger
from counterflow.engine.fleet.applied import Applied
from counterflow.engine.fleet.snapshot import FleetImage
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.ports import Journal, StationLink

TELLING_TRIGGERS = frozenset({"ChargingRateChanged", "OperationModeChanged"})
"""Trigger reasons of a transaction event that may show another actor at work."""
_NO_CONTROL = (ControlMode.UNKNOWN, ControlMode.NONE)


class Conflicts:
    """Single-threaded. `apply` takes what a verdict did to the fleet; `paused` is true while the emergency stop is on."""

    def __init__(
        self,
        *,
        fleet: FleetState,
        ledger: ProfileLedger,
        journal: Journal,
        link: StationLink,
        registry: Registry,
        settings: ConflictSettings,
        notify: Callable[[Notice], None],
        apply: Callable[[Applied, float], None],
        paused: Callable[[], bool],
        call: Call,
    ) -> None:
        self.known = KnownStations(journal)
        self.priorities = SitePriorities(journal, notify)
        self.held_out: dict[StationId, HeldOut] = {}
        self._fleet = fleet
        self._journal = journal
        self._registry = registry
        self._settings = settings
        self._notify = notify
        self._apply = apply
        self._paused = paused
        self._online: set[StationId] = set()
        self._sessions: dict[StationId, dict[TransactionId, SessionRecord]] = {}
        self.reports = ProfileReports(
            known=self.known,
            ledger=ledger,
            link=link,
            settings=settings,
            notify=notify,
            sessions_of=self.open_sessions,
            judge=self._judge,
        )
        self._looks = self.reports.looks
        self.claims = PriorityClaims(
            registry=registry, leader_at=self.leader_at, call=call, settled=self._judge, when=settings.claim_priority
        )
        self.limits = LimitsTold(
            known=self.known,
            fleet=fleet,
            ledger=ledger,
            link=link,
            registry=registry,
            settings=settings,
            new_request_id=self.reports.new_request_id,
            may_ask=lambda station_id: station_id in self._online and not paused(),
        )
        self._meters = MeterCheck(self.known, registry, self.hold_out)
        self._steered: set[SessionKey] = set()
        self._edges: list[tuple[float, StationId]] = []
        self._edge_s: dict[StationId, float] = {}

    # --- time ----------------------------------------------------------------------------------------------------------------

    def next_due_s(self) -> float | None:
        """When `advance` wants to be called next."""
        due_s = self._looks.next_due_s(paused=self._paused())
        edge_s = self._edges[0][0] if self._edges else None
        return edge_s if due_s is None or (edge_s is not None and edge_s < due_s) else due_s

    def advance(self, now_s: float) -> None:
        """Give up reports that stopped, and ask the stations whose turn it is."""
        while self._edges and self._edges[0][0] <= now_s:
            self._judge(heapq.heappop(self._edges)[1], now_s)
        self.reports.advance(now_s, paused=self._paused())

    # --- what hints at a change ----------------------------------------------------------------------------------------------

    def take(self, event: StationEvent, now_s: float) -> None:
        """Whatever of a station's reports matters here, beside its coming and its boots; the registry knows of it already."""
        match event:
            case ProfilesReported():
                self.reports.reported(event, now_s)
            case StationDisconnected():
                self.station_offline(event.station_id)
            case CapabilitiesDiscovered():
                self.station_changed(event.station_id, now_s)
                self.claims.look(event.station_id, now_s)
            case ExternalLimitChanged():
                self._limited(event, now_s)
            case CompositeReported():
                self.limits.proved(event, now_s)
                self._judge(event.station_id, now_s)
            case DerLimitsReported() | DerControlChanged():
                self.limits.inverter_limited(event, now_s)
                self._judge(event.station_id, now_s)
            case _:
                pass

    def station_online(self, station_id: StationId, now_s: float) -> None:
        """The line is open (again): much may have happened meanwhile."""
        self._online.add(station_id)
        self.hint(station_id, now_s)
        self.limits.station_changed(station_id, now_s)

    def station_offline(self, station_id: StationId) -> None:
        """The line is cut; what is known stays."""
        self._online.discard(station_id)
        self._looks.gone(station_id)

    def station_changed(self, station_id: StationId, now_s: float) -> None:
        """Discovery is through, or the station moved to another site."""
        self._judge(station_id, now_s)
        self.hint(station_id, now_s)
        self.limits.station_changed(station_id, now_s)

    def station_removed(self, station_id: StationId) -> None:
        """The station is no longer registered: nothing is known of it."""
        self._looks.forget(station_id)
        self.known.forget(station_id)
        if self.held_out.pop(station_id, None) is not None:
            self._journal.delete(DocumentKind.HELD_OUT, station_id)

    def hint(self, station_id: StationId, now_s: float) -> None:
        """Something may have changed at a station; it is asked if a car that we could steer is there."""
        if station_id in self._online and self._steerable(station_id):
            self._looks.want(station_id, now_s)

    def _note_mode(self, event: TransactionReported) -> None:
        """The station says in which operation mode it runs the transaction."""
        key = (event.station_id, event.transaction_id)
        if event.operation_mode.casefold() == EXTERNAL_SETPOINT_MODE:
            self._steered.add(key)
        elif event.operation_mode:
            self._steered.discard(key)

    def rate_changed(self, event: TransactionReported, now_s: float) -> None:
        """The station runs at another rate, or in another mode. Unless we have just told it to, somebody else has."""
        if event.offline:
            return  # told late: the station is asked on its return anyway
        self._note_mode(event)
        self._judge(event.station_id, now_s)
        uid = self._fleet.uid_of(event.station_id, event.transaction_id)
        since_s = None if uid is None else self._fleet.setpoint_age_s(uid, now_s)
        if since_s is None or since_s > self._settings.own_change_s:
            self.hint(event.station_id, now_s)

    def deviated(self, uid: SessionUid, now_s: float) -> None:
        """A settled car does not do what its station accepted."""
        key = self._fleet.key_of(uid)
        if key is not None:
            self.hint(key[0], now_s)

    def session_changed(self, record: SessionRecord, now_s: float) -> None:
        """A session opened, became known better, or ended. Transaction profiles die with it, others' as well as ours (K02.FR.06)."""
        station_id = record.station_id
        sessions = self._sessions.setdefault(station_id, {})
        before = sessions.get(record.transaction_id)
        if record.ended_s is not None:
            if before is not None:
                del sessions[record.transaction_id]
                self._steered.discard((station_id, record.transaction_id))
                if station_id in self.known:
                    self.known.keep(transaction_over(self.known.of(station_id), record.transaction_id, before.evse_id))
                self._judge(station_id, now_s)
            return
        sessions[record.transaction_id] = record
        if before is None or before.evse_id != record.evse_id or (record.terms.pausing and not before.terms.pausing):
            self._judge(station_id, now_s)
            known = self.known.of(station_id)
            if known.telling is not Telling.UNSUPPORTED and record.transaction_id not in known.seen:
                self.hint(station_id, now_s)

    # --- what stations say ---------------------------------------------------------------------------------------------------

    def _limited(self, event: ExternalLimitChanged, now_s: float) -> None:
        """One that does not say how much is proved by the composite schedule."""
        self.limits.limited(event, now_s)
        self._judge(event.station_id, now_s)
        self.hint(event.station_id, now_s)
        if event.active and not event.periods:
            for record in self.open_sessions(event.station_id):
                self.limits.ask_for_proof(event.station_id, record.evse_id, now_s)

    # --- what people say -----------------------------------------------------------------------------------------------------

    def confirm(self, site_id: SiteId, leader: Leader | None, by: str, note: str, now_s: float) -> SitePriority:
        """The site's operator says who has priority there; None takes an earlier word back."""
        said = self.priorities.confirm(site_id, PriorityEntry(at_s=now_s, by=by, leader=leader, note=note))
        for station_id in tuple(self._sessions):
            if self._registry.site_of(station_id) == site_id:
                self._judge(station_id, now_s)
        for station_id in tuple(self._online):
            if self._registry.site_of(station_id) == site_id:
                self.claims.look(station_id, now_s)
        return said

    def watch(self, image: FleetImage, now_s: float) -> None:
        """At each control tick: cars far from their setpoints, and meters that are not proved yet."""
        self.limits.watch(image, now_s)
        self._meters.look(image, now_s)

    def hold_out(self, held: HeldOut, now_s: float) -> None:
        """The station contradicts itself, or what it was trusted with: it takes no part until a person releases it."""
        self.held_out[held.station_id] = held
        self._journal.put(DocumentKind.HELD_OUT, held.station_id, held)
        self._say(now_s, "station.held_out", held.station_id, held.text)
        self._judge(held.station_id, now_s)

    def release(self, station_id: StationId, by: str, note: str, now_s: float) -> bool:
        """A person lets a station that contradicted itself take part again; False = it is not held out."""
        if self.held_out.pop(station_id, None) is None:
            return False
        self._journal.delete(DocumentKind.HELD_OUT, station_id)
        self._meters.anew(station_id, {int(record.session_uid) for record in self.open_sessions(station_id)})
        self._say(now_s, "station.released", station_id, f"released by {by}{f' ({note})' if note else ''}")
        self._judge(station_id, now_s)
        return True

    def restore(self, sessions: Iterable[SessionRecord], now_s: float) -> None:
        """After a start: what was known and confirmed. Every station is asked again when it is back."""
        self.known.restore()
        self.priorities.restore()
        self.held_out = {record.station_id: record for _, record in self._journal.documents(DocumentKind.HELD_OUT)}
        for record in sessions:
            if record.ended_s is None:
                self._sessions.setdefault(record.station_id, {})[record.transaction_id] = record
        for station_id in tuple(self._sessions):
            self._judge(station_id, now_s)

    # --- what follows --------------------------------------------------------------------------------------------------------

    def above_level(self, station_id: StationId, evse_id: EvseId) -> int | None:
        """The highest level of a foreign transaction profile that ours must lead over; None = there is none."""
        foreign = self.known.of(station_id).foreign
        return highest_level(on_evse(foreign, evse_id)) if foreign else None

    def conflict_of(self, record: SessionRecord, now_s: float) -> Conflict:
        """The verdict on one open session, as things stand."""
        known = self.known.of(record.station_id)
        periods = periods_on(known, record.evse_id, len(self.open_sessions(record.station_id)))
        return verdict(
            Situation(
                telling=known.telling,
                seen=record.transaction_id in known.seen,
                foreign=on_evse(known.foreign, record.evse_id),
                capability=self._registry.capability_of(record.station_id, record.evse_id),
                leader=self.leader_at(record.station_id),
                held_out=record.station_id in self.held_out,
                external_setpoint=(record.station_id, record.transaction_id) in self._steered or external_setpoint(periods, now_s),
                discharge_untold=self._settings.discharge_untold,
            )
        )

    def leader_at(self, station_id: StationId) -> Leader | None:
        """Who has priority where this station stands; None = nobody has confirmed."""
        return self.priorities.leader_at(self._registry.site_of(station_id))

    def open_sessions(self, station_id: StationId) -> tuple[SessionRecord, ...]:
        """The open sessions of a station."""
        return tuple(self._sessions.get(station_id, {}).values())

    def _judge(self, station_id: StationId, now_s: float) -> None:
        sessions = self.open_sessions(station_id)
        known = self.known.of(station_id)
        next_s = inf
        for record in sessions:
            periods = periods_on(known, record.evse_id, len(sessions))
            binds = not ours_wins(self._registry.capability_of(station_id, record.evse_id))
            cap = discharge_cap(periods, now_s, setpoints_bind=binds)
            next_s = min(next_s, next_edge_s(periods, now_s))
            applied = self._fleet.judged(record.session_uid, self.conflict_of(record, now_s), cap)
            if applied.wake:
                self._apply(applied, now_s)
        if next_s < self._edge_s.get(station_id, inf) or self._edge_s.get(station_id, inf) <= now_s:
            self._edge_s[station_id] = next_s
            if next_s < inf:
                heapq.heappush(self._edges, (next_s, station_id))

    def _steerable(self, station_id: StationId) -> bool:
        """Whether a session is open on an EVSE that can be told to discharge, or one whose charging may be reduced."""
        discovery = self._registry.discoveries.get(station_id)
        if discovery is None:
            return False
        modes = {evse.evse_id: evse.control_mode for evse in discovery.evses if evse.control_mode not in _NO_CONTROL}
        if not modes:
            return False
        return any(
            record.terms.pausing or modes.get(record.evse_id) is not ControlMode.CHARGE_ONLY
            for record in self.open_sessions(station_id)
            if record.evse_id in modes or record.evse_id == 0
        )

    def _say(self, now_s: float, kind: str, subject: str, text: str) -> None:
        self._notify(Notice(at_s=now_s, kind=kind, subject=subject, text=text, values={}))
