"""`counterflow bench realtime`: stations over WebSockets follow a streamed target, beside the same on the virtual clock.

course     what is played, from the seed
real       server, stations and signal in processes of their own, on the wall clock (stations: the fleet's process)
virtual    the whole control room and the same stations on the virtual clock
truth      what the cars truly did; played: how one run went; verdict: how both compare
"""

import os
import time
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console

from counterflow.app.bench.figures import CannotError
from counterflow.app.bench.processes import ChildError
from counterflow.app.bench.realtime.course import Course, course_of
from counterflow.app.bench.realtime.played import Played
from counterflow.app.bench.realtime.real import play_really
from counterflow.app.bench.realtime.show import disturbance_lines, document, draw, markdown, table
from counterflow.app.bench.realtime.verdict import AGREEMENT_PP, judge
from counterflow.app.bench.realtime.virtual import CannotPlayError, play_virtually
from counterflow.app.bench.table import write_json
from counterflow.app.clock import SystemClock

__all__ = ["Request", "course_of", "run_realtime"]


class Request(Struct, frozen=True, kw_only=True):
    """What is to be played, and where the files go; `json_file` = where the figures are to be written besides."""

    course: Course
    folder: Path
    json_file: Path | None = None
    config: Path | None = None
    """Settings of the server, for both clocks; None = the defaults."""


def run_realtime(request: Request, console: Console) -> int:
    """Play in real time, then on the virtual clock, show and write both. 1 where they disagree, a demand is missed, or nothing came of it.

    Raises OSError where nothing can be written.
    """
    course, began_s = request.course, time.monotonic()
    request.folder.mkdir(parents=True, exist_ok=True)

    def say(words: str) -> None:
        console.print(f"{time.monotonic() - began_s:6.0f} s  {words}", markup=False, highlight=False)

    whole_min = (course.gather_s + course.notice_s + course.seconds) / 60.0
    say(f"{course.stations} stations in real time, seed {course.seed}; this takes a good {whole_min:.0f} minutes")
    try:
        real = play_really(course, request.folder / time.strftime("run-%Y%m%d-%H%M%S"), say, request.config)
        real = replace(real, disturbance={**real.disturbance, "load_average": os.getloadavg()[0]})
        say("the same on the virtual clock")
        virtual = play_virtually(course, request.config)
        return _told(real, virtual, request, console)
    except (CannotPlayError, ChildError, CannotError, ValueError) as why:
        console.print(f"The run came to nothing: {why}", markup=False, highlight=False, style="bold red")
        return 1


def _told(real: Played, virtual: Played, request: Request, console: Console) -> int:
    """Show and write; the exit code."""
    course = request.course
    verdict = judge(real, virtual, course)
    console.print(table(verdict))
    for words, value in disturbance_lines(real.disturbance):
        console.print(f"  {words}: {value}", markup=False, highlight=False)
    for sentence in real.standing.violations[:5]:
        console.print(f"A station objects: {sentence}", markup=False, highlight=False)
    content = document(verdict, real, virtual, course, SystemClock().now_s())
    (request.folder / "realtime.md").write_text(markdown(verdict, real, course), encoding="utf-8")
    for path in (request.folder / "realtime.json", *((request.json_file,) if request.json_file else ())):
        write_json(path, content)
    draw(real, virtual, course, request.folder / "realtime.png")
    differs_pp = abs(verdict.row("rmse_percent").difference or 0.0)
    console.print(
        f"Real time and virtual clock differ by {differs_pp:.2f} percentage points of RMSE; {AGREEMENT_PP:g} are allowed. "
        + ("Every demand is met." if verdict.kept else "A demand is missed."),
        style="bold green" if verdict.kept else "bold red",
        highlight=False,
    )
    console.print(f"Written to {request.folder}", markup=False, highlight=False)
    return 0 if verdict.kept else 1
