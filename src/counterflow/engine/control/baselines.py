"""The trackers that ours is measured against: an open loop, and a PI controller that spreads its output over all cars (control.md 4.2).

They are selectable (`control.tracker`) so that anybody can compare. Safety, reserve, ends of orders and site limits are the same for all.
"""

import numpy as np
from msgspec import Struct

from counterflow.domain.instructions import AllocationPolicy
from counterflow.engine.control.scene import Scene
from counterflow.engine.control.settings import Tracker
from counterflow.engine.dispatch.allocate import allocate
from counterflow.engine.dispatch.problem import AllocationProblem
from counterflow.engine.dispatch.shaping import worth_sending
from counterflow.engine.fleet.snapshot import F8


class Baseline(Struct, frozen=True, kw_only=True):
    """Wanted levels (N,), and the integral of the fleet's error over time (W s), which only the PI tracker moves."""

    level_w: F8
    integral_ws: float


def baseline(scene: Scene, level_w: F8) -> Baseline:
    """What the selected tracker asks of the cars instead of `level_w`; changes below the quantum are left out."""
    integral_ws, settings = scene.memory.integral_ws, scene.settings
    match settings.tracker:
        case Tracker.PI:
            asked_w, integral_ws = _pi_w(scene)
        case Tracker.OPEN_LOOP if scene.first or scene.target_changed:
            asked_w = scene.target_w
        case Tracker.OPEN_LOOP_REPLAN if scene.haste:
            asked_w = scene.target_w
        case _:
            return Baseline(level_w=level_w, integral_ws=integral_ws)
    wanted_w = _shared_w(scene, level_w, asked_w)
    wanted_w = np.where(worth_sending(level_w, wanted_w, settings.quantum_w), wanted_w, level_w)
    return Baseline(level_w=wanted_w, integral_ws=integral_ws)


def _pi_w(scene: Scene) -> tuple[float, float]:
    """The controller's output, W, and its integral. It stops integrating where more cannot be asked, or less than nothing; what meters
    say before the window is no error."""
    settings, memory = scene.settings, scene.memory
    if memory.ticked_at_s < scene.task.instruction.start_s:
        return scene.target_w, 0.0
    error_w = scene.target_w - float(scene.measured_w.sum())
    elapsed_s = max(0.0, scene.now_s - memory.ticked_at_s)
    integral_ws = memory.integral_ws + error_w * elapsed_s
    asked_w = scene.target_w + settings.pi_gain * (error_w + integral_ws / settings.pi_integral_s)
    most_w = float(np.where(scene.steerable, scene.cap_w, 0.0).sum())
    if (asked_w > most_w and error_w > 0.0) or (asked_w < 0.0 and error_w < 0.0):
        integral_ws = memory.integral_ws
    return min(max(asked_w, 0.0), most_w), integral_ws


def _shared_w(scene: Scene, level_w: F8, asked_w: float) -> F8:
    """`asked_w` shared in proportion to what each car can be asked; everyone is taken to give what it is asked."""
    movable = scene.steerable
    fixed_w = float(np.where(movable, 0.0, np.fmax(level_w, 0.0)).sum())
    caps_w = np.where(movable, scene.cap_w, 0.0)
    problem = AllocationProblem(
        target_w=max(0.0, asked_w - fixed_w),
        caps_w=caps_w,
        min_w=scene.min_w,
        weights=np.fmax(caps_w, 1.0),
        gain=np.ones(len(caps_w)),
        energy_wh=np.fmax(scene.capability.energy_wh, 0.0),
        useful_until_s=np.fmin(np.fmax(scene.capability.useful_until_s, scene.now_s), scene.window_end_s),
        running=level_w > 0.0,
        limits=scene.limits(np.where(movable, 0.0, np.fmax(level_w, 0.0))),
        now_s=scene.now_s,
        window_end_s=scene.window_end_s,
    )
    power_w = allocate(problem, AllocationPolicy.PROPORTIONAL).power_w
    return np.where(movable & ((power_w > 0.0) | ~np.isnan(level_w)), power_w, level_w)
