"""`counterflow bench offers`: whether offers are as sure as they say, on days that the model has not seen (docs/offers.md).

ways       how people live in two towns
charging   cars that charge, for offers of charging that is given up
town       drivers and their days, of which the model knows nothing but what it is shown
judging    forecasts of one setting, beside the truth
figures    what is demanded, and the two simpler rules
grouping   what taking cars together costs, and saves
"""

import multiprocessing
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from counterflow.app.bench.offers.figures import Figure, of_judged, of_shocks
from counterflow.app.bench.offers.grouping import grouping_figures
from counterflow.app.bench.offers.judging import TOWNS, Judged, Place, Setting, joined, judge, learned_there
from counterflow.app.bench.offers.show import NARROWEST, document, draw, line, markdown, table
from counterflow.app.bench.table import write_json
from counterflow.domain.instructions import DispatchMode
from counterflow.engine.offers.scenarios import Risks
from counterflow.engine.offers.settings import OfferSettings

__all__ = ["SETTINGS", "OfferRequest", "run_offers"]

SETTINGS = (
    Setting(name="300 drivers, 1 h, no shocks", drivers=300, window_s=3_600.0, spread=0.0),
    Setting(name="3 000 drivers, 15 min, shocks 0.4", drivers=3_000, window_s=900.0, spread=0.4),
    Setting(name="3 000 drivers, 1 h, shocks 0.4", drivers=3_000, window_s=3_600.0, spread=0.4),
    Setting(name="3 000 drivers, 3 h, shocks 0.3", drivers=3_000, window_s=10_800.0, spread=0.3),
    Setting(name="10 000 drivers, 1 h, shocks 0.6", drivers=10_000, window_s=3_600.0, spread=0.6),
    Setting(name="relative, 3 000 drivers, 1 h, shocks 0.4", drivers=3_000, window_s=3_600.0, spread=0.4, mode=DispatchMode.RELATIVE),
    Setting(name="another town, 3 000 drivers, 1 h", drivers=3_000, window_s=3_600.0, spread=0.4, ways="other town"),
)
FORECASTS, PARTS = 10_000, 20
QUICK_FORECASTS, QUICK_PARTS = 200, 2
TOLD_EACH = 5
"""After so many parts of a setting it is told how it stands."""


class OfferRequest(Struct, frozen=True, kw_only=True):
    """How much is to be judged, and where the files go. `workers` None = one a core."""

    folder: Path
    quick: bool = False
    workers: int | None = None


class _Job(Struct, frozen=True):
    place: int
    part: int
    forecasts: int


def run_offers(request: OfferRequest, console: Console, settings: Sequence[Setting] = SETTINGS) -> int:
    """Forecast, judge, print the table, write JSON, Markdown and the reliability diagram. 1 where a goal was missed.

    Raises OSError where nothing can be written.
    """
    began_s = time.monotonic()
    request.folder.mkdir(parents=True, exist_ok=True)
    forecasts, parts = (QUICK_FORECASTS, QUICK_PARTS) if request.quick else (FORECASTS, PARTS)
    # All settings a little, again and again: whoever ends it early has seen something of each.
    jobs = [_Job(place, part, forecasts // parts) for part in range(parts) for place in range(len(settings))]
    workers = request.workers or max(1, len(os.sched_getaffinity(0)))
    by_place: dict[int, dict[int, Judged]] = {}
    # Spawned, not forked: a copy of a process with threads may stand still.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        grouping = pool.submit(grouping_figures, quick=request.quick)
        for job, judged in _results(pool, jobs, settings, console):
            mine = by_place.setdefault(job.place, {})
            mine[job.part] = judged
            if len(mine) % TOLD_EACH == 0 or len(mine) == parts:
                console.print(line(settings[job.place], joined(list(mine.values()))), markup=False, highlight=False)
        single = grouping.result()
    whole = [(setting, joined([by_place[place][part] for part in range(parts)])) for place, setting in enumerate(settings)]
    found = [(setting, of_judged(judged, guard=setting.guard)) for setting, judged in whole]
    single = [of_shocks(found), *single]
    return _tell(whole, found, single, request, forecasts, time.monotonic() - began_s, console)


def _learn(place: Place, number: int) -> Risks:
    return learned_there(place, number, OfferSettings())


def _judge(setting: Setting, job: _Job, risks: Risks) -> Judged:
    return judge(setting, job.forecasts, job.part, OfferSettings(), risks)


def _results(
    pool: ProcessPoolExecutor, jobs: Sequence[_Job], settings: Sequence[Setting], console: Console
) -> Iterator[tuple[_Job, Judged]]:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True) as progress:
        pasts = dict.fromkeys((settings[job.place].place, job.part % TOWNS) for job in jobs)
        bar = progress.add_task("learning of the past of each town", total=len(pasts))
        learning = {pool.submit(_learn, *past): past for past in pasts}
        risks = {}
        for learned in as_completed(learning):
            risks[learning[learned]] = learned.result()
            progress.update(bar, advance=1)
        bar = progress.add_task("forecasting", total=len(jobs))
        waiting = {pool.submit(_judge, settings[job.place], job, risks[settings[job.place].place, job.part % TOWNS]): job for job in jobs}
        for done in as_completed(waiting):
            progress.update(bar, advance=1, description=settings[waiting[done].place].name)
            yield waiting[done], done.result()


def _tell(
    whole: Sequence[tuple[Setting, Judged]],
    found: Sequence[tuple[Setting, Sequence[Figure]]],
    single: Sequence[Figure],
    request: OfferRequest,
    forecasts: int,
    took_s: float,
    console: Console,
) -> int:
    console.print(table(found, single, max(console.width, NARROWEST)), crop=False)
    (request.folder / "offers.md").write_text(markdown(found, single), encoding="utf-8")
    write_json(request.folder / "offers.json", document(found, single, forecasts, took_s, quick=request.quick))
    draw({setting.name: judged for setting, judged in whole}, request.folder / "reliability.png")
    all_figures = [*single, *(figure for _, figures in found for figure in figures)]
    missed = [figure for figure in all_figures if figure.verdict in ("missed", "missing")]
    words = f"{forecasts} forecasts for each of {len(found)} settings in {took_s / 60.0:.1f} minutes; {len(missed)} goals missed."
    console.print(f"{words} Written to {request.folder}", markup=False, highlight=False)
    if request.quick:
        console.print("Quick: too few forecasts to judge; not comparable with the full run.")
    return 1 if missed else 0
