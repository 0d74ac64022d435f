"""What is worth a message: cars ignore small changes, and each message costs a call at a station."""

import numpy as np

from counterflow.engine.fleet.snapshot import B1, F8


def worth_sending(now_w: F8, wanted_w: F8, quantum_w: float) -> B1:
    """Rows whose change from `now_w` to `wanted_w` (magnitudes; NaN = left alone) is worth a message (N,).

    A change of at least `quantum_w`, one to or from zero, or one to or from left-alone. Equal values never are.
    """
    left_alone = np.isnan(now_w) != np.isnan(wanted_w)
    # NaN where either is left alone: it compares as no step.
    step_w = np.abs(wanted_w - now_w)
    to_or_from_zero = (step_w > 0.0) & ((now_w == 0.0) | (wanted_w == 0.0))
    worth: B1 = left_alone | to_or_from_zero | ((step_w > 0.0) & (step_w >= quantum_w))
    return worth


def rested(changed_at_s: F8, now_s: float, dwell_s: float) -> B1:
    """Rows that have kept their power for `dwell_s` (N,); NaN or -inf = never changed."""
    return ~(now_s - changed_at_s < dwell_s)
