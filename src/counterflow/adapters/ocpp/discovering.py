"""Which stations are asked what they can do, and when: paced over the fleet, with the lowest priority on each line."""

from collections.abc import Callable
from itertools import count
from typing import Protocol

from msgspec import Struct

from counterflow.adapters.ocpp.counters import OcppCounters
from counterflow.adapters.ocpp.discovery.dialogue import Discovery, Errand
from counterflow.adapters.ocpp.discovery.pacing import Pace
from counterflow.adapters.ocpp.line import Line
from counterflow.adapters.ocpp.profiles import MAX_INT32
from counterflow.adapters.ocpp.settings import OcppSettings
from counterflow.domain.telemetry import StationEvent


class Caller(Protocol):
    """Sends a request to a station; its answer comes with `context`."""

    def __call__(self, line: Line, action: str, request: Struct | dict[str, object], now_s: float, context: object) -> None: ...


class Discovering:
    """All discoveries of all lines. `call` sends a request, `go_on` lets a line send what is next."""

    def __init__(
        self,
        settings: OcppSettings,
        counters: OcppCounters,
        lowest_profile_id: int,
        *,
        call: Caller,
        go_on: Callable[[Line, float, list[StationEvent]], None],
    ) -> None:
        self._settings = settings
        self._counters = counters
        self._lowest_profile_id = lowest_profile_id
        self._call = call
        self._go_on = go_on
        self._report_ids = count(1)
        self._pace: Pace[Line] = Pace(settings.discovery_parallel, settings.discovery_per_s)
        self.open_commands = 0
        """Commands to stations that have no end yet: while there are many, discoveries wait."""

    def next_due_s(self) -> float | None:
        """When the next one may start, if one waits."""
        return self._pace.next_due_s()

    def begin(self, line: Line, errand: Errand, now_s: float, happened: list[StationEvent]) -> None:
        """Ask a station anew, ahead of those that wait."""
        line.learn_again(errand)
        line.hands_off = not errand.set_up
        self.drop(line)
        if not line.awaits_discovery:
            line.awaits_discovery = True
            self._pace.join(line, now_s, first=True)
        self.start_due(now_s, happened)

    def go_on(self, line: Line, now_s: float, happened: list[StationEvent]) -> None:
        """The next step of a line's discovery; nothing else waits for this station now."""
        discovery = line.discovery
        if discovery is None:
            if line.wants_discovery() and not line.awaits_discovery:
                line.awaits_discovery = True
                self._pace.join(line, now_s)
                self.start_due(now_s, happened)
            return
        ask = discovery.next_call()
        if ask is not None:
            happened += discovery.changes(line.station_id, now_s)
            self._call(line, ask.action, line.version.in_its_words(ask.action, ask.request), now_s, discovery)
        elif discovery.result is not None:
            if not discovery.looks_only:
                line.covered = len(discovery.result)
                line.know(discovery.result)
                found = discovery.event(line.station_id, now_s)
                line.awaits_reboot = found.awaits_reboot
                happened.append(found)
            happened += discovery.cars(line.station_id, now_s)
            self.drop(line)
            self.go_on(line, now_s, happened)
            self.start_due(now_s, happened)

    def drop(self, line: Line) -> None:
        """What is under way on a line is over, whatever it has learned."""
        if line.discovery is not None:
            line.discovery = None
            self._pace.running -= 1
            self._counters.discovering = self._pace.running

    def start_due(self, now_s: float, happened: list[StationEvent]) -> None:
        """As many as may run at once, first come, first served."""
        while (line := self._pace.take(now_s, self.open_commands > self._settings.discovery_parallel)) is not None:
            line.awaits_discovery = False
            if line.closed or line.discovery is not None or not line.wants_discovery():
                continue
            line.discovery = Discovery(
                self._settings,
                line.context.identity,
                line.evse_ids,
                now_s,
                errand=line.next_errand(),
                manner=line.version.manner,
                subprotocol=line.version.dialect.subprotocol,
                lowest_profile_id=self._lowest_profile_id,
                new_request_id=lambda: next(self._report_ids) % MAX_INT32,
            )
            self._pace.running += 1
            self._counters.discovering = self._pace.running
            self._go_on(line, now_s, happened)
        self._counters.awaiting_discovery = len(self._pace)
