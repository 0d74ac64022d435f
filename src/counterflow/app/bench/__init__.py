"""`counterflow bench`: the figures that the README shows, measured on this machine in one run."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct
from rich.console import Console

from counterflow.app.bench import allocation, console, fan_out, gateway, ingest, memory, storm
from counterflow.app.bench.comparison import comparison_table
from counterflow.app.bench.figures import FULL, QUICK, CannotError, Figure, Sizes
from counterflow.app.bench.processes import ChildError
from counterflow.app.bench.stage import Stage
from counterflow.app.bench.table import document, reference_us, table, write_json
from counterflow.app.clock import SystemClock

__all__ = ["MEASUREMENTS", "Measurement", "UnknownMeasurementError", "run_bench"]


class UnknownMeasurementError(ValueError):
    """There is no measurement of that name; the text is a sentence."""


class Measurement(Struct, frozen=True):
    """A name on the command line, what it does, what does it, and how long it may take."""

    name: str
    words: str
    measure: Callable[[Stage], Iterator[Figure]]
    bound_s: float


MEASUREMENTS: Mapping[str, Measurement] = {
    item.name: item
    for item in (
        Measurement("allocation", "splitting a target over sessions, and the whole tick", allocation.measure, 60.0),
        Measurement("ingest", "samples written durably", ingest.measure, 60.0),
        Measurement("gateway", "messages from stations, saturated and paced, beside ocpp + websockets", gateway.measure, 240.0),
        Measurement("fan_out", "from a dispatch to the last profile answered", fan_out.measure, 180.0),
        Measurement("memory", "memory of a connected station", memory.measure, 180.0),
        Measurement("storm", "all stations connect at once", storm.measure, 180.0),
        Measurement("console", "what the console costs the server while people look", console.measure, 360.0),
    )
}
"""In the order in which they run."""


def run_bench(
    which: Sequence[str],
    json_path: Path | None,
    console: Console,
    quick: bool,
    sizes: Sizes | None = None,
    earlier: Mapping[str, Any] | None = None,
) -> int:
    """Measure (all, or those named), print the table, beside `earlier` figures too if given, write the JSON. 0 = everything was measured,
    whether or not its aim was met.

    A measurement that fails or takes too long is said so in its place, and the rest goes on; then the answer is 1. Raises
    `UnknownMeasurementError` before anything is started. Its processes and folders go with it, on Ctrl-C too.
    """
    unknown = [name for name in which if name not in MEASUREMENTS]
    if unknown:
        raise UnknownMeasurementError(f"There is no measurement '{unknown[0]}'; there are {', '.join(MEASUREMENTS)}.")
    chosen = [item for name, item in MEASUREMENTS.items() if not which or name in which]
    figures: list[Figure] = []
    references_us = [reference_us()]
    failed = False
    with tempfile.TemporaryDirectory(prefix="counterflow-bench-", ignore_cleanup_errors=True) as folder:
        stage = Stage(sizes or (QUICK if quick else FULL), Path(folder), console)
        for measurement in chosen:
            failed = not _measured(measurement, stage, figures) or failed
            references_us.append(reference_us())
    console.print(table(figures, references_us))
    measured = document(figures, references_us, quick, SystemClock().now_s())
    if earlier is not None:
        console.print(comparison_table(earlier, measured))
    if json_path is not None:
        write_json(json_path, measured)
        console.print(f"Written to {json_path}", markup=False, highlight=False)
    return 1 if failed else 0


def _measured(measurement: Measurement, stage: Stage, figures: list[Figure]) -> bool:
    stage.deadline_s = time.monotonic() + measurement.bound_s
    try:
        figures.extend(measurement.measure(stage))
    except (CannotError, ChildError) as why:
        stage.say(f"{measurement.name}: {why}")
        figures.append(Figure(key=f"{measurement.name}.failed", title=measurement.words, unit="", values=(), note=str(why)))
        return False
    return True
