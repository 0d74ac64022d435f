"""The world on a virtual clock: a fleet and a CSMS, one event loop over one heap, no sleeping. Same seed, same run, byte for byte."""

import heapq
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final, Protocol

from counterflow.sim.fleet import Fleet
from counterflow.sim.settings import WorldSettings
from counterflow.sim.station import SimStation
from counterflow.sim.vehicle import F8, Cars

SUBPROTOCOL: Final = "ocpp2.1"
RECONNECT_S: Final = 5.0
PLANT_STEP_S: Final = 1.0


class CsmsSide(Protocol):
    """A CSMS as the world sees it: sans-I/O, many stations."""

    def opened(self, station_id: str, subprotocol: str, now_s: float) -> None:
        """A station's line is up."""
        ...

    def received(self, station_id: str, text: bytes, now_s: float) -> None:
        """One WebSocket text message from a station."""
        ...

    def closed(self, station_id: str, now_s: float, reason: str) -> None:
        """A station's line is gone."""
        ...

    def advance(self, now_s: float) -> None:
        """Do whatever is due: control ticks, deadlines."""
        ...

    def next_due_s(self) -> float | None:
        """When `advance` wants to be called next; None = nothing is due."""
        ...

    def take_outbox(self) -> list[tuple[str, bytes]]:
        """(station id, frame) to send now, in order."""
        ...


class _Seat:
    """A station's place in the world: its line (None = cut) and when it is due."""

    __slots__ = ("due_s", "line", "station")

    def __init__(self, station: SimStation) -> None:
        self.station = station
        self.line: int | None = None
        self.due_s = inf


