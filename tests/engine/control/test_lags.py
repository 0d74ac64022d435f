"""How long a session's car takes to get going, learned from its registers, and how early it is told to begin for that."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from counterflow.domain.setpoints import SetpointState
from counterflow.engine.control.lags import LagMemory, learn
from counterflow.engine.control.lead import ScheduledStartSettings, lead_s
from counterflow.engine.control.response import ResponseMemory, observe
from counterflow.engine.control.settings import ResponseSettings

SUMS = ("count", "half_w", "half_w2", "lag_s", "lag_half")
NOW_S = 1_800_000_000.0
SETTINGS = ResponseSettings()
START = ScheduledStartSettings(lead_delay_s=6.0, lead_ramp_w_per_s=2_000.0, lead_default_weight=1e-6, max_lead_s=60.0)


class Car:
    """A car at `from_w` that is told `to_w` at NOW_S and follows after a delay, by a ramp. Discharge positive; registers are exact."""

    def __init__(self, delay_s: float, ramp_w_per_s: float, to_w: float = 7_000.0, from_w: float = 0.0) -> None:
        times_s = np.arange(-200.0, 400.0, 0.05)
        ramped_w = np.clip((times_s - delay_s) * ramp_w_per_s, 0.0, abs(to_w - from_w)) * np.sign(to_w - from_w)
        self.times_s, self.power_w = times_s, from_w + ramped_w
        self.net_wh = np.cumsum(self.power_w) * 0.05 / 3600.0
        self.to_w = to_w

    def columns(self, age_s: float, told_from_s: float) -> dict[str, Any]:
        """What is known at an age of the order, by a sample of just now."""
        at = int(np.searchsorted(self.times_s, age_s))
        is_told = age_s >= told_from_s
        return {
            "power_w": -self.power_w[at], "power_at_s": NOW_S + age_s, "register_at_s": NOW_S + age_s,
            "export_wh": 1_000.0 + self.net_wh[at],
            "import_wh": 0.0, "setpoint_w": -self.to_w if is_told else np.nan, "setpoint_at_s": NOW_S if is_told else np.nan,
            "discharge_until_s": NOW_S + 900.0 if is_told else np.nan, "hold_until_s": NOW_S + 950.0 if is_told else np.nan,
            "setpoint_state": SetpointState.ACCEPTED if is_told else SetpointState.NONE,
        }  # fmt: skip


def after(image: Any, car: Car, phase_s: float, every_s: float = 10.0, told_from_s: float = 0.0, **columns: Any) -> LagMemory:
    """The memory after two minutes of samples."""
    response, lags = ResponseMemory.fresh(1, SETTINGS), LagMemory.fresh(1)
    for age_s in np.arange(-60.0 + phase_s, 120.0, every_s):
        picture = image(1, now_s=NOW_S + age_s, **(car.columns(float(age_s), told_from_s) | columns))
        response = observe(picture, response, picture.at_s, SETTINGS)
        lags = learn(picture, response, lags)
    return lags


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    delay_s=st.floats(1.0, 10.0),
    ramp_w_per_s=st.floats(700.0, 8_000.0),
    phase_s=st.floats(0.0, 9.9),
    from_w=st.sampled_from([0.0, -7_000.0]),
)
def test_one_transition_tells_delay_and_half_the_ramp_whenever_samples_come(
    image: Any, delay_s: float, ramp_w_per_s: float, phase_s: float, from_w: float
) -> None:
    step_w = 7_000.0 - from_w
    lags = after(image, Car(delay_s, ramp_w_per_s, from_w=from_w), phase_s)
    assert lags.count[0] == 1
    assert lags.lead_s(0, 1, step_w, START) == pytest.approx(delay_s + step_w / ramp_w_per_s / 2.0, abs=0.6)


def test_a_scheduled_start_counts_from_its_begin(image: Any) -> None:
    lags = after(image, Car(4.0, 3_500.0), 3.0, told_from_s=-30.0)
    assert lags.lead_s(0, 1, 7_000.0, START) == pytest.approx(5.0, abs=0.6)


def test_the_default_holds_until_something_is_known_and_weighs_less_with_each_transition(image: Any) -> None:
    start = ScheduledStartSettings(lead_delay_s=6.0, lead_ramp_w_per_s=2_000.0, lead_default_weight=1.0)
    assert LagMemory.fresh(1).lead_s(0, 1, 7_000.0, start) == lead_s(7_000.0, start)
    assert LagMemory.fresh(0).lead_s(5, 1, 7_000.0, start) == lead_s(7_000.0, start)
    once = after(image, Car(2.0, 7_000.0), 3.0)
    assert once.lead_s(0, 2, 7_000.0, start) == lead_s(7_000.0, start), "another session at the same place"
    often = LagMemory(**{name: getattr(once, name) * (10.0 if name in SUMS else 1) for name in LagMemory.__struct_fields__})
    own_s, one_s, ten_s = 2.5, once.lead_s(0, 1, 7_000.0, start), often.lead_s(0, 1, 7_000.0, start)
    assert own_s < ten_s < one_s < lead_s(7_000.0, start)
    assert ten_s == pytest.approx(own_s, abs=0.8)


def test_delay_and_ramp_are_told_apart_by_steps_of_different_size(image: Any) -> None:
    small, large = (after(image, Car(5.0, 1_000.0, to_w), 3.0) for to_w in (3_000.0, 20_000.0))
    both = LagMemory(
        **{
            name: getattr(small, name) + getattr(large, name)
            if name in ("count", "half_w", "half_w2", "lag_s", "lag_half")
            else getattr(small, name)
            for name in LagMemory.__struct_fields__
        }
    )
    assert both.lead_s(0, 1, 10_000.0, START) == pytest.approx(10.0, abs=0.8)
    assert both.lead_s(0, 1, 0.0, START) == pytest.approx(5.0, abs=0.8)


def test_a_lead_is_bounded(image: Any) -> None:
    slow = after(image, Car(5.0, 2_000.0), 3.0)
    assert slow.lead_s(0, 1, 7_000.0, ScheduledStartSettings(max_lead_s=4.0)) == 4.0


@pytest.mark.parametrize(
    "columns",
    [
        {"export_wh": np.nan},
        {"import_wh": np.nan},
        {"register_at_s": NOW_S - 500.0},
        {"self_steered": True},
        {"power_w": np.nan},
    ],
    ids=["no export register", "no import register", "registers of another time", "on a curve", "no power"],
)
def test_what_cannot_be_told_teaches_nothing(image: Any, columns: dict[str, Any]) -> None:
    assert after(image, Car(5.0, 2_000.0), 3.0, **columns).count[0] == 0


def test_a_small_step_and_a_car_that_does_not_follow_teach_nothing(image: Any) -> None:
    assert after(image, Car(5.0, 2_000.0, 1_500.0), 3.0).count[0] == 0
    assert after(image, Car(300.0, 2_000.0), 3.0).count[0] == 0
    assert after(image, Car(5.0, 20.0), 3.0).count[0] == 0


def test_another_session_in_the_row_starts_from_nothing(image: Any) -> None:
    lags = after(image, Car(5.0, 2_000.0), 3.0)
    assert lags.count[0] == 1
    other = image(2, now_s=NOW_S + 200.0, uid=[77, 2])
    response = observe(other, ResponseMemory.fresh(2, SETTINGS), other.at_s, SETTINGS)
    assert learn(other, response, lags).count.tolist() == [0.0, 0.0]
