"""The levels that are wanted now, in order of rank: emergency stop, safety, the hold of reserve cars, the target."""

import numpy as np
from msgspec import Struct

from counterflow.domain.instructions import AllocationPolicy, DispatchMode
from counterflow.domain.reasons import ChangeReason
from counterflow.domain.setpoints import SetpointState
from counterflow.domain.units import WH_PER_WS
from counterflow.engine.control.baselines import baseline
from counterflow.engine.control.lookahead import by_quickness
from counterflow.engine.control.reduction import as_levels, with_reduction
from counterflow.engine.control.scene import Scene
from counterflow.engine.control.settings import Tracker
from counterflow.engine.control.tracker import Levers, adjust
from counterflow.engine.dispatch.allocate import allocate
from counterflow.engine.dispatch.limits import Rows, cap_in_order
from counterflow.engine.dispatch.problem import AllocationProblem
from counterflow.engine.dispatch.shaping import worth_sending
from counterflow.engine.fleet.endurance import Stamina
from counterflow.engine.fleet.reckoning import recharge_per_s
from counterflow.engine.fleet.snapshot import B1, F8, I1


class Plan(Struct, frozen=True, kw_only=True):
    """Wanted levels (N,) (< 0 = slowed to charging at so much, NaN = left alone), why each row changed (ChangeReason, 0 = it did not),
    which changes are for safety, whom to hand back to charging, and when the ranking was last drawn up."""

    level_w: F8
    reason: I1
    urgent: B1
    let_go: B1
    delivers_w: F8
    resorted_at_s: float
    integral_ws: float = 0.0


def stop_all(scene: Scene) -> Plan:
    """Everything of ours to 0 W, whether it can be reached or not, whatever was promised (I11)."""
    present = scene.group.counted
    ordered_w = np.where(np.isnan(scene.image.setpoint_w), 0.0, -scene.image.setpoint_w)
    refused = scene.image.setpoint_state == SetpointState.REJECTED
    told = (scene.memory.sent_at_s > scene.now_s - scene.settings.underway_s) & (scene.memory.level_w == 0.0)
    ordered_w = np.maximum(ordered_w, scene.image.strongest_ahead_w)
    runs = present & (ordered_w > 0.0) & (scene.now_s < scene.image.discharge_until_s) & (refused | ~told)
    level_w = np.where(runs, 0.0, scene.level_w)
    return Plan(
        level_w=level_w,
        reason=np.where(runs, np.int8(ChangeReason.EMERGENCY_STOP), np.int8(0)),
        urgent=runs,
        let_go=np.zeros(len(level_w), dtype=np.bool_),
        delivers_w=np.where(runs, 0.0, scene.delivers_w),
        resorted_at_s=scene.memory.resorted_at_s,
    )


def track(scene: Scene) -> Plan:
    """What safety and the target want."""
    level_w = scene.level_w.copy()
    reason = np.zeros(len(level_w), dtype=np.int8)
    urgent = _keep_safe(scene, level_w, reason)
    _hold_reserve(scene, level_w, reason)
    if scene.settings.tracker is not Tracker.LEARNED:
        return _as_baseline(scene, level_w, reason, urgent)
    resorted_at_s = scene.memory.resorted_at_s
    if _draws_up_anew(scene):
        wanted_w = _spread(scene, level_w)
        _mark(reason, level_w, wanted_w, ChangeReason.START if scene.first else ChangeReason.TARGET_CHANGED)
        level_w, resorted_at_s = wanted_w, scene.now_s
    delivers_w = delivery_w(scene, level_w)
    gap_w = scene.aim_w - float(delivers_w.sum())
    let_go = np.zeros(len(level_w), dtype=np.bool_)
    if scene.target_w <= 0.0:
        idle_w = np.where(scene.movable & (level_w > 0.0), 0.0, level_w)
        _mark(reason, level_w, idle_w, ChangeReason.TARGET_CHANGED)
        level_w = idle_w
        let_go = scene.reduces & scene.movable & ~np.isnan(level_w)
        reason[let_go] = ChangeReason.TARGET_CHANGED
        level_w[let_go] = np.nan
        delivers_w = delivery_w(scene, level_w)
    elif abs(gap_w) > scene.band_w:
        adjustment = adjust(_levers(scene, level_w, gap_w), gap_w, quantum_w=scene.settings.quantum_w, haste=scene.haste)
        wanted_w, let_go = as_levels(scene, level_w, adjustment.level_w)
        _mark(reason, level_w, wanted_w, _why(scene, gap_w))
        level_w, let_go = wanted_w, let_go | adjustment.let_go
        reason[let_go] = ChangeReason.GAP_DOWN
        level_w[let_go] = np.nan
        delivers_w = delivery_w(scene, level_w)
    return Plan(level_w=level_w, reason=reason, urgent=urgent, let_go=let_go, delivers_w=delivers_w, resorted_at_s=resorted_at_s)


