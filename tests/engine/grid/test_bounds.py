"""What is drawn up from what an operator's system orders, and what is refused."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from counterflow.domain.grid import GridOrder, GridStep, Program, Sign, Wire
from counterflow.domain.instructions import DispatchMode, DispatchOrder
from counterflow.domain.settlement import BaselineMethod
from counterflow.domain.units import MAX_DURATION_S
from counterflow.domain.views import Refusal
from counterflow.engine.grid.bounds import Later, Nothing, beyond, bounded, streamed

NOW_S = 1_800_000_000.0
PROGRAM = Program(name="north", wire=Wire.OPENADR, sign=Sign.LOAD, max_discharge_power_w=2e6, priority=3, max_ramp_w_per_s=1e4)


def order_of(*steps: tuple[float, float], end: float, **other: object) -> GridOrder:
    """Steps as (seconds from now, W)."""
    made = tuple(GridStep(from_s=NOW_S + after_s, discharge_power_w=power_w) for after_s, power_w in steps)
    return GridOrder(program="north", key="e-1", steps=made, end_s=NOW_S + end, **other)  # type: ignore[arg-type]


def drawn(order: GridOrder) -> DispatchOrder:
    wanted = bounded(PROGRAM, order, NOW_S, MAX_DURATION_S)
    assert isinstance(wanted, DispatchOrder), wanted
    return wanted


def test_an_order_to_come_keeps_its_steps_and_takes_the_rest_from_its_program() -> None:
    wanted = drawn(order_of((600.0, 1e6), (900.0, 5e5), end=1200.0))
    assert (wanted.start_s, wanted.duration_s, wanted.discharge_power_w) == (NOW_S + 600.0, 600.0, 1e6)
    assert [(step.from_s, step.discharge_power_w) for step in wanted.steps] == [(NOW_S + 900.0, 5e5)]
    assert (wanted.priority, wanted.ramp_w_per_s, wanted.ordered_by, wanted.mode) == (3, 1e4, "openadr:north", DispatchMode.NET_EXPORT)


def test_the_wire_may_tell_mode_and_priority() -> None:
    wanted = drawn(order_of((0.0, 1e6), end=900.0, mode=DispatchMode.RELATIVE, priority=9))
    assert (wanted.mode, wanted.priority) == (DispatchMode.RELATIVE, 9)


def test_of_an_order_that_has_begun_the_rest_is_ordered_now() -> None:
    wanted = drawn(order_of((-600.0, 2e6), (-300.0, 1e6), (300.0, 5e5), end=600.0))
    assert (wanted.start_s, wanted.duration_s, wanted.discharge_power_w) == (None, 600.0, 1e6)
    assert [step.discharge_power_w for step in wanted.steps] == [5e5]


def test_it_ends_when_the_order_says_but_where_that_lies_further_ahead_than_one_dispatch_may_last() -> None:
    assert drawn(order_of((-600.0, 2e6), end=600.0)).end_s == NOW_S + 600.0
    assert drawn(order_of((600.0, 2e6), (700.0, 0.0), end=900.0)).end_s == NOW_S + 700.0
    assert drawn(order_of((0.0, 2e6), end=MAX_DURATION_S + 1.0)).end_s is None


def test_zeros_at_both_ends_ask_for_nothing() -> None:
    wanted = drawn(order_of((-60.0, 0.0), (300.0, 0.0), (600.0, 1e6), (700.0, 0.0), (800.0, 1e6), (900.0, 0.0), end=1200.0))
    assert (wanted.start_s, wanted.duration_s) == (NOW_S + 600.0, 300.0)
    assert [step.discharge_power_w for step in wanted.steps] == [0.0, 1e6]


@pytest.mark.parametrize(
    "order", [order_of((0.0, 0.0), end=900.0), order_of((-900.0, 1e6), end=-1.0), order_of((-9.0, 1e6), (-5.0, 0.0), end=900.0)]
)
def test_nothing_is_ordered_of_zeros_or_of_what_is_past(order: GridOrder) -> None:
    assert isinstance(bounded(PROGRAM, order, NOW_S, MAX_DURATION_S), Nothing)


def test_what_lies_too_far_ahead_waits() -> None:
    assert bounded(PROGRAM, order_of((90_000.0, 1e6), end=91_000.0), NOW_S, 86_400.0) == Later(NOW_S + 90_000.0)


def test_what_goes_on_for_ever_is_ordered_for_as_long_as_one_dispatch_may_last() -> None:
    wanted = drawn(order_of((0.0, 1e6), (MAX_DURATION_S + 5.0, 2e6), end=1e11))
    assert wanted.duration_s == MAX_DURATION_S
    assert wanted.steps == ()


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (order_of(end=900.0), "says no power"),
        (order_of((0.0, 3e6), end=900.0), "may order at most 2.000 MW"),
        (order_of((0.0, 1e6), (60.0, -5e5), end=900.0), "500.0 kW of consumption"),
        (order_of((0.0, float("nan")), end=900.0), "not a number"),
        (order_of((60.0, 1e6), (60.0, 2e6), end=900.0), "order of time"),
        (order_of((0.0, 1e6), (900.0, 1e6), end=900.0), "ends before"),
    ],
)
def test_what_is_out_of_bounds_is_refused_in_words(order: GridOrder, words: str) -> None:
    refusal = bounded(PROGRAM, order, NOW_S, MAX_DURATION_S)
    assert isinstance(refusal, Refusal)
    assert words in refusal.sentence
    assert refusal.remedy


def test_the_sign_that_was_agreed_is_named_where_consumption_is_asked() -> None:
    refusal = beyond(PROGRAM, -1.0)
    assert refusal is not None
    assert "load convention" in refusal.remedy
    unsigned = beyond(Program(name="x", wire=Wire.MQTT, max_discharge_power_w=1.0), -1.0)
    assert unsigned is not None


def test_a_stream_has_the_dead_man_of_its_program() -> None:
    wanted = streamed(PROGRAM)
    assert wanted.stream is not None
    assert (wanted.stream.timeout_s, wanted.stream.hold_s, wanted.stream.ramp_down_s) == (30.0, 60.0, 120.0)
    assert (wanted.discharge_power_w, wanted.duration_s, wanted.start_s) == (2e6, 3_600.0, None)


POINTS = st.tuples(st.integers(-5_000, 5_000), st.sampled_from([0.0, 1.0, 5e5, 2e6]))


@given(st.lists(POINTS, min_size=1, max_size=8, unique_by=lambda point: point[0]))
def test_what_is_ordered_is_what_was_asked_at_every_instant(points: list[tuple[int, float]]) -> None:
    steps = sorted(points)
    end = steps[-1][0] + 100
    wanted = bounded(PROGRAM, order_of(*steps, end=end), NOW_S, MAX_DURATION_S)
    for (from_s, power_w), (to_s, _) in pairwise([*steps, (end, 0.0)]):
        if to_s > 0:
            assert _power_at(wanted, NOW_S + (max(from_s, 0) + to_s) / 2) == power_w


def _power_at(wanted: object, at_s: float) -> float:
    if isinstance(wanted, Nothing):
        return 0.0
    assert isinstance(wanted, DispatchOrder)
    start_s = NOW_S if wanted.start_s is None else wanted.start_s
    if not start_s <= at_s < start_s + wanted.duration_s:
        return 0.0
    begun = [step.discharge_power_w for step in wanted.steps if step.from_s is not None and step.from_s <= at_s]
    return begun[-1] if begun else wanted.discharge_power_w


def test_the_baseline_of_a_program_is_for_its_relative_orders() -> None:
    agreed = replace(PROGRAM, baseline=BaselineMethod.FORWARD)
    wanted = [bounded(agreed, order_of((0.0, 1e6), end=900.0, mode=mode), NOW_S, MAX_DURATION_S) for mode in DispatchMode]
    assert [each.baseline for each in wanted if isinstance(each, DispatchOrder)] == [None, None, BaselineMethod.FORWARD]
    assert streamed(agreed).baseline is None
    assert streamed(replace(agreed, mode=DispatchMode.RELATIVE)).baseline is BaselineMethod.FORWARD
