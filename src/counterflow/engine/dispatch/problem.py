"""The question that the allocators answer: who gives how much."""

import numpy as np
from msgspec import Struct

from counterflow.engine.dispatch.limits import Limits
from counterflow.engine.fleet.snapshot import B1, F8


class AllocationProblem(Struct, frozen=True, kw_only=True):
    """Discharge `target_w` (>= 0) with N cars. All powers are magnitudes in W.

    `caps_w` and `min_w` (N,): a car gives 0 or min..cap. `weights` (N,), > 0 where the cap is (sustained power).
    `gain` (N,): delivered over asked; the target is what is delivered, caps and limits are what is asked (their worst case).
    `energy_wh` (N,) above the floor, AC side, and `useful_until_s` (N,) rank the cars for merit; `running` (N,) are ranked before others
    of the same merit. `cost` (N,) is what a kWh of each car costs, all included; None = all cost the same. `given`
    (N,) is the share of what it offered lately that each gave, NaN = not known: among equals those that gave least go first.
    Raises ValueError when a shape or a value cannot be.
    """

    target_w: float
    caps_w: F8
    min_w: F8
    weights: F8
    gain: F8
    energy_wh: F8
    useful_until_s: F8
    running: B1
    limits: Limits
    now_s: float
    window_end_s: float
    cost: F8 | None = None
    given: F8 | None = None

    def __post_init__(self) -> None:
        rows = len(self.caps_w)
        for name in ("caps_w", "min_w", "weights", "gain", "energy_wh", "useful_until_s"):
            column: F8 = getattr(self, name)
            if column.shape != (rows,):
                raise ValueError(f"{name} has shape {column.shape}, expected ({rows},)")
            if np.isnan(column).any() or (column < 0.0).any():
                raise ValueError(f"{name} must be zero or more everywhere, and known")
        if self.running.shape != (rows,) or self.limits.group.shape != (rows,):
            raise ValueError(f"running and limits must have {rows} rows")
        if not 0.0 <= self.target_w < np.inf:
            raise ValueError("the target must be finite and zero or more")
        if not np.isfinite(self.caps_w).all():
            raise ValueError("caps must be finite")
        able = self.caps_w > 0.0
        if (able & ~((self.weights > 0.0) & (self.gain > 0.0))).any():
            raise ValueError("a car with a cap needs a weight and a gain above zero")
        if self.window_end_s < self.now_s:
            raise ValueError("the window has ended")


class Allocation(Struct, frozen=True, kw_only=True):
    """The answer: `power_w` (N,) asked of each car (magnitude), what that delivers, and what is missing to the target."""

    power_w: F8
    served_w: float
    short_w: float
