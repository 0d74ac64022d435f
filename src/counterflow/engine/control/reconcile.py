"""Who is in the group, who can still be steered, who dropped out: the image against the task's memory of its members."""

import numpy as np
from msgspec import Struct

from counterflow.domain.ids import SessionUid
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.reasons import ChangeReason, DropOutKind, Reason
from counterflow.domain.telemetry import TransactionPhase
from counterflow.engine.control.book import counts_from_plans
from counterflow.engine.control.decision import Departure, DispatchTask, Release, TaskMemory
from counterflow.engine.control.response import ResponseMemory, level_in_force_w
from counterflow.engine.fleet.capability import LEAST_DRAW_W, Capability
from counterflow.engine.fleet.eligibility import CONFLICT_REASONS, MUST_CHARGE_REASONS
from counterflow.engine.fleet.snapshot import B1, F8, I1, I8, FleetImage
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.fleet.undisturbed import ChargingTerms, Undisturbed

_LEAVES: dict[Reason, DropOutKind] = {
    Reason.NO_SESSION: DropOutKind.ENDED,
    Reason.EVSE_FAULTED: DropOutKind.FAULTED,
    Reason.NO_CONSENT: DropOutKind.WITHDRAWN,
    Reason.DRIVER_STOP: DropOutKind.WITHDRAWN,
    Reason.BLACKOUT: DropOutKind.WITHDRAWN,
    Reason.CAPABILITY_UNKNOWN: DropOutKind.WITHDRAWN,
    Reason.NO_PAUSE_CONSENT: DropOutKind.WITHDRAWN,
    Reason.NO_V2X_CONTROL: DropOutKind.WITHDRAWN,
    Reason.NO_CHARGING_CONTROL: DropOutKind.WITHDRAWN,
    Reason.NO_CHARGING_NEEDS: DropOutKind.WITHDRAWN,
    Reason.NOT_ISO15118_20: DropOutKind.WITHDRAWN,
    Reason.NO_BIDIRECTIONAL_TRANSFER: DropOutKind.WITHDRAWN,
    **dict.fromkeys(CONFLICT_REASONS.values(), DropOutKind.WITHDRAWN),
    Reason.PRIORITY_CHARGING: DropOutKind.WITHDRAWN,
    Reason.EXTERNAL_LIMIT: DropOutKind.WITHDRAWN,
    Reason.GUARDED: DropOutKind.WITHDRAWN,
    Reason.GRID_FAULT: DropOutKind.FAULTED,
    Reason.EV_NOT_READY: DropOutKind.SUSPENDED,
    Reason.CLOCK_OFF: DropOutKind.WITHDRAWN,
    Reason.SILENT: DropOutKind.SILENT,
    Reason.SOC_UNKNOWN: DropOutKind.WITHDRAWN,
    Reason.POWER_UNKNOWN: DropOutKind.WITHDRAWN,
    Reason.MUST_CHARGE: DropOutKind.MUST_CHARGE,
    Reason.NEED_UNKNOWN: DropOutKind.MUST_CHARGE,
    Reason.PAUSED_ENOUGH: DropOutKind.MUST_CHARGE,
    Reason.MUST_CHARGE_TOGETHER: DropOutKind.MUST_CHARGE,
    Reason.COOLING_DOWN: DropOutKind.REFUSED,
    Reason.NOT_RESPONDING: DropOutKind.NOT_RESPONDING,
    Reason.NO_LOCAL_FREQUENCY: DropOutKind.WITHDRAWN,
}
"""What a member's reason means for its dispatch. Reasons that are not here keep it: READY; BELOW_FLOOR, DISCHARGE_CAP and
BELOW_MIN_POWER (it is held at 0 W); STATION_OFFLINE (it may still discharge, and counts until its order ends or it is silent too long);
EMERGENCY_STOP (see tick)."""

_RELEASED: dict[DropOutKind, ChangeReason] = {
    DropOutKind.MUST_CHARGE: ChangeReason.FLOOR_OR_DEPARTURE,
    DropOutKind.WITHDRAWN: ChangeReason.WITHDRAWN,
    DropOutKind.NOT_RESPONDING: ChangeReason.NOT_RESPONDING,
    DropOutKind.SUSPENDED: ChangeReason.DROP_OUT,
    DropOutKind.EV_GONE: ChangeReason.DROP_OUT,
    DropOutKind.FAULTED: ChangeReason.DROP_OUT,
}
"""Kinds whose order is taken back at once, so that the car charges (or is free to) and nothing of ours waits for its return."""

_STAYS = 0
_KIND_OF_REASON = np.array([int(_LEAVES.get(Reason(code), _STAYS)) for code in range(len(Reason))], dtype=np.int8)


class Group(Struct, frozen=True, kw_only=True):
    """The group after this look at the image, arrays (N,). `active` rows may be steered, `counted` ones belong to the balance. `plans` are
    those that it counts from (None = from nothing), `baseline_w` what they say now."""

    uid: I8
    active: B1
    baseline_w: F8
    must_charge: B1
    joined: tuple[tuple[int, SessionUid], ...]
    left: tuple[Departure, ...]
    releases: tuple[Release, ...]
    plans: Undisturbed | None = None
    planned: B1 | None = None
    """Rows whose plan was frozen in this look (N,); None = nobody's was."""

    @property
    def counted(self) -> B1:
        """Rows of the group, (N,)."""
        return np.not_equal(self.uid, 0)


