"""From wanted levels to orders: only what is worth a message, each with its own end, decreases first."""

import numpy as np

from counterflow.domain.ids import SessionUid
from counterflow.domain.reasons import ChangeReason
from counterflow.domain.setpoints import PowerStep, SetpointState
from counterflow.engine.control.ahead import outdated, schedules_for
from counterflow.engine.control.decision import Release, SetpointChange
from counterflow.engine.control.orders import Ends, due_for_renewal, ends_for
from counterflow.engine.control.plan import Plan
from counterflow.engine.control.reduction import ends_of
from counterflow.engine.control.scene import Scene
from counterflow.engine.dispatch.limits import Rows
from counterflow.engine.dispatch.shaping import worth_sending
from counterflow.engine.fleet.snapshot import B1, I1

_WHY = {int(reason): reason for reason in ChangeReason}


def changes_of(scene: Scene, plan: Plan) -> tuple[SetpointChange, ...]:
    """The orders to send, in order: for safety, then other decreases, then increases, the biggest first."""
    reason = _reasons(scene, plan)
    rows = np.flatnonzero(reason != 0)
    if rows.size == 0:
        return ()
    ends, later = _ends_and_periods(scene, plan, rows)
    # A car that has no time left at its level is lowered (0 W is always allowed to be sent), never raised, renewed or paused.
    usable = (ends.run_s > 0.0) | ((plan.level_w[rows] == 0.0) & ~scene.reduces[rows])
    step_w = np.fmax(plan.level_w[rows], 0.0) - np.fmax(scene.level_w[rows], 0.0)
    kind = np.where(plan.urgent[rows], 0, np.where(step_w < 0.0, 1, 2))
    order = np.lexsort((rows, -np.abs(step_w), kind))
    order = order[usable[order]]
    rows = rows[order]
    columns = (
        rows,
        scene.image.uid[rows],
        -plan.level_w[rows] + 0.0,
        ends.discharge_until_s[order],
        ends.hold_until_s[order],
        reason[rows],
        plan.urgent[rows],
        scene.reduces[rows],
    )
    periods = [later.get(row, ()) for row in rows.tolist()]
    return tuple(
        [
            SetpointChange(
                row=row,
                uid=uid,
                power_w=power_w,
                discharge_until_s=until_s,
                hold_until_s=hold_s,
                reason=_WHY[why],
                urgent=urgent,
                reduces=reduces,
                later=steps,
            )
            for row, uid, power_w, until_s, hold_s, why, urgent, reduces, steps in zip(
                *(column.tolist() for column in columns), periods, strict=True
            )
        ]
    )


def releases_of(scene: Scene, plan: Plan) -> tuple[Release, ...]:
    """Who is handed back to charging: members that left with an order of ours, and those that are too much."""
    uid = scene.image.uid
    let_go = tuple(
        Release(row=row, uid=SessionUid(int(uid[row])), reason=ChangeReason(int(plan.reason[row])))
        for row in np.flatnonzero(plan.let_go).tolist()
    )
    return scene.group.releases + let_go


def _reasons(scene: Scene, plan: Plan) -> I1:
    """Why each row gets a message (ChangeReason), 0 = it gets none."""
    image, now_s = scene.image, scene.now_s
    held = ~np.isnan(plan.level_w) & ~plan.let_go
    worth: B1 = plan.urgent | worth_sending(scene.level_w, plan.level_w, scene.settings.quantum_w)
    reason: I1 = plan.reason * (held & worth)
    quiet = held & (reason == 0) & scene.movable & (now_s - scene.memory.sent_at_s >= scene.settings.retry_s)
    unsure = quiet & (image.setpoint_state == SetpointState.UNKNOWN.value) & (now_s - image.setpoint_at_s >= scene.settings.retry_s)
    reason[unsure] = ChangeReason.REFUSED_RETRY
    # Floor, departure, cap or blackout came closer after the order was sent: its end is too late.
    runs = (plan.level_w > 0.0) | (scene.ahead_w > 0.0)
    narrowed = held & (reason == 0) & scene.movable & (runs | scene.reduces)
    # A period of a schedule may have begun since: that is not when it was sent.
    narrowed &= (image.bounds_at_s > image.setpoint_at_s) | image.scheduled_control
    narrowed &= image.bounds_at_s > scene.memory.sent_at_s
    reason[narrowed] = ChangeReason.FLOOR_OR_DEPARTURE
    overlong = quiet & (reason == 0) & runs & (image.discharge_until_s > scene.window_end_s + 1.0)
    reason[overlong] = ChangeReason.TARGET_CHANGED
    if scene.image.scheduled_control.any():
        reason[quiet & (reason == 0) & outdated(scene, plan.level_w)] = ChangeReason.TARGET_CHANGED
    due = due_for_renewal(image, plan.level_w, quiet & (reason == 0), now_s=now_s, window_end_s=scene.window_end_s, settings=scene.settings)
    rows = np.flatnonzero(due)
    if rows.size:
        gains_s = _ends_and_periods(scene, plan, rows)[0].discharge_until_s - image.discharge_until_s[rows]
        # An order that would end no later is not worth a message: the car runs out, in its own time.
        reason[rows[gains_s >= scene.settings.min_run_s]] = ChangeReason.RE_ARM
    return reason


def _ends_and_periods(scene: Scene, plan: Plan, rows: Rows) -> tuple[Ends, dict[int, tuple[PowerStep, ...]]]:
    """Ends of orders for `rows` (K,), and the further periods of those that have any, by row."""
    ends = _flat_ends(scene, plan, rows)
    told = np.flatnonzero(scene.image.scheduled_control[rows] & ~plan.urgent[rows] & ~scene.reduces[rows])
    if told.size == 0 or not (scene.steps_ahead or np.isfinite(scene.image.external_ahead_s[rows[told]]).any()):
        return ends, {}
    schedules = schedules_for(scene, plan.level_w, rows[told])
    columns = {name: getattr(ends, name).copy() for name in Ends.__struct_fields__}
    for name, column in columns.items():
        column[told] = getattr(schedules.ends, name)
    return Ends(**columns), dict(zip(rows[told].tolist(), schedules.later, strict=True))


def _flat_ends(scene: Scene, plan: Plan, rows: Rows) -> Ends:
    ends = ends_for(
        scene.image,
        scene.capability,
        rows,
        np.fmax(plan.level_w[rows], 0.0),
        now_s=scene.now_s,
        window_end_s=scene.window_end_s,
        capability_settings=scene.capability_settings,
        settings=scene.settings,
    )
    return ends_of(scene, rows, ends)
