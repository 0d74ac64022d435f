"""`counterflow bench settlement`: what is settled against the truth, over several seeds, each figure with its goal.

Scenarios 25 and 26 of control.md 9, and how far each baseline is off on simulated days (6).
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from msgspec import Struct
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from counterflow.app.bench.settlement.accuracy import METHODS, QUARTER, baselines
from counterflow.app.bench.settlement.days import EVSES
from counterflow.app.bench.settlement.metered import SESSIONS
from counterflow.app.bench.settlement.picture import draw
from counterflow.app.bench.settlement.registers import aligned, faulty
from counterflow.app.bench.table import machine
from counterflow.domain.settlement import BaselineMethod

QUICK_SHARE = 5
DAYS = 3
_STYLES = {"missed": "bold red", "met": "green", "moonshot": "bold green", "": "dim"}


class Figure(Struct, frozen=True, kw_only=True):
    """One line: its values, a seed each. Without a goal it is told, and judged by nobody. Signs do not count against a goal."""

    number: str
    title: str
    values: tuple[float, ...]
    unit: str = ""
    goal: float | None = None
    moonshot: float | None = None

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return fmean(self.values)

    @property
    def worst(self) -> float:
        """The value that is farthest from zero."""
        return max(self.values, key=abs)

    @property
    def verdict(self) -> str:
        """In one word; empty where there is no goal."""
        if self.goal is None:
            return ""
        if abs(self.worst) > self.goal:
            return "missed"
        return "moonshot" if self.moonshot is not None and abs(self.worst) <= self.moonshot else "met"


def run_settlement(seeds: int, quick: bool, folder: Path, json_file: Path | None, console: Console) -> int:
    """Measure, print, and write table, JSON and a picture into `folder`; 1 when a goal was missed. Raises OSError."""
    began_s = time.monotonic()
    found = measure(seeds, quick=quick)
    console.print(table(found))
    took_s = time.monotonic() - began_s
    console.print(f"{seeds} seeds, {took_s:.0f} s.")
    told = json.dumps(document(found, seeds=seeds, quick=quick, took_s=took_s), indent=1) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "settlement.md").write_text(markdown(found), "utf-8")
    (folder / "settlement.json").write_text(told, "utf-8")
    (folder / "baselines.png").write_bytes(draw(evses=EVSES // (QUICK_SHARE if quick else 1)))
    if json_file is not None:
        json_file.write_text(told, "utf-8")
    return int(any(figure.verdict == "missed" for figure in found))


def measure(seeds: int, *, quick: bool) -> tuple[Figure, ...]:
    """All figures; `quick` = a fifth of the sessions and one day a seed."""
    share = QUICK_SHARE if quick else 1
    numbers = range(1, seeds + 1)
    straight = _columns(lambda seed: aligned(seed, SESSIONS // share), numbers)
    troubled = _columns(lambda seed: faulty(seed, SESSIONS // share), numbers)
    by_method = _columns(lambda seed: baselines(seed, 1 if quick else DAYS, EVSES // share), numbers)
    found = [
        Figure(number="25", title="aligned at 60 s: sessions, RMS", unit="%", values=straight["rms 60 s"], goal=0.05, moonshot=0.01),
        Figure(number="25", title="aligned at 300 s: sessions, RMS", unit="%", values=straight["rms 300 s"], goal=0.05, moonshot=0.01),
        Figure(number="25", title="aligned at 60 s: fleet", unit="%", values=straight["bias 60 s"]),
        Figure(number="25", title="sums over grids and orders that differ", values=straight["conservation"], goal=0.0, moonshot=0.0),
        Figure(number="26", title="faults: sessions, RMS", unit="%", values=troubled["rms"], goal=0.1, moonshot=0.02),
        Figure(number="26", title="faults: fleet", unit="%", values=troubled["bias"]),
        Figure(number="26", title="the same before late values came: sessions, RMS", unit="%", values=troubled["early"]),
        Figure(number="26", title="energy that is flagged", unit="%", values=troubled["flagged"]),
        Figure(number="26", title="sessions outside the uncertainty that is told", unit="%", values=troubled["outside"]),
        Figure(number="26", title="sums over grids and orders that differ", values=troubled["conservation"], goal=0.0, moonshot=0.0),
    ]
    for name in (*(method.value for method in METHODS), QUARTER):
        judged = name == BaselineMethod.FORWARD.value
        title = f"baseline {name.replace('_', ' ')}"
        limits = ({"goal": 1.0, "moonshot": 0.1}, {"goal": 3.0, "moonshot": 2.2}) if judged else ({}, {})
        found.append(Figure(number="M&V", title=f"{title}: bias", unit="%", values=by_method[f"{name} bias"], **limits[0]))
        found.append(Figure(number="M&V", title=f"{title}: RMS", unit="%", values=by_method[f"{name} rms"], **limits[1]))
    return tuple(found)


def _columns(play: Callable[[int], Mapping[str, float]], seeds: range) -> dict[str, tuple[float, ...]]:
    plays = [play(seed) for seed in seeds]
    return {name: tuple(each[name] for each in plays) for name in plays[0]}


def table(found: tuple[Figure, ...]) -> Table:
    """Readable at 80 columns."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column("", no_wrap=True)
    shown.add_column("figure", overflow="fold", min_width=20)
    for heading in ("goal", "moonshot", "mean", "worst", ""):
        shown.add_column(heading, justify="right", no_wrap=True)
    for figure in found:
        *cells, verdict = _cells(figure)
        shown.add_row(*map(Text, cells), Text(verdict, style=_STYLES[verdict]))
    return shown


def markdown(found: tuple[Figure, ...]) -> str:
    """The same for a document."""
    lines = ["| # | figure | goal | moonshot | mean | worst | |", "|---|---|---:|---:|---:|---:|---|"]
    lines += [f"| {' | '.join(_cells(figure))} |" for figure in found]
    return "\n".join(lines) + "\n"


def document(found: tuple[Figure, ...], *, seeds: int, quick: bool, took_s: float) -> dict[str, Any]:
    """Everything for machines."""
    figures = [
        {
            "number": figure.number,
            "title": figure.title,
            "unit": figure.unit,
            "goal": figure.goal,
            "moonshot": figure.moonshot,
            "values": list(figure.values),
            "mean": figure.mean,
            "worst": figure.worst,
            "verdict": figure.verdict,
        }
        for figure in found
    ]
    took = {"seeds": seeds, "quick": quick, "took_s": round(took_s, 1)}
    return {"format": "counterflow-settlement/1", **took, "machine": machine(), "figures": figures}


def _cells(figure: Figure) -> tuple[str, ...]:
    unit = f" ({figure.unit})" if figure.unit else ""
    goal = "" if figure.goal is None else f"≤{figure.goal:g}"
    moonshot = "" if figure.moonshot is None else f"{figure.moonshot:g}"
    return figure.number, figure.title + unit, goal, moonshot, f"{figure.mean:.3g}", f"{figure.worst:.3g}", figure.verdict
