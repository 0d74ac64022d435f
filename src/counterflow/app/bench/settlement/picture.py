"""One day: what the cars would have drawn, and what each baseline says that they would."""

from io import BytesIO

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from counterflow.app.bench.settlement.accuracy import METHODS, settled
from counterflow.app.bench.settlement.days import EVSES, played
from counterflow.domain.settlement import BaselineMethod

_COLOURS = {
    BaselineMethod.DECLARED: "#c8352b",
    BaselineMethod.FORWARD: "#0b6fb8",
    BaselineMethod.METER_BEFORE_AFTER: "#7a5ea8",
    BaselineMethod.TEN_OF_TEN: "#3c8d5a",
    BaselineMethod.HIGH_FIVE_OF_TEN: "#c78a1b",
}
_INK, _GREY = "#1d2733", "#6b7683"


def draw(seed: int = 1, evses: int = EVSES) -> bytes:
    """A PNG of 1400 x 700 pixels."""
    day = played(1_000 * seed, evses)
    figure = Figure(figsize=(14, 7), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    figure.subplots_adjust(left=0.07, right=0.975, top=0.88, bottom=0.1)
    minutes = np.arange(len(day.would_w)) + 0.5
    axes.fill_between(minutes, day.would_w / 1e3, color="#e9eef3", linewidth=0, zorder=0)
    axes.plot(minutes, day.would_w / 1e3, color=_INK, linewidth=3.0, label="the truth: the same day without a dispatch", zorder=5)
    for method in METHODS:
        drawn_w = np.array([-60.0 * point.baseline_energy_wh for point in settled(day, method).series])
        error = 100.0 * (drawn_w.sum() / 60.0 / day.would_wh - 1.0)
        label = f"{method.value.replace('_', ' ')} ({error:+.1f} %)"
        axes.plot(minutes, drawn_w / 1e3, color=_COLOURS[method], linewidth=1.8, label=label, zorder=4)
    axes.set_ylim(0.0, 1.05 * float(axes.get_ylim()[1]))
    axes.set_xlim(0.0, 60.0)
    axes.set_xlabel("time [min] from the start of the window", fontsize=12, color=_INK)
    axes.set_ylabel("what the members would have drawn [kW]", fontsize=12, color=_INK)
    axes.legend(loc="lower left", frameon=False, fontsize=11)
    axes.grid(axis="y", color="#d8dee5", linewidth=0.8)
    axes.tick_params(colors=_GREY, labelsize=11, length=0)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
    figure.text(0.07, 0.94, "Baselines of a paused hour against the truth", fontsize=18, color=_INK, weight="bold", va="center")
    sink = BytesIO()
    figure.savefig(sink, format="png")
    return sink.getvalue()
