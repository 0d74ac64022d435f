"""When which report is due, by the examples of the User Guide §7.5 and §8.7."""

from itertools import pairwise
from math import inf
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.adapters.openadr.models import Event, Interval, IntervalPeriod, ReportDescriptor
from counterflow.adapters.openadr.report_plan import (
    MOST_SPANS,
    OWN_INTERVAL_S,
    DueReport,
    cut_short,
    grouped,
    pieces,
    reports_due,
    slots_of,
)
from counterflow.adapters.openadr.timeline import Span, UnclearError
from counterflow.adapters.openadr.times import ENDLESS_S, NOW_S

T0 = 1_000_000.0
HOUR = 3600.0


def event(count: int, *wishes: ReportDescriptor, **fields: Any) -> Event:
    values: dict[str, Any] = {
        "id": "e",
        "program_id": "p",
        "event_name": "disp",
        "report_descriptors": wishes,
        "interval_period": IntervalPeriod(start_s=T0, duration_s=HOUR),
        "intervals": tuple(Interval(id=10 + number, payloads=()) for number in range(count)),
        **fields,
    }
    return Event(**values)


def wish(payload_type: str = "USAGE", **fields: Any) -> ReportDescriptor:
    return ReportDescriptor(payload_type=payload_type, **fields)


def due(asked: Event, until_h: float = 1000.0, since_s: float = -inf) -> list[DueReport]:
    slots = slots_of(asked, "ven", T0)
    return [] if slots is None else reports_due(asked, slots, since_s, T0 + until_h * HOUR)


def hours(reports: list[DueReport]) -> list[tuple[float, list[float]]]:
    """(when, begins of the intervals), in hours since the start."""
    return [((one.at_s - T0) / HOUR, [(span.from_s - T0) / HOUR for span in one.spans]) for one in reports]


def test_ug_7_5_by_default_one_report_on_all_intervals_after_the_last() -> None:
    assert hours(due(event(4, wish()))) == [(4.0, [0.0, 1.0, 2.0, 3.0])]
    assert due(event(4, wish()), until_h=3.9) == []
    assert [span.interval_id for span in due(event(2, wish()))[0].spans] == [10, 11]


def test_ug_7_5_a_forecast_by_default_is_made_at_the_begin() -> None:
    assert hours(due(event(4, wish(historical=False)), until_h=0.0)) == [(0.0, [0.0, 1.0, 2.0, 3.0])]


def test_ug_7_5_a_subset_of_intervals() -> None:
    assert hours(due(event(5, wish(start_interval=1, num_intervals=3)))) == [(4.0, [1.0, 2.0, 3.0])]


def test_ug_7_5_a_subset_at_a_regular_period() -> None:
    asked = event(6, wish(start_interval=1, num_intervals=2, frequency=2, repeat=3))
    assert hours(due(asked)) == [(2.0, [0.0, 1.0]), (4.0, [2.0, 3.0]), (6.0, [4.0, 5.0])]
    assert [one.name for one in due(asked)] == ["disp/0.0", "disp/0.1", "disp/0.2"]


def test_ug_7_5_frequency_alone_asks_for_a_report_each_so_many_intervals() -> None:
    assert hours(due(event(10, wish(frequency=2)))) == [(2.0 * n + 2, [2.0 * n, 2.0 * n + 1]) for n in range(5)]
    assert hours(due(event(5, wish(frequency=2)))) == [(2.0, [0.0, 1.0]), (4.0, [2.0, 3.0]), (5.0, [4.0])]
    assert hours(due(event(3, wish(frequency=1, repeat=-1)))) == [(1.0, [0.0]), (2.0, [1.0]), (3.0, [2.0])]
    assert len(due(event(10, wish(frequency=2, repeat=3)))) == 3


