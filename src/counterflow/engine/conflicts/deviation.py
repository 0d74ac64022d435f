"""Cars that do not do what their stations accepted, long after it should show."""

import numpy as np

from counterflow.domain.setpoints import SetpointState
from counterflow.engine.fleet.snapshot import FleetImage

ENOUGH = 0.5
"""At less than this share of its discharge setpoint a car deviates."""


def deviating(image: FleetImage, now_s: float, after_s: float) -> list[int]:
    """Rows whose accepted discharge is older than `after_s`, still runs, and shows at less than half in a reading that is as old."""
    runs = (image.setpoint_state == SetpointState.ACCEPTED) & (image.setpoint_w < 0.0) & (image.discharge_until_s > now_s)
    runs &= ~image.self_steered  # what a curve asks for is not known here
    settled = runs & (image.power_at_s >= image.setpoint_at_s + after_s)
    rows: list[int] = np.flatnonzero(settled & (image.power_w > ENOUGH * image.setpoint_w)).tolist()
    return rows
