"""What cars can hold, and by when they must have given it: the part of the capability that takes a search.

It is worked out only when somebody asks. Whoever draws up a ranking or an offer does; most ticks only hold what was decided.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from msgspec import Struct

from counterflow.domain.units import WH_PER_WS
from counterflow.engine.fleet.curve import unstretched
from counterflow.engine.fleet.reckoning import Reckoning, drawn_w, given_w, recharge_s, run_within_s, selected
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import B1, F8


class Joint(NamedTuple):
    """What the connections above each row leave of it, each (N,)."""

    blocked: B1
    """It must charge now, so that all behind its connection can."""
    run_s: F8
    """How long all that may be discharged behind its connections may go on at full power, each; inf = longer than the window."""
    share: F8
    """Share of its sustained power that all could hold until the end of the window together."""


class Promise(Struct, frozen=True, kw_only=True, dict=True):
    """What it follows from, each (N,): those of `Capability` as they are without other cars, `joint` what the cars behind one connection
    leave of it (None = all), and `out` the rows that promise nothing to hold (None = nobody)."""

    at_s: float
    window_end_s: float
    settings: CapabilitySettings
    reckoned: Reckoning
    energy_wh: F8
    open_s: F8
    laxity_s: F8
    guard_s: F8
    recharge_s: F8
    max_power_w: F8
    min_power_w: F8
    capped_s: F8
    """When others will cap its power."""
    capped_w: F8
    """To what."""
    joint: Joint | None = None
    out: B1 | None = None

    @cached_property
    def sustained_power_w(self) -> F8:
        """What can be held until the window's end, W; 0 when that is below the minimum (N,)."""
        window_s = self.window_end_s - self.at_s
        held_w = _sustained_w(self.reckoned, self.energy_wh, self._budget_s, window_s, self.settings)
        held_w = np.where((self.max_power_w > 0.0) & (self.open_s >= window_s), np.minimum(held_w, self.max_power_w), 0.0)
        # What others will cap within the window cannot be held until its end.
        held_w = np.where(self.capped_s < self.window_end_s, np.fmin(held_w, self.capped_w), held_w)
        held_w = np.where(held_w < self.min_power_w, 0.0, held_w)
        if self.joint is not None:
            held_w = np.where(self.joint.blocked, 0.0, self.joint.share * held_w)
            held_w = np.where(held_w < self.min_power_w, 0.0, held_w)
        return held_w if self.out is None else np.where(self.out, 0.0, held_w)

    @cached_property
    def useful_until_s(self) -> F8:
        """Latest end of discharge, epoch seconds: when all that can be given is given by then, the car still makes its departure (N,)."""
        useful_s = _useful_s(self.reckoned, self.energy_wh, self.recharge_s, self._budget_s, self.max_power_w, self.settings)
        until_s: F8 = self.at_s + np.minimum(useful_s, self.open_s)
        if self.joint is None:
            return until_s
        return np.where(self.joint.blocked, self.at_s, np.minimum(until_s, self.at_s + self.joint.run_s))

    @property
    def _budget_s(self) -> F8:
        return np.maximum(self.laxity_s - self.guard_s, 0.0)


def _sustained_w(reckoned: Reckoning, energy_wh: F8, budget_s: F8, window_s: float, settings: CapabilitySettings) -> F8:
    """Constant power until the window's end that neither runs out of energy nor of time to recharge afterwards, (N,); inf for no window."""
    if window_s <= 0.0:
        return np.where(energy_wh > 0.0, np.inf, 0.0)
    goal = np.minimum(reckoned.goal_stretched, reckoned.position_stretched)
    spare = (budget_s - window_s) / reckoned.full_charge_s
    lowest_frac = unstretched(goal - np.maximum(spare, 0.0), settings)
    room_wh = np.maximum(reckoned.position_frac - lowest_frac, 0.0) * reckoned.scale_wh * settings.eta_discharge
    held_w = given_w(np.fmin(energy_wh, room_wh) / (window_s * WH_PER_WS), settings)
    return np.where(spare >= 0.0, held_w, 0.0)


def _useful_s(reckoned: Reckoning, energy_wh: F8, charging_s: F8, budget_s: F8, power_w: F8, settings: CapabilitySettings) -> F8:
    """How long a car may wait and discharge altogether when it gives all it can, (N,); 0 when it can give nothing."""
    taken_w = drawn_w(power_w, settings)
    with np.errstate(divide="ignore", invalid="ignore"):
        cost_s = recharge_s(reckoned, settings, energy_wh) - charging_s
        # Whoever has time for all of its energy needs no search for how much of it.
        hurried = (power_w > 0.0) & ~(energy_wh / (taken_w * WH_PER_WS) + cost_s <= budget_s)
    rows = np.flatnonzero(hurried)
    if rows.size:
        some = selected(reckoned, rows)
        given_wh = taken_w[rows] * run_within_s(some, power_w[rows], budget_s[rows], settings) * WH_PER_WS
        cost_s[rows] = recharge_s(some, settings, np.fmin(energy_wh[rows], given_wh)) - charging_s[rows]
    return np.where(power_w > 0.0, np.maximum(budget_s - cost_s, 0.0), 0.0)
