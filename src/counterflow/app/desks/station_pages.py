"""A page of stations out of many: filtered and sorted by what is at hand, and only the stations that are shown are worked out in full."""

from collections.abc import Callable, Sequence
from math import inf
from typing import Any

from counterflow.app.control_room import ControlRoom
from counterflow.app.desks.views import station_view
from counterflow.domain.ids import StationId
from counterflow.domain.resources import StationIdentity
from counterflow.domain.station_views import StationFilter, StationOrder, StationPage, StationQuery


def station_page(room: ControlRoom, query: StationQuery) -> StationPage:
    """Stations that match, sorted; those whose value is unknown come last, whichever way it is sorted."""
    registrations = room.registry.registrations
    found: list[StationId] = list(registrations)
    if query.site_id:
        found = [station_id for station_id in found if registrations[station_id].site_id == query.site_id]
    if query.only is not None:
        among = _among(room, query.only)
        found = [station_id for station_id in found if among(station_id)]
    if query.search:
        wanted = query.search.casefold()
        found = [station_id for station_id in found if any(wanted in part.casefold() for part in _words(room, station_id))]
    shown = _sorted(room, found, query)[query.offset : query.offset + query.limit]
    views = (station_view(room, station_id) for station_id in shown)
    return StationPage(
        total=len(registrations),
        connected=len(room.connected),
        held_out=len(room.conflicts.held_out),
        matched=len(found),
        stations=tuple(view for view in views if view is not None),
    )


def _among(room: ControlRoom, only: StationFilter) -> Callable[[StationId], bool]:
    match only:
        case StationFilter.CONNECTED:
            return room.connected.__contains__
        case StationFilter.AWAY:
            return lambda station_id: station_id not in room.connected
        case StationFilter.HELD_OUT:
            return room.conflicts.held_out.__contains__


def _identity(room: ControlRoom, station_id: StationId) -> StationIdentity:
    known = room.registry.discoveries.get(station_id)
    return known.identity if known is not None else StationIdentity.unknown()


def _words(room: ControlRoom, station_id: StationId) -> tuple[str, ...]:
    """What is searched."""
    identity = _identity(room, station_id)
    return station_id, room.registry.registrations[station_id].site_id, identity.vendor_name, identity.model, identity.serial_number


def _sorted(room: ControlRoom, found: Sequence[StationId], query: StationQuery) -> list[StationId]:
    key = _key(room, query.sort)
    known = [station_id for station_id in found if key(station_id) not in ("", inf)]
    unknown = sorted(station_id for station_id in found if key(station_id) in ("", inf))
    return sorted(known, key=lambda station_id: (key(station_id), station_id), reverse=query.descending) + unknown


def _key(room: ControlRoom, by: StationOrder) -> Callable[[StationId], Any]:
    match by:
        case StationOrder.STATION:
            return lambda station_id: station_id
        case StationOrder.SITE:
            return lambda station_id: room.registry.registrations[station_id].site_id
        case StationOrder.MODEL:
            return lambda station_id: " ".join((_identity(room, station_id).vendor_name, _identity(room, station_id).model)).strip()
        case StationOrder.SESSIONS:
            return room.fleet.count_at
        case StationOrder.PROFILES:
            return lambda station_id: len(room.ledger.of_station(station_id))
        case StationOrder.HEARD:
            return lambda station_id: room.last_seen_s.get(station_id, inf)
