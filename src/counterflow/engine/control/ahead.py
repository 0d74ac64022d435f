"""Cars in ISO 15118-20 ScheduledControl: what they do when the target steps, told them beforehand in one schedule of several periods.

Each change of a car's order is a renegotiation (5.5); a period that begins by itself is none. The base of the fleet, that is these cars
in order of merit, follows the steps ahead; whatever else moves rides on top of it.
"""

from collections.abc import Iterable

import numpy as np
from msgspec import Struct

from counterflow.domain.instructions import AllocationPolicy, DispatchMode
from counterflow.domain.setpoints import PowerStep
from counterflow.engine.control.balance import SOON_S
from counterflow.engine.control.orders import Ends, stagger_s
from counterflow.engine.control.scene import Scene
from counterflow.engine.dispatch.limits import Rows, cap_in_order
from counterflow.engine.dispatch.merit import take_in_order
from counterflow.engine.dispatch.shaping import rested, worth_sending
from counterflow.engine.fleet.endurance import Course, Stamina, course_endurance_s
from counterflow.engine.fleet.snapshot import B1, F8

BASE_SHARE = 0.95
"""So much of a step to come the base takes, where there are others."""
LEAST_GAP_S = 2.0
"""Periods that begin closer to each other than this are one: stations count whole seconds."""


class Schedules(Struct, frozen=True, kw_only=True):
    """Ends and further periods of orders, one a row that was asked about."""

    ends: Ends
    later: tuple[tuple[PowerStep, ...], ...]


def base_w(scene: Scene, level_w: F8, target_w: float) -> F8:
    """Powers (N,), 0 or min..cap, at which the cars in ScheduledControl are the base of a target; 0 for all others.

    Cars that run now come first, so that a step down lets off those that a step up has taken; each site's limit holds.
    """
    base = scene.movable & scene.image.scheduled_control & ~scene.reduces
    # What cannot be moved counts as it is: cars that must charge, for one.
    target_w = max(0.0, target_w - float(scene.delivers_w[~scene.movable].sum()))
    gain = np.maximum(scene.gain, 1e-3)
    cap_w = np.where(base, scene.cap_w, 0.0)
    order = np.where(np.fmax(level_w, 0.0) > 0.0, 0.5 * scene.rank, 0.5 + 0.5 * scene.rank)
    if scene.task.instruction.policy is AllocationPolicy.PROPORTIONAL:
        whole_w = float((gain * np.where(scene.movable, scene.cap_w, 0.0)).sum())
        share_w = cap_w * min(1.0, target_w / max(whole_w, 1.0))
    else:
        # A little is left to the others, who make good in both directions what the base gives more or less than was thought.
        others_w = float((gain * np.where(scene.movable & ~base, scene.cap_w, 0.0)).sum())
        share_w = _in_order_w(scene, cap_w, gain, order, target_w - min((1.0 - BASE_SHARE) * target_w, others_w))
    share_w = np.where(share_w >= scene.min_w, share_w, 0.0)
    if scene.limited:
        share_w = cap_in_order(share_w, order, scene.limits(np.zeros(len(share_w))))
        share_w = np.where(share_w >= scene.min_w, share_w, 0.0)
    return share_w


def _in_order_w(scene: Scene, cap_w: F8, gain: F8, order: F8, target_w: float) -> F8:
    relative = scene.task.instruction.mode is DispatchMode.RELATIVE
    by_itself_w = np.maximum(scene.group.baseline_w, 0.0) if relative else np.zeros(len(cap_w))
    gives_w = np.where(cap_w > 0.0, gain * cap_w + by_itself_w, 0.0)
    whole, part = take_in_order(order, gives_w, target_w)
    share_w = np.zeros(len(cap_w))
    share_w[whole] = cap_w[whole]
    if part >= 0:
        left_w = target_w - float(gives_w[whole].sum()) - float(by_itself_w[part])
        share_w[part] = min(max(left_w, 0.0) / float(gain[part]), float(cap_w[part]))
    return share_w


def schedules_for(scene: Scene, level_w: F8, rows: Rows) -> Schedules:
    """Orders for `rows` (R,) that would be sent now: the wanted level, then the base's steps, within what others have told to come.

    Every period is checked against floor, departure, caps and blackout with all those before it; the order ends where the car could not
    go on.
    """
    course = _course(scene, level_w, rows)
    window_s = max(0.0, scene.window_end_s - scene.now_s)
    stamina = Stamina.of(scene.image, scene.capability, rows)
    run_s, spare_s = course_endurance_s(stamina, course, scene.now_s, window_s, scene.capability_settings)
    until_s = scene.now_s + run_s
    hold_s = np.minimum(stagger_s(scene.image.uid[rows], scene.settings), spare_s)
    ends = Ends(discharge_until_s=until_s, hold_until_s=until_s + hold_s, run_s=run_s)
    later = tuple(
        _periods(from_s, power_w, scene.now_s, ends_s)
        for from_s, power_w, ends_s in zip(course.from_s.tolist(), course.power_w.tolist(), until_s.tolist(), strict=True)
    )
    return Schedules(ends=ends, later=later)


