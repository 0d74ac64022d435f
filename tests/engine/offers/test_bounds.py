"""What may be promised on a number of scenarios."""

from math import comb

import numpy as np
import pytest

from counterflow.engine.offers.bounds import mean_of_worst, quantile, rank_of


def cumulated(count: int, hits: int, chance: float) -> float:
    return sum(comb(count, k) * chance**k * (1 - chance) ** (count - k) for k in range(hits + 1))


@pytest.mark.parametrize(("count", "shortfall"), [(29, 0.1), (100, 0.1), (400, 0.05), (500, 0.5), (2_000, 0.01)])
def test_the_rank_is_the_largest_that_the_binomial_bound_allows(count: int, shortfall: float) -> None:
    rank = rank_of(count, shortfall, 0.05)
    assert rank >= 1
    assert cumulated(count, rank - 1, shortfall) <= 0.05 < cumulated(count, rank, shortfall)


def test_fewer_than_29_scenarios_promise_nothing_at_p90() -> None:
    assert rank_of(28, 0.1, 0.05) == 0
    assert quantile(np.arange(28.0), 0.9, 0.05) == 0.0
    assert quantile(np.arange(1.0, 30.0), 0.9, 0.05) == 1.0


def test_a_bound_of_all_doubt_takes_every_scenario() -> None:
    assert rank_of(3, 0.5, 1.0) == 3


def test_in_nineteen_of_twenty_draws_the_bound_promises_no_more_than_is_true() -> None:
    random = np.random.default_rng(5)
    said = [quantile(np.sort(random.uniform(size=1_000)), 0.9, 0.05) for _ in range(400)]
    kept = np.mean(np.array(said) <= 0.1)
    assert 0.92 <= kept <= 0.985


def test_the_mean_of_the_worst_counts_parts_of_scenarios() -> None:
    ascending = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    assert mean_of_worst(ascending, 0.8) == pytest.approx(1.0)
    assert mean_of_worst(ascending, 0.5) == pytest.approx((1.0 + 2.0 + 0.5 * 3.0) / 2.5)
    assert mean_of_worst(ascending, 0.5) <= quantile(np.sort(np.tile(ascending, 200)), 0.5, 0.05)
