"""Which value of a stream counts, and what the target is without one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.ids import ALL_SITES, DispatchId
from counterflow.domain.instructions import AllocationPolicy, DispatchInstruction, DispatchMode, StreamTerms, StreamValue, TargetStep
from counterflow.engine.control.stream import (
    AT_REST,
    Outcome,
    StreamPhase,
    StreamState,
    asked,
    judge,
    next_change_s,
    phase_at,
    resumed,
    target_w,
)

TERMS = StreamTerms(timeout_s=10.0, hold_s=20.0, ramp_down_s=40.0)
INSTRUCTION = DispatchInstruction(
    dispatch_id=DispatchId("d-1"),
    start_s=1000.0,
    end_s=2000.0,
    steps=(TargetStep(from_s=1000.0, discharge_power_w=100.0),),
    pool=ALL_SITES,
    policy=AllocationPolicy.HYBRID,
    mode=DispatchMode.NET_EXPORT,
    priority=0,
    accepted_at_s=900.0,
    stream=TERMS,
)
LIVE = StreamState(value_w=80.0, heard_at_s=1100.0, sequence=5, said_at_s=1099.0)


def value(power_w: float = 50.0, sequence: int | None = None, said_at_s: float | None = None) -> StreamValue:
    return StreamValue(discharge_power_w=power_w, sequence=sequence, said_at_s=said_at_s)


def test_the_phases_follow_each_other_and_the_target_goes_with_them() -> None:
    asked_w = {1105.0: 80.0, 1115.0: 80.0, 1140.0: 60.0, 1160.0: 20.0, 1171.0: 0.0}
    assert {at_s: target_w(LIVE, INSTRUCTION, at_s) for at_s in asked_w} == pytest.approx(asked_w)
    phases = [phase_at(LIVE, TERMS, 1000.0, at_s).value for at_s in asked_w]
    assert phases == ["live", "holding", "falling", "falling", "silent"]


def test_before_a_first_value_nothing_is_asked_and_the_source_is_overdue_only_in_the_window() -> None:
    assert [phase_at(StreamState(), TERMS, 1000.0, at_s) for at_s in (900.0, 1009.0, 1011.0)] == [
        StreamPhase.WAITING,
        StreamPhase.WAITING,
        StreamPhase.SILENT,
    ]
    assert target_w(StreamState(), INSTRUCTION, 1500.0) == 0.0


def test_the_dead_man_says_when_it_acts_next() -> None:
    now_s, seen = 1100.0, []
    while (at_s := next_change_s(LIVE, INSTRUCTION, now_s)) is not None:
        seen.append(phase_at(LIVE, TERMS, 1000.0, at_s))
        now_s = at_s
    assert seen == [StreamPhase.HOLDING, StreamPhase.FALLING, StreamPhase.SILENT]


@pytest.mark.parametrize(
    ("sent", "at_s", "outcome"),
    [
        (value(sequence=6), 1102.0, "taken"),
        (value(sequence=5), 1102.0, "duplicate"),
        (value(sequence=4), 1102.0, "late"),
        (value(sequence=4), 1111.0, "taken"),
        (value(sequence=4, said_at_s=1101.0), 1102.0, "taken"),
        (value(sequence=4, said_at_s=1098.0), 1102.0, "late"),
        (value(sequence=4, said_at_s=1098.0), 1107.0, "late"),
        (value(sequence=6, said_at_s=1098.0), 1102.0, "taken"),
        (value(said_at_s=1098.0), 1102.0, "late"),
        (value(said_at_s=1099.0), 1102.0, "duplicate"),
        (value(said_at_s=1101.0), 1102.0, "taken"),
        (value(sequence=6, said_at_s=1101.0), 1112.0, "late"),
        (value(), 1102.0, "taken"),
    ],
)
def test_only_a_newer_value_counts(sent: StreamValue, at_s: float, outcome: str) -> None:
    judged = judge(LIVE, sent, INSTRUCTION, at_s)
    assert judged.outcome == outcome
    assert (judged.state is LIVE) == (outcome != "taken")


@given(st.permutations(list(range(6))), st.lists(st.booleans(), min_size=6, max_size=6))
def test_in_any_order_and_doubled_the_newest_numbered_value_wins(order: list[int], doubled: list[bool]) -> None:
    state, now_s = StreamState(), 1100.0
    for number, twice in zip(order, doubled, strict=True):
        for _ in range(1 + twice):
            now_s += 0.1
            state = judge(state, value(float(number), sequence=number), INSTRUCTION, now_s).state
    assert state.value_w == 5.0


@given(st.floats(0.0, 1e9), st.floats(900.0, 1990.0))
def test_i4_no_value_asks_for_more_than_was_ordered_at_most(power_w: float, at_s: float) -> None:
    judged = judge(StreamState(), value(power_w), INSTRUCTION, at_s)
    assert judged.outcome is Outcome.TAKEN
    assert target_w(judged.state, INSTRUCTION, at_s) <= 100.0


@given(st.lists(st.tuples(st.floats(0.5, 200.0), st.floats(0.0, 100.0)), max_size=12), st.floats(0.1, 20.0))
def test_a_ramped_stream_never_moves_faster_than_its_ramp(values: list[tuple[float, float]], ramp: float) -> None:
    instruction = replace(INSTRUCTION, ramp_w_per_s=ramp, stream=StreamTerms(timeout_s=10.0, hold_s=20.0, ramp_down_s=1e6))
    state, now_s, power_w = StreamState(), 1000.0, 0.0
    for pause_s, value_w in values:
        for _ in range(5):
            now_s += pause_s / 5.0
            next_w = target_w(state, instruction, now_s)
            assert abs(next_w - power_w) <= ramp * pause_s / 5.0 * 1.001 + 0.02
            power_w = next_w
        state = judge(state, value(value_w), instruction, now_s).state


def test_control_sees_a_constant_target() -> None:
    seen = asked(LIVE, INSTRUCTION, 1140.0)
    assert (seen.steps, seen.stream) == ((TargetStep(from_s=1000.0, discharge_power_w=60.0),), None)


def test_after_a_restart_the_newest_value_of_the_source_counts_not_what_the_dead_man_made_of_it() -> None:
    log = [
        LogEntry(at_s=1100.0, kind=LogKind.ASKED, target_power_w=70.0, count=3),
        LogEntry(at_s=1104.0, kind=LogKind.ASKED, target_power_w=80.0, count=4),
        LogEntry(at_s=1140.0, kind=LogKind.ASKED, target_power_w=60.0, text="falling"),
        LogEntry(at_s=1141.0, kind=LogKind.TICK, target_power_w=60.0),
    ]
    state = resumed(log)
    assert (state.value_w, state.heard_at_s, state.sequence) == (80.0, 1104.0, 3)
    assert phase_at(resumed([]), TERMS, 1000.0, 1001.0) in AT_REST
