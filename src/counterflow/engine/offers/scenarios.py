"""What could happen: thousands of courses that a window may take, each with the power that all cars together would then hold.

A course is one draw of who leaves when, of how cars answer and of how much energy they really have. Each of the three has a part that all
cars share. Few cars are taken one by one, with the closed form of `flow`; of many those of one kind are taken together: how many of a kind
leave in which part of the window is drawn, what they give until then is summed over the cars themselves beforehand.
"""

from functools import cache
from math import hypot, sqrt
from statistics import NormalDist

import numpy as np
from msgspec import Struct
from numpy.random import Generator
from numpy.typing import NDArray

from counterflow.domain.offers import LearnedAnswers, LearnedDepartures
from counterflow.domain.units import WH_PER_WS
from counterflow.engine.fleet.snapshot import B1, F8
from counterflow.engine.offers.answers import as_learned
from counterflow.engine.offers.flow import deliverable_energy_wh, firm_power_w
from counterflow.engine.offers.hazard import doubt_over, doubts, hazard_before, kind_of, rates_per_h
from counterflow.engine.offers.settings import OfferSettings
from counterflow.engine.offers.shock import Shocks, shocks_of

PARTS = 8
"""Parts of a window in which departures are told apart, half of them where departures are few."""
_FEW_LEAVE = 0.1
"""A hazard below this over the whole window is few."""
_CUTS = np.concatenate([np.arange(32) / 32.0, [1.0 - 1e-6]])
"""From where to the end the window is held against what cars can give, as shares of it. The last is the very end: where cars drop out one
after another, the power of those that are left then is what holds. (Half a minute of an hour before it there are up to 5 % more.)"""
_ENDINGS = 4
"""Cars that cannot give their power for the whole window are told apart by the quarter of it that they last."""
_PIECE = 2_048
_SMALL_PRODUCT = 200_000
"""Multiplications."""
_GRAIN = 64
"""So many steps of the window tell cars apart by how long they run and may stay."""
_MANY = 9.0
"""Where so many departures are expected, or more, their number is drawn from the normal distribution, its skewness made good."""
_STANDARD = NormalDist()
_STEPS = 64
"""Steps in which what a car's own errors do to its energy is laid over cars."""
_GOLDEN = 0.5 * (5.0**0.5 - 1.0)


class Cars(Struct, frozen=True, kw_only=True):
    """The cars that are counted on, each (N,): power that they give (learned response, grid limits), energy above floor and departure
    needs, how long after the window's begin they may give it, and how long they have been plugged in now."""

    power_w: F8
    energy_wh: F8
    until_s: F8
    plugged_s: F8

    def __len__(self) -> int:
        return len(self.power_w)

    def of(self, rows: B1) -> "Cars":
        """A selection."""
        return Cars(power_w=self.power_w[rows], energy_wh=self.energy_wh[rows], until_s=self.until_s[rows], plugged_s=self.plugged_s[rows])


class Span(Struct, frozen=True, kw_only=True):
    """A window: it begins `lead_s` after `at_s` and lasts `window_s`."""

    at_s: float
    lead_s: float
    window_s: float


class Risks(Struct, frozen=True, kw_only=True):
    """What is known of departures: rates per hour (HOURS, KINDS), how little is known of each hour's (relative variance, (HOURS,)), and
    what they share; and of answers, in sums."""

    rates_per_h: F8
    doubt: F8
    shocks: Shocks
    answers: LearnedAnswers = LearnedAnswers(at_s=0.0)

    @classmethod
    def of(cls, seen: LearnedDepartures, settings: OfferSettings) -> "Risks":
        """By what was seen of departures."""
        shocks = shocks_of(seen.hours, settings)
        return cls(rates_per_h=rates_per_h(seen, settings), doubt=doubts(seen, settings, shocks.covariance[0]), shocks=shocks)

    def spread_over(self, span: "Span") -> float:
        """What all departures until the end of a window may differ by together, as a share: shocks, and rates that are known from few
        departures."""
        length_s = span.lead_s + span.window_s
        return hypot(self.shocks.spread_over(length_s), sqrt(doubt_over(self.doubt, span.at_s, span.at_s + length_s)))


class Courses(Struct, frozen=True, kw_only=True):
    """The courses (W,) that were drawn: power held over the whole window, W, and the most energy that could be given in it, Wh."""

    power_w: F8
    energy_wh: F8


