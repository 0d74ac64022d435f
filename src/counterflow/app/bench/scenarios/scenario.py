"""What a scenario is: a play for one seed, and what is demanded of its figures."""

from collections.abc import Callable, Mapping
from typing import Literal

from msgspec import Struct

from counterflow.engine.control.settings import Tracker

Figures = Mapping[str, float]


class Setup(Struct, frozen=True, kw_only=True):
    """One play: its luck, who tracks, how many cars the scenario has at full size, and whether it is to be short."""

    seed: int
    tracker: Tracker = Tracker.LEARNED
    quick: bool = False
    full_cars: int = 0

    @property
    def cars(self) -> int:
        """The number of cars of this play."""
        return self.sized(self.full_cars)

    def sized(self, cars: int) -> int:
        """The number of cars: a tenth of it, and no more than 1 000, in a quick run."""
        return max(100, min(cars // 10, 1_000)) if self.quick else cars

    def lasting(self, seconds: int) -> int:
        """The length of a window: at most 15 minutes in a quick run."""
        return min(seconds, 900) if self.quick else seconds


class Demand(Struct, frozen=True, kw_only=True):
    """One figure with what is asked of it. `key` names it in the play's figures; `against_pi` = the figure is what ours has over the PI
    tracker's of the same seed: their difference, or their ratio."""

    key: str
    title: str
    unit: str
    goal: float
    moonshot: float | None
    better: Literal["less", "more"] = "less"
    against_pi: Literal["", "difference", "ratio"] = ""

    def meets(self, value: float, bound: float) -> bool:
        """Whether a value is as good as a bound; an unknown one is not."""
        return value <= bound if self.better == "less" else value >= bound

    def worst(self, values: list[float]) -> float:
        """The worst of several."""
        return max(values) if self.better == "less" else min(values)


class Scenario(Struct, frozen=True, kw_only=True):
    """One row of the table (control reference 9), by its number there; a letter behind it is ours. `cars`: how many there are at full
    size, 0 = the title says it. `baselines`: the trackers it is also played with, in `baseline_seeds` of its seeds (0 = all);
    `uncompared` says why there are none. `alone`: it measures time, so nothing else is played beside it."""

    number: str
    title: str
    demands: tuple[Demand, ...]
    measure: Callable[[Setup], Figures]
    cars: int = 0
    baselines: tuple[Tracker, ...] = ()
    baseline_seeds: int = 2
    uncompared: str = ""
    alone: bool = False

    def setup(self, seed: int, tracker: Tracker, *, quick: bool) -> Setup:
        """One play of it."""
        return Setup(seed=seed, tracker=tracker, quick=quick, full_cars=self.cars)

    def titled(self, *, quick: bool) -> str:
        """Its title with the number of cars that it is played with."""
        if self.cars == 0:
            return self.title
        return f"{self.title}, {self.setup(1, Tracker.LEARNED, quick=quick).cars:,} cars".replace(",000", " 000")


class Elsewhere(Struct, frozen=True, kw_only=True):
    """A row of the reference that another part of the project measures, and where."""

    number: str
    title: str
    where: str


OTHERS = (Tracker.OPEN_LOOP, Tracker.PI)
