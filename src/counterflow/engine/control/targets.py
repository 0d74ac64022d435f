"""What an order says about its target, checked and turned into steps: a constant power, a profile, or the bounds of a stream."""

from math import isfinite
from typing import Annotated

from msgspec import Meta, Struct

from counterflow.domain.instructions import Amendment, ControlPath, DispatchInstruction, DispatchOrder, Headroom, OrderStep, TargetStep
from counterflow.domain.units import format_instant
from counterflow.domain.views import Refusal, RefusalKind


class TargetSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on the targets that may be ordered."""

    max_steps: Annotated[int, Meta(description="Most steps of one profile.", extra={"unit": "-"}, ge=1, le=10_000)] = 1_000
    min_timeout_s: Annotated[
        float, Meta(description="Shortest dead-man of a stream: its source needs time for a second try.", extra={"unit": "s"}, gt=0)
    ] = 4.0
    max_timeout_s: Annotated[float, Meta(description="Longest dead-man of a stream.", extra={"unit": "s"}, gt=0)] = 900.0


def target_steps(order: DispatchOrder, start_s: float, duration_s: float, settings: TargetSettings) -> tuple[TargetStep, ...] | Refusal:
    """The steps of an order that starts at `start_s` and lasts `duration_s`, ordered by time; or what is wrong with its target, in a
    sentence."""
    wrong = _wrong_form(order, duration_s, settings)
    if wrong is not None:
        return wrong
    end_s = start_s + duration_s
    steps = [TargetStep(from_s=start_s, discharge_power_w=order.discharge_power_w)]
    for number, step in enumerate(order.steps, start=2):
        from_s = _from_s(step, start_s)
        if from_s is None:
            return invalid(f"Step {number} does not say when it begins.", "Give each step one of the two: after_s, or from (from_s).")
        if not from_s > steps[-1].from_s:
            return invalid(
                f"Step {number} begins at {format_instant(from_s)}, not after the one before it ({format_instant(steps[-1].from_s)}).",
                "Name the steps in the order of time, each later than the start.",
            )
        if from_s >= end_s:
            return invalid(
                f"Step {number} begins at {format_instant(from_s)}, when the window is over.", "Order a longer window, or leave it out."
            )
        if not 0.0 <= step.discharge_power_w < float("inf"):
            return invalid(f"The discharge power of step {number} must be zero or more.", "Write it as a positive number, such as 1400kW.")
        steps.append(TargetStep(from_s=from_s, discharge_power_w=step.discharge_power_w))
    return tuple(steps)


def _from_s(step: OrderStep, start_s: float) -> float | None:
    if (step.after_s is None) == (step.from_s is None):
        return None
    return step.from_s if step.from_s is not None else start_s + (step.after_s or 0.0)


def _wrong_form(order: DispatchOrder, duration_s: float, settings: TargetSettings) -> Refusal | None:
    moving = bool(order.steps) or order.stream is not None or order.ramp_w_per_s is not None or order.ramp_out_s > 0.0
    if moving and order.control_path is not ControlPath.CENTRAL:
        return invalid(
            f"The path {order.control_path.value} takes a constant power only.",
            "Leave out steps, stream and ramps, or order the path central.",
        )
    if order.steps and order.stream is not None:
        return invalid("An order has either steps or a stream.", "Leave one of them out.")
    if len(order.steps) >= settings.max_steps:
        return invalid(f"A profile has at most {settings.max_steps} steps.", "Order a part of it now, the rest as a later dispatch.")
    if order.ramp_w_per_s is not None and not (isfinite(order.ramp_w_per_s) and order.ramp_w_per_s > 0.0):
        return invalid("The ramp must be above zero.", "Write how fast the target may move, such as 20kW/s, or leave it out.")
    if not 0.0 <= order.ramp_out_s <= duration_s:
        return invalid("The ramp-out must fit into the window.", "Name a shorter one, or a longer window.")
    if order.headroom is not None and not _is_headroom(order.headroom):
        return invalid("The headroom cannot be had.", "Name a share below 1 (headroom_frac) or a power of zero or more (headroom_power_w).")
    if order.stream is not None and not settings.min_timeout_s <= order.stream.timeout_s <= settings.max_timeout_s:
        return invalid(
            f"A stream's time-out of {order.stream.timeout_s:g} s cannot be had.",
            f"Choose between {settings.min_timeout_s:g} s and {settings.max_timeout_s:g} s.",
        )
    return None


def _is_headroom(headroom: Headroom) -> bool:
    share, power_w = headroom.share_frac, headroom.power_w
    if share is None:
        return power_w is not None and 0.0 <= power_w < float("inf")
    return power_w is None and 0.0 <= share < 1.0


def amended_steps(instruction: DispatchInstruction, amendment: Amendment, now_s: float) -> tuple[TargetStep, ...] | Refusal:
    """The steps with another power from now on, to the end; later steps are replaced by it."""
    power_w = amendment.discharge_power_w
    if power_w is None:
        return instruction.steps
    if not 0.0 < power_w < float("inf"):
        return invalid("The discharge power must be above zero.", "To stop a dispatch, cancel it.")
    if instruction.control_path is ControlPath.LOCAL_FREQUENCY:
        return invalid("The band of a local_frequency dispatch stands in its cars' curves.", "Order a new dispatch of another power.")
    if instruction.control_path is ControlPath.AFRR and power_w > instruction.steps[0].discharge_power_w:
        return invalid("An aFRR dispatch moves inside the band that was ordered.", "Name a smaller power, or order a new dispatch.")
    from_s = max(now_s, instruction.start_s)
    kept = tuple(step for step in instruction.steps if step.from_s < from_s)
    return (*kept, TargetStep(from_s=from_s, discharge_power_w=power_w))


def invalid(sentence: str, remedy: str) -> Refusal:
    """The refusal of an order that cannot be carried out as it is written."""
    return Refusal(kind=RefusalKind.INVALID, sentence=sentence, remedy=remedy)