def _course(scene: Scene, level_w: F8, rows: Rows) -> Course:
    """Powers of `rows` over time (R, K), the first from now on at their wanted level."""
    capped_s, capped_w = scene.image.external_ahead_s[rows], scene.image.external_ahead_w[rows]
    caps = (capped_s > scene.now_s) & (capped_s < scene.window_end_s) & ~np.isnan(capped_w)
    from_s = [np.zeros(rows.size)]
    power_w = [np.fmax(level_w[rows], 0.0)]
    for step_s, target_w in scene.steps_ahead:
        from_s.append(np.full(rows.size, step_s - scene.now_s))
        power_w.append(base_w(scene, level_w, target_w)[rows])
    if caps.any():
        # What others have told to come is an edge of its own: there the car goes on at the power of that time, capped.
        own_s = np.where(caps, capped_s - scene.now_s, np.inf)
        edges_s, powers_w = np.stack(from_s, axis=1), np.stack(power_w, axis=1)
        at = (edges_s <= own_s[:, None]).sum(axis=1) - 1
        from_s.append(own_s)
        power_w.append(powers_w[np.arange(rows.size), at])
    edges_s, powers_w = np.stack(from_s, axis=1), np.stack(power_w, axis=1)
    order = np.argsort(edges_s, axis=1, kind="stable")
    edges_s, powers_w = np.take_along_axis(edges_s, order, axis=1), np.take_along_axis(powers_w, order, axis=1)
    bound = caps[:, None] & (edges_s >= capped_s[:, None] - scene.now_s)
    powers_w = np.where(bound, np.fmin(powers_w, capped_w[:, None]), powers_w)
    powers_w = np.where(bound & (powers_w < scene.min_w[rows][:, None]), 0.0, powers_w)
    return Course(from_s=edges_s, power_w=_quiet(edges_s, powers_w, bound, scene.settings.quantum_w))


def _quiet(edges_s: F8, powers_w: F8, bound: B1, quantum_w: float) -> F8:
    """The same without changes that are not worth one, and without periods of less than a moment: there the weaker power counts."""
    quiet_w = powers_w.copy()
    for number in range(1, powers_w.shape[1]):
        before_w, wanted_w = quiet_w[:, number - 1], powers_w[:, number]
        worth = worth_sending(before_w, wanted_w, quantum_w) | (bound[:, number] & (wanted_w < before_w))
        quiet_w[:, number] = np.where(worth, wanted_w, before_w)
    for number in range(powers_w.shape[1] - 1, 1, -1):
        close = edges_s[:, number] - edges_s[:, number - 1] < LEAST_GAP_S
        quiet_w[:, number - 1] = np.where(close, np.minimum(quiet_w[:, number - 1], quiet_w[:, number]), quiet_w[:, number - 1])
    return quiet_w


def _periods(from_s: Iterable[float], power_w: Iterable[float], now_s: float, ends_s: float) -> tuple[PowerStep, ...]:
    found: list[PowerStep] = []
    before_w: float | None = None
    before_s = 0.0
    for after_s, wanted_w in zip(from_s, power_w, strict=True):
        if now_s + after_s > ends_s - LEAST_GAP_S:
            break
        if before_w is not None and wanted_w != before_w:
            if after_s - before_s < LEAST_GAP_S and found:
                found.pop()
            found.append(PowerStep(from_s=now_s + after_s, power_w=-wanted_w + 0.0))
            before_s = after_s
        before_w = wanted_w
    return tuple(found)


def outdated(scene: Scene, level_w: F8) -> B1:
    """Rows whose schedule does not suit the steps ahead any more, and by so much that another one is worth a renegotiation (N,).

    Looked at is the next instant at which something begins. Others make good what is small; a car rests between two schedules, unless the
    wrong period begins soon.
    """
    image = scene.image
    base = scene.movable & image.scheduled_control & ~scene.reduces & ~np.isnan(level_w)
    none: B1 = np.zeros(len(level_w), dtype=np.bool_)
    next_s = np.where(base, image.next_setpoint_at_s, np.nan)
    step_s, step_w = scene.steps_ahead[0] if scene.steps_ahead else (np.inf, 0.0)
    begins_s = min(float(np.fmin.reduce(next_s, initial=np.inf)), step_s)
    if not base.any() or not begins_s < scene.window_end_s:
        return none
    told_w = np.where(next_s <= begins_s + LEAST_GAP_S, -image.next_setpoint_w, np.fmax(level_w, 0.0))
    wanted_w = np.fmax(level_w, 0.0)
    if step_s <= begins_s + LEAST_GAP_S:
        wanted_w = base_w(scene, level_w, step_w)
    wrong_w = np.where(base, scene.gain * (told_w - wanted_w), 0.0)
    if abs(float(wrong_w.sum())) <= max(scene.band_w, scene.settings.scheduled_worth_frac * scene.target_w):
        return none
    may = base & (scene.now_s - scene.memory.sent_at_s >= scene.settings.retry_s)
    if begins_s > scene.now_s + SOON_S:
        may &= rested(scene.memory.sent_at_s, scene.now_s, scene.settings.scheduled_change_s)
    return may & worth_sending(told_w, wanted_w, scene.settings.quantum_w)
