"""Who is asked when: discovery of a fleet that comes back at once is spread out, in the order of arrival, and yields to dispatch."""

from collections import deque
from typing import Final, Generic, TypeVar

Waiting = TypeVar("Waiting")

_AHEAD_S: Final = 1.0
_BUSY_FACTOR: Final = 4.0


class Pace(Generic[Waiting]):
    """First come, first served; at most `parallel` at once and `per_s` begun per second, a quarter of that while dispatch is busy.

    So a fleet of n stations is through after n / `per_s` seconds, however many of them come at once: nothing stays behind.
    """

    def __init__(self, parallel: int, per_s: float) -> None:
        self._parallel = parallel
        self._pause_s = 1.0 / per_s
        self._queue: deque[Waiting] = deque()
        self._used_up_to_s = float("-inf")
        """The turns up to here are taken; they may be taken a second ahead, so that a few stations need not wait."""
        self.running = 0

    def __len__(self) -> int:
        return len(self._queue)

    def join(self, one: Waiting, *, first: bool = False) -> None:
        """Wait for a turn; `first` = a person waits for it."""
        if first:
            self._queue.appendleft(one)
        else:
            self._queue.append(one)

    def take(self, now_s: float, busy: bool) -> Waiting | None:
        """The next whose turn has come, or None. The caller counts it in `running` if it begins."""
        if not self._queue or self.running >= self._parallel or now_s < self._used_up_to_s - _AHEAD_S:
            return None
        self._used_up_to_s = max(self._used_up_to_s, now_s) + self._pause_s * (_BUSY_FACTOR if busy else 1.0)
        return self._queue.popleft()

    def next_due_s(self) -> float | None:
        """When `take` may give one without anything else happening."""
        return self._used_up_to_s - _AHEAD_S if self._queue and self.running < self._parallel else None
