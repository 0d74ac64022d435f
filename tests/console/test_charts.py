"""What is drawn: gaps stay gaps, marks are said in words, long courses are thinned."""

from counterflow.console.charts import course_options, curve, session_options, thinned
from counterflow.console.feed import Mark, Point


def course(seconds: range) -> list[Point]:
    return [Point(at_s=float(second), target_w=2e6, delivered_w=1.9e6, headroom_w=1e5) for second in seconds]


def delivered(points: list[Point]) -> list[list[float | None]]:
    return curve(points, lambda point: point.delivered_w)


def test_delivered_is_in_megawatts_over_milliseconds() -> None:
    assert delivered(course(range(10, 12))) == [[10_000.0, 1.9], [11_000.0, 1.9]]


def test_what_was_not_heard_is_a_gap_and_what_is_unknown_is_no_zero() -> None:
    points = [*course(range(3)), Point(at_s=3.0, target_w=2e6), *course(range(40, 42))]
    assert delivered(points)[3] == [3000.0, None]
    assert [point for point in delivered(points) if point[1] == 0.0] == []


def test_what_comes_with_ticks_only_is_one_line_and_so_is_a_long_window_that_was_thinned() -> None:
    live = [Point(at_s=float(second), target_w=2e6 if second % 4 == 0 else None, delivered_w=1.9e6) for second in range(60)]
    target = curve(live, lambda point: point.target_w)
    assert [point[0] for point in target] == [4000.0 * number for number in range(15)]
    assert None not in [power for _, power in target]
    day = [Point(at_s=96.0 * step, target_w=2e6) for step in range(900)]
    assert None not in [power for _, power in curve(day, lambda point: point.target_w)]
    assert [1000.0 * (96.0 * 99 + 1.0), None] in curve(day[:100] + day[140:], lambda point: point.target_w)


def test_the_chart_has_band_target_delivered_headroom_commitment_and_marks() -> None:
    marks = [
        Mark(5.0, "session.dropped_out", "gone"),
        Mark(5.2, "session.dropped_out", "gone"),
        Mark(5.2, "dispatch.replanned", "others"),
        Mark(6.0, "dispatch.state", "running"),
        Mark(9.0, "dispatch.note", "by telephone"),
    ]
    options = course_options(course(range(20)), marks, committed_w=2e6, tolerance_frac=0.02, from_s=0.0, to_s=20.0)
    series = {one["name"]: one for one in options["series"]}
    assert list(series) == ["tolerance from", "tolerance", "target", "delivered", "headroom held", "committed"]
    low, wide = series["tolerance from"]["data"][0][1], series["tolerance"]["data"][0][1]
    assert (low, round(low + wide, 6)) == (1.96, 2.04)
    assert [mark["name"] for mark in series["delivered"]["markLine"]["data"]] == ["2 drop-outs, re-plan", "note"]
    hour = course_options([], marks, committed_w=None, tolerance_frac=0.02, from_s=0.0, to_s=3600.0)["series"]
    (together,) = next(one["markLine"] for one in hour if "markLine" in one)["data"]
    assert (together["name"], together["xAxis"]) == ("2 drop-outs, re-plan, note", 5_000), "lines that would touch are one"
    assert not any(one["connectNulls"] for one in options["series"])
    assert options["xAxis"]["max"] == 20_000.0
    legend = {one["name"]: one.get("icon") for one in options["legend"]["data"]}
    assert legend["tolerance"] == "roundRect", "an area"
    assert legend["headroom held"] is None, "a line, with its dash"
    assert not any(series[name]["tooltip"]["show"] for name in ("tolerance from", "tolerance")), "what a band is made of is no figure"
    without = course_options([], [], committed_w=None, tolerance_frac=0.02, from_s=0.0, to_s=20.0)
    assert "committed" not in [one["name"] for one in without["series"]]


def test_a_long_course_is_thinned_and_keeps_its_newest_point() -> None:
    points = course(range(3601))
    few = thinned(points)
    assert len(few) <= 902
    assert few[-1] is points[-1]
    assert thinned(points[:900]) == points[:900]


def test_a_session_shows_power_against_what_was_asked_and_its_state_of_charge() -> None:
    samples = [{"at_s": 10.0 * step, "power_w": -7000.0 if step < 9 else None, "soc_frac": 0.5} for step in (*range(10), 60)]
    orders = [{"at_s": 20.0, "power_w": 7000.0}, {"at_s": 50.0, "power_w": None}]
    options = session_options({"samples": samples, "setpoints": orders, "from_s": -9e9, "at_s": 610.0})
    series = {one["name"]: one["data"] for one in options["series"]}
    assert series["asked"] == [[20_000.0, 7.0], [50_000.0, None], [610_000.0, None]]
    assert len(series["power"]) == 9, "what is not in a sample is no zero"
    assert [91_000.0, None] in series["state of charge"]
    assert options["xAxis"]["min"] == 0.0
