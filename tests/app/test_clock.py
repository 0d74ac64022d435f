"""A clock that never runs backwards, whatever is done to the machine's."""

import itertools

import pytest

from counterflow.app.clock import OFF_ALARM_S, SLEW, SystemClock


class Machine:
    """Real time and the wall clock of a machine."""

    def __init__(self) -> None:
        self.true_s = 100.0
        self.ahead_s = 1_800_000_000.0

    def clock(self) -> SystemClock:
        return SystemClock(lambda: self.true_s + self.ahead_s, lambda: self.true_s)

    def run(self, clock: SystemClock, seconds: float, step_s: float = 1.0) -> list[float]:
        seen = []
        for _ in range(round(seconds / step_s)):
            self.true_s += step_s
            seen.append(clock.now_s())
        return seen


def test_undisturbed_it_shows_the_wall_clock() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.run(clock, 100.0, 0.3)
    assert clock.now_s() == pytest.approx(machine.true_s + machine.ahead_s, abs=1e-6)
    assert (clock.off_s, clock.steps, clock.alarm()) == (0.0, 0, None)


def test_set_forward_it_follows_at_once() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.ahead_s += 40.0
    machine.run(clock, 1.0)
    assert clock.now_s() == pytest.approx(machine.true_s + machine.ahead_s, abs=1e-6)
    assert clock.steps == 1


def test_set_back_it_never_runs_backwards_says_so_and_is_right_again_later() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.ahead_s -= 60.0
    seen = machine.run(clock, 10.0)
    assert all(later - earlier == pytest.approx(1.0 - SLEW, abs=1e-6) for earlier, later in itertools.pairwise(seen))
    assert clock.off_s > OFF_ALARM_S
    assert "60 s" in (clock.alarm() or "") or "59 s" in (clock.alarm() or "")
    assert clock.steps == 1
    machine.run(clock, 60.0 / SLEW)
    assert clock.now_s() == pytest.approx(machine.true_s + machine.ahead_s, abs=1e-6)
    assert clock.alarm() is None


def test_small_corrections_are_no_steps() -> None:
    machine = Machine()
    clock = machine.clock()
    for change_s in (0.4, -0.3, 0.2, -0.5):
        machine.ahead_s += change_s
        machine.run(clock, 10.0)
    assert clock.steps == 0
