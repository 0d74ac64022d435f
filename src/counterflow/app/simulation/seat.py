"""A station's place in the simulated world: its line, its clock, and what is wrong with it at the moment."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from counterflow.sim.station import SimStation

if TYPE_CHECKING:
    from counterflow.app.simulation.wire import Link


class Seat:
    """Mutable; the universe is its owner. `clean_since_s` = when the last fault that touched it was over."""

    def __init__(self, station: SimStation, row: int) -> None:
        self.station = station
        self.row = row
        self.link: Link | None = None
        self.due_s = inf
        self.off_until_s = 0.0
        self.connecting = False
        self.clock_ahead_s = 0.0
        self.clean_since_s = 0.0
        self.swallow_answers = 0
        self.late_answers = 0
        self.swallow_calls = 0
        self.repeat_events = 0
        self.shuffles_queue = False
        """What waits for the next line leaves in any order."""
        self.has_lied = False
        """Its meter has lied since its car arrived: nothing that rests on it can be asked for."""
        self.lies = False
        """Its meter has lied at some time."""

    @property
    def name(self) -> str:
        """The station's id."""
        return self.station.station_id

    def local_s(self, now_s: float) -> float:
        """What the station's clock shows."""
        return now_s + self.clock_ahead_s

    def touched(self, until_s: float) -> None:
        """A fault concerns this station until then."""
        self.clean_since_s = max(self.clean_since_s, until_s)

    def set_clock(self, ahead_s: float) -> None:
        """The station's clock is set."""
        self.clock_ahead_s = ahead_s
        evse = self.station.state.first_evse
        evse.plant.clock_ahead_s[evse.row] = ahead_s
