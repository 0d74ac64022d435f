"""Which part of a moving target a fleet can give over the whole of it: the E-p test (Evans, Tindemans, Angeli, arXiv 1805.09315).

A fleet that gives all it can, each car at full power until it is empty, draws a falling curve. A target is feasible exactly when above
every power level it asks for no more energy than that curve holds there. For a constant target this is the sum of what each car can
hold until the end.
"""

from collections.abc import Callable, Sequence
from typing import Self

import numpy as np
from msgspec import Struct

from counterflow.domain.units import WH_PER_WS
from counterflow.engine.fleet.snapshot import F8

_HALVINGS = 40
"""Of the range in which a bound is looked for: down to a trillionth of it."""
_ROUNDING = 1e-9

Pieces = Sequence[tuple[float, float]]
"""(length in s, power in W, discharge positive)."""


class Supply(Struct, frozen=True, kw_only=True):
    """The falling curve: `power_w` (K,) is given until `until_s` (K,), ascending; nothing after the last."""

    until_s: F8
    power_w: F8

    @classmethod
    def of(cls, power_w: F8, sustained_w: F8, window_s: float, steady_w: float = 0.0) -> Self:
        """The curve of cars that could hold `sustained_w` (N,) until the end of the window, and no more than `power_w` (N,) at any time.

        `steady_w` is added over the whole window: power that does not tire, or, below zero, that somebody else takes.
        """
        gives = (power_w > 0.0) & (sustained_w > 0.0)
        lasts_s = window_s * np.minimum(sustained_w[gives] / power_w[gives], 1.0)
        order = np.argsort(lasts_s)
        until_s = np.append(lasts_s[order], window_s)
        # Whoever ends later still gives.
        given_w = np.append(np.cumsum(power_w[gives][order][::-1])[::-1], 0.0) + steady_w
        return cls(until_s=until_s, power_w=np.maximum(given_w, 0.0))

    def energy_above_wh(self, level_w: float) -> float:
        """Energy that it holds above a power level."""
        lengths_s = np.diff(self.until_s, prepend=0.0)
        return float((lengths_s * np.maximum(self.power_w - level_w, 0.0)).sum()) * WH_PER_WS

    def power_at_w(self, at_s: float) -> float:
        """What is given `at_s` after the begin."""
        index = int(np.searchsorted(self.until_s, at_s, side="right"))
        return float(self.power_w[min(index, len(self.power_w) - 1)])

    def can_give(self, pieces: Pieces, share: float = 1.0) -> bool:
        """Whether a target is feasible when only a share of every power may be used."""
        if share <= 0.0:
            return all(power_w <= 0.0 for _, power_w in pieces)
        levels_w = sorted({0.0, *(power_w for _, power_w in pieces)})
        # Between two levels what is left is least where as long is asked as is given.
        inner_w = {share * self.power_at_w(sum(length_s for length_s, power_w in pieces if power_w > level_w)) for level_w in levels_w}
        for level_w in (*levels_w, *inner_w):
            asked_wh = sum(length_s * max(0.0, power_w - level_w) for length_s, power_w in pieces) * WH_PER_WS
            held_wh = share * self.energy_above_wh(level_w / share)
            if asked_wh > held_wh + _ROUNDING * max(1.0, asked_wh):
                return False
        return True


def largest_scale(supply: Supply, pieces: Pieces) -> float:
    """The largest factor by which the target could be asked, >= 0."""
    peak_w = max(power_w for _, power_w in pieces)
    most = supply.power_at_w(0.0) / peak_w if peak_w > 0.0 else 0.0
    return _largest(most, lambda scale: supply.can_give([(length_s, scale * power_w) for length_s, power_w in pieces]))


def largest_cap_w(supply: Supply, pieces: Pieces, share: float) -> float:
    """The largest power at which the target can be cut off so that a share of the fleet's power gives it, W."""
    peak_w = max(power_w for _, power_w in pieces)
    return _largest(peak_w, lambda cap_w: supply.can_give([(length_s, min(power_w, cap_w)) for length_s, power_w in pieces], share))


def _largest(most: float, holds: Callable[[float], bool]) -> float:
    """The largest value up to `most` for which it holds, when it holds for all below one for which it does."""
    if most <= 0.0 or holds(most):
        return max(most, 0.0)
    low, high = 0.0, most
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
