"""The feedback law: close the gap with few cars, each by much, those first that cost least (control.md 2.3, 3).

A small error spread over many cars falls under every car's dead-band and never closes; moved by few cars it does.
"""

from typing import NamedTuple

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from counterflow.engine.dispatch.limits import Limits, cap_in_order
from counterflow.engine.dispatch.merit import take_in_order
from counterflow.engine.fleet.snapshot import B1, F8

_MOST_GAPS = 4
"""So many slowed cars may hand the rest of a gap on in one step; a bound, not a measure."""


class Levers(Struct, frozen=True, kw_only=True):
    """What can be moved, one entry a row (N,), powers in W as magnitudes of discharge.

    `level_w`: decided power; NaN = left alone (it charges as it likes). `cap_w`, `min_w`: a car gives 0 or min..cap; `cap_w` 0 = cannot be
    raised. `gap_w`: a car gives all of its cap, or at least so much less; 0 = anything. `gain`: delivered over asked. `engage_w`: what
    taking a left-alone car to 0 W delivers by itself. `rank` in [0, 1]: merit, least first. `movable`: may get an order. `rested`: its
    dwell is over. `room`: what each site may export more, asked power.
    """

    level_w: F8
    cap_w: F8
    min_w: F8
    gap_w: F8
    gain: F8
    engage_w: F8
    rank: F8
    movable: B1
    rested: B1
    room: Limits


class Adjustment(NamedTuple):
    """New levels (N,), equal to the old ones where nothing changed; `let_go` (N,) = hand back to charging."""

    level_w: F8
    let_go: B1


def adjust(levers: Levers, gap_w: float, *, quantum_w: float, haste: bool) -> Adjustment:
    """Move what is delivered by `gap_w` (> 0 = more). `haste` also moves cars whose dwell is not over, after all others."""
    if gap_w > 0.0:
        return Adjustment(_all_up(levers, gap_w, quantum_w, haste), np.zeros(len(levers.level_w), dtype=np.bool_))
    return _down(levers, -gap_w, quantum_w, haste)


def _all_up(levers: Levers, need_w: float, quantum_w: float, haste: bool) -> F8:
    """As `_up`; what a car leaves out because of its gap is taken from others, or from itself where that is nearer than nothing."""
    stuck = -1
    for _ in range(_MOST_GAPS):
        result, part, need_w = _up(levers, need_w, quantum_w, haste)
        if part < 0:
            break
        stuck = part if stuck < 0 else stuck
        levers = replace(levers, level_w=result, movable=levers.movable & (np.arange(len(result)) != part))
    if stuck >= 0 and need_w > float(levers.cap_w[stuck] - np.fmax(result[stuck], 0.0)) - need_w:
        result[stuck] = levers.cap_w[stuck]
    return result


def _up(levers: Levers, need_w: float, quantum_w: float, haste: bool) -> tuple[F8, int, float]:
    """New levels, the car whose gap was in the way (-1 = none), and what is missing then."""
    level_w = np.fmax(levers.level_w, 0.0)
    alone = np.isnan(levers.level_w)
    may = levers.movable & (levers.rested | haste)
    step_w = np.where(may, levers.cap_w - level_w, 0.0)
    running = level_w > 0.0
    step_w = np.where(step_w >= np.where(running, quantum_w, np.maximum(levers.min_w, 1.0)), step_w, 0.0)
    # Partial cars first, the roomiest at the head (fewest messages); then idle ones by merit; those that have not rested last.
    largest_w = max(float(step_w.max(initial=0.0)), 1e-9)
    order = np.where(running, 0.249 * (1.0 - step_w / largest_w), 0.25 + 0.249 * levers.rank) + np.where(levers.rested, 0.0, 0.5)
    if not running.any():
        # One that by merely not charging gives more than is missing can be used only where another gives way, and none can: others first.
        order = order + np.where(alone & (levers.engage_w > need_w), 1.0, 0.0)
    # Whoever charges less needs no room for export.
    slows = levers.gap_w > 0.0
    step_w = np.where(slows, step_w, cap_in_order(np.where(slows, 0.0, step_w), order, levers.room))
    step_w = np.where(level_w + step_w >= levers.min_w, step_w, 0.0)
    gives_w = np.where(step_w > 0.0, levers.gain * step_w + np.where(alone, levers.engage_w, 0.0), 0.0)
    whole, part = take_in_order(order, gives_w, need_w)
    result = levers.level_w.copy()
    result[whole] = level_w[whole] + step_w[whole]
    if part < 0:
        return result, -1, need_w - float(gives_w[whole].sum())
    left_w = need_w - float(gives_w[whole].sum()) - (float(levers.engage_w[part]) if alone[part] else 0.0)
    wanted_w = float(level_w[part]) + left_w / float(levers.gain[part])
    slowest_w = float(levers.cap_w[part] - levers.gap_w[part])
    if slows[part] and slowest_w < wanted_w < levers.cap_w[part]:
        if slowest_w - float(level_w[part]) >= quantum_w:
            result[part] = slowest_w
            left_w = wanted_w - slowest_w
        return result, part, left_w
    least_w = float(levers.min_w[part])
    if wanted_w >= least_w and wanted_w - float(level_w[part]) >= quantum_w:
        result[part] = wanted_w
    elif not running[part] and (left_w > 0.0 or alone[part]):
        start_w = least_w if left_w > 0.0 else 0.0
        _make_room(levers, result, part, start_w, float(levers.gain[part]) * start_w - left_w, quantum_w, may)
    return result, -1, 0.0