def test_ug_7_5_rolling_forecasts() -> None:
    asked = event(5, wish(start_interval=0, num_intervals=3, frequency=1, repeat=3, historical=False))
    assert hours(due(asked)) == [(0.0, [0.0, 1.0, 2.0]), (1.0, [1.0, 2.0, 3.0]), (2.0, [2.0, 3.0, 4.0])]


def test_ug_7_5_loops_report_after_each_round() -> None:
    asked = event(2, wish(repeat=-1), duration_s=ENDLESS_S)
    assert hours(due(asked, until_h=6.5)) == [(2.0, [0.0, 1.0]), (4.0, [2.0, 3.0]), (6.0, [4.0, 5.0])]
    assert [span.interval_id for span in due(asked, until_h=4)[1].spans] == [10, 11]
    assert hours(due(event(2, wish(repeat=-1), duration_s=3 * HOUR))) == [(2.0, [0.0, 1.0]), (3.0, [2.0])]


def test_ug_8_7_implied_intervals_of_a_rolling_forecast_for_ever() -> None:
    asked = event(0, wish("GENERATION_DELTA_AVAILABLE", start_interval=0, num_intervals=48, historical=False, frequency=1, repeat=-1))
    found = due(asked, until_h=2.5)
    assert [at for at, _ in hours(found)] == [0.0, 1.0, 2.0]
    assert [len(one.spans) for one in found] == [48, 48, 48]
    assert [span.interval_id for span in found[1].spans[:2]] == [1, 2]


def test_a_series_that_goes_on_for_years_is_found_where_it_stands() -> None:
    asked = event(0, wish(historical=False, num_intervals=2, frequency=1, repeat=-1, start_interval=0))
    now_s = T0 + 100_000 * HOUR
    slots = slots_of(asked, "ven", T0)
    assert slots is not None
    found = reports_due(asked, slots, now_s - 1.0, now_s)
    assert [(one.name, one.at_s) for one in found] == [("disp/0.100000", now_s)]
    historical = event(0, wish(frequency=1, repeat=-1))
    assert [one.name for one in reports_due(historical, slots, now_s - 1.0, now_s)] == ["disp/0.99999"]


def test_a_report_only_event_without_a_period_goes_by_intervals_of_ours() -> None:
    asked = event(0, wish(frequency=0, report_intervals="OPEN_INTERVALS"), interval_period=None)
    assert [one.at_s for one in due(asked, until_h=0.5)] == [T0 + OWN_INTERVAL_S, T0 + 2 * OWN_INTERVAL_S]
    from_now = event(0, wish(frequency=1, repeat=-1), interval_period=IntervalPeriod(start_s=NOW_S, duration_s=60.0), duration_s=120.0)
    assert [one.at_s for one in due(from_now)] == [T0 + 60.0, T0 + 120.0]


def test_an_interval_without_end_is_reported_piece_by_piece() -> None:
    asked = event(1, wish(frequency=1, repeat=-1), interval_period=IntervalPeriod(start_s=T0, duration_s=ENDLESS_S))
    found = due(asked, until_h=0.5)
    assert [one.at_s for one in found] == [T0 + 900.0, T0 + 1800.0]
    assert {span.interval_id for one in found for span in one.spans} == {10}


def test_ug_7_5_of_what_was_due_before_the_event_was_made_only_the_newest_is_sent() -> None:
    asked = event(6, wish(frequency=1, repeat=-1), created_s=T0 + 3.5 * HOUR)
    assert [at for at, _ in hours(due(asked))] == [3.0, 4.0, 5.0, 6.0]
    assert [at for at, _ in hours(due(asked, since_s=T0 + 3.6 * HOUR))] == [4.0, 5.0, 6.0]


