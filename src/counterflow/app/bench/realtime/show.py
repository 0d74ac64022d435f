"""A run in real time beside the virtual one: for the terminal, as Markdown, as JSON, and as a picture."""

import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from counterflow.app.bench.realtime.course import Course
from counterflow.app.bench.realtime.played import Played
from counterflow.app.bench.realtime.verdict import Row, Verdict
from counterflow.app.bench.table import machine, number_words

FORMAT = "counterflow-realtime/1"
HEADINGS = ("figure", "real time", "virtual", "difference", "demand", "")
DISTURBANCE: Mapping[str, str] = {
    "ticks": "control ticks",
    "ticks_late": "control ticks more than half a period late",
    "ticks_missed": "control ticks left out",
    "value_sent_late_ms_p99": "value sent late, p99 (ms)",
    "value_sent_late_ms_max": "value sent late, worst (ms)",
    "value_answered_ms_p50": "value answered after, median (ms)",
    "value_answered_ms_p99": "value answered after, p99 (ms)",
    "value_answered_ms_max": "value answered after, worst (ms)",
    "plant_late_ms_p99": "step of the plant late, p99 (ms)",
    "plant_late_ms_max": "step of the plant late, worst (ms)",
    "load_average": "load average of the machine at the end",
}
"""What tells how much a shared machine disturbed the run."""
_STYLES = {"met": "green", "missed": "bold red", "": ""}
_REAL, _VIRTUAL, _INK = "#0b6fb8", "#e07b00", "#1d2733"


def table(verdict: Verdict) -> Table:
    """One row a figure. Readable at 80 columns."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column(HEADINGS[0], overflow="fold", min_width=24)
    for heading in HEADINGS[1:]:
        shown.add_column(heading, justify="right", no_wrap=True)
    for row in verdict.rows:
        *cells, word = _cells(row)
        shown.add_row(*map(Text, cells), Text(word, style=_STYLES[word]))
    return shown


def disturbance_lines(disturbance: Mapping[str, float]) -> list[tuple[str, str]]:
    """(words, value) of what was late."""
    return [(words, number_words(disturbance[key])) for key, words in DISTURBANCE.items() if key in disturbance]


def markdown(verdict: Verdict, real: Played, course: Course) -> str:
    """The same for a document."""
    lines = [f"{course.stations} stations, {course.seconds / 60.0:g} minutes, seed {course.seed}.", ""]
    lines += ["| " + " | ".join(HEADINGS) + " |", "|---|---:|---:|---:|---:|---|"]
    for row in verdict.rows:
        *cells, word = _cells(row)
        lines.append("| " + " | ".join(cells) + f" | {'**missed**' if word == 'missed' else word} |")
    lines += ["", "| how much the machine disturbed it | |", "|---|---:|"]
    lines += [f"| {words} | {value} |" for words, value in disturbance_lines(real.disturbance)]
    return "\n".join(lines) + "\n"


def document(verdict: Verdict, real: Played, virtual: Played, course: Course, finished_s: float) -> dict[str, Any]:
    """Everything for machines."""
    rows = {row.key: {**msgspec.to_builtins(row), "difference": row.difference} for row in verdict.rows}
    return {
        "format": FORMAT,
        "finished_at": datetime.fromtimestamp(finished_s, UTC).isoformat(timespec="seconds"),
        "command": " ".join(("counterflow", *sys.argv[1:])),
        "machine": machine(),
        "course": msgspec.to_builtins(course),
        "kept": verdict.kept,
        "figures": rows,
        "disturbance": dict(real.disturbance),
        "real": msgspec.to_builtins(real),
        "virtual": msgspec.to_builtins(virtual),
    }


def draw(real: Played, virtual: Played, course: Course, path: Path) -> None:
    """Target, real time and virtual clock, with the errors below. Raises OSError."""
    title = f"{course.stations} stations over WebSockets, and the same course on the virtual clock"
    figure = Figure(figsize=(11, 5.2), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3.0, 1.2), "hspace": 0.08})
    figure.subplots_adjust(left=0.075, right=0.98, top=0.9, bottom=0.1)
    seconds, target_w = np.arange(len(real.target_w)), np.array(real.target_w)
    above.step(seconds, target_w / 1e6, where="post", color=_INK, linewidth=1.0, label="target")
    for played, label, colour, width in ((virtual, "virtual clock", _VIRTUAL, 1.2), (real, "real time", _REAL, 1.4)):
        delivered_w = np.array(played.delivered_w)
        above.plot(seconds, delivered_w / 1e6, color=colour, linewidth=width, label=label)
        below.plot(seconds, 100.0 * (delivered_w - target_w) / target_w.max(), color=colour, linewidth=width)
    above.axvline(course.drop_out_at, color=_INK, linewidth=0.8, linestyle=":")
    above.annotate("a tenth leaves", (course.drop_out_at, 0.02), xycoords=("data", "axes fraction"), fontsize=9, color=_INK)
    above.set_ylim(bottom=0.0)
    above.set_title(title, loc="left", fontsize=12, color=_INK)
    above.set_ylabel("MW delivered")
    above.legend(loc="lower right", frameon=False, fontsize=9)
    below.axhline(0.0, color=_INK, linewidth=0.8)
    below.set_ylim(-12.0, 12.0)
    below.set_ylabel("error, %")
    below.set_xlabel("seconds")
    for axes in (above, below):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Title": title})


def _cells(row: Row) -> tuple[str, ...]:
    values = ["-" if value is None else number_words(value) for value in (row.real, row.virtual)]
    difference = "-" if row.difference is None else f"{row.difference:+.2g}"
    unit = f" ({row.unit})" if row.unit else ""
    return (f"{row.title}{unit}", *values, difference, row.demand, {None: "", True: "met", False: "missed"}[row.met])
