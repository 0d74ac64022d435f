"""How long an order may run: the ends that every discharge message carries, so that floor and departure hold if all else dies."""

import numpy as np

from counterflow.domain.units import WH_PER_WS
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.reckoning import recharge_s, run_within_s
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import F8, FleetImage


def endurance_s(image: FleetImage, cap: Capability, discharge_power_w: F8, now_s: float, settings: CapabilitySettings) -> F8:
    """How long each car may discharge at `discharge_power_w` (magnitude, (N,)) from now on, (N,) in s, >= 0.

    Until the floor with its buffer, a cap, the driver's blackout or the guard of the departure, whichever is first; command latency and
    report interval are in buffer and guard (decisions 3). 0 where something needed for that is unknown; at 0 W only the departure counts.
    `cap` was made from `image`, at `now_s` or a little before.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        floor_s = np.where(discharge_power_w > 0.0, cap.energy_wh / (discharge_power_w * WH_PER_WS), np.inf)
    floor_s = np.where(discharge_power_w > 0.0, np.minimum(floor_s, cap.open_s), floor_s)
    within_s = run_within_s(cap.reckoned, discharge_power_w, _budget_s(cap), settings)
    return _from_now(np.minimum(np.minimum(floor_s, within_s), cap.together_s), image, cap, now_s)


def hold_endurance_s(
    image: FleetImage, cap: Capability, discharge_power_w: F8, discharge_s: F8, now_s: float, settings: CapabilitySettings
) -> F8:
    """How long each car may then be held at 0 W, after `discharge_s` at `discharge_power_w` (magnitude), (N,) in s, >= 0.

    While it is held its laxity shrinks by a second each second.
    """
    cost_s = recharge_s(cap.reckoned, settings, discharge_power_w * discharge_s * WH_PER_WS) - cap.recharge_s
    return _from_now(np.minimum(_budget_s(cap) - cost_s, cap.together_s) - discharge_s, image, cap, now_s)


def _budget_s(cap: Capability) -> F8:
    return np.maximum(cap.laxity_s - cap.guard_s, 0.0)


def _from_now(length_s: F8, image: FleetImage, cap: Capability, now_s: float) -> F8:
    return np.where(image.occupied, np.fmax(length_s - max(now_s - cap.at_s, 0.0), 0.0), 0.0)
