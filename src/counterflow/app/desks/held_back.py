"""What the limits of drivers keep back from an order, in words: for whoever looks at a preview."""

import numpy as np

from counterflow.domain.instructions import DispatchMode
from counterflow.domain.reasons import REASON_WORDS, Reason
from counterflow.domain.units import format_power
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.snapshot import B1

OF_DRIVERS = (
    Reason.NO_CONSENT, Reason.NO_PAUSE_CONSENT, Reason.DRIVER_STOP, Reason.BLACKOUT, Reason.PRIORITY_CHARGING, Reason.BELOW_FLOOR,
    Reason.DISCHARGE_CAP, Reason.MUST_CHARGE, Reason.NEED_UNKNOWN, Reason.PAUSED_ENOUGH, Reason.MUST_CHARGE_TOGETHER,
)  # fmt: skip
"""Reasons that come from what was agreed with a driver, or from what the car needs for its departure."""
LEAST_W = 1_000.0
"""Less than this is not worth a sentence."""


def held_back(able: Capability, in_pool: B1, mode: DispatchMode) -> tuple[str, ...]:
    """Of the rows `in_pool` (N,), by how many are kept out for each reason; then what the others give less over the window."""
    reasons = able.reason_in(mode)[in_pool]
    counts = {reason: int(np.count_nonzero(reasons == reason)) for reason in OF_DRIVERS}
    present = sorted((reason for reason in OF_DRIVERS if counts[reason]), key=lambda reason: -counts[reason])
    words = [f"{_cars(counts[reason])}: {REASON_WORDS[reason]}" for reason in present]
    ready = in_pool & (able.reason == Reason.READY)
    less_w = np.where(ready, np.maximum(able.max_power_w - able.sustained_power_w, 0.0), 0.0)
    if less_w.sum() >= LEAST_W:
        slowed, less = _cars(int(np.count_nonzero(less_w > 1.0))), format_power(float(less_w.sum()))
        words.append(f"{slowed}: floor, departure or a cap leaves {less} less for the whole window than at once")
    return tuple(words)


def _cars(count: int) -> str:
    return "1 car" if count == 1 else f"{count} cars"
