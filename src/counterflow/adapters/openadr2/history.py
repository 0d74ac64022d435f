"""What the pools of the programs did lately, from their telemetry, as reports need it: means over intervals, and unknown is unknown."""

from bisect import bisect_right
from collections import deque
from itertools import pairwise

from msgspec import Struct

from counterflow.domain.grid import PoolTelemetry, Quality
from counterflow.domain.ids import PoolId

KEPT_S = 3_600.0
LASTS_S = 61.0
"""A record says what held until the next one, and for no longer than this."""


class Sample(Struct, frozen=True):
    """Mean of one interval. `export_w` None = not known for most of it."""

    from_s: float
    to_s: float
    export_w: float | None


class History:
    """The records of one pool of the last hour."""

    def __init__(self, pool: PoolId) -> None:
        self.pool = pool
        self.sequence = 0
        """The newest record that was taken."""
        self._records: deque[PoolTelemetry] = deque()

    def take(self, record: PoolTelemetry) -> None:
        """One record, in their order."""
        self.sequence = record.sequence
        self._records.append(record)
        while self._records[0].at_s < record.at_s - KEPT_S:
            self._records.popleft()

    @property
    def newest(self) -> PoolTelemetry | None:
        """None = there is none yet."""
        return self._records[-1] if self._records else None

    def means(self, from_s: float, to_s: float, step_s: float) -> list[Sample]:
        """Step by step; the last one ends at `to_s`. A record holds until the next one; one that says nothing counts as nothing."""
        records = list(self._records)
        times = [record.at_s for record in records]
        steps = max(1, round((to_s - from_s) / step_s))
        edges = [to_s - (steps - number) * step_s for number in range(steps + 1)]
        return [Sample(begin_s, end_s, _mean_w(records, times, begin_s, end_s)) for begin_s, end_s in pairwise(edges)]


def _mean_w(records: list[PoolTelemetry], times: list[float], from_s: float, to_s: float) -> float | None:
    """Weighed by time. Known for less than half of the interval = unknown."""
    place = max(0, bisect_right(times, from_s) - 1)
    energy_ws, known_s = 0.0, 0.0
    while place < len(times) and times[place] < to_s:
        record = records[place]
        next_s = times[place + 1] if place + 1 < len(times) else to_s
        begin_s, end_s = max(from_s, times[place]), min(to_s, next_s, times[place] + LASTS_S)
        place += 1
        if record.measured_power_w is None or record.quality is Quality.MISSING or end_s <= begin_s:
            continue
        energy_ws += record.measured_power_w * (end_s - begin_s)
        known_s += end_s - begin_s
    return energy_ws / known_s if known_s >= 0.5 * (to_s - from_s) and known_s > 0.0 else None
