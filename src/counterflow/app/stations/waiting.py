"""People who asked a station something over the API and wait for what it says."""

from collections.abc import Callable

from counterflow.domain.ids import StationId
from counterflow.domain.setpoints import CommandResult
from counterflow.domain.telemetry import CapabilitiesDiscovered

Called = Callable[[CommandResult], None]
Discovered = Callable[[CapabilitiesDiscovered | None], None]
"""None: the line was gone before the end."""


class Waiting:
    """Each is told once."""

    def __init__(self) -> None:
        self._calls: dict[int, Called] = {}
        self._discoveries: dict[StationId, list[Discovered]] = {}
        self._next_token = 1

    def for_call(self, done: Called) -> int:
        """The token under which the result of a call will come."""
        token = self._next_token
        self._next_token += 1
        self._calls[token] = done
        return token

    def for_discovery(self, station_id: StationId, done: Discovered) -> None:
        """`done` hears of the next end of a discovery of this station."""
        self._discoveries.setdefault(station_id, []).append(done)

    def called(self, token: int, result: CommandResult) -> None:
        """A call has ended; nobody may have waited for it."""
        done = self._calls.pop(token, None)
        if done is not None:
            done(result)

    def discovered(self, station_id: StationId, found: CapabilitiesDiscovered | None) -> None:
        """A discovery has ended, or its line has."""
        for done in self._discoveries.pop(station_id, ()):
            done(found)
