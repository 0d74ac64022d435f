"""How orders end, and when they are renewed."""

from typing import Any

import numpy as np
import pytest

from counterflow.engine.control.orders import due_for_renewal, ends_for, spread, stagger_s
from counterflow.engine.control.settings import ControlSettings
from counterflow.engine.fleet.capability import capability
from counterflow.engine.fleet.settings import CapabilitySettings

NOW_S = 1_800_000_000.0


def due(image: Any, cars: int, left_s: float, settings: ControlSettings, window_left_s: float = 900.0) -> int:
    picture = image(cars, setpoint_w=-7_000.0, discharge_until_s=NOW_S + left_s)
    may = np.ones(cars, dtype=bool)
    return int(
        due_for_renewal(picture, np.full(cars, 7_000.0), may, now_s=NOW_S, window_end_s=NOW_S + window_left_s, settings=settings).sum()
    )


def test_nothing_is_due_early_and_nothing_at_the_end_of_the_window(image: Any) -> None:
    assert due(image, 100, 61.0, ControlSettings()) == 0
    assert due(image, 100, 20.0, ControlSettings(), window_left_s=20.0) == 0


def test_at_most_a_share_is_due_in_one_tick_until_it_presses(image: Any) -> None:
    settings = ControlSettings(rearm_share=0.05)
    assert due(image, 400, 29.0, settings) == 20
    assert due(image, 400, 14.0, settings) == 400


def test_spread_is_even_and_always_the_same() -> None:
    shares = spread(np.arange(1, 10_001))
    assert (shares >= 0.0).all()
    assert (shares < 1.0).all()
    assert np.histogram(shares, bins=10, range=(0.0, 1.0))[0].min() > 900
    np.testing.assert_array_equal(shares, spread(np.arange(1, 10_001)))


def test_holds_lie_between_their_bounds_even_when_these_are_swapped() -> None:
    holds_s = stagger_s(np.arange(1, 100), ControlSettings(hold_min_s=40.0, hold_max_s=20.0))
    assert (holds_s == 40.0).all()


@pytest.mark.parametrize("level_w", [0.0, 3_000.0, 7_000.0])
@pytest.mark.parametrize("stay_s", [1_000.0, 1_400.0, 2_000.0, 40_000.0])
@pytest.mark.parametrize("soc_frac", [0.3, 0.4, 0.85])
def test_decision_3_whatever_is_sent_floor_and_departure_hold_by_themselves(
    image: Any, level_w: float, stay_s: float, soc_frac: float
) -> None:
    settings, control = CapabilitySettings(), ControlSettings()
    picture = image(5, soc_frac=soc_frac, soc_target_frac=soc_frac, departure_s=NOW_S + stay_s, capacity_wh=30_000.0)
    able = capability(picture, NOW_S, NOW_S + 7_200.0, settings)
    rows = np.arange(5)
    ends = ends_for(
        picture,
        able,
        rows,
        np.full(5, level_w),
        now_s=NOW_S,
        window_end_s=NOW_S + 7_200.0,
        capability_settings=settings,
        settings=control,
    )
    run_h = (ends.discharge_until_s - NOW_S) / 3600.0
    drawn_wh = level_w * run_h / settings.eta_discharge
    # What is above the floor, and what can be charged back at 7 kW before departure.
    assert (drawn_wh <= (soc_frac - 0.3) * 30_000.0 + 1e-6).all()
    back_s = drawn_wh / (settings.eta_charge * 7_000.0) * 3600.0
    latest_s = NOW_S + stay_s - settings.laxity_margin_s
    assert ((ends.hold_until_s + back_s <= latest_s) | (ends.hold_until_s == NOW_S)).all()
    assert (ends.hold_until_s >= ends.discharge_until_s).all()
