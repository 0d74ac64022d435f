"""What is drawn, as options of ECharts: pure functions of points. Gaps are gaps: unknown is null and is not bridged.

Colours are those of Okabe and Ito, which people who see colours differently tell apart; lines differ in their dash as well.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

from counterflow.console.feed import Mark, Point
from counterflow.console.words import MARK_WORDS, counted

TARGET, DELIVERED, HEADROOM, COMMITTED, ALARM = "#D55E00", "#0072B2", "#009E73", "#767676", "#CC79A7"
GREY = {"color": "#888888"}
"""Of words in charts, before the page's own style gives them theirs."""
UNTOLD = {"tooltip": {"show": False}}
"""What a band is made of is no figure to be read off under the pointer."""
WALL_FROM_PX, WALL_FONT_PX = 1_700, 17
"""A chart so wide hangs on a wall, and is read from afar."""
MAX_POINTS = 900
SESSION_GAP_S = 90.0
"""Meter values of one car come less often than those of a fleet."""
LONGEST_S = 12.0
"""Where nothing was heard for longer, the line is kept apart; of thinned points, for longer than a few of their steps."""


def course_options(
    points: Sequence[Point], marks: Iterable[Mark], *, committed_w: float | None, tolerance_frac: float, from_s: float, to_s: float
) -> dict[str, Any]:
    """Target against delivered with tolerance band, headroom and commitment, MW over the time in UTC."""
    shown = thinned([point for point in points if from_s <= point.at_s <= to_s])
    # What control asks and holds comes with its ticks only, which are some seconds apart.
    low = curve(shown, lambda point: _times(point.target_w, 1.0 - tolerance_frac))
    wide = curve(shown, lambda point: _times(point.target_w, 2.0 * tolerance_frac))
    series: list[dict[str, Any]] = [
        _line("tolerance from", low, TARGET, stack="band", opacity=0.0, step="end") | UNTOLD,
        _line("tolerance", wide, TARGET, stack="band", opacity=0.0, step="end")
        | UNTOLD
        | {"areaStyle": {"color": TARGET, "opacity": 0.18}, "itemStyle": {"color": TARGET, "opacity": 0.3}},
        _line("target", curve(shown, lambda point: point.target_w), TARGET, width=2, step="end"),
        _line("delivered", curve(shown, lambda point: point.delivered_w), DELIVERED, width=3) | {"markLine": _marks(marks, from_s, to_s)},
        _line("headroom held", curve(shown, lambda point: point.headroom_w), HEADROOM, width=2, dash="dotted", step="end"),
    ]
    if committed_w is not None:
        series.append(_line("committed", [[1e3 * from_s, _mw(committed_w)], [1e3 * to_s, _mw(committed_w)]], COMMITTED, dash="dashed"))
    named = ["target", "tolerance", "delivered", "headroom held", "committed"]
    return _chart(named, {"min": 1e3 * from_s, "max": 1e3 * to_s}, [{"name": "MW", "scale": False}], series, top=64)


def _chart(
    named: Sequence[str], time_axis: dict[str, Any], scales: Sequence[dict[str, Any]], series: list[dict[str, Any]], *, top: int = 48
) -> dict[str, Any]:
    """What all charts have in common: time in UTC, a legend that shows lines as they are drawn and areas as boxes, and larger words where
    there is room, as on a wall."""
    areas = {one["name"] for one in series if "areaStyle" in one}
    lines = {"splitLine": {"lineStyle": {"opacity": 0.25} | GREY}}
    large = {"axisLabel": {"fontSize": WALL_FONT_PX}, "nameTextStyle": {"fontSize": WALL_FONT_PX}}
    wall = {
        "textStyle": {"fontSize": WALL_FONT_PX},
        "legend": {"textStyle": {"fontSize": WALL_FONT_PX}},
        "grid": {"left": 84, "top": top + 16, "bottom": 48},
        "xAxis": {"axisLabel": {"fontSize": WALL_FONT_PX, "margin": 14}},
        "yAxis": [large for _ in scales],
    }
    return {
        "animation": False,
        "useUTC": True,
        "grid": {"left": 64, "right": 24 if len(scales) == 1 else 64, "top": top, "bottom": 40},
        "legend": {
            "data": [{"name": name} | ({"icon": "roundRect"} if name in areas else {}) for name in named],
            "itemWidth": 36,
            "itemGap": 20,
            "top": 0,
            "textStyle": GREY,
        },
        "tooltip": {"trigger": "axis"},
        "xAxis": {"type": "time", "axisLabel": GREY} | time_axis,
        "yAxis": [{"type": "value", "axisLabel": GREY} | (lines if number == 0 else {}) | one for number, one in enumerate(scales)],
        "series": series,
        "media": [{"query": {"minWidth": WALL_FROM_PX}, "option": wall}, {"option": {}}],
    }


