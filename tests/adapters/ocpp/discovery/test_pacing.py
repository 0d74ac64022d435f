"""Who is asked when: in order, at most so many at once and a second, and yielding to dispatch."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.adapters.ocpp.discovery.pacing import Pace


def taken(pace: Pace[int], now_s: float, busy: bool = False) -> list[int]:
    found = []
    while (one := pace.take(now_s, busy)) is not None:
        pace.running += 1
        found.append(one)
    return found


def full(count: int, parallel: int = 10_000, per_s: float = 100.0) -> Pace[int]:
    """So many that have come one by one."""
    pace: Pace[int] = Pace(parallel, per_s)
    for number in range(count):
        pace.join(number, number - 1000.0 - count)
    return pace


def crowd(pace: Pace[int], count: int, at_s: float, over_s: float) -> None:
    for number in range(count):
        pace.join(number, at_s + over_s * number / count)


def test_a_few_begin_at_once_and_the_rest_at_their_pace_in_order() -> None:
    pace = full(350)
    begun = [taken(pace, float(second)) for second in range(5)]
    assert [number for part in begun for number in part] == list(range(350))
    assert [len(part) for part in begun] == pytest.approx([100, 100, 100, 50, 0], abs=1)


def test_never_more_than_so_many_at_once() -> None:
    pace = full(30, parallel=10)
    assert len(taken(pace, 0.0)) == 10
    assert pace.next_due_s() is None, "an end of one of them is what it waits for"
    pace.running -= 3
    assert taken(pace, 0.0) == [10, 11, 12]


def test_while_commands_are_under_way_it_goes_at_a_quarter_and_does_not_stop() -> None:
    pace, calm = full(2000), full(2000)
    busy = sum(len(taken(pace, second / 10, busy=True)) for second in range(100))
    assert 0.23 < busy / sum(len(taken(calm, second / 10)) for second in range(100)) < 0.27


def test_a_person_does_not_wait_behind_a_fleet() -> None:
    pace = full(50)
    pace.join(999, 0.0, first=True)
    assert taken(pace, 0.0)[0] == 999


def test_none_begins_while_a_crowd_comes_in_and_soon_after_all_have_their_turn() -> None:
    pace: Pace[int] = Pace(10_000, 1000.0)
    begun = []
    for number in range(8000):
        now_s = number / 4000.0
        pace.join(number, now_s)
        begun += taken(pace, now_s)
    assert len(begun) < 100, "those that came before it was a crowd"
    due_s = pace.next_due_s()
    assert due_s is not None
    assert 2.0 < due_s <= 2.5
    for tenth in range(100):
        begun += taken(pace, due_s + tenth / 10)
    assert begun == list(range(8000))
    assert pace.next_due_s() is None


def test_a_person_does_not_wait_for_a_crowd_to_come_in() -> None:
    pace: Pace[int] = Pace(10_000, 100.0)
    crowd(pace, 500, 0.0, 0.1)
    pace.join(999, 0.1, first=True)
    due_s = pace.next_due_s()
    assert due_s is not None
    assert due_s <= 0.1
    assert taken(pace, 0.1) == [999], "and the others still do"


def test_a_crowd_that_never_ends_holds_nobody_up_for_long() -> None:
    pace: Pace[int] = Pace(10_000, 100.0)
    first_s = []
    for second in range(40):
        crowd(pace, 500, float(second), 1.0)
        if taken(pace, second + 1.0):
            first_s.append(second + 1)
    assert first_s == list(range(11, 41)), "from ten seconds on it goes at its pace"


def test_the_crowd_after_a_calm_is_another() -> None:
    pace: Pace[int] = Pace(10_000, 100.0)
    for at_s in (0.0, 100.0):
        crowd(pace, 500, at_s, 0.2)
        assert taken(pace, at_s + 0.2) == []
        assert len(taken(pace, at_s + 0.5)) > 90


@given(st.integers(1, 400), st.integers(1, 50), st.floats(0.5, 500.0), st.lists(st.booleans(), min_size=1))
def test_whatever_comes_everyone_gets_a_turn_by_the_time_that_is_told(count: int, parallel: int, per_s: float, busy: list[bool]) -> None:
    pace = full(count, parallel, per_s)
    now_s, seen, turns = 0.0, [], 0
    while len(seen) < count:
        seen += taken(pace, now_s, busy[turns % len(busy)])
        turns += 1
        assert pace.running <= parallel
        due_s = pace.next_due_s()
        if due_s is not None:
            assert due_s > now_s
            now_s = due_s
        pace.running = 0
    assert seen == list(range(count))
    assert now_s <= 4.0 * count / per_s + 1.0


def test_a_station_that_went_away_meanwhile_costs_nobody_a_turn(desk_with: Any) -> None:
    desk = desk_with(discovery_per_s=1.0, discovery_parallel=5)
    for number in range(6):
        desk.open_booted(f"S{number}")
    asked = [number for number in range(6) if desk.calls(f"S{number}")]
    assert asked == [0, 1]
    assert desk.csms.next_deadline_s() == desk.now_s + 1.0
    for number in (2, 3):
        desk.close(f"S{number}")
    assert desk.csms.counters.awaiting_discovery == 4
    for _ in range(4):
        desk.wait(1.0)
    assert [number for number in range(6) if desk.calls(f"S{number}")] == [0, 1, 4, 5]
    assert desk.csms.counters.awaiting_discovery == 0
