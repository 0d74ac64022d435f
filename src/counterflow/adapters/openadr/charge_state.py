"""CHARGE_STATE_SETPOINT: the energy that a pool shall hold at an interval's end, turned into a discharge power over the interval. Pure.

What the pool holds is looked at when the interval begins, and again and again: each plan says what takes the rest of the way in the time
that is left. Cars charge as fast as they may by themselves, so of a target above what they hold it is only asked whether it can be reached.
"""

from collections.abc import Mapping

from msgspec import Struct

from counterflow.domain.grid import PoolTelemetry
from counterflow.domain.ids import PoolId
from counterflow.domain.units import format_power

REPLAN_S = 300.0
"""So often a plan is made anew."""
CHANGE_FRAC = 0.1
"""A new plan takes over from the former one if it asks for so much more or less."""
OLDEST_S = 120.0
"""Figures of a pool that are older say nothing of now."""
CLOSE_FRAC = 0.01
"""Of the capacity: nearer than that is there."""
EFFICIENCY = 0.93
"""Of a car, one way (grid.md §4.7); what it is in truth the next plan makes good."""

NOT_KNOWN = "How much energy the pool's cars hold is not known."


class ChargeTarget(Struct, frozen=True):
    """At `to_s` the pool holds `share` of its capacity, or `energy_wh`; one of them is there."""

    from_s: float
    to_s: float
    share: float | None = None
    energy_wh: float | None = None

    @property
    def words(self) -> str:
        """`60 %` or `120 kWh`."""
        return f"{100.0 * self.share:g} %" if self.share is not None else f"{(self.energy_wh or 0.0) / 1e3:g} kWh"


class ChargePlan(Struct, frozen=True):
    """What is done for a target, kept over restarts: a discharge power from `made_at_s` on, >= 0 W. `refused`: it cannot be, and why."""

    target: ChargeTarget
    made_at_s: float
    discharge_power_w: float = 0.0
    refused: str = ""


class ChargePlans:
    """The plans of one round."""

    def __init__(
        self, now_s: float, pools: Mapping[PoolId, PoolTelemetry], kept: Mapping[str, ChargePlan], *, in_percent: bool = False
    ) -> None:
        """`pools`: what each is seen to hold now; `kept`: the plans of before, by key; `in_percent`: shares go to 100, and not to 1."""
        self.in_percent = in_percent
        self.made: dict[str, ChargePlan] = {}
        """Those that hold now, by key."""
        self._now_s = now_s
        self._pools = pools
        self._kept = kept

    def of(self, event_id: str, pool: PoolId, target: ChargeTarget) -> ChargePlan | None:
        """The plan for a target of an event; None = its time has not come, or is over."""
        if not target.from_s <= self._now_s < target.to_s:
            return None
        key = f"{event_id}/{target.to_s:.0f}"
        former = self._kept.get(key)
        plan = self._next(former if former is not None and former.target == target else None, pool, target)
        if plan.refused != NOT_KNOWN:  # which may be known at the next look
            self.made[key] = plan
        return plan

    def _next(self, former: ChargePlan | None, pool: PoolId, target: ChargeTarget) -> ChargePlan:
        """What was refused stays so; what was begun goes on, as far as it can."""
        if former is not None and (former.refused or self._now_s - former.made_at_s < REPLAN_S):
            return former
        plan = planned(target, self._pools.get(pool), self._now_s)
        if former is None:
            return plan
        near = abs(plan.discharge_power_w - former.discharge_power_w) <= CHANGE_FRAC * former.discharge_power_w
        return ChargePlan(target, self._now_s, former.discharge_power_w if near or plan.refused else plan.discharge_power_w)


def planned(target: ChargeTarget, seen: PoolTelemetry | None, now_s: float) -> ChargePlan:
    """What takes the pool from what it holds to the target in the time that is left."""
    if (
        seen is None
        or seen.storage_at_s is None
        or now_s - seen.storage_at_s > OLDEST_S
        or seen.stored_energy_wh is None
        or not seen.storage_capacity_wh
    ):
        return ChargePlan(target, now_s, refused=NOT_KNOWN)
    stored_wh, capacity_wh = seen.stored_energy_wh, seen.storage_capacity_wh
    target_wh = capacity_wh * target.share if target.share is not None else target.energy_wh or 0.0
    left_h = (target.to_s - now_s) / 3600.0
    holds = f"the pool's cars hold {stored_wh / 1e3:.0f} of {capacity_wh / 1e3:.0f} kWh"
    if stored_wh - target_wh <= CLOSE_FRAC * capacity_wh:
        reach_wh = min(capacity_wh, stored_wh + EFFICIENCY * (seen.max_charge_power_w or 0.0) * left_h)
        short = target_wh - reach_wh > CLOSE_FRAC * capacity_wh
        why = f"{holds}, and at most {reach_wh / 1e3:.0f} kWh by the interval's end"
        return ChargePlan(target, now_s, refused=f"{target.words} cannot be reached: {why}." if short else "")
    give_wh = EFFICIENCY * (stored_wh - target_wh)
    power_w, usable_wh, most_w = give_wh / left_h, seen.usable_energy_wh or 0.0, seen.max_discharge_power_w or 0.0
    why = ""
    if give_wh > usable_wh:
        why = f"{holds}, and by what drivers agreed they can give {usable_wh / 1e3:.0f} kWh of it now"
    elif power_w > most_w:
        why = f"that takes {format_power(power_w)}, and the pool can give {format_power(most_w)}"
    return ChargePlan(target, now_s, refused=f"{target.words} cannot be reached: {why}.") if why else ChargePlan(target, now_s, power_w)
