"""Pages and filters."""

import math
from typing import Any

import pytest

from counterflow.adapters.openadr.models import Event, Interval, IntervalPeriod
from counterflow.adapters.openadr.times import NOW_S
from counterflow.sim.vtn.listing import Query, ends_s, page_of
from counterflow.sim.vtn.refusal import RefusedError


def event(**fields: Any) -> Event:
    return Event(program_id=fields.pop("program_id", "p"), created_s=500.0, **fields)


def interval(**period: Any) -> Interval:
    return Interval(id=0, interval_period=IntervalPeriod(**period) if period else None, payloads=())


def test_pages_are_at_most_50_long_and_skip_goes_on() -> None:
    events = [event(id=f"e-{n}") for n in range(120)]
    seen: list[str] = []
    while page := page_of(events, Query([("skip", str(len(seen))), ("limit", "50")]), 0.0):
        assert len(page) <= 50
        seen += [one.id for one in page]
    assert seen == [one.id for one in events]
    assert len(page_of(events, Query([]), 0.0)) == 50


@pytest.mark.parametrize("pairs", [[("limit", "51")], [("limit", "-1")], [("skip", "x")], [("active", "yes")]])
def test_wrong_parameters_are_refused(pairs: list[tuple[str, str]]) -> None:
    with pytest.raises(RefusedError) as refused:
        page_of([event()], Query(pairs), 0.0)
    assert refused.value.status == 400


def test_filters() -> None:
    events = [event(id="a", program_id="p"), event(id="b", program_id="q", targets=("t",)), event(id="c", program_id="q")]

    def found(*pairs: tuple[str, str], filtering: bool = True) -> str:
        return "".join(one.id for one in page_of(events, Query(pairs), 0.0, filtering))

    assert found(("programID", "q")) == "bc"
    assert found(("targets", "t"), ("targets", "u")) == "b"
    assert found(("targetType", "GROUP"), ("targetValues", "t")) == "b"
    assert found(("programID", "q"), ("targets", "t")) == "b"
    assert found(("programID", "q"), filtering=False) == "abc"


QUARTER = IntervalPeriod(start_s=1000.0, duration_s=900.0)


@pytest.mark.parametrize(
    ("thing", "ends"),
    [
        (event(interval_period=QUARTER, intervals=(interval(), interval())), 2800.0),
        (
            event(interval_period=QUARTER, intervals=(interval(duration_s=60.0), interval())),
            1960.0,
        ),
        (event(interval_period=QUARTER, duration_s=100.0, intervals=(interval(),)), 1100.0),
        (event(interval_period=IntervalPeriod(start_s=NOW_S, duration_s=900.0), intervals=(interval(),)), 1400.0),
        (event(interval_period=IntervalPeriod(start_s=1000.0), intervals=(interval(),)), math.inf),
        (event(intervals=(interval(start_s=2000.0, duration_s=10.0),)), 2010.0),
        (event(), math.inf),
    ],
)
def test_when_an_event_has_transpired(thing: Event, ends: float) -> None:
    assert ends_s(thing) == ends
    assert [one.id for one in page_of([thing], Query([("active", "true")]), 1e12)] == ([""] if math.isinf(ends) else [])
