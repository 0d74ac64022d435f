"""Two runs of the bench side by side: what was measured before, what now, and whether it got worse.

Machines are not equally fast, nor one machine on all days: times and rates of the earlier run are first brought to the speed of the
later one, by the reference that every run takes (`json.loads` of one TransactionEvent).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

from msgspec import Struct
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from counterflow.app.bench.table import FORMAT, number_words

TIMES = ("µs", "ms", "s")
RATES = ("messages/s", "samples/s")


class NoMeasurementError(ValueError):
    """A file that holds no figures of the bench; the text is a sentence."""


class Compared(Struct, frozen=True, kw_only=True):
    """One figure before and after; `expected` is `before` at the speed of the later machine."""

    key: str
    title: str
    unit: str
    before: float
    expected: float
    after: float
    verdict: str
    """`better`, `worse`, or `same` = the spreads overlap; "" for a figure without an aim."""

    @property
    def change(self) -> float:
        """After over expected, less one."""
        return self.after / self.expected - 1.0 if self.expected else 0.0


def read_measured(path: Path) -> dict[str, Any]:
    """What `counterflow bench --json` wrote. Raises NoMeasurementError."""
    try:
        measured = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NoMeasurementError(f"'{path}' cannot be read as figures of the bench: {error}.") from None
    if not isinstance(measured, dict) or measured.get("format") != FORMAT:
        raise NoMeasurementError(f"'{path}' was not written by counterflow bench --json.")
    return measured


def slower(before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    """How many times as long the reference took in the later run."""
    return float(median(after["reference"]["json_loads_us"]) / median(before["reference"]["json_loads_us"]))


def compared(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Compared]:
    """Every figure that both runs have, in the order of the later one."""
    by = slower(before, after)
    rows = []
    for key, now in after["figures"].items():
        was = before["figures"].get(key, {})
        if "median" not in now or "median" not in was:
            continue
        unit = now["unit"].split(" ")[0]
        scale = by if unit in TIMES else 1.0 / by if unit in RATES else 1.0
        rows.append(
            Compared(
                key=key,
                title=now["title"],
                unit=now["unit"],
                before=was["median"],
                expected=scale * was["median"],
                after=now["median"],
                verdict=_verdict(was, now, scale),
            )
        )
    return rows


def _verdict(was: Mapping[str, Any], now: Mapping[str, Any], scale: float) -> str:
    if "aim" not in now:
        return ""
    if now["min"] <= scale * was["max"] and scale * was["min"] <= now["max"]:
        return "same"
    less = now["median"] < scale * was["median"]
    return "better" if less == (now["better"] == "less") else "worse"


def comparison_table(before: Mapping[str, Any], after: Mapping[str, Any]) -> Table:
    """For people; readable at 80 columns."""
    shown = Table(expand=True, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=f"Before: {_of(before)}; after: {_of(after)}")
    by = f"{slower(before, after):.2f}"
    shown.caption = f"Times and rates of before are brought to the speed of after, where the reference took {by} times as long."
    shown.add_column("Figure", ratio=1)
    for name in ("Before", "After", "Change"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("", no_wrap=True)
    for row in compared(before, after):
        words = (f"{row.title} [{row.unit}]", number_words(row.expected), number_words(row.after), f"{row.change:+.0%}", row.verdict)
        shown.add_row(*map(Text, words))
    return shown


def _of(measured: Mapping[str, Any]) -> str:
    return f"{measured['machine']['counterflow']} of {measured['finished_at'][:16]}"
