"""One seed from beginning to end."""

import time
from collections import Counter

from msgspec import Struct

from counterflow.app.replay import START_S
from counterflow.app.simulation import faults, people
from counterflow.app.simulation.settings import SimulationSettings
from counterflow.app.simulation.universe import Universe

WARM_UP_S = 40.0


class Outcome(Struct, frozen=True, kw_only=True):
    """How a seed went. `breaches` is empty when every invariant held; `digest` is the same for the same run only."""

    seed: int
    breaches: tuple[str, ...]
    counts: Counter[str]
    """Faults and acts, by name."""
    lives: int
    simulated_s: float
    took_s: float
    digest: str
    trace: tuple[str, ...]


def simulate(seed: int, settings: SimulationSettings | None = None) -> Outcome:
    """Play one seed. The same seed and settings give the same run, line by line."""
    settings = settings or SimulationSettings()
    began_s = time.perf_counter()
    universe = Universe(seed, settings)
    universe.at(START_S + WARM_UP_S, people.act, universe)
    universe.at(START_S + WARM_UP_S, faults.inject, universe)
    universe.run_until(START_S + WARM_UP_S + settings.active_s)
    make_peace(universe)
    universe.run_until(universe.now_s + settings.quiet_s)
    if not universe.watch.breaches:
        universe.watch.reckon()
    return Outcome(
        seed=seed,
        breaches=tuple(universe.watch.breaches),
        counts=universe.trace.counts,
        lives=universe.server.lives,
        simulated_s=universe.now_s - START_S,
        took_s=time.perf_counter() - began_s,
        digest=universe.trace.digest,
        trace=tuple(universe.trace.lines),
    )


def make_peace(universe: Universe) -> None:
    """No new faults, nothing that waits to happen, and everything is called off."""
    universe.peace = True
    universe.server.disk.kill_after = None
    universe.server.kill_at_commit = ""
    for seat in universe.seats:
        seat.swallow_answers = seat.late_answers = seat.swallow_calls = seat.repeat_events = 0
    people.make_peace(universe)