def _as_baseline(scene: Scene, level_w: F8, reason: I1, urgent: B1) -> Plan:
    """What a tracker wants that ours is compared with."""
    wanted = baseline(scene, level_w)
    _mark(reason, level_w, wanted.level_w, _why(scene, scene.target_w - float(scene.measured_w.sum())))
    return Plan(
        level_w=wanted.level_w,
        reason=reason,
        urgent=urgent,
        let_go=np.zeros(len(level_w), dtype=np.bool_),
        delivers_w=delivery_w(scene, wanted.level_w),
        resorted_at_s=scene.memory.resorted_at_s,
        integral_ws=wanted.integral_ws,
    )


def delivery_w(scene: Scene, level_w: F8) -> F8:
    """Settled delivery of each row of the group at `level_w` instead of the scene's levels (N,)."""
    if not _differs(scene.level_w, level_w).any():
        return scene.delivers_w + 0.0  # of the zeros, only the positive one
    alone_now, alone_then = np.isnan(scene.level_w), np.isnan(level_w)
    step_w = scene.gain * (np.fmax(level_w, 0.0) - np.fmax(scene.level_w, 0.0))
    if scene.any_slowed:
        step_w = step_w + np.fmin(level_w, 0.0) - np.fmin(scene.level_w, 0.0)
    taken_w = scene.engage_w(scene.level_w)
    turned_w = np.where(alone_now & ~alone_then, taken_w, 0.0) - np.where(~alone_now & alone_then, taken_w, 0.0)
    return scene.delivers_w + np.where(scene.group.active, step_w + turned_w, 0.0)


def _keep_safe(scene: Scene, level_w: F8, reason: I1) -> B1:
    """Lower what is above its cap, then what is above its site's limit. Changes `level_w` and `reason`; returns what was touched."""
    # A schedule counts with the strongest of its periods to come: none of them may be more than the car can give.
    running_w = np.maximum(np.fmax(level_w, 0.0), scene.ahead_w)
    over = scene.movable & (running_w > scene.cap_w + 1.0)
    level_w[over] = np.minimum(np.fmax(level_w[over], 0.0), scene.cap_w[over])
    reason[over] = ChangeReason.FLOOR_OR_DEPARTURE
    if not scene.limited:
        return over
    # Half the margin: whoever took the room that others lend keeps it while readings scatter.
    running_w = np.maximum(np.fmax(level_w, 0.0) - scene.lent_w(level_w, 0.5), scene.soon_w)
    allowed_w = cap_in_order(running_w, scene.rank, scene.limits(np.zeros(len(level_w))))
    allowed_w = np.where(allowed_w < np.minimum(scene.min_w, running_w), 0.0, allowed_w)
    crowded = scene.movable & (allowed_w < running_w - 1.0)
    level_w[crowded] = np.minimum(np.fmax(level_w[crowded], 0.0), allowed_w[crowded])
    reason[crowded] = ChangeReason.SITE_LIMIT
    return over | crowded


def _hold_reserve(scene: Scene, level_w: F8, reason: I1) -> None:
    """In a net export members that are not needed are held at 0 W, since what they charge counts against the group."""
    if scene.task.instruction.mode is not DispatchMode.NET_EXPORT or scene.target_w <= 0.0:
        return
    loose = scene.movable & np.isnan(level_w) & (scene.memory.sent_at_s < scene.now_s - scene.settings.retry_s)
    if not loose.any():
        return
    rows = np.flatnonzero(loose)
    loose[rows] = _runs_long_enough(scene, np.zeros(rows.size), rows)
    level_w[loose] = 0.0
    reason[loose] = ChangeReason.START if scene.first else ChangeReason.RESERVE


def _draws_up_anew(scene: Scene) -> bool:
    if scene.target_w <= 0.0:
        return False
    relative = scene.task.instruction.mode is DispatchMode.RELATIVE
    match scene.task.instruction.policy:
        case AllocationPolicy.PROPORTIONAL:
            return scene.first or scene.target_changed
        case AllocationPolicy.MERIT | AllocationPolicy.ECONOMIC:
            due = scene.target_changed and scene.now_s - scene.memory.resorted_at_s >= scene.settings.resort_s
            return not relative and (scene.first or due)
        case AllocationPolicy.HYBRID:
            return not relative and scene.first


def _spread(scene: Scene, level_w: F8) -> F8:
    """The policy's allocation over the cars that can be moved, as levels; changes not worth a message are left out."""
    movable = scene.steerable & ~scene.reduces & ~(np.isnan(level_w) & (scene.task.instruction.mode is DispatchMode.NET_EXPORT))
    caps_w = np.where(movable & _runs_long_enough(scene, scene.cap_w), scene.cap_w, 0.0)
    running_w = np.fmax(level_w, 0.0)
    zeroed_w = np.where(movable, 0.0, level_w)
    base_w = float(delivery_w(scene, zeroed_w).sum())
    problem = AllocationProblem(
        target_w=max(0.0, scene.target_w - base_w),
        caps_w=caps_w,
        min_w=scene.min_w,
        weights=np.fmax(scene.capability.sustained_power_w, 1.0),
        gain=np.maximum(scene.gain, 1e-3),
        energy_wh=np.fmax(scene.capability.energy_wh, 0.0),
        useful_until_s=np.fmin(np.fmax(scene.capability.useful_until_s, scene.now_s), scene.window_end_s),
        running=running_w > 0.0,
        limits=scene.limits(np.where(movable, 0.0, running_w)),
        now_s=scene.now_s,
        window_end_s=scene.window_end_s,
        cost=scene.cost,
        given=scene.given,
    )
    power_w = allocate(problem, scene.task.instruction.policy).power_w
    wanted_w = np.where(movable & ((power_w > 0.0) | (running_w > 0.0)), power_w, level_w)
    wanted_w = np.where(worth_sending(level_w, wanted_w, scene.settings.quantum_w), wanted_w, level_w)
    return _after_decreases(scene, level_w, wanted_w)


