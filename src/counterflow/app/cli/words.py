"""Dispatches and reports in words."""

from counterflow.app.cli.tables import clock, instant, span
from counterflow.domain.conflicts import ForeignProfile
from counterflow.domain.delivery import DeliveryReport, drop_out_words
from counterflow.domain.dispatch_views import ClearingView, DispatchAnswer, DispatchView, Displacement
from counterflow.domain.instructions import NOTICEABLE_FRAC, DispatchInstruction, Feasibility, asked_power_w, promise_words, target_words
from counterflow.domain.units import format_energy, format_instant, format_power
from counterflow.engine.control.timeline import Timeline

MOST_LIMITS = 5
"""So many limits are named one by one."""


def length(duration_s: float) -> str:
    """A duration as one orders it: `90 s`, `15 min`, `1.5 h`."""
    if duration_s < 120.0 or duration_s % 60.0:
        return f"{duration_s:.0f} s"
    if duration_s < 7_200.0:
        return f"{duration_s / 60.0:.0f} min"
    return f"{duration_s / 3600.0:.4g} h"


def counted(count: int, what: str) -> str:
    """`1 session`, `2 sessions`."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def power(power_w: float | None) -> str:
    """Watts in words; unknown is said."""
    return "unknown" if power_w is None else format_power(power_w)


def answer_words(answer: DispatchAnswer, now_s: float) -> list[str]:
    """The answer to an order, a sentence a line."""
    instruction = answer.dispatch.instruction
    lines = [_headline(answer, now_s)]
    lines += [_displaced(each, now_s, would_be=answer.dry_run) for each in answer.displaced]
    if answer.obstacle is not None and answer.obstacle.conflicting is not None:
        lines.append(f"The figures are as they would be without dispatch {answer.obstacle.conflicting} and others in its way.")
    lines += feasibility_words(instruction, answer.dispatch.feasibility)
    return [*lines, *(f"Kept back by drivers' limits: {words}." for words in answer.held_back)]


def _headline(answer: DispatchAnswer, now_s: float) -> str:
    instruction = answer.dispatch.instruction
    what = order_words(instruction, now_s)
    if answer.dry_run:
        return f"Dry run, nothing is started: {what}."
    if answer.repeated:
        return (
            f"This idempotency key was used before; it stands for dispatch {instruction.dispatch_id} ({instruction.state.value}): {what}."
        )
    told = answer.dispatch.feasibility
    if told.shortfall_power_w > NOTICEABLE_FRAC * asked_power_w(instruction):
        return (
            f"Dispatch {instruction.dispatch_id} is accepted, but only {power(told.committed_power_w)} of "
            f"{power(asked_power_w(instruction))} can be committed: {what}."
        )
    return f"Dispatch {instruction.dispatch_id} is accepted: {what}."


def _displaced(one: Displacement, now_s: float, *, would_be: bool) -> str:
    """What happens to a dispatch of lower priority, and to the rest of it."""
    if one.runs_until_s is None:
        what = f"It has priority over {one.dispatch_id}, which {'would be' if would_be else 'is'} cancelled."
    else:
        what = (
            f"It has priority over {one.dispatch_id}, which {'would end' if would_be else 'ends'} at {clock(one.runs_until_s, now_s)} "
            f"instead of {clock(one.former_end_s, now_s)} UTC."
        )
    if one.left_over_s >= 1.0:
        what += f" Its last {length(one.left_over_s)}, after this order, are not taken up again: order them anew if they are wanted."
    return what


def order_words(instruction: DispatchInstruction, now_s: float) -> str:
    """What a dispatch is to do, without a full stop."""
    start = f"from {instant(instruction.start_s)}" if instruction.start_s > now_s + 1.0 else f"until {clock(instruction.end_s, now_s)} UTC"
    most = "at most " if instruction.stream is not None else ""
    return (
        f"{target_words(instruction)} for {length(instruction.end_s - instruction.start_s)} {start} "
        f"({most}{format_energy(Timeline.of(instruction).energy_wh())}; pool {instruction.pool}, {instruction.policy.value}, "
        f"{instruction.mode.value})"
    )


def feasibility_words(instruction: DispatchInstruction, feasibility: Feasibility) -> list[str]:
    """What is feasible, what is committed, and what is missing."""
    lines = [
        f"Feasible power:  {power(feasibility.expected_power_w)} expected, {power(feasibility.low_power_w)} low, "
        f"from {counted(feasibility.sessions, 'session')}.",
        f"Feasible energy: {format_energy(feasibility.expected_energy_wh)} expected, {format_energy(feasibility.low_energy_wh)} low.",
        f"Committed:       {power(feasibility.committed_power_w)}.",
    ]
    if feasibility.shortfall_power_w > NOTICEABLE_FRAC * asked_power_w(instruction):
        lines.append(f"Shortfall:       {power(feasibility.shortfall_power_w)} of the order cannot be promised now.")
    else:
        lines.append("Shortfall:       none.")
    if feasibility.commitment_power_w is not None:
        above_w = max(0.0, asked_power_w(instruction) - feasibility.commitment_power_w)
        above = f"; {power(above_w)} of the order is above it and was never promised" if above_w > 0.0 else ""
        lines.append(f"Commitment:      {feasibility.commitment_id} over {power(feasibility.commitment_power_w)}{above}.")
    if feasibility.reserved_power_w > 0.0:
        lines.append(f"Reserved:        {power(feasibility.reserved_power_w)} is held for commitments of others.")
    reached_w = max((power_w for _, power_w in Timeline.of(instruction).pieces(instruction.start_s)), default=0.0)
    if reached_w < (1.0 - NOTICEABLE_FRAC) * max(step.discharge_power_w for step in instruction.steps):
        lines.append(f"Ramp:            the target gets no further than {power(reached_w)} within the window.")
    lines += [f"Limits:          {words}." for words in feasibility.limits[:MOST_LIMITS]]
    if len(feasibility.limits) > MOST_LIMITS:
        lines.append(f"Limits:          and {len(feasibility.limits) - MOST_LIMITS} more.")
    return lines


def profile_words(one: ForeignProfile) -> str:
    """A profile that is not ours: `TxProfile 17 at level 3 on EVSE 1, from EMS`."""
    profile = one.profile
    where = f"on EVSE {one.evse_id}" if one.evse_id else "for the whole station"
    return f"{profile.purpose} {profile.profile_id} at level {profile.stack_level} {where}, from {one.source or 'unknown'}"


def clearing_words(view: ClearingView) -> list[str]:
    """What clear-all does now, and what it does step by step."""
    if view.profiles == 0:
        return ["There is no profile of ours at any station."]
    lines = [f"{counted(view.profiles, 'profile')} of ours will be cleared; those at stations that are offline, on their return."]
    if view.profiles > view.paced:
        lines.append(f"At once: {view.profiles - view.paced}.")
    if view.paced:
        lines.append(
            f"Step by step, within about {span(view.paced_over_s)}: {view.paced}, each as its car resumes charging "
            "(discharge has stopped; this takes longer where a site's import limit is tight)."
        )
    return lines


def state_words(view: DispatchView, now_s: float) -> str:
    """Where a dispatch stands, without a full stop."""
    instruction = view.instruction
    reason = f" ({instruction.state_reason})" if instruction.state_reason else ""
    match instruction.state.value:
        case "scheduled":
            return f"scheduled, starts in {span(max(0.0, instruction.start_s - now_s))}{reason}"
        case "running":
            left_s = max(0.0, instruction.end_s - now_s)
            return f"running, {span(left_s)} left of {length(instruction.end_s - instruction.start_s)}{reason}"
        case "resuming":
            return f"charging is being resumed{reason}"
        case ended:
            return f"{ended}{reason}"


def verdict_words(report: DeliveryReport) -> list[str]:
    """What was delivered, how well, and what happened, a sentence a line."""
    lines = [_delivered(report), f"Window:    {_window(report)}."]
    if report.tracking_rmse_frac is not None:
        quality = [f"tracking error {_percent(report.tracking_rmse_frac)} (RMSE)"]
        if report.worst_10s_error_frac is not None:
            quality.append(f"worst 10-second mean {_percent(report.worst_10s_error_frac)} off")
        if report.time_in_band_frac is not None:
            quality.append(f"{_percent(report.time_in_band_frac)} of the time in the band")
        lines.append(f"How well:  {', '.join(quality)}.")
    else:
        lines.append("How well:  the tracking error is unknown: the dispatch was too short, or too little was metered.")
    if report.shortfall_energy_wh > NOTICEABLE_FRAC * report.target_energy_wh:
        lines.append(f"Shortfall: {format_energy(report.shortfall_energy_wh)}.")
    lines += [f"Promise:   {sentence}" for sentence in promise_words(report.instruction)]
    lines.append(
        f"Fleet:     {counted(report.members, 'session')}, {drop_out_words(report.drop_outs)}, "
        f"{counted(report.messages_sent, 'message')}, {counted(len(report.gaps), 'gap')} in the meter data."
    )
    if report.baseline is not None and report.baseline.energy_wh:
        method = report.baseline.method.value.replace("_", " ")
        lines.append(f"Baseline:  {method}, {format_energy(report.baseline.energy_wh)} that the cars would have drawn.")
    if report.quality is not None:
        flagged = f", {format_energy(report.flagged_wh)} of it from power alone" if report.flagged_wh else ""
        lines.append(f"Data:      {report.quality}{flagged}.")
    if report.recovery is not None and report.recovery.energy_wh:
        so_far, drawn = "" if report.recovery.complete else " so far", format_energy(report.recovery.energy_wh)
        lines.append(f"Recovery:  {drawn} drawn afterwards to make it good{so_far}; no part of what was delivered.")
    if report.revision is not None:
        lines.append(f"Version:   {report.version}. {' '.join(report.revision.reasons)}")
    lines += [f"Note:      {note}" for note in report.notes]
    if not report.final:
        lines.append("These figures are provisional: the dispatch has not ended, or late meter values may still come.")
    return lines


def _delivered(report: DeliveryReport) -> str:
    share = f", {_percent(report.delivered_energy_wh / report.target_energy_wh)}" if report.target_energy_wh > 0.0 else ""
    return (
        f"Delivered: {format_energy(report.delivered_energy_wh)} ± {format_energy(report.uncertainty_wh)} "
        f"of {format_energy(report.target_energy_wh)} ordered{share}."
    )


def _window(report: DeliveryReport) -> str:
    """When it ran, and as of when this is known."""
    order = report.instruction
    end_s = order.end_s if order.resume_from_s is None else min(order.end_s, order.resume_from_s)
    made = f"version {report.version}, made {format_instant(round(report.generated_at_s))}"
    return f"{format_instant(round(order.start_s))} to {format_instant(round(end_s))}; {made}"


def _percent(fraction: float) -> str:
    return f"{fraction * 100.0:.1f} %"
