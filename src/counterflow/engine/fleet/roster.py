"""Who is there: stations, open sessions and their rows, and the ended ones that late messages may still speak of."""

import heapq
from collections.abc import Callable
from math import inf, isnan, nan

import msgspec

from counterflow.domain.drivers import AgreedTerms
from counterflow.domain.ids import EvseId, SessionKey, SessionUid, SiteId, StationId, TransactionId
from counterflow.domain.records import SessionRecord
from counterflow.domain.telemetry import ChargingNeedsReported
from counterflow.engine.fleet.accounts import Accounts
from counterflow.engine.fleet.bounds import book_register, bounds_of, write_bounds
from counterflow.engine.fleet.columns import Columns
from counterflow.engine.fleet.metering import take_soc
from counterflow.engine.fleet.orders import Order
from counterflow.engine.fleet.sessions import Session, caps_of
from counterflow.engine.fleet.settings import FleetSettings
from counterflow.engine.fleet.stations import WHOLE_STATION, Station
from counterflow.engine.fleet.topology import DEFAULT_SITE, Topology

TermsOf = Callable[[SiteId, str, str], AgreedTerms]


class Roster:
    """Stations and sessions with their indexes. A row and a uid belong to a session as long as it lives; uids are never reused."""

    def __init__(
        self, settings: FleetSettings, topology: Topology, terms: TermsOf, first_uid: int, hash_token: Callable[[str], str]
    ) -> None:
        """Start empty; the first session gets `first_uid`."""
        self.settings = settings
        self.columns = Columns()
        self.stations: dict[StationId, Station] = {}
        self.open: dict[SessionUid, Session] = {}
        self.late_events = 0
        """Transaction events that a station had kept while it was offline."""
        self.repeated_events = 0
        """Transaction events that had been taken already."""
        self.ended: dict[SessionKey, SessionRecord] = {}
        self._topology = topology
        self.accounts = Accounts()
        self.now_s = -inf
        """The newest time that we were told."""
        self.revisit_s = inf
        """When the first session is to be looked at again: a blackout begins or ends, a day is over."""
        self._edges: list[tuple[float, SessionUid]] = []
        self._terms = terms
        self._hash_token = hash_token
        self._next_uid = first_uid

    def station(self, station_id: StationId) -> Station:
        """The station of this name, made on first mention; it is on the default site until it is registered."""
        station = self.stations.get(station_id)
        if station is None:
            station = self.stations[station_id] = Station(station_id, len(self.stations), DEFAULT_SITE)
        return station

    def move(self, station: Station, site_id: SiteId) -> None:
        """A station belongs to another site from now on, and so do its open sessions."""
        station.site_id = site_id
        for session in station.sessions.values():
            session.site_id = site_id
            self.show(session, station)

    def new_record(
        self, station: Station, transaction_id: TransactionId, evse_id: EvseId, started_s: float, id_token: str, evccid: str
    ) -> SessionRecord:
        """A record with a uid of its own and the terms of this driver and vehicle at this site."""
        uid = SessionUid(self._next_uid)
        self._next_uid += 1
        driver, vehicle = self.token_hash(id_token), self.token_hash(evccid)
        return SessionRecord(
            session_uid=uid,
            station_id=station.station_id,
            transaction_id=transaction_id,
            site_id=station.site_id,
            evse_id=evse_id,
            started_s=started_s,
            terms=self._terms(station.site_id, driver, vehicle),
            id_token_hash=driver,
            evccid_hash=vehicle,
        )

    def token_hash(self, id_token: str) -> str:
        """What is stored instead of an id token or EVCCID; "" for none."""
        return self._hash_token(id_token) if id_token else ""

    def learn_token(self, session: Session, id_token: str, evccid: str) -> None:
        """The driver became known after the session was opened."""
        session.id_token_hash = self.token_hash(id_token)
        session.evccid_hash = self.token_hash(evccid) or session.evccid_hash
        self.agree(session)

    def agree(self, session: Session) -> bool:
        """Look the terms up again. Returns whether they are others now."""
        terms = self._terms(session.site_id, session.id_token_hash, session.evccid_hash)
        if terms.authorized is None and session.terms.authorized is False:
            # Said before a restart, and nobody was asked since.
            terms = msgspec.structs.replace(terms, consent=False, authorized=False)
        if terms == session.terms:
            return False
        before = session.caps
        session.agree(terms)
        kept = {cap.account for cap in session.caps}
        self.accounts.leave(session.uid, [cap for cap in before if cap.account not in kept])
        return True

    def erase(self, subjects: set[str]) -> list[SessionRecord]:
        """Cut the link from open and remembered sessions to these pseudonyms."""
        found = [session for session in self.open.values() if session.id_token_hash in subjects or session.evccid_hash in subjects]
        records = [session.record() for session in found]
        for session in found:
            cut = session.record().without(subjects)
            session.id_token_hash, session.evccid_hash = cut.id_token_hash, cut.evccid_hash
        late = [record for record in self.ended.values() if record.id_token_hash in subjects or record.evccid_hash in subjects]
        for record in late:
            self.ended[record.station_id, record.transaction_id] = record.without(subjects)
        return records + late

    def admit(self, record: SessionRecord) -> Session:
        """Open a session from its record, in a row of its own."""
        self._next_uid = max(self._next_uid, record.session_uid + 1)
        station = self.station(record.station_id)
        row = self.columns.take(record.session_uid, (record.station_id, record.transaction_id))
        session = Session(record, row)
        self.open[session.uid] = session
        station.sessions[session.transaction_id] = session
        self.ended.pop((record.station_id, record.transaction_id), None)
        self.columns.station[row] = station.index
        session.orders.write(self.columns, row)
        if session.evse_id != WHOLE_STATION:
            station.at[session.evse_id] = session
        self.show(session, station)
        return session

    def readmit(self, record: SessionRecord) -> None:
        """After a start: an open session is opened again, an ended one is remembered. Its station's site is where it is."""
        if record.ended_s is not None:
            self._next_uid = max(self._next_uid, record.session_uid + 1)
            self.remember(record)
            return
        station = self.station(record.station_id)
        self.admit(msgspec.structs.replace(record, site_id=station.site_id))

    def place(self, session: Session, station: Station, evse_id: EvseId) -> None:
        """The EVSE of a session became known (or was corrected). Whoever is open there must have been closed before."""
        if station.at.get(session.evse_id) is session:
            del station.at[session.evse_id]
        session.evse_id = evse_id
        station.at[evse_id] = session
        self.claim_needs(session, station)
        self.show(session, station)

    def claim_needs(self, session: Session, station: Station) -> None:
        """Charging needs that came before their transaction was known are its own, when they are not too old."""
        needs = station.early_needs.pop(session.evse_id, None)
        if needs is not None and needs.at_s >= session.started_s - self.settings.early_needs_s:
            self.take_needs(session, needs)

    def take_needs(self, session: Session, needs: ChargingNeedsReported) -> None:
        """New charging needs of an open session; their state of charge counts like a reported one."""
        session.take_needs(needs, self.settings)
        if needs.soc_frac is not None and needs.at_s >= session.soc_at_s:
            take_soc(session, self.columns, needs.soc_frac, needs.at_s, self.settings)

    def dismiss(self, session: Session, ended_s: float, last_export_wh: float = nan) -> SessionRecord:
        """A session is over: its row is free, its record is remembered for late messages; its last register is booked."""
        export_wh = session.export_wh if isnan(last_export_wh) else last_export_wh
        at_s = session.export_at_s if isnan(last_export_wh) else ended_s
        book_register(session, self.accounts, export_wh, min(at_s, self.now_s), session.capacity_wh(self.settings), self.now_s)
        self._book_offered(session)
        self.accounts.leave(session.uid, session.caps)
        station = self.stations[session.station_id]
        record = session.record(ended_s=ended_s)
        del self.open[session.uid]
        del station.sessions[session.transaction_id]
        if station.at.get(session.evse_id) is session:
            del station.at[session.evse_id]
        self.columns.release(session.row)
        self.remember(record)
        return record

    def count_late(self, record: SessionRecord, export_wh: float) -> None:
        """A latecomer of an ended session: what its register shows beyond the last reading is booked too."""
        caps = [cap for cap in caps_of(record.session_uid, record.terms) if self.accounts.knows(cap.account, record.session_uid)]
        self.accounts.count(
            record.session_uid, caps, export_wh, self.now_s, capacity_wh=nan, timezone=record.terms.timezone, now_s=self.now_s
        )

    def remember(self, record: SessionRecord) -> None:
        """Keep an ended session's record; the oldest are forgotten."""
        key = (record.station_id, record.transaction_id)
        self.ended.pop(key, None)
        self.ended[key] = record
        if len(self.ended) > self.settings.ended_sessions_kept:
            del self.ended[next(iter(self.ended))]

    def show(self, session: Session, station: Station) -> None:
        """Write everything but the meter readings into the session's row."""
        columns, row, evse_id = self.columns, session.row, session.evse_id
        columns.site[row] = self._topology.site_index(session.site_id)
        columns.supply[row] = self._topology.supply_of(session.site_id, station.station_id, evse_id)
        columns.evse_id[row] = evse_id
        columns.connected[row] = station.connected
        columns.phase[row] = session.phase
        columns.evse_fault[row] = session.abnormal or station.faulty(evse_id)
        columns.grid_fault[row] = station.grid_fault()
        columns.control_mode[row] = station.control_mode(evse_id)
        columns.conflict[row] = session.conflict
        columns.priority_charging[row] = session.priority_charging
        columns.external_discharge_w[row], columns.external_ahead_w[row], columns.external_ahead_s[row] = session.cap
        session.interval_confirmed = station.meter_interval_s is not None
        columns.meter_interval_s[row] = session.observed_interval_s if station.meter_interval_s is None else station.meter_interval_s
        session.settled = False
        bounds = bounds_of(columns, row)
        session.named_capacity_wh, session.named_charge_w = station.named_for(evse_id)
        session.write_needs(columns, self.settings, station.rated_discharge_w(evse_id))
        self._book_offered(session)
        write_bounds(session, columns, self.accounts, self.now_s, self.settings, bounds)
        columns.given_share[row] = self.accounts.given_share(session.caps)
        self.revisit_s = min(self.revisit_s, session.revisit_s)

    def _book_offered(self, session: Session) -> None:
        """What the session could have given goes onto its account."""
        if self.now_s > 0.0:
            offered_wh = self.columns.offered_wh[session.row]
            self.columns.offered_wh[session.row] = 0.0
            self.accounts.offer(session.caps, offered_wh, timezone=session.terms.timezone, now_s=self.now_s)

    def revisit(self, now_s: float) -> None:
        """Look again at the sessions whose blackout or day has turned, and at orders whose next period has begun."""
        self.now_s = now_s
        while self._edges and self._edges[0][0] <= now_s:
            session = self.open.get(heapq.heappop(self._edges)[1])
            if session is not None:
                session.orders.pass_to(now_s)
                session.orders.write(self.columns, session.row)
        if now_s < self.revisit_s:
            return
        self.revisit_s = inf
        for session in self.open.values():
            if session.revisit_s <= now_s:
                self.show(session, self.stations[session.station_id])
            self.revisit_s = min(self.revisit_s, session.revisit_s)

    def told(self, session: Session, order: Order) -> None:
        """An order may be in force from now on: its row is looked at again at the begin of each of its periods."""
        for step in order.later:
            heapq.heappush(self._edges, (step.from_s, session.uid))
        session.orders.write(self.columns, session.row)

    def show_all(self, station: Station) -> None:
        """The same for all sessions of a station."""
        for session in station.sessions.values():
            self.show(session, station)
