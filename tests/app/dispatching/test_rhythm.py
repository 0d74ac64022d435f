"""When the next tick is due, and the two policies for ticks that come late."""

from math import inf

import pytest

from counterflow.app.dispatching.rhythm import Rhythm


def ticking(policy: str = "drift") -> Rhythm:
    rhythm = Rhythm(4.0, 1.0, policy)  # type: ignore[arg-type]  # one of the two
    rhythm.begin(100.0)
    rhythm.plan(100.0, open_work=True, events_s=())
    return rhythm


def test_the_next_tick_is_a_period_away_and_nothing_is_due_before() -> None:
    rhythm = ticking()
    assert rhythm.next_s == 104.0
    assert [rhythm.is_due(at_s) for at_s in (103.9, 104.0)] == [False, True]
    assert (rhythm.late, rhythm.missed) == (0, 0)


@pytest.mark.parametrize(("policy", "next_s"), [("drift", 117.0), ("resync", 116.0)])
def test_a_late_tick_runs_once_and_those_that_were_missed_are_left_out(policy: str, next_s: float) -> None:
    rhythm = ticking(policy)
    assert rhythm.is_due(113.0)
    assert (rhythm.late, rhythm.missed) == (1, 2)
    rhythm.begin(113.0)
    rhythm.plan(113.0, open_work=True, events_s=())
    assert rhythm.next_s == next_s
    assert not rhythm.is_due(113.1)


def test_events_bring_a_tick_forward_but_not_closer_than_the_gap_and_resync_keeps_the_grid() -> None:
    rhythm = ticking("resync")
    rhythm.bring_forward(100.2, 100.2)
    assert rhythm.next_s == 101.0
    rhythm.begin(101.0)
    rhythm.plan(101.0, open_work=True, events_s=(inf, 103.5))
    assert rhythm.next_s == 103.5
    rhythm.begin(103.5)
    rhythm.plan(103.5, open_work=True, events_s=())
    assert rhythm.next_s == 104.0


def test_with_nothing_open_only_events_count_and_the_grid_begins_anew() -> None:
    rhythm = ticking("resync")
    rhythm.plan(101.0, open_work=False, events_s=(250.0,))
    assert rhythm.next_s == 250.0
    rhythm.begin(250.0)
    rhythm.plan(250.0, open_work=True, events_s=())
    assert rhythm.next_s == 254.0


def test_control_is_alive_for_three_periods_after_a_tick() -> None:
    rhythm = ticking()
    assert [rhythm.is_alive(at_s) for at_s in (112.0, 112.1)] == [True, False]
