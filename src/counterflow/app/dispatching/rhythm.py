"""When control ticks: its period, what brings a tick forward, and what is done about ticks that come late."""

from collections.abc import Iterable
from math import floor, inf
from typing import Literal

ALIVE_TICKS = 3.0
"""So many periods without a tick, and control is not alive any more: watchdogs at stations are left to lapse."""


class Rhythm:
    """`policy` of late ticks: each runs once, at once, and those that were missed are left out; the next comes a whole period later
    (`drift`) or on the grid of the ticks before (`resync`). `gap_s`: nothing brings a tick closer to the last than this."""

    def __init__(self, period_s: float, gap_s: float, policy: Literal["drift", "resync"]) -> None:
        self.next_s = inf
        self.last_s = -inf
        self.late = 0
        """Ticks that began more than half a period late."""
        self.missed = 0
        """Whole periods that passed without a tick while one was due."""
        self._period_s = period_s
        self._gap_s = gap_s
        self._policy = policy
        self._grid_s = inf

    def is_due(self, now_s: float) -> bool:
        """Whether a tick is to run now; counts how late it is."""
        if now_s < self.next_s:
            return False
        late_s = now_s - self.next_s
        self.late += late_s > self._period_s / 2.0
        self.missed += int(late_s // self._period_s)
        return True

    def begin(self, now_s: float) -> None:
        """A tick runs now."""
        self.last_s = now_s

    def is_alive(self, at_s: float) -> bool:
        """Whether a tick has run lately, as seen from `at_s`."""
        return at_s - self.last_s <= ALIVE_TICKS * self._period_s

    def bring_forward(self, to_s: float, now_s: float) -> None:
        """A tick at `to_s`, or as soon after the last one as may be, unless one comes before. What is due and could not be done by the
        last tick is not tried again at once."""
        self.next_s = min(self.next_s, max(to_s, now_s, self.last_s + self._gap_s))

    def plan(self, now_s: float, *, open_work: bool, events_s: Iterable[float]) -> None:
        """Set the next tick: by the period while something is open, and at the first of the events (epoch seconds)."""
        self.next_s = self._after(now_s) if open_work else inf
        if not open_work:
            self._grid_s = inf
        for event_s in events_s:
            self.bring_forward(event_s, now_s)

    def _after(self, now_s: float) -> float:
        if self._policy == "drift" or self._grid_s == inf:
            self._grid_s = now_s
            return now_s + self._period_s
        return self._grid_s + self._period_s * (floor((now_s - self._grid_s) / self._period_s + 1e-9) + 1)
