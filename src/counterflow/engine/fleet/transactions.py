"""Transaction events, meter values and charging needs: how sessions open, change and end."""

from math import isnan, nan
from typing import assert_never

import msgspec

from counterflow.domain.ids import EvseId
from counterflow.domain.reasons import DropOutKind
from counterflow.domain.records import SessionRecord
from counterflow.domain.telemetry import (
    ChargingNeedsReported,
    ConnectedEvReported,
    EventKind,
    EvseMeasured,
    TransactionPhase,
    TransactionReported,
)
from counterflow.engine.fleet.applied import NOTHING, Applied, Loss
from counterflow.engine.fleet.lifecycle import EV_GONE_TRIGGERS, FAULT_TRIGGERS, MOVES, PHASE_DROP_OUT, Move, Standing, phase_of
from counterflow.engine.fleet.metering import take_measurement
from counterflow.engine.fleet.roster import Roster
from counterflow.engine.fleet.sessions import Session
from counterflow.engine.fleet.stations import WHOLE_STATION, Station

_ISO_15118 = "15118"
_UNKNOWN = TransactionPhase.UNKNOWN
_ENDED = EventKind.ENDED
_ORDINARY_TRIGGERS = frozenset({"MeterValuePeriodic", "MeterValueClock", "Trigger"})


def transaction_reported(roster: Roster, event: TransactionReported) -> Applied:
    """A TransactionEvent; which way it goes is in `lifecycle.MOVES`. The hot path is a sample of an open session."""
    station = roster.stations.get(event.station_id)
    if station is None:
        station = roster.station(event.station_id)
    session = station.sessions.get(event.transaction_id)
    if session is not None and event.kind is not _ENDED:
        return _update(roster, station, session, event)
    ended = roster.ended.get((event.station_id, event.transaction_id))
    standing = Standing.OPEN if session is not None else Standing.ABSENT if ended is None else Standing.ENDED
    move = MOVES[standing, event.kind]
    match move:
        case Move.OPEN:
            return _open(roster, station, event)
        case Move.UPDATE | Move.CLOSE:
            return _close(roster, station.sessions[event.transaction_id], event)
        case Move.RECORD_ENDED:
            return _record_ended(roster, station, event, event.at_s)
        case Move.REOPEN:
            return _reopen(roster, station, event)
        case Move.KEEP_LATE:
            return _lives_on(roster, station, event) or _keep_late(roster, event)
        case _:
            assert_never(move)


def evse_measured(roster: Roster, event: EvseMeasured) -> Applied:
    """MeterValues carry no transaction: they belong to the session that is open on the EVSE. EVSE 0 is the station's main meter."""
    station = roster.stations.get(event.station_id)
    session = None if station is None else station.at.get(event.evse_id)
    if station is None or session is None:
        return NOTHING
    taken = changed = False
    for sample in event.measurements:
        if sample.at_s >= session.started_s:
            taken = True
            changed = take_measurement(session, roster.columns, sample, event.received_s, True, roster.settings) or changed
    if changed:
        roster.show(session, station)
        return Applied(sampled=session.uid, changed=(session.record(),), wake=True)
    return session.quiet if taken else NOTHING


def found_over(roster: Roster, session: Session) -> Applied:
    """A transaction whose end was never told: it is taken to have ended with its last word, until the station says otherwise."""
    last_s = max(session.newest_s, session.phase_at_s, session.started_s)
    record = msgspec.structs.replace(roster.dismiss(session, min(last_s, roster.now_s)), end_assumed=True)
    roster.remember(record)
    return Applied(changed=(record,), left=((session.uid, DropOutKind.ENDED),), wake=True)


def needs_reported(roster: Roster, event: ChargingNeedsReported) -> Applied:
    """NotifyEVChargingNeeds carries no transaction: it belongs to the session on the EVSE, or to the one that starts there next."""
    station = roster.station(event.station_id)
    if event.at_s > event.received_s + roster.settings.max_clock_ahead_s:
        event = msgspec.structs.replace(event, at_s=event.received_s)
    session = station.at.get(event.evse_id)
    if session is None:
        station.early_needs[event.evse_id] = event
        return NOTHING
    if session.needs is not None and event.at_s < session.needs.at_s:
        return NOTHING
    lost = session.needs is not None and session.needs.bidirectional and not event.bidirectional
    roster.take_needs(session, event)
    roster.show(session, station)
    left: tuple[Loss, ...] = ((session.uid, DropOutKind.WITHDRAWN),) if lost else ()
    return Applied(changed=(session.record(),), left=left, wake=True)


