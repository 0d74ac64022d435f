"""`counterflow bench scenarios`: how well the fleet follows, judged on plants that the controller never sees (docs: tracking).

play       a plant (sim.plant) and the engine, step by step on the virtual clock
scenario   what is played, and what is demanded of its figures; the modules steps, streams, promises and sums hold them
outcome    judged over all seeds, beside the open loop and a PI controller with the same luck
"""

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from counterflow.app.bench.figures import CannotError
from counterflow.app.bench.scenarios.catalogue import SCENARIOS, UnknownScenarioError, chosen
from counterflow.app.bench.scenarios.outcome import Outcome
from counterflow.app.bench.scenarios.pictures import PICTURES, draw
from counterflow.app.bench.scenarios.scenario import Figures, Scenario
from counterflow.app.bench.scenarios.show import document, markdown, streams, table
from counterflow.app.bench.table import write_json
from counterflow.engine.control.settings import Tracker

__all__ = ["Request", "UnknownScenarioError", "run_scenarios"]


STOPPED = 130
QUICK = (
    "Quick: a tenth of the cars, but 100 at least and 1 000 at most, as each title says; windows of 15 minutes, half an hour in 8 to 10. "
    "A single car weighs much there, so that goals are missed which the full run meets: nothing here is comparable with it."
)


class Request(Struct, frozen=True, kw_only=True):
    """What is to be played: scenarios (`4,8`; empty = all), seeds each, and where the files go."""

    only: str = ""
    seeds: int = 5
    quick: bool = False
    folder: Path


class _Job(Struct, frozen=True):
    number: str
    tracker: Tracker
    seed: int
    quick: bool


def run_scenarios(request: Request, console: Console) -> int:
    """Play, print the table, write JSON, Markdown and pictures. 1 where a goal was missed or something could not be played.

    On Ctrl-C what was played until then is shown and written, and the answer is 130.

    Raises `UnknownScenarioError` before anything is played, and OSError where nothing can be written.
    """
    scenarios = chosen(request.only)
    began_s = time.monotonic()
    request.folder.mkdir(parents=True, exist_ok=True)
    jobs = [job for scenario in scenarios for job in _jobs(scenario, request)]
    found: dict[_Job, Figures] = {}
    faults: dict[str, str] = {}
    stopped = False
    try:
        with _one_interrupt():
            for path in _pictures(request.folder) if not request.only else ():
                console.print(f"Drawn: {path}", markup=False, highlight=False)
            for job, result in _results(jobs, console):
                if isinstance(result, str):
                    faults[job.number] = result
                else:
                    found[job] = result
    except KeyboardInterrupt:
        stopped = True
        console.print("Stopped. This is what was played until then.")
    played = {job.number for job in found if job.tracker is Tracker.LEARNED} | faults.keys()
    wanted = [scenario for scenario in scenarios if not stopped or scenario.number in played]
    outcomes = [_outcome(scenario, found, faults.get(scenario.number, "")) for scenario in wanted]
    _tell(outcomes, request, console, time.monotonic() - began_s)
    return STOPPED if stopped else 0 if all(outcome.met and not outcome.note for outcome in outcomes) else 1


@contextmanager
def _one_interrupt() -> Iterator[None]:
    """The first Ctrl-C stops, and is the last that counts: ending the processes and writing what there is must not cost it."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    yield
    signal.signal(signal.SIGINT, before)


@contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Processes that start meanwhile never see Ctrl-C, not even before their first line; we see it a moment later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _jobs(scenario: Scenario, request: Request) -> Iterator[_Job]:
    for seed in range(1, request.seeds + 1):
        yield _Job(scenario.number, Tracker.LEARNED, seed, request.quick)
    beside = request.seeds if scenario.baseline_seeds == 0 else min(request.seeds, scenario.baseline_seeds)
    for tracker in scenario.baselines:
        for seed in range(1, beside + 1):
            yield _Job(scenario.number, tracker, seed, request.quick)


def _play(job: _Job) -> Figures | str:
    """In a process of its own; a sentence where it cannot be played."""
    scenario = SCENARIOS[job.number]
    try:
        return dict(scenario.measure(scenario.setup(job.seed, job.tracker, quick=job.quick)))
    except CannotError as why:
        return str(why)


@contextmanager
def _pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Processes to play in; they end at once when something comes up. They are started by what is submitted, with `_interrupts_wait`."""
    others = set(multiprocessing.active_children())
    # Spawned, not forked: a copy of a process with threads may stand still.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        try:
            yield pool
        except BaseException:
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            pool.shutdown(cancel_futures=True)  # waits for the pool's thread: at the interpreter's end it would be woken by a closed pipe
            raise


def _pictures(folder: Path) -> list[Path]:
    with _pool(_workers()) as pool:
        with _interrupts_wait():
            drawn = pool.map(draw, PICTURES, [folder] * len(PICTURES))
        return list(drawn)


def _workers() -> int:
    return max(1, len(os.sched_getaffinity(0)))


def _results(jobs: Sequence[_Job], console: Console) -> Iterator[tuple[_Job, Figures | str]]:
    """All plays as they end; those that measure time come last, one by one. Where no bar can be shown, a line tells of each row."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    left = Counter(job.number for job in jobs)
    done = 0
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("playing", total=len(jobs))
        for alone in (False, True):
            now = [job for job in jobs if SCENARIOS[job.number].alone is alone]
            if not now:
                continue
            with _pool(1 if alone else _workers()) as pool:
                with _interrupts_wait():
                    waiting: dict[Future[Figures | str], _Job] = {pool.submit(_play, job): job for job in now}
                for ended in as_completed(waiting):
                    job = waiting[ended]
                    done, left[job.number] = done + 1, left[job.number] - 1
                    progress.update(bar, advance=1, description=f"{job.number:>3} {SCENARIOS[job.number].title}"[:36])
                    if not console.is_terminal and left[job.number] == 0:
                        console.print(f"{done:4} of {len(jobs)} plays; {job.number} is played.", highlight=False)
                    yield job, ended.result()


def _outcome(scenario: Scenario, found: dict[_Job, Figures], note: str) -> Outcome:
    plays: dict[Tracker, dict[int, Figures]] = {}
    for job, figures in sorted(found.items(), key=lambda item: item[0].seed):
        if job.number == scenario.number:
            plays.setdefault(job.tracker, {})[job.seed] = figures
    return Outcome(scenario=scenario, plays=plays, note=note)


def _tell(outcomes: Sequence[Outcome], request: Request, console: Console, took_s: float) -> None:
    whole = not request.only
    console.print(table(outcomes, whole=whole, quick=request.quick))
    streamed = streams(outcomes, quick=request.quick)
    if streamed is not None:
        console.print(streamed)
    (request.folder / "scenarios.md").write_text(markdown(outcomes, whole=whole, quick=request.quick), encoding="utf-8")
    write_json(request.folder / "scenarios.json", document(outcomes, quick=request.quick, seeds=request.seeds, took_s=took_s))
    missed = sum(not outcome.met for outcome in outcomes)
    words = f"{len(outcomes)} scenarios with {request.seeds} seeds each in {took_s / 60.0:.1f} minutes; {missed} with a goal missed."
    console.print(f"{words} Written to {request.folder}", markup=False, highlight=False)
    if request.quick:
        console.print(QUICK)
