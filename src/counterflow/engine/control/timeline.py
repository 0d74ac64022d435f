"""The target over time, as an accepted order states it."""

from bisect import bisect_right
from typing import Self

from msgspec import Struct

from counterflow.domain.instructions import DispatchInstruction, TargetStep


class Timeline(Struct, frozen=True, kw_only=True):
    """Steps of discharge power (>= 0, W) between `start_s` and `end_s`; outside the window the target is zero."""

    start_s: float
    end_s: float
    steps: tuple[TargetStep, ...]

    def __post_init__(self) -> None:
        times = [step.from_s for step in self.steps]
        if not self.steps or times != sorted(times) or self.start_s > self.end_s:
            raise ValueError("a timeline needs at least one step, ordered by time, and a start before its end")
        if any(not step.discharge_power_w >= 0.0 for step in self.steps):
            raise ValueError("a target is a discharge power of zero or more")

    @classmethod
    def of(cls, instruction: DispatchInstruction) -> Self:
        """The timeline of an instruction. Raises ValueError when its steps are not ordered or negative."""
        return cls(start_s=instruction.start_s, end_s=instruction.end_s, steps=instruction.steps)

    def target_discharge_w(self, now_s: float) -> float:
        """Target at `now_s`, W, discharge positive. The end is exclusive."""
        if not self.start_s <= now_s < self.end_s:
            return 0.0
        index = bisect_right(self.steps, now_s, key=_from_s) - 1
        return self.steps[index].discharge_power_w if index >= 0 else 0.0

    def next_change_s(self, now_s: float) -> float | None:
        """The next instant after `now_s` at which the target changes; None when there is none."""
        if now_s >= self.end_s:
            return None
        if now_s < self.start_s:
            return self.start_s
        index = bisect_right(self.steps, now_s, key=_from_s)
        return min(self.steps[index].from_s, self.end_s) if index < len(self.steps) else self.end_s


def _from_s(step: TargetStep) -> float:
    return step.from_s
