"""What is drawn: gaps stay gaps, marks are said in words, long courses are thinned."""

from counterflow.console.charts import course_options, thinned, with_gaps
from counterflow.console.feed import Mark, Point


def course(seconds: range) -> list[Point]:
    return [Point(at_s=float(second), target_w=2e6, delivered_w=1.9e6, headroom_w=1e5) for second in seconds]


def test_delivered_is_in_megawatts_over_milliseconds() -> None:
    assert with_gaps(course(range(10, 12))) == [[10_000.0, 1.9], [11_000.0, 1.9]]


def test_what_was_not_heard_is_a_gap_and_what_is_unknown_is_no_zero() -> None:
    points = [*course(range(3)), Point(at_s=3.0, target_w=2e6), *course(range(40, 42))]
    assert with_gaps(points)[3] == [3000.0, None]
    assert [point for point in with_gaps(points) if point[1] == 0.0] == []


def test_the_chart_has_band_target_delivered_headroom_commitment_and_marks() -> None:
    marks = [Mark(5.0, "session.dropped_out", "gone"), Mark(5.2, "session.dropped_out", "gone"), Mark(6.0, "dispatch.state", "running")]
    options = course_options(course(range(20)), marks, committed_w=2e6, tolerance_frac=0.02, from_s=0.0, to_s=20.0)
    series = {one["name"]: one for one in options["series"]}
    assert list(series) == ["tolerance from", "tolerance", "target", "delivered", "headroom held", "committed"]
    low, wide = series["tolerance from"]["data"][0][1], series["tolerance"]["data"][0][1]
    assert (low, round(low + wide, 6)) == (1.96, 2.04)
    assert [mark["name"] for mark in series["delivered"]["markLine"]["data"]] == ["2 drop-outs"]
    assert not any(one["connectNulls"] for one in options["series"])
    assert options["xAxis"]["max"] == 20_000.0
    without = course_options([], [], committed_w=None, tolerance_frac=0.02, from_s=0.0, to_s=20.0)
    assert "committed" not in [one["name"] for one in without["series"]]


def test_a_long_course_is_thinned_and_keeps_its_newest_point() -> None:
    points = course(range(3601))
    few = thinned(points)
    assert len(few) <= 902
    assert few[-1] is points[-1]
    assert thinned(points[:900]) == points[:900]
