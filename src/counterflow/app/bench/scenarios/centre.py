"""The control centre of a scenario: the engine as the dispatcher drives it, on an image kept from what meters and answers say.

No control law lives here. The image's columns are written in bulk (the writer of the fleet state takes one event at a time); what an
order is worth while its outcome is open is shown as `fleet.orders` shows it.
"""

import time
from typing import Any

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from counterflow.domain.ids import ALL_SITES, DispatchId, StationId, TransactionId
from counterflow.domain.instructions import AllocationPolicy, DispatchInstruction, DispatchMode, DispatchState, TargetStep
from counterflow.domain.resources import ControlMode
from counterflow.domain.setpoints import SetpointState
from counterflow.domain.telemetry import TransactionPhase
from counterflow.engine.control.decision import Decision, DispatchTask, SetpointChange, TaskMemory
from counterflow.engine.control.identification import identify
from counterflow.engine.control.lags import SUMS, with_more
from counterflow.engine.control.lead import ScheduledStartSettings
from counterflow.engine.control.response import ResponseMemory, observe
from counterflow.engine.control.resume import ResumeSettings, releases_due
from counterflow.engine.control.settings import ControlSettings, ResponseSettings
from counterflow.engine.control.tick import tick
from counterflow.engine.control.traces import Traces
from counterflow.engine.fleet.capability import capability
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import F8, FleetImage, empty_columns, freeze
from counterflow.engine.fleet.topology import Topology
from counterflow.sim.plant.fleet import Fleet
from counterflow.sim.plant.plant import Answers, Heard, Plant, Readings

RESPONSE = ResponseSettings()
START = ScheduledStartSettings()
RESUME = ResumeSettings()
CARE = CapabilitySettings()


