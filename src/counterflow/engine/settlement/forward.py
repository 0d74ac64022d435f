"""Cohort forward simulation: how the members would have gone on charging from the state with which their plans were frozen.

It is the plan that control counts from (`engine/fleet/undisturbed.py`), cut into steps with the energy of each.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from counterflow.engine.fleet.frozen import Frozen
from counterflow.engine.fleet.undisturbed import Undisturbed
from counterflow.engine.settlement.settings import BaselineSettings
from counterflow.engine.settlement.target import Held

F8 = NDArray[np.float64]


def forward_plans(frozen: Sequence[Frozen | None], start_s: float, until_s: float, settings: BaselineSettings) -> tuple[Held | None, ...]:
    """What each car would draw by its plan up to `until_s`, W, from when it was frozen, or from the step in which `start_s` lies; None for
    one that has none.

    A car whose state of charge or capacity is not known goes on at the power it had.
    """
    if not frozen:
        return ()
    frozen_s = np.array([start_s if one is None else one.at_s for one in frozen])
    plans = Undisturbed.of([None if one is None else one.car for one in frozen], frozen_s)
    from_s = frozen_s + settings.forward_step_s * np.floor(np.maximum(start_s - frozen_s, 0.0) / settings.forward_step_s)
    steps = max(1, int(np.ceil((until_s - float(from_s.min())) / settings.forward_step_s)))
    offsets_s = settings.forward_step_s * np.arange(steps, dtype=np.float64)
    levels = np.empty((steps, len(frozen)))
    for step, offset_s in enumerate(offsets_s):
        levels[step] = plans.mean_w(from_s + offset_s, from_s + offset_s + settings.forward_step_s, settings)
    forever = np.full(steps, np.inf)
    return tuple(
        None if one is None else Held(float(from_s[row]) + offsets_s, levels[:, row].copy(), forever) for row, one in enumerate(frozen)
    )
