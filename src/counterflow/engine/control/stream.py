"""A target that comes value by value: which value counts, and what becomes of the target when none comes (decisions 16).

Values may be late, doubled, or of a source that began anew; only one that is newer than the last counts. Without a newer one the target
holds, then goes down to the baseline: until the source is heard again the cars are left to themselves.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct
from msgspec.structs import replace

from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.instructions import DispatchInstruction, StreamTerms, StreamValue, TargetStep
from counterflow.engine.control.timeline import Timeline, ramped_w


class StreamSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a source of values may do."""

    values_per_s: Annotated[
        float, Meta(description="Values that one dispatch takes, in the mean; more are refused (429).", extra={"unit": "1/s"}, gt=0, le=50)
    ] = 2.0
    burst_values: Annotated[
        int, Meta(description="Values that may come at once after a pause, before the mean counts.", extra={"unit": "-"}, ge=1, le=1_000)
    ] = 10
    ahead_s: Annotated[
        float, Meta(description="A value whose time is further ahead of our clock than this is refused.", extra={"unit": "s"}, ge=0)
    ] = 5.0


class StreamPhase(StrEnum):
    """What its source has done lately. HOLDING, FALLING and SILENT are the dead-man: the source is overdue."""

    WAITING = "waiting"
    LIVE = "live"
    HOLDING = "holding"
    FALLING = "falling"
    SILENT = "silent"


OVERDUE = frozenset({StreamPhase.HOLDING, StreamPhase.FALLING, StreamPhase.SILENT})
AT_REST = frozenset({StreamPhase.WAITING, StreamPhase.SILENT})
"""Nothing is asked: the cars are left to themselves."""


class Outcome(StrEnum):
    """What became of a value."""

    TAKEN = "taken"
    DUPLICATE = "duplicate"
    LATE = "late"


class StreamState(Struct, frozen=True, kw_only=True):
    """The newest value that counts. `left_w`: where the target was when it came, so where its ramp begins."""

    value_w: float = 0.0
    left_w: float = 0.0
    heard_at_s: float | None = None
    """When the source was last heard with something new; None = never."""
    sequence: int | None = None
    said_at_s: float | None = None


class Judged(NamedTuple):
    """What became of a value, and the state after it."""

    outcome: Outcome
    state: StreamState


def phase_at(state: StreamState, terms: StreamTerms, start_s: float, now_s: float) -> StreamPhase:
    """Where the dead-man stands. Before the first value nobody is overdue until the window and the time-out have begun and passed."""
    if state.heard_at_s is None:
        return StreamPhase.WAITING if now_s <= start_s + terms.timeout_s else StreamPhase.SILENT
    over_s = now_s - state.heard_at_s - terms.timeout_s
    if over_s <= 0.0:
        return StreamPhase.LIVE
    if over_s <= terms.hold_s:
        return StreamPhase.HOLDING
    return StreamPhase.FALLING if over_s < terms.hold_s + terms.ramp_down_s else StreamPhase.SILENT


def target_w(state: StreamState, instruction: DispatchInstruction, now_s: float) -> float:
    """What is asked now, W >= 0, ramps and dead-man in it."""
    terms = _terms(instruction)
    if state.heard_at_s is None:
        return 0.0
    falls_s = state.heard_at_s + terms.timeout_s + terms.hold_s
    until_s = min(now_s, falls_s)
    power_w = state.value_w
    if instruction.ramp_w_per_s is not None:
        ramped_s = until_s - max(state.heard_at_s, instruction.start_s)
        power_w = ramped_w(state.left_w, state.value_w, ramped_s, instruction.ramp_w_per_s)
    return power_w * max(0.0, 1.0 - max(0.0, now_s - falls_s) / terms.ramp_down_s)


def next_change_s(state: StreamState, instruction: DispatchInstruction, now_s: float) -> float | None:
    """When the dead-man acts next if nothing comes; None = it has nothing more to do."""
    terms = _terms(instruction)
    if state.heard_at_s is None:
        instants = [instruction.start_s + terms.timeout_s]
    else:
        overdue_s = state.heard_at_s + terms.timeout_s
        instants = [overdue_s, overdue_s + terms.hold_s, overdue_s + terms.hold_s + terms.ramp_down_s]
    # A hair behind, so that the phase has changed by then.
    return min((at_s + 1e-3 for at_s in instants if at_s + 1e-3 > now_s), default=None)


def judge(state: StreamState, value: StreamValue, instruction: DispatchInstruction, now_s: float) -> Judged:
    """Does the value count? It is bounded by what was ordered at most."""
    terms = _terms(instruction)
    stale = value.said_at_s is not None and now_s - value.said_at_s > terms.timeout_s
    outcome = Outcome.LATE if stale else _order_of(state, value, phase_at(state, terms, instruction.start_s, now_s) in OVERDUE)
    if outcome is not Outcome.TAKEN:
        return Judged(outcome, state)
    return Judged(
        outcome,
        StreamState(
            value_w=min(value.discharge_power_w, most_w(instruction, now_s)),
            left_w=target_w(state, instruction, now_s),
            heard_at_s=now_s,
            sequence=state.sequence if value.sequence is None else value.sequence,
            said_at_s=state.said_at_s if value.said_at_s is None else value.said_at_s,
        ),
    )


def _order_of(state: StreamState, value: StreamValue, overdue: bool) -> Outcome:
    """By number, else by time, else as it comes. A source that was overdue, or whose clock went on, may number from the start again."""
    by_time = _compared(value.said_at_s, state.said_at_s)
    by_number = _compared(value.sequence, state.sequence)
    if by_number is None:
        return Outcome.TAKEN if by_time is None else by_time
    if by_number is Outcome.LATE and (overdue or by_time is Outcome.TAKEN):
        return Outcome.LATE if by_time in (Outcome.LATE, Outcome.DUPLICATE) else Outcome.TAKEN
    return by_number


def _compared(new: float | None, known: float | None) -> Outcome | None:
    if new is None or known is None:
        return None
    return Outcome.TAKEN if new > known else Outcome.DUPLICATE if new == known else Outcome.LATE


def asked(state: StreamState, instruction: DispatchInstruction, now_s: float) -> DispatchInstruction:
    """The instruction as control sees it now: a constant target at what is asked."""
    step = TargetStep(from_s=instruction.start_s, discharge_power_w=target_w(state, instruction, now_s))
    return replace(instruction, steps=(step,), stream=None, ramp_w_per_s=None)


def most_w(instruction: DispatchInstruction, now_s: float) -> float:
    """The most that may be asked now, or at the start of a window that is to come, W."""
    return Timeline(start_s=instruction.start_s, end_s=instruction.end_s, steps=instruction.steps).target_discharge_w(
        max(now_s, instruction.start_s)
    )


def resumed(log: Iterable[LogEntry]) -> StreamState:
    """The state after a restart. The source's own time is not kept: what it dates before the last value that was heard counts as late."""
    last = max((entry for entry in log if entry.kind == LogKind.ASKED and not entry.text), key=lambda entry: entry.at_s, default=None)
    if last is None:
        return StreamState()
    value_w = last.target_power_w or 0.0
    sequence = last.count - 1 if last.count > 0 else None
    return StreamState(value_w=value_w, left_w=value_w, heard_at_s=last.at_s, sequence=sequence, said_at_s=None)


def _terms(instruction: DispatchInstruction) -> StreamTerms:
    assert instruction.stream is not None, "only of a dispatch with a stream"
    return instruction.stream
