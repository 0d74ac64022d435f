"""From images and records to what people are shown: discharge positive, unknown as None."""

from collections import Counter

import numpy as np

from counterflow.app.control_room import ControlRoom
from counterflow.domain.ids import DispatchId, SessionUid, StationId
from counterflow.domain.instructions import DispatchInstruction, DispatchState, Feasibility
from counterflow.domain.reasons import REASON_WORDS, Reason
from counterflow.domain.resources import StationIdentity
from counterflow.domain.setpoints import SetpointState
from counterflow.domain.telemetry import TransactionPhase
from counterflow.domain.views import DispatchView, FleetView, SessionView, StationView
from counterflow.engine.control.book import OPEN_STATES, ordered_power_w
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.snapshot import FleetImage

OUTLOOK_S = 900.0
"""Availability outside a dispatch is shown for the coming quarter of an hour."""


def fleet_view(room: ControlRoom, now_s: float) -> FleetView:
    """The whole fleet at `now_s`."""
    image = room.fleet.snapshot(now_s)
    cap = room.dispatcher.capability_now(image, now_s + OUTLOOK_S)
    occupied = image.occupied
    measured = occupied & ~np.isnan(image.power_w) & ~cap.silent
    ready = occupied & (cap.reason == Reason.READY)
    counts = np.bincount(cap.reason[occupied].astype(np.int64), minlength=len(Reason))
    running = room.dispatcher.book.in_state(DispatchState.RUNNING)
    figures = [room.dispatcher.book.tasks[item.dispatch_id].figures for item in running]
    headroom = [item.headroom_w for item in figures if item is not None]
    return FleetView(
        at_s=now_s,
        stations_known=len(room.registry.registrations),
        stations_connected=len(room.connected),
        sessions=int(occupied.sum()),
        sessions_ready=int(ready.sum()),
        reasons={Reason(code).name.lower(): int(count) for code, count in enumerate(counts) if count},
        measured_power_w=0.0 - float(image.power_w[measured].sum()) if measured.any() else None,
        unmeasured_sessions=int((occupied & ~measured).sum()),
        available_power_w=float(cap.sustained_power_w[ready].sum()),
        available_energy_wh=float(cap.energy_wh[ready].sum()),
        target_power_w=sum(ordered_power_w(item, now_s) for item in running) if running else None,
        headroom_power_w=float(sum(headroom)) if headroom else None,
        running_dispatches=tuple(item.dispatch_id for item in running),
        profiles_placed=len(room.ledger),
        messages_sent=sum(room.placement.messages_by_dispatch.values()),
        drop_outs=room.dispatcher.book.drop_outs,
        emergency_stop=room.dispatcher.latch.on,
    )


def sessions_by_station(room: ControlRoom) -> Counter[StationId]:
    """How many open sessions each station has."""
    keys = (room.fleet.key_of(uid) for uid in room.fleet.uids())
    return Counter(key[0] for key in keys if key is not None)


def station_view(room: ControlRoom, station_id: StationId, sessions: Counter[StationId]) -> StationView | None:
    """One station, or None when it is not known."""
    registration = room.registry.registrations.get(station_id)
    if registration is None:
        return None
    known = room.registry.discoveries.get(station_id)
    return StationView(
        station_id=station_id,
        site_id=registration.site_id,
        registered=not registration.accepted_unregistered,
        connected=station_id in room.connected,
        subprotocol=room.connected.get(station_id),
        identity=known.identity if known else StationIdentity.unknown(),
        last_seen_s=room.last_seen_s.get(station_id),
        evses=known.evses if known else (),
        meter_interval_s=known.meter_interval_s if known else None,
        refusals=known.refusals if known else (),
        sessions=sessions[station_id],
        profiles=len(room.ledger.of_station(station_id)),
        password_set=registration.password_hash is not None,
    )


def session_views(room: ControlRoom, now_s: float) -> list[SessionView]:
    """All open sessions, by station and transaction."""
    image = room.fleet.snapshot(now_s)
    cap = room.dispatcher.capability_now(image, now_s + OUTLOOK_S)
    rows = sorted(np.flatnonzero(image.occupied).tolist(), key=lambda row: image.keys[row] or ("", ""))
    return [_session_view(room, image, cap, row, now_s) for row in rows]


