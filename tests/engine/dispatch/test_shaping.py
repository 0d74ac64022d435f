"""What is worth a message."""

import numpy as np

from counterflow.engine.dispatch.shaping import rested, worth_sending


def test_only_changes_of_a_quantum_or_to_and_from_zero_or_left_alone_are_sent() -> None:
    now_w = np.array([7_000.0, 7_000.0, 7_000.0, 0.0, np.nan, np.nan, 200.0, 0.0, 7_000.0])
    wanted_w = np.array([7_000.0, 6_800.0, 6_700.0, 200.0, 0.0, np.nan, 0.0, 0.0, np.nan])
    assert worth_sending(now_w, wanted_w, 300.0).tolist() == [False, False, True, True, True, False, True, False, True]


def test_a_car_rests_for_its_dwell() -> None:
    assert rested(np.array([70.0, 71.0, -np.inf, np.nan]), 100.0, 30.0).tolist() == [True, False, True, True]