def curve(points: Sequence[Point], value_w: Callable[[Point], float | None]) -> list[list[float | None]]:
    """Known powers in MW over milliseconds; where nothing was known for too long an empty point keeps the line apart."""
    return spaced([(point.at_s, _mw(value_w(point))) for point in points], LONGEST_S)


def spaced(values: Iterable[tuple[float, float | None]], longest_s: float) -> list[list[float | None]]:
    """Known values over milliseconds, kept apart where none is known for longer than that, and than a few of their usual steps."""
    known = [(at_s, value) for at_s, value in values if value is not None]
    steps_s = sorted(later[0] - earlier[0] for earlier, later in pairwise(known))
    longest_s = max(longest_s, 3.0 * steps_s[len(steps_s) // 2]) if steps_s else longest_s
    drawn: list[list[float | None]] = []
    for number, (at_s, value) in enumerate(known):
        if number and at_s - known[number - 1][0] > longest_s:
            drawn.append([1e3 * (known[number - 1][0] + 1.0), None])
        drawn.append([1e3 * at_s, value])
    return drawn


def thinned(points: Sequence[Point], most: int = MAX_POINTS) -> Sequence[Point]:
    """At most `most` points, the newest among them."""
    step = -(-len(points) // most) if points else 1
    return points if step <= 1 else [*points[:-1:step], points[-1]]


def _marks(marks: Iterable[Mark], from_s: float, to_s: float) -> dict[str, Any]:
    """A thin line each; what came so close that lines would touch shares one."""
    touch_s = max(1.0, (to_s - from_s) / 120.0)
    by_second: dict[int, Counter[str]] = {}
    second = 0
    for mark in sorted(marks, key=lambda mark: mark.at_s):
        words = MARK_WORDS.get(mark.kind)
        if words is not None and from_s <= mark.at_s <= to_s:
            if not by_second or int(mark.at_s) - second > touch_s:
                second = int(mark.at_s)
            by_second.setdefault(second, Counter())[words] += 1
    # Words only where they do not lie over those before them; every line stays.
    room_s = (to_s - from_s) / 12.0
    said_s, data = float("-inf"), []
    for second, kinds in sorted(by_second.items()):
        name = ", ".join(words if count == 1 else counted(count, words) for words, count in kinds.items())
        shown = second - said_s >= room_s
        said_s = second if shown else said_s
        data.append({"xAxis": 1e3 * second, "name": name, "label": {"show": shown, "formatter": "{b}", "color": "#888888"}})
    return {"silent": True, "symbol": "none", "lineStyle": {"color": ALARM, "width": 1, "type": "dotted"}, "data": data[-60:]}


def _line(
    name: str,
    data: Sequence[Any],
    colour: str,
    *,
    width: int = 1,
    dash: str = "solid",
    step: str | None = None,
    stack: str = "",
    opacity: float = 1.0,
) -> dict[str, Any]:
    line: dict[str, Any] = {
        "name": name, "type": "line", "data": data, "symbol": "none", "connectNulls": False, "itemStyle": {"color": colour},
        "lineStyle": {"color": colour, "width": width, "type": dash, "opacity": opacity},
    }  # fmt: skip
    if step is not None:
        line["step"] = step
    if stack:
        line |= {"stack": stack, "silent": True, "stackStrategy": "all"}
    return line


def _times(power_w: float | None, factor: float) -> float | None:
    return None if power_w is None else power_w * factor


def _mw(power_w: float | None) -> float | None:
    return None if power_w is None else round(power_w / 1e6, 6)


def fan_options(day: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What can be given at each hour of a day: what is surely given (P99) to what is as likely as not (P50), as bands of one fan, and
    what is offered as the thick line."""
    levels = sorted({level["confidence"] for one in day for level in one["levels"]}, reverse=True)
    steps = [[1e3 * one["start_s"] for one in day], *([_mw(_level_w(one, confidence)) for one in day] for confidence in levels)]
    times, powers = steps[0], steps[1:]
    series: list[dict[str, Any]] = []
    lower: list[float | None] = [0.0] * len(times)
    for number, (confidence, power_mw) in enumerate(zip(levels, powers, strict=True)):
        name = f"P{100.0 * confidence:g}"
        band = [
            [at, None if high is None or low is None else max(0.0, high - low)]
            for at, high, low in zip(times, power_mw, lower, strict=True)
        ]
        colour, dash = FAN[number % len(FAN)], _DASHES[number % len(_DASHES)]
        shade = {"areaStyle": {"color": colour, "opacity": 0.75}}
        series.append(_line(name, band, colour, stack="fan", step="end", dash=dash) | shade | UNTOLD)
        lower = power_mw
    offered = [[at, _mw(one["power_w"])] for at, one in zip(times, day, strict=True)]
    series.append(_line("offered", offered, TARGET, width=3, step="end"))
    named = [*(f"P{100.0 * confidence:g}" for confidence in levels), "offered"]
    return _chart(named, {}, [{"name": "MW", "min": 0}], series)


FAN = ("#0072B2", "#3F9BD1", "#7DBFE6", "#B9DFF5")
"""From what is sure to what is as likely as not: one hue, paler, so that the order is seen without colour."""
_DASHES = ("solid", "dashed", "dotted", "dashed")


def _level_w(one: dict[str, Any], confidence: float) -> float | None:
    return next((level["power_w"] for level in one["levels"] if level["confidence"] == confidence), None)


def session_options(seen: dict[str, Any]) -> dict[str, Any]:
    """Power of one car against what was asked of it, kW, and its state of charge, %, over the time in UTC; gaps are gaps."""
    samples, orders = seen["samples"], seen["setpoints"]
    from_s = min([one["at_s"] for one in (*samples[:1], *orders[:1])], default=seen["from_s"])
    powers = spaced([(one["at_s"], _kw(one["power_w"])) for one in samples], SESSION_GAP_S)
    socs = spaced([(one["at_s"], None if one["soc_frac"] is None else round(100.0 * one["soc_frac"], 2)) for one in samples], SESSION_GAP_S)
    asked = [[1e3 * one["at_s"], _kw(one["power_w"])] for one in orders]
    if asked:
        asked.append([1e3 * seen["at_s"], asked[-1][1]])
    series = [
        _line("asked", asked, TARGET, width=2, dash="dashed", step="end"),
        _line("power", powers, DELIVERED, width=2),
        _line("state of charge", socs, HEADROOM, width=2, dash="dotted") | {"yAxisIndex": 1},
    ]
    scales: list[dict[str, Any]] = [{"name": "kW"}, {"name": "%", "min": 0, "max": 100, "splitLine": {"show": False}}]
    return _chart(["asked", "power", "state of charge"], {"min": 1e3 * from_s, "max": 1e3 * seen["at_s"]}, scales, series)


def _kw(power_w: float | None) -> float | None:
    return None if power_w is None else round(power_w / 1e3, 3)
