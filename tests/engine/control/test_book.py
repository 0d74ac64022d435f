"""Which orders are accepted, how overlapping ones are settled, and the moves of a dispatch."""

import pytest
from msgspec.structs import replace

from counterflow.domain.ids import ALL_SITES, DispatchId, PoolId, SiteId
from counterflow.domain.instructions import (
    Amendment,
    ControlPath,
    DispatchInstruction,
    DispatchMode,
    DispatchOrder,
    DispatchState,
    Feasibility,
    OrderStep,
    StreamTerms,
)
from counterflow.domain.resources import Site
from counterflow.domain.settlement import BaselineMethod
from counterflow.domain.views import Refusal, RefusalKind
from counterflow.engine.control.book import (
    MOVES,
    OPEN_STATES,
    BookSettings,
    Move,
    amended,
    committed,
    conflicts_of,
    displacement,
    draw_up,
    give_way,
    move,
    ordered_power_w,
    peak_power_w,
    settle_conflicts,
    too_little,
    with_feasibility,
)
from counterflow.engine.fleet.topology import Topology

NOW_S = 1_000_000.0
NORTH, SOUTH, BOTH = PoolId("north"), PoolId("south"), PoolId("both")
TOPOLOGY = Topology(
    [
        Site(site_id=SiteId("n1"), pools=(NORTH, BOTH)),
        Site(site_id=SiteId("s1"), pools=(SOUTH, BOTH)),
    ]
)

STREAM = StreamTerms(timeout_s=30.0, hold_s=60.0, ramp_down_s=300.0)
PLENTY = Feasibility(
    expected_power_w=2e6,
    low_power_w=1.5e6,
    expected_energy_wh=5e5,
    low_energy_wh=4e5,
    committed_power_w=1e6,
    shortfall_power_w=0.0,
    sessions=200,
)


def drawn(*, name: str = "d-1", power_w: float = 1e6, **fields: object) -> DispatchInstruction:
    order = DispatchOrder(discharge_power_w=power_w, duration_s=900.0, **fields)  # type: ignore[arg-type]  # fields of the order
    result = draw_up(order, dispatch_id=DispatchId(name), now_s=NOW_S, topology=TOPOLOGY, settings=BookSettings())
    assert isinstance(result, DispatchInstruction)
    return result


def refused(order: DispatchOrder) -> Refusal:
    result = draw_up(order, dispatch_id=DispatchId("d"), now_s=NOW_S, topology=TOPOLOGY, settings=BookSettings())
    assert isinstance(result, Refusal)
    return result


def test_an_order_without_start_begins_now() -> None:
    instruction = drawn()
    assert (instruction.start_s, instruction.end_s) == (NOW_S, NOW_S + 900.0)
    assert instruction.state is DispatchState.SCHEDULED


def test_a_start_just_past_counts_as_now() -> None:
    assert drawn(start_s=NOW_S - 30.0).start_s == NOW_S


@pytest.mark.parametrize(
    ("order", "word"),
    [
        (DispatchOrder(discharge_power_w=1e6, duration_s=900.0, start_s=NOW_S - 3600.0), "past"),
        (DispatchOrder(discharge_power_w=1e6, duration_s=900.0, start_s=NOW_S + 8 * 86_400), "days ahead"),
        (DispatchOrder(discharge_power_w=-1e6, duration_s=900.0), "above zero"),
        (DispatchOrder(discharge_power_w=float("nan"), duration_s=900.0), "above zero"),
        (DispatchOrder(discharge_power_w=float("inf"), duration_s=900.0), "above zero"),
        (DispatchOrder(discharge_power_w=1e6, duration_s=5.0), "window"),
        (DispatchOrder(discharge_power_w=1e6, duration_s=1e9), "window"),
    ],
)
def test_an_order_that_makes_no_sense_is_refused_in_words(order: DispatchOrder, word: str) -> None:
    refusal = refused(order)
    assert refusal.kind is RefusalKind.INVALID
    assert word in refusal.sentence
    assert refusal.remedy


def test_an_unknown_pool_is_refused_with_the_known_ones() -> None:
    refusal = refused(DispatchOrder(discharge_power_w=1e6, duration_s=900.0, pool=PoolId("east")))
    assert refusal.kind is RefusalKind.NOT_FOUND
    assert "north" in refusal.remedy


