"""What was found, as a table for the terminal, as Markdown, as JSON, and as a reliability diagram."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from counterflow.app.bench.offers.figures import Figure
from counterflow.app.bench.offers.judging import RELIABILITY, Judged, Setting
from counterflow.app.bench.table import machine

STYLES = {"missed": "bold red", "missing": "bold red", "met": "green", "moonshot": "bold green", "": ""}
COLUMNS = {
    "kept_0.5": "P50",
    "kept_0.9": "P90",
    "kept_0.95": "P95",
    "kept_0.99": "P99",
    "alone_90": "P90 indep.",
    "sharpness": "sharp",
    "pinball": "loss",
    "against_alone_95": "vs indep.",
    "against_derating": "vs derating",
}
"""Figures of a setting that the table shows, all in %."""
NARROWEST = 112
"""Columns."""
Found = Sequence[tuple[Setting, Sequence[Figure]]]


def table(found: Found, single: Sequence[Figure], columns: int) -> Table:
    """A line a setting, then the single figures, on so many columns: at least `NARROWEST`, where else the names of settings would go."""
    title = "in %, what was said was there"
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), title=title, title_justify="left", width=columns)
    shown.add_column("setting", overflow="fold", min_width=24)
    for heading in COLUMNS.values():
        shown.add_column(heading, justify="right", no_wrap=True)
    for setting, figures in found:
        by_key = {figure.key: figure for figure in figures}
        shown.add_row(setting.name, *(Text(f"{by_key[key].value:.1f}", style=STYLES[by_key[key].verdict]) for key in COLUMNS))
    for figure in single:
        shown.add_row(Text(figure.title), Text(_value(figure)), Text(figure.verdict, style=STYLES[figure.verdict]))
    return shown


def line(setting: Setting, judged: Judged) -> str:
    """How a setting came out, as soon as it is known."""
    kept = (judged.there_w[:, np.newaxis] >= judged.said_w).mean(axis=0) * 100.0
    said = ", ".join(f"P{level * 100.0:g} in {share:.1f} %" for level, share in zip(RELIABILITY, kept, strict=True))
    return f"{setting.name}: was there {said}, of {len(judged.there_w)} forecasts"


def markdown(found: Found, single: Sequence[Figure]) -> str:
    """The same for a document."""
    lines = ["| setting | " + " | ".join(COLUMNS.values()) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for setting, figures in found:
        by_key = {figure.key: figure for figure in figures}
        lines.append(f"| {setting.name} | " + " | ".join(_cell(by_key[key]) for key in COLUMNS) + " |")
    lines += ["", "| figure | goal | moonshot | measured | |", "|---|---|---|---:|---|"]
    lines += [
        f"| {figure.title} | {_range(figure.goal)} | {_range(figure.moonshot)} | {_value(figure)} | {figure.verdict} |" for figure in single
    ]
    return "\n".join(lines) + "\n"


def document(found: Found, single: Sequence[Figure], forecasts: int, took_s: float, *, quick: bool) -> dict[str, Any]:
    """Everything for machines."""
    return {
        "format": "counterflow-offers/1",
        "quick": quick,
        "forecasts": forecasts,
        "took_s": round(took_s, 1),
        "machine": machine(),
        "settings": {
            setting.name: {figure.key: {"value": figure.value, "unit": figure.unit, "verdict": figure.verdict} for figure in figures}
            for setting, figures in found
        },
        "figures": {figure.key: {"value": figure.value, "unit": figure.unit, "verdict": figure.verdict} for figure in single},
    }


def draw(judged: Mapping[str, Judged], path: Path) -> None:
    """The reliability diagram: what was said against what was there. On the diagonal an offer is as sure as it says."""
    drawing = Drawing(figsize=(6.4, 5.6), layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.add_subplot()
    axes.plot([45, 100], [45, 100], color="#9aa5b1", linewidth=1.0, label="as sure as said")
    axes.axhspan(89, 93, xmin=0.0, xmax=1.0, color="#0b6fb8", alpha=0.08, linewidth=0)
    for name, each in judged.items():
        kept = (each.there_w[:, np.newaxis] >= each.said_w).mean(axis=0) * 100.0
        axes.plot(np.array(RELIABILITY) * 100.0, kept, marker="o", markersize=4, linewidth=1.4, label=name)
    axes.set(xlabel="confidence that was said [%]", ylabel="windows in which at least that was there [%]", xlim=(48, 100), ylim=(45, 101))
    axes.set_title("Reliability of firm offers (raw model)", loc="left", fontsize=11)
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    drawing.savefig(path, dpi=110, metadata={"Software": None})


def _cell(figure: Figure) -> str:
    text = f"{figure.value:.1f}"
    return f"**{text}**" if STYLES[figure.verdict] == "bold red" else text


def _value(figure: Figure) -> str:
    return f"{figure.value:.3g} {figure.unit}"


def _range(bounds: tuple[float, float] | None) -> str:
    return "" if bounds is None else f"{bounds[0]:g} to {bounds[1]:g}"
