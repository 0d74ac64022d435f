"""A dispatch as a picture for a README or a control room: target, delivered, headroom, drop-outs, and the error below.

Drawn with matplotlib's objects only (no pyplot), so that several can be drawn at once in threads.
"""

from io import BytesIO

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator
from numpy.typing import NDArray

from counterflow.adapters.reports.names import file_name
from counterflow.domain.delivery import NOT_RESPONDING, DeliveryReport, DropOut, drop_out_words
from counterflow.domain.instructions import DispatchState, target_words
from counterflow.domain.units import format_energy, format_instant, format_power

F8 = NDArray[np.float64]

_INK = "#1d2733"
_GREY = "#6b7683"
_TARGET = "#1d2733"
_DELIVERED = "#0b6fb8"
_HEADROOM = "#7cc4a1"
_LOST = "#c8352b"
_WINDOW = "#f3f6f9"
_UNHEARD = "#e9c46a"
_BAND_FRAC = 0.03
_ERROR_SPAN = 0.10
_LABEL_FRAC = 1e-3
"""A loss below this share of the target gets a mark and no words."""
_LABEL_WIDTH = 0.1
"""About the width of a label, as a share of the time axis; where the next mark is closer, the label goes to the left."""
_ERROR_LABEL_WIDTH = 0.06
"""The same of the words at an error that goes beyond the picture."""
_DEAF = "#8a6d1f"
_NOT_JUDGED = "#dfe4ea"
_TICKS_S = (5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)


def picture_files(report: DeliveryReport) -> dict[str, bytes]:
    """One PNG of 1600 x 900 pixels."""
    sink = BytesIO()
    draw(report).savefig(sink, format="png", metadata={"Title": f"Counterflow dispatch {report.dispatch_id}"})
    return {file_name(report, ".png"): sink.getvalue()}


def draw(report: DeliveryReport) -> Figure:
    """All that the picture shows."""
    figure = Figure(figsize=(16, 9), dpi=100, facecolor="white", layout=None)
    FigureCanvasAgg(figure)
    power, error = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3.6, 1.0), "hspace": 0.09})
    figure.subplots_adjust(left=0.07, right=0.975, top=0.8, bottom=0.085)
    drawn = _Drawn(report)
    _draw_power(power, drawn)
    _draw_error(error, drawn)
    _draw_time_axis(error, drawn)
    _draw_words(figure, report)
    return figure


class _Drawn:
    """The series as arrays: edges in seconds from the start (N+1,), the rest (N,) in MW or kW, NaN = unknown."""

    def __init__(self, report: DeliveryReport) -> None:
        self.report = report
        start_s, end_s = report.instruction.start_s, report.instruction.end_s
        self.unit, self.scale = ("MW", 1e-6) if asked_power_w(report) >= 1e6 else ("kW", 1e-3)
        from_s = np.array([point.from_s - start_s for point in report.series])
        last_s = min(end_s, from_s[-1] + start_s + report.series_step_s) - start_s if len(from_s) else 0.0
        self.edges_s: F8 = np.append(from_s, last_s)
        self.duration_s = axis_length_s(report)
        self.target: F8 = np.array([point.target_power_w for point in report.series]) * self.scale
        self.delivered: F8 = _floats([point.delivered_power_w for point in report.series]) * self.scale
        self.headroom: F8 = _floats([point.headroom_power_w for point in report.series]) * self.scale
        self.share: F8 = np.array([point.metered_share for point in report.series])
        self.middle_s: F8 = 0.5 * (self.edges_s[:-1] + self.edges_s[1:])


def axis_length_s(report: DeliveryReport) -> float:
    """Length of the time axis: the window, or up to the stop of a dispatch that was stopped early; there is nothing behind it."""
    instruction = report.instruction
    stop_s = instruction.resume_from_s if _stopped_early(report) else None
    return max((instruction.end_s if stop_s is None else stop_s) - instruction.start_s, 1.0)


def _stopped_early(report: DeliveryReport) -> bool:
    stop_s = report.instruction.resume_from_s
    return stop_s is not None and stop_s < report.instruction.end_s - 1.0


