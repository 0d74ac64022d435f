"""A scheduled start: profiles go out ahead of time, and each car begins early by what it takes to get going."""

from typing import Annotated

from msgspec import Meta, Struct

from counterflow.domain.instructions import DispatchInstruction


class ScheduledStartSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the first profiles of a dispatch go out, and how early cars begin: by their own transitions (`lags`), where there are any.

    The defaults are the reference plant's means.
    """

    min_notice_s: Annotated[
        float,
        Meta(description="An order with less notice than this goes out at its start, not ahead of it.", extra={"unit": "s"}, ge=0),
    ] = 30.0
    ahead_s: Annotated[
        float,
        Meta(description="The first profiles go out this long before the start; 0 = at the start.", extra={"unit": "s"}, ge=0, le=600),
    ] = 60.0
    lead_delay_s: Annotated[
        float, Meta(description="Time from a setpoint to a car's reaction, taken off its start.", extra={"unit": "s"}, ge=0)
    ] = 6.2
    lead_ramp_w_per_s: Annotated[
        float, Meta(description="A car's ramp; half of its ramp time is taken off its start.", extra={"unit": "W/s"}, gt=0)
    ] = 1_950.0
    lead_default_weight: Annotated[
        float,
        Meta(
            description="A session's own transitions are weighed against so many that keep to lead_delay_s and lead_ramp_w_per_s.",
            extra={"unit": "-"},
            gt=0,
        ),
    ] = 0.5
    max_lead_s: Annotated[
        float, Meta(description="No car begins earlier than this before the start.", extra={"unit": "s"}, ge=0, le=120)
    ] = 20.0


def first_tick_s(instruction: DispatchInstruction, settings: ScheduledStartSettings) -> float:
    """When a dispatch is planned for the first time: ahead of its start where there is notice, epoch seconds."""
    if instruction.start_s - instruction.accepted_at_s < settings.min_notice_s:
        return instruction.start_s
    return max(instruction.accepted_at_s, instruction.start_s - settings.ahead_s)


def lead_s(step_w: float, settings: ScheduledStartSettings) -> float:
    """How much earlier a car is told to begin, so that the middle of its ramp over `step_w` meets the start."""
    return min(settings.lead_delay_s + abs(step_w) / (2.0 * settings.lead_ramp_w_per_s), settings.max_lead_s)
