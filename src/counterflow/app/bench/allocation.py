"""(c) Splitting a target over many sessions, for each policy, and the whole tick around it."""

import time
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from counterflow.app.bench.figures import Figure
from counterflow.app.bench.stage import Stage
from counterflow.domain.ids import ALL_SITES, DispatchId, StationId, TransactionId
from counterflow.domain.instructions import AllocationPolicy, DispatchInstruction, DispatchMode, DispatchState, TargetStep
from counterflow.domain.resources import ControlMode
from counterflow.domain.setpoints import SetpointState
from counterflow.domain.telemetry import TransactionPhase
from counterflow.engine.control.decision import DispatchTask, TaskMemory
from counterflow.engine.control.response import ResponseMemory, observe
from counterflow.engine.control.settings import ControlSettings, ResponseSettings
from counterflow.engine.control.tick import tick
from counterflow.engine.dispatch.allocate import allocate
from counterflow.engine.dispatch.limits import Limits
from counterflow.engine.dispatch.problem import AllocationProblem
from counterflow.engine.fleet.capability import capability
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import empty_columns, freeze
from counterflow.engine.fleet.topology import Topology

AIMS_MS = {10_000: 1.0, 100_000: 20.0}
CAPABLE_SHARE = 0.7
TARGET_SHARE = 0.6
START_S = 1_800_000_000.0
WINDOW_S = 900.0
ROUNDS = 15
SEED = 1
STEP_S = 4.0


def measure(stage: Stage) -> Iterator[Figure]:
    """Every policy at every size, then the tick."""
    for sessions in stage.sizes.allocation_sessions:
        problem = _problem(sessions)
        for policy in AllocationPolicy:
            stage.say(f"allocation: {sessions} sessions, {policy}")
            yield Figure(
                key=f"allocation.{sessions}.{policy}.ms",
                title=f"Allocation of {sessions} sessions, {policy}",
                unit="ms",
                values=_timed_ms(lambda problem=problem, policy=policy: allocate(problem, policy)),  # type: ignore[misc]  # bound now, called at once
                aim=AIMS_MS.get(sessions),
            )
        stage.say(f"allocation: the tick over {sessions} sessions")
        first_ms, later_ms = _ticks_ms(sessions)
        yield Figure(key=f"tick.{sessions}.first_ms", title=f"First tick over {sessions} sessions", unit="ms", values=first_ms)
        yield Figure(
            key=f"tick.{sessions}.ms", title=f"Snapshot, observe and tick over {sessions} sessions, under way", unit="ms", values=later_ms
        )


def _timed_ms(work: Callable[[], object]) -> tuple[float, ...]:
    """CPU time of each of `ROUNDS` calls, after one to warm up: the work is one thread without I/O, and a busy machine counts less."""
    work()
    timed = []
    for _ in range(ROUNDS):
        started_s = time.thread_time()
        work()
        timed.append(1e3 * (time.thread_time() - started_s))
    return tuple(timed)


def _problem(sessions: int) -> AllocationProblem:
    rng = np.random.default_rng(SEED)
    caps_w = np.where(rng.random(sessions) < CAPABLE_SHARE, rng.uniform(7_000.0, 11_000.0, sessions), 0.0)
    gain = np.clip(rng.normal(0.97, 0.02, sessions), 0.5, 1.1)
    energy_wh = rng.uniform(1_000.0, 50_000.0, sessions)
    return AllocationProblem(
        target_w=TARGET_SHARE * float((caps_w * gain).sum()),
        caps_w=caps_w,
        min_w=np.full(sessions, 1_400.0),
        weights=np.where(caps_w > 0.0, np.minimum(caps_w, energy_wh * 3600.0 / WINDOW_S), 0.0),
        gain=gain,
        energy_wh=energy_wh,
        useful_until_s=START_S + rng.uniform(300.0, 8 * 3600.0, sessions),
        running=rng.random(sessions) < 0.5,
        limits=Limits.flat(np.zeros(sessions, dtype=np.int32), np.array([np.inf])),
        now_s=START_S,
        window_end_s=START_S + WINDOW_S,
    )