def _floats(values: list[float | None]) -> F8:
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _draw_power(axes: Axes, drawn: _Drawn) -> None:
    _style(axes)
    axes.axvspan(0.0, drawn.duration_s, color=_WINDOW, zorder=0)
    legend: list[Line2D | Patch] = []
    if len(drawn.target):
        ceiling = drawn.delivered + drawn.headroom
        spare = np.isfinite(ceiling)
        if spare.any():
            axes.fill_between(drawn.middle_s, drawn.delivered, ceiling, where=spare, color=_HEADROOM, alpha=0.35, linewidth=0, zorder=1)
            legend.append(Patch(color=_HEADROOM, alpha=0.35, label="headroom on top of what is delivered"))
        _draw_unheard(axes, drawn, legend)
        axes.stairs(drawn.target, drawn.edges_s, baseline=None, color=_TARGET, linewidth=1.8, linestyle=(0, (5, 2.2)), zorder=4)
        axes.plot(drawn.middle_s, drawn.delivered, color=_DELIVERED, linewidth=2.4, solid_joinstyle="round", zorder=3)
        legend.insert(0, Line2D([], [], color=_DELIVERED, linewidth=2.4, label="delivered (metered)"))
        legend.insert(0, Line2D([], [], color=_TARGET, linewidth=1.8, linestyle=(0, (5, 2.2)), label="target"))
        tops = np.concatenate((drawn.target, drawn.delivered, ceiling))
        top = float(np.nanmax(tops)) if np.isfinite(tops).any() else 1.0
        low = float(np.nanmin(np.append(drawn.delivered, 0.0)))
        axes.set_ylim(1.1 * low if low < -0.01 * top else 0.0, max(1.22 * top, 1e-9))
    else:
        axes.set_ylim(0.0, 1.22 * asked_power_w(drawn.report) * drawn.scale)
        axes.text(0.5, 0.5, "the window has not begun", transform=axes.transAxes, ha="center", color=_GREY, fontsize=15)
    _draw_drop_outs(axes, drawn, legend)
    axes.set_ylabel(f"discharge power [{drawn.unit}]", fontsize=12, color=_INK)
    axes.yaxis.set_major_locator(MaxNLocator(7))
    axes.legend(handles=legend, loc="upper left", bbox_to_anchor=(0.0, 1.085), ncols=5, frameon=False, fontsize=11.5, handlelength=2.2)


def _draw_unheard(axes: Axes, drawn: _Drawn, legend: list[Line2D | Patch]) -> None:
    """Mark the steps in which too few cars were heard to state a power."""
    unheard = ~np.isfinite(drawn.delivered)
    if not unheard.any():
        return
    edges = np.flatnonzero(np.diff(np.concatenate(([0], unheard.astype(np.int8), [0]))))
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        axes.axvspan(drawn.edges_s[begin], drawn.edges_s[end], color=_UNHEARD, alpha=0.35, linewidth=0, zorder=1)
    legend.append(Patch(color=_UNHEARD, alpha=0.35, label="too few meter values"))


def _draw_drop_outs(axes: Axes, drawn: _Drawn, legend: list[Line2D | Patch]) -> None:
    """Cars that were lost, at the last that was heard of them, and cars that were there but did not respond."""
    deaf = [drop for drop in drawn.report.drop_outs if drop.kind == NOT_RESPONDING]
    lost = [drop for drop in drawn.report.drop_outs if drop.kind != NOT_RESPONDING]
    _draw_marks(axes, drawn, lost, _LOST, "v", 0.945)
    _draw_marks(axes, drawn, deaf, _DEAF, "D", 0.865)
    if lost:
        legend.append(Line2D([], [], color=_LOST, marker="v", markersize=9, linestyle="", label="cars lost"))
    if deaf:
        legend.append(Line2D([], [], color=_DEAF, marker="D", markersize=7, linestyle="", label="did not respond"))


