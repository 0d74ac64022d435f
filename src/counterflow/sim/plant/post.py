"""Things under way: each is handed out in the step in which it is due, in the order in which it was sent."""

from math import ceil
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=tuple[NDArray[np.generic], ...])


class Post(Generic[T]):
    """Columns of equal length, sorted into steps by the time at which they are due."""

    def __init__(self, start_s: float, dt_s: float) -> None:
        """Step k ends at `start_s + k * dt_s`."""
        self._start_s = start_s
        self._dt_s = dt_s
        self._by_step: dict[int, list[T]] = {}
        self._next = 1

    def put(self, due_s: NDArray[np.float64], *columns: NDArray[np.generic]) -> None:
        """Send rows; one that was due already goes out in the next step."""
        if due_s.size == 0:
            return
        steps = np.maximum(np.ceil((due_s - self._start_s) / self._dt_s - 1e-9).astype(np.int64), self._next)
        for step in np.unique(steps).tolist():
            here = steps == step
            part: T = tuple(column[here] for column in columns)  # type: ignore[assignment]  # as many columns as T has
            self._by_step.setdefault(step, []).append(part)

    def take(self, now_s: float) -> list[T]:
        """What is due in the step that ends at `now_s`; call it once a step."""
        step = ceil((now_s - self._start_s) / self._dt_s - 1e-9)
        self._next = step + 1
        return self._by_step.pop(step, [])
