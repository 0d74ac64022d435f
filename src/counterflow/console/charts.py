"""What is drawn, as options of ECharts: pure functions of points. Gaps are gaps: unknown is null and is not bridged.

Colours are those of Okabe and Ito, which people who see colours differently tell apart; lines differ in their dash as well.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from counterflow.console.feed import Mark, Point

TARGET, DELIVERED, HEADROOM, COMMITTED, ALARM = "#D55E00", "#0072B2", "#009E73", "#999999", "#CC79A7"
MAX_POINTS = 900
_MARK_WORDS = {
    "session.dropped_out": "drop-out",
    "session.refused": "refused",
    "session.guarded": "guard",
    "dispatch.shortfall": "shortfall",
    "dispatch.amended": "amended",
    "dispatch.stream": "stream",
    "dispatch.displaced": "displaced",
    "dispatch.note": "note",
}


def course_options(
    points: Sequence[Point], marks: Iterable[Mark], *, committed_w: float | None, tolerance_frac: float, from_s: float, to_s: float
) -> dict[str, Any]:
    """Target against delivered with tolerance band, headroom and commitment, MW over local time."""
    shown = thinned([point for point in points if from_s <= point.at_s <= to_s])
    target = [[1e3 * point.at_s, _mw(point.target_w)] for point in shown]
    band = [(point.at_s, point.target_w) for point in shown]
    low = [[1e3 * at_s, None if power_w is None else _mw(power_w * (1.0 - tolerance_frac))] for at_s, power_w in band]
    wide = [[1e3 * at_s, None if power_w is None else _mw(2.0 * power_w * tolerance_frac)] for at_s, power_w in band]
    series: list[dict[str, Any]] = [
        _line("tolerance from", low, TARGET, stack="band", opacity=0.0),
        _line("tolerance", wide, TARGET, stack="band", opacity=0.0) | {"areaStyle": {"color": TARGET, "opacity": 0.12}},
        _line("target", target, TARGET, width=2, step="end"),
        _line("delivered", with_gaps(shown), DELIVERED, width=3) | {"markLine": _marks(marks, from_s, to_s)},
        _line("headroom held", [[1e3 * point.at_s, _mw(point.headroom_w)] for point in shown], HEADROOM, dash="dotted"),
    ]
    if committed_w is not None:
        series.append(_line("committed", [[1e3 * from_s, _mw(committed_w)], [1e3 * to_s, _mw(committed_w)]], COMMITTED, dash="dashed"))
    return {
        "animation": False,
        "grid": {"left": 64, "right": 24, "top": 40, "bottom": 40},
        "legend": {"data": ["target", "delivered", "headroom held", "committed"], "top": 0, "textStyle": {"color": "#888888"}},
        "tooltip": {"trigger": "axis"},
        "xAxis": {"type": "time", "min": 1e3 * from_s, "max": 1e3 * to_s, "axisLabel": {"color": "#888888"}},
        "yAxis": {
            "type": "value",
            "name": "MW",
            "scale": False,
            "axisLabel": {"color": "#888888"},
            "splitLine": {"lineStyle": {"opacity": 0.3}},
        },
        "series": series,
    }


def with_gaps(points: Sequence[Point], longest_s: float = 12.0) -> list[list[float | None]]:
    """Delivered power in MW; where nothing was heard for longer than `longest_s` an empty point keeps the line apart."""
    drawn: list[list[float | None]] = []
    last_s: float | None = None
    for point in points:
        if point.delivered_w is None:
            continue
        if last_s is not None and point.at_s - last_s > longest_s:
            drawn.append([1e3 * (last_s + 1.0), None])
        drawn.append([1e3 * point.at_s, _mw(point.delivered_w)])
        last_s = point.at_s
    return drawn


def thinned(points: Sequence[Point], most: int = MAX_POINTS) -> Sequence[Point]:
    """At most `most` points, the newest among them."""
    step = -(-len(points) // most) if points else 1
    return points if step <= 1 else [*points[:-1:step], points[-1]]


def _marks(marks: Iterable[Mark], from_s: float, to_s: float) -> dict[str, Any]:
    """A thin line each; what came within the same second shares one."""
    by_second: dict[int, list[str]] = {}
    for mark in marks:
        words = _MARK_WORDS.get(mark.kind)
        if words is not None and from_s <= mark.at_s <= to_s:
            by_second.setdefault(int(mark.at_s), []).append(words)
    # Words only where they do not lie over those before them; every line stays.
    room_s = (to_s - from_s) / 12.0
    said_s, data = float("-inf"), []
    for second, kinds in sorted(by_second.items()):
        name = kinds[0] if len(kinds) == 1 else f"{len(kinds)} {kinds[0]}s"
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
        "name": name, "type": "line", "data": data, "showSymbol": False, "connectNulls": False, "itemStyle": {"color": colour},
        "lineStyle": {"color": colour, "width": width, "type": dash, "opacity": opacity},
    }  # fmt: skip
    if step is not None:
        line["step"] = step
    if stack:
        line |= {"stack": stack, "silent": True, "stackStrategy": "all"}
    return line


def _mw(power_w: float | None) -> float | None:
    return None if power_w is None else round(power_w / 1e6, 6)


def fan_options(horizons: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Firm power by the length of the window: P50 to P99 as lines of one fan, what is offered as the thick one."""
    windows = [_window_words(one["window_s"]) for one in horizons]
    levels = sorted({level["confidence"] for one in horizons for level in one["levels"]})
    series = [
        _line(
            f"P{100.0 * confidence:g}",
            [_mw(next((level["power_w"] for level in one["levels"] if level["confidence"] == confidence), None)) for one in horizons],
            DELIVERED,
            width=1,
            dash=dash,
            opacity=0.9,
        )
        for confidence, dash in zip(levels, ("solid", "dashed", "dotted", "dashed", "dotted"), strict=False)
    ]
    series.append(_line("offered", [_mw(one["power_w"]) for one in horizons], TARGET, width=3))
    return {
        "animation": False,
        "grid": {"left": 64, "right": 24, "top": 40, "bottom": 40},
        "legend": {"top": 0, "textStyle": {"color": "#888888"}},
        "tooltip": {"trigger": "axis"},
        "xAxis": {"type": "category", "data": windows, "name": "window", "axisLabel": {"color": "#888888"}},
        "yAxis": {"type": "value", "name": "MW", "axisLabel": {"color": "#888888"}, "splitLine": {"lineStyle": {"opacity": 0.3}}},
        "series": series,
    }


def _window_words(window_s: float) -> str:
    return f"{window_s / 60.0:.0f} min" if window_s < 7_200.0 else f"{window_s / 3600.0:.0f} h"
