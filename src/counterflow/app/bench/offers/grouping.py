"""Row 24: what taking cars together costs in exactness, and how long an offer takes for a large fleet."""

import time

import numpy as np

from counterflow.app.bench.offers.figures import Figure
from counterflow.engine.offers.hazard import HOURS, nothing_seen, rates_per_h
from counterflow.engine.offers.scenarios import Cars, Group, Risks, Shared, Span, courses, one_by_one
from counterflow.engine.offers.settings import OfferSettings
from counterflow.engine.offers.shock import Shocks

_LEVELS = (0.5, 0.1, 0.05, 0.01)
_SIZES = (150, 400, 1_000)
_SPREAD = 0.4
_AT_S = 1_800_000_000.0
LARGE = 100_000


def fleet(count: int, seed: int) -> Cars:
    """Cars of all kinds: some hardly last, some must charge before the end, most stay."""
    random = np.random.default_rng(seed)
    return Cars(
        power_w=random.choice([3_700.0, 7_400.0, 11_000.0, 22_000.0], count),
        energy_wh=random.gamma(3.0, 6_000.0, count),
        until_s=np.where(random.random(count) < 0.7, np.inf, random.uniform(0.0, 20_000.0, count)),
        plugged_s=random.uniform(0.0, 60_000.0, count),
    )


def error_of(count: int, window_s: float, seed: int, scenarios: int) -> list[float]:
    """By how much P50, P90, P95 and P99 of cars taken together differ from cars one by one, in % of P50; what cars share is the same."""
    settings = OfferSettings(scenarios=scenarios)
    random = np.random.default_rng(seed)
    rates, cars = rates_per_h(nothing_seen(0.0), settings), fleet(count, seed)
    span = Span(at_s=_AT_S, lead_s=0.0, window_s=window_s)
    risks = Risks(rates_per_h=rates, doubt=np.zeros(HOURS), shocks=Shocks.even(_SPREAD))
    shared = Shared.drawn(risks, span, settings, random)
    alone = np.concatenate(
        [one_by_one(cars, span, rates, shared.of(rows), settings, random).power_w for rows in np.array_split(np.arange(scenarios), 8)]
    )
    together = Group.of(cars, span, rates, settings).courses(shared, random).power_w
    exact = np.quantile(alone, _LEVELS)
    return [float(each) for each in (np.quantile(together, _LEVELS) - exact) / exact[0] * 100.0]


def grouping_figures(*, quick: bool) -> list[Figure]:
    """The worst of the levels, sizes and windows, each as the mean over fleets; and the processor time of an offer."""
    seeds, scenarios = (2, 1_000) if quick else (6, 6_000)
    worst = 0.0
    for count in _SIZES:
        for window_s in (900.0, 3_600.0):
            errors = np.array([error_of(count, window_s, seed, scenarios) for seed in range(seeds)])
            worst = max(worst, float(np.abs(errors.mean(axis=0)).max()))
    return [
        Figure(
            key="grouping",
            title="24 worst quantile error of cars taken together, of P50",
            unit="%",
            value=worst,
            goal=(0.0, 0.2) if not quick else None,
            moonshot=(0.0, 0.1) if not quick else None,
        ),
        Figure(
            key="time",
            title=f"24 processor time of an offer for {LARGE} sessions",
            unit="ms",
            value=_time_ms(),
            goal=(0.0, 500.0),
            moonshot=(0.0, 100.0),
        ),
    ]


def _time_ms() -> float:
    settings = OfferSettings()
    cars = fleet(LARGE, 1)
    risks = Risks.of(nothing_seen(0.0), settings)
    times = []
    for seed in range(5):
        began_s = time.process_time()  # the other workers keep the cores busy meanwhile
        courses(cars, Span(at_s=_AT_S, lead_s=0.0, window_s=3_600.0), risks, settings, np.random.default_rng(seed), independent=True)
        times.append(time.process_time() - began_s)
    return 1_000.0 * float(np.median(times))