def test_descriptors_with_the_same_time_are_one_report() -> None:
    wishes = (wish("USAGE"), wish("DEMAND", frequency=1, repeat=-1), wish("BASELINE"))
    assert [[one.payload_type for one in group] for group in grouped(wishes)] == [["USAGE", "BASELINE"], ["DEMAND"]]
    alone = [ReportDescriptor(payload_type="DATA_QUALITY") for _ in range(2)]
    assert [[one.payload_type for one in group] for group in grouped(alone)] == [["DATA_QUALITY"]] * 2, "each type once in a report"
    assert [one.name for one in due(event(2, *wishes))] == ["disp/1.0", "disp/0.0", "disp/1.1"]
    assert due(event(2)) == []


def test_a_cancelled_event_has_no_reports() -> None:
    assert due(event(2, wish(), interval_period=IntervalPeriod(start_s=NOW_S, duration_s=0.0))) == []


@pytest.mark.parametrize(("length_s", "count"), [(900.0, 15), (60.0, 1), (61.0, 2), (10.0, 1)])
def test_an_interval_in_equal_parts(length_s: float, count: int) -> None:
    cut = pieces(Span(T0, T0 + length_s, 0), 60.0)
    assert len(cut) == count
    assert (cut[0][0], cut[-1][1]) == (T0, T0 + length_s)
    assert all(before[1] == behind[0] for before, behind in pairwise(cut))


WISHES = st.builds(
    ReportDescriptor,
    payload_type=st.just("USAGE"),
    start_interval=st.integers(-1, 6),
    num_intervals=st.integers(-1, 6),
    frequency=st.integers(-1, 4),
    repeat=st.sampled_from((-1, 1, 2, 5)),
    historical=st.booleans(),
)


@given(st.integers(0, 6), WISHES, st.sampled_from((None, 7200.0, 9000.0, ENDLESS_S)), st.integers(1, 40))
def test_asked_piece_by_piece_or_at_once_the_reports_are_the_same(
    count: int, asked_for: ReportDescriptor, lasting: Any, parts: int
) -> None:
    asked = event(count, asked_for, duration_s=lasting)
    slots = slots_of(asked, "ven", T0)
    assert slots is not None
    until_s = T0 + 40 * HOUR
    whole = reports_due(asked, slots, -inf, until_s)
    edges = [-inf, *(T0 + 40 * HOUR * part / parts for part in range(parts + 1))]
    piecewise = [one for a, b in pairwise(edges) for one in reports_due(asked, slots, a, b)]
    assert piecewise == whole
    assert len({one.name for one in whole}) == len(whole)
    for one in whole:
        assert one.at_s == (one.to_s if asked_for.historical else one.from_s)
        assert one.spans == tuple(sorted(one.spans, key=lambda span: span.from_s))


NUMBERS = st.sampled_from((-(2**31), -1, 0, 1, 7, 5000, 2**31 - 1))
ANY_WISHES = st.builds(
    ReportDescriptor,
    payload_type=st.just("USAGE"),
    start_interval=NUMBERS,
    num_intervals=NUMBERS,
    frequency=NUMBERS,
    repeat=NUMBERS,
    historical=st.booleans(),
)
LENGTHS = st.sampled_from((None, 0.0, 0.001, 0.5, 2.0, HOUR, ENDLESS_S))


@given(st.integers(0, 3), ANY_WISHES, LENGTHS, LENGTHS, st.sampled_from((None, T0 - 10 * 365 * 86_400.0, T0 + HOUR)))
def test_whatever_is_asked_for_the_reports_are_bounded(
    count: int, asked_for: ReportDescriptor, each: Any, whole: Any, created: Any
) -> None:
    period = IntervalPeriod(start_s=T0 - 86_400.0, duration_s=each)
    asked = event(count, asked_for, interval_period=period, duration_s=whole, created_s=created)
    try:
        slots = slots_of(asked, "ven", T0)
    except UnclearError:
        return
    if slots is not None:
        now_s = T0 + HOUR
        found = reports_due(asked, slots, now_s - 60.0, now_s) + cut_short(asked, slots, now_s)
        assert len(found) <= 62
        assert all(0 < len(one.spans) <= MOST_SPANS for one in found)
        assert all(one.from_s < one.to_s for one in found)
