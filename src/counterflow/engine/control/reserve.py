"""A dispatch whose cars are moved by curves in their stations: who holds how much of the band. One pure call a tick, like `tick`.

A car's part of the band is what it could give until the end of the window at full activation, so its order ends in time whatever the
grid asks of it (decisions 3). Nothing is corrected by the meter: what a station asks of its car is not known here. Cars whose EVSE does
not do it take part by setpoints where we know what is asked (aFRR), else not at all.
"""

import numpy as np
from msgspec import Struct

from counterflow.domain.ids import SessionUid
from counterflow.domain.instructions import ControlPath
from counterflow.domain.reasons import ChangeReason, Reason
from counterflow.domain.setpoints import SetpointState
from counterflow.engine.control.balance import worst_export_w
from counterflow.engine.control.decision import Decision, DispatchTask, Release, SetpointChange, TaskMemory, TickFigures
from counterflow.engine.control.grid import limits_of
from counterflow.engine.control.lookahead import Trail
from counterflow.engine.control.orders import ends_for
from counterflow.engine.control.reconcile import Group, reconcile
from counterflow.engine.control.response import ResponseMemory
from counterflow.engine.control.settings import ControlSettings
from counterflow.engine.dispatch.limits import cap_in_order
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import B1, F8, FleetImage
from counterflow.engine.fleet.topology import Topology


class Stock(Struct, frozen=True, kw_only=True):
    """Everything that one look needs, arrays (N,), W, discharge positive; `band_w`: what each row holds of the band, NaN = nothing."""

    image: FleetImage
    able: Capability
    group: Group
    steered: B1
    gain: F8
    band_w: F8
    target_w: float


def reserve(
    image: FleetImage,
    task: DispatchTask,
    memory: TaskMemory,
    response: ResponseMemory,
    now_s: float,
    topology: Topology,
    capability_settings: CapabilitySettings,
    settings: ControlSettings,
    *,
    able: Capability,
    steered: B1,
    share: float,
) -> Decision:
    """Decide at `now_s`. `steered` (N,): the EVSE finds its power by a curve; `share`: what is asked of the band now, 0 to 1."""
    instruction = task.instruction
    memory = memory.sized(len(image))
    able = able.without_reduction()
    group = reconcile(image, able, task, memory, response, topology, now_s)
    held = group.active & (group.uid == memory.group_uid)
    stock = Stock(
        image=image,
        able=able,
        group=group,
        steered=steered,
        gain=np.maximum(response.gains(), 1e-3),
        band_w=np.where(held, memory.level_w, np.nan),
        target_w=instruction.steps[0].discharge_power_w,
    )
    central = instruction.control_path is ControlPath.AFRR
    let_go = np.zeros(len(image), dtype=np.bool_) if central else ~np.isnan(stock.band_w) & ~steered
    band_w = np.where(let_go, np.nan, stock.band_w)
    band_w = np.where(group.active & (able.reason == Reason.READY), np.minimum(band_w, able.max_power_w), band_w)
    band_w = _filled(stock, band_w, topology, _room_w(stock, task, topology), may=np.full(len(image), central) | steered)
    changes = _changes(stock, memory, band_w, share, instruction.end_s, now_s, capability_settings, settings)
    sent = np.zeros(len(image), dtype=np.bool_)
    sent[[change.row for change in changes]] = True
    releases = tuple(
        Release(row=row, uid=SessionUid(int(image.uid[row])), reason=ChangeReason.WITHDRAWN) for row in np.flatnonzero(let_go).tolist()
    )
    same = group.uid == memory.group_uid
    return Decision(
        changes=changes,
        releases=group.releases + releases,
        joined=group.joined,
        planned=group.planned,
        left=group.left,
        figures=_figures(stock, band_w, share),
        memory=TaskMemory(
            started=True,
            target_w=stock.target_w,
            resorted_at_s=memory.resorted_at_s,
            ticked_at_s=now_s,
            integral_ws=0.0,
            trail=Trail(),
            group_uid=group.uid,
            active=group.active,
            must_charge=group.must_charge,
            baseline_w=group.baseline_w,
            level_w=band_w,
            level_at_s=np.where(sent, now_s, np.where(same, memory.level_at_s, -np.inf)),
            sent_at_s=np.where(sent, now_s, np.where(same, memory.sent_at_s, -np.inf)),
            expected_w=np.where(np.isnan(band_w), 0.0, stock.gain * np.fmax(band_w, 0.0) * share),
            plans=group.plans,
        ),
        alarms=(),
    )