def reconcile(
    image: FleetImage,
    capability: Capability,
    task: DispatchTask,
    memory: TaskMemory,
    response: ResponseMemory,
    topology: Topology,
    now_s: float,
) -> Group:
    """Compare the image with the memory. `memory` must have as many rows as the image."""
    in_group = memory.group_uid != 0
    present = in_group & (image.uid == memory.group_uid)
    reason = capability.reason_in(task.instruction.mode)
    kind = _kinds(image, capability, reason, response, now_s)
    ended = in_group & ~present
    leaves = present & memory.active & (kind != _STAYS)
    uid = np.where(present, memory.group_uid, 0)
    ready = (reason == Reason.READY.value) & (kind == _STAYS)
    # Of a car that only charges there is nothing to reduce while it does not.
    joins = ready & ~present
    if task.instruction.mode is DispatchMode.RELATIVE:
        joins &= ~capability.reduces(task.instruction.mode) | (image.power_w >= LEAST_DRAW_W)
    newcomer = _newcomers(image, capability, task, memory, topology, joins)
    returns = present & ~memory.active & ready & ~task.busy
    active = (present & memory.active & ~leaves) | returns | (newcomer & ready)
    ends = np.full(len(image), DropOutKind.ENDED, dtype=np.int8)
    left = _departures(memory, reason, ended, ends, counted=False) + _departures(memory, reason, leaves, kind, counted=True)
    joins = newcomer | returns
    plans, planned = _plans(image, task, memory, newcomer)
    return Group(
        uid=np.where(newcomer, image.uid, uid),
        active=active,
        baseline_w=np.zeros(len(image)) if plans is None else np.where(newcomer | present, _planned_w(plans, task, now_s), 0.0),
        must_charge=capability.must_charge & (image.uid != 0),
        joined=tuple((row, SessionUid(int(image.uid[row]))) for row in np.flatnonzero(joins).tolist()),
        left=left,
        releases=_releases(memory.group_uid, leaves, kind),
        plans=plans,
        planned=planned,
    )


def _kinds(image: FleetImage, capability: Capability, reason: I1, response: ResponseMemory, now_s: float) -> I1:
    """How each row would be lost to its dispatch (N,), 0 = it stays."""
    kind: I1 = _KIND_OF_REASON.take(reason)
    suspended = kind == DropOutKind.SUSPENDED.value
    if suspended.any():
        suspended &= (image.phase == TransactionPhase.EV_CONNECTED.value) | (image.phase == TransactionPhase.IDLE.value)
        kind[suspended] = DropOutKind.EV_GONE
    offline = reason == Reason.STATION_OFFLINE.value
    if offline.any():
        kind[offline & (capability.silent | np.isnan(level_in_force_w(image, now_s)))] = DropOutKind.OFFLINE
    kind[(reason == Reason.READY.value) & response.not_responding(now_s)] = DropOutKind.NOT_RESPONDING
    return kind


def _newcomers(image: FleetImage, capability: Capability, task: DispatchTask, memory: TaskMemory, topology: Topology, ready: B1) -> B1:
    """Sessions of the pool that may join: those that are ready; at the start of a net export also those that must charge, since
    what they draw counts against the group."""
    if not ready.any() and memory.started:
        return ready
    open_to_us = image.occupied & ~task.busy & topology.pool_mask(task.instruction.pool)[image.site]
    joins = ready & open_to_us
    if not memory.started and task.instruction.mode is DispatchMode.NET_EXPORT:
        joins |= open_to_us & np.isin(capability.reason, MUST_CHARGE_REASONS)
    return joins


def _plans(image: FleetImage, task: DispatchTask, memory: TaskMemory, newcomer: B1) -> tuple[Undisturbed | None, B1 | None]:
    """The plans of a relative order: whoever has one keeps it for good, be it from when the order was accepted or from an earlier time as
    a member; another that joins has his frozen as he is found. And of whom that was."""
    if not counts_from_plans(task.instruction):
        return None, None
    plans = Undisturbed.none(len(image)) if memory.plans is None else memory.plans
    without = newcomer & (plans.uid != image.uid)
    if not without.any():
        return plans, None
    return Undisturbed.found(image, task.charging or ChargingTerms()).where(without, plans), without


def _planned_w(plans: Undisturbed, task: DispatchTask, now_s: float) -> F8:
    """What the plans say now, W, import positive (N,)."""
    return plans.drew_w if task.charging is None else plans.power_at(now_s, task.charging)


def _departures(memory: TaskMemory, reason: I1, rows: B1, kind: I1, *, counted: bool) -> tuple[Departure, ...]:
    return tuple(
        Departure(
            uid=SessionUid(int(memory.group_uid[row])),
            kind=DropOutKind(int(kind[row])),
            lost_w=max(0.0, float(memory.expected_w[row])),
            counted=counted,
            reason=Reason(int(reason[row])),
        )
        for row in np.flatnonzero(rows).tolist()
    )


def _releases(uid: I8, leaves: B1, kind: I1) -> tuple[Release, ...]:
    releases = []
    for row in np.flatnonzero(leaves).tolist():
        reason = _RELEASED.get(DropOutKind(int(kind[row])))
        if reason is not None:
            releases.append(Release(row=row, uid=SessionUid(int(uid[row])), reason=reason))
    return tuple(releases)
