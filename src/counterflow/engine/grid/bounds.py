"""An operator's order, bounded by its program and turned into an order of ours. What is out of bounds is refused, never cut to fit."""

from itertools import pairwise
from math import isfinite

from msgspec import Struct

from counterflow.domain.grid import GridOrder, GridStep, Program
from counterflow.domain.instructions import DispatchMode, DispatchOrder, OrderStep, StreamTerms
from counterflow.domain.settlement import BaselineMethod
from counterflow.domain.units import MAX_DURATION_S, format_power
from counterflow.domain.views import Refusal
from counterflow.engine.control.targets import invalid

_ROUNDING_FRAC = 1e-9


class Later(Struct, frozen=True):
    """Nothing is to be ordered yet: it begins further ahead than orders are taken."""

    from_s: float


class Nothing(Struct, frozen=True):
    """Nothing is to be discharged any more, or at all."""


def bounded(program: Program, order: GridOrder, now_s: float, max_lead_s: float) -> DispatchOrder | Later | Nothing | Refusal:
    """What to order now. `max_lead_s` is how far ahead a start may lie. Looks at the order and its program alone."""
    wrong = _out_of_bounds(program, order)
    if wrong is not None:
        return wrong
    steps = _to_come(order, now_s)
    if not steps:
        return Nothing()
    first, *rest = steps
    if first.from_s > now_s + max_lead_s:
        return Later(first.from_s)
    last_s, longest_s = _end_s(order), first.from_s + MAX_DURATION_S
    end_s = min(last_s, longest_s)
    return DispatchOrder(
        discharge_power_w=first.discharge_power_w,
        duration_s=end_s - first.from_s,
        start_s=None if first.from_s <= now_s else first.from_s,
        end_s=last_s if last_s <= longest_s else None,  # what is taken late does not last for longer
        pool=program.pool,
        policy=program.policy,
        mode=order.mode or program.mode,
        baseline=_baseline(program, order.mode or program.mode),
        priority=program.priority if order.priority is None else order.priority,
        ordered_by=f"{program.wire}:{program.name}",
        steps=tuple(OrderStep(from_s=step.from_s, discharge_power_w=step.discharge_power_w) for step in rest if step.from_s < end_s),
        ramp_w_per_s=program.max_ramp_w_per_s,
    )


def streamed(program: Program) -> DispatchOrder:
    """The order under which a program's set-points are followed."""
    return DispatchOrder(
        discharge_power_w=program.max_discharge_power_w,
        duration_s=program.stream_window_s,
        pool=program.pool,
        policy=program.policy,
        mode=program.mode,
        baseline=_baseline(program, program.mode),
        priority=program.priority,
        ordered_by=f"{program.wire}:{program.name}",
        stream=StreamTerms(timeout_s=program.stream_timeout_s, hold_s=program.stream_hold_s, ramp_down_s=program.stream_ramp_down_s),
        ramp_w_per_s=program.max_ramp_w_per_s,
    )


def _baseline(program: Program, mode: DispatchMode) -> BaselineMethod | None:
    """Only a relative order counts from what the program agreed; any other counts from zero."""
    return program.baseline if mode is DispatchMode.RELATIVE else None


def beyond(program: Program, discharge_power_w: float) -> Refusal | None:
    """What is wrong with a power, W; None = it is within what the program may order."""
    if not isfinite(discharge_power_w):
        return invalid("The power is not a number.", "Send the power as a finite number.")
    if discharge_power_w < 0.0:
        return invalid(
            f"Program '{program.name}' asks for {format_power(-discharge_power_w)} of consumption, and only a discharge, or a charge that "
            "is reduced, can be ordered.",
            f"Check the sign: this program writes in the {_convention(program)} convention.",
        )
    if discharge_power_w > program.max_discharge_power_w * (1.0 + _ROUNDING_FRAC):
        return invalid(
            f"Program '{program.name}' asks for {format_power(discharge_power_w)}, and may order at most "
            f"{format_power(program.max_discharge_power_w)}.",
            "Order less, or agree on more (max_discharge_power_w of the program).",
        )
    return None


def _out_of_bounds(program: Program, order: GridOrder) -> Refusal | None:
    for step in order.steps:
        if (wrong := beyond(program, step.discharge_power_w)) is not None:
            return wrong
    if not order.steps:
        return invalid("The order says no power.", "Name at least one step.")
    if not all(one.from_s < other.from_s for one, other in pairwise(order.steps)):
        return invalid("The steps of the order are not in the order of time.", "Let each begin after the one before it.")
    if not order.end_s > order.steps[-1].from_s:
        return invalid("The order ends before its last step begins.", "Name a later end, or leave the step out.")
    return None


def _end_s(order: GridOrder) -> float:
    """Where the last discharge ends: trailing zeros ask for nothing."""
    end_s = order.end_s
    for step in reversed(order.steps):
        if step.discharge_power_w > 0.0:
            break
        end_s = step.from_s
    return end_s


def _to_come(order: GridOrder, now_s: float) -> list[GridStep]:
    """The steps from now on, first the one that holds now, without zeros at either end."""
    end_s = _end_s(order)
    if end_s <= now_s:
        return []
    begun = [step for step in order.steps if step.from_s <= now_s]
    steps = [GridStep(from_s=now_s, discharge_power_w=begun[-1].discharge_power_w)] if begun else []
    steps += [step for step in order.steps if now_s < step.from_s < end_s]
    while steps and steps[0].discharge_power_w == 0.0:
        steps.pop(0)
    return steps


def _convention(program: Program) -> str:
    return "load" if program.sign is None else program.sign.value