def test_dispatches_conflict_when_window_and_sites_overlap() -> None:
    first = drawn(name="first", pool=NORTH)
    same, apart = drawn(name="same", pool=BOTH), drawn(name="apart", pool=SOUTH)
    later = drawn(name="later", pool=NORTH, start_s=first.end_s)
    assert conflicts_of(same, [first], TOPOLOGY) == (first,)
    assert conflicts_of(apart, [first], TOPOLOGY) == ()
    assert conflicts_of(later, [first], TOPOLOGY) == ()
    assert conflicts_of(first, [first], TOPOLOGY) == ()
    over = replace(first, state=DispatchState.COMPLETED)
    assert conflicts_of(same, [over], TOPOLOGY) == ()


def test_the_later_order_is_refused_with_the_conflict_named() -> None:
    first = drawn(name="first")
    refusal = settle_conflicts(drawn(name="second"), [first])
    assert isinstance(refusal, Refusal)
    assert refusal.conflicting == "first"
    assert "first" in refusal.sentence


def test_a_higher_priority_makes_the_earlier_give_way_at_its_start() -> None:
    first = drawn(name="first")
    urgent = drawn(name="urgent", priority=5, start_s=NOW_S + 300.0)
    assert settle_conflicts(urgent, [first]) == (first,)
    cut = give_way(first, urgent, NOW_S)
    assert cut.end_s == urgent.start_s
    assert "urgent" in cut.state_reason
    for start_s in (NOW_S + 300.0, NOW_S + 400.0):
        never = give_way(drawn(name="x", start_s=start_s), urgent, NOW_S)
        assert (never.state, never.state_reason) == (DispatchState.CANCELLED, "displaced by urgent")
        assert never.end_s == start_s + 900.0, "the order stays as it was told"


def test_what_a_higher_priority_takes_is_told_with_the_rest() -> None:
    urgent = replace(drawn(name="urgent", priority=5, start_s=NOW_S + 300.0), end_s=NOW_S + 420.0)
    cut = displacement(drawn(name="first"), urgent)
    assert (cut.runs_until_s, cut.former_end_s, cut.left_over_s) == (urgent.start_s, NOW_S + 900.0, 480.0)
    never = displacement(drawn(name="x", start_s=NOW_S + 300.0), urgent)
    assert (never.runs_until_s, never.left_over_s) == (None, 780.0)


def test_all_or_nothing_is_refused_with_what_there_is() -> None:
    short = with_feasibility(
        drawn(), replace(PLENTY, committed_power_w=285e3, shortfall_power_w=drawn().steps[0].discharge_power_w - 285e3)
    )
    refusal = too_little(short)
    assert isinstance(refusal, Refusal)
    assert refusal.kind is RefusalKind.TOO_LITTLE
    assert "285.0 kW" in refusal.sentence
    assert too_little(with_feasibility(drawn(), PLENTY)) is None


def test_the_moves_are_the_table() -> None:
    scheduled = drawn()
    running = move(scheduled, Move.START, NOW_S)
    resuming = move(running, Move.WINDOW_END, NOW_S + 900.0, "the window ended")
    assert (running.state, resuming.state, resuming.resume_from_s) == (DispatchState.RUNNING, DispatchState.RESUMING, NOW_S + 900.0)
    assert move(resuming, Move.RESUMED, NOW_S + 960.0).state is DispatchState.COMPLETED
    assert move(scheduled, Move.CANCEL, NOW_S).state is DispatchState.CANCELLED
    with pytest.raises(KeyError):
        move(move(resuming, Move.RESUMED, NOW_S), Move.START, NOW_S)


@pytest.mark.parametrize(("what", "ends"), [(Move.CANCEL, DispatchState.CANCELLED), (Move.ABORT, DispatchState.ABORTED)])
def test_a_dispatch_that_was_stopped_says_so_after_resuming(what: Move, ends: DispatchState) -> None:
    running = move(drawn(), Move.START, NOW_S)
    stopped = move(running, what, NOW_S + 10.0, "by a person")
    assert stopped.state_reason == "by a person"
    assert move(stopped, Move.RESUMED, NOW_S + 70.0).state is ends


