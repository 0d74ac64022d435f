"""What people are shown of other actors: one line an EVSE where somebody else steers, or may."""

import asyncio
from collections.abc import Iterator

from counterflow.app.stations.conflicts import Conflicts
from counterflow.app.stations.registry import Registry
from counterflow.domain.conflicts import TX_PROFILE, Conflict, KnownProfiles, Telling
from counterflow.domain.ids import EvseId, StationId
from counterflow.domain.reasons import REASON_WORDS
from counterflow.domain.records import SessionRecord
from counterflow.domain.station_views import ConflictView
from counterflow.engine.conflicts.verdict import on_evse
from counterflow.engine.fleet.eligibility import CONFLICT_REASONS

_STEERING = frozenset({TX_PROFILE, "ChargingStationExternalConstraints", "PriorityCharging"})
"""Purposes that can take the power out of our hands; defaults and station limits are shown with their station."""


STATIONS_AT_ONCE = 100
"""So many are looked at before control gets its turn again: about 2 ms."""


async def conflict_views(conflicts: Conflicts, registry: Registry, now_s: float, *, untold: bool = True) -> list[ConflictView]:
    """All of them, by site, station and EVSE; without `untold` none where only the station cannot tell who else steers it."""
    stations = {station_id for station_id in registry.registrations if station_id in conflicts.known or conflicts.open_sessions(station_id)}
    views: list[ConflictView] = []
    for number, station_id in enumerate(stations | set(conflicts.held_out), start=1):
        views += _of_station(conflicts, registry, station_id, now_s, untold=untold)
        if number % STATIONS_AT_ONCE == 0:
            await asyncio.sleep(0.0)
    return sorted(views, key=lambda view: (view.site_id, view.station_id, view.evse_id))


def words_of(conflict: Conflict) -> str:
    """A conflict in words."""
    if conflict is Conflict.NONE:
        return "does not keep the car out of dispatch"
    return REASON_WORDS[CONFLICT_REASONS[conflict]]


def _of_station(conflicts: Conflicts, registry: Registry, station_id: StationId, now_s: float, *, untold: bool) -> Iterator[ConflictView]:
    known = conflicts.known.of(station_id)
    sessions = {record.evse_id: record for record in conflicts.open_sessions(station_id)}
    elsewhere = {one.evse_id for one in known.foreign if one.profile.purpose in _STEERING}
    if station_id in conflicts.held_out and not sessions:
        elsewhere |= {EvseId(0)}
    for evse_id in sorted(elsewhere | set(sessions)):
        record = sessions.get(evse_id)
        conflict = _conflict(conflicts, station_id, record, now_s)
        cannot_tell = untold and known.telling is Telling.UNSUPPORTED
        if record is None or conflict is not Conflict.NONE or cannot_tell or evse_id in elsewhere:
            yield ConflictView(
                site_id=registry.site_of(station_id),
                station_id=station_id,
                evse_id=evse_id,
                transaction_id=None if record is None else record.transaction_id,
                conflict=conflict.name.lower(),
                conflict_text=_text(conflicts, known, station_id, conflict),
                leader=conflicts.leader_at(station_id),
                profiles_telling=known.telling.value,
                profiles_told_at_s=known.at_s if known.telling is not Telling.UNKNOWN else None,
                other_profiles=on_evse(known.foreign, evse_id),
            )


def _conflict(conflicts: Conflicts, station_id: StationId, record: SessionRecord | None, now_s: float) -> Conflict:
    if record is not None:
        return conflicts.conflict_of(record, now_s)
    return Conflict.CONTRADICTS_ITSELF if station_id in conflicts.held_out else Conflict.NONE


def _text(conflicts: Conflicts, known: KnownProfiles, station_id: StationId, conflict: Conflict) -> str:
    if conflict is Conflict.CONTRADICTS_ITSELF:
        return conflicts.held_out[station_id].text
    if conflict is Conflict.NONE and known.telling is Telling.UNSUPPORTED:
        return f"the station cannot tell who else steers it ({known.text}); that alone does not keep the car out of dispatch"
    return words_of(conflict)
