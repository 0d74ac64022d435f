"""Cohort forward simulation: how the members would have gone on charging from the state in which the dispatch found them.

It is the plan that control counts from (`engine/fleet/undisturbed.py`), cut into steps with the energy of each.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from counterflow.domain.settlement import CarState
from counterflow.engine.fleet.undisturbed import Undisturbed
from counterflow.engine.settlement.settings import BaselineSettings
from counterflow.engine.settlement.target import Held

F8 = NDArray[np.float64]


def forward_plans(states: Sequence[CarState | None], from_s: F8, until_s: float, settings: BaselineSettings) -> tuple[Held | None, ...]:
    """What each car would draw from `from_s` (N,), when its state was kept, to `until_s`, W; None for one of which none was.

    A car whose state of charge or capacity is not known goes on at the power it had.
    """
    if not states:
        return ()
    plans = Undisturbed.of(states, from_s)
    steps = max(1, int(np.ceil((until_s - float(from_s.min())) / settings.forward_step_s)))
    offsets_s = settings.forward_step_s * np.arange(steps, dtype=np.float64)
    levels = np.empty((steps, len(states)))
    for step, offset_s in enumerate(offsets_s):
        levels[step] = plans.mean_w(from_s + offset_s, from_s + offset_s + settings.forward_step_s, settings)
    forever = np.full(steps, np.inf)
    return tuple(
        None if state is None else Held(float(from_s[row]) + offsets_s, levels[:, row].copy(), forever) for row, state in enumerate(states)
    )
