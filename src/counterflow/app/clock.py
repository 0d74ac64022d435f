"""The one place where the real time is read."""

import time
from collections.abc import Callable

SLEW = 0.1
"""While the wall clock is behind, ours runs this much slower than real time."""
LOOK_S = 0.5
"""How often the wall clock is looked at."""
OFF_ALARM_S = 2.0
"""A difference that people should know of."""


class SystemClock:
    """`Clock` of a live process: epoch seconds that never run backwards, whatever is done to the machine's clock.

    Control, time-outs and the ends of orders all hang on one time. A wall clock that is set forward is followed at once: what was
    due is done, and a call that is called late is only an unknown outcome. One that is set back is never followed by a step, since
    nothing would be due for as long as the step; ours runs a tenth slower until the two agree. `off_s` = how far ours is ahead.
    """

    def __init__(self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._looked_s = monotonic()
        self._offset_s = wall() - self._looked_s
        self.off_s = 0.0
        self.steps = 0
        """How often the wall clock was found set to another time."""

    def now_s(self) -> float:
        """Epoch seconds, UTC."""
        now_s = self._monotonic()
        if now_s - self._looked_s >= LOOK_S:
            self._look(now_s)
        return now_s + self._offset_s

    def alarm(self) -> str | None:
        """A sentence while ours and the machine's clock disagree."""
        if self.off_s < OFF_ALARM_S:
            return None
        return f"The machine's clock was set back; ours is {self.off_s:.0f} s ahead and runs slower until they agree."

    def _look(self, now_s: float) -> None:
        since_s = now_s - self._looked_s
        self._looked_s = now_s
        ahead_s = now_s + self._offset_s - self._wall()
        self.steps += abs(ahead_s - self.off_s) > OFF_ALARM_S
        # Forward at once, backward by running slower.
        change_s = min(ahead_s, SLEW * since_s)
        self._offset_s -= change_s
        self.off_s = ahead_s - change_s
