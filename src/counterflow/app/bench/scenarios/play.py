"""Playing a course: plant and control centre step by step on the virtual clock, with a record of what was asked and truly given."""

from collections.abc import Callable, Mapping

import numpy as np
from msgspec import Struct

from counterflow.app.bench.scenarios.centre import Centre
from counterflow.domain.instructions import AllocationPolicy, DispatchMode
from counterflow.domain.resources import Site
from counterflow.engine.control.decision import TickFigures
from counterflow.engine.control.settings import ControlSettings
from counterflow.engine.fleet.snapshot import F8
from counterflow.engine.fleet.topology import Topology
from counterflow.sim.plant.fleet import Fleet, Wishes
from counterflow.sim.plant.nature import Nature
from counterflow.sim.plant.plant import Plant

START_S = 1_800_000_000.0
WAKE_GAP_S = 1.0
"""As `dispatcher.wake_gap_s`: a loss brings the next tick forward, but no closer than this to the last."""


class Course(Struct, frozen=True, kw_only=True):
    """What is asked. `target_w` (M,) holds one value a step; the controller learns each when its step comes. `events`: what befalls the
    plant in which step. `streamed`: the target comes value by value. `after_s`: how long the play goes on beyond the window, while
    charging resumes. `notice_s`: how long before the window the order is known. `event_driven`: a new target or a loss brings a tick
    forward."""

    target_w: F8
    events: Mapping[int, Callable[[Plant], None]] = {}
    policy: AllocationPolicy = AllocationPolicy.HYBRID
    mode: DispatchMode = DispatchMode.NET_EXPORT
    streamed: bool = False
    after_s: float = 0.0
    notice_s: float = 0.0
    event_driven: bool = True


class Run(Struct, frozen=True, kw_only=True):
    """What happened. Series have one value a step of the window (and of what came after), discharge positive."""

    dt_s: float
    target_w: F8
    delivered_w: F8
    import_w: F8
    """What the cars drew together."""
    messages: F8
    """Orders sent in each step."""
    figures: tuple[tuple[float, TickFigures], ...]
    """Of each tick, with its time since the start."""
    alarms_s: tuple[float, ...]
    ahead: int
    """Orders sent before the window."""

    def messages_between(self, from_s: float, to_s: float) -> int:
        """Orders sent in a stretch of the run."""
        return int(self.messages[round(from_s / self.dt_s) : round(to_s / self.dt_s)].sum())


class Stage(Struct, frozen=True, kw_only=True):
    """A plant with its control centre."""

    plant: Plant
    centre: Centre


def set_up(
    nature: Nature, wishes: Wishes, seed: int, *, control: ControlSettings | None = None, sites: tuple[Site, ...] = (), dt_s: float = 1.0
) -> Stage:
    """A fleet of that kind at the start of a run; the same seed gives the same fleet and the same luck."""
    rng = np.random.default_rng((seed, 0xF1EE7))
    fleet = Fleet.drawn(wishes, START_S, rng)
    plant = Plant(nature, fleet, START_S, rng, dt_s)
    centre = Centre(
        fleet,
        now_s=START_S,
        topology=Topology(sites),
        meter_interval_s=nature.meter_interval_s,
        told_soc_frac=plant.told_soc_frac(),
        power_w=plant.power_w.copy(),
        control=control or ControlSettings(),
    )
    return Stage(plant=plant, centre=centre)


def play(stage: Stage, course: Course, watch: Callable[[int, Plant], None] | None = None) -> Run:
    """Play a course from now on; `watch` is called after each step of the window and of what comes after it."""
    player = _Player(stage, course)
    for step in range(-round(course.notice_s / player.dt_s), player.steps + player.after):
        player.control(step)
        player.advance(step)
        if watch is not None and step >= 0:
            watch(step, stage.plant)
    return player.run()


class _Player:
    """The state of a play under way."""

    def __init__(self, stage: Stage, course: Course) -> None:
        self.plant, self.centre, self.course = stage.plant, stage.centre, course
        self.dt_s = self.plant.dt_s
        self.steps, self.after = len(course.target_w), round(course.after_s / self.dt_s)
        self.begins_s = self.plant.now_s + course.notice_s
        self.centre.begin(self.begins_s, self.begins_s + self.steps * self.dt_s, course.policy, course.mode, course.streamed)
        total = self.steps + self.after
        self.delivered_w, self.import_w, self.messages = np.zeros(total), np.zeros(total), np.zeros(total)
        self.figures: list[tuple[float, TickFigures]] = []
        self.alarms_s: list[float] = []
        self.ahead = 0
        self._last_s, self._asked_w, self._woken = -np.inf, np.nan, False

    def control(self, step: int) -> None:
        """What the dispatcher does at this time: a tick when one is due, or the paced return of charging."""
        now_s, period_s = self.plant.now_s, self.centre.control.tick_interval_s
        if 0 <= step < self.steps:
            if step in self.course.events:
                self.course.events[step](self.plant)
            target_w = float(self.course.target_w[step])
            woken = self.course.event_driven and (self._woken or target_w != self._asked_w)
            due_s = WAKE_GAP_S if woken else period_s
            if step == 0 or now_s - self._last_s >= due_s - 1e-9:
                self._tick(step, target_w)
        elif now_s - self._last_s >= period_s - 1e-9:
            self._last_s = now_s
            if step < 0:
                decision = self.centre.decide(float(self.course.target_w[0]), now_s, self.plant)
                self.ahead += len(decision.changes)
            else:
                self.messages[step] = self.centre.resume(now_s, self.plant)

    def _tick(self, step: int, target_w: float) -> None:
        since_s = self.plant.now_s - self.begins_s
        decision = self.centre.decide(target_w, self.plant.now_s, self.plant)
        self.figures.append((since_s, decision.figures))
        self.alarms_s.extend([since_s] * bool(decision.alarms))
        self.messages[step] = len(decision.changes) + len(decision.releases)
        self._last_s, self._asked_w, self._woken = self.plant.now_s, target_w, False

    def advance(self, step: int) -> None:
        """One step of the plant, and what is heard of it."""
        heard = self.plant.step()
        self._woken |= self.centre.hear(heard, self.plant.now_s)
        if step >= 0:
            self.delivered_w[step] = -float(self.plant.power_w.sum())
            self.import_w[step] = float(np.maximum(self.plant.power_w, 0.0).sum())

    def run(self) -> Run:
        """The record."""
        return Run(
            dt_s=self.dt_s,
            target_w=np.concatenate([self.course.target_w, np.zeros(self.after)]),
            delivered_w=self.delivered_w,
            import_w=self.import_w,
            messages=self.messages,
            figures=tuple(self.figures),
            alarms_s=tuple(self.alarms_s),
            ahead=self.ahead,
        )
