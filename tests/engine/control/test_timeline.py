"""The target over time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.domain.instructions import TargetStep
from counterflow.engine.control.timeline import Timeline


def timeline(*steps: tuple[float, float], end_s: float = 100.0) -> Timeline:
    return Timeline(start_s=10.0, end_s=end_s, steps=tuple(TargetStep(from_s=at_s, discharge_power_w=power_w) for at_s, power_w in steps))


def test_target_follows_the_steps_inside_the_window_and_is_zero_outside() -> None:
    line = timeline((10.0, 5.0), (20.0, 7.0))
    assert [line.target_discharge_w(at_s) for at_s in (9.9, 10.0, 19.9, 20.0, 99.9, 100.0)] == [0.0, 5.0, 5.0, 7.0, 7.0, 0.0]


def test_next_change_is_the_next_step_or_the_end() -> None:
    line = timeline((10.0, 5.0), (20.0, 7.0))
    assert [line.next_change_s(at_s) for at_s in (0.0, 10.0, 20.0, 99.0)] == [10.0, 20.0, 100.0, 100.0]
    assert line.next_change_s(100.0) is None


def test_a_step_beyond_an_amended_end_never_comes() -> None:
    assert timeline((10.0, 5.0), (90.0, 7.0), end_s=60.0).next_change_s(10.0) == 60.0


@pytest.mark.parametrize("steps", [(), ((20.0, 1.0), (10.0, 1.0)), ((10.0, -1.0),), ((10.0, float("nan")),)])
def test_a_timeline_that_cannot_be_is_refused(steps: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError):
        timeline(*steps)


def ramped(*steps: tuple[float, float], ramp: float | None = 2.0, ramp_out_s: float = 0.0) -> Timeline:
    told = tuple(TargetStep(from_s=at_s, discharge_power_w=power_w) for at_s, power_w in steps)
    return Timeline(start_s=10.0, end_s=110.0, steps=told, ramp_w_per_s=ramp, ramp_out_s=ramp_out_s)


def test_a_ramped_target_leaves_zero_at_the_start_and_follows_its_steps() -> None:
    line = ramped((10.0, 20.0), (40.0, 10.0), (42.0, 30.0))
    asked = {10.0: 0.0, 15.0: 10.0, 20.0: 20.0, 39.0: 20.0, 42.0: 16.0, 49.0: 30.0, 109.0: 30.0, 110.0: 0.0}
    assert {at_s: line.target_discharge_w(at_s) for at_s in asked} == asked


def test_a_ramp_out_ends_in_zero_at_the_end_of_the_window() -> None:
    line = ramped((10.0, 20.0), ramp=None, ramp_out_s=60.0)
    assert [line.target_discharge_w(at_s) for at_s in (50.0, 80.0, 104.0)] == pytest.approx([20.0, 10.0, 2.0])


@pytest.mark.parametrize("ramp", [0.0, -1.0, float("nan")])
def test_a_ramp_that_never_arrives_is_refused(ramp: float) -> None:
    with pytest.raises(ValueError):
        ramped((10.0, 20.0), ramp=ramp)


def test_pieces_are_what_is_left_of_the_window() -> None:
    assert timeline((10.0, 5.0), (20.0, 7.0)).pieces(0.0) == ((10.0, 5.0), (80.0, 7.0))
    assert timeline((10.0, 5.0), (20.0, 7.0)).pieces(60.0) == ((40.0, 7.0),)


def test_pieces_hold_what_a_ramp_reaches_of_a_step() -> None:
    line = ramped((10.0, 20.0), (15.0, 0.0), (60.0, 500.0))
    assert line.pieces(0.0) == ((5.0, 10.0), (45.0, 0.0), (50.0, 100.0))
    assert line.pieces(12.0) == ((3.0, 10.0), (45.0, 0.0), (50.0, 100.0))


def test_the_energy_is_that_of_the_ramped_target() -> None:
    assert ramped((10.0, 20.0)).energy_wh() * 3_600.0 == pytest.approx(20.0 * 100.0 - 100.0)
    assert ramped((10.0, 20.0), ramp=None, ramp_out_s=40.0).energy_wh() * 3_600.0 == pytest.approx(20.0 * 80.0)
    assert timeline((10.0, 5.0), (90.0, 7.0), end_s=60.0).energy_wh() * 3_600.0 == pytest.approx(250.0)


@given(
    steps=st.lists(st.tuples(st.floats(1.0, 90.0), st.floats(0.0, 50.0)), min_size=1, max_size=5),
    ramp=st.one_of(st.none(), st.floats(0.2, 30.0)),
    ramp_out_s=st.floats(0.0, 100.0),
)
def test_levels_hold_the_energy_of_the_target_and_follow_it(
    steps: list[tuple[float, float]], ramp: float | None, ramp_out_s: float
) -> None:
    later = ((10.0 + at_s, power_w) for at_s, power_w in sorted(dict(steps).items()))
    line = ramped((10.0, 8.0), *later, ramp=ramp, ramp_out_s=ramp_out_s)
    levels = line.levels(1.0)
    ends = [at_s for at_s, _ in levels[1:]] + [110.0]
    energy = sum(power_w * (end_s - at_s) for (at_s, power_w), end_s in zip(levels, ends, strict=True))
    fine = [10.0 + (number + 0.5) / 50.0 for number in range(5000)]
    assert energy == pytest.approx(sum(line.target_discharge_w(at_s) for at_s in fine) / 50.0, rel=2e-3, abs=2.0)
    assert [at_s for at_s, _ in levels] == sorted({at_s for at_s, _ in levels})


def test_steps_ahead_are_those_to_come_and_of_short_ones_the_lowest() -> None:
    line = timeline((10.0, 5.0), (30.0, 9.0), (40.0, 2.0), (45.0, 7.0), (80.0, 3.0))
    assert line.steps_ahead(10.0, 20.0) == ((30.0, 2.0), (80.0, 3.0))
    assert line.steps_ahead(30.0, 5.0) == ((40.0, 2.0), (45.0, 7.0), (80.0, 3.0))
    assert line.steps_ahead(90.0, 5.0) == ()


def test_a_ramp_is_told_ahead_in_steps_of_the_least_length() -> None:
    assert ramped((10.0, 20.0), ramp=1.0).steps_ahead(12.0, 10.0) == ((20.0, 15.0), (30.0, 20.0))


def test_ramps_are_led_by_what_cars_take_to_react_and_steps_are_not() -> None:
    line = ramped((10.0, 20.0), (40.0, 10.0), ramp_out_s=10.0)
    assert [line.led_discharge_w(at_s, 4.0) for at_s in (9.0, 10.0, 18.0, 36.0, 38.0)] == [0.0, 8.0, 20.0, 20.0, 16.0]
    assert [line.led_discharge_w(at_s, 4.0) for at_s in (101.0, 107.0, 110.0)] == pytest.approx([5.0, 0.0, 0.0])
    stepped = timeline((10.0, 5.0), (20.0, 7.0))
    assert [stepped.led_discharge_w(at_s, 4.0) for at_s in (9.0, 17.0, 20.0, 99.0)] == [0.0, 5.0, 7.0, 7.0]
