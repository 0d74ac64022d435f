"""What may be promised on a number of scenarios: an order statistic with its own doubt, or the mean of the bad cases."""

from functools import cache
from math import exp, lgamma, log, log1p

import numpy as np

from counterflow.engine.fleet.snapshot import F8


@cache
def rank_of(count: int, shortfall: float, doubt: float) -> int:
    """The largest k for which the k-th smallest of `count` values promises, with probability 1 - doubt, that less than it comes with a
    probability of at most `shortfall`: Binom(count, shortfall).cdf(k - 1) <= doubt. 0 = the values are too few for any promise.
    """
    total, rank = 0.0, 0
    log_p, log_q = log(shortfall), log1p(-shortfall)
    for hits in range(count):
        total += exp(lgamma(count + 1) - lgamma(hits + 1) - lgamma(count - hits + 1) + hits * log_p + (count - hits) * log_q)
        if total > doubt:
            break
        rank = hits + 1
    return rank


def quantile(ascending: F8, confidence: float, doubt: float) -> float:
    """What is reached with `confidence`, by scenarios in ascending order (W,); 0 where they are too few to say."""
    rank = rank_of(len(ascending), 1.0 - confidence, doubt)
    return float(ascending[rank - 1]) if rank > 0 else 0.0


def mean_of_worst(ascending: F8, confidence: float) -> float:
    """The largest c with CVaR(c - F) <= 0: the mean of the worst 1 - confidence of scenarios in ascending order (W,)."""
    wanted = (1.0 - confidence) * len(ascending)
    weights = np.clip(wanted - np.arange(len(ascending)), 0.0, 1.0)
    return float(weights @ ascending / wanted)
