"""Target, delivery, baseline and drop-outs over the window, small enough for a page of paper."""

from collections.abc import Sequence
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from counterflow.adapters.reports.pdf_layout import ACCENT, GREY, INK
from counterflow.domain.delivery import NOT_RESPONDING, DeliveryReport
from counterflow.domain.series import regridded, timed
from counterflow.domain.settlement import Quality
from counterflow.domain.units import format_instant

_LOST = "#c8352b"
_UNSURE = "#e9c46a"
_BASELINE = "#7a5ea8"
_MINUTE_S = 60.0
_TICKS_MIN = (0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 240.0, 480.0, 1440.0)
_MOST_TICKS = 12


def draw_chart(figure: Figure, report: DeliveryReport, place: tuple[float, float, float, float]) -> None:
    """Into `place` (left, bottom, width, height) of the page."""
    axes = figure.add_axes(place)
    points = timed(report)
    start_s = report.instruction.start_s
    most_w = max((abs(value) for point, _ in points for value in (point.target_power_w, point.delivered_power_w or 0.0)), default=0.0)
    unit, scale = ("MW", 1e-6) if most_w >= 1e6 else ("kW", 1e-3)
    minutes = [(point.from_s - start_s) / _MINUTE_S for point, _ in points]
    ends = [(point.from_s + length_s - start_s) / _MINUTE_S for point, length_s in points]
    if points:
        edges = [*minutes, ends[-1]]
        _shade(axes, [point.quality for point, _ in points], edges)
        asked = [point.target_power_w * scale for point, _ in points]
        axes.stairs(asked, edges, baseline=None, color=INK, linewidth=1.1, linestyle="--", label="target", zorder=3)
        middles = [0.5 * (begin + end) for begin, end in zip(minutes, ends, strict=True)]
        given = [float("nan") if point.delivered_power_w is None else point.delivered_power_w * scale for point, _ in points]
        axes.plot(middles, given, color=ACCENT, linewidth=1.5, label="delivered", zorder=4)
        if report.baseline is not None and report.baseline.energy_wh:
            _draw_baseline(axes, report, scale)
    losses = [((drop.began_s - start_s) / _MINUTE_S, drop.kind == NOT_RESPONDING) for drop in report.drop_outs]
    low, high = min(0.0, axes.get_ylim()[0]), max(1e-9, axes.get_ylim()[1])
    axes.set_ylim(low, high + 0.06 * (high - low) if losses else high)
    for deaf, marker, words in ((False, "v", "car lost"), (True, "D", "did not respond")):
        at = [minute for minute, is_deaf in losses if is_deaf == deaf]
        if at:
            axes.plot(
                at,
                [high + 0.03 * (high - low)] * len(at),
                marker=marker,
                markersize=4,
                color=_LOST,
                linestyle="",
                label=words,
                zorder=5,
                clip_on=False,
            )
    if not points:
        axes.text(0.5, 0.5, "the window has not begun", transform=axes.transAxes, ha="center", color=GREY, fontsize=9)
    else:
        axes.set_xlim(minutes[0], ends[-1])
        axes.legend(loc="upper left", bbox_to_anchor=(-0.01, 1.13), ncols=5, frameon=False, fontsize=7.5, handlelength=1.8, borderpad=0)
    axes.axhline(0.0, color="#aab4bf", linewidth=0.8, zorder=1)
    axes.grid(axis="y", color="#e2e7ec", linewidth=0.6, zorder=0)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    length_min = ends[-1] - minutes[0] if points else 1.0
    axes.xaxis.set_major_locator(MultipleLocator(next((step for step in _TICKS_MIN if length_min / step <= _MOST_TICKS), _TICKS_MIN[-1])))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda minute, _: f"{minute:g}"))
    axes.tick_params(labelsize=7.5, colors=GREY, length=0)
    axes.set_ylabel(f"discharge power [{unit}]", fontsize=8, color=INK)
    axes.set_xlabel(f"time [min] from {format_instant(round(start_s))}; shaded: estimated or missing data", fontsize=8, color=INK)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color("#aab4bf")


def _draw_baseline(axes: Axes, report: DeliveryReport, scale: float) -> None:
    """Minute by minute where that can be: in whole Wh, shorter steps would jump."""
    coarse = regridded(report, _MINUTE_S) if _MINUTE_S % report.series_step_s == 0.0 else report
    steps = timed(coarse)
    start_s = report.instruction.start_s
    edges = [(point.from_s - start_s) / _MINUTE_S for point, _ in steps]
    edges.append((steps[-1][0].from_s + steps[-1][1] - start_s) / _MINUTE_S)
    drawn = [-3600.0 * point.baseline_energy_wh / length_s * scale for point, length_s in steps]
    axes.stairs(drawn, edges, baseline=None, color=_BASELINE, linewidth=1.0, linestyle=":", label="baseline (would have drawn)", zorder=2)


def _shade(axes: Axes, qualities: Sequence[Quality | None], edges: Sequence[float]) -> None:
    """Stretches of estimated or missing data, those of one quality together."""
    begin = 0
    for quality, members in groupby(qualities):
        end = begin + len(list(members))
        if quality is not None and quality is not Quality.GOOD:
            depth = 0.5 if quality is Quality.MISSING else 0.22
            axes.axvspan(edges[begin], edges[end], color=_UNSURE, alpha=depth, linewidth=0, zorder=0)
        begin = end
