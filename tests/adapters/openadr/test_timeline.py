"""Events over time: intervals, defaults, "now", the random shift, loops and cuts (User Guide §7)."""

from itertools import pairwise
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.adapters.openadr.models import Event, Interval, IntervalPeriod, ValuesMap
from counterflow.adapters.openadr.timeline import Course, Piece, UnclearError, lay_out, says_cancelled, says_now
from counterflow.adapters.openadr.times import ENDLESS_S, NOW_S

T0 = 1_800_000_000.0
KIND = "DISPATCH_SETPOINT"


def interval(number: int, *values: object, start_s: float | None = None, duration_s: float | None = None) -> Interval:
    period = IntervalPeriod(start_s=start_s, duration_s=duration_s) if (start_s, duration_s) != (None, None) else None
    return Interval(id=number, interval_period=period, payloads=(ValuesMap(type=KIND, values=values),))


def event(*intervals: Interval, whole_s: float | None = None, event_id: str = "e-1", **period: float) -> Event:
    return Event(
        id=event_id,
        program_id="p-1",
        duration_s=whole_s,
        interval_period=IntervalPeriod(**period) if period else None,
        intervals=intervals,
    )


def laid_out(one: Event, *, anchor_s: float = T0, since_s: float = T0, until_s: float = T0 + 86_400.0) -> list[tuple[float, float, object]]:
    course = lay_out(one, "ven-1", anchor_s, since_s, until_s)
    return [(piece.from_s - T0, piece.to_s - T0, piece.value) for piece in course.pieces.get(KIND, ())]


def test_intervals_without_a_start_follow_each_other() -> None:
    assert laid_out(event(interval(0, -1.0), interval(1, -2.0), start_s=T0, duration_s=900.0)) == [(0, 900, -1.0), (900, 1800, -2.0)]


def test_an_interval_s_own_period_overrides_that_of_the_event() -> None:
    one = event(interval(0, 1.0), interval(1, 2.0, duration_s=60.0), interval(2, 3.0, start_s=T0 + 5000.0), start_s=T0, duration_s=900.0)
    assert laid_out(one) == [(0, 900, 1.0), (900, 960, 2.0), (5000, 5900, 3.0)]


def test_of_intervals_that_overlap_the_one_that_begins_later_holds() -> None:
    one = event(interval(0, 1.0, start_s=T0, duration_s=1000.0), interval(1, 2.0, start_s=T0 + 600.0, duration_s=1000.0))
    assert laid_out(one) == [(0, 600, 1.0), (600, 1600, 2.0)]


def test_a_single_interval_without_a_duration_has_that_of_the_event() -> None:
    assert laid_out(event(interval(0, 1.0), whole_s=300.0, start_s=T0)) == [(0, 300, 1.0)]


def test_now_is_where_the_anchor_is() -> None:
    one = event(interval(0, 1.0), start_s=NOW_S, duration_s=60.0)
    assert says_now(one)
    assert laid_out(one, anchor_s=T0 + 7.0) == [(7, 67, 1.0)]
    assert says_now(event(interval(0, 1.0, start_s=NOW_S, duration_s=60.0)))
    assert not says_now(event(interval(0, 1.0), start_s=T0, duration_s=60.0))


def test_now_for_no_time_at_all_is_a_cancelled_event() -> None:
    one = event(interval(0, 1.0), start_s=NOW_S, duration_s=0.0)
    assert says_cancelled(one)
    assert lay_out(one, "ven-1", T0, T0, T0 + 1.0) == Course({})
    assert not says_cancelled(event(interval(0, 1.0), start_s=T0, duration_s=0.0))


def test_a_longer_event_loops_its_intervals_and_cuts_the_last_round() -> None:
    one = event(interval(0, 1.0, duration_s=100.0), interval(1, 2.0, duration_s=100.0), whole_s=450.0, start_s=T0)
    assert laid_out(one) == [(0, 100, 1.0), (100, 200, 2.0), (200, 300, 1.0), (300, 400, 2.0), (400, 450, 1.0)]


def test_a_shorter_event_is_cut() -> None:
    one = event(interval(0, 1.0, duration_s=100.0), interval(1, 2.0, duration_s=100.0), whole_s=130.0, start_s=T0)
    assert laid_out(one) == [(0, 100, 1.0), (100, 130, 2.0)]


def test_an_endless_loop_is_laid_out_where_it_is_looked_at() -> None:
    one = event(interval(0, 1.0, duration_s=100.0), interval(1, 2.0, duration_s=100.0), whole_s=ENDLESS_S, start_s=T0)
    course = lay_out(one, "ven-1", T0, T0 + 1e6 + 50.0, T0 + 1e6 + 450.0)
    assert course.goes_on
    assert [piece.from_s - T0 - 1e6 for piece in course.pieces[KIND]] == [0, 100, 200, 300, 400, 500]