class Centre:
    """Steers one plant for one dispatch at a time. It sees the plant only through `hear` and `send`."""

    def __init__(
        self,
        fleet: Fleet,
        *,
        now_s: float,
        topology: Topology,
        meter_interval_s: float,
        told_soc_frac: F8,
        power_w: F8,
        control: ControlSettings,
    ) -> None:
        """Everything is connected, consented and read once; `power_w` and `told_soc_frac` are those readings."""
        self.fleet, self.topology, self.control = fleet, topology, control
        cars = len(fleet)
        self.memory, self.response = TaskMemory.fresh(), ResponseMemory.fresh(cars, RESPONSE)
        self.columns = _columns(fleet, now_s, meter_interval_s, told_soc_frac, power_w)
        self.keys = tuple((StationId(f"CS{row}"), TransactionId(f"T{row}")) for row in range(cars))
        self.traces = Traces()
        self.tick_ms: list[float] = []
        self.instruction: DispatchInstruction | None = None
        self.released_at_s: F8 = np.full(cars, np.nan)
        self.streamed = False
        self._force_w: F8 = np.full(cars, np.nan)
        self._number: NDArray[np.int64] = np.zeros(cars, dtype=np.int64)

    # --- what is heard ---------------------------------------------------------------------------------------------------------

    def hear(self, heard: Heard, now_s: float) -> bool:
        """Write what came in; True when a member was lost, so that control should look soon."""
        for readings in heard.readings:
            self._read(readings, now_s)
        for answers in heard.answers:
            self._answered(answers)
        lost = heard.ended[self.columns["uid"][heard.ended] != 0]
        for name in ("setpoint_w", "previous_setpoint_w", "power_w"):
            self.columns[name][lost] = np.nan
        self.columns["uid"][lost] = 0
        return bool(lost.size)

    def _read(self, readings: Readings, now_s: float) -> None:
        columns = self.columns
        newer = readings.at_s > columns["power_at_s"][readings.rows]
        rows = readings.rows[newer]
        columns["last_sample_s"][readings.rows] = now_s
        for name in ("power_w", "export_wh", "import_wh", "soc_frac"):
            columns[name][rows] = getattr(readings, name)[newer]
        for name in ("power_at_s", "register_at_s", "soc_at_s"):
            columns[name][rows] = readings.at_s[newer]
        columns["soc_export_wh"][rows] = columns["export_wh"][rows]
        columns["soc_import_wh"][rows] = columns["import_wh"][rows]

    def _answered(self, answers: Answers) -> None:
        columns = self.columns
        latest = answers.number == self._number[answers.rows]
        taken = answers.rows[latest & answers.accepted]
        columns["setpoint_state"][taken] = SetpointState.ACCEPTED
        columns["previous_setpoint_w"][taken] = columns["setpoint_w"][taken]
        self._force_w[taken] = columns["setpoint_w"][taken]
        columns["setpoint_state"][answers.rows[latest & ~answers.accepted]] = SetpointState.UNKNOWN

    # --- control ---------------------------------------------------------------------------------------------------------------

    def begin(self, start_s: float, end_s: float, policy: AllocationPolicy, mode: DispatchMode, streamed: bool = False) -> None:
        """A new dispatch; what was learned of the cars stays."""
        self.memory, self.streamed = TaskMemory.fresh(), streamed
        self.released_at_s = np.full(len(self.fleet), np.nan)
        self.instruction = DispatchInstruction(
            dispatch_id=DispatchId("scenario"),
            start_s=start_s,
            end_s=end_s,
            steps=(TargetStep(from_s=start_s, discharge_power_w=0.0),),
            pool=ALL_SITES,
            policy=policy,
            mode=mode,
            priority=0,
            accepted_at_s=start_s,
            state=DispatchState.RUNNING,
        )

    def decide(self, target_w: float, now_s: float, plant: Plant) -> Decision:
        """One tick for the target of now; before the start it is for the start, and the cars are told to begin in time for it."""
        assert self.instruction is not None, "a dispatch has begun"
        at_s = max(now_s, self.instruction.start_s)
        steps = (TargetStep(from_s=self.instruction.start_s, discharge_power_w=target_w),)
        instruction = replace(self.instruction, steps=steps)
        began_s = time.thread_time()
        image = self.image(now_s)
        self.response = observe(image, self.response, now_s, RESPONSE)
        memory = self.memory.sized(len(image))
        able = capability(image, now_s, instruction.end_s, CARE, must_charge_before=memory.must_charge & (image.uid == memory.group_uid))
        free = np.zeros(len(image), dtype=np.bool_)
        export_w = np.zeros(self.topology.groups)
        task = DispatchTask(instruction=instruction, busy=free, other_export_w=export_w, streamed=self.streamed)
        decision = tick(image, task, memory, self.response, at_s, self.topology, CARE, self.control, able=able)
        self.tick_ms.append(1e3 * (time.thread_time() - began_s))
        self.traces.take(image, self.response, RESPONSE)
        self.memory = (
            decision.memory
            if at_s == now_s
            else replace(decision.memory, sent_at_s=np.minimum(decision.memory.sent_at_s, now_s), ticked_at_s=now_s)
        )
        self._take_back(np.array([release.row for release in decision.releases], dtype=np.intp), now_s, plant)
        self.send(decision.changes, now_s, plant, at_s if at_s > now_s else None)
        return decision

    def look(self, now_s: float) -> None:
        """Learn from what was heard, and take down what an identification can be made from."""
        image = self.image(now_s)
        self.response = observe(image, self.response, now_s, RESPONSE)
        self.traces.take(image, self.response, RESPONSE)

    def identify(self) -> None:
        """Between two events: what the last one told of each car, in place of what was learned within it."""
        rows = np.arange(len(self.fleet))
        found = identify(self.traces.cut(rows, self.response))
        learned = np.stack([getattr(self.response.lags, name) for name in SUMS], axis=1)
        more = np.where(found[:, :1] > 0.0, found - learned, 0.0)
        self.response = replace(self.response, lags=with_more(self.response.lags, rows, more))

    def resume(self, now_s: float, plant: Plant) -> int:
        """After the window: hand back who is due; how many were."""
        assert self.instruction is not None, "a dispatch has begun"
        image = self.image(now_s)
        able = capability(image, now_s, now_s, CARE)
        waiting = (self.memory.group_uid == image.uid) & (image.uid != 0) & np.isnan(self.released_at_s)
        rows = releases_due(image, able, waiting, self.released_at_s, self.topology, self.instruction.end_s, RESUME)
        self.released_at_s[rows] = now_s
        self._take_back(rows, now_s, plant)
        return int(rows.size)

    def image(self, now_s: float) -> FleetImage:
        """The fleet as the dispatcher would see it."""
        return freeze(self.columns, self.keys, now_s)

    # --- what is sent ----------------------------------------------------------------------------------------------------------

    def send(self, changes: tuple[SetpointChange, ...], now_s: float, plant: Plant, starts_s: float | None) -> None:
        """Tell cars now; `starts_s`: their middle of the step shall be then."""
        if not changes:
            return
        rows = np.array([change.row for change in changes], dtype=np.intp)
        power_w = np.array([change.power_w for change in changes])
        until_s = np.array([change.discharge_until_s for change in changes])
        hold_s = np.array([change.hold_until_s for change in changes])
        columns = self.columns
        begins_s = None
        if starts_s is not None:
            from_w = np.nan_to_num(columns["power_w"][rows])
            begins_s = np.array(
                [
                    starts_s - self.response.lags.lead_s(row, int(columns["uid"][row]), step_w, START)
                    for row, step_w in zip(rows.tolist(), (power_w - from_w).tolist(), strict=True)
                ]
            )
        open_ended = (columns["setpoint_state"][rows] == SetpointState.PENDING) | (columns["setpoint_state"][rows] == SetpointState.UNKNOWN)
        before_w = np.where(open_ended, np.fmin(columns["previous_setpoint_w"][rows], columns["setpoint_w"][rows]), self._force_w[rows])
        columns["previous_setpoint_w"][rows] = before_w
        columns["setpoint_w"][rows] = power_w
        columns["setpoint_at_s"][rows] = now_s if begins_s is None else begins_s
        columns["setpoint_state"][rows] = SetpointState.PENDING
        columns["discharge_until_s"][rows], columns["hold_until_s"][rows] = until_s, hold_s
        self._number[rows] += 1
        plant.order(rows, power_w, until_s, hold_s, self._number[rows], begins_s)

    def _take_back(self, rows: NDArray[np.intp], now_s: float, plant: Plant) -> None:
        rows = rows[self.columns["uid"][rows] != 0]
        if rows.size == 0:
            return
        for name in ("setpoint_w", "previous_setpoint_w", "discharge_until_s", "hold_until_s", "setpoint_at_s"):
            self.columns[name][rows] = np.nan
        self.columns["setpoint_state"][rows] = SetpointState.NONE
        self._force_w[rows] = np.nan
        self._number[rows] += 1
        nothing = np.full(rows.size, np.nan)
        plant.order(rows, nothing, nothing, nothing, self._number[rows])


