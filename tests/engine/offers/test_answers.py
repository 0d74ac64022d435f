"""What cars are off by themselves is told apart from what all of a dispatch are off together."""

import numpy as np
import pytest

from counterflow.domain.offers import LearnedAnswers
from counterflow.engine.offers.answers import answered, as_learned
from counterflow.engine.offers.settings import OfferSettings

SETTINGS = OfferSettings()


def after(dispatches: int, own: float, common: float, cars: int = 400, every_s: float = 0.0) -> OfferSettings:
    random = np.random.default_rng(3)
    seen = LearnedAnswers(at_s=0.0)
    for number in range(dispatches):
        expected_w = random.uniform(3e3, 11e3, cars)
        given_w = expected_w * (1.0 + own * random.standard_normal(cars)) * (1.0 + common * random.standard_normal())
        seen = answered(seen, expected_w, given_w, number * every_s, SETTINGS)
    return as_learned(seen, SETTINGS)


@pytest.mark.parametrize(("own", "common"), [(0.05, 0.0), (0.1, 0.008), (0.2, 0.03)])
def test_both_are_found(own: float, common: float) -> None:
    learned = after(300, own, common)
    assert learned.gain_spread == pytest.approx(own, rel=0.05)
    assert learned.common_gain_spread == pytest.approx(common, abs=max(0.0025, 0.2 * common))


def test_little_seen_leaves_the_settings() -> None:
    assert after(0, 0.0, 0.0) == SETTINGS
    assert after(2, 0.0, 0.05).common_gain_spread < 0.04


def test_a_dispatch_of_few_cars_tells_less() -> None:
    given_w = 5e3 * (1.0 + 0.1 * np.random.default_rng(1).standard_normal(400))
    few, many = (answered(LearnedAnswers(at_s=0.0), np.full(cars, 5e3), given_w[:cars], 0.0, SETTINGS) for cars in (10, 400))
    assert few.dispatches < 0.3 * many.dispatches
    assert many.dispatches < 1.0


def test_what_was_learned_fades() -> None:
    once = after(2, 0.1, 0.05)
    seldom = after(2, 0.1, 0.05, every_s=1e9)
    assert seldom.common_gain_spread != once.common_gain_spread
