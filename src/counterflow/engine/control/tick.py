"""Read this file first. One pure call turns the fleet's image into a decision:

    reconcile   who is in the group, who can be steered, who dropped out
    set_scene   what each member delivers once everything under way has settled (response: learned a car at a time)
    track       levels for safety first, then for the target: few cars, each by much (tracker, dispatch)
    changes_of  orders that carry their own end, only what is worth a message (orders, shaping)

No fleet error is integrated anywhere: what is wrong is learned, and made good, at the session that does it.
"""

import numpy as np

from counterflow.domain.units import format_power
from counterflow.engine.control.decision import Decision, DispatchTask, SetpointChange, TaskMemory, TickFigures
from counterflow.engine.control.grid import binding
from counterflow.engine.control.grounds import TickGrounds
from counterflow.engine.control.issue import changes_of, releases_of
from counterflow.engine.control.plan import Plan, stop_all, track
from counterflow.engine.control.reconcile import reconcile
from counterflow.engine.control.reduction import given_w, spared_w
from counterflow.engine.control.response import ResponseMemory
from counterflow.engine.control.scene import Scene, set_scene
from counterflow.engine.control.settings import ControlSettings
from counterflow.engine.control.timeline import Timeline
from counterflow.engine.dispatch.limits import cap_in_order
from counterflow.engine.fleet.capability import Capability, capability
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import FleetImage
from counterflow.engine.fleet.topology import Topology


def tick(
    image: FleetImage,
    task: DispatchTask,
    memory: TaskMemory,
    response: ResponseMemory,
    now_s: float,
    topology: Topology,
    capability_settings: CapabilitySettings,
    settings: ControlSettings,
    emergency_stop: bool = False,
    able: Capability | None = None,
) -> Decision:
    """Decide for one dispatch at `now_s`. `response` is the memory after `observe` on the same image.

    The caller sends `changes` in their order, hands `releases` back to charging, logs `joined` and `left`, and keeps `memory` for the next
    call. Between calls the image must show what was sent (pending setpoints count as in force). `able` spares working out the capability
    anew; it must be of this image, this window's end and this emergency stop.
    """
    timeline = Timeline.of(task.instruction)
    memory = memory.sized(len(image))
    if able is None:
        must_charge_before = memory.must_charge & (image.uid == memory.group_uid)
        able = capability(
            image,
            now_s,
            timeline.end_s,
            capability_settings,
            emergency_stop=emergency_stop,
            must_charge_before=must_charge_before,
            topology=topology,
        )
    group = reconcile(image, able, task, memory, response, topology, now_s)
    scene = set_scene(
        image,
        task,
        memory,
        group,
        able,
        response,
        topology,
        timeline=timeline,
        now_s=now_s,
        capability_settings=capability_settings,
        settings=settings,
    )
    plan = stop_all(scene) if emergency_stop else track(scene)
    changes = changes_of(scene, plan)
    figures = _figures(scene, plan)
    return Decision(
        changes=changes,
        releases=releases_of(scene, plan),
        joined=group.joined,
        planned=group.planned,
        left=group.left,
        figures=figures,
        memory=_remembered(scene, plan, changes),
        alarms=_alarms(figures),
        grounds=TickGrounds(scene, plan),
    )


def _figures(scene: Scene, plan: Plan) -> TickFigures:
    group = scene.group
    expected_w = float(plan.delivers_w.sum())
    spare_w = np.where(scene.movable, np.maximum(scene.cap_w - np.fmax(plan.level_w, 0.0), 0.0), 0.0)
    binds: tuple[str, ...] = ()
    if scene.limited:
        left = scene.limits(np.fmax(plan.level_w, 0.0) - scene.lent_w(plan.level_w))
        binds = binding(left, spare_w, scene.topology)
        spare_w = cap_in_order(spare_w, scene.rank, left)
    headroom_w = float((scene.gain * spare_w).sum()) + spared_w(scene, plan.level_w)
    # A ramp that goes down is followed ahead of time, and nothing is missing then.
    missing_w = min(scene.target_w, scene.aim_w) - expected_w
    discharging = group.active & (plan.level_w > 0.0)
    return TickFigures(
        target_w=scene.target_w,
        measured_w=float(scene.measured_w.sum()),
        expected_w=expected_w,
        headroom_w=headroom_w,
        shortfall_w=missing_w if missing_w > scene.band_w and missing_w > headroom_w else 0.0,
        members=int(np.count_nonzero(group.counted)),
        discharging=int(np.count_nonzero(discharging)),
        reserve=int(np.count_nonzero(group.active & ~discharging & ((scene.cap_w > 0.0) | (scene.reduces & np.isnan(plan.level_w))))),
        unmeasured=int(np.count_nonzero(scene.unmeasured)),
        binds=binds,
    )


def _remembered(scene: Scene, plan: Plan, changes: tuple[SetpointChange, ...]) -> TaskMemory:
    memory, now_s = scene.memory, scene.now_s
    sent = np.zeros(len(scene.image), dtype=np.bool_)
    sent[[change.row for change in changes]] = True
    sent |= plan.let_go
    same_session = scene.group.uid == memory.group_uid
    moved = sent & (np.fmax(plan.level_w, 0.0) != np.fmax(scene.level_w, 0.0))
    if scene.any_reduces:
        moved |= sent & scene.reduces & (given_w(scene, plan.level_w) != given_w(scene, scene.level_w))
    return TaskMemory(
        started=True,
        target_w=scene.target_w,
        resorted_at_s=plan.resorted_at_s,
        ticked_at_s=now_s,
        integral_ws=plan.integral_ws,
        trail=scene.trail,
        group_uid=scene.group.uid,
        active=scene.group.active,
        must_charge=scene.group.must_charge,
        baseline_w=scene.group.baseline_w,
        level_w=np.where(sent, plan.level_w, scene.level_w),
        level_at_s=np.where(moved, now_s, np.where(same_session, memory.level_at_s, -np.inf)),
        sent_at_s=np.where(sent, now_s, np.where(same_session, memory.sent_at_s, -np.inf)),
        expected_w=plan.delivers_w,
        plans=scene.group.plans,
    )


def _alarms(figures: TickFigures) -> tuple[str, ...]:
    if figures.shortfall_w <= 0.0:
        return ()
    return (
        f"The target of {format_power(figures.target_w)} is short by {format_power(figures.shortfall_w)}: "
        f"all members together can give {format_power(figures.expected_w + figures.headroom_w)} now"
        f"{''.join(f'; {words}' for words in figures.binds)}.",
    )
