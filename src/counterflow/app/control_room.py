"""The whole server without a socket: texts from stations go in, texts to stations come out, time is an argument.

The gateway runs it in life and the simulation on a virtual clock. What `take_departing` gives may leave once the journal is durable
up to its position at that moment: so an answer is sent after its commit, and a profile after its ledger entry (decisions 8).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from counterflow.adapters.ocpp.csms import Csms, Outgoing
from counterflow.adapters.ocpp.discovery.dialogue import Errand
from counterflow.adapters.ocpp.handlers.context import WarningKind
from counterflow.adapters.ocpp.transport import Admission, Shown
from counterflow.app.config import Settings
from counterflow.app.dispatching.dispatcher import Dispatcher
from counterflow.app.dispatching.first_use import FirstUse
from counterflow.app.dispatching.placing import Placement
from counterflow.app.drivers.authorizing import Ask, Authorizing
from counterflow.app.drivers.drivers import Drivers
from counterflow.app.drivers.experience import Experience
from counterflow.app.drivers.pseudonyms import Pseudonyms
from counterflow.app.hosting.restoring import restore
from counterflow.app.security.access import AccessBook
from counterflow.app.security.security_log import SecurityLog
from counterflow.app.station_events import MEASURED, StationEvents
from counterflow.app.stations.conflicts import Conflicts
from counterflow.app.stations.doubtful_sessions import DoubtfulSessions
from counterflow.app.stations.known_faults import KnownFaults
from counterflow.app.stations.policy import Certifier, ConsentPolicy
from counterflow.app.stations.registry import Registry
from counterflow.app.stations.transaction_numbers import TransactionNumbers
from counterflow.app.stations.transfers import Transfers
from counterflow.app.stations.waiting import Called, Discovered, Waiting
from counterflow.domain.commands import Command, RawCall
from counterflow.domain.drivers import SessionOverride
from counterflow.domain.ids import EvseId, SessionUid, SiteId, StationId, TransactionId
from counterflow.domain.records import SessionRecord
from counterflow.domain.telemetry import (
    StationWarned,
)
from counterflow.domain.views import Notice
from counterflow.engine.control.ledger import ProfileLedger
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.fleet.terms import TermsResolver
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.ports import Journal


class ControlRoom(StationEvents):
    """Single-threaded. Build it, `restore()` it, then feed it."""

    def __init__(
        self,
        settings: Settings,
        journal: Journal,
        *,
        new_message_id: Callable[[], str],
        notify: Callable[[Notice], None],
        stopwatch: Callable[[], float] = lambda: 0.0,
        ask: Ask | None = None,
        pseudonym: Callable[[str], str] = Pseudonyms(b""),  # noqa: B008  # it has no state
    ) -> None:
        self.settings = settings
        self.journal = journal
        self.authorizing = Authorizing(settings.authorization, pseudonym, ask, self._token_settled)
        terms = TermsResolver(settings.drivers, pseudonym, self.authorizing.discharge_allowed)
        self.access = AccessBook(journal, settings.storage.audit_days)
        self.registry = Registry(settings.stations, journal, pseudonym)
        self.topology = Topology(settings.sites, settings.feeders)
        self.ledger = ProfileLedger(settings.ledger)
        self.fleet = FleetState(
            settings.fleet,
            self.topology,
            terms,
            hash_token=pseudonym,
        )
        self.faults = KnownFaults(self.fleet, journal)
        self.security = SecurityLog(journal)
        self.certifier: Certifier | None = None
        """Who signs what stations ask to be signed; None = nobody."""
        self.on_ended: Callable[[SessionRecord, float], object] = lambda _record, _now_s: None
        """Is told of each session that is over, and when that was heard."""
        self.drivers = Drivers(terms, self.fleet, journal, pseudonym)
        self.numbers = TransactionNumbers(journal)
        self.first_use = FirstUse(settings.ocpp.negative_limit_proof_s)
        policy = ConsentPolicy(
            self.registry,
            terms,
            pseudonym,
            self.ledger,
            settings.ocpp.heartbeat_interval_s,
            self._wanted,
            self._expel,
            self._refuse_signing,
            self.authorizing,
            lambda ticket, answer: self.csms.authorized(ticket, answer),
            self.numbers,
            self._open_transaction,
        )
        self.csms = Csms(settings.ocpp, policy, new_message_id, settings.ledger.first_profile_id)
        self.placement = Placement(
            fleet=self.fleet,
            ledger=self.ledger,
            journal=journal,
            link=self,
            settings=settings.placing,
            refusals=settings.refusals,
            clear_retry_s=settings.ledger.clear_retry_s,
        )
        self.conflicts = Conflicts(
            fleet=self.fleet,
            ledger=self.ledger,
            journal=journal,
            link=self,
            registry=self.registry,
            settings=settings.conflicts,
            notify=notify,
            apply=self._applied,
            paused=lambda: self.dispatcher.latch.on,
            call=self.call,
        )
        self.experience = Experience(journal, settings.priors, settings.response, self.registry.model_of)
        self.dispatcher = Dispatcher(
            fleet=self.fleet,
            topology=self.topology,
            placement=self.placement,
            journal=journal,
            notify=notify,
            capability_of=self.registry.capability_of,
            conflicts=self.conflicts,
            settings=settings.dispatcher,
            control=settings.control,
            response=settings.response,
            resume=settings.resume,
            capability_settings=settings.capability,
            feasibility=settings.feasibility,
            experience=self.experience,
            scheduled_start=settings.scheduled_start,
            charging=settings.settlement.baselines,
            baseline=settings.orders.baseline,
            curves=settings.curves,
            telemetry=settings.telemetry,
            stopwatch=stopwatch,
        )
        self.connected: dict[StationId, str] = {}
        self.transfers = Transfers(
            fleet=self.fleet,
            registry=self.registry,
            link=self,
            notify=notify,
            apply=self._applied,
            is_connected=lambda station_id: station_id in self.connected,
        )
        self.doubts = DoubtfulSessions(self.fleet, self, settings.doubts, settings.capability, self._applied)
        self.last_seen_s: dict[StationId, float] = {}
        self.warnings: Counter[str] = Counter()
        self.replaced_lines = 0
        """Lines that were still open when their station came with another."""
        self.recovered: Counter[str] = Counter()
        """What was known again at the start, by kind."""
        self._notify = notify
        self._expelled: list[tuple[StationId, str]] = []
        self._waiting = Waiting()

    # --- the line side (sim.world.CsmsSide, and the gateway's handler through app.server) ------------------------------------

    def admit(self, station_id: StationId, offered: Sequence[str], shown: Shown) -> Admission:
        """Decide on a handshake."""
        return self.registry.admit(station_id, offered, shown)

    def turned_away(self, station_id: StationId, why: str, peer: str, now_s: float) -> None:
        """The handshake of a station that is on the register was refused: somebody does not have what it should have."""
        if station_id in self.registry.registrations:
            self.security.note(station_id, "server", "refused", f"{why} (from {peer.rpartition(':')[0]})", now_s)

    def opened(self, station_id: str, subprotocol: str, now_s: float, certificate_names: tuple[str, ...] = ()) -> None:
        """A station's line is open. It usually comes back without BootNotification: the session is re-adopted by identity."""
        station = StationId(station_id)
        self.registry.certified.pop(station, None)  # of a line that this one replaces
        if certificate_names:
            self.registry.certified[station] = certificate_names
        registration = self.registry.entered(station, now_s)
        self.fleet.register(station, registration.site_id)
        # What the older line leaves open is settled before the new one is there: nothing may be said on it by mistake.
        if station in self.connected:
            self.replaced_lines += 1
            self._take_all(self.csms.close(station, now_s, "replaced by a new connection"), now_s)
        self.connected[station] = subprotocol
        self._take_all(self.csms.open(station, subprotocol, now_s, self.registry.discoveries.get(station)), now_s)

    def received(self, station_id: str, text: bytes, now_s: float) -> None:
        """One text from a station."""
        station = StationId(station_id)
        self.last_seen_s[station] = now_s
        for event in self.csms.receive(station, text, now_s):
            if isinstance(event, MEASURED):  # the usual case, at one call less
                self._measured(event, now_s)
            else:
                self._take(event, now_s)

    def closed(self, station_id: str, now_s: float, reason: str) -> None:
        """A station's line is gone. It may still be discharging."""
        station = StationId(station_id)
        self.connected.pop(station, None)
        self.registry.certified.pop(station, None)
        self._take_all(self.csms.close(station, now_s, reason), now_s)

    def advance(self, now_s: float) -> None:
        """Whatever is due: time-outs of calls, control ticks, a portion of a fan-out."""
        deadline_s = self.csms.next_deadline_s()
        if deadline_s is not None and deadline_s <= now_s:
            self._take_all(self.csms.on_deadline(now_s), now_s)
        self.dispatcher.advance(now_s)
        self.conflicts.advance(now_s)
        self.doubts.advance(now_s)

    def next_due_s(self) -> float | None:
        """When `advance` should be called next, or None."""
        due_s = (self.csms.next_deadline_s(), self.dispatcher.next_due_s(), self.conflicts.next_due_s(), self.doubts.next_due_s())
        return min((at_s for at_s in due_s if at_s is not None), default=None)

    def take_departing(self) -> list[Outgoing]:
        """Texts to stations since the last call, in order; they may leave once everything written so far is durable."""
        return self.csms.take_outbox()

    def take_expelled(self) -> list[tuple[StationId, str]]:
        """Stations whose line must be closed now, and why."""
        expelled, self._expelled = self._expelled, []
        return expelled

    def take_outbox(self) -> list[tuple[str, bytes]]:
        """The same for a journal that is durable at once."""
        return [(str(item.station_id), item.text) for item in self.take_departing()]

    # --- commands ------------------------------------------------------------------------------------------------------------

    def submit(self, command: Command, now_s: float) -> None:
        """`StationLink`: hand a command to its station."""
        for event in self.csms.submit(command, now_s):
            self._take(event, now_s)

    def call(self, station_id: StationId, action: str, payload: dict[str, Any], now_s: float, done: Called) -> None:
        """Send any request; `done` gets the result: Rejected with a sentence when the request is not valid OCPP."""
        self.submit(RawCall(station_id=station_id, action=action, payload=payload, token=self._waiting.for_call(done)), now_s)

    def forget_station(self, station_id: StationId, now_s: float) -> None:
        """A station was taken off the register: whatever goes on there is over for us, and recorded so."""
        self.registry.remove(station_id)
        self.security.forget(station_id)
        self.numbers.forget(station_id)
        self.faults.forget(station_id)
        self.last_seen_s.pop(station_id, None)
        self.conflicts.station_removed(station_id)
        self._applied(self.fleet.forget(station_id, now_s), now_s)

    def discover(self, station_id: StationId, errand: Errand, now_s: float, done: Discovered) -> bool:
        """Ask a station anew; `done` gets what came of it, None when its line is gone before. False = it cannot be asked now."""
        happened = self.csms.discover(station_id, errand, now_s)
        if happened is None:
            return False
        self._waiting.for_discovery(station_id, done)
        self._take_all(happened, now_s)
        return True

    def restore(self, now_s: float) -> None:
        """Know again what was known: sessions, dispatches under way, profiles at stations, the emergency stop (I8)."""
        self.recovered.update(restore(self, now_s))

    def override(self, uid: SessionUid, said: SessionOverride, now_s: float) -> None:
        """What a driver says for an open session; the next tick follows it. Raises KeyError when it is not open."""
        self._applied(self.fleet.override(uid, said, now_s), now_s)

    def lift_alarms(self, station_id: StationId, by: str, now_s: float) -> bool:
        """A person takes a station's DER alarms back; False = there are none."""
        ends = self.faults.alarms(station_id, now_s)
        self._take_all(ends, now_s)
        if ends:
            self._say(now_s, "station.released", station_id, f"its grid fault was lifted by {by}")
        return bool(ends)

    def agreements_changed(self, now_s: float) -> None:
        """Terms of drivers, vehicles or contracts are others now: open sessions follow."""
        self._applied(self.fleet.terms_changed(now_s), now_s)

    def _token_settled(self, driver: str, now_s: float) -> None:
        self._applied(self.fleet.terms_changed(now_s, driver), now_s)

    def _open_transaction(self, station_id: StationId, evse_id: EvseId) -> TransactionId | None:
        uid = self.fleet.uid_at(station_id, evse_id)
        key = None if uid is None else self.fleet.key_of(uid)
        return None if key is None else key[1]

    # --- asked by the rooms -----------------------------------------------------------------------------------------------------

    def _expel(self, station_id: StationId, why: str, now_s: float) -> None:
        """It is not who its certificate says: B01.FR.12."""
        self._expelled.append((station_id, why))
        self._take(StationWarned(station_id=station_id, at_s=now_s, kind=WarningKind.IMPOSTOR, text=why), now_s)

    def _refuse_signing(self, station_id: StationId, csr: str, kind: str, now_s: float) -> str | None:
        if self.certifier is None:
            return "This server signs no certificates."
        return self.certifier.refuse(station_id, csr, kind, now_s)

    def _wanted(self, site_id: SiteId) -> bool:
        return self.dispatcher.outlook.wants(self.topology.site_index(site_id))
