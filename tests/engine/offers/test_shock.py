"""What makes cars leave together is told apart from chance, and from a rate that is simply wrong."""

import numpy as np
import pytest

from counterflow.domain.offers import DepartureBlock
from counterflow.engine.offers.hazard import nothing_seen, rates_per_h, watch
from counterflow.engine.offers.settings import OfferSettings
from counterflow.engine.offers.shock import BLOCK_S, KEPT_BLOCKS, counted, factors, spread_of

SETTINGS = OfferSettings()


def blocks(spread: float, expected: float = 40.0, count: int = 1_000, wrong_by: float = 1.0) -> tuple[DepartureBlock, ...]:
    random = np.random.default_rng(2)
    mood = factors(spread, random.standard_normal(count))
    left = random.poisson(expected * wrong_by * mood)
    return tuple(DepartureBlock(number=number, left=float(seen), expected=expected) for number, seen in enumerate(left.tolist()))


@pytest.mark.parametrize("spread", [0.0, 0.2, 0.5])
@pytest.mark.parametrize("wrong_by", [1.0, 2.0])
def test_the_spread_is_found_whatever_the_rate(spread: float, wrong_by: float) -> None:
    assert spread_of(blocks(spread, wrong_by=wrong_by), SETTINGS) == pytest.approx(spread, abs=0.1)


def test_little_seen_leaves_the_setting() -> None:
    assert spread_of((), SETTINGS) == SETTINGS.shock_spread
    assert spread_of(blocks(2.0, expected=0.1), SETTINGS) == SETTINGS.shock_spread, "a block of so few says nothing"
    assert spread_of(blocks(0.0, count=5), SETTINGS) == pytest.approx(SETTINGS.shock_spread, abs=0.1)


def test_blocks_count_what_was_expected_and_what_came_and_only_the_newest_are_kept() -> None:
    rates = rates_per_h(nothing_seen(0.0), SETTINGS)
    early, late = watch(0.0, BLOCK_S + 3_600.0, 1e9), watch(0.0, 3_600.0, 3_600.0)
    assert early is not None
    assert late is not None
    found = counted((), [early, late], rates)
    assert [(block.number, block.left) for block in found] == [(0, 0.0), (1, 1.0)]
    assert [block.expected for block in found] == pytest.approx([0.05 * 4.0, 0.05 * 1.0])
    full = blocks(0.0, count=KEPT_BLOCKS)
    newer = watch(KEPT_BLOCKS * BLOCK_S, (KEPT_BLOCKS + 1) * BLOCK_S - 1.0, 1e12)
    assert newer is not None
    assert counted(full, [newer], rates)[:-1] == full[1:]


def test_factors_have_mean_one_and_the_spread_that_is_asked_for() -> None:
    drawn = factors(0.4, np.random.default_rng(1).standard_normal(200_000))
    assert drawn.mean() == pytest.approx(1.0, abs=0.01)
    assert drawn.std() == pytest.approx(0.4, abs=0.01)
    assert factors(0.0, np.array([-3.0, 3.0])).tolist() == [1.0, 1.0]
