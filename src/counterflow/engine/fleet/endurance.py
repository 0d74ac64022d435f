"""How long an order may run: the ends that every discharge message carries, so that floor and departure hold if all else dies."""

from typing import Self

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from counterflow.domain.units import WH_PER_WS
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.reckoning import Reckoning, drawn_w, recharge_s, run_within_s, selected
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import B1, F8, FleetImage

Rows = NDArray[np.intp]


class Stamina(Struct, frozen=True, kw_only=True):
    """What tells how long R cars can go on, each (R,): columns of `Capability`, and which rows hold a session. `at_s` is its instant."""

    at_s: float
    occupied: B1
    energy_wh: F8
    open_s: F8
    laxity_s: F8
    guard_s: F8
    recharge_s: F8
    together_s: F8
    reckoned: Reckoning

    @classmethod
    def of(cls, image: FleetImage, cap: Capability, rows: Rows | None = None) -> Self:
        """That of a fleet, or of some of its rows (R,). `cap` was made from `image`, or from one a little before."""
        columns = {name: getattr(cap, name) for name in _OF_CAPABILITY} | {"occupied": image.occupied}
        if rows is not None:
            columns = {name: column[rows] for name, column in columns.items()}
        return cls(at_s=cap.at_s, reckoned=cap.reckoned if rows is None else selected(cap.reckoned, rows), **columns)

    @property
    def budget_s(self) -> F8:
        """Time that may be lost, >= 0."""
        return np.maximum(self.laxity_s - self.guard_s, 0.0)


_OF_CAPABILITY = ("energy_wh", "open_s", "laxity_s", "guard_s", "recharge_s", "together_s")


def endurance_s(cap: Stamina, discharge_power_w: F8, now_s: float, settings: CapabilitySettings) -> F8:
    """How long each car may discharge at `discharge_power_w` (magnitude, (R,)) from now on, (R,) in s, >= 0.

    Until the floor with its buffer, a cap, the driver's blackout or the guard of the departure, whichever is first; command latency and
    report interval are in buffer and guard (decisions 3). 0 where something needed for that is unknown; at 0 W only the departure counts.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        floor_s = np.where(discharge_power_w > 0.0, cap.energy_wh / (drawn_w(discharge_power_w, settings) * WH_PER_WS), np.inf)
    floor_s = np.where(discharge_power_w > 0.0, np.minimum(floor_s, cap.open_s), floor_s)
    within_s = run_within_s(cap.reckoned, discharge_power_w, cap.budget_s, settings)
    return _from_now(np.minimum(np.minimum(floor_s, within_s), cap.together_s), cap, now_s)


def hold_endurance_s(cap: Stamina, discharge_power_w: F8, discharge_s: F8, now_s: float, settings: CapabilitySettings) -> F8:
    """How long each car may then be held at 0 W, after `discharge_s` at `discharge_power_w` (magnitude), (R,) in s, >= 0.

    While it is held its laxity shrinks by a second each second.
    """
    cost_s = recharge_s(cap.reckoned, settings, drawn_w(discharge_power_w, settings) * discharge_s * WH_PER_WS) - cap.recharge_s
    return _from_now(np.minimum(cap.budget_s - cost_s, cap.together_s) - discharge_s, cap, now_s)


class Course(Struct, frozen=True, kw_only=True):
    """Discharge of R cars over time: from `from_s` (R, K), seconds from now on, ascending, at `power_w` (R, K) (magnitudes)."""

    from_s: F8
    power_w: F8


def course_endurance_s(cap: Stamina, course: Course, now_s: float, window_s: float, settings: CapabilitySettings) -> tuple[F8, F8]:
    """(how long each car may follow its course from now on, how long it may be held at 0 W after that or the window), each (R,) in s, >= 0.

    Each stretch is checked with what those before it have taken of energy and time; the first one that the car cannot go through to its
    end is where the discharge ends. `window_s` ends the last one.
    """
    stale_s = max(now_s - cap.at_s, 0.0)
    budget_s = cap.budget_s - stale_s
    alive = cap.occupied.copy()
    run_s, used_wh = np.zeros(len(alive)), np.zeros(len(alive))
    stretches = course.power_w.shape[1]
    for number in range(stretches):
        power_w = course.power_w[:, number]
        until_s = np.minimum(course.from_s[:, number + 1], window_s) if number + 1 < stretches else window_s
        taken_frac = used_wh / (settings.eta_discharge * cap.reckoned.scale_wh)
        there = replace(cap.reckoned, position_frac=cap.reckoned.position_frac - taken_frac)
        spent_s = run_s + recharge_s(cap.reckoned, settings, used_wh) - cap.recharge_s
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            floor_s = (cap.energy_wh - used_wh) / (drawn_w(power_w, settings) * WH_PER_WS)
        floor_s = np.where(power_w > 0.0, np.minimum(floor_s, cap.open_s - stale_s - run_s), np.inf)
        within_s = run_within_s(there, power_w, np.maximum(budget_s - spent_s, 0.0), settings)
        wanted_s = np.maximum(until_s - run_s, 0.0)
        goes_s = np.where(alive, np.fmax(np.minimum(np.minimum(floor_s, within_s), wanted_s), 0.0), 0.0)
        alive &= goes_s >= wanted_s
        run_s = run_s + goes_s
        used_wh = used_wh + drawn_w(power_w, settings) * goes_s * WH_PER_WS
    spent_s = run_s + recharge_s(cap.reckoned, settings, used_wh) - cap.recharge_s
    return run_s, np.where(cap.occupied, np.fmax(budget_s - spent_s, 0.0), 0.0)


def _from_now(length_s: F8, cap: Stamina, now_s: float) -> F8:
    return np.where(cap.occupied, np.fmax(length_s - max(now_s - cap.at_s, 0.0), 0.0), 0.0)
