"""The most constant power that cars can hold together over a whole window, in closed form.

A flow from cars to slots of time: a car gives at most its power in each slot until it leaves, and at most its energy in all. As every
car is there from the begin, the tightest set of slots is always the last ones (min cut), so that for a window of length T

    F = min over 0 <= s < T of  1/(T - s) * sum_i min(e_i, p_i * max(0, min(d_i, T) - s))

and the sum is piecewise linear in s, so that only its corners need a look. The usual short cut min(P, E/T) promises too much.
"""

import numpy as np

from counterflow.domain.units import WH_PER_WS
from counterflow.engine.fleet.snapshot import F8


def firm_power_w(power_w: F8, energy_wh: F8, stay_s: F8, window_s: float) -> F8:
    """The firm power (...), W. `power_w`, `energy_wh` and `stay_s` are (..., N): what a car can give, and for how long it stays."""
    power_w, energy_wh, stay_s = np.broadcast_arrays(power_w, energy_wh, np.clip(stay_s, 0.0, window_s))
    with np.errstate(divide="ignore", invalid="ignore"):
        run_s = np.where(power_w > 0.0, energy_wh / (power_w * WH_PER_WS), 0.0)
    # Going back in time from the end, a car adds its power from the time it leaves until its energy is used up.
    begin_s = np.maximum(stay_s - run_s, 0.0)
    none = np.zeros((*power_w.shape[:-1], 1))
    at_s = np.concatenate([none + window_s, begin_s, stay_s, none], axis=-1)
    bend_w = np.concatenate([none, -power_w, power_w, none], axis=-1)
    order = np.argsort(-at_s, axis=-1, kind="stable")
    at_s, bend_w = np.take_along_axis(at_s, order, axis=-1), np.take_along_axis(bend_w, order, axis=-1)
    slope_w = np.cumsum(bend_w, axis=-1)
    given_ws = np.cumsum(slope_w[..., :-1] * (at_s[..., :-1] - at_s[..., 1:]), axis=-1)
    left_s = window_s - at_s[..., 1:]
    rate_w = np.divide(given_ws, left_s, out=np.full_like(given_ws, np.inf), where=left_s > 0.0)
    least_w: F8 = np.maximum(rate_w.min(axis=-1), 0.0)
    return least_w


def deliverable_energy_wh(power_w: F8, energy_wh: F8, stay_s: F8, window_s: float) -> F8:
    """The most energy (...) that cars can give in the window, whenever they like, Wh; arguments as of `firm_power_w`."""
    total: F8 = np.minimum(energy_wh, power_w * np.clip(stay_s, 0.0, window_s) * WH_PER_WS).sum(axis=-1)
    return total