def car_described(roster: Roster, event: ConnectedEvReported) -> Applied:
    """A car that announces no needs (CHAdeMO and the like) is known by its EVSE; what the car itself announced is never replaced.

    It agrees to no bidirectional transfer by that: only the driver's terms say that the EVSE discharges alone (decisions 5).
    """
    station, car = roster.station(event.station_id), event.car
    session = station.at.get(event.evse_id)
    announces_needs = car.protocol is None or _ISO_15118 in car.protocol
    if session is None or session.needs is not None or announces_needs or (car.capacity_wh is None and car.max_energy_request_wh is None):
        return NOTHING
    charge_w, assumed_w = car.max_charge_power_w, station.assumed_charge_w(event.evse_id)
    if charge_w is None and assumed_w is not None:
        charge_w = assumed_w * roster.settings.nameplate_share
    needs = ChargingNeedsReported(
        station_id=event.station_id,
        evse_id=event.evse_id,
        at_s=event.at_s,
        received_s=event.at_s,
        bidirectional=False,
        departure_s=car.departure_s,
        max_charge_power_w=charge_w,
        max_discharge_power_w=car.max_discharge_power_w,
        target_energy_request_wh=car.target_energy_request_wh,
        min_energy_request_wh=car.min_energy_request_wh,
        max_energy_request_wh=car.max_energy_request_wh,
        soc_frac=car.soc_frac,
        capacity_wh=car.capacity_wh,
    )
    return needs_reported(roster, needs)


def _update(roster: Roster, station: Station, session: Session, event: TransactionReported) -> Applied:
    if event.offline:
        roster.late_events += 1
    if session.seen_before(event.seq_no, event.at_s, event.kind):
        roster.repeated_events += 1
        return NOTHING
    learned = False
    for sample in event.measurements:
        if take_measurement(session, roster.columns, sample, event.received_s, not event.offline, roster.settings):
            learned = True
    phase = event.phase
    if (
        learned
        or (phase is not session.phase and phase is not _UNKNOWN)
        or event.trigger not in _ORDINARY_TRIGGERS
        or (event.evse_id != session.evse_id and event.evse_id != WHOLE_STATION)
        or event.id_token
        or (event.phases_used and event.phases_used != session.phases)
    ):
        return _change(roster, station, session, event, learned)
    if phase is not _UNKNOWN and event.at_s > session.phase_at_s:
        session.phase_at_s = event.at_s
    return session.quiet if event.measurements else NOTHING


def _change(roster: Roster, station: Station, session: Session, event: TransactionReported, learned: bool) -> Applied:
    """An event that may change more than readings: phase, fault, EVSE, driver."""
    left: list[Loss] = []
    displaced: tuple[SessionRecord, ...] = ()
    before, was_abnormal = session.record(), session.abnormal
    _take_phase(session, event, left)
    session.phases = event.phases_used or session.phases
    if event.kind is EventKind.STARTED:
        session.started_s = min(session.started_s, event.at_s)
    if event.id_token and not session.id_token_hash:
        roster.learn_token(session, event.id_token, event.evccid)
    if event.evse_id not in (WHOLE_STATION, session.evse_id):
        settled = station.at.get(event.evse_id)
        if settled is not None and settled.started_s > session.started_s:
            # The newer transaction on this EVSE shows that the one spoken of is over, and we missed its Ended.
            record = roster.dismiss(session, settled.started_s)
            sampled = session.uid if event.measurements else NOTHING.sampled
            return Applied(sampled=sampled, changed=(record,), left=((session.uid, DropOutKind.ENDED),), wake=True)
        displaced = _vacate(roster, station, event.evse_id, event.at_s)
        left.extend((record.session_uid, DropOutKind.ENDED) for record in displaced)
        roster.place(session, station, event.evse_id)
    after = session.record()
    roster.show(session, station)
    changed = (*displaced, after) if learned or after != before else displaced
    sampled = session.quiet.sampled if event.measurements else NOTHING.sampled
    return Applied(sampled=sampled, changed=changed, left=tuple(left), wake=bool(changed or left) or session.abnormal != was_abnormal)


def _take_phase(session: Session, event: TransactionReported, left: list[Loss]) -> None:
    """The charging state, by its time; a loss counts once, when the car could be dispatched before."""
    phase = phase_of(event.trigger, event.phase)
    if phase is not None and event.at_s >= session.phase_at_s:
        drop_out = PHASE_DROP_OUT[phase]
        if drop_out is not None and PHASE_DROP_OUT[session.phase] is None:
            left.append((session.uid, DropOutKind.EV_GONE if event.trigger in EV_GONE_TRIGGERS else drop_out))
        session.phase = phase
        session.phase_at_s = event.at_s
        if phase is TransactionPhase.CHARGING:
            session.abnormal = False
    if event.trigger in FAULT_TRIGGERS and not event.offline and not session.abnormal:
        session.abnormal = True
        left.append((session.uid, DropOutKind.FAULTED))