def _draw_marks(axes: Axes, drawn: _Drawn, drops: list[DropOut], colour: str, marker: str, height: float) -> None:
    """One mark for the drop-outs that are too close to tell apart, with their number and lost power where that can be seen."""
    start_s = drawn.report.instruction.start_s
    clusters: list[list[tuple[float, float]]] = []
    for at_s, lost_w in sorted((max(0.0, drop.began_s - start_s), drop.lost_power_w) for drop in drops):
        if not clusters or at_s - clusters[-1][0][0] > drawn.duration_s / 22.0:
            clusters.append([])
        clusters[-1].append((at_s, lost_w))
    low, high = axes.get_ylim()
    crowded = len(clusters) > 12
    places_s = [max(cluster, key=lambda drop: drop[1])[0] for cluster in clusters]  # where most of it was lost
    for number, (cluster, at_s) in enumerate(zip(clusters, places_s, strict=True)):
        lost_w = sum(power_w for _, power_w in cluster)
        axes.axvline(at_s, color=colour, linewidth=1.0, alpha=0.35, zorder=2)
        axes.plot([at_s], [low + height * (high - low)], marker=marker, markersize=8, color=colour, zorder=5, clip_on=False)
        if lost_w < _LABEL_FRAC * asked_power_w(drawn.report):
            continue
        lost = "" if crowded else f"\n$-${format_power(lost_w)}"
        cars = f"{len(cluster)}" if crowded else f"{len(cluster)} car{'s' if len(cluster) > 1 else ''}"
        free_until_s = places_s[number + 1] if number + 1 < len(places_s) else 1.02 * drawn.duration_s
        before = at_s + _LABEL_WIDTH * drawn.duration_s > free_until_s
        axes.annotate(
            cars + lost,
            (at_s, low + height * (high - low)),
            xytext=(-9 if before else 9, 0),
            textcoords="offset points",
            ha="right" if before else "left",
            va="center",
            color=colour,
            fontsize=10.5,
            linespacing=1.25,
        )


def _draw_error(axes: Axes, drawn: _Drawn) -> None:
    _style(axes)
    axes.axvspan(0.0, drawn.duration_s, color=_WINDOW, zorder=0)
    axes.axhspan(-100 * _BAND_FRAC, 100 * _BAND_FRAC, color=_DELIVERED, alpha=0.10, linewidth=0, zorder=1)
    axes.axhline(0.0, color=_TARGET, linewidth=1.2, linestyle=(0, (5, 2.2)), zorder=2)
    axes.set_ylim(-100 * _ERROR_SPAN, 100 * _ERROR_SPAN)
    if len(drawn.target):
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.where(drawn.target > 0.0, 100.0 * (drawn.delivered / drawn.target - 1.0), np.nan)
        axes.plot(drawn.middle_s, error, color=_DELIVERED, linewidth=1.8, zorder=3)
        _draw_clipped(axes, drawn, error)
    for pause in drawn.report.not_judged:
        from_s, to_s = pause.from_s - drawn.report.instruction.start_s, pause.to_s - drawn.report.instruction.start_s
        axes.axvspan(from_s, to_s, color=_NOT_JUDGED, alpha=0.9, linewidth=0, zorder=0.4)
    axes.set_ylabel("error [% of target]", fontsize=12, color=_INK)
    axes.yaxis.set_major_locator(MultipleLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+.0f}".replace("-", "\u2212") if value else "0"))


def _draw_clipped(axes: Axes, drawn: _Drawn, error: F8) -> None:
    """An arrow at the edge where the error goes beyond the picture; of those that stand close together the largest says how far it goes."""
    limit = 100 * _ERROR_SPAN
    for sign in (1.0, -1.0):
        beyond = np.concatenate(([0], (sign * np.nan_to_num(error) > limit).astype(np.int8), [0]))
        edges = np.flatnonzero(np.diff(beyond))
        runs = [
            (0.5 * float(drawn.edges_s[begin] + drawn.edges_s[end]), float(np.max(sign * error[begin:end])))
            for begin, end in zip(edges[::2], edges[1::2], strict=True)
        ]
        for middle_s, _ in runs:
            axes.plot([middle_s], [0.93 * sign * limit], marker="^" if sign > 0.0 else "v", markersize=8, color=_DELIVERED, zorder=4)
        for middle_s, most in _apart(runs, _ERROR_LABEL_WIDTH * drawn.duration_s):
            before = middle_s + _ERROR_LABEL_WIDTH * drawn.duration_s > 1.02 * drawn.duration_s
            axes.annotate(
                f"{sign * most:+.0f} %".replace("-", "\u2212"),
                (middle_s, 0.93 * sign * limit),
                xytext=(-8 if before else 8, -3 if sign > 0.0 else 3),
                textcoords="offset points",
                ha="right" if before else "left",
                va="center",
                color=_DELIVERED,
                fontsize=10,
                path_effects=[withStroke(linewidth=3.0, foreground=_WINDOW)],
                zorder=5,
            )


def _apart(runs: list[tuple[float, float]], least_s: float) -> list[tuple[float, float]]:
    """The largest first, those of (at, how much) that have so much room on both sides, twice it where labels may face each other."""
    kept: list[tuple[float, float]] = []
    for run in sorted(runs, key=lambda run: -run[1]):
        if all(abs(run[0] - other[0]) > 2.0 * least_s for other in kept):
            kept.append(run)
    return kept


