"""Texts that wait until the journal is durable, each bound to the line it was written for.

The gateway's lines and the deterministic simulation both send through here, so that what is proved there holds here: nothing
leaves before what it rests on is on disk, nothing that was said to an old connection is said to a new one, and a call that has
waited longer than its answer is awaited does not leave at all (its outcome is already on record as unknown).
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from counterflow.adapters.ocpp.csms import Outgoing
from counterflow.domain.ids import StationId

L = TypeVar("L")
LATE_S = 1.0
"""A call that left this much after it was written is awaited from then on."""


class Departures(Generic[L]):
    """The newest line of each station, and what is to be sent on it. `L` is whatever the owner calls a line."""

    def __init__(self, call_timeout_s: float, left_late: Callable[[StationId, float], None]) -> None:
        """`left_late(station, now)` is told of a call whose answer is to be awaited from `now` on."""
        self._call_timeout_s = call_timeout_s
        self._left_late = left_late
        self._lines: dict[StationId, tuple[L, int]] = {}  # and how many batches had been held when it opened
        self._held: deque[tuple[int, float, Sequence[Outgoing]]] = deque()
        self._batches = 0
        self.void = 0
        """Texts that never left: their line was gone or replaced, or they were calls whose time had passed."""

    @property
    def waiting(self) -> bool:
        """Something is held."""
        return bool(self._held)

    def line_of(self, station_id: StationId) -> L | None:
        """The newest line of a station."""
        standing = self._lines.get(station_id)
        return None if standing is None else standing[0]

    def opened(self, station_id: StationId, line: L) -> None:
        """This is the station's line from now on."""
        self._lines[station_id] = (line, self._batches)

    def closed(self, station_id: StationId, line: L) -> bool:
        """A line is gone. False when a newer one has taken its place: then it does not speak for its station."""
        if self.line_of(station_id) is not line:
            return False
        del self._lines[station_id]
        return True

    def hold(self, position: int, departing: Sequence[Outgoing], now_s: float) -> None:
        """Keep texts until the journal is durable up to `position`; each is for the line that its station has now."""
        self._held.append((position, now_s, departing))
        self._batches += 1

    def take_ready(self, durable_position: int, now_s: float) -> Iterator[tuple[L, Outgoing]]:
        """What may leave now, oldest first; each is handed out once."""
        held, lines = self._held, self._lines
        while held and held[0][0] <= durable_position:
            batch = self._batches - len(held)
            _, since_s, departing = held.popleft()
            held_s = now_s - since_s
            is_prompt = held_s < LATE_S and held_s < self._call_timeout_s
            for item in departing:
                standing = lines.get(item.station_id)
                # A line that opened after the batch was held is not the one it was written for.
                if standing is None or standing[1] > batch:
                    self.void += 1
                    continue
                if not is_prompt and item.is_call:
                    if held_s >= self._call_timeout_s:
                        self.void += 1
                        continue
                    self._left_late(item.station_id, now_s)
                yield standing[0], item
