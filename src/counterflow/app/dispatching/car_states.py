"""A car as a dispatch found it, for a baseline by forward simulation."""

from math import isnan

from counterflow.domain.settlement import CarState
from counterflow.engine.fleet.snapshot import FleetImage

CHARGED_SHARE = 0.92
"""Of what came in since the state of charge was told, so much is in the battery."""


def car_state(image: FleetImage, row: int) -> CarState:
    """The state of the car in a row; its state of charge is carried on by the import register from when it was told."""
    soc, capacity_wh = float(image.soc_frac[row]), float(image.capacity_wh[row])
    since_wh = float(image.import_wh[row] - image.soc_import_wh[row])
    if since_wh > 0.0 and capacity_wh > 0.0:
        soc = min(1.0, soc + CHARGED_SHARE * since_wh / capacity_wh)
    values = (float(image.power_w[row]), soc, capacity_wh, float(image.max_charge_w[row]), float(image.soc_target_frac[row]))
    return CarState(*(None if isnan(value) else value for value in values))
