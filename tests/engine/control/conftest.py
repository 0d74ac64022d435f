"""A fast stand-in plant in numpy (control reference 4.1): the loop closed over thousands of cars in a second or two."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from counterflow.domain.ids import ALL_SITES, DispatchId, StationId, TransactionId
from counterflow.domain.instructions import AllocationPolicy, DispatchInstruction, DispatchMode, TargetStep
from counterflow.domain.resources import ControlMode, Feeder, Site
from counterflow.domain.setpoints import SetpointState
from counterflow.domain.settlement import BaselineMethod
from counterflow.domain.telemetry import TransactionPhase
from counterflow.engine.control.decision import Decision, DispatchTask, TaskMemory
from counterflow.engine.control.response import ResponseMemory, observe
from counterflow.engine.control.settings import ControlSettings, ResponseSettings
from counterflow.engine.control.tick import tick
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import FleetImage, empty_columns, freeze
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.fleet.undisturbed import ChargingTerms

START_S = 1_800_000_000.0


@dataclass
class PlantOptions:
    """What the cars, lines and meters are like."""

    cars: int = 200
    seed: int = 1
    smallest_w: float = 7_000.0
    largest_w: float = 11_000.0
    charging_w: float = 0.0
    derated_share: float = 0.03
    deaf_share: float = 0.02
    command_loss: float = 0.01
    meter_loss: float = 0.01
    meter_interval_s: float = 10.0
    attrition_per_h: float = 0.05
    silent_share: float = 0.2
    minimum_share: float = 0.0
    sites: tuple[Site, ...] = ()
    feeders: tuple[Feeder, ...] = ()
    modern: bool = False
    charge_only_share: float = 0.0
    """So many cars cannot be discharged, and may be paused."""


@dataclass
class Run:
    """What happened, a second an entry."""

    target_w: list[float] = field(default_factory=list)
    true_w: list[float] = field(default_factory=list)
    decisions: list[tuple[float, Decision]] = field(default_factory=list)

    def error(self, from_s: int, to_s: int, mean_s: int = 1) -> Any:
        """Relative error of true power to target, means over `mean_s` seconds, between two instants of the run."""
        true, target = np.array(self.true_w[from_s:to_s]), np.array(self.target_w[from_s:to_s])
        steps = len(true) // mean_s
        error = (true - target)[: steps * mean_s].reshape(steps, mean_s).mean(axis=1)
        return error / target[: steps * mean_s].reshape(steps, mean_s).mean(axis=1)

    def messages(self, from_s: float = 0.0, to_s: float = 1e9) -> int:
        """Orders sent in a stretch of the run."""
        return sum(len(decision.changes) for at_s, decision in self.decisions if from_s <= at_s < to_s)


class Plant:
    """Cars at stations, one second a step. Discharge is positive in here; the image follows the project's sign."""

    def __init__(self, options: PlantOptions) -> None:
        self.options = options
        n = options.cars
        self.rng = np.random.default_rng(options.seed)
        self.now_s = START_S
        self.topology = Topology(options.sites, options.feeders)
        self.cap_w = self.rng.uniform(options.smallest_w, options.largest_w, n)
        self.gain = self.rng.normal(0.97, 0.02, n)
        self.bias_w = self.rng.normal(150.0, 150.0, n)
        derated = self.rng.random(n) < options.derated_share
        self.ceiling = np.where(derated, self.rng.uniform(0.5, 0.9, n), 1.0)
        self.deaf = self.rng.random(n) < options.deaf_share
        self.delay_s = self.rng.uniform(0.5, 2.0, n) if options.modern else self.rng.uniform(2.0, 10.0, n)
        self.ramp_w = self.rng.uniform(5_000.0, 20_000.0, n) if options.modern else self.rng.uniform(500.0, 5_000.0, n)
        self.true_w = np.full(n, -options.charging_w)
        self.wanted_w = np.full(n, -options.charging_w)
        self.due_s = np.full(n, np.inf)
        self.next_w = np.full(n, np.nan)
        self.until_s = np.full(n, np.inf)
        self.hold_s = np.full(n, np.inf)
        self.next_until_s = np.full(n, np.inf)
        self.next_hold_s = np.full(n, np.inf)
        self.answer_s = np.full(n, np.inf)
        self.answer = np.zeros(n, dtype=np.int8)
        self.gone = np.zeros(n, dtype=bool)
        self.sample_due_s = self.now_s - self.rng.uniform(0.0, options.meter_interval_s, n)
        self.arrival_s = np.full(n, np.inf)
        self.sample_w = np.zeros(n)
        self.sample_at_s = np.zeros(n)
        self.columns = self._columns(n)
        self.keys = tuple((StationId(f"CS{row}"), TransactionId(f"T{row}")) for row in range(n))

    def _columns(self, n: int) -> dict[str, Any]:
        c = empty_columns(n)
        c["uid"][:] = np.arange(1, n + 1)
        c["station"][:] = np.arange(n)
        c["site"][:] = 1 + np.arange(n) % len(self.options.sites) if self.options.sites else 0
        c["evse_id"][:] = 1
        c["supply"][:] = np.arange(n) // max(1, len(self.options.sites)) % 5
        for name in ("connected", "consent", "bidirectional"):
            c[name][:] = True
        c["phase"][:] = TransactionPhase.CHARGING
        c["control_mode"][:] = ControlMode.SETPOINT
        c["started_s"][:] = self.now_s - 3600.0
        c["departure_s"][:] = self.now_s + 8 * 3600.0
        c["meter_interval_s"][:] = self.options.meter_interval_s
        c["last_sample_s"][:] = c["power_at_s"][:] = c["soc_at_s"][:] = c["register_at_s"][:] = self.now_s - 1.0
        c["power_w"][:] = self.options.charging_w
        c["export_wh"][:] = c["import_wh"][:] = c["soc_export_wh"][:] = c["soc_import_wh"][:] = 0.0
        c["soc_frac"][:] = 0.85
        c["capacity_wh"][:] = 80_000.0
        c["soc_floor_frac"][:] = 0.3
        c["soc_target_frac"][:] = 0.6
        c["max_discharge_w"][:] = c["max_charge_w"][:] = self.cap_w
        c["min_discharge_w"][:] = self.options.minimum_share * self.cap_w
        only = np.arange(n) < round(self.options.charge_only_share * n)
        c["pausing"][only], c["control_mode"][only] = True, ControlMode.CHARGE_ONLY
        return c

    def image(self) -> FleetImage:
        """The fleet as the dispatcher sees it now."""
        return freeze(self.columns, self.keys, self.now_s)

    def send(self, decision: Decision) -> None:
        """Carry out a decision: some orders get lost, the rest work after the car's delay."""
        c = self.columns
        for change in decision.changes:
            row = change.row
            c["previous_setpoint_w"][row] = c["setpoint_w"][row]
            c["setpoint_w"][row], c["setpoint_at_s"][row] = change.power_w, self.now_s
            c["discharge_until_s"][row], c["hold_until_s"][row] = change.discharge_until_s, change.hold_until_s
            c["setpoint_state"][row] = SetpointState.PENDING
            c["reduced"][row] = change.reduces
            if change.reduces:
                c["drew_w"][row] = self.options.charging_w
            lost = self.gone[row] or self.rng.random() < self.options.command_loss
            self.answer_s[row] = self.now_s + (30.0 if lost else 0.5)
            self.answer[row] = SetpointState.UNKNOWN if lost else SetpointState.ACCEPTED
            if not lost:
                self.due_s[row] = self.now_s + self.delay_s[row] + self.rng.lognormal(np.log(0.2), 0.5)
                self.next_w[row] = -change.power_w
                self.next_until_s[row], self.next_hold_s[row] = change.discharge_until_s, change.hold_until_s
        for release in decision.releases:
            row = release.row
            for name in ("setpoint_w", "discharge_until_s", "hold_until_s"):
                c[name][row] = np.nan
            c["setpoint_state"][row], c["reduced"][row] = SetpointState.NONE, False
            self.due_s[row], self.next_w[row] = self.now_s + self.delay_s[row], -self.options.charging_w

    def leave(self, rows: Any) -> None:
        """Cars drive off; some of their stations go silent instead of telling."""
        for row in rows:
            if self.gone[row]:
                continue
            self.gone[row] = True
            if self.rng.random() >= self.options.silent_share:
                self.columns["uid"][row] = 0

    def step(self) -> None:
        """One second of physics, meters and answers."""
        self.now_s += 1.0
        now_s, options, c = self.now_s, self.options, self.columns
        self.leave(np.flatnonzero(self.rng.random(options.cars) < options.attrition_per_h / 3600.0))
        due = self.due_s <= now_s
        moves = due & ((np.abs(self.next_w - self.wanted_w) >= 200.0) | (self.next_w == 0.0))
        self.wanted_w = np.where(moves, self.next_w, self.wanted_w)
        self.until_s, self.hold_s = np.where(due, self.next_until_s, self.until_s), np.where(due, self.next_hold_s, self.hold_s)
        self.due_s[due] = np.inf
        self.wanted_w = np.where(now_s >= self.until_s, np.minimum(self.wanted_w, 0.0), self.wanted_w)
        self.wanted_w = np.where(now_s >= self.hold_s, -options.charging_w, self.wanted_w)
        runs = self.wanted_w > 0.0
        goal_w = np.where(runs, np.maximum(self.ceiling * (self.gain * self.wanted_w - self.bias_w), 0.0), self.wanted_w)
        goal_w = np.where(self.deaf, -options.charging_w, goal_w)
        self.true_w = self.true_w + np.clip(goal_w - self.true_w, -self.ramp_w, self.ramp_w)
        self.true_w[self.gone] = 0.0
        answered = self.answer_s <= now_s
        c["setpoint_state"][answered] = self.answer[answered]
        self.answer_s[answered] = np.inf
        self._meter(now_s)

    def _meter(self, now_s: float) -> None:
        options, c = self.options, self.columns
        sampled = (self.sample_due_s <= now_s) & ~self.gone
        self.sample_due_s[sampled] += options.meter_interval_s
        heard = sampled & (self.rng.random(options.cars) >= options.meter_loss)
        count = int(heard.sum())
        self.sample_w[heard] = self.true_w[heard] * (1.0 + self.rng.normal(0.0, 0.005, count)) + self.rng.normal(0.0, 30.0, count)
        self.sample_at_s[heard] = now_s
        self.arrival_s[heard] = now_s + 0.2 + self.rng.exponential(0.8, count)
        arrived = (self.arrival_s <= now_s) & (c["uid"] != 0)
        c["power_w"][arrived], c["power_at_s"][arrived] = -self.sample_w[arrived], self.sample_at_s[arrived]
        c["last_sample_s"][arrived] = now_s
        self.arrival_s[arrived] = np.inf


