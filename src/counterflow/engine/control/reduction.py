"""Cars that cannot be discharged and give by charging less (mode RELATIVE): how they look to the tracker, and back.

To the tracker such a car is like any other: it gives from nothing, when it is left alone, to all that it draws, when it is paused.
Between the two it is slowed, and then charges at no less than its minimum (6 A), so the last stretch below the pause does not exist.
"""

import numpy as np

from counterflow.engine.control.orders import Ends, stagger_s
from counterflow.engine.control.scene import Scene
from counterflow.engine.control.tracker import Levers
from counterflow.engine.dispatch.limits import Rows
from counterflow.engine.dispatch.shaping import worth_sending
from counterflow.engine.fleet.snapshot import B1, F8

_FIRST = 0.05
"""The share of the ranks, [0, this), that is theirs."""


def given_w(scene: Scene, level_w: F8) -> F8:
    """What each row of `scene.reduces` gives at `level_w` (N,): its draw when left alone, less what it may draw."""
    return np.where(np.isnan(level_w), 0.0, np.maximum(scene.engage_w(level_w) + level_w, 0.0))


def with_reduction(scene: Scene, levers: Levers, level_w: F8) -> Levers:
    """`levers` in which the rows of `scene.reduces` give what they are spared. They are taken first, those with most time left at the
    head: a pause costs no cycle of a battery."""
    rows = scene.reduces
    if not scene.any_reduces:
        return levers
    draw_w, gives_w = scene.engage_w(level_w), given_w(scene, level_w)
    left_s = max(scene.window_end_s - scene.now_s, 1.0)
    may = scene.capability.pause_s >= min(scene.settings.min_run_s, left_s)
    least_w = np.where(np.isnan(scene.image.min_charge_w), scene.settings.least_charge_w, scene.image.min_charge_w)
    rank = _FIRST * (1.0 - np.minimum(scene.capability.pause_s / left_s, 1.0))
    return Levers(
        level_w=np.where(rows, gives_w, levers.level_w),
        cap_w=np.where(rows, np.where(may, draw_w, gives_w), levers.cap_w),
        min_w=np.where(rows, 0.0, levers.min_w),
        gap_w=np.where(rows, np.maximum(least_w, 1.0), levers.gap_w),
        gain=np.where(rows, 1.0, levers.gain),
        engage_w=np.where(rows, 0.0, levers.engage_w),
        rank=np.where(rows, rank, _FIRST + (1.0 - _FIRST) * levers.rank),
        movable=levers.movable,
        rested=levers.rested,
        room=levers.room,
    )


def as_levels(scene: Scene, before_w: F8, moved_w: F8) -> tuple[F8, B1]:
    """Levels from what the tracker made of them (N,), and who is to be let go; rows that it did not move keep their level `before_w`."""
    rows = scene.reduces
    if not scene.any_reduces:
        return moved_w, np.zeros(len(moved_w), dtype=np.bool_)
    unmoved_w = given_w(scene, before_w)
    moved = rows & ~np.isnan(moved_w) & (moved_w != unmoved_w)
    level_w = np.where(rows, np.where(moved, np.minimum(moved_w - scene.engage_w(before_w), 0.0), before_w), moved_w)
    let_go = moved & (moved_w <= 0.0)
    level_w[let_go] = before_w[let_go]
    worth = worth_sending(before_w, level_w, scene.settings.quantum_w)
    return np.where(rows & ~worth, before_w, level_w), let_go


def spared_w(scene: Scene, level_w: F8) -> float:
    """What the cars that give by charging less could still give, W."""
    if not scene.any_reduces:
        return 0.0
    could = scene.reduces & scene.movable & (scene.capability.pause_s >= scene.settings.min_run_s)
    return float(np.where(could, scene.engage_w(level_w) - given_w(scene, level_w), 0.0).sum())


def ends_of(scene: Scene, rows: Rows, ends: Ends) -> Ends:
    """The ends for `rows` (K,), those of limits to charging in place: a single one, staggered behind the window, and before the car must
    charge."""
    if not scene.any_reduces:
        return ends
    reduces = scene.reduces[rows]
    pause_s = np.maximum(scene.capability.pause_s[rows] - max(scene.now_s - scene.capability.at_s, 0.0), 0.0)
    behind_s = max(scene.window_end_s - scene.now_s, 0.0) + stagger_s(scene.image.uid[rows], scene.settings)
    until_s = scene.now_s + np.minimum(pause_s, behind_s)
    return Ends(
        discharge_until_s=np.where(reduces, until_s, ends.discharge_until_s),
        hold_until_s=np.where(reduces, until_s, ends.hold_until_s),
        run_s=np.where(reduces, pause_s, ends.run_s),
    )