def _can_give(levers: Levers, level_w: F8) -> B1:
    """Whether each car can run at `level_w` (N,): above its minimum, and outside its gap."""
    can: B1 = (level_w >= np.maximum(levers.min_w, 1.0)) & ((levers.gap_w <= 0.0) | (level_w <= levers.cap_w - levers.gap_w))
    return can


def _make_room(levers: Levers, result: F8, part: int, start_w: float, excess_w: float, quantum_w: float, may: B1) -> None:
    """Put `part` at `start_w` (its minimum) and take what is then too much from one running car; if none can, leave `part` as it is."""
    if start_w <= 0.0 and excess_w <= 0.0:
        result[part] = 0.0
        return
    if start_w > 0.0 and start_w < quantum_w and excess_w <= 0.0:
        return
    running_w = np.fmax(result, 0.0)
    lowered_w = running_w - excess_w / levers.gain
    able = may & (running_w > 0.0) & _can_give(levers, lowered_w) & (running_w - lowered_w >= min(quantum_w, excess_w))
    able[part] = False
    if not able.any():
        return
    # A car that changes anyway costs no further message.
    changed = running_w != np.fmax(levers.level_w, 0.0)
    other = int(np.argmax(np.where(able, levers.rank + np.where(changed, 2.0, 0.0), -1.0)))
    result[other] = lowered_w[other]
    result[part] = start_w


def _down(levers: Levers, excess_w: float, quantum_w: float, haste: bool) -> Adjustment:
    level_w = np.fmax(levers.level_w, 0.0)
    may = levers.movable & (levers.rested | haste)
    gives_w = np.where(may & (level_w > 0.0), levers.gain * level_w, 0.0)
    partial = level_w < levers.cap_w - quantum_w
    largest_w = max(float(level_w.max(initial=0.0)), 1e-9)
    # Partial cars first, then the lowest merit; those that have not rested last.
    order = np.where(partial, 0.249 * level_w / largest_w, 0.25 + 0.249 * (1.0 - levers.rank)) + np.where(levers.rested, 0.0, 0.5)
    whole, part = take_in_order(order, gives_w, excess_w)
    result = levers.level_w.copy()
    result[whole] = 0.0
    left_w = excess_w - float(gives_w[whole].sum())
    if part >= 0:
        _lower_one(levers, result, part, left_w, may, quantum_w)
        return Adjustment(result, np.zeros(len(result), dtype=np.bool_))
    return Adjustment(result, _let_go(levers, result, left_w, may))


def _lower_one(levers: Levers, result: F8, part: int, left_w: float, may: B1, quantum_w: float) -> None:
    """Take `left_w` from `part`, or from the car of least merit that can give it up and stay at or above its minimum."""
    running_w = np.fmax(result, 0.0)
    lowered_w = running_w - left_w / levers.gain
    able = may & (running_w > 0.0) & _can_give(levers, lowered_w) & (running_w - lowered_w >= quantum_w)
    if able[part]:
        result[part] = lowered_w[part]
    elif able.any():
        other = int(np.argmax(np.where(able, levers.rank, -1.0)))
        result[other] = lowered_w[other]
    elif 0.0 < levers.gap_w[part] < min(2.0 * left_w, float(levers.cap_w[part])) and running_w[part] >= levers.cap_w[part]:
        # A paused car may draw its least again, where that misses by less.
        result[part] = levers.cap_w[part] - levers.gap_w[part]


def _let_go(levers: Levers, result: F8, excess_w: float, may: B1) -> B1:
    """Everything is at 0 W and it is still too much: hand cars back to charging, least merit first, never below the target."""
    let_go = np.zeros(len(result), dtype=np.bool_)
    gives_w = np.where(may & (result == 0.0), np.maximum(levers.engage_w, 0.0), 0.0)
    whole, _ = take_in_order(1.0 - levers.rank, gives_w, excess_w)
    let_go[whole] = gives_w[whole] > 0.0
    return let_go
