"""What the cars truly did, read off the plant: the scorer's view, the same for both clocks."""

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from counterflow.engine.fleet.snapshot import F8
from counterflow.sim.fleet import Fleet

GAVE_WH = 1.0
"""A car that has exported this much was discharged by us."""


class Standing(Struct, frozen=True, kw_only=True):
    """How a fleet stands when all is over."""

    gave: int
    """Cars that were discharged."""
    below_floor: int
    """Of those, cars whose true state of charge is below the floor, and was not before."""
    late: int
    """Of those still there, cars that can not reach their target by departure any more, and could before."""
    remaining: int
    """Profiles that are still stored at stations."""
    violations: tuple[str, ...]
    """What stations object to: floors, departures, discharge without an end."""


class Truth:
    """Watches one fleet from now on. `steps` has (epoch seconds at the end of a step, true power W, import positive)."""

    def __init__(self, fleet: Fleet, now_s: float) -> None:
        self._fleet = fleet
        self.steps: list[tuple[float, float]] = []
        self._export_wh = fleet.plant.export_wh.copy()
        self._above = fleet.plant.energy_wh >= fleet.plant.floor_soc_frac * fleet.plant.capacity_wh
        self._in_time = self._in_time_at(now_s)

    def step(self, until_s: float) -> None:
        """The plant has made a step that ends then."""
        self.steps.append((until_s, self._fleet.true_power_w()))

    def delivered_w(self, start_s: float, seconds: int) -> F8:
        """Discharge, one mean value a second from `start_s` on, NaN where no step was made."""
        found = np.full(seconds, np.nan)
        for until_s, power_w in self.steps:
            place = round(until_s - start_s) - 1
            if 0 <= place < seconds:
                found[place] = -power_w
        return found

    def standing(self, now_s: float) -> Standing:
        """What is left."""
        plant = self._fleet.plant
        gave = plant.export_wh - self._export_wh > GAVE_WH
        below = plant.energy_wh < plant.floor_soc_frac * plant.capacity_wh
        return Standing(
            gave=int(gave.sum()),
            below_floor=int((gave & below & self._above).sum()),
            late=int((gave & plant.plugged & self._in_time & ~self._in_time_at(now_s)).sum()),
            remaining=len(self._fleet.remaining_profiles()),
            violations=tuple(self._fleet.violations()),
        )

    def _in_time_at(self, now_s: float) -> NDArray[np.bool_]:
        """Which cars reach their target before they leave when they charge from now on."""
        plant, believed = self._fleet.plant, self._fleet.plant.believed_soc()
        return np.array(
            [
                now_s + plant.recharge_time_s(row, float(believed[row])) <= station.state.first_evse.departure_s
                for row, station in enumerate(self._fleet.stations)
            ]
        )
