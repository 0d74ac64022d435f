"""Silence, and the order of reasons."""

from collections.abc import Callable
from math import nan

import numpy as np
import pytest

from counterflow.domain.reasons import Reason
from counterflow.domain.telemetry import TransactionPhase
from counterflow.engine.fleet.eligibility import NOT_READY_PHASES, first_reasons, silent_sessions
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import FleetImage

Cars = Callable[..., FleetImage]


@pytest.mark.parametrize(
    ("interval", "age", "silent"),
    [
        (10.0, 35.0, False),
        (10.0, 36.0, True),
        (2.0, 12.0, False),
        (2.0, 13.0, True),
        (60.0, 200.0, False),
        (nan, 35.0, False),
        (nan, 36.0, True),
    ],
)
def test_silence_scales_with_the_meter_interval(cars: Cars, t0: float, interval: float, age: float, silent: bool) -> None:
    image = cars(meter_interval_s=interval, last_sample_s=t0 - age)
    assert silent_sessions(image, t0, CapabilitySettings()).tolist() == [silent]


def test_a_session_that_never_spoke_is_silent_and_an_empty_row_is_not(cars: Cars, t0: float) -> None:
    image = cars(2, uid=[1, 0], last_sample_s=nan)
    assert silent_sessions(image, t0, CapabilitySettings()).tolist() == [True, False]


def test_the_first_reason_in_order_is_shown() -> None:
    masks = {
        Reason.MUST_CHARGE: np.array([True, False, True, False]),
        Reason.NO_CONSENT: np.array([True, True, False, False]),
    }
    assert first_reasons(masks, 4).tolist() == [Reason.NO_CONSENT, Reason.NO_CONSENT, Reason.MUST_CHARGE, Reason.READY]


def test_a_car_that_suspends_or_left_is_not_ready_but_one_held_by_the_evse_is() -> None:
    assert set(NOT_READY_PHASES) == {TransactionPhase.EV_CONNECTED, TransactionPhase.SUSPENDED_EV, TransactionPhase.IDLE}
