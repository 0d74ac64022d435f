"""Where every car stands now: state of charge and energies carried forward from the last reports.

All arrays are (N,). Battery-side energy is reckoned on the careful side: imports count with the careful efficiency and only once
a register shows them; exports also before a register has shown them, at the strongest discharge that may be going on.
"""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from counterflow.domain.units import WH_PER_WS
from counterflow.engine.fleet.curve import stretched, taper, worst_stretch
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import F8, FleetImage

UNKNOWN_CAPACITY_WH = 1e7
"""Stands in where the capacity is unknown: so large that a car's whole energy is a small step on its charging curve."""
UNKNOWN_POSITION_FRAC = 0.5
_LEAST_CHARGE_W = 1.0
"""A car that cannot charge at all takes practically for ever."""
_NEWTON_STEPS = 3
_SMALLEST_RATE = 1e-12


class Reckoning(Struct, frozen=True, kw_only=True):
    """Where each car stands, also on a scale of charge (its own, or a stand-in where its capacity is unknown). Each (N,)."""

    soc_frac: F8
    """Reckoned state of charge, 0..1; NaN = unknown."""
    v2x_above_wh: F8
    """Battery-side energy above the car's own V2X floor; may be negative; NaN = the car did not tell."""
    position_frac: F8
    """Where the car stands on its charging curve."""
    goal_frac: F8
    """Where it must stand at departure; may lie below the position. NaN = unknown."""
    position_stretched: F8
    goal_stretched: F8
    """Both on the scale of time at full charging power (`curve.stretched`)."""
    scale_wh: F8
    """Battery-side energy of 1.0 on that curve."""
    full_charge_s: F8
    """Seconds that 1.0 on that curve takes at full charging power; NaN = power unknown."""
    moved_wh: F8
    """Battery-side energy moved since the state of charge was reported."""
    need_wh: F8
    """Battery-side energy still to charge by departure; may be negative; NaN = unknown."""
    cap_left_wh: F8
    """AC-side energy that the driver's caps still allow; inf = no cap, NaN = it cannot be counted."""


def reckon(image: FleetImage, now_s: float, settings: CapabilitySettings) -> Reckoning:
    """Carry the last reports of every session forward to `now_s`."""
    unseen_wh = _unseen_wh(image, image.register_at_s, now_s)
    soc_in_wh = _since(image.import_wh, image.soc_import_wh) * settings.eta_charge
    soc_out_wh = _exported_wh(image, image.soc_export_wh, image.soc_at_s, now_s, unseen_wh) / settings.eta_discharge
    needs_net_wh = _needs_net_wh(image, now_s, unseen_wh, settings)
    carried_frac = np.clip(image.soc_frac + (soc_in_wh - soc_out_wh) / image.capacity_wh, 0.0, 1.0)
    placed = ~np.isnan(carried_frac)
    # Without a capacity a report cannot be carried on; it stands until the next one, and only energies are reckoned.
    soc_frac = np.where(placed, carried_frac, image.soc_frac)
    need_wh = np.fmax(
        image.capacity_wh * (image.soc_target_frac - soc_frac),
        image.target_request_wh - needs_net_wh,
    )
    scale_wh = np.where(placed, image.capacity_wh, UNKNOWN_CAPACITY_WH)
    position_frac = np.where(placed, carried_frac, UNKNOWN_POSITION_FRAC)
    charge_w = np.maximum(image.max_charge_w, _LEAST_CHARGE_W)
    full_charge_s = scale_wh / (settings.eta_charge * WH_PER_WS * charge_w)
    unplaced = np.flatnonzero(~placed)  # few, if any: the stretch takes longer than all the rest of this
    if unplaced.size:
        full_charge_s[unplaced] *= worst_stretch(soc_frac[unplaced], settings)
    goal_frac = position_frac + need_wh / scale_wh
    return Reckoning(
        soc_frac=soc_frac,
        v2x_above_wh=image.v2x_floor_wh + needs_net_wh,
        position_frac=position_frac,
        goal_frac=goal_frac,
        position_stretched=stretched(position_frac, settings),
        goal_stretched=stretched(goal_frac, settings),
        scale_wh=scale_wh,
        full_charge_s=full_charge_s,
        moved_wh=soc_in_wh + soc_out_wh,
        need_wh=need_wh,
        cap_left_wh=_cap_left_wh(image, unseen_wh),
    )


def selected(reckoning: Reckoning, rows: NDArray[np.intp]) -> Reckoning:
    """The same for a selection of rows (K,)."""
    return Reckoning(**{name: getattr(reckoning, name)[rows] for name in Reckoning.__struct_fields__})


def drawn_w(power_w: F8, settings: CapabilitySettings) -> F8:
    """The power at the careful efficiency that would empty a battery as fast as a discharge at `power_w` does, >= it, W (N,).

    At part load the standing loss weighs more than that efficiency allows for (control 1.4)."""
    with_loss_w = settings.eta_discharge / settings.eta_discharge_peak * (power_w + settings.standing_loss_w)
    return np.where(power_w > 0.0, np.maximum(power_w, with_loss_w), 0.0)


def given_w(drawn: F8, settings: CapabilitySettings) -> F8:
    """The other way round: what comes out at the grid while a battery is emptied at `drawn` W (N,)."""
    with_loss_w = drawn * settings.eta_discharge_peak / settings.eta_discharge - settings.standing_loss_w
    return np.maximum(np.minimum(drawn, with_loss_w), 0.0)


