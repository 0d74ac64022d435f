"""Cohort forward simulation: how the members would have gone on charging from the state in which the dispatch found them.

Each car draws what it drew, less as its battery fills, and stops at its target. All members are stepped together, (N,) each; the plan is
still each car's own, so that one that leaves takes its part along.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from counterflow.domain.settlement import CarState
from counterflow.domain.units import WH_PER_WS
from counterflow.engine.settlement.settings import BaselineSettings
from counterflow.engine.settlement.target import Held

F8 = NDArray[np.float64]

LEAST_DRAW_W = 100.0
"""Below this a car does not charge: it stands by."""


def forward_plans(states: Sequence[CarState | None], from_s: F8, until_s: float, settings: BaselineSettings) -> tuple[Held | None, ...]:
    """What each car would draw from `from_s` (N,) to `until_s`, W; None for one of which no state was kept.

    A car whose state of charge or capacity is not known goes on at the power it had.
    """
    if not states:
        return ()
    kept = [CarState(None, None, None, None, None) if state is None else state for state in states]
    drew_w = np.fmax(_column([state.power_w for state in kept]), 0.0)
    drew_w = np.where(np.isnan(drew_w) | (drew_w < LEAST_DRAW_W), 0.0, drew_w)
    capacity_wh = _column([state.capacity_wh for state in kept])
    soc = _column([state.soc_frac for state in kept])
    target = np.nan_to_num(_column([state.target_soc_frac for state in kept]), nan=1.0)
    # What it drew was tapered already: its full rate is more than that.
    full_w = drew_w / np.fmax(_taper(soc, settings), settings.taper_least)
    ceiling_w = _column([state.max_charge_w for state in kept])
    full_w = np.where(ceiling_w > 0.0, np.fmin(full_w, np.fmax(ceiling_w, drew_w)), full_w)
    simulated = np.isfinite(soc) & (capacity_wh > 0.0)
    steps = max(1, int(np.ceil((until_s - float(from_s.min())) / settings.forward_step_s)))
    levels = np.empty((steps, len(kept)))
    for step in range(steps):
        power_w = np.where(soc < target, np.fmin(full_w * _taper(soc, settings), full_w), 0.0)
        power_w = np.where(simulated, power_w, drew_w)
        left_wh = np.fmax(target - soc, 0.0) * capacity_wh / settings.charge_efficiency
        power_w = np.where(simulated, np.fmin(power_w, left_wh / (settings.forward_step_s * WH_PER_WS)), power_w)
        levels[step] = power_w
        soc = soc + settings.charge_efficiency * power_w * settings.forward_step_s * WH_PER_WS / capacity_wh
    offsets_s = settings.forward_step_s * np.arange(steps, dtype=np.float64)
    forever = np.full(steps, np.inf)
    return tuple(
        None if state is None else Held(float(from_s[row]) + offsets_s, levels[:, row].copy(), forever) for row, state in enumerate(states)
    )


def _taper(soc: F8, settings: BaselineSettings) -> F8:
    """Share of its full rate at which a car charges at a state of charge; 1 where that is not known."""
    share = np.clip(1.0 - settings.taper_slope * (soc - settings.taper_from_frac), settings.taper_least, 1.0)
    return np.where(np.isnan(share), 1.0, share)


def _column(values: Sequence[float | None]) -> F8:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