class Shared(Struct, frozen=True, kw_only=True):
    """What all cars of a course share, each (W,): factors on the rate of departure, the response, and the energy; and `rush`, the hazard
    that comes on top of it until the begin of the window and the end of each of its parts (W, PARTS + 1)."""

    leaving: F8
    rush: F8
    gain: F8
    energy: F8

    @classmethod
    def drawn(cls, risks: Risks, span: Span, settings: OfferSettings, random: Generator) -> "Shared":
        """For `settings.scenarios` courses."""
        count = settings.scenarios
        return cls(
            leaving=risks.shocks.factors(risks.spread_over(span) ** 2, _scores(count, random), _scores(count, random)),
            rush=risks.shocks.rushed(count, _edges_s(span, PARTS), random),
            gain=_positive(1.0 + settings.common_gain_spread * _scores(count, random)),
            energy=_positive(1.0 + settings.common_energy_spread * _scores(count, random)),
        )

    @classmethod
    def nothing(cls, settings: OfferSettings) -> "Shared":
        """Every car is for itself."""
        ones = np.ones(settings.scenarios)
        return cls(leaving=ones, rush=np.zeros((settings.scenarios, PARTS + 1)), gain=ones, energy=ones)

    def of(self, rows: NDArray[np.intp]) -> "Shared":
        """Some of the courses."""
        return Shared(leaving=self.leaving[rows], rush=self.rush[rows], gain=self.gain[rows], energy=self.energy[rows])


def courses(
    cars: Cars, span: Span, risks: Risks, settings: OfferSettings, random: Generator, *, independent: bool = False
) -> tuple[Courses, ...]:
    """Draw `settings.scenarios` courses of a window; with `independent` also what came out if cars shared nothing, for comparison."""
    cars = cars.of((cars.power_w > 0.0) & (cars.energy_wh > 0.0) & (cars.until_s > 0.0))
    settings = as_learned(risks.answers, settings)
    shared = [Shared.drawn(risks, span, settings, random)]
    if independent:
        shared.append(Shared.nothing(settings))
    if len(cars) == 0:
        return tuple(Courses(power_w=np.zeros(len(each.gain)), energy_wh=np.zeros(len(each.gain))) for each in shared)
    if len(cars) <= settings.exact_cars:
        return tuple(one_by_one(cars, span, risks.rates_per_h, each, settings, random) for each in shared)
    group = Group.of(cars, span, risks.rates_per_h, settings)
    return tuple(group.courses(each, random) for each in shared)


def one_by_one(cars: Cars, span: Span, rates: F8, shared: Shared, settings: OfferSettings, random: Generator) -> Courses:
    """Every car by itself, and the closed form of `flow`."""
    shape = (len(shared.gain), len(cars))
    edges_s = _edges_s(span, PARTS)
    at_s = np.concatenate([[0.0], edges_s])
    kinds = kind_of(cars.plugged_s)
    leave_s = np.empty(shape)
    patience = random.standard_exponential(shape)
    calm = shared.rush[:, -1] == 0.0
    for kind in np.unique(kinds).tolist():
        rows = np.flatnonzero(kinds == kind)
        hazard = hazard_before(rates, span.at_s, cars.plugged_s[rows].mean(keepdims=True), edges_s)[0]
        of_kind = np.concatenate([[0.0], hazard])
        left_s = np.interp(patience[:, rows] / shared.leaving[:, np.newaxis], of_kind, at_s, right=np.inf)
        for course in np.flatnonzero(~calm).tolist():
            summed = of_kind * shared.leaving[course] + np.concatenate([[0.0], shared.rush[course]])
            left_s[course] = np.interp(patience[course, rows], summed, at_s, right=np.inf)
        leave_s[:, rows] = left_s
    stay_s = np.minimum(leave_s - span.lead_s, cars.until_s)
    gain = _positive(1.0 + settings.gain_spread * random.standard_normal(shape))
    energy = _positive(1.0 + settings.energy_spread * random.standard_normal(shape))
    power_w = cars.power_w * gain * shared.gain[:, np.newaxis]
    energy_wh = cars.energy_wh * energy * shared.energy[:, np.newaxis]
    return Courses(
        power_w=firm_power_w(power_w, energy_wh, stay_s, span.window_s),
        energy_wh=deliverable_energy_wh(power_w, energy_wh, stay_s, span.window_s),
    )