class Loop:
    """The plant under the tick, every four seconds and on known losses."""

    def __init__(self, options: PlantOptions, settings: ControlSettings | None = None) -> None:
        self.plant = Plant(options)
        self.settings = settings or ControlSettings()
        self.response_settings = ResponseSettings()
        self.capability_settings = CapabilitySettings()
        self.memory = TaskMemory.fresh()
        self.response = ResponseMemory.fresh(options.cars, self.response_settings)
        self.run = Run()
        self.stopped = False

    def order(
        self,
        steps: list[tuple[float, float]],
        duration_s: float,
        policy: AllocationPolicy = AllocationPolicy.HYBRID,
        mode: DispatchMode = DispatchMode.NET_EXPORT,
    ) -> None:
        """An order; steps are (seconds after now, discharge power in W)."""
        now_s = self.plant.now_s
        self.instruction = DispatchInstruction(
            dispatch_id=DispatchId("d1"),
            start_s=now_s,
            end_s=now_s + duration_s,
            steps=tuple(TargetStep(from_s=now_s + at_s, discharge_power_w=power_w) for at_s, power_w in steps),
            pool=ALL_SITES,
            policy=policy,
            mode=mode,
            priority=0,
            accepted_at_s=now_s,
        )

    def tick(self) -> Decision:
        """Observe, decide, send."""
        plant = self.plant
        image = plant.image()
        self.response = observe(image, self.response, plant.now_s, self.response_settings)
        decision = tick(
            image,
            DispatchTask(
                instruction=self.instruction, busy=np.zeros(len(image), dtype=bool), other_export_w=np.zeros(plant.topology.groups)
            ),
            self.memory,
            self.response,
            plant.now_s,
            plant.topology,
            self.capability_settings,
            self.settings,
            emergency_stop=self.stopped,
        )
        self.memory = decision.memory
        plant.send(decision)
        self.run.decisions.append((plant.now_s - START_S, decision))
        return decision

    def play(self, seconds: int, at: dict[int, Callable[[], None]] | None = None) -> Run:
        """Let `seconds` pass; `at` maps a second to something that happens then (a loss of cars is acted on at once)."""
        for second in range(seconds):
            event = (at or {}).get(second)
            if event is not None:
                event()
            if event is not None or second % round(self.settings.tick_interval_s) == 0:
                self.tick()
            self.plant.step()
            self.run.true_w.append(float(self.plant.true_w.sum()))
            self.run.target_w.append(self.run.decisions[-1][1].figures.target_w)
        return self.run

    def lose(self, share: float) -> Callable[[], None]:
        """Something that happens: a share of the cars drives off."""

        def happen() -> None:
            rows = np.flatnonzero(~self.plant.gone)
            self.plant.leave(self.plant.rng.choice(rows, round(share * self.plant.options.cars), replace=False).tolist())

        return happen


