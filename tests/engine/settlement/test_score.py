from math import nan, sqrt

import numpy as np
import pytest

from counterflow.domain.delivery import DropOut
from counterflow.domain.ids import SessionUid
from counterflow.engine.settlement.score import bursts, outside, rmse_frac, time_in_band_frac, worst_error_frac

ONES = np.ones(4)


def drop(at_s, lost_w):
    return DropOut(at_s=at_s + 30.0, session_uid=SessionUid(1), kind="silent", lost_power_w=lost_w, replaced_by=0, since_s=at_s)


def test_scores_leave_out_what_is_unknown():
    delivered, target = np.array([100.0, 90.0, nan, 110.0]), np.full(4, 100.0)
    assert rmse_frac(delivered, target, ONES) == pytest.approx(sqrt(200 / 3) / 100)
    assert time_in_band_frac(delivered, target, ONES, 0.05) == pytest.approx(1 / 3)
    assert worst_error_frac(delivered, target, np.ones(4, bool)) == pytest.approx(0.1)


def test_scores_of_nothing_known_are_unknown():
    nothing = np.full(4, nan)
    assert rmse_frac(nothing, ONES, ONES) is None
    assert time_in_band_frac(nothing, ONES, ONES, 0.05) is None
    assert worst_error_frac(nothing, ONES, np.ones(4, bool)) is None
    assert worst_error_frac(ONES, ONES, np.zeros(4, bool)) is None


def test_a_burst_needs_a_share_of_the_target_within_its_span():
    drops = [drop(100, 10), drop(104, 15), drop(300, 5), drop(400, 30)]
    assert bursts(drops, 1000.0, span_s=10, share_frac=0.02) == ((100, 104), (400, 400))


def test_bursts_do_not_chain_for_ever():
    drops = [drop(at, 20) for at in range(0, 60, 6)]
    assert len(bursts(drops, 1000.0, span_s=10, share_frac=0.02)) == 5


def test_steps_that_touch_a_pause_are_outside_the_score():
    assert outside(np.array([0.0, 10, 20, 30, 40]), [(15, 22)]).tolist() == [True, False, False, True]