class Group(Struct, frozen=True, kw_only=True):
    """Many cars, those of one kind together: how long they have been plugged in, and for which part of the window they last (K,).

    `trials` is how many equal cars would vary as much as those of the kind. `hazard` (K, parts + 1) is that of the begin of the window and
    of the end of each part. The tables are what `tables` says. `own` is what a car's own errors make of the sum: power, energy.
    """

    trials: F8
    hazard: F8
    window_s: float
    by_power_ws: F8
    by_energy_ws: F8
    own: tuple[float, float]

    @classmethod
    def of(cls, cars: Cars, span: Span, rates: F8, settings: OfferSettings) -> "Group":
        """Sort the cars by kind, and sum up what they give."""
        window_s = span.window_s
        # What a car's own errors do to the mean of all is in the tables, what they do to the spread in `own`.
        run_s = _scattered(cars, float(np.hypot(settings.gain_spread, settings.energy_spread)))
        lasts_s = np.minimum(run_s, cars.until_s)
        ending = np.minimum((np.minimum(lasts_s, window_s) * _ENDINGS / window_s).astype(np.int64), _ENDINGS)
        kinds, kind = np.unique(kind_of(cars.plugged_s) * (_ENDINGS + 1) + ending, return_inverse=True)
        sums_w = np.bincount(kind, weights=cars.power_w)
        plugged_s = np.bincount(kind, weights=cars.power_w * cars.plugged_s) / sums_w
        hazard = hazard_before(rates, span.at_s, plugged_s, _edges_s(span, PARTS))
        if float(hazard[:, -1].max()) < _FEW_LEAVE:
            hazard = hazard[:, ::2]
        cells = cells_of(kind, cars.power_w, run_s, cars.until_s, window_s)
        by_power_ws, by_energy_ws = tables(cells, len(kinds), window_s, hazard.shape[1] - 1)
        return cls(
            trials=np.maximum(1.0, np.rint(sums_w**2 / np.bincount(kind, weights=cars.power_w**2))),
            hazard=hazard,
            window_s=window_s,
            by_power_ws=by_power_ws,
            by_energy_ws=by_energy_ws,
            own=(settings.gain_spread * _diluted(cars.power_w), settings.energy_spread * _diluted(cars.energy_wh)),
        )

    def courses(self, shared: Shared, random: Generator) -> Courses:
        """Draw one course for each entry of `shared`."""
        count = len(shared.gain)
        flat = (_counts(self.trials, self.hazard, shared, random) / self.trials[:, np.newaxis]).reshape(count, -1)
        gain = shared.gain + self.own[0] * random.standard_normal(count)
        energy = shared.energy + self.own[1] * random.standard_normal(count)
        given_ws = gain[:, np.newaxis] * _product(flat, self.by_power_ws) + energy[:, np.newaxis] * _product(flat, self.by_energy_ws)
        return Courses(
            power_w=_positive(given_ws / (self.window_s * (1.0 - _CUTS))).min(axis=1),
            energy_wh=_positive(given_ws[:, 0]) * WH_PER_WS,
        )


class Cells(Struct, frozen=True, kw_only=True):
    """Cars that are nearly alike, each (C,): their kind, the sum of their power, W, and how long they run and may stay, s, on the mean."""

    kind: NDArray[np.intp]
    power_w: F8
    run_s: F8
    until_s: F8


def cells_of(kind: NDArray[np.intp], power_w: F8, run_s: F8, until_s: F8, window_s: float) -> Cells:
    """Cars (N,) put together where they differ by less than 1/`_GRAIN` of the window in how long they run and may stay.

    What a cell gives from any cut on lies between what its cars would give if all ran and stayed as long as the least, and as the most.
    """
    run_s, until_s = np.minimum(run_s, window_s), np.minimum(until_s, window_s)
    place = (np.minimum(each * _GRAIN / window_s, _GRAIN).astype(np.int64) for each in (run_s, until_s))
    run, until = place
    _, first, cell = np.unique((kind * (_GRAIN + 1) + run) * (_GRAIN + 1) + until, return_index=True, return_inverse=True)
    sums_w = np.bincount(cell, weights=power_w).astype(np.float64)
    return Cells(
        kind=kind[first],
        power_w=sums_w,
        run_s=np.bincount(cell, weights=power_w * run_s) / sums_w,
        until_s=np.bincount(cell, weights=power_w * until_s) / sums_w,
    )


def tables(cells: Cells, kinds: int, window_s: float, parts: int) -> tuple[F8, F8]:
    """What cars of a kind give from each cut on when they leave in each of the parts, or stay: (kinds * (parts + 1), cuts), W*s, apart by
    what bounds it, their power or their energy."""
    leave_s = np.concatenate([(np.arange(parts) + 0.5) / parts, [1.0]])[:, np.newaxis] * window_s
    cut_s = _CUTS * window_s
    by_power_ws, by_energy_ws = np.zeros((2, kinds, parts + 1, len(_CUTS)))
    for start in range(0, len(cells.kind), _PIECE):
        kind, power_w, run_s, until_s = (
            each[start : start + _PIECE, np.newaxis, np.newaxis] for each in (cells.kind, cells.power_w, cells.run_s, cells.until_s)
        )
        stay_s = np.minimum(leave_s, until_s)
        begin_s = stay_s - run_s
        given_ws = power_w * np.maximum(stay_s - np.maximum(begin_s, cut_s), 0.0)
        full_ws = np.where(begin_s > cut_s, given_ws, 0.0)
        here, first = np.unique(kind, return_index=True)  # cells are in the order of their kinds
        by_energy_ws[here] += np.add.reduceat(full_ws, first, axis=0)
        by_power_ws[here] += np.add.reduceat(given_ws - full_ws, first, axis=0)
    return by_power_ws.reshape(-1, len(_CUTS)), by_energy_ws.reshape(-1, len(_CUTS))


