"""The target over time."""

import pytest

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
