"""What fights lag on a streamed target, each by itself: rows 8 and 9 again, with one thing otherwise (docs/tracking.md)."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from statistics import fmean

from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

from counterflow.app.bench.scenarios.scenario import Figures, Setup
from counterflow.app.bench.scenarios.streams import stream
from counterflow.engine.control.settings import ControlSettings
from counterflow.sim.plant.nature import REFERENCE

CARS = 1_000
DROPS = {"8": 0.0, "9": 0.1}
"""Share of the cars that leaves at half time, by the number of the row."""


class Way(Struct, frozen=True, kw_only=True):
    """One thing otherwise than it is. `meter_interval_s`: of all cars, so that it is the most that faster meters of some can bring."""

    title: str
    meter_interval_s: float = REFERENCE.meter_interval_s
    control: ControlSettings = ControlSettings()
    event_driven: bool = True


WAYS = (
    Way(title="as it is: meters every 10 s, a tick with each value"),
    Way(title="meters every 2 s", meter_interval_s=2.0),
    Way(title="meters every second", meter_interval_s=1.0),
    Way(title="meters every minute", meter_interval_s=60.0),
    Way(title="ticks every 4 s only", event_driven=False),
    Way(title="ticks every second", control=ControlSettings(tick_interval_s=1.0)),
    Way(title="no anticipation", control=ControlSettings(stream_lead_share=0.0)),
)

COLUMNS = {"strict": ("strict score", 4), "precision": ("precision", 3), "rmse": ("RMSE, % of swing", 2), "messages": ("messages/car/h", 1)}
"""Figures that are shown: title and digits."""


def measured(way: Way, row: str, setup: Setup) -> Figures:
    """One play."""
    nature = replace(REFERENCE, meter_interval_s=way.meter_interval_s)
    return stream(setup, setup.cars, nature, DROPS[row], control=way.control, event_driven=way.event_driven)


def run_lag(seeds: int, console: Console, *, quick: bool = False) -> int:
    """Play every way in both rows with so many seeds, and print the means. Always 0: it has no goals."""
    plays = list(product(DROPS, WAYS, range(1, seeds + 1)))
    figures: dict[tuple[str, str], list[Figures]] = {}
    with console.status("") as status, ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        setups = [Setup(seed=seed, quick=quick, full_cars=CARS) for _, _, seed in plays]
        played = pool.map(measured, [way for _, way, _ in plays], [row for row, _, _ in plays], setups)
        for number, ((row, way, _), one) in enumerate(zip(plays, played, strict=True), start=1):
            figures.setdefault((row, way.title), []).append(one)
            status.update(f"{number} of {len(plays)} plays")
    console.print(_table(seeds, figures))
    return 0


def _table(seeds: int, figures: Mapping[tuple[str, str], list[Figures]]) -> Table:
    table = Table(title=f"What fights lag, mean of {seeds} {'play' if seeds == 1 else 'plays'}", title_justify="left")
    table.add_column("row")
    table.add_column("way")
    for title, _ in COLUMNS.values():
        table.add_column(title, justify="right")
    for (row, title), plays in figures.items():
        table.add_row(row, title, *_means(plays))
    return table


def _means(plays: list[Figures]) -> Iterator[str]:
    for key, (_, digits) in COLUMNS.items():
        yield f"{fmean(play[key] for play in plays):.{digits}f}"
