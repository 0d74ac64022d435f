"""Who is asked when: discovery of a fleet that comes back at once is spread out, in the order of arrival, and yields to dispatch."""

from collections import deque
from typing import Final, Generic, TypeVar

Waiting = TypeVar("Waiting")

_AHEAD_S: Final = 1.0
_BUSY_FACTOR: Final = 4.0
_CROWD: Final = 100
_CROWD_S: Final = 0.25
"""So many that come within such a time are a crowd."""
_LONGEST_HOLD_S: Final = 10.0


class Pace(Generic[Waiting]):
    """First come, first served; at most `parallel` at once and `per_s` begun per second, a quarter of that while dispatch is busy.

    While a crowd comes in none begins, as boots go first: until it is over, at most ten seconds. So a fleet of n stations is through
    n / `per_s` seconds after the last of them came, however many come at once: nothing stays behind.
    """

    def __init__(self, parallel: int, per_s: float) -> None:
        self._parallel = parallel
        self._pause_s = 1.0 / per_s
        self._queue: deque[Waiting] = deque()
        self._used_up_to_s = float("-inf")
        """The turns up to here are taken; they may be taken a second ahead, so that a few stations need not wait."""
        self._first = 0
        """How many at the head of the queue a person waits for: they are not held up."""
        self._window_end_s = self._crowded_at_s = self._crowded_since_s = self._held_until_s = float("-inf")
        self._arrived = 0
        self.running = 0

    def __len__(self) -> int:
        return len(self._queue)

    def join(self, one: Waiting, now_s: float, *, first: bool = False) -> None:
        """Wait for a turn; `first` = a person waits for it."""
        if first:
            self._queue.appendleft(one)
            self._first += 1
            return
        self._queue.append(one)
        if now_s >= self._window_end_s:
            self._window_end_s = now_s + _CROWD_S
            self._arrived = 0
        self._arrived += 1
        if self._arrived == _CROWD:
            if now_s - self._crowded_at_s > 4.0 * _CROWD_S:  # another crowd than the last
                self._crowded_since_s = now_s
            self._crowded_at_s = now_s
            self._held_until_s = min(self._window_end_s + _CROWD_S, self._crowded_since_s + _LONGEST_HOLD_S)

    def take(self, now_s: float, busy: bool) -> Waiting | None:
        """The next whose turn has come, or None. The caller counts it in `running` if it begins."""
        if not self._queue or self.running >= self._parallel or now_s < self._due_s():
            return None
        self._used_up_to_s = max(self._used_up_to_s, now_s) + self._pause_s * (_BUSY_FACTOR if busy else 1.0)
        self._first = max(0, self._first - 1)
        return self._queue.popleft()

    def next_due_s(self) -> float | None:
        """When `take` may give one without anything else happening."""
        return self._due_s() if self._queue and self.running < self._parallel else None

    def _due_s(self) -> float:
        turn_s = self._used_up_to_s - _AHEAD_S
        return turn_s if self._first else max(turn_s, self._held_until_s)
