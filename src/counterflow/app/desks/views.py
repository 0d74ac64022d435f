"""From images and records to what people are shown: discharge positive, unknown as None."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from counterflow.app.control_room import ControlRoom
from counterflow.domain.conflicts import Telling
from counterflow.domain.dispatch_views import DispatchView
from counterflow.domain.drivers import SessionOverride
from counterflow.domain.ids import DispatchId, SessionUid, StationId, TransactionId
from counterflow.domain.instructions import DispatchInstruction, DispatchState, Feasibility
from counterflow.domain.reasons import REASON_WORDS, Reason
from counterflow.domain.records import ProfileRecord
from counterflow.domain.resources import StationFacts, StationIdentity
from counterflow.domain.session_views import SessionView
from counterflow.domain.setpoints import SetpointState
from counterflow.domain.station_views import ProfileView, StationView
from counterflow.domain.telemetry import TransactionPhase
from counterflow.domain.units import format_instant
from counterflow.domain.views import FleetView
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.snapshot import F8, FleetImage
from counterflow.engine.grid.telemetry import count_stale, quality_of_sum

OUTLOOK_S = 900.0
"""Availability outside a dispatch is shown for the coming quarter of an hour."""


def fleet_view(room: ControlRoom, now_s: float) -> FleetView:
    """The whole fleet at `now_s`."""
    image = room.fleet.snapshot(now_s)
    cap = room.dispatcher.outlook.capability_now(image, now_s + OUTLOOK_S)
    occupied = image.occupied
    measured = occupied & ~np.isnan(image.power_w) & ~cap.silent
    ready = occupied & (cap.reason == Reason.READY)
    offer = room.dispatcher.outlook.offer(image, cap, OUTLOOK_S)
    counts = np.bincount(cap.reason[occupied].astype(np.int64), minlength=len(Reason))
    running = room.dispatcher.book.in_state(DispatchState.RUNNING)
    figures = [room.dispatcher.book.tasks[item.dispatch_id].figures for item in running]
    headroom = [item.headroom_w for item in figures if item is not None]
    trust = room.settings.telemetry
    stale = count_stale(now_s, image.power_at_s[measured], trust)
    return FleetView(
        at_s=now_s,
        stations_known=len(room.registry.registrations),
        stations_connected=len(room.connected),
        sessions=int(occupied.sum()),
        sessions_ready=int(ready.sum()),
        reasons={Reason(code).name.lower(): int(count) for code, count in enumerate(counts) if count},
        measured_power_w=0.0 - float(image.power_w[measured].sum()) if measured.any() else None,
        unmeasured_sessions=int((occupied & ~measured).sum()),
        available_power_w=offer.expected_power_w,
        available_energy_wh=offer.expected_energy_wh,
        target_power_w=sum(room.dispatcher.book.target_w(item, now_s) for item in running) if running else None,
        headroom_power_w=float(sum(headroom)) if headroom else None,
        running_dispatches=tuple(item.dispatch_id for item in running),
        profiles_placed=len(room.ledger),
        messages_sent=room.placement.messages_sent,
        drop_outs=room.dispatcher.book.drop_outs,
        emergency_stop=room.dispatcher.latch.on,
        quality=quality_of_sum(int(occupied.sum()), int((occupied & ~measured).sum()), stale, trust),
    )


def station_view(room: ControlRoom, station_id: StationId) -> StationView | None:
    """One station, or None when it is not known."""
    registration = room.registry.registrations.get(station_id)
    if registration is None:
        return None
    known, former = room.registry.discoveries.get(station_id), room.registry.former.get(station_id)
    told, held = room.conflicts.known.of(station_id), room.conflicts.held_out.get(station_id)
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
        refusals=(*(known.refusals if known else ()), *_not_stood_by(room, station_id)),
        facts=known.facts if known else StationFacts(),
        discovered_at_s=known.at_s if known and known.evses else None,
        outdated=known.outdated if known else "",
        hands_off=known is not None and known.hands_off and bool(known.evses),
        awaits_reboot=known is not None and known.awaits_reboot,
        changed_settings=former.changes if former else (),
        sessions=room.fleet.count_at(station_id),
        profiles=len(room.ledger.of_station(station_id)),
        password_set=registration.password_hash is not None,
        other_profiles=told.foreign,
        profiles_telling=told.telling.value,
        profiles_told_at_s=told.at_s if told.telling is not Telling.UNKNOWN else None,
        security_profile=registration.security_profile,
        held_out=held.text if held else None,
    )


def _not_stood_by(room: ControlRoom, station_id: StationId) -> Iterator[str]:
    """Control paths that an EVSE offers and refused, with the reason."""
    for record in room.placement.paths.closed_at(station_id):
        yield f"EVSE {record.evse_id} is not asked for the path '{record.path}' any more, until its firmware changes: {record.reason}"


class Seen(NamedTuple):
    """All sessions at one instant; `cap` looks `OUTLOOK_S` ahead, `gain` is what each car gives of what it is asked, (N,)."""

    image: FleetImage
    cap: Capability
    gain: F8


def look(room: ControlRoom, now_s: float) -> Seen:
    """What views of sessions are worked out from."""
    image, outlook = room.fleet.snapshot(now_s), room.dispatcher.outlook
    return Seen(image, outlook.capability_now(image, now_s + OUTLOOK_S), outlook.gains(image))


def session_view(room: ControlRoom, station_id: StationId, transaction_id: TransactionId, now_s: float) -> SessionView | None:
    """One open session, or None."""
    uid = room.fleet.uid_of(station_id, transaction_id)
    row = None if uid is None else room.fleet.row_of(uid)
    return None if row is None else views_of_rows(room, look(room, now_s), [row])[0]


def session_views(room: ControlRoom, uids: Iterable[SessionUid], now_s: float) -> list[SessionView]:
    """Those of `uids` that are open, by station and transaction."""
    seen = look(room, now_s)
    rows = [row for uid in uids if (row := room.fleet.row_of(uid)) is not None]
    return views_of_rows(room, seen, sorted(rows, key=lambda row: seen.image.keys[row] or ("", "")))


def views_of_rows(room: ControlRoom, seen: Seen, rows: list[int]) -> list[SessionView]:
    """The sessions of `rows`, all of them open still, worked out column by column: a hundred take about 1 ms."""
    image, cap = seen.image, seen.cap
    now_s = image.at_s
    ready = cap.reason[rows] == Reason.READY
    keys = [image.keys[row] or (StationId(""), TransactionId("")) for row in rows]
    uids = [SessionUid(uid) for uid in image.uid[rows].tolist()]
    reasons = cap.reason[rows].tolist()
    columns: dict[str, list[Any]] = {
        "session_uid": uids,
        "station_id": [station_id for station_id, _ in keys],
        "transaction_id": [transaction_id for _, transaction_id in keys],
        "site_id": [room.topology.site_ids[site] for site in image.site[rows].tolist()],
        "evse_id": image.evse_id[rows].tolist(),
        "reason": [_REASON_CODES[code] for code in reasons],
        "reason_text": [_REASON_TEXTS[code] for code in reasons],
        "phase": [_PHASES[code] for code in image.phase[rows].tolist()],
        "started_s": _known(image.started_s[rows]),
        "soc_frac": _known(cap.soc_frac[rows]),
        "soc_age_s": _age(image.soc_at_s[rows], now_s),
        "soc_floor_frac": _known(image.soc_floor_frac[rows]),
        "energy_above_floor_wh": _known(cap.energy_wh[rows]),
        "departure_s": _known(image.departure_s[rows]),
        "blackout_from_s": _known(image.blackout_from_s[rows]),
        "cap_left_wh": _cap_left(cap.reckoned.cap_left_wh[rows]),
        "override": [override_words(room.fleet.override_of(uid)) for uid in uids],
        "energy_needed_wh": _known(np.maximum(cap.reckoned.need_wh[rows], 0.0)),
        "needs_age_s": _age(image.needs_at_s[rows], now_s),
        "laxity_s": _known(cap.laxity_s[rows]),
        "power_w": _turned(image.power_w[rows]),
        "power_age_s": _age(image.power_at_s[rows], now_s),
        "available_power_w": _known(np.where(ready, cap.sustained_power_w[rows], 0.0)),
        "export_wh": _known(image.export_wh[rows]),
        "import_wh": _known(image.import_wh[rows]),
        "register_age_s": _age(image.register_at_s[rows], now_s),
        "setpoint_w": _turned(image.setpoint_w[rows]),
        "setpoint_age_s": _age(image.setpoint_at_s[rows], now_s),
        "setpoint_state": [_SETPOINT_STATES[code] for code in image.setpoint_state[rows].tolist()],
        "gain": _known(seen.gain[rows]),
        "dispatch_id": [room.dispatcher.book.owner.get(uid) for uid in uids],
        "pausing": [_REASON_CODES[code] for code in cap.reduction[rows].tolist()],
        "pausing_text": [_PAUSING_TEXTS.get(code, _REASON_TEXTS[code]) for code in cap.reduction[rows].tolist()],
        "reducible_power_w": np.where(cap.reduction[rows] == Reason.READY, np.fmax(image.power_w[rows], 0.0), 0.0).tolist(),
    }
    return [SessionView(**dict(zip(columns, values, strict=True))) for values in zip(*columns.values(), strict=True)]


_REASON_CODES = {int(reason): reason.name.lower() for reason in Reason}
_REASON_TEXTS = {int(reason): words for reason, words in REASON_WORDS.items()}
_PAUSING_TEXTS = {int(Reason.READY): "charging can be slowed or paused for a relative order"}
_PHASES = {int(phase): phase.name.lower() for phase in TransactionPhase}
_SETPOINT_STATES = {int(state): state.name.lower() for state in SetpointState}


def profile_view(record: ProfileRecord) -> ProfileView:
    """An entry of the ledger, discharge positive."""
    return ProfileView(
        profile_id=record.profile_id,
        evse_id=record.evse_id,
        transaction_id=record.transaction_id,
        kind=record.kind.value,
        state=record.state.value,
        power_w=0.0 - record.power_w,
        placed_at_s=record.placed_at_s,
        discharge_until_s=record.discharge_until_s,
        dispatch_id=record.dispatch_id or None,
    )


def dispatch_view(room: ControlRoom, dispatch_id: DispatchId, now_s: float) -> DispatchView | None:
    """One dispatch, or None."""
    instruction = room.dispatcher.book.instructions.get(dispatch_id)
    return None if instruction is None else view_of(room, instruction, now_s)


def view_of(room: ControlRoom, instruction: DispatchInstruction, now_s: float) -> DispatchView:
    """An instruction (perhaps only drawn up for a dry run) with what is going on in it."""
    task = room.dispatcher.book.tasks.get(instruction.dispatch_id)
    running = instruction.state is DispatchState.RUNNING
    figures = task.figures if task is not None and running else None  # what the last tick saw means nothing once nothing is steered
    ordered_w = room.dispatcher.book.target_w(instruction, now_s) if running else None
    return DispatchView(
        instruction=instruction,
        feasibility=instruction.feasibility or NOTHING_FEASIBLE,
        target_power_w=ordered_w,
        delivered_power_w=task.delivered_power_w if task else None,
        delivered_energy_wh=task.delivered_energy_wh if task else None,
        at_s=task.beat_at_s if task else None,
        quality=task.quality if task else None,
        expected_power_w=figures.expected_w if figures else None,
        headroom_power_w=figures.headroom_w if figures else None,
        shortfall_power_w=max(figures.shortfall_w, (ordered_w or 0.0) - figures.target_w) if figures and ordered_w is not None else None,
        members=len(task.members) if task else 0,
        discharging=figures.discharging if figures else task.discharging if task else 0,
        drop_outs=task.drop_outs if task else room.dispatcher.book.past_drop_outs.get(instruction.dispatch_id, 0),
        messages_sent=room.placement.messages_by_dispatch[instruction.dispatch_id],
        binds=figures.binds if figures else (),
        capability_power_w=figures.expected_w + figures.headroom_w if figures else None,
        stream=room.dispatcher.streams.view(instruction, now_s) if instruction.stream is not None else None,
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


def override_words(said: SessionOverride) -> str:
    """What a driver said, in words; "" for nothing."""
    words = ["stop"] if said.stop else []
    if said.departure_s is not None:
        words.append(f"departs {format_instant(said.departure_s)}")
    if said.min_soc_frac is not None:
        words.append(f"keeps at least {100.0 * said.min_soc_frac:.0f} %")
    return ", ".join(words)


def _cap_left(left_wh: F8) -> list[float | None]:
    """Without a cap None; what cannot be counted is nothing."""
    return [None if left == np.inf else left for left in np.fmax(left_wh, 0.0).tolist()]


def _known(values: F8) -> list[float | None]:
    """Unknown as None."""
    return [None if value != value else value for value in values.tolist()]


def _turned(power_w: F8) -> list[float | None]:
    """Import positive into discharge positive; no minus zero."""
    return _known(0.0 - power_w)


def _age(at_s: F8, now_s: float) -> list[float | None]:
    return _known(np.maximum(0.0, now_s - at_s))
