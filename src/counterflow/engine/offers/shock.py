"""What makes cars leave together: how much the rate of all departures goes up and down from one block of three hours to the next.

A holiday, a football match, the end of a shift: the bigger the fleet, the more of its risk is this, since it does not average out. In a
scenario it is one factor, mean 1, on the rates of all cars (a shared frailty).
"""

from collections.abc import Sequence
from math import log1p, sqrt

import numpy as np

from counterflow.domain.offers import DepartureBlock
from counterflow.engine.fleet.snapshot import F8
from counterflow.engine.offers.hazard import HOUR_S, Watch
from counterflow.engine.offers.settings import OfferSettings

BLOCK_S = 3.0 * HOUR_S
BLOCKS_A_DAY = 8
_FEW = 5.0
_UPPER = 1.6448536269514722
"""Standard normal quantile of 95 %."""
KEPT_BLOCKS = 960
"""120 days: what was counted while the rates were hardly known goes in time."""
LEAST_EXPECTED = 1.0
"""A block in which fewer departures were expected says nothing about what is common to all."""


def counted(blocks: tuple[DepartureBlock, ...], watches: Sequence[Watch], rates: F8) -> tuple[DepartureBlock, ...]:
    """`blocks` with more sessions, by the rates (HOURS, KINDS) that were known; the newest `KEPT_BLOCKS` are kept."""
    known = {block.number: [block.left, block.expected] for block in blocks}
    flat = rates.ravel()
    for watched in watches:
        numbers = np.floor(watched.from_s / BLOCK_S).astype(np.int64).tolist()
        for number, more in zip(numbers, (flat[watched.cell] * watched.watched_h).tolist(), strict=True):
            known.setdefault(number, [0.0, 0.0])[1] += more
        known[numbers[-1]][0] += watched.left
    return tuple(DepartureBlock(number=number, left=known[number][0], expected=known[number][1]) for number in sorted(known)[-KEPT_BLOCKS:])


def spread_of(blocks: tuple[DepartureBlock, ...], settings: OfferSettings) -> float:
    """Standard deviation of the common rate of departure, as a share of the usual one: what varies more than chance alone would.

    What is so every week at this time is taken out, since a rate that is wrong all the time is no shock. Few days tell little of how much
    days differ, and what is not known counts against us: it is the upper end of what it may be, with a probability of 95 %, by how much
    days say different things.
    """
    number, left, expected = (np.array([getattr(block, name) for block in blocks]) for name in ("number", "left", "expected"))
    said = expected >= LEAST_EXPECTED
    prior = settings.shock_spread**2
    if not said.any():
        return settings.shock_spread
    number, left, expected = number[said], left[said], expected[said]
    place = (number % (7 * BLOCKS_A_DAY)).astype(np.intp)
    usual = (np.bincount(place, weights=left) + _FEW) / (np.bincount(place, weights=expected) + _FEW)
    expected = expected * usual[place] * max(left.sum() / (expected * usual[place]).sum(), 1e-3)
    # E[(left - expected)^2] = expected + v * expected^2, each block by how surely it tells v.
    weight = expected**2 / (1.0 + prior * expected)
    _, day = np.unique(number // BLOCKS_A_DAY, return_inverse=True)
    weights = np.bincount(day, weights=weight)
    sums = np.bincount(day, weights=weight * ((left - expected) ** 2 - expected) / expected**2)
    # Taking out what is usual at each time of the week takes a part of what varies along.
    taken = len(left) / max(len(left) - len(np.unique(place)), 0.5 * len(left))
    learned = taken * float(sums.sum() / weights.sum())
    doubt = float(np.sqrt(((taken * sums - learned * weights) ** 2).sum()) / weights.sum())
    days = float(weights.sum() ** 2 / (weights**2).sum())
    return sqrt(max(0.0, (days * (learned + _UPPER * doubt) + settings.shock_weight * prior) / (days + settings.shock_weight)))


def factors(spread: float, score: F8) -> F8:
    """Factors on the rates of departure (W,), mean 1 and this standard deviation, from standard normal scores (W,)."""
    sigma2 = log1p(spread**2)
    return np.exp(sqrt(sigma2) * score - 0.5 * sigma2)
