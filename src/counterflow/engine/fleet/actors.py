"""Reports that are not about a transaction: connection, discovery, faults, and other actors who steer."""

from __future__ import annotations

from math import isnan
from typing import Any

from counterflow.domain.conflicts import Conflict, DischargeCap
from counterflow.domain.ids import SessionUid
from counterflow.domain.reasons import DropOutKind
from counterflow.domain.telemetry import (
    Availability,
    CapabilitiesDiscovered,
    EvseStatusChanged,
    GridFaultReported,
    PriorityChargingChanged,
    StationConnected,
    StationDisconnected,
)
from counterflow.engine.fleet.applied import NOTHING, Applied
from counterflow.engine.fleet.roster import Roster
from counterflow.engine.fleet.stations import WHOLE_STATION, Station


def connected(roster: Roster, event: StationConnected) -> Applied:
    """The socket is open: its sessions are there again, and need a fresh sample before they are asked for anything."""
    station = roster.station(event.station_id)
    station.connected = True
    return _shown(roster, station)


def disconnected(roster: Roster, event: StationDisconnected) -> Applied:
    """The socket is gone. Its cars may still discharge, so their orders stay in the rows; they cannot be told anything new."""
    station = roster.station(event.station_id)
    was_connected, station.connected = station.connected, False
    for session in station.sessions.values():
        session.forget_freshness(roster.columns)
    roster.show_all(station)
    return _lost(station, set(_uids(station)) if was_connected else set(), DropOutKind.OFFLINE)


def discovered(roster: Roster, event: CapabilitiesDiscovered) -> Applied:
    """Discovery is through. A session without an EVSE belongs to the only one, where there is but one."""
    station = roster.station(event.station_id)
    station.discovered(event.evses, event.meter_interval_s)
    only = station.only_evse()
    lodger = station.lodger()
    if only == WHOLE_STATION or lodger is None:
        return _shown(roster, station)
    roster.place(lodger, station, only)
    roster.show_all(station)
    return Applied(changed=(lodger.record(),), wake=True)


def status_changed(roster: Roster, event: EvseStatusChanged) -> Applied:
    """A connector's status. A fault takes the EVSE's session out; a good status clears what a transaction called abnormal."""
    station = roster.station(event.station_id)
    before = _where(station, roster.columns.evse_fault, True)
    station.note_status(event)
    session = station.at.get(event.evse_id)
    if session is not None and event.availability in (Availability.OCCUPIED, Availability.AVAILABLE):
        session.abnormal = False
    roster.show_all(station)
    return _lost(station, _where(station, roster.columns.evse_fault, True) - before, DropOutKind.FAULTED)


def grid_fault_reported(roster: Roster, event: GridFaultReported) -> Applied:
    """A DER alarm: the inverter trips or limits itself, for all sessions of the station, until every alarm has ended."""
    station = roster.station(event.station_id)
    before = _where(station, roster.columns.grid_fault, True)
    station.note_alarm(event)
    roster.show_all(station)
    return _lost(station, _where(station, roster.columns.grid_fault, True) - before, DropOutKind.FAULTED)


def judged(roster: Roster, uid: SessionUid, conflict: Conflict, cap: DischargeCap) -> Applied:
    """What other actors mean for an open session became known, or has changed. A cap of 0 W takes it out."""
    session = roster.open.get(uid)
    if session is None or (session.conflict is conflict and _same(session.cap, cap)):
        return NOTHING
    was_out = session.conflict is not Conflict.NONE or session.cap.now_w == 0.0
    session.conflict, session.cap = conflict, cap
    columns, row = roster.columns, session.row
    columns.conflict[row] = conflict
    columns.external_discharge_w[row], columns.external_ahead_w[row], columns.external_ahead_s[row] = cap
    is_out = conflict is not Conflict.NONE or cap.now_w == 0.0
    return Applied(left=((uid, DropOutKind.WITHDRAWN),) if is_out and not was_out else (), wake=True)


def _same(one: DischargeCap, other: DischargeCap) -> bool:
    """Equal, where unknown equals unknown."""
    return all(a == b or (isnan(a) and isnan(b)) for a, b in zip(one, other, strict=True))


def priority_changed(roster: Roster, event: PriorityChargingChanged) -> Applied:
    """The driver pressed for full power, or no longer does."""
    station = roster.station(event.station_id)
    session = station.sessions.get(event.transaction_id)
    if session is None or session.priority_charging == event.activated:
        return NOTHING
    session.priority_charging = event.activated
    roster.show(session, station)
    left = ((session.uid, DropOutKind.WITHDRAWN),) if event.activated else ()
    return Applied(changed=(session.record(),), left=left, wake=True)


def _shown(roster: Roster, station: Station) -> Applied:
    roster.show_all(station)
    return Applied(wake=True) if station.sessions else NOTHING


def _uids(station: Station) -> list[SessionUid]:
    return [session.uid for session in station.sessions.values()]


def _where(station: Station, column: memoryview[Any], barred: object) -> set[SessionUid]:
    """The station's sessions whose cell holds the value that bars them."""
    return {session.uid for session in station.sessions.values() if column[session.row] == barred}


def _lost(station: Station, uids: set[SessionUid], kind: DropOutKind) -> Applied:
    if not station.sessions:
        return NOTHING
    return Applied(left=tuple((uid, kind) for uid in sorted(uids)), wake=True)