def recharge_s(reckoning: Reckoning, settings: CapabilitySettings, discharged_wh: F8 | float | None = None) -> F8:
    """Seconds at full charging power until the goal, after `discharged_wh` (AC side) more have left the car, (N,). NaN = unknown."""
    position = reckoning.position_stretched
    if discharged_wh is not None:
        position = stretched(reckoning.position_frac - discharged_wh / (settings.eta_discharge * reckoning.scale_wh), settings)
    return reckoning.full_charge_s * np.maximum(reckoning.goal_stretched - position, 0.0)


def recharge_per_s(reckoning: Reckoning, power_w: F8, settings: CapabilitySettings) -> F8:
    """Seconds of recharging that each second of discharge at `power_w` (magnitude) may cost at most from here on, (N,)."""
    top_frac = np.minimum(reckoning.position_frac, reckoning.goal_frac)
    return reckoning.full_charge_s * _rate(reckoning, power_w, settings) / taper(top_frac, settings)


def run_within_s(reckoning: Reckoning, power_w: F8, budget_s: F8, settings: CapabilitySettings) -> F8:
    """How long a car may discharge at `power_w` (magnitude) until the time lost to it, recharging included, is `budget_s`, (N,).

    Discharge down to the goal costs its own time only. From there the cost rises by less and less (the lower, the faster a car
    charges), so Newton's steps come from below: the answer is never too long.
    """
    rate = np.maximum(_rate(reckoning, power_w, settings), _SMALLEST_RATE)
    free_s = np.maximum(reckoning.position_frac - reckoning.goal_frac, 0.0) / rate
    top_frac = np.minimum(reckoning.position_frac, reckoning.goal_frac)
    top = stretched(top_frac, settings)
    left_s = np.maximum(budget_s - free_s, 0.0)
    # The first step is taken from the top, where nothing has been spent.
    run_s = left_s / (1.0 + reckoning.full_charge_s * rate / taper(top_frac, settings))
    for _ in range(1, _NEWTON_STEPS):
        at_frac = top_frac - rate * run_s
        cost_s = run_s + reckoning.full_charge_s * (top - stretched(at_frac, settings))
        slope = 1.0 + reckoning.full_charge_s * rate / taper(at_frac, settings)
        run_s = run_s + np.maximum(left_s - cost_s, 0.0) / slope
    total_s: F8 = np.maximum(np.minimum(budget_s, free_s) + run_s, 0.0)
    return total_s


def _rate(reckoning: Reckoning, power_w: F8, settings: CapabilitySettings) -> F8:
    """How fast a discharge moves the car down its curve, 1/s."""
    return drawn_w(power_w, settings) * WH_PER_WS / (settings.eta_discharge * reckoning.scale_wh)


def _needs_net_wh(image: FleetImage, now_s: float, unseen_wh: F8, settings: CapabilitySettings) -> F8:
    """Battery-side energy into each car since its needs came, less what left it, (N,); 0 where there are none."""
    net_wh = np.zeros(len(image))
    told = ~(np.isnan(image.v2x_floor_wh) & np.isnan(image.target_request_wh))
    if told.any():
        in_wh = _since(image.import_wh, image.needs_import_wh) * settings.eta_charge
        out_wh = _exported_wh(image, image.needs_export_wh, image.needs_at_s, now_s, unseen_wh) / settings.eta_discharge
        net_wh = np.where(told, in_wh - out_wh, 0.0)
    return net_wh


def _cap_left_wh(image: FleetImage, unseen_wh: F8) -> F8:
    """What is left to the limit on the export register, less what has not come to show there yet."""
    free = np.isposinf(image.export_limit_wh)
    if free.all():
        return image.export_limit_wh
    left_wh = image.export_limit_wh - image.export_wh - unseen_wh
    return np.where(free, np.inf, left_wh)


def _since(register_wh: F8, baseline_wh: F8) -> F8:
    """Energy since a report; 0 while either register is unknown."""
    since_wh: F8 = np.fmax(register_wh - baseline_wh, 0.0)
    return since_wh


def _exported_wh(image: FleetImage, baseline_wh: F8, reported_s: F8, now_s: float, unseen_wh: F8) -> F8:
    """AC energy exported since a report: by the register, and from its last reading (or the report) on by power and orders.

    `unseen_wh` is that since the last reading of the register."""
    bare = np.isnan(image.export_wh)
    if bare.any():
        unseen_wh = np.where(bare, _unseen_wh(image, reported_s, now_s), unseen_wh)
    exported_wh: F8 = _since(image.export_wh, baseline_wh) + unseen_wh
    return exported_wh


def _unseen_wh(image: FleetImage, from_s: F8, now_s: float) -> F8:
    """AC energy that may have been exported since `from_s`, by the last reading of power and by orders, the stronger of them, (N,)."""
    metered_w = np.fmax(-image.power_w, 0.0)
    ordered_w = np.fmax(np.fmax(-image.setpoint_w, -image.previous_setpoint_w), 0.0)
    metered_s = np.fmax(now_s - from_s, 0.0)
    ordered_s = np.fmax(np.minimum(now_s, image.discharge_until_s) - np.maximum(from_s, image.setpoint_at_s), 0.0)
    unseen_wh: F8 = (metered_w * metered_s + np.maximum(ordered_w - metered_w, 0.0) * ordered_s) * WH_PER_WS
    return unseen_wh
