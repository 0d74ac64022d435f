"""Once a second while a dispatch is open: what the fleet and each dispatch deliver, summed over the meters as they stand.

This is the live figure. The report settles from registers afterwards; a car whose power is unknown, or was last heard of too long ago, is
counted as unmeasured: neither as zero, nor as if it went on.
"""

from collections.abc import Callable

import numpy as np

from counterflow.app.dispatching.tasks import Book, RunningTask
from counterflow.domain.instructions import DispatchState
from counterflow.domain.settlement import Quality
from counterflow.domain.units import WH_PER_WS
from counterflow.domain.views import Notice
from counterflow.engine.control.balance import as_delivery_w
from counterflow.engine.fleet.eligibility import measured_sessions
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import B1, FleetImage
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.grid.telemetry import TelemetrySettings, count_stale, quality_of_sum

BEAT_S = 1.0
MEASURED_STATES = (DispatchState.RUNNING, DispatchState.RESUMING)
DISCHARGES_FROM_W = 300.0
"""A meter that shows less than this is at rest."""


class Seconds:
    """Keeps `RunningTask.delivered_power_w` and `delivered_energy_wh` current."""

    def __init__(
        self,
        fleet: FleetState,
        book: Book,
        notify: Callable[[Notice], None],
        capability_settings: CapabilitySettings,
        telemetry: TelemetrySettings,
    ) -> None:
        self._fleet = fleet
        self._book = book
        self._notify = notify
        self._capability_settings = capability_settings
        self._telemetry = telemetry
        self._next_s = np.inf

    def next_due_s(self) -> float:
        """When `advance` is due; inf while nothing runs."""
        return float(self._next_s)

    def plan(self, now_s: float) -> None:
        """Start with the first dispatch that runs, stop with the last that resumes charging."""
        if not self._book.in_state(*MEASURED_STATES):
            self._next_s = np.inf
        elif np.isinf(self._next_s):
            self._next_s = now_s

    def advance(self, now_s: float) -> None:
        """One beat, if it is due. Beats that were missed are left out; the energy in between counts at the power known now."""
        if now_s < self._next_s:
            return
        self._next_s = max(self._next_s + BEAT_S, now_s)
        image = self._fleet.snapshot(now_s)
        known = measured_sessions(image, now_s, self._capability_settings)
        fleet_w = 0.0 - float(image.power_w[known].sum()) if known.any() else None
        for instruction in self._book.in_state(*MEASURED_STATES):
            self._beat(self._book.tasks[instruction.dispatch_id], image, known, now_s)
        values: dict[str, float | int | str | bool | None] = {
            "measured_power_w": fleet_w,
            "quality": self._quality(image, image.occupied, known),
        }
        self._notify(Notice(at_s=now_s, kind="fleet.second", subject="fleet", text="", values=values))

    def _quality(self, image: FleetImage, group: B1, known: B1) -> Quality:
        seen = group & known
        sessions, measured = int(np.count_nonzero(group)), int(np.count_nonzero(seen))
        stale = count_stale(image.at_s, image.power_at_s[seen], self._telemetry)
        return quality_of_sum(sessions, sessions - measured, stale, self._telemetry)

    def _beat(self, task: RunningTask, image: FleetImage, known: B1, now_s: float) -> None:
        # The group as the tick counts it: a member that must charge is still in the balance.
        memory = task.memory.sized(len(image))
        group = image.occupied & (image.uid == memory.group_uid)
        export_w = as_delivery_w(task.instruction.mode, -image.power_w, memory.baseline_w)
        task.unmeasured = int(np.count_nonzero(group & ~known))
        blind = task.unmeasured > 0 and not (group & known).any()
        task.delivered_power_w = None if blind else float(export_w[group & known].sum())
        task.quality = self._quality(image, group, known)
        task.discharging = int(np.count_nonzero(group & known & (image.power_w < -DISCHARGES_FROM_W)))
        running = task.instruction.state is DispatchState.RUNNING  # what the cars do after the window is shown, and no delivery
        if running and task.beat_at_s is not None and task.delivered_power_w is not None:
            task.delivered_energy_wh += task.delivered_power_w * (now_s - task.beat_at_s) * WH_PER_WS
        task.beat_at_s = now_s
        self._notify(
            Notice(
                at_s=now_s,
                kind="dispatch.second",
                subject=task.instruction.dispatch_id,
                text="",
                values={
                    "delivered_power_w": task.delivered_power_w,
                    "delivered_energy_wh": task.delivered_energy_wh,
                    "unmeasured": task.unmeasured,
                    "quality": task.quality,
                },
            )
        )
