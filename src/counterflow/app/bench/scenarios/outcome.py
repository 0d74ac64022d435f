"""What a run of the scenarios found: every figure of every play, and the judgement of each demand."""

from collections.abc import Mapping
from statistics import fmean

from msgspec import Struct

from counterflow.app.bench.scenarios.scenario import Demand, Figures, Scenario
from counterflow.engine.control.settings import Tracker


class Outcome(Struct, frozen=True, kw_only=True):
    """One scenario: the figures of each play by tracker and seed; `note` says why one could not be played."""

    scenario: Scenario
    plays: Mapping[Tracker, Mapping[int, Figures]]
    note: str = ""

    def judged(self, demand: Demand) -> "Judged":
        """What was measured for a demand, over all seeds."""
        ours = self.plays.get(Tracker.LEARNED, {})
        pi = self.plays.get(Tracker.PI, {})
        baselines: dict[Tracker, float] = {
            tracker: fmean(values)
            for tracker, plays in self.plays.items()
            if tracker is not Tracker.LEARNED and (values := _values(demand, plays, pi))
        }
        return Judged(demand=demand, values=tuple(_values(demand, ours, pi)), baselines=baselines)

    @property
    def met(self) -> bool:
        """Whether every demand's goal was reached by the worst seed."""
        return all(self.judged(demand).met for demand in self.scenario.demands)


def _values(demand: Demand, plays: Mapping[int, Figures], pi: Mapping[int, Figures]) -> list[float]:
    """What a tracker reached, seed by seed; where it is held against PI, of the seeds that both have played."""
    found = []
    for seed in (seed for seed in sorted(plays) if not demand.against_pi or seed in pi):
        value = plays[seed][demand.key]
        match demand.against_pi:
            case "difference":
                value -= pi[seed][demand.key]
            case "ratio":
                value /= pi[seed][demand.key] or float("inf")
            case "":
                pass
        found.append(value)
    return found


class Judged(Struct, frozen=True, kw_only=True):
    """A demand with its value for each seed; `baselines` = the means of the other trackers, in the demand's own unit."""

    demand: Demand
    values: tuple[float, ...]
    baselines: Mapping[Tracker, float]

    @property
    def mean(self) -> float:
        """Over the seeds; NaN of none."""
        return fmean(self.values) if self.values else float("nan")

    @property
    def worst(self) -> float:
        """Of the seeds; NaN of none."""
        return self.demand.worst(list(self.values)) if self.values else float("nan")

    @property
    def met(self) -> bool:
        """Whether the worst seed reaches the goal."""
        return self.demand.meets(self.worst, self.demand.goal)

    @property
    def verdict(self) -> str:
        """In one word."""
        if not self.values:
            return "missing"
        if self.demand.moonshot is not None and self.demand.meets(self.worst, self.demand.moonshot):
            return "moonshot"
        return "met" if self.met else "missed"
