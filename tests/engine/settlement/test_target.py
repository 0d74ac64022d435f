import numpy as np
import pytest
from msgspec.structs import replace

from counterflow.domain.delivery import LogKind
from counterflow.domain.instructions import DispatchState, StreamTerms
from counterflow.engine.settlement.target import edges_s, headroom, held, stop_s, target


def mean(of, at):
    return (np.diff(of.integrals(np.array(at, dtype=float))[0]) / np.diff(at)).tolist()


def test_a_held_value_stands_until_the_next_or_its_time_is_over():
    of = held([(20, 4.0), (0, 2.0)], hold_s=15)
    value, known = of.integrals(np.array([-5.0, 0, 10, 18, 25, 99]))
    assert value.tolist() == [0, 0, 20, 30, 50, 90]
    assert known.tolist() == [0, 0, 10, 15, 20, 30]


def test_an_amendment_that_is_only_in_the_log_changes_the_target(world, start_s):
    world.entry(300, LogKind.AMENDED, target_power_w=3000.0)
    stored = world.stored()
    assert mean(target(stored.instruction, stored.log), [start_s, start_s + 300, start_s + 600]) == [7000, 3000]


def test_an_amendment_that_is_a_step_already_is_not_counted_twice(world, start_s):
    world.steps = [(0, 7000.0), (300.4, 3000.0)]
    world.entry(300, LogKind.AMENDED, target_power_w=9999.0)
    stored = world.stored()
    assert mean(target(stored.instruction, stored.log), [start_s + 301, start_s + 600]) == [3000]


def test_headroom_is_unknown_when_no_tick_told(world, start_s):
    world.entry(0, LogKind.TICK, target_power_w=7000.0, headroom_power_w=500.0)
    world.entry(4, LogKind.TICK, target_power_w=7000.0)
    _, known = headroom(world.log, 15.0).integrals(start_s + np.array([0.0, 15, 30]))
    assert np.diff(known).tolist() == [15, 0]


def test_a_cancel_ends_the_window(world, start_s):
    world.state = DispatchState.CANCELLED
    world.entry(120, LogKind.STATE, text="cancelled")
    stored = world.stored()
    assert stop_s(stored.instruction, stored.log) == start_s + 120


@pytest.mark.parametrize(("to", "step", "edges"), [(10, 4, [0, 4, 8, 10]), (8, 4, [0, 4, 8]), (3, 900, [0, 3]), (0, 4, [0])])
def test_the_last_step_may_be_shorter(to, step, edges):
    assert edges_s(0.0, to, step).tolist() == edges


@pytest.mark.parametrize("step", [0.0, -1.0, float("nan"), float("inf")])
def test_a_step_of_nothing_is_no_grid(step):
    with pytest.raises(ValueError, match="grid"):
        edges_s(0.0, 10.0, step)


def test_a_stream_is_scored_against_its_values_and_what_its_dead_man_made_of_the_last(world, start_s):
    for at, power_w in ((0, 4000.0), (300, 2000.0), (450, 0.0)):
        world.entry(at, LogKind.ASKED, target_power_w=power_w)
    world.entry(400, LogKind.ASKED)
    stored = world.stored()
    stream = StreamTerms(timeout_s=30.0, hold_s=60.0, ramp_down_s=300.0)
    asked = target(replace(stored.instruction, stream=stream), stored.log)
    assert mean(asked, [start_s, start_s + 300, start_s + 450, start_s + 600]) == [4000, 2000, 0]
