"""One controlled station: commands go to the dispatcher, telemetry becomes points. What is below the socket, hence without c104."""

from collections import Counter
from enum import IntEnum
from typing import NamedTuple

from counterflow.adapters.iec104.commands import SetpointCommand, judge
from counterflow.adapters.iec104.points import Look, Reading, readings
from counterflow.adapters.iec104.settings import Iec104Settings, StationSettings
from counterflow.domain.grid import PoolTelemetry, Wire, discharge_power_w_of
from counterflow.engine.grid_side import GridSide

_LONGEST_WAIT_S = 60.0
_ROUNDING_FRAC = 2.0**-23
"""A short floating point number is off by less than this share of itself."""


class Cause(IntEnum):
    """Why something is sent (IEC 60870-5-101, 7.2.3)."""

    PERIODIC = 1
    SPONTANEOUS = 3


class Showing(NamedTuple):
    """What is new at the points, which of them leave now, and why."""

    changed: list[Reading]
    cause: Cause
    sent: list[Reading]


class CannotOpenError(Exception):
    """The outstation cannot be opened; one sentence that says what to do."""


class Outstation:
    """All of it is called on the event loop."""

    def __init__(self, grid: GridSide, settings: Iec104Settings, station: StationSettings) -> None:
        self._grid = grid
        self._settings = settings
        self.station = station
        [self.program] = [program for program in grid.programs(Wire.IEC104) if program.name == station.program]
        self._newest_said_s: float | None = None
        self._heard_at_s = grid.now_s()
        self._note_key = f"setpoint:{self.program.name}"
        self._asks = bool(grid.notes(Wire.IEC104).get(self._note_key))
        self._setpoint_w: float | None = None
        self._sequence = -1
        self._heartbeat = False
        self._shown: dict[int, Reading] = {}
        self._sent: dict[int, Reading] = {}
        self._next_cycle_s = grid.now_s()
        self.counts: Counter[str] = Counter()
        """Commands by what became of them: taken, refused."""

    async def command(self, command: SetpointCommand) -> bool:
        """A set-point was executed; whether it is confirmed positively. Answered once its effect is durable."""
        taken = await self._decide(command)
        self.counts["taken" if taken else "refused"] += 1
        return taken

    async def _decide(self, command: SetpointCommand) -> bool:
        refusal = judge(command, self._newest_said_s, self._settings.command_max_age_s, self._grid.now_s())
        if refusal is not None:
            self._grid.decline_value(self.program.name, {"value": command.value, "said_at_s": command.said_at_s}, refusal)
            return False
        if command.said_at_s is not None:  # at once, so that an older one that comes while this one is being decided is late
            self._newest_said_s = command.said_at_s
        asked_w = self._discharge_power_w(command.value)
        answer = await self._grid.tell(self.program.name, asked_w, command.said_at_s, None)
        if not answer.accepted:
            return False
        self._heard_at_s = self._grid.now_s()
        self._setpoint_w = asked_w
        if self._asks != (asked_w > 0.0):
            self._asks = asked_w > 0.0
            self._grid.note(Wire.IEC104, self._note_key, True if self._asks else None)
        return True

    def show(self) -> Showing:
        """Look at the pool: what is new, and what is to be sent now.

        Once in a cycle all of it is sent; between cycles what has moved by more than its dead-band or has changed its quality.
        """
        now_s = self._grid.now_s()
        cyclic = now_s >= self._next_cycle_s
        if cyclic:
            self._heartbeat = not self._heartbeat
            self._next_cycle_s = now_s + self.station.cycle_s
        telemetry = self._grid.telemetry(self.program.pool)
        look = Look(telemetry, self._setpoint_in_force(telemetry), self._heartbeat, self._source_silent(now_s))
        found = readings(look, self.program, self.station)
        anew = telemetry.sequence != self._sequence  # the same value of a new record has a new time
        changed = [reading for reading in found if anew or self._shown.get(reading.address) != reading]
        self._sequence = telemetry.sequence
        self._shown.update((reading.address, reading) for reading in changed)
        sent = found if cyclic else [reading for reading in changed if self._moved(reading)]
        self._sent.update((reading.address, reading) for reading in sent)
        return Showing(changed, Cause.PERIODIC if cyclic else Cause.SPONTANEOUS, sent)

    async def news(self) -> None:
        """Come back once there is a newer record than the last that was shown."""
        while not await self._grid.telemetry_since(self.program.pool, self._sequence, 1, _LONGEST_WAIT_S):
            continue

    def until_cycle_s(self) -> float:
        """So long until everything is sent again."""
        return max(0.0, self._next_cycle_s - self._grid.now_s())

    def _discharge_power_w(self, value: float) -> float:
        assert self.program.sign is not None, "a program without a sign is not opened"
        assert self.program.unit is not None, "a program without a unit is not opened"
        asked_w, most_w = discharge_power_w_of(value, self.program.sign, self.program.unit), self.program.max_discharge_power_w
        return most_w if most_w < asked_w <= most_w * (1.0 + _ROUNDING_FRAC) else asked_w

    def _setpoint_in_force(self, telemetry: PoolTelemetry) -> float | None:
        """What was taken last; what runs after a restart, and none once nothing runs any more (the end of all, a person's cancel)."""
        if self._setpoint_w is None or (telemetry.at_s > self._heard_at_s and telemetry.target_power_w is None and self._asks):
            return telemetry.target_power_w
        return self._setpoint_w

    def _moved(self, reading: Reading) -> bool:
        before = self._sent.get(reading.address)
        return before is None or before.qds != reading.qds or abs(before.value - reading.value) > reading.deadband

    def _source_silent(self, now_s: float) -> bool:
        """More than nothing was asked last, and its source has not been heard for so long that the dead-man acts (decisions 16).

        After a restart the silence counts from then on; the engine's dead-man knows since when, and acts on that.
        """
        return self._asks and now_s - self._heard_at_s > self.program.stream_timeout_s