def test_an_abort_while_resuming_does_not_restart_the_pace() -> None:
    resuming = move(move(drawn(), Move.START, NOW_S), Move.CANCEL, NOW_S + 10.0)
    assert move(resuming, Move.ABORT, NOW_S + 30.0).resume_from_s == NOW_S + 10.0


def test_every_open_state_can_be_left() -> None:
    assert {state for state, _ in MOVES} == OPEN_STATES


def test_amending_power_adds_a_step_from_now() -> None:
    running = move(drawn(), Move.START, NOW_S)
    changed = amended(running, Amendment(discharge_power_w=5e5), NOW_S + 100.0)
    assert isinstance(changed, DispatchInstruction)
    assert ordered_power_w(changed, NOW_S + 99.0) == 1e6
    assert ordered_power_w(changed, NOW_S + 100.0) == 5e5
    again = amended(changed, Amendment(discharge_power_w=6e5), NOW_S + 100.0)
    assert isinstance(again, DispatchInstruction)
    assert len(again.steps) == 2


def test_amending_the_end_moves_it() -> None:
    changed = amended(drawn(), Amendment(end_s=NOW_S + 1200.0), NOW_S)
    assert isinstance(changed, DispatchInstruction)
    assert changed.end_s == NOW_S + 1200.0


@pytest.mark.parametrize(
    "amendment",
    [
        Amendment(discharge_power_w=0.0),
        Amendment(discharge_power_w=-5.0),
        Amendment(end_s=NOW_S - 1.0),
        Amendment(end_s=NOW_S + 9 * 86_400),
    ],
)
def test_amendments_that_make_no_sense_are_refused(amendment: Amendment) -> None:
    assert isinstance(amended(drawn(), amendment, NOW_S), Refusal)


def test_what_is_over_cannot_be_amended() -> None:
    over = replace(drawn(), state=DispatchState.COMPLETED)
    refusal = amended(over, Amendment(discharge_power_w=1e5), NOW_S)
    assert isinstance(refusal, Refusal)
    assert refusal.kind is RefusalKind.CONFLICT


def test_i4_the_loop_tracks_no_more_than_was_committed() -> None:
    told = Feasibility(
        expected_power_w=1e6,
        low_power_w=8e5,
        expected_energy_wh=0.0,
        low_energy_wh=0.0,
        committed_power_w=9e5,
        shortfall_power_w=1e5,
        sessions=10,
    )
    instruction = with_feasibility(drawn(), told)
    assert committed(instruction).steps[0].discharge_power_w == 9e5
    assert instruction.steps[0].discharge_power_w == 1e6
    assert committed(drawn()) == drawn()


def test_outside_the_window_nothing_is_ordered() -> None:
    instruction = drawn(pool=ALL_SITES)
    assert ordered_power_w(instruction, NOW_S - 1.0) == 0.0
    assert ordered_power_w(instruction, instruction.end_s) == 0.0


