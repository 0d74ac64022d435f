"""The order book: which orders are accepted, and how a dispatch moves from scheduled to completed.

Overlap rule: two dispatches conflict when their windows overlap and their pools share a site. The later order is refused with
the conflict named, unless its priority is higher than that of every dispatch it conflicts with; then those are cut short.
"""

from collections.abc import Collection, Iterable, Sequence
from enum import StrEnum
from typing import Annotated

from msgspec import Meta, Struct
from msgspec.structs import replace

from counterflow.domain.dispatch_views import Displacement
from counterflow.domain.ids import ALL_SITES, DispatchId, PoolId
from counterflow.domain.instructions import (
    NOTICEABLE_FRAC,
    Amendment,
    DispatchInstruction,
    DispatchMode,
    DispatchOrder,
    DispatchState,
    Feasibility,
)
from counterflow.domain.settlement import BaselineMethod
from counterflow.domain.units import MAX_DURATION_S, format_instant, format_power
from counterflow.domain.views import Refusal, RefusalKind
from counterflow.engine.control.targets import TargetSettings, amended_steps, invalid, target_steps
from counterflow.engine.control.timeline import Timeline
from counterflow.engine.fleet.topology import Topology


class Move(StrEnum):
    """What can happen to a dispatch."""

    START = "start"
    WINDOW_END = "window end"
    CANCEL = "cancel"
    ABORT = "abort"
    RESUMED = "resumed"


MOVES: dict[tuple[DispatchState, Move], DispatchState] = {
    (DispatchState.SCHEDULED, Move.START): DispatchState.RUNNING,
    (DispatchState.SCHEDULED, Move.CANCEL): DispatchState.CANCELLED,
    (DispatchState.SCHEDULED, Move.ABORT): DispatchState.ABORTED,
    (DispatchState.SCHEDULED, Move.WINDOW_END): DispatchState.ABORTED,
    (DispatchState.RUNNING, Move.WINDOW_END): DispatchState.RESUMING,
    (DispatchState.RUNNING, Move.CANCEL): DispatchState.RESUMING,
    (DispatchState.RUNNING, Move.ABORT): DispatchState.RESUMING,
    (DispatchState.RESUMING, Move.ABORT): DispatchState.RESUMING,
    (DispatchState.RESUMING, Move.RESUMED): DispatchState.COMPLETED,
}
"""The state table; a missing key is a broken rule. RESUMED ends in `ends_as`, COMPLETED being the usual case."""

ENDS_AS = {
    Move.WINDOW_END: DispatchState.COMPLETED,
    Move.CANCEL: DispatchState.CANCELLED,
    Move.ABORT: DispatchState.ABORTED,
}
"""What a resuming dispatch becomes in the end, by the last move that stopped it."""

LIVE_STATES = frozenset({DispatchState.SCHEDULED, DispatchState.RUNNING})
OPEN_STATES = LIVE_STATES | {DispatchState.RESUMING}


class BookSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on what may be ordered."""

    min_duration_s: Annotated[float, Meta(description="Shortest window that may be ordered.", extra={"unit": "s"}, gt=0)] = 30.0
    max_lead_s: Annotated[float, Meta(description="How far ahead a start may lie.", extra={"unit": "s"}, ge=0, le=MAX_DURATION_S)] = (
        MAX_DURATION_S
    )
    late_start_s: Annotated[float, Meta(description="A start this much in the past still counts as now.", extra={"unit": "s"}, ge=0)] = 60.0
    targets: TargetSettings = TargetSettings()
    baseline: Annotated[
        BaselineMethod,
        Meta(
            description="What a relative order counts from, and is settled against, where it does not say: forward, declared, "
            "meter_before_after, ten_of_ten, high_five_of_ten or zero.",
            extra={"unit": "-"},
        ),
    ] = BaselineMethod.FORWARD


def move(instruction: DispatchInstruction, what: Move, now_s: float, reason: str = "") -> DispatchInstruction:
    """The instruction after `what`. Raises KeyError when the state table does not know the move."""
    state = MOVES[instruction.state, what]
    if what is Move.RESUMED:
        return replace(instruction, state=instruction.ends_as or state)
    if state is DispatchState.RESUMING:
        resume_from_s = now_s if instruction.resume_from_s is None else instruction.resume_from_s
        return replace(instruction, state=state, state_reason=reason, resume_from_s=resume_from_s, ends_as=ENDS_AS[what])
    return replace(instruction, state=state, state_reason=reason)


def draw_up(
    order: DispatchOrder,
    *,
    dispatch_id: DispatchId,
    now_s: float,
    topology: Topology,
    settings: BookSettings,
    idempotency_key: str | None = None,
) -> DispatchInstruction | Refusal:
    """Turn an order into an instruction, or say in a sentence what is wrong with it. Looks at the order alone."""
    start_s = now_s if order.start_s is None else max(now_s, order.start_s)
    end_s = start_s + order.duration_s if order.end_s is None else order.end_s
    if order.start_s is not None and order.start_s < now_s - settings.late_start_s:
        return invalid(
            f"The start {format_instant(order.start_s)} lies in the past.", "Leave the start out to begin now, or name one that is to come."
        )
    if order.start_s is not None and order.start_s > now_s + settings.max_lead_s:
        return invalid(f"The start lies more than {settings.max_lead_s / 86400:g} days ahead.", "Order closer to the time.")
    if not 0.0 < order.discharge_power_w < float("inf"):
        return invalid("The discharge power must be above zero.", "Write the power to be delivered as a positive number, such as 1400kW.")
    duration_s = order.duration_s if order.end_s is None else end_s - start_s
    if not settings.min_duration_s <= duration_s <= MAX_DURATION_S:
        return invalid(
            f"A window of {duration_s:g} s cannot be dispatched.",
            f"Order between {settings.min_duration_s:g} s and {MAX_DURATION_S / 86400:g} days.",
        )
    if order.pool != ALL_SITES and order.pool not in topology.pools():
        known = ", ".join(sorted(topology.pools()))
        return Refusal(kind=RefusalKind.NOT_FOUND, sentence=f"There is no pool '{order.pool}'.", remedy=f"Known pools: {known}.")
    if order.mode is not DispatchMode.RELATIVE and order.baseline not in (None, BaselineMethod.ZERO):
        return invalid(
            f"The baseline {order.baseline} belongs to a relative order; this one is {order.mode} and counts from zero.",
            "Order it with the mode relative, or leave the baseline out.",
        )
    steps = target_steps(order, start_s, duration_s, settings.targets)
    if isinstance(steps, Refusal):
        return steps
    return DispatchInstruction(
        dispatch_id=dispatch_id,
        start_s=start_s,
        end_s=end_s,
        steps=steps,
        pool=order.pool,
        policy=order.policy,
        mode=order.mode,
        priority=order.priority,
        control_path=order.control_path,
        stream=order.stream,
        ramp_w_per_s=order.ramp_w_per_s,
        ramp_out_s=order.ramp_out_s,
        baseline=(order.baseline or settings.baseline) if order.mode is DispatchMode.RELATIVE else BaselineMethod.ZERO,
        accepted_at_s=now_s,
        ordered_by=order.ordered_by,
        idempotency_key=idempotency_key,
        order=order,
    )


def conflicts_of(wanted: DispatchInstruction, others: Iterable[DispatchInstruction], topology: Topology) -> tuple[DispatchInstruction, ...]:
    """Live dispatches whose window overlaps and whose pool shares a site with `wanted`."""
    return tuple(
        other
        for other in others
        if other.dispatch_id != wanted.dispatch_id
        and other.state in LIVE_STATES
        and other.start_s < wanted.end_s
        and wanted.start_s < other.end_s
        and _share_a_site(other.pool, wanted.pool, topology)
    )


def settle_conflicts(
    wanted: DispatchInstruction, conflicts: Sequence[DispatchInstruction], outranked: Collection[DispatchId] = ()
) -> tuple[DispatchInstruction, ...] | Refusal:
    """The conflicting dispatches that must give way to `wanted`, or the refusal that names the first that does not.

    Those in `outranked` give way whatever their priority: they took cars that were held for a commitment.
    """
    replaced = wanted.order.replaces if wanted.order is not None else None
    for other in conflicts:
        if other.priority >= wanted.priority and other.dispatch_id != replaced and other.dispatch_id not in outranked:
            return Refusal(
                kind=RefusalKind.CONFLICT,
                sentence=(
                    f"Dispatch {other.dispatch_id} already holds pool '{other.pool}' from {format_instant(other.start_s)} "
                    f"to {format_instant(other.end_s)} with priority {other.priority}."
                ),
                remedy="Choose another window or pool, amend or cancel that dispatch, or order with a higher priority.",
                conflicting=other.dispatch_id,
            )
    return tuple(conflicts)


def give_way(loser: DispatchInstruction, winner: DispatchInstruction, now_s: float) -> DispatchInstruction:
    """`loser` cut short where `winner` begins; one that would never run is cancelled now. What lies behind `winner` is lost."""
    if loser.state is DispatchState.SCHEDULED and winner.start_s <= loser.start_s:
        return move(loser, Move.CANCEL, now_s, f"displaced by {winner.dispatch_id}")
    return replace(loser, end_s=min(loser.end_s, max(loser.start_s, winner.start_s)), state_reason=f"gives way to {winner.dispatch_id}")


def displacement(loser: DispatchInstruction, winner: DispatchInstruction) -> Displacement:
    """What `winner` takes from `loser`, an instruction as it was before."""
    begins_s = max(loser.start_s, winner.start_s)
    return Displacement(
        dispatch_id=loser.dispatch_id,
        runs_until_s=None if winner.start_s <= loser.start_s else begins_s,
        former_end_s=loser.end_s,
        left_over_s=max(0.0, loser.end_s - max(begins_s, winner.end_s)),
    )


def too_little(instruction: DispatchInstruction) -> Refusal | None:
    """The refusal of an order that must be met in full and cannot be, as far as can be told now."""
    told, ordered_w = instruction.feasibility, peak_power_w(instruction, instruction.start_s)
    if told is None or told.shortfall_power_w <= NOTICEABLE_FRAC * ordered_w:
        return None
    return Refusal(
        kind=RefusalKind.TOO_LITTLE,
        sentence=f"Only {format_power(told.committed_power_w)} of the {format_power(ordered_w)} ordered can be committed.",
        remedy="Order that much, or leave out the requirement that all of it is committed (require_full).",
    )


def amended(instruction: DispatchInstruction, amendment: Amendment, now_s: float) -> DispatchInstruction | Refusal:
    """The instruction with a new power from now on and/or a new end. Only scheduled and running dispatches can be amended."""
    if instruction.state not in LIVE_STATES:
        return Refusal(
            kind=RefusalKind.CONFLICT,
            sentence=f"Dispatch {instruction.dispatch_id} is {instruction.state} and cannot be changed any more.",
            remedy="Order a new dispatch.",
        )
    end_s = instruction.end_s
    changed = amended_steps(instruction, amendment, now_s)
    if isinstance(changed, Refusal):
        return changed
    if amendment.end_s is not None:
        if amendment.end_s <= max(now_s, instruction.start_s):
            return invalid("The new end lies in the past or before the start.", "Name an end that is to come, or cancel the dispatch.")
        if amendment.end_s > instruction.start_s + MAX_DURATION_S:
            return invalid("The window would be longer than 7 days.", "Name an earlier end.")
        end_s = amendment.end_s
    return replace(instruction, steps=changed, end_s=end_s)


def with_feasibility(instruction: DispatchInstruction, feasibility: Feasibility) -> DispatchInstruction:
    """The instruction with what the operator was told."""
    return replace(instruction, feasibility=feasibility)


def committed(instruction: DispatchInstruction) -> DispatchInstruction:
    """What the loop is to track: each step capped at what was committed, so that the rest stays in reserve (I4)."""
    if instruction.feasibility is None:
        return instruction
    cap_w = instruction.feasibility.committed_power_w
    steps = tuple(replace(step, discharge_power_w=min(step.discharge_power_w, cap_w)) for step in instruction.steps)
    return replace(instruction, steps=steps)


def counts_from_plans(instruction: DispatchInstruction) -> bool:
    """Whether what an order delivers is counted from a plan of each car; a relative one that is settled against zero is not."""
    return instruction.mode is DispatchMode.RELATIVE and instruction.baseline is not BaselineMethod.ZERO


def pauses_count(instruction: DispatchInstruction) -> bool:
    """Whether cars may take part by charging less: not in a relative order that is settled against zero, where nobody counts what they
    would have drawn."""
    return instruction.mode is not DispatchMode.RELATIVE or counts_from_plans(instruction)


def counted_as(mode: DispatchMode, baseline: BaselineMethod | None) -> DispatchMode:
    """How what cars can give to an order is counted: by a relative one that is settled against zero only what they export."""
    return DispatchMode.GROSS_EXPORT if mode is DispatchMode.RELATIVE and baseline is BaselineMethod.ZERO else mode


def counts_forward(instruction: DispatchInstruction) -> bool:
    """Whether a relative order counts from how each car would have gone on charging; the method declared holds the power that it had.

    What a method by the meter will say is not known yet: the forward simulation is the nearest to it.
    """
    return (instruction.baseline or BaselineMethod.DECLARED) is not BaselineMethod.DECLARED


def ordered_power_w(instruction: DispatchInstruction, at_s: float) -> float:
    """Ordered discharge power at `at_s`, W >= 0; zero outside the window. Of a stream it is the most that may be asked."""
    return Timeline.of(instruction).target_discharge_w(at_s)


def peak_power_w(instruction: DispatchInstruction, from_s: float) -> float:
    """The most that is ordered between `from_s` and the end, W >= 0."""
    return max((power_w for _, power_w in Timeline.of(instruction).pieces(from_s)), default=0.0)


def _share_a_site(one: PoolId, other: PoolId, topology: Topology) -> bool:
    return bool((topology.pool_mask(one) & topology.pool_mask(other)).any())
