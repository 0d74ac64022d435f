"""Everything that the steps of one tick look at together."""

from functools import cached_property

import numpy as np
from msgspec import Struct

from counterflow.domain.instructions import AllocationPolicy
from counterflow.domain.reasons import Reason
from counterflow.domain.setpoints import SetpointState
from counterflow.engine.control.balance import as_delivery_w, engage_w, group_export_w, lent_w, soon_w, worst_export_w
from counterflow.engine.control.decision import DispatchTask, TaskMemory
from counterflow.engine.control.grid import limits_of
from counterflow.engine.control.lookahead import Lag, Trail
from counterflow.engine.control.reconcile import Group
from counterflow.engine.control.response import ResponseMemory, expected_at_w, level_in_force_w
from counterflow.engine.control.settings import ControlSettings
from counterflow.engine.control.timeline import Timeline
from counterflow.engine.dispatch.cost import Cars, whole_cost_per_kwh
from counterflow.engine.dispatch.limits import Limits
from counterflow.engine.dispatch.merit import merit_rank
from counterflow.engine.dispatch.shaping import rested
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import B1, F8, FleetImage
from counterflow.engine.fleet.topology import Topology


class Scene(Struct, frozen=True, kw_only=True, dict=True):
    """Arrays are (N,), powers in W and discharge positive.

    `level_w`: what our orders ask for now (< 0 = slowed to charging at so much, NaN = left alone); `delivers_w`: what each row of the
    group delivers, in the terms of the order's mode, once everything under way has settled. `cap_w`/`min_w`: a row gives 0 or min..cap.
    `movable`: may get an order. `reduces`: rows that are not discharged and give by charging less. `room_w` (G,): what the group may
    export below each limit; `settled` (N,): rows that may lend what they do not use of it. `steps_ahead`: (instant, target from then on)
    of what cars in ScheduledControl are told beforehand.
    """

    image: FleetImage
    task: DispatchTask
    memory: TaskMemory
    group: Group
    capability: Capability
    capability_settings: CapabilitySettings
    settings: ControlSettings
    now_s: float
    window_end_s: float
    target_w: float
    timeline: Timeline
    response: ResponseMemory
    steps_ahead: tuple[tuple[float, float], ...]
    level_w: F8
    delivers_w: F8
    gain: F8
    cap_w: F8
    min_w: F8
    movable: B1
    rested: B1
    reduces: B1
    topology: Topology
    room_w: F8
    settled: B1

    @cached_property
    def cost(self) -> F8 | None:
        """What a kWh of each row costs, all included (N,), where the policy asks for it."""
        if self.task.instruction.policy is not AllocationPolicy.ECONOMIC:
            return None
        cars = Cars(self.cap_w, self.image.capacity_wh, self.capability.soc_frac, self.image.wear_per_kwh)
        return whole_cost_per_kwh(cars, self.settings.costs)

    @cached_property
    def given(self) -> F8 | None:
        """What share of what it offered lately each row gave (N,); None while nothing is known of anybody."""
        return None if np.isnan(self.image.given_share).all() else self.image.given_share

    @cached_property
    def rank(self) -> F8:
        """Merit in [0, 1], least first (N,); worked out only when somebody asks."""
        useful_until_s = np.fmin(np.fmax(self.capability.useful_until_s, self.now_s), self.window_end_s)
        rank = merit_rank(
            self.cap_w,
            np.fmax(self.capability.energy_wh, 0.0),
            useful_until_s,
            self.now_s,
            self.window_end_s,
            cost=self.cost,
            given=self.given,
        )
        scheduled = self.image.scheduled_control
        # Cars that may seldom be changed are the base: first to be taken, last to be let off.
        return 0.5 * rank + np.where(scheduled, 0.0, 0.5) if scheduled.any() else rank

    @cached_property
    def any_reduces(self) -> bool:
        """There is a row that gives by charging less."""
        return bool(self.reduces.any())

    @cached_property
    def any_slowed(self) -> bool:
        """There is one, or a row that was slowed."""
        return self.any_reduces or bool((self.level_w < 0.0).any())

    def engage_w(self, level_w: F8) -> F8:
        """What taking a row from left-alone to 0 W delivers by itself at `level_w` (N,)."""
        return engage_w(self.task.instruction.mode, self.image, level_w, self.group.baseline_w)

    @cached_property
    def ahead_w(self) -> F8:
        """Strongest discharge of the periods to come of orders that stay as they are, W (N,)."""
        if not self.image.strongest_ahead_w.any():
            return np.zeros(len(self.level_w))
        stays = ~np.isnan(self.level_w) & (self.memory.sent_at_s <= self.image.setpoint_at_s + 1e-3)
        return np.where(stays, self.image.strongest_ahead_w, 0.0)

    @cached_property
    def soon_w(self) -> F8:
        """What periods of orders in force that begin soon will ask for, W (N,)."""
        return np.minimum(soon_w(self.image), self.ahead_w)

    @cached_property
    def steerable(self) -> B1:
        """Rows that may get another level for the target's sake (N,): cars in ScheduledControl only after they have rested for long,
        since each change is a renegotiation with the car (5.5). Safety asks `movable`."""
        scheduled = self.image.scheduled_control
        if not scheduled.any():
            return self.movable
        # One that has no order of ours in force is told something anyway.
        free = np.isnan(self.level_w) | rested(self.memory.level_at_s, self.now_s, self.settings.scheduled_change_s)
        return self.movable & (~scheduled | free)

    @cached_property
    def lag(self) -> Lag:
        """How late the cars follow a step to all that they can give; worked out only where the target moves."""
        return self.response.lag(self.group.active & (self.cap_w > 0.0), self.cap_w)

    @cached_property
    def trail(self) -> Trail:
        """The last values of a streamed target, that of now included."""
        if not self.task.streamed:
            return self.memory.trail
        return self.memory.trail.with_value(self.target_w, self.now_s, self.lag.fleet_s)

    @cached_property
    def aim_w(self) -> float:
        """What is steered for: the target, on a ramp or of a stream as it will be when the cars have followed."""
        if self.target_w <= 0.0:
            return self.target_w
        if not self.task.streamed:
            return self.target_w if self.timeline.steady else self.timeline.led_discharge_w(self.now_s, self.lag.fleet_s)
        return self.trail.anticipated_w(self.now_s, self.lag.fleet_s, self.settings.stream_lead_share)

    @cached_property
    def unmeasured(self) -> B1:
        """Rows of the group without a live meter value (N,)."""
        return self.group.counted & (np.isnan(self.image.power_w) | self.capability.silent)

    @cached_property
    def measured_w(self) -> F8:
        """What each row of the group delivers by its meter (N,); what is expected of it where that is not live; 0 outside the group."""
        metered_w = as_delivery_w(self.task.instruction.mode, -self.image.power_w, self.group.baseline_w)
        if self.unmeasured.any():
            metered_w = np.where(self.unmeasured, np.where(self.group.active, self.delivers_w, 0.0), metered_w)
        return np.where(self.group.counted, metered_w, 0.0)

    @property
    def band_w(self) -> float:
        """A gap inside this sends no message."""
        return max(self.settings.band_frac * self.target_w, self.settings.band_w)

    @property
    def first(self) -> bool:
        """Nothing was sent for this dispatch yet."""
        return not self.memory.started

    @property
    def target_changed(self) -> bool:
        """The target is another than at the last tick."""
        return self.target_w != self.memory.target_w

    @property
    def haste(self) -> bool:
        """A car's dwell gives way: the target moved, or members were lost."""
        return self.first or self.target_changed or bool(self.group.left)

    @cached_property
    def limited(self) -> bool:
        """There is a limit on export."""
        return bool(np.isfinite(self.room_w).any())

    def lent_w(self, level_w: F8, margin_share: float = 1.0) -> F8:
        """What rows that keep their order lend of the limits above them at `level_w` (N,), W, with a share of the margin kept."""
        keeps = self.settled & (level_w == self.level_w)
        return lent_w(self.image, level_w, self.gain, keeps, margin_share * self.settings.lend_margin)

    def limits(self, used_w: F8) -> Limits:
        """What the group may still export below each limit when its rows already use `used_w` (N,)."""
        limits = limits_of(self.image, self.topology, self.room_w)
        return limits.less(np.where(self.group.active, used_w, 0.0)) if self.limited else limits

    def room(self, level_w: F8) -> Limits:
        """What the group may export more below each limit while it is on its way to `level_w` (N,) (I3)."""
        used_w = worst_export_w(self.image, level_w, self.lent_w(level_w)) if self.limited else level_w
        return self.limits(used_w)