@pytest.fixture
def loop() -> Callable[..., Loop]:
    """Build a closed loop: `loop(cars=200, seed=3)`; `settings=` for the tick's own."""

    def build(settings: ControlSettings | None = None, **options: Any) -> Loop:
        return Loop(PlantOptions(**options), settings)

    return build


def picture(cars: int, now_s: float = START_S, **columns: Any) -> FleetImage:
    """An image of `cars` cars of 7 kW that may be discharged; `columns` overrides single columns (scalars or sequences)."""
    plant = Plant(PlantOptions(cars=cars, smallest_w=7_000.0, largest_w=7_000.0))
    for name in ("last_sample_s", "power_at_s", "soc_at_s", "register_at_s"):
        plant.columns[name][:] = now_s - 1.0
    for name, values in columns.items():
        plant.columns[name][:] = values
    return freeze(plant.columns, plant.keys, now_s)


@pytest.fixture
def image() -> Callable[..., FleetImage]:
    """`image(3, power_w=[...], setpoint_w=-7000.0, ...)`."""
    return picture


@dataclass
class Desk:
    """Single ticks on hand-made images."""

    mode: DispatchMode = DispatchMode.NET_EXPORT
    policy: AllocationPolicy = AllocationPolicy.HYBRID
    target_w: float = 14_000.0
    later: tuple[tuple[float, float], ...] = ()
    """Further steps, (seconds after the start, W)."""
    duration_s: float = 900.0
    sites: tuple[Site, ...] = ()
    feeders: tuple[Feeder, ...] = ()
    settings: ControlSettings = field(default_factory=ControlSettings)
    memory: TaskMemory = field(default_factory=TaskMemory.fresh)
    response: ResponseMemory = field(default_factory=lambda: ResponseMemory.fresh(0, ResponseSettings()))
    busy: Any = False
    stop: bool = False
    charging: ChargingTerms | None = None
    baseline: BaselineMethod | None = None
    capability: CapabilitySettings = field(default_factory=CapabilitySettings)

    def look(self, image: FleetImage) -> Decision:
        """Observe and tick at the image's own time; what was decided is remembered."""
        topology = Topology(self.sites, self.feeders)
        instruction = DispatchInstruction(
            dispatch_id=DispatchId("d1"),
            start_s=START_S,
            end_s=START_S + self.duration_s,
            steps=tuple(TargetStep(from_s=START_S + at_s, discharge_power_w=w) for at_s, w in ((0.0, self.target_w), *self.later)),
            pool=ALL_SITES,
            policy=self.policy,
            mode=self.mode,
            priority=0,
            accepted_at_s=START_S,
            baseline=self.baseline,
        )
        task = DispatchTask(
            instruction=instruction,
            busy=np.zeros(len(image), dtype=bool) | self.busy,
            other_export_w=np.zeros(topology.groups),
            charging=self.charging,
        )
        self.response = observe(image, self.response, image.at_s, ResponseSettings())
        decision = tick(
            image, task, self.memory, self.response, image.at_s, topology, self.capability, self.settings, emergency_stop=self.stop
        )
        self.memory = decision.memory
        return decision


@pytest.fixture
def desk() -> Callable[..., Desk]:
    """`desk(target_w=14_000.0, mode=...)`, then `.look(image)` a tick."""
    return Desk
