"""The closed form of the firm power against a linear program: grid reference 5.2."""

from itertools import pairwise

import numpy as np
import pytest
from highspy import Highs, HighsModelStatus
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.engine.offers.flow import deliverable_energy_wh, firm_power_w

WINDOW_S = 3_600.0


def by_program_w(power_w: list[float], energy_wh: list[float], stay_s: list[float]) -> float:
    """The most constant power by a linear program over the parts between departures: what each car gives in each, summed up to the same."""
    cuts_s = sorted({0.0, WINDOW_S, *(min(each, WINDOW_S) for each in stay_s)})
    program = Highs()
    program.setOptionValue("output_flag", False)
    held = program.addVariable(lb=0.0)
    given_wh = []
    for power, energy, stay in zip(power_w, energy_wh, stay_s, strict=True):
        mine = [program.addVariable(lb=0.0, ub=power * (end - begin) / 3600.0 if stay >= end else 0.0) for begin, end in pairwise(cuts_s)]
        program.addConstr(sum(mine[1:], mine[0]) <= energy)
        given_wh.append(mine)
    for place, (begin, end) in enumerate(pairwise(cuts_s)):
        parts = [mine[place] for mine in given_wh]
        program.addConstr(sum(parts[1:], parts[0]) >= held * ((end - begin) / 3600.0))
    program.maximize(held)
    assert program.getModelStatus() == HighsModelStatus.kOptimal
    return float(program.getSolution().col_value[0])


cars = st.lists(st.tuples(*(st.integers(0, most).map(float) for most in (22_000, 30_000, 5_000))), min_size=1, max_size=7)


@settings(max_examples=60)
@given(cars)
def test_the_closed_form_is_what_a_linear_program_finds(fleet: list[tuple[float, float, float]]) -> None:
    power_w, energy_wh, stay_s = (list(column) for column in zip(*fleet, strict=True))
    found = float(firm_power_w(np.array(power_w), np.array(energy_wh), np.array(stay_s), WINDOW_S))
    assert found == pytest.approx(by_program_w(power_w, energy_wh, stay_s), rel=1e-6, abs=0.01)


def test_without_departures_it_is_the_lesser_of_power_and_energy_of_each_car() -> None:
    power_w, energy_wh = np.array([7_000.0, 11_000.0]), np.array([3_500.0, 30_000.0])
    assert float(firm_power_w(power_w, energy_wh, np.array([np.inf, np.inf]), WINDOW_S)) == pytest.approx(14_500.0)


def test_the_usual_short_cut_promises_too_much() -> None:
    power_w, energy_wh, stay_s = np.full(2, 10_000.0), np.array([10_000.0, 2_000.0]), np.array([1_800.0, 3_600.0])
    short_cut_w = min(power_w.sum(), np.minimum(energy_wh, power_w * stay_s / 3600.0).sum())
    assert short_cut_w == pytest.approx(7_000.0)
    assert float(firm_power_w(power_w, energy_wh, stay_s, WINDOW_S)) == pytest.approx(4_000.0)


def test_many_courses_at_once_are_each_what_they_are_alone() -> None:
    random = np.random.default_rng(3)
    power_w, energy_wh, stay_s = random.uniform(0, 9_000, 12), random.uniform(0, 9_000, (5, 12)), random.uniform(0, 4_000, (5, 12))
    together = firm_power_w(power_w, energy_wh, stay_s, WINDOW_S)
    assert together == pytest.approx([float(firm_power_w(power_w, energy_wh[k], stay_s[k], WINDOW_S)) for k in range(5)])


def test_a_car_that_gives_nothing_or_is_gone_holds_nothing() -> None:
    nothing = firm_power_w(np.array([0.0, 7_000.0]), np.array([1_000.0, 1_000.0]), np.array([9_999.0, -5.0]), WINDOW_S)
    assert float(nothing) == 0.0


@given(cars)
def test_energy_that_can_be_given_bounds_what_can_be_held(fleet: list[tuple[float, float, float]]) -> None:
    power_w, energy_wh, stay_s = (np.array(column) for column in zip(*fleet, strict=True))
    most_wh = float(deliverable_energy_wh(power_w, energy_wh, stay_s, WINDOW_S))
    assert float(firm_power_w(power_w, energy_wh, stay_s, WINDOW_S)) * WINDOW_S / 3600.0 <= most_wh * (1 + 1e-9) + 1e-6