def _filled(stock: Stock, band_w: F8, topology: Topology, room_w: F8, *, may: B1) -> F8:
    """The band with new cars until it is whole: those that hold most first, the last one with what is still missing."""
    able, gain = stock.able, stock.gain
    missing_w = stock.target_w - float(np.nansum(gain * band_w))
    free = stock.group.active & np.isnan(band_w) & (able.reason == Reason.READY) & stock.image.connected & may
    least_w = np.fmax(able.min_power_w, 1.0)
    offer_w = np.where(free, np.fmin(able.sustained_power_w, able.max_power_w), 0.0)
    offer_w = np.where(np.isnan(offer_w) | (offer_w < least_w), 0.0, offer_w)
    offer_w = cap_in_order(offer_w, -offer_w, limits_of(stock.image, topology, room_w))
    offer_w = np.where(offer_w < least_w, 0.0, offer_w)
    # Cars that find their power by themselves come first.
    rows = np.lexsort((-offer_w, ~stock.steered))
    rows = rows[offer_w[rows] > 0.0]
    filled_w = band_w.copy()
    for row in rows.tolist():
        if missing_w <= 0.0:
            break
        filled_w[row] = max(min(offer_w[row], missing_w / gain[row]), least_w[row])
        missing_w -= gain[row] * filled_w[row]
    return filled_w


def _room_w(stock: Stock, task: DispatchTask, topology: Topology) -> F8:
    """What is left of each limit on export (G,) when everybody gives the most that was asked of him."""
    room_w = topology.export_room_w(stock.image.at_s) - task.other_export_w
    if np.isinf(room_w).all():
        return np.maximum(0.0, room_w)
    worst_w = np.where(
        stock.group.counted, np.fmax(worst_export_w(stock.image, np.zeros(len(stock.image))), np.nan_to_num(stock.band_w)), 0.0
    )
    return np.maximum(0.0, room_w - limits_of(stock.image, topology, topology.max_export_w).used_w(worst_w))


def _changes(
    stock: Stock,
    memory: TaskMemory,
    band_w: F8,
    share: float,
    window_end_s: float,
    now_s: float,
    capability_settings: CapabilitySettings,
    settings: ControlSettings,
) -> tuple[SetpointChange, ...]:
    """Orders for new parts of the band, for parts whose order is not as it should be, and setpoints for cars without a curve."""
    image = stock.image
    holds = ~np.isnan(band_w) & image.connected
    # A car gives nothing, or its minimum at least: the nearer of the two (I5).
    part_w, least_w = band_w * share, np.fmax(stock.able.min_power_w, 0.0)
    part_w = np.where((part_w > 0.0) & (part_w < least_w), np.where(part_w >= 0.5 * least_w, least_w, 0.0), part_w)
    asked_w = np.where(stock.steered, band_w, part_w)
    new = holds & np.isnan(stock.band_w)
    quiet = now_s - memory.sent_at_s >= settings.retry_s
    told_w = np.where(np.isnan(image.setpoint_w), np.nan, -image.setpoint_w)
    differs = ~(np.abs(told_w - asked_w) <= settings.quantum_w) | (image.self_steered != stock.steered)
    unsure = (image.setpoint_state == SetpointState.UNKNOWN) | (image.setpoint_state == SetpointState.REJECTED)
    late = image.discharge_until_s > window_end_s + 1.0
    again = holds & ~new & ((~stock.steered & differs) | (quiet & (differs | unsure | late)))
    rows = np.flatnonzero(new | again)
    if rows.size == 0:
        return ()
    # The end holds at the whole band, whatever is asked of it now.
    ends = ends_for(
        image,
        stock.able,
        rows,
        band_w[rows],
        now_s=now_s,
        window_end_s=window_end_s,
        capability_settings=capability_settings,
        settings=settings,
    )
    reason = ChangeReason.START if not memory.started else ChangeReason.TARGET_CHANGED
    return tuple(
        SetpointChange(
            row=row,
            uid=SessionUid(int(image.uid[row])),
            power_w=-float(asked_w[row]) + 0.0,
            discharge_until_s=float(until_s),
            hold_until_s=float(hold_s),
            reason=reason,
            urgent=False,
            by_curve=bool(stock.steered[row]),
        )
        for row, until_s, hold_s in zip(rows.tolist(), ends.discharge_until_s, ends.hold_until_s, strict=True)
        if until_s > now_s
    )


def _figures(stock: Stock, band_w: F8, share: float) -> TickFigures:
    holds = ~np.isnan(band_w) & (np.nan_to_num(band_w) > 0.0)
    delivered_w = np.where(holds & ~stock.able.silent, -stock.image.power_w, np.nan)
    band_sum_w = float(np.nansum(np.where(holds, stock.gain * band_w, 0.0)))
    return TickFigures(
        target_w=stock.target_w * share,
        measured_w=float(np.nansum(delivered_w)),
        expected_w=band_sum_w * share,
        headroom_w=band_sum_w * (1.0 - share),
        shortfall_w=max(0.0, stock.target_w - band_sum_w),
        members=int(np.count_nonzero(stock.group.counted)),
        discharging=int(np.count_nonzero(holds)),
        reserve=0,
        unmeasured=int(np.count_nonzero(holds & np.isnan(delivered_w))),
    )
