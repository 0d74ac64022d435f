"""What follows from what stations say: into the fleet state and the journal, and to whoever waits for it."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, assert_never

from counterflow.adapters.ocpp.handlers.context import WarningKind
from counterflow.app.dispatching.dispatcher import Dispatcher
from counterflow.app.dispatching.first_use import FirstUse
from counterflow.app.dispatching.placing import Placement
from counterflow.app.drivers.drivers import Drivers
from counterflow.app.security.security_log import SecurityLog
from counterflow.app.stations.conflicts import TELLING_TRIGGERS, Conflicts
from counterflow.app.stations.doubtful_sessions import DoubtfulSessions
from counterflow.app.stations.known_faults import KnownFaults
from counterflow.app.stations.policy import Certifier
from counterflow.app.stations.registry import Registry
from counterflow.app.stations.transfers import Transfers
from counterflow.app.stations.waiting import Waiting
from counterflow.domain.commands import OfferTransfer, PlaceDischarge, RawCall, ReadProfiles, ReadTransaction
from counterflow.domain.conflicts import HeldOut
from counterflow.domain.records import DocumentKind, SessionRecord
from counterflow.domain.setpoints import Rejected
from counterflow.domain.telemetry import (
    CapabilitiesDiscovered,
    CapabilitiesOutdated,
    CertificateRequested,
    CommandCompleted,
    CommandSent,
    ConnectedEvReported,
    EvseMeasured,
    SettingsChanging,
    StationBooted,
    StationConnected,
    StationDisconnected,
    StationEvent,
    StationWarned,
    TransactionReported,
    TransactionTold,
)
from counterflow.domain.views import Notice
from counterflow.engine.control.refusals import Reaction, reaction_to
from counterflow.engine.fleet.applied import NOTHING, Applied
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.ports import Journal

_SECURITY_WARNINGS: Final = frozenset({WarningKind.SECURITY, WarningKind.IMPOSTOR})
_QUESTIONS: Final = (RawCall, OfferTransfer, ReadTransaction, ReadProfiles)
MEASURED: Final = (TransactionReported, EvseMeasured)
_LEARNED: Final = (CapabilitiesDiscovered, SettingsChanging, CapabilitiesOutdated, ConnectedEvReported)


class StationEvents:
    """Part of `ControlRoom`."""

    fleet: FleetState
    journal: Journal
    registry: Registry
    placement: Placement
    first_use: FirstUse
    faults: KnownFaults
    security: SecurityLog
    certifier: Certifier | None
    drivers: Drivers
    conflicts: Conflicts
    dispatcher: Dispatcher
    transfers: Transfers
    doubts: DoubtfulSessions
    warnings: Counter[str]
    on_ended: Callable[[SessionRecord, float], object]
    _waiting: Waiting
    _notify: Callable[[Notice], None]

    def _take_all(self, events: Sequence[StationEvent], now_s: float) -> None:
        for event in events:
            self._take(event, now_s)

    def _take(self, event: StationEvent, now_s: float) -> None:
        if isinstance(event, CommandSent):
            self.placement.sent(event.command)
            if self.first_use.trials:
                self.first_use.sent(event.command)
            return
        if isinstance(event, CommandCompleted):
            self._completed(event, now_s)
            return
        if isinstance(event, MEASURED):
            self._measured(event, now_s)
            return
        self._applied(self.fleet.apply(event, now_s), now_s)
        if isinstance(event, StationConnected):  # a fleet that comes back at once is these two
            self._came(event, now_s)
            return
        if isinstance(event, StationBooted):
            self._booted(event, now_s)
            return
        self.faults.take(event)
        if isinstance(event, _LEARNED):
            self._learned(event, now_s)
        elif isinstance(event, StationWarned | CertificateRequested):
            self._safeguard(event, now_s)
        elif isinstance(event, TransactionTold):
            self.doubts.told(event, now_s)
        elif isinstance(event, StationDisconnected):
            self._waiting.discovered(event.station_id, None)
            self._say(now_s, "station.disconnected", event.station_id, event.reason)
        self.conflicts.take(event, now_s)

    def _came(self, event: StationConnected, now_s: float) -> None:
        station_id = event.station_id
        self._say(now_s, "station.connected", station_id, event.subprotocol)
        self.placement.station_back(station_id, now_s)
        self.transfers.station_back(station_id, now_s)
        self.dispatcher.wake(now_s)
        self.conflicts.station_online(station_id, now_s)

    def _booted(self, event: StationBooted, now_s: float) -> None:
        station_id = event.station_id
        if self.registry.booted(event):
            self.placement.paths.forget(station_id)
        self.placement.station_back(station_id, now_s)
        self.conflicts.hint(station_id, now_s)

    def _learned(self, event: CapabilitiesDiscovered | SettingsChanging | CapabilitiesOutdated | ConnectedEvReported, now_s: float) -> None:
        match event:
            case CapabilitiesDiscovered():
                self.registry.discovered(event)
                self._waiting.discovered(event.station_id, event)
                self.dispatcher.wake(now_s)
            case SettingsChanging():
                self.registry.changing(event)
            case CapabilitiesOutdated():
                self.registry.outdated(event)
                self.doubts.station_changed(event.station_id)
                self.placement.paths.forget(event.station_id)
            case ConnectedEvReported():
                self.registry.car_seen(event)
            case _:
                assert_never(event)

    def _safeguard(self, event: StationWarned | CertificateRequested, now_s: float) -> None:
        if isinstance(event, CertificateRequested):
            if self.certifier is not None:
                self.certifier.begin(event, now_s)
            return
        self.warnings[event.kind] += 1
        if event.kind in _SECURITY_WARNINGS:
            origin = "station" if event.kind == WarningKind.SECURITY else "server"
            self.security.note(event.station_id, origin, event.kind, event.text, now_s, event.at_s)

    def _measured(self, event: TransactionReported | EvseMeasured, now_s: float) -> None:
        applied = self.fleet.apply(event, now_s)
        if applied.sampled:
            for sample in event.measurements:
                self.journal.sample(
                    applied.sampled, now_s, sample.at_s, sample.power_w, sample.export_wh, sample.import_wh, sample.soc_frac
                )
        if applied.changed or applied.left or applied.wake:
            self._applied(applied, now_s)
        if self.first_use.trials:
            why = self.first_use.measured(event)
            if why is not None:
                self.conflicts.hold_out(HeldOut(station_id=event.station_id, at_s=now_s, text=why), now_s)
        if type(event) is TransactionReported and event.trigger in TELLING_TRIGGERS:
            self.conflicts.rate_changed(event, now_s)

    def _applied(self, applied: Applied, now_s: float) -> None:
        if applied is NOTHING:
            return
        for record in applied.changed:
            self.journal.put(DocumentKind.SESSION, str(record.session_uid), record)
            self.conflicts.session_changed(record, now_s)
            self.transfers.session_changed(record, now_s)
            self.dispatcher.outlook.session_changed(record, now_s)
            if record.ended_s is not None:
                self.first_use.ended(record.session_uid)
                self.dispatcher.session_ended(record.session_uid, record.station_id, now_s)
                self.on_ended(record, now_s)
        for uid, kind in applied.left:
            self.dispatcher.session_left(uid, kind, now_s)
        if applied.changed:
            self.drivers.keep_accounts()
        if applied.wake:
            self.dispatcher.wake(now_s)

    def _completed(self, event: CommandCompleted, now_s: float) -> None:
        command = event.command
        if isinstance(command, PlaceDischarge):
            self.first_use.placed(command, event.result, now_s)
        elif isinstance(command, _QUESTIONS):
            self._answered(command, event, now_s)
            return
        if isinstance(event.result, Rejected) and reaction_to(event.result) is Reaction.OTHER_LEVEL:
            self.conflicts.hint(event.station_id, now_s)
        refused = self.placement.completed(event, now_s)
        if refused is not None:
            self.dispatcher.refused(refused, now_s)
            if refused.response.reaction is Reaction.SESSION_GONE:
                self.doubts.suspect(refused.uid, now_s)

    def _answered(self, command: RawCall | OfferTransfer | ReadTransaction | ReadProfiles, event: CommandCompleted, now_s: float) -> None:
        """What places nothing goes to whoever asked."""
        match command:
            case RawCall():
                self._waiting.called(command.token, event.result)
            case OfferTransfer():
                self.transfers.completed(command, event.result, now_s)
            case ReadTransaction():
                self.doubts.completed(command, event.result, now_s)
            case ReadProfiles():
                self.conflicts.reports.completed(command, event, now_s)
            case _:
                assert_never(command)

    def _say(self, now_s: float, kind: str, subject: str, text: str) -> None:
        self._notify(Notice(at_s=now_s, kind=kind, subject=subject, text=text, values={}))