def _columns(fleet: Fleet, now_s: float, meter_interval_s: float, told_soc_frac: F8, power_w: F8) -> dict[str, NDArray[Any]]:
    cars = len(fleet)
    columns = empty_columns(cars)
    columns["uid"][:] = np.arange(1, cars + 1)
    columns["station"][:] = np.arange(cars)
    columns["site"][:] = fleet.site
    columns["evse_id"][:] = 1
    for name in ("connected", "consent", "bidirectional"):
        columns[name][:] = True
    columns["phase"][:] = TransactionPhase.CHARGING
    columns["control_mode"][:] = ControlMode.SETPOINT
    columns["started_s"][:] = now_s - 3600.0
    columns["departure_s"][:] = fleet.departure_s
    columns["meter_interval_s"][:] = meter_interval_s
    for name in ("last_sample_s", "power_at_s", "soc_at_s", "register_at_s"):
        columns[name][:] = now_s - 1.0
    for name in ("export_wh", "import_wh", "soc_export_wh", "soc_import_wh"):
        columns[name][:] = 0.0
    columns["power_w"][:] = power_w
    columns["soc_frac"][:] = told_soc_frac
    columns["capacity_wh"][:] = fleet.capacity_wh
    columns["soc_floor_frac"][:] = fleet.floor_frac
    columns["soc_target_frac"][:] = fleet.target_frac
    columns["max_discharge_w"][:] = columns["max_charge_w"][:] = fleet.max_w
    columns["min_discharge_w"][:] = columns["min_charge_w"][:] = fleet.min_w
    return columns