def _ticks_ms(sessions: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The first tick of a dispatch, and those that follow when every order has been accepted and is being followed."""
    topology, control, response_settings = Topology(()), ControlSettings(), ResponseSettings()
    columns = _columns(sessions)
    keys = tuple((StationId(f"B{row}"), TransactionId(f"T{row}")) for row in range(sessions))
    offered_w = float(capability(freeze(columns, keys, START_S), START_S, START_S + WINDOW_S, CapabilitySettings()).max_power_w.sum())
    task = DispatchTask(
        instruction=_instruction(TARGET_SHARE * offered_w), busy=np.zeros(sessions, dtype=np.bool_), other_export_w=np.zeros(1)
    )
    memory, response = TaskMemory.fresh(), ResponseMemory.fresh(sessions, response_settings)
    timed: list[float] = []
    for number in range(1 + ROUNDS):
        now_s = START_S + number * STEP_S
        columns["last_sample_s"][:] = columns["power_at_s"][:] = now_s - 1.0
        started_s = time.thread_time()
        image = freeze(columns, keys, now_s)
        response = observe(image, response, now_s, response_settings)
        decision = tick(image, task, memory, response, now_s, topology, CapabilitySettings(), control)
        timed.append(1e3 * (time.thread_time() - started_s))
        memory = decision.memory
        for change in decision.changes:
            _follow(columns, change.row, change.power_w, now_s, change.discharge_until_s, change.hold_until_s)
    return tuple(timed[:1]), tuple(timed[1:])


def _follow(columns: dict[str, NDArray], row: int, power_w: float, now_s: float, until_s: float, hold_s: float) -> None:  # type: ignore[type-arg]  # columns of several types
    columns["previous_setpoint_w"][row] = columns["setpoint_w"][row]
    columns["setpoint_w"][row] = columns["power_w"][row] = power_w
    columns["setpoint_at_s"][row] = now_s
    columns["setpoint_state"][row] = SetpointState.ACCEPTED
    columns["discharge_until_s"][row] = until_s
    columns["hold_until_s"][row] = hold_s


def _instruction(discharge_power_w: float) -> DispatchInstruction:
    return DispatchInstruction(
        dispatch_id=DispatchId("bench"),
        start_s=START_S,
        end_s=START_S + WINDOW_S,
        steps=(TargetStep(from_s=START_S, discharge_power_w=discharge_power_w),),
        pool=ALL_SITES,
        policy=AllocationPolicy.HYBRID,
        mode=DispatchMode.NET_EXPORT,
        priority=0,
        accepted_at_s=START_S,
        state=DispatchState.RUNNING,
    )


def _columns(sessions: int) -> dict[str, NDArray]:  # type: ignore[type-arg]  # columns of several types
    rng = np.random.default_rng(SEED)
    columns = empty_columns(sessions)
    columns["uid"][:] = np.arange(1, sessions + 1)
    columns["station"][:] = np.arange(sessions)
    columns["site"][:] = 0
    columns["evse_id"][:] = 1
    columns["connected"][:] = columns["consent"][:] = True
    columns["bidirectional"][:] = rng.random(sessions) < CAPABLE_SHARE
    columns["phase"][:] = TransactionPhase.CHARGING
    columns["control_mode"][:] = ControlMode.SETPOINT
    columns["started_s"][:] = START_S - 3600.0
    columns["departure_s"][:] = START_S + rng.uniform(2.0, 10.0, sessions) * 3600.0
    columns["meter_interval_s"][:] = 10.0
    for name in ("last_sample_s", "power_at_s", "soc_at_s", "register_at_s"):
        columns[name][:] = START_S - 1.0
    for name in ("power_w", "export_wh", "import_wh", "soc_export_wh", "soc_import_wh"):
        columns[name][:] = 0.0
    columns["soc_frac"][:] = rng.uniform(0.6, 0.9, sessions)
    columns["capacity_wh"][:] = 77_000.0
    columns["soc_floor_frac"][:] = 0.3
    columns["soc_target_frac"][:] = 0.8
    columns["max_discharge_w"][:] = columns["max_charge_w"][:] = rng.uniform(7_000.0, 11_000.0, sessions)
    columns["min_discharge_w"][:] = columns["min_charge_w"][:] = 1_400.0
    return columns
