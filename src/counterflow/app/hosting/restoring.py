"""What a start knows again (I8): sessions, dispatches under way, profiles at stations, the emergency stop."""

from typing import Protocol

from counterflow.app.dispatching.dispatcher import Dispatcher
from counterflow.app.dispatching.placing import Placement
from counterflow.app.drivers.drivers import Drivers
from counterflow.app.drivers.experience import Experience
from counterflow.app.security.access import AccessBook
from counterflow.app.security.security_log import SecurityLog
from counterflow.app.stations.conflicts import Conflicts
from counterflow.app.stations.known_faults import KnownFaults
from counterflow.app.stations.registry import Registry
from counterflow.app.stations.transaction_numbers import TransactionNumbers
from counterflow.domain.records import DocumentKind
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.ports import Journal


class Rooms(Protocol):
    """All that is kept on disk, by who keeps it."""

    journal: Journal
    access: AccessBook
    registry: Registry
    security: SecurityLog
    numbers: TransactionNumbers
    drivers: Drivers
    experience: Experience
    faults: KnownFaults
    fleet: FleetState
    placement: Placement
    conflicts: Conflicts
    dispatcher: Dispatcher


def restore(rooms: Rooms, now_s: float) -> dict[str, int]:
    """Fill the rooms from the journal, those first that others look into; returns how much was known, by kind."""
    journal, fleet = rooms.journal, rooms.fleet
    rooms.access.restore()
    rooms.registry.restore()
    rooms.security.restore()
    rooms.numbers.restore()
    rooms.drivers.restore()
    rooms.experience.restore()
    for registration in rooms.registry.registrations.values():
        fleet.register(registration.station_id, registration.site_id)
    rooms.faults.restore()
    sessions = [record for _, record in journal.documents(DocumentKind.SESSION)]
    profiles = [record for _, record in journal.documents(DocumentKind.PROFILE)]
    still_open = [record for record in sessions if record.ended_s is None]
    fleet.restore(
        sessions,
        journal.last_samples([record.session_uid for record in still_open]),
        rooms.registry.discoveries.values(),
        profiles,
        now_s,
        [record for _, record in journal.documents(DocumentKind.ACCOUNT)],
    )
    for record in still_open:
        rooms.dispatcher.outlook.session_changed(record, now_s)
    for profile in profiles:
        rooms.placement.restore(profile)
    for _, path in journal.documents(DocumentKind.PATH):
        rooms.placement.paths.restore(path)
    rooms.conflicts.restore(still_open, now_s)
    for _, latch in journal.documents(DocumentKind.LATCH):
        rooms.dispatcher.latch = latch
    rooms.dispatcher.restore([instruction for _, instruction in journal.documents(DocumentKind.DISPATCH)], now_s)
    return {"sessions": len(still_open), "profiles": len(profiles), "stations": len(rooms.registry.registrations)}
