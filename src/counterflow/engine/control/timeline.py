"""The target over time, as an accepted order states it."""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from math import ceil
from typing import Self

from msgspec import Struct

from counterflow.domain.instructions import DispatchInstruction, TargetStep
from counterflow.domain.units import WH_PER_WS


class Timeline(Struct, frozen=True, kw_only=True):
    """Steps of discharge power (>= 0, W) between `start_s` and `end_s`; outside the window the target is zero.

    With `ramp_w_per_s` the target leaves zero at the start and follows its steps no faster than that. Over the last `ramp_out_s` it goes
    down to zero.
    """

    start_s: float
    end_s: float
    steps: tuple[TargetStep, ...]
    ramp_w_per_s: float | None = None
    ramp_out_s: float = 0.0

    def __post_init__(self) -> None:
        times = [step.from_s for step in self.steps]
        if not self.steps or times != sorted(times) or self.start_s > self.end_s:
            raise ValueError("a timeline needs at least one step, ordered by time, and a start before its end")
        if any(not step.discharge_power_w >= 0.0 for step in self.steps):
            raise ValueError("a target is a discharge power of zero or more")
        if not (self.ramp_w_per_s is None or self.ramp_w_per_s > 0.0) or not self.ramp_out_s >= 0.0:
            raise ValueError("a ramp is above zero, and a ramp-out takes no less than no time")

    @classmethod
    def of(cls, instruction: DispatchInstruction) -> Self:
        """The timeline of an instruction. Raises ValueError when its steps are not ordered or negative."""
        return cls(
            start_s=instruction.start_s,
            end_s=instruction.end_s,
            steps=instruction.steps,
            ramp_w_per_s=instruction.ramp_w_per_s,
            ramp_out_s=instruction.ramp_out_s,
        )

    @property
    def steady(self) -> bool:
        """It moves by steps only."""
        return self.ramp_w_per_s is None and self.ramp_out_s == 0.0

    def target_discharge_w(self, now_s: float) -> float:
        """Target at `now_s`, W, discharge positive. The end is exclusive."""
        if not self.start_s <= now_s < self.end_s:
            return 0.0
        power_w = self._step_w(now_s) if self.ramp_w_per_s is None else self._ramped_w(now_s, self.ramp_w_per_s)
        return power_w * self._left(now_s)

    def _step_w(self, now_s: float) -> float:
        index = bisect_right(self.steps, now_s, key=_from_s) - 1
        return self.steps[index].discharge_power_w if index >= 0 else 0.0

    def _ramped_w(self, now_s: float, ramp_w_per_s: float) -> float:
        power_w = 0.0
        for step, until_s in self._pieces(now_s):
            power_w = ramped_w(power_w, step.discharge_power_w, until_s - max(step.from_s, self.start_s), ramp_w_per_s)
        return power_w

    def _pieces(self, until_s: float) -> Iterator[tuple[TargetStep, float]]:
        """Steps that began before `until_s`, each with its end."""
        for number, step in enumerate(self.steps):
            if step.from_s >= until_s:
                return
            following_s = self.steps[number + 1].from_s if number + 1 < len(self.steps) else until_s
            if following_s > self.start_s:
                yield step, min(following_s, until_s)

    def pieces(self, from_s: float) -> tuple[tuple[float, float], ...]:
        """(length in s, power in W) of the steps between `from_s` and the end, each at its power, or at what a ramp
        reaches of it before the next one. On the way down, in the ramp-out too, the step counts."""
        begin_s = max(from_s, self.start_s)
        found: list[tuple[float, float]] = []
        for step, until_s in self._pieces(self.end_s):
            since_s = max(step.from_s, begin_s)
            if until_s <= since_s:
                continue
            most_w = step.discharge_power_w
            if self.ramp_w_per_s is not None:
                most_w = min(most_w, self._ramped_w(until_s, self.ramp_w_per_s))
            found.append((until_s - since_s, most_w))
        return tuple(found)

    def energy_wh(self) -> float:
        """The energy under the target, its ramps and ramp-out included, Wh."""
        levels = self.levels(max(1.0, (self.end_s - self.start_s) / 1_000.0))
        ends_s = [*(at_s for at_s, _ in levels[1:]), self.end_s]
        return sum(power_w * (end_s - at_s) for (at_s, power_w), end_s in zip(levels, ends_s, strict=True)) * WH_PER_WS

    def levels(self, step_s: float) -> tuple[tuple[float, float], ...]:
        """(instant, power in W from then on), ascending: the target in steps of at most `step_s` where it moves, with the same energy."""
        found: list[tuple[float, float]] = []
        power_w = 0.0
        falls_s = self.end_s - self.ramp_out_s
        for step, until_s in self._pieces(self.end_s):
            from_s, wanted_w = max(step.from_s, self.start_s), step.discharge_power_w
            ramp_w_per_s = self.ramp_w_per_s or float("inf")
            edges_s = {from_s, until_s, *_grid(from_s, min(from_s + abs(wanted_w - power_w) / ramp_w_per_s, until_s), step_s)}
            if until_s > falls_s:
                edges_s.update(_grid(max(from_s, falls_s), until_s, step_s))
            for edge_s, next_s in pairwise(sorted(edges_s)):
                middle_s = 0.5 * (edge_s + next_s)
                level_w = ramped_w(power_w, wanted_w, middle_s - from_s, ramp_w_per_s)
                found.append((edge_s, level_w * self._left(middle_s)))
            power_w = ramped_w(power_w, wanted_w, until_s - from_s, ramp_w_per_s)
        return tuple(found)

    def led_discharge_w(self, now_s: float, lead_s: float) -> float:
        """The target for cars that take `lead_s` to react, W: where it moves on a ramp, as it will be then. A step is not led, since
        whoever is early delivers what was not ordered."""
        if not self.start_s <= now_s < self.end_s:
            return 0.0
        ahead_s = min(now_s + lead_s, self.end_s)
        power_w = self._step_w(now_s) if self.ramp_w_per_s is None else self._ramped_w(ahead_s, self.ramp_w_per_s)
        return power_w * self._left(ahead_s)

    def _left(self, now_s: float) -> float:
        """What the ramp-out leaves of the target, 0..1."""
        left_s = self.end_s - now_s
        return 1.0 if left_s >= self.ramp_out_s else max(0.0, left_s / self.ramp_out_s)

    def steps_ahead(self, now_s: float, least_s: float) -> tuple[tuple[float, float], ...]:
        """(instant, power in W from then on) of the steps after `now_s`, ascending, none shorter than `least_s` but the last one.

        Of steps that are too short the lowest counts, for those who follow the target's base and leave the rest to others.
        """
        found: list[tuple[float, float]] = []
        for from_s, power_w in self.levels(least_s):
            if from_s <= now_s:
                continue
            if found and from_s - found[-1][0] < least_s:
                found[-1] = (found[-1][0], min(found[-1][1], power_w))
            else:
                found.append((from_s, power_w))
        return tuple(found)

    def next_change_s(self, now_s: float) -> float | None:
        """The next instant after `now_s` at which a step begins or the window ends; None when there is none."""
        if now_s >= self.end_s:
            return None
        if now_s < self.start_s:
            return self.start_s
        index = bisect_right(self.steps, now_s, key=_from_s)
        return min(self.steps[index].from_s, self.end_s) if index < len(self.steps) else self.end_s


def ramped_w(from_w: float, to_w: float, for_s: float, ramp_w_per_s: float) -> float:
    """Where a target is that leaves `from_w` for `to_w` and may change by `ramp_w_per_s`, after `for_s`, W."""
    step_w = ramp_w_per_s * max(for_s, 0.0)
    return min(from_w + step_w, to_w) if to_w >= from_w else max(from_w - step_w, to_w)


def _grid(from_s: float, to_s: float, step_s: float) -> list[float]:
    steps = max(1, ceil((to_s - from_s) / step_s - 1e-9))
    return [min(from_s + number * step_s, to_s) for number in range(steps + 1)]


def _from_s(step: TargetStep) -> float:
    return step.from_s