def test_a_profile_becomes_steps_from_the_start_on() -> None:
    later = (OrderStep(discharge_power_w=2e6, after_s=300.0), OrderStep(discharge_power_w=0.0, from_s=NOW_S + 600.0))
    instruction = drawn(steps=later, ramp_w_per_s=10_000.0, ramp_out_s=60.0)
    assert [(step.from_s - NOW_S, step.discharge_power_w) for step in instruction.steps] == [(0.0, 1e6), (300.0, 2e6), (600.0, 0.0)]
    assert ordered_power_w(instruction, NOW_S + 350.0) == 1.5e6
    assert peak_power_w(instruction, NOW_S + 700.0) == 0.0
    capped = committed(with_feasibility(instruction, PLENTY))
    assert [step.discharge_power_w for step in capped.steps] == [1e6, 1e6, 0.0]


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"steps": (OrderStep(discharge_power_w=1e6),)}, "when it begins"),
        ({"steps": (OrderStep(discharge_power_w=1e6, after_s=1.0, from_s=2.0),)}, "when it begins"),
        ({"steps": (OrderStep(discharge_power_w=1e6, after_s=0.0),)}, "not after the one before"),
        ({"steps": (OrderStep(discharge_power_w=1e6, after_s=900.0),)}, "window is over"),
        ({"steps": (OrderStep(discharge_power_w=-1.0, after_s=10.0),)}, "zero or more"),
        ({"steps": tuple(OrderStep(discharge_power_w=1.0, after_s=0.5 * n) for n in range(1, 1001))}, "at most 1000 steps"),
        (
            {"steps": (OrderStep(discharge_power_w=1.0, after_s=1.0),), "stream": StreamTerms(timeout_s=30, hold_s=1, ramp_down_s=1)},
            "either",
        ),
        ({"stream": StreamTerms(timeout_s=1.0, hold_s=1, ramp_down_s=1)}, "time-out of 1 s"),
        ({"ramp_w_per_s": 0.0}, "ramp must be above zero"),
        ({"ramp_w_per_s": float("inf")}, "ramp must be above zero"),
        ({"ramp_out_s": 901.0}, "fit into the window"),
        ({"ramp_w_per_s": 1.0, "control_path": ControlPath.AFRR}, "constant power only"),
    ],
)
def test_a_target_that_cannot_be_is_refused_in_a_sentence(fields: dict[str, object], word: str) -> None:
    refusal = refused(DispatchOrder(discharge_power_w=1e6, duration_s=900.0, **fields))  # type: ignore[arg-type]  # fields of the order
    assert word in refusal.sentence
    assert refusal.remedy


@pytest.mark.parametrize(
    ("mode", "asked", "frozen"),
    [
        (DispatchMode.NET_EXPORT, None, BaselineMethod.ZERO),
        (DispatchMode.GROSS_EXPORT, BaselineMethod.ZERO, BaselineMethod.ZERO),
        (DispatchMode.RELATIVE, None, BaselineMethod.FORWARD),
        (DispatchMode.RELATIVE, BaselineMethod.TEN_OF_TEN, BaselineMethod.TEN_OF_TEN),
        (DispatchMode.RELATIVE, BaselineMethod.ZERO, BaselineMethod.ZERO),
    ],
)
def test_the_baseline_is_frozen_when_an_order_is_accepted(mode, asked, frozen):
    settings = BookSettings(baseline=BaselineMethod.FORWARD)
    order = DispatchOrder(discharge_power_w=1e6, duration_s=900.0, mode=mode, baseline=asked)
    made = draw_up(order, dispatch_id=DispatchId("D1"), now_s=0.0, topology=TOPOLOGY, settings=settings)
    assert made.baseline is frozen


@pytest.mark.parametrize(("start_s", "begins_s"), [(None, 100.0), (99.0, 100.0), (300.0, 300.0)])
def test_an_order_that_says_when_it_ends_lasts_no_longer_where_it_is_taken_late(start_s, begins_s):
    order = DispatchOrder(discharge_power_w=1e6, duration_s=900.0, start_s=start_s, end_s=999.9)
    made = draw_up(order, dispatch_id=DispatchId("D1"), now_s=100.0, topology=TOPOLOGY, settings=BookSettings())
    assert (made.start_s, made.end_s) == (begins_s, 999.9)
    assert made.order == order, "a repeat of it is known again, whenever it was taken"
    short = replace(order, ramp_out_s=899.0)
    taken_late = draw_up(short, dispatch_id=DispatchId("D1"), now_s=begins_s + 55.0, topology=TOPOLOGY, settings=BookSettings())
    assert "ramp" in taken_late.sentence
    over = draw_up(order, dispatch_id=DispatchId("D1"), now_s=1000.0, topology=TOPOLOGY, settings=BookSettings())
    assert "cannot be dispatched" in over.sentence or "lies in the past" in over.sentence


def test_a_baseline_belongs_to_a_relative_order():
    order = DispatchOrder(discharge_power_w=1e6, duration_s=900.0, baseline=BaselineMethod.DECLARED)
    refused = draw_up(order, dispatch_id=DispatchId("D1"), now_s=0.0, topology=TOPOLOGY, settings=BookSettings())
    assert "belongs to a relative order" in refused.sentence
    assert "relative" in refused.remedy