def _draw_time_axis(axes: Axes, drawn: _Drawn) -> None:
    margin_s = 0.02 * drawn.duration_s
    axes.set_xlim(-margin_s, drawn.duration_s + margin_s)
    every_s = next((step for step in _TICKS_S if drawn.duration_s / step <= 12), 86_400)
    axes.xaxis.set_major_locator(MultipleLocator(every_s))
    hours = drawn.duration_s >= 2 * 3600
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at_s, _: _clock(at_s, hours)))
    words = "h:min" if hours else "min:s"
    axes.set_xlabel(f"time [{words}] from {format_instant(drawn.report.instruction.start_s)}", fontsize=12, color=_INK)


def _clock(at_s: float, hours: bool) -> str:
    large, small = divmod(round(abs(at_s)) // (60 if hours else 1), 60)
    return f"{'-' if at_s < 0 else ''}{large}:{small:02d}"


def _style(axes: Axes) -> None:
    axes.grid(axis="y", color="#d8dee5", linewidth=0.8, zorder=0.5)
    axes.tick_params(colors=_GREY, labelsize=11, length=0, pad=6)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color("#aab4bf")


def asked_power_w(report: DeliveryReport) -> float:
    """The largest target of the dispatch."""
    return max((step.discharge_power_w for step in report.instruction.steps), default=1.0)


def _draw_words(figure: Figure, report: DeliveryReport) -> None:
    amount = f"{format_energy(report.delivered_energy_wh)} $\\pm$ {format_energy(report.uncertainty_wh)}"
    title = f"{amount} delivered of {format_energy(report.target_energy_wh)}" if report.series else "Nothing delivered yet"
    figure.text(0.07, 0.945, title, fontsize=22, color=_INK, weight="bold", va="center")
    figure.text(0.975, 0.945, order_words(report), fontsize=12, color=_GREY, ha="right", va="center")
    parts = [
        (report.tracking_rmse_frac, f"tracking error {_percent(report.tracking_rmse_frac)} RMS"),
        (report.worst_10s_error_frac, f"worst 10 s mean {_percent(report.worst_10s_error_frac)}"),
        (report.time_in_band_frac, f"{_percent(report.time_in_band_frac, 1)} of the time within $\\pm$5 %"),
        (report.members, f"{report.members:,} cars".replace(",", "\u202f")),
        (len(report.drop_outs), drop_out_words(report.drop_outs)),
        (report.messages_sent, f"{report.messages_sent:,} messages".replace(",", "\u202f")),
    ]
    figure.text(0.07, 0.893, "   ·   ".join(words for value, words in parts if value is not None), fontsize=13.5, color=_INK, va="center")
    # Below the time axis, where no error reaches, however large.
    judged = "; grey: left out of the figures of quality above" if report.not_judged else ""
    figure.text(0.07, 0.022, f"blue band: $\\pm${100 * _BAND_FRAC:.0f} %{judged}", fontsize=10, color=_GREY)
    figure.text(
        0.975, 0.022, f"dispatch {report.dispatch_id}, report {report.version}", fontsize=10, color=_GREY, ha="right", parse_math=False
    )


def order_words(report: DeliveryReport) -> str:
    """What was ordered, and what became of it: `140.0 kW (amended), cancelled after 0:44 · net export`."""
    instruction = report.instruction
    power = target_words(instruction)
    amended = len(instruction.steps) > 1 + len(instruction.order.steps if instruction.order else ())
    minutes = (instruction.end_s - instruction.start_s) / 60.0
    length = f"{minutes / 60:g} h" if minutes >= 120 else f"{minutes:.3g} min"
    what = f"{power} (amended)" if amended else power
    mode, ends_as = instruction.mode.value.replace("_", " "), instruction.ends_as or instruction.state
    provisional = "" if report.final else ", not final"
    if _stopped_early(report) and instruction.resume_from_s is not None:
        stopped = "cut short" if ends_as is DispatchState.COMPLETED else ends_as.value
        return f"{what}, {stopped} after {_clock(instruction.resume_from_s - instruction.start_s, False)} · {mode}{provisional}"
    return f"{what} for {length} · {mode} · {instruction.state.value}{provisional}"


def _percent(value: float | None, digits: int = 2) -> str:
    return "unknown" if value is None else f"{100 * value:.{digits}f} %"