def _scattered(cars: Cars, spread: float) -> F8:
    """How long cars (N,) really run at their power: known only up to `spread`, which is laid evenly over cars that run alike."""
    run_s = cars.energy_wh / (cars.power_w * WH_PER_WS)
    places = (np.arange(len(cars)) * _GOLDEN % 1.0 * _STEPS).astype(np.intp)
    scattered_s = np.empty_like(run_s)
    order = np.argsort(run_s, kind="stable")
    scattered_s[order] = run_s[order] * _positive(1.0 + spread * _even_scores(_STEPS)[places])
    return scattered_s


def _counts(trials: F8, hazard: F8, shared: Shared, random: Generator) -> F8:
    """How many of `trials` (K,) leave in each part of the window, and how many stay: as many columns as `hazard` has (W, K, parts + 1)."""
    parts = hazard.shape[1] - 1
    steps = np.diff(hazard, axis=1, prepend=0.0)
    first = 0 if hazard[:, 0].any() else 1  # nobody leaves before a window that begins now
    expected = trials[:, np.newaxis] * np.exp(steps - hazard) * steps
    many = expected[:, first:].min(axis=1) >= _MANY
    rush = np.diff(shared.rush[:, :: PARTS // parts], axis=1, prepend=0.0)
    counts = np.empty((len(shared.leaving), len(trials), parts + 1))
    for kinds, draw in ((np.flatnonzero(many), _binomial), (np.flatnonzero(~many), _rare)):
        left = np.broadcast_to(trials[kinds], (len(counts), len(kinds)))
        for part in range(first, parts + 1):
            chance = -np.expm1(-steps[kinds, part] * shared.leaving[:, np.newaxis] - rush[:, part, np.newaxis])
            gone = draw(left, chance, random)
            left = left - gone
            if part > 0:
                counts[:, kinds, part - 1] = gone
        counts[:, kinds, parts] = left
    return counts


def _rare(trials: F8, chance: F8, random: Generator) -> F8:
    """Draws of a binomial distribution."""
    drawn: F8 = random.binomial(trials.astype(np.int64), chance).astype(np.float64)
    return drawn


def _binomial(trials: F8, chance: F8, random: Generator) -> F8:
    """Draws of a binomial distribution with many trials, not rounded: normal, with its skewness by Cornish and Fisher."""
    score = random.standard_normal(chance.shape)
    mean = trials * chance
    drawn: F8 = mean + np.sqrt(mean * (1.0 - chance)) * score + (1.0 - 2.0 * chance) * (score**2 - 1.0) / 6.0
    return np.clip(drawn, 0.0, trials)


def _product(left: F8, right: F8) -> F8:
    """The matrix product, in pieces so small that the calling thread does them alone: to wake others for it takes longer, much longer where
    all cores are busy."""
    piece = max(1, _SMALL_PRODUCT // right.size)
    return np.concatenate([left[start : start + piece] @ right for start in range(0, len(left), piece)])


def _edges_s(span: Span, parts: int) -> F8:
    """The begin of the window, and the ends of its parts, counted from now (parts + 1,)."""
    edges_s: F8 = span.lead_s + span.window_s * np.arange(parts + 1) / parts
    return edges_s


def _scores(count: int, random: Generator) -> F8:
    """Standard normal scores (count,), one in the middle of each of so many equally probable parts, in any order: drawn evenly."""
    return random.permutation(_even_scores(count))


@cache
def _even_scores(count: int) -> F8:
    """In ascending order, with a standard deviation of 1."""
    scores = np.array([_STANDARD.inv_cdf((place + 0.5) / count) for place in range(count)])
    even: F8 = scores / scores.std()
    even.setflags(write=False)
    return even


def _diluted(weights: F8) -> float:
    """What is left of an independent error of each car in the sum of all, as a share."""
    return float(np.sqrt((weights**2).sum()) / weights.sum())


def _positive(factor: F8) -> F8:
    return np.maximum(factor, 0.0)