def _open(roster: Roster, station: Station, event: TransactionReported) -> Applied:
    """A transaction that we did not know. It takes the place of an older one on its EVSE (whose Ended we missed)."""
    evse_id = event.evse_id if event.evse_id != WHOLE_STATION else station.only_evse()
    settled = station.at.get(evse_id)
    if settled is not None and settled.started_s > event.at_s:
        return _record_ended(roster, station, event, settled.started_s)
    displaced = _vacate(roster, station, evse_id, event.at_s)
    session = roster.admit(_record_for(roster, station, event, evse_id))
    roster.claim_needs(session, station)
    if event.phase is not TransactionPhase.UNKNOWN:
        session.phase_at_s = event.at_s
    session.seen_before(event.seq_no, event.at_s, event.kind)
    for sample in event.measurements:
        take_measurement(session, roster.columns, sample, event.received_s, not event.offline, roster.settings)
    roster.show(session, station)
    return Applied(
        sampled=session.uid if event.measurements else NOTHING.sampled,
        changed=(*displaced, session.record()),
        left=tuple((record.session_uid, DropOutKind.ENDED) for record in displaced),
        wake=True,
    )


def _reopen(roster: Roster, station: Station, event: TransactionReported) -> Applied:
    """A Started for an id that has ended: a new session when it is later and live, else a latecomer of the old one."""
    ended_s = roster.ended[event.station_id, event.transaction_id].ended_s
    if ended_s is not None and event.at_s > ended_s and not event.offline:
        return _open(roster, station, event)
    return _keep_late(roster, event)


def _lives_on(roster: Roster, station: Station, event: TransactionReported) -> Applied | None:
    """A transaction whose end was only assumed, and that goes on: it is adopted like one that we lost. None = it is not so."""
    record = roster.ended[event.station_id, event.transaction_id]
    lives = record.end_assumed and event.kind is EventKind.UPDATED and not event.offline and event.at_s > (record.ended_s or 0.0)
    if not lives:
        return None
    if event.evse_id == WHOLE_STATION:
        event = msgspec.structs.replace(event, evse_id=record.evse_id)
    return _open(roster, station, event)


def _close(roster: Roster, session: Session, event: TransactionReported) -> Applied:
    record = roster.dismiss(session, event.at_s, _last_export_wh(event, session.export_wh))
    return Applied(
        sampled=session.uid if event.measurements else NOTHING.sampled,
        changed=(record,),
        left=((session.uid, DropOutKind.ENDED),),
        wake=True,
    )


def _record_ended(roster: Roster, station: Station, event: TransactionReported, ended_s: float) -> Applied:
    """A transaction that was over before we heard of it: recorded, never opened."""
    record = msgspec.structs.replace(_record_for(roster, station, event, event.evse_id), ended_s=ended_s)
    roster.remember(record)
    return Applied(sampled=record.session_uid if event.measurements else NOTHING.sampled, changed=(record,))


def _keep_late(roster: Roster, event: TransactionReported) -> Applied:
    """A latecomer of an ended session: its meter values still count in settlement; the true end replaces an assumed one."""
    record = roster.ended[event.station_id, event.transaction_id]
    roster.count_late(record, _last_export_wh(event, nan))
    changed: tuple[SessionRecord, ...] = ()
    if event.kind is EventKind.ENDED:
        if event.at_s == record.ended_s and not record.end_assumed:
            return NOTHING
        record = msgspec.structs.replace(record, ended_s=event.at_s, end_assumed=False)
        roster.remember(record)
        changed = (record,)
    return Applied(sampled=record.session_uid if event.measurements else NOTHING.sampled, changed=changed)


def _last_export_wh(event: TransactionReported, before_wh: float) -> float:
    """The export register after an event: its newest reading, or the one before where it has none."""
    readings = [sample for sample in event.measurements if not isnan(sample.export_wh)]
    return max(readings, key=lambda sample: sample.at_s).export_wh if readings else before_wh


def _record_for(roster: Roster, station: Station, event: TransactionReported, evse_id: EvseId) -> SessionRecord:
    ahead = event.at_s > event.received_s + roster.settings.max_clock_ahead_s
    record = roster.new_record(
        station, event.transaction_id, evse_id, event.received_s if ahead else event.at_s, event.id_token, event.evccid
    )
    phase = phase_of(event.trigger, event.phase)
    return msgspec.structs.replace(record, phase=0 if phase is None else int(phase), phases=event.phases_used)


def _vacate(roster: Roster, station: Station, evse_id: EvseId, at_s: float) -> tuple[SessionRecord, ...]:
    """End the session that is still open on an EVSE, if any."""
    settled = station.at.get(evse_id)
    return () if settled is None else (roster.dismiss(settled, at_s),)