def test_an_endless_interval_ends_never_unless_the_event_does() -> None:
    assert laid_out(event(interval(0, 1.0), start_s=T0, duration_s=ENDLESS_S)) == [(0, inf, 1.0)]
    assert laid_out(event(interval(0, 1.0, duration_s=ENDLESS_S), whole_s=60.0, start_s=T0)) == [(0, 60, 1.0)]


def test_several_values_cut_the_interval_into_equal_parts() -> None:
    assert laid_out(event(interval(0, 1.0, 2.0, 3.0), start_s=T0, duration_s=90.0)) == [(0, 30, 1.0), (30, 60, 2.0), (60, 90, 3.0)]


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (event(interval(0, 1.0), duration_s=60.0), "no start"),
        (event(interval(0, *range(15_000)), interval(1, *range(15_000)), start_s=T0, duration_s=60.0), "more than 20000 values"),
        (event(interval(0, 1.0), interval(1, 2.0), start_s=T0), "no duration"),
        (event(interval(0, 1.0, 2.0), start_s=T0, duration_s=ENDLESS_S), "no end"),
        (event(interval(0, 1.0, duration_s=ENDLESS_S), interval(1, 1.0, duration_s=9.0), start_s=T0), "follows one that has no end"),
        (
            event(Interval(id=4, payloads=(ValuesMap(type=KIND), ValuesMap(type=KIND))), start_s=T0, duration_s=60.0),
            "Interval 4 holds DISPATCH_SETPOINT more than once",
        ),
    ],
)
def test_what_is_unclear_is_said_in_a_sentence(one: Event, words: str) -> None:
    with pytest.raises(UnclearError, match=words):
        laid_out(one)


def test_an_event_without_intervals_asks_for_nothing() -> None:
    assert laid_out(event(start_s=T0, duration_s=3600.0)) == []


@given(st.floats(0, 3600), st.text("abcdef0123456789-", min_size=1, max_size=12))
def test_the_random_shift_is_drawn_once_and_the_same_again(range_s: float, event_id: str) -> None:
    one = event(interval(0, 1.0), interval(1, 2.0), event_id=event_id, start_s=T0, duration_s=900.0, randomize_start_s=range_s)
    first, second = lay_out(one, "ven-1", T0, T0, T0).pieces[KIND]
    shift_s = first.from_s - T0
    assert -1e-3 <= shift_s <= range_s + 1e-3
    assert second.from_s == first.to_s == pytest.approx(first.from_s + 900.0)
    assert lay_out(one, "ven-1", 0.0, 0.0, T0 + 1e7).pieces[KIND][0].from_s == first.from_s


def test_the_random_shift_differs_by_event_and_by_ven_and_fills_its_range() -> None:
    def shift_s(event_id: str, ven_id: str) -> float:
        one = event(interval(0, 1.0), event_id=event_id, start_s=0.0, duration_s=1.0, randomize_start_s=1e6)
        return lay_out(one, ven_id, 0.0, 0.0, 0.0).pieces[KIND][0].from_s / 1e6

    shifts = [shift_s(f"e-{number}", "ven-1") for number in range(400)]
    assert len(set(shifts)) == 400
    assert min(shifts) < 0.02
    assert max(shifts) > 0.98
    assert abs(sum(shifts) / 400 - 0.5) < 0.05
    assert shift_s("e-1", "ven-2") != shift_s("e-1", "ven-1")


durations = st.floats(1, 5000).map(lambda value: round(value, 1))


@given(
    st.lists(st.tuples(st.one_of(st.none(), st.floats(0, 20_000)), durations, st.integers(1, 4)), min_size=1, max_size=6),
    st.one_of(st.none(), st.floats(1, 30_000), st.just(ENDLESS_S)),
    st.floats(0, 40_000),
)
def test_a_course_never_overlaps_has_no_empty_piece_and_does_not_depend_on_when_it_is_looked_at(
    drawn: list[tuple[float | None, float, int]], whole_s: float | None, look_s: float
) -> None:
    one = event(
        *(interval(number, *range(parts), start_s=start, duration_s=length) for number, (start, length, parts) in enumerate(drawn)),
        whole_s=whole_s,
        start_s=0.0,
    )
    course = lay_out(one, "ven-1", 0.0, look_s, look_s + 10_000.0).pieces.get(KIND, ())
    assert all(piece.from_s < piece.to_s for piece in course)
    assert all(before.to_s <= after.from_s for before, after in pairwise(course))
    later = lay_out(one, "ven-1", 0.0, look_s + 777.0, look_s + 10_777.0).pieces.get(KIND, ())

    def within(pieces: tuple[Piece, ...]) -> set[tuple[float, float, object]]:
        return {
            (piece.from_s, piece.to_s, piece.value)
            for piece in pieces
            if look_s + 777.0 <= piece.from_s and piece.to_s <= look_s + 10_000.0
        }

    assert within(course) == within(later)
