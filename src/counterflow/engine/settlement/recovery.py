"""Charging after the window that makes good what the cars gave. It is told apart, and never a part of what was delivered."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterflow.domain.settlement import Recovery
from counterflow.engine.settlement.samples import NO_SAMPLES, MeterColumns, meter_columns
from counterflow.engine.settlement.session import MemberEnergy
from counterflow.engine.settlement.settled import Settled, apportioned, whole

F8 = NDArray[np.float64]


class Recovered(NamedTuple):
    """Of the pool, and whole Wh of each member (N,) that add up to it."""

    pool: Recovery
    each_wh: F8


def recovered(settled: Settled, taken_wh: F8, now_s: float) -> Recovered:
    """What each member drew from the stop on, for as long as recovery is counted; no more than `taken_wh` (N,), what it gave."""
    ends_s = settled.until_s + settled.settings.recovery_s
    until_s = min(max(now_s, settled.until_s), ends_s)
    later = meter_columns(settled.stored.after, -np.inf, until_s)
    drawn_wh = np.array(
        [
            0.0 if energy is None else _drawn_wh(energy, columns, later.get(member.session_uid, NO_SAMPLES), settled.until_s, until_s)
            for member, energy, columns in zip(settled.members, settled.energies, settled.columns, strict=True)
        ]
    )
    parts_wh = np.clip(drawn_wh, 0.0, np.maximum(taken_wh, 0.0))
    total_wh = float(whole(np.array([parts_wh.sum()]))[0])
    pool = Recovery(energy_wh=total_wh, until_s=until_s, ends_s=ends_s, complete=until_s >= ends_s)
    return Recovered(pool, apportioned(parts_wh, total_wh))


def _drawn_wh(energy: MemberEnergy, columns: MeterColumns, later: MeterColumns, from_s: float, to_s: float) -> float:
    """By the curve as far as it reaches, and by the import register beyond it; a register that fell tells nothing."""
    near_wh = float(np.ptp(energy.imported.energy_at(np.array([from_s, to_s]))))
    known, beyond = columns.import_wh[np.isfinite(columns.import_wh)], later.import_wh[np.isfinite(later.import_wh)]
    if len(known) == 0 or len(beyond) == 0:
        return near_wh
    return near_wh + max(0.0, float(beyond[-1] - known[-1]))
