"""The drift guard brings the share of shortfalls to what it may be, also where the model is wrong."""

import numpy as np
import pytest

from counterflow.domain.ids import PoolId
from counterflow.domain.offers import OfferGuard
from counterflow.engine.offers.guard import LEAST, MOST, moved

FRESH = OfferGuard(pool=PoolId("all"), window_s=900.0)


@pytest.mark.parametrize("too_high", [0.9, 1.0, 1.1])
def test_in_the_long_run_one_window_in_ten_falls_short_however_wrong_the_model_is(too_high: float) -> None:
    random = np.random.default_rng(4)
    guard, short = FRESH, 0
    for window in range(6_000):
        there = random.normal(100.0, 5.0)
        kept = there >= 93.6 * too_high * guard.factor
        short += not kept and window >= 1_000
        guard = moved(guard, kept=bool(kept), confidence=0.9)
    assert short / 5_000 == pytest.approx(0.1, abs=0.015)
    assert guard.windows == 6_000


def test_it_stays_within_bounds() -> None:
    low = high = FRESH
    for _ in range(2_000):
        low, high = moved(low, kept=False, confidence=0.9), moved(high, kept=True, confidence=0.9)
    assert low.factor == LEAST
    assert high.factor == MOST


def test_a_shortfall_lowers_it_nine_times_as_far_as_a_kept_window_raises_it() -> None:
    assert moved(FRESH, kept=False, confidence=0.9, step=0.02).factor == pytest.approx(1.0 - 0.018)
    assert moved(FRESH, kept=True, confidence=0.9, step=0.02).factor == pytest.approx(1.0 + 0.002)