class World:
    """A CSMS and its fleet from `start_s` on, with a car at every station."""

    def __init__(self, csms: CsmsSide, settings: WorldSettings, seed: int, start_s: float, *, cars: Cars | None = None) -> None:
        self.csms = csms
        self.settings = settings
        self.now_s = start_s
        self.fleet = Fleet(settings.stations, settings.prefix, seed, settings.plant, settings.station, settings.mix, cars=cars)
        self._latency_s = settings.line_latency_s
        self._heap: list[tuple[float, int, Callable[..., None], tuple[object, ...]]] = []
        self._sequence = 0
        self._seats = {station.station_id: _Seat(station) for station in self.fleet.stations}
        self._connections = 0
        self._csms_due_s = inf
        # Every frame takes equally long, so those in flight leave in the order in which they came.
        self._in_flight: deque[tuple[float, _Seat, int, bytes, bool]] = deque()
        self._plant_at(start_s + PLANT_STEP_S)
        spread_s = settings.connect_over_s / max(1, settings.stations)
        for number, station in enumerate(self.fleet.stations):
            station.plug_in(start_s)
            self._at(start_s + number * spread_s, self._connect, self._seats[station.station_id])

    # ---- for tests and the demo

    @property
    def stations(self) -> list[SimStation]:
        """All stations."""
        return self.fleet.stations

    @property
    def power_w(self) -> F8:
        """(N,) true power of each car, import positive."""
        return self.fleet.plant.power_w

    def true_power_w(self) -> float:
        """True power of the fleet, import positive."""
        return self.fleet.true_power_w()

    def at(self, t_s: float, action: Callable[[], object]) -> None:
        """Call `action()` when the clock shows `t_s`; its effects on stations and CSMS are carried out right after."""
        self._at(t_s, self._call, action)

    def run_until(self, t_s: float) -> None:
        """Advance the clock to `t_s`."""
        heap, in_flight = self._heap, self._in_flight
        while True:
            due_s = heap[0][0] if heap else inf
            arrives_s = in_flight[0][0] if in_flight else inf
            if self._csms_due_s < due_s and self._csms_due_s < arrives_s:
                if self._csms_due_s > t_s:
                    break
                self.now_s = max(self.now_s, self._csms_due_s)
                self._advance_csms()
            elif arrives_s <= due_s:
                if arrives_s > t_s:
                    break
                self.now_s, seat, line, frame, upwards = in_flight.popleft()
                if seat.line == line:
                    (self._arrive_at_csms if upwards else self._arrive_at_station)(seat, frame)
            else:
                if due_s > t_s:
                    break
                self.now_s, _, action, args = heapq.heappop(heap)
                action(*args)
        self.now_s = max(self.now_s, t_s)

    def drop_out(self, share: float, silent_share: float) -> list[str]:
        """A share of the cars in a session leaves now; returns their stations' ids."""
        gone = [station.station_id for station in self.fleet.drop_out(share, silent_share, self.now_s)]
        for station_id in gone:
            self._flush(self._seats[station_id])
        return gone

    def leave(self, station_id: str, *, silently: bool) -> None:
        """The car at a station leaves now."""
        seat = self._seats[station_id]
        self.fleet.leave(seat.station, self.now_s, silently=silently)
        self._flush(seat)

    def set_frequency(self, frequency_hz: float) -> None:
        """The grid's frequency, which every station measures."""
        for seat in self._seats.values():
            seat.station.operation.grid_at(frequency_hz, self.now_s)
            self._flush(seat)

    def cut(self, station_id: str, for_s: float | None = None) -> None:
        """A station's line breaks; it comes back after `for_s` (None = not by itself)."""
        seat = self._seats[station_id]
        self._disconnect(seat, "cut")
        if for_s is not None:
            self._at(self.now_s + for_s, self._connect, seat)

    def cut_all(self, for_s: float | None = None) -> None:
        """Every line breaks, as when the CSMS dies."""
        for station_id in self._seats:
            self.cut(station_id, for_s)

    def replace_csms(self, csms: CsmsSide) -> None:
        """Another CSMS process takes over (a restart); lines must have been cut before."""
        self.csms = csms
        self._csms_due_s = _or_never(csms.next_due_s())

    # ---- the loop

    def _at(self, due_s: float, action: Callable[..., None], *args: object) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (due_s, self._sequence, action, args))

    def _plant_at(self, due_s: float) -> None:
        """A step of the plant ends at `due_s`: before anything else that is due then, so that a meter read at that time shows it."""
        heapq.heappush(self._heap, (due_s, 0, self._step_plant, ()))

    def _call(self, action: Callable[[], object]) -> None:
        action()
        for seat in self._seats.values():
            self._flush(seat)
        self._drain_csms()

    def _connect(self, seat: _Seat) -> None:
        if seat.line is not None:
            return
        self._connections += 1
        seat.line = self._connections
        self.csms.opened(seat.station.station_id, SUBPROTOCOL, self.now_s)
        seat.station.connect(self.now_s)
        self._flush(seat)
        self._drain_csms()

    def _disconnect(self, seat: _Seat, reason: str) -> None:
        if seat.line is not None:
            seat.line = None
            seat.station.disconnect(self.now_s)
            self._flush(seat)
            self.csms.closed(seat.station.station_id, self.now_s, reason)
            self._drain_csms()

    def _flush(self, seat: _Seat) -> None:
        """Send what a station has to say, and note when it is due next."""
        station = seat.station
        line = seat.line
        if line is not None:
            for frame in station.take_outbox():
                self._in_flight.append((self.now_s + self._latency_s, seat, line, frame, True))
        due_s = station.next_due_s()
        if due_s is not None and due_s < seat.due_s:
            seat.due_s = due_s = max(due_s, self.now_s)
            self._at(due_s, self._step_station, seat, due_s)
        if station.drop_line and line is not None:
            self._disconnect(seat, "reset")
            self._at(self.now_s + RECONNECT_S, self._connect, seat)

    def _step_station(self, seat: _Seat, due_s: float) -> None:
        if seat.due_s == due_s:
            seat.due_s = inf
            seat.station.step(self.now_s)
            self._flush(seat)

    def _step_plant(self) -> None:
        for station in self.fleet.step_plant(self.now_s - PLANT_STEP_S, PLANT_STEP_S):
            self._flush(self._seats[station.station_id])
        self._plant_at(self.now_s + PLANT_STEP_S)

    def _arrive_at_csms(self, seat: _Seat, frame: bytes) -> None:
        self.csms.received(seat.station.station_id, frame, self.now_s)
        self._drain_csms()

    def _arrive_at_station(self, seat: _Seat, frame: bytes) -> None:
        seat.station.receive(frame, self.now_s)
        self._flush(seat)

    def _advance_csms(self) -> None:
        self.csms.advance(self.now_s)
        self._drain_csms()

    def _drain_csms(self) -> None:
        for station_id, frame in self.csms.take_outbox():
            seat = self._seats[station_id]
            if seat.line is not None:
                self._in_flight.append((self.now_s + self._latency_s, seat, seat.line, frame, False))
        due_s = self.csms.next_due_s()
        self._csms_due_s = inf if due_s is None else max(self.now_s, due_s)


def _or_never(due_s: float | None) -> float:
    return inf if due_s is None else due_s