def set_scene(
    image: FleetImage,
    task: DispatchTask,
    memory: TaskMemory,
    group: Group,
    able: Capability,
    response: ResponseMemory,
    topology: Topology,
    *,
    timeline: Timeline,
    now_s: float,
    capability_settings: CapabilitySettings,
    settings: ControlSettings,
) -> Scene:
    """Put the arrays together. `memory` must have as many rows as the image."""
    ahead_s = min(now_s + settings.anticipate_s, max(now_s, timeline.end_s - 1e-3))
    underway = group.active & (image.uid == memory.group_uid) & (memory.sent_at_s > now_s - settings.underway_s)
    underway &= ~(image.setpoint_at_s >= memory.sent_at_s - 1e-3)
    ordered_w = level_in_force_w(image, ahead_s)
    level_w = np.where(underway, memory.level_w, ordered_w) if underway.any() else ordered_w
    if (image.setpoint_state == SetpointState.UNKNOWN.value).any():
        # An order that got lost is written off, not repeated: others have long taken its place.
        level_w = np.where(response.astray(image) & ~underway, 0.0, level_w)
    level_w = np.where(group.active, level_w, np.nan)
    gain = response.gains()
    export_w = expected_at_w(image, response, ordered_w, gain)
    if underway.any():
        decided_w = np.where(np.isnan(level_w), -group.baseline_w, np.where(level_w > 0.0, gain * level_w, level_w))
        export_w = np.where(underway, decided_w, export_w)
    # A member that cannot be steered counts at the meter; when even that is silent, as lost.
    metered_w = np.where(able.silent | np.isnan(image.power_w), np.nan, -image.power_w)
    export_w = np.where(group.active, export_w, metered_w)
    delivers_w = as_delivery_w(task.instruction.mode, export_w, group.baseline_w)
    ready = group.active & (able.reason == Reason.READY.value)
    min_w = np.fmax(able.min_power_w, 0.0)
    cap_w = np.where(ready, np.fmax(able.max_power_w, 0.0), 0.0)
    cap_w = np.where(cap_w >= min_w, cap_w, 0.0)
    room_w = _room_w(image, task, group, topology, now_s)
    settled = np.zeros(len(image), dtype=np.bool_)
    if np.isfinite(room_w).any():
        settled = response.well_known(image) & group.active & image.connected & ~underway & ~able.silent & (level_w == response.level_w)
    return Scene(
        image=image,
        task=task,
        memory=memory,
        group=group,
        capability=able,
        capability_settings=capability_settings,
        settings=settings,
        now_s=now_s,
        window_end_s=timeline.end_s,
        target_w=timeline.target_discharge_w(now_s),
        steps_ahead=_steps_ahead(image, group, task, timeline, now_s, settings),
        timeline=timeline,
        response=response,
        level_w=level_w,
        delivers_w=np.where(group.counted & ~np.isnan(delivers_w), delivers_w, 0.0),
        gain=gain,
        cap_w=cap_w,
        min_w=min_w,
        movable=group.active & image.connected,
        rested=rested(memory.level_at_s, now_s, settings.dwell_s),
        reduces=group.active & able.reduces(task.instruction.mode),
        topology=topology,
        room_w=room_w,
        settled=settled,
    )


def _steps_ahead(
    image: FleetImage, group: Group, task: DispatchTask, timeline: Timeline, now_s: float, settings: ControlSettings
) -> tuple[tuple[float, float], ...]:
    """Nothing where nobody is told beforehand, and nothing of a stream, whose values nobody knows."""
    if task.instruction.stream is not None or not (group.active & image.scheduled_control).any():
        return ()
    return timeline.steps_ahead(now_s, settings.scheduled_period_s)


def _room_w(image: FleetImage, task: DispatchTask, group: Group, topology: Topology, now_s: float) -> F8:
    """What the group's active rows may export below each limit (G,): the limit, less what others and lost members may be giving."""
    room_w = topology.export_room_w(now_s) - task.other_export_w
    strays = group.counted & ~group.active
    if not np.isinf(room_w).all() and strays.any():
        room_w = room_w - group_export_w(image, strays, topology)
    return np.maximum(0.0, room_w)
