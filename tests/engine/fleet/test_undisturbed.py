"""Plans of cars that nobody touches: the closed form against a simulation in small steps, and what is not known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.domain.settlement import CarState
from counterflow.engine.fleet.undisturbed import ChargingTerms, Undisturbed

START_S = 1_000.0
NAN = float("nan")
TERMS = ChargingTerms()


def plans(*states: CarState | None) -> Undisturbed:
    return Undisturbed.of(states, np.full(len(states), START_S))


def stepped(state: CarState, terms: ChargingTerms, seconds: int) -> tuple[float, float]:
    """State of charge and power after `seconds`, a second at a time."""
    power_w, soc, capacity_wh = state.power_w or 0.0, state.soc_frac or 0.0, state.capacity_wh or 1.0
    max_w, target = state.max_charge_w, state.target_soc_frac

    def taper(at_frac: float) -> float:
        return float(np.clip(1.0 - terms.taper_slope * (at_frac - terms.taper_from_frac), terms.taper_least, 1.0))

    full_w = min(power_w / taper(soc), max(max_w or np.inf, power_w))
    now_w = power_w
    for _ in range(seconds):
        now_w = full_w * taper(soc) if soc < (target or 1.0) else 0.0
        soc = min(soc + terms.charge_efficiency * now_w / 3600.0 / capacity_wh, max(target or 1.0, soc))
    return soc, now_w


@given(
    power_w=st.floats(1_000.0, 22_000.0),
    soc=st.floats(0.05, 0.999),
    capacity_wh=st.floats(20_000.0, 100_000.0),
    target=st.floats(0.3, 1.0),
    slope=st.sampled_from([0.0, 1.0, 3.75, 8.0]),
    least=st.sampled_from([0.1, 0.5, 1.0]),
    seconds=st.integers(1, 5_000),
)
@settings(max_examples=40)
def test_the_closed_form_is_what_small_steps_come_to(
    power_w: float, soc: float, capacity_wh: float, target: float, slope: float, least: float, seconds: int
) -> None:
    terms = ChargingTerms(taper_slope=slope, taper_least=least)
    state = CarState(power_w, soc, capacity_wh, None, target)
    soc_then, _ = stepped(state, terms, seconds)
    plan = plans(state)
    assert float(plan.soc_at(START_S + seconds, terms)[0]) == pytest.approx(soc_then, abs=5e-4)
    mean_w = float(plan.mean_w(np.array([START_S]), np.array([START_S + seconds]), terms)[0])
    assert mean_w == pytest.approx((soc_then - soc) * capacity_wh / terms.charge_efficiency / (seconds / 3600.0), rel=5e-3, abs=30.0)


def test_a_car_draws_what_it_drew_then_less_and_nothing_at_its_target() -> None:
    plan = plans(CarState(7_000.0, 0.79, 50_000.0, 7_000.0, 0.9))
    powers = [float(plan.power_at(START_S + after_s, TERMS)[0]) for after_s in (0.0, 600.0, 1_800.0, 10_800.0)]
    assert powers[0] == 7_000.0
    assert powers == sorted(powers, reverse=True)
    assert 4_000.0 < powers[2] < 7_000.0
    assert powers[-1] == 0.0


def test_before_it_was_found_a_car_drew_what_it_drew_then() -> None:
    plan = plans(CarState(7_000.0, 0.5, 50_000.0, None, None))
    assert plan.power_at(START_S - 100.0, TERMS).tolist() == [7_000.0]


def test_what_is_not_known_is_not_made_up() -> None:
    plan = plans(
        CarState(6_000.0, None, 50_000.0, None, None),
        CarState(6_000.0, 0.9, None, None, 0.95),
        CarState(None, 0.5, 50_000.0, None, None),
        CarState(40.0, 0.5, 50_000.0, None, None),
        CarState(-5_000.0, 0.5, 50_000.0, None, None),
        None,
    )
    assert plan.power_at(START_S + 7_200.0, TERMS).tolist() == [6_000.0, 6_000.0, 0.0, 0.0, 0.0, 0.0]


def test_a_plan_survives_being_written_down_and_the_image_growing() -> None:
    states = (CarState(7_000.0, 0.85, 50_000.0, 11_000.0, 0.9), CarState(6_000.0, None, None, None, None))
    plan = plans(*states)
    again = Undisturbed.of(plan.states(), plan.at_s).sized(3)
    assert again.states() == [*states, CarState(None, None, None, None, None)]
    assert again.power_at(START_S + 900.0, TERMS).tolist() == [*plan.power_at(START_S + 900.0, TERMS).tolist(), 0.0]
