"""Fresh seeds for as long as one likes."""

import time
from collections import Counter
from collections.abc import Callable
from secrets import randbelow

from msgspec import Struct

from counterflow.app.simulation.run import Outcome, simulate
from counterflow.app.simulation.settings import sized


class SoakResult(Struct, frozen=True, kw_only=True):
    """What was tried, and what broke."""

    first_seed: int
    seeds: int
    simulated_s: float
    crashes: int
    counts: Counter[str]
    """Faults and acts of operators, by name."""
    breaches: int


def soak_for(lasting_s: float, *, first_seed: int | None, stations: int | None, on_breach: Callable[[Outcome], object]) -> SoakResult:
    """Play seeds one after the other until the time is over; at least one."""
    first_seed = randbelow(1_000_000_000) if first_seed is None else first_seed
    until_s = time.monotonic() + lasting_s
    counts: Counter[str] = Counter()
    seeds = crashes = breaches = 0
    simulated_s = 0.0
    while seeds == 0 or time.monotonic() < until_s:
        outcome = simulate(first_seed + seeds, sized(stations, None))
        seeds += 1
        simulated_s += outcome.simulated_s
        crashes += outcome.lives - 1
        counts.update(outcome.counts)
        if outcome.breaches:
            breaches += 1
            on_breach(outcome)
    return SoakResult(first_seed=first_seed, seeds=seeds, simulated_s=simulated_s, crashes=crashes, counts=counts, breaches=breaches)
