"""Quantities that stand until the next value: the target, the headroom, a plan. Means over steps come from their integrals."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.instructions import DispatchInstruction, DispatchState, TargetStep
from counterflow.engine.control.timeline import Timeline

F8 = NDArray[np.float64]

_SAME_STEP_S = 1.0
_RAMP_STEP_S = 1.0


class Held(NamedTuple):
    """A value that holds from each instant on, for `hold_s` at most. All (N,), in the order of time."""

    from_s: F8
    value: F8
    hold_s: F8

    def integrals(self, at_s: F8) -> tuple[F8, F8]:
        """Integral of the value (value x s) and the seconds in which it is known, both up to each of `at_s` (M,)."""
        if len(self.from_s) == 0:
            return np.zeros(len(at_s)), np.zeros(len(at_s))
        length_s = np.minimum(np.append(np.diff(self.from_s), np.inf), self.hold_s)
        whole_s = np.where(np.isfinite(length_s), length_s, 0.0)
        ends_s = self.from_s + whole_s
        done = np.concatenate(([0.0], np.cumsum(self.value * whole_s)))
        known = np.concatenate(([0.0], np.cumsum(whole_s)))
        piece = np.searchsorted(self.from_s, at_s, side="right") - 1
        inside = np.clip(piece, 0, None)
        into_s = np.minimum(at_s - self.from_s[inside], np.where(np.isfinite(length_s), ends_s - self.from_s, np.inf)[inside])
        into_s = np.where(piece < 0, 0.0, into_s)
        return done[inside] + self.value[inside] * into_s, known[inside] + into_s


def held(steps: Sequence[tuple[float, float]], hold_s: float = np.inf) -> Held:
    """From (from_s, value) in any order; of two at one instant the later in the sequence counts."""
    latest = dict(sorted(steps, key=lambda step: step[0]))
    return Held(np.array(list(latest)), np.array(list(latest.values())), np.full(len(latest), hold_s))


def target(instruction: DispatchInstruction, log: Iterable[LogEntry]) -> Held:
    """The target in W, discharge positive: the instruction's steps, and amendments in the log that are not among them; of a stream the
    values that came, and what its dead-man made of the last. Ramps are in steps of a second, with the energy of the ramp."""
    if instruction.stream is not None:
        asked = [(entry.at_s, entry.target_power_w) for entry in log if entry.kind == LogKind.ASKED and entry.target_power_w is not None]
        values = held([(min(instruction.accepted_at_s, instruction.start_s), 0.0), *asked])
        told = zip(values.from_s.tolist(), values.value.tolist(), strict=True)
        instruction = replace(instruction, steps=tuple(TargetStep(from_s=from_s, discharge_power_w=power_w) for from_s, power_w in told))
    if moves_smoothly(instruction):
        return held(Timeline.of(instruction).levels(_RAMP_STEP_S))
    steps = [(step.from_s, step.discharge_power_w) for step in instruction.steps]
    for entry in sorted(log, key=lambda entry: entry.at_s):
        if entry.kind == LogKind.AMENDED and entry.target_power_w is not None:
            already = any(abs(from_s - entry.at_s) <= _SAME_STEP_S for from_s, _ in steps)
            if not already:
                steps.append((entry.at_s, entry.target_power_w))
    return held(steps)


def moves_smoothly(instruction: DispatchInstruction) -> bool:
    """Whether the target is made to be followed while it moves: a ramp or a stream. A change is no reason not to judge the tracking."""
    return instruction.stream is not None or instruction.ramp_w_per_s is not None or instruction.ramp_out_s > 0.0


def headroom(log: Iterable[LogEntry], hold_s: float) -> Held:
    """The headroom in W as each control tick saw it."""
    return held(
        [(entry.at_s, entry.headroom_power_w) for entry in log if entry.kind == LogKind.TICK and entry.headroom_power_w is not None],
        hold_s,
    )


def stop_s(instruction: DispatchInstruction, log: Iterable[LogEntry]) -> float:
    """When discharge was to stop: the window's end, or the moment of cancel or abort."""
    ends = [instruction.end_s]
    if instruction.resume_from_s is not None:
        ends.append(instruction.resume_from_s)
    stopped = (DispatchState.CANCELLED, DispatchState.ABORTED)
    ends += [entry.at_s for entry in log if entry.kind == LogKind.STATE and entry.text in stopped]
    return max(min(ends), instruction.start_s)


def edges_s(from_s: float, to_s: float, step_s: float) -> F8:
    """Edges of the steps of a grid that starts at `from_s`; the last step ends at `to_s` and may be shorter. Raises ValueError."""
    if not (step_s > 0.0 and np.isfinite(step_s)):
        raise ValueError(f"a step of {step_s} s is no grid: it must be above zero")
    if to_s <= from_s:
        return np.array([from_s])
    steps = max(1, int(np.ceil((to_s - from_s) / step_s - 1e-9)))
    edges = from_s + step_s * np.arange(steps + 1, dtype=np.float64)
    edges[-1] = to_s
    return edges