def _session_view(room: ControlRoom, image: FleetImage, cap: Capability, row: int, now_s: float) -> SessionView:
    key = image.keys[row]
    assert key is not None, "an occupied row has a key"
    uid = SessionUid(int(image.uid[row]))
    reason = Reason(int(cap.reason[row]))
    gains = room.dispatcher.response.gains()
    return SessionView(
        session_uid=uid,
        station_id=key[0],
        transaction_id=key[1],
        site_id=room.topology.site_ids[int(image.site[row])],
        evse_id=int(image.evse_id[row]),
        reason=reason.name.lower(),
        reason_text=REASON_WORDS[reason],
        phase=TransactionPhase(int(image.phase[row])).name.lower(),
        started_s=_known(image.started_s[row]),
        soc_frac=_known(cap.soc_frac[row]),
        soc_age_s=_age(image.soc_at_s[row], now_s),
        soc_floor_frac=_known(image.soc_floor_frac[row]),
        energy_above_floor_wh=_known(cap.energy_wh[row]),
        departure_s=_known(image.departure_s[row]),
        energy_needed_wh=_known(image.target_request_wh[row]),
        laxity_s=_known(cap.laxity_s[row]),
        power_w=_turned(image.power_w[row]),
        power_age_s=_age(image.power_at_s[row], now_s),
        available_power_w=_known(cap.sustained_power_w[row]) if reason is Reason.READY else 0.0,
        export_wh=_known(image.export_wh[row]),
        import_wh=_known(image.import_wh[row]),
        register_age_s=_age(image.register_at_s[row], now_s),
        setpoint_w=_turned(image.setpoint_w[row]),
        setpoint_age_s=_age(image.setpoint_at_s[row], now_s),
        setpoint_state=SetpointState(int(image.setpoint_state[row])).name.lower(),
        gain=_known(gains[row]) if row < len(gains) else None,
        dispatch_id=room.dispatcher.book.owner.get(uid),
    )


def dispatch_view(room: ControlRoom, dispatch_id: DispatchId, now_s: float) -> DispatchView | None:
    """One dispatch, or None."""
    instruction = room.dispatcher.book.instructions.get(dispatch_id)
    return None if instruction is None else view_of(room, instruction, now_s)


def view_of(room: ControlRoom, instruction: DispatchInstruction, now_s: float) -> DispatchView:
    """An instruction (perhaps only drawn up for a dry run) with what is going on in it."""
    task = room.dispatcher.book.tasks.get(instruction.dispatch_id)
    figures = task.figures if task is not None and instruction.state in OPEN_STATES else None
    ordered_w = ordered_power_w(instruction, now_s) if instruction.state is DispatchState.RUNNING else None
    return DispatchView(
        instruction=instruction,
        feasibility=instruction.feasibility or NOTHING_FEASIBLE,
        target_power_w=ordered_w,
        delivered_power_w=task.delivered_power_w if task else None,
        delivered_energy_wh=task.delivered_energy_wh if task else None,
        expected_power_w=figures.expected_w if figures else None,
        headroom_power_w=figures.headroom_w if figures else None,
        shortfall_power_w=max(figures.shortfall_w, (ordered_w or 0.0) - figures.target_w) if figures and ordered_w is not None else None,
        members=len(task.members) if task else 0,
        discharging=figures.discharging if figures else 0,
        drop_outs=task.drop_outs if task else room.dispatcher.book.past_drop_outs.get(instruction.dispatch_id, 0),
        messages_sent=room.placement.messages_by_dispatch[instruction.dispatch_id],
    )


NOTHING_FEASIBLE = Feasibility(
    expected_power_w=0.0,
    low_power_w=0.0,
    expected_energy_wh=0.0,
    low_energy_wh=0.0,
    committed_power_w=0.0,
    shortfall_power_w=0.0,
    sessions=0,
)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _turned(power_w: float) -> float | None:
    return None if np.isnan(power_w) else 0.0 - float(power_w)


def _age(at_s: float, now_s: float) -> float | None:
    return None if np.isnan(at_s) else max(0.0, now_s - float(at_s))
