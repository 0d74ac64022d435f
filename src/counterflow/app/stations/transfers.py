"""What follows when a session began charging only and could do more: a bidirectional transfer is offered, once."""

from collections.abc import Callable

from counterflow.app.stations.policy import BIDIRECTIONAL_TRANSFERS, ONE_WAY_TRANSFERS
from counterflow.app.stations.registry import Registry
from counterflow.domain.commands import OfferTransfer
from counterflow.domain.drivers import Upgrade
from counterflow.domain.ids import StationId
from counterflow.domain.records import SessionRecord
from counterflow.domain.setpoints import Accepted, CommandResult, NotSupported, Offline, Rejected, Superseded
from counterflow.domain.views import Notice
from counterflow.engine.fleet.applied import Applied
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.fleet.upgrade import upgrade_due
from counterflow.engine.ports import StationLink


class Transfers:
    """Hears of sessions that have changed; makes one offer for each session at most."""

    def __init__(
        self,
        *,
        fleet: FleetState,
        registry: Registry,
        link: StationLink,
        notify: Callable[[Notice], None],
        apply: Callable[[Applied, float], None],
        is_connected: Callable[[StationId], bool],
    ) -> None:
        """`apply` stores what changed in the fleet."""
        self._fleet = fleet
        self._registry = registry
        self._link = link
        self._notify = notify
        self._apply = apply
        self._is_connected = is_connected
        self._completing = False

    def session_changed(self, record: SessionRecord, now_s: float) -> None:
        """A session opened, changed or ended."""
        if self._completing or not self._is_connected(record.station_id):
            return
        evse = self._registry.capability_of(record.station_id, record.evse_id)
        if upgrade_due(record, None if evse is None else evse.service_renegotiation):
            self._offer(record, now_s)

    def station_back(self, station_id: StationId, now_s: float) -> None:
        """A station is connected again: what could not be offered before is offered now."""
        for record in self._fleet.records_at(station_id):
            self.session_changed(record, now_s)

    def completed(self, offer: OfferTransfer, result: CommandResult, now_s: float) -> None:
        """What became of an offer. New needs follow an accepted one; one that never left may be made again, no other."""
        upgrade = _upgrade(result)
        # An offer that a closing line did not take is made again when the station is back, not at once and for ever.
        self._completing = True
        try:
            self._apply(self._fleet.note_upgrade(offer.session_uid, upgrade), now_s)
        finally:
            self._completing = False
        text = f"bidirectional transfer {upgrade.value or 'not offered yet'}"
        self._notify(Notice(at_s=now_s, kind="session.upgrade", subject=str(offer.session_uid), text=text, values={}))

    def _offer(self, record: SessionRecord, now_s: float) -> None:
        # Noted before it leaves, so that a restart does not make the offer twice.
        self._apply(self._fleet.note_upgrade(record.session_uid, Upgrade.OFFERED), now_s)
        offer = OfferTransfer(
            station_id=record.station_id,
            transaction_id=record.transaction_id,
            session_uid=record.session_uid,
            transfers=(*ONE_WAY_TRANSFERS, *BIDIRECTIONAL_TRANSFERS),
        )
        self._link.submit(offer, now_s)


def _upgrade(result: CommandResult) -> Upgrade:
    match result:
        case Accepted():
            return Upgrade.ACCEPTED
        case Rejected():
            return Upgrade.REFUSED
        case NotSupported():
            return Upgrade.UNSUPPORTED
        case Offline() | Superseded():
            return Upgrade.NONE
        case _:
            return Upgrade.UNKNOWN
