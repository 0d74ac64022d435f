"""The table that people read and the JSON that machines read, from the same figures."""

import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from counterflow import __version__
from counterflow.app.bench import messages
from counterflow.app.bench.figures import Figure
from counterflow.app.clock import SystemClock

CALM_REFERENCE_US = 8.07
"""What the reference took on the quiet machine on which the aims were set (2 cores, AMD EPYC, Python 3.11)."""
FORMAT = "counterflow-bench/1"
_ROUNDS = 3_000
_DIGITS = 3


def reference_us() -> float:
    """CPU µs that the standard library's `json.loads` takes for one TransactionEvent: how fast this machine is just now."""
    text = messages.sample(1, messages.stamp(SystemClock().now_s()), 1, (messages.TRANSACTION_ID % 1).encode(), messages.POWER_W, 1)
    started_s = time.thread_time()
    for _ in range(_ROUNDS):
        json.loads(text)
    return 1e6 * (time.thread_time() - started_s) / _ROUNDS


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "processor": _first_value("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "counterflow": __version__,
        "load_average": round(os.getloadavg()[0], 2),
    }


def table(figures: Sequence[Figure], references_us: Sequence[float]) -> Table:
    """One row a figure: its aim, whether the median reaches it, and the spread over the repeats. Readable at 80 columns."""
    described = machine()
    shown = Table(
        expand=True,
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title=f"Counterflow {__version__} on {described['processor']}, {described['cores']} cores, Python {described['python']}",
        caption=(
            f"Reference: json.loads of one TransactionEvent took {min(references_us):.1f} to {max(references_us):.1f} µs during this run; "
            f"{CALM_REFERENCE_US} µs where the aims were set."
        ),
    )
    shown.add_column("Figure", ratio=1)
    for name in ("Aim", "Median", "Min - max"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("Verdict", no_wrap=True)
    for figure in figures:
        shown.add_row(*map(Text, _row(figure)))
    return shown


def _row(figure: Figure) -> tuple[str, ...]:
    aim = "" if figure.aim is None else f"{'≤' if figure.better == 'less' else '≥'} {number_words(figure.aim)}"
    middle = figure.median
    if middle is None:
        return f"{figure.title}: not measured. {figure.note}", aim, "", "", "missing"
    verdict = {None: "", True: "met", False: "missed"}[figure.met]
    least, most = number_words(min(figure.values)), number_words(max(figure.values))
    spread = least if least == most else f"{least} - {most}"
    return f"{figure.title} [{figure.unit}]", aim, number_words(middle), spread, verdict


def number_words(value: float) -> str:
    """The digits that count."""
    if abs(value) >= 1_000.0:
        return f"{value:,.0f}"
    return f"{value:.{_DIGITS}g}"


def document(figures: Sequence[Figure], references_us: Sequence[float], quick: bool, finished_s: float) -> dict[str, Any]:
    """The JSON document; its keys are described in docs/benchmarks.md."""
    return {
        "format": FORMAT,
        "finished_at": datetime.fromtimestamp(finished_s, UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "command": " ".join(("counterflow", *sys.argv[1:])),
        "machine": machine(),
        "reference": {"json_loads_us": [round(value, 3) for value in references_us], "calm_us": CALM_REFERENCE_US},
        "figures": {figure.key: _entry(figure) for figure in figures},
    }


def _entry(figure: Figure) -> dict[str, Any]:
    measured: dict[str, Any] = {"title": figure.title, "unit": figure.unit}
    if figure.values:
        measured |= {"min": min(figure.values), "median": figure.median, "max": max(figure.values), "values": list(figure.values)}
    if figure.aim is not None:
        measured |= {"aim": figure.aim, "better": figure.better, "met": figure.met}
    return measured | ({"note": figure.note} if figure.note else {})


def write_json(path: Path, content: dict[str, Any]) -> None:
    """The document as a file. Raises OSError."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _first_value(path: str, name: str) -> str:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
