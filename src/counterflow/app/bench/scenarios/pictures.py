"""Pictures of a step, a moving target and a drop-out: ours, PI and the open loop on the same fleet with the same luck."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from msgspec import Struct

from counterflow.app.bench.scenarios.play import Course, Run, Stage, play
from counterflow.app.bench.scenarios.regulation import BASE, SWING, regulation
from counterflow.app.bench.scenarios.scenario import Setup
from counterflow.app.bench.scenarios.steps import constant, lose, stage_for
from counterflow.engine.control.settings import Tracker
from counterflow.engine.fleet.snapshot import F8

CARS = 1_000
SEED = 1
LINES = {
    Tracker.OPEN_LOOP: ("open loop", "#9aa5b1", 1.2),
    Tracker.PI: ("PI, spread over all cars", "#c8352b", 1.2),
    Tracker.LEARNED: ("Counterflow", "#0b6fb8", 1.8),
}
_INK = "#1d2733"


class Picture(Struct, frozen=True, kw_only=True):
    """A course, and the stretch of it that is shown."""

    name: str
    title: str
    course: Callable[[Stage], Course]
    shown_s: tuple[int, int]


def _moving(stage: Stage) -> Course:
    return Course(target_w=float(stage.plant.fleet.max_w.sum()) * (BASE + SWING * regulation(900, SEED)), streamed=True)


PICTURES = {
    picture.name: picture
    for picture in (
        Picture(
            name="step",
            title="A step to 80 % of the nameplate power, nothing learned yet",
            course=lambda stage: Course(target_w=constant(stage, 240)),
            shown_s=(0, 240),
        ),
        Picture(name="moving-target", title="A regulation signal, a new value every two seconds", course=_moving, shown_s=(300, 900)),
        Picture(
            name="drop-out",
            title="A tenth of the cars leaves at once, a fifth of them without a word",
            course=lambda stage: Course(target_w=constant(stage, 420), events={240: lose(0.1)}),
            shown_s=(210, 420),
        ),
    )
}


def draw(name: str, folder: Path) -> Path:
    """Play and draw one; the file's path. Raises OSError."""
    picture = PICTURES[name]
    figure = Figure(figsize=(11, 5.2), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (3.0, 1.2), "hspace": 0.08})
    figure.subplots_adjust(left=0.075, right=0.98, top=0.9, bottom=0.1)
    for tracker, (label, colour, width) in LINES.items():
        stage = stage_for(Setup(seed=SEED, tracker=tracker), CARS)
        _draw_run(above, below, play(stage, picture.course(stage)), picture.shown_s, (label, colour, width))
    above.set_title(picture.title, loc="left", fontsize=12, color=_INK)
    above.set_ylabel("MW delivered")
    above.legend(loc="lower right", frameon=False, fontsize=9)
    below.axhline(0.0, color=_INK, linewidth=0.8)
    below.set_ylim(-12.0, 12.0)
    below.set_ylabel("error, %")
    below.set_xlabel("seconds")
    for axes in (above, below):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    path = folder / f"{picture.name}.png"
    figure.savefig(path, metadata={"Title": picture.title})
    return path


def _draw_run(above: Axes, below: Axes, run: Run, shown_s: tuple[int, int], line: tuple[str, str, float]) -> None:
    part = slice(*shown_s)
    seconds: F8 = np.arange(*shown_s, dtype=np.float64)
    label, colour, width = line
    if label == LINES[Tracker.OPEN_LOOP][0]:
        above.step(seconds, run.target_w[part] / 1e6, where="post", color=_INK, linewidth=1.0, label="target")
    above.plot(seconds, run.delivered_w[part] / 1e6, color=colour, linewidth=width, label=label)
    error = 100.0 * (run.delivered_w[part] - run.target_w[part]) / float(run.target_w.max())
    below.plot(seconds, error, color=colour, linewidth=width)