def _after_decreases(scene: Scene, level_w: F8, wanted_w: F8) -> F8:
    """Increases wait where their site has no room before others' decreases have come through (I3)."""
    limits = scene.room(level_w)
    if limits.unlimited:
        return wanted_w
    running_w = np.fmax(level_w, 0.0)
    more_w = np.maximum(np.fmax(wanted_w, 0.0) - running_w, 0.0)
    allowed_w = running_w + cap_in_order(more_w, scene.rank, limits)
    allowed_w = np.where(allowed_w < scene.min_w, running_w, allowed_w)
    return np.where((more_w > 0.0) & (allowed_w < wanted_w), np.where(allowed_w > running_w, allowed_w, level_w), wanted_w)


def _spared(scene: Scene, level_w: F8, gap_w: float) -> B1:
    """Cars in ScheduledControl that were moved before and are left as they are (N,): others can make good the gap, or nearly."""
    spared: B1 = scene.image.scheduled_control & np.isfinite(scene.memory.level_at_s)
    if not spared.any():
        return spared
    running_w = np.fmax(level_w, 0.0)
    others_w = scene.gain * np.where(scene.steerable & ~spared, np.maximum(scene.cap_w - running_w, 0.0) if gap_w > 0.0 else running_w, 0.0)
    enough = float(others_w.sum()) >= abs(gap_w) - scene.settings.scheduled_worth_frac * scene.target_w
    return spared & enough


def _levers(scene: Scene, level_w: F8, gap_w: float) -> Levers:
    cap_w = scene.cap_w
    spared = _spared(scene, level_w, gap_w)
    if gap_w > 0.0:
        cap_w = np.where(_runs_long_enough(scene, cap_w), cap_w, np.fmax(level_w, 0.0))
    levers = Levers(
        level_w=level_w,
        cap_w=cap_w,
        min_w=scene.min_w,
        gap_w=np.zeros(len(level_w)),
        gain=np.maximum(scene.gain, 1e-3),
        engage_w=scene.engage_w(level_w),
        rank=_turns(scene, level_w, upward=gap_w > 0.0),
        movable=scene.steerable & ~spared,
        rested=scene.rested,
        room=scene.room(level_w),
    )
    return with_reduction(scene, levers, level_w)


def _turns(scene: Scene, level_w: F8, *, upward: bool) -> F8:
    """Who goes first up, and last down, least first (N,): merit; of a stream the quick and large go first both ways."""
    if not scene.task.streamed:
        return scene.rank
    size_worth_s = scene.settings.stream_size_worth * scene.lag.fleet_s
    if upward:
        return by_quickness(scene.rank, scene.lag.car_s, scene.cap_w, size_worth_s)
    return 1.0 - by_quickness(1.0 - scene.rank, scene.lag.car_s, np.fmax(level_w, 0.0), size_worth_s)


def _runs_long_enough(scene: Scene, level_w: F8, rows: Rows | None = None) -> B1:
    """Which rows could go on at `level_w` for a useful time, or to the end of the window, (N,); with `rows` (R,) of these only.

    A quick bound that errs to the short side; the order that is sent carries the exact end.
    """
    able = Stamina.of(scene.image, scene.capability, rows)
    useful_s = min(scene.settings.min_run_s, max(0.0, scene.window_end_s - scene.now_s))
    wears_per_s = 1.0 + recharge_per_s(able.reckoned, level_w, scene.capability_settings)
    return (able.laxity_s - able.guard_s >= useful_s * wears_per_s) & (able.energy_wh >= level_w * useful_s * WH_PER_WS)


def _mark(reason: I1, before_w: F8, after_w: F8, why: ChangeReason) -> None:
    reason[_differs(before_w, after_w)] = why


def _differs(before_w: F8, after_w: F8) -> B1:
    """Rows of another level (N,); left alone (NaN) is a level of its own."""
    same: B1 = (before_w == after_w) | (np.isnan(before_w) & np.isnan(after_w))
    return ~same


def _why(scene: Scene, gap_w: float) -> ChangeReason:
    if scene.first:
        return ChangeReason.START
    if scene.group.left and gap_w > 0.0:
        return ChangeReason.DROP_OUT
    if scene.target_changed:
        return ChangeReason.TARGET_CHANGED
    return ChangeReason.GAP_UP if gap_w > 0.0 else ChangeReason.GAP_DOWN
