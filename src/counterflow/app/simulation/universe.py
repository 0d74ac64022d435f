"""One heap of things to come, one clock: plant, stations, connections, disk, server, people and faults. Same seed, same run."""

import heapq
from collections.abc import Callable
from math import inf
from random import Random
from typing import Any

from counterflow.app.replay import START_S
from counterflow.app.simulation.process import ServerProcess
from counterflow.app.simulation.seat import Seat
from counterflow.app.simulation.settings import MIX, PLANT, STATION, YARD, YARD_EVERY, SimulationSettings, server_settings
from counterflow.app.simulation.trace import Trace
from counterflow.app.simulation.watch import Watch
from counterflow.app.simulation.wire import CALL, CALL_ERROR, CALL_RESULT, Link, words
from counterflow.domain.ids import StationId
from counterflow.domain.records import DocumentKind
from counterflow.domain.resources import StationRegistration
from counterflow.sim.fleet import Fleet

SETTLE_S = 35.0
"""A call whose answer is lost is awaited for 30 s: until then a fault on a line is still at work."""


class Universe:
    """Build it, `run_until` a time; faults and people act on it through its methods."""

    def __init__(self, seed: int, settings: SimulationSettings) -> None:
        self.seed = seed
        self.settings = settings
        self.random = Random(seed)
        self.now_s = START_S
        self.trace = Trace()
        self.fleet = Fleet(settings.stations, "SIM", seed, PLANT, STATION, MIX)
        self.seats = [Seat(station, row) for row, station in enumerate(self.fleet.stations)]
        self.watch = Watch(self)
        self.troubled_until_s = 0.0
        """Something that concerns everybody (server, disk, clock) is going on until then."""
        self.peace = False
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0
        self._links = 0
        self._first_export_wh = self.fleet.plant.export_wh.copy()
        self._server_due_s = inf
        self.server = ServerProcess(self, server_settings(settings), Random(seed + 1))
        for seat in self.seats[::YARD_EVERY]:
            registration = StationRegistration(station_id=StationId(seat.name), site_id=YARD, added_at_s=START_S)
            self.server.disk.put(DocumentKind.STATION, seat.name, registration)
        self.server.disk.commit()
        self.server.start()
        self.at(START_S + 1.0, self._step_plant)
        for seat in self.seats:
            seat.station.plug_in(self.now_s)
            self.at(START_S + self.random.uniform(0.0, 5.0), self.connect, seat)

    # --- time ----------------------------------------------------------------------------------------------------------------

    def at(self, due_s: float, action: Callable[..., None], *args: Any) -> None:
        """Do something at a time (not in the past)."""
        self._sequence += 1
        heapq.heappush(self._heap, (max(due_s, self.now_s), self._sequence, action, args))

    def run_until(self, until_s: float) -> None:
        """Let time pass; stops early at the first breach."""
        heap = self._heap
        while not self.watch.breaches and (heap or self._server_due_s < inf):
            due_s = heap[0][0] if heap else inf
            if min(due_s, self._server_due_s) > until_s:
                break
            if self._server_due_s < due_s:
                self.now_s = max(self.now_s, self._server_due_s)
                self._server_due_s = inf
                self.server.advance()
            else:
                self.now_s, _, action, args = heapq.heappop(heap)
                action(*args)
        self.now_s = max(self.now_s, until_s) if not self.watch.breaches else self.now_s

    def trouble_for_all(self, until_s: float) -> None:
        """A fault that concerns everybody lasts until then."""
        self.troubled_until_s = max(self.troubled_until_s, until_s)

    def exported_wh(self, seat: Seat) -> float:
        """What the cars at a station have truly given since the world began."""
        return float(self.fleet.plant.export_wh[seat.row] - self._first_export_wh[seat.row])

    # --- the server's side ---------------------------------------------------------------------------------------------------

    def server_moved(self) -> None:
        """The server did something: see when it is due next."""
        due_s = self.server.next_due_s()
        self._server_due_s = inf if due_s is None else due_s

    def server_died(self, how: str) -> None:
        """Every connection dies with it: most stations see it at once, some only when their pings stay without an answer."""
        self.trace.note(self.now_s, "server", how)
        self._server_due_s = inf
        away_s = self.random.choice((0.5, 3.0, 15.0, 45.0))
        self.trouble_for_all(self.now_s + away_s)
        unseen = self.random.random() < 0.3
        for seat in self.seats:
            if seat.link is not None:
                seat.link.server_open = False
                self.at(self.now_s + (self.random.uniform(0.0, 40.0) if unseen else 0.0), self.station_loses, seat.link, "the server died")
        self.at(self.now_s + away_s, self.start_server)

    def start_server(self) -> None:
        """The next life."""
        if not self.server.alive:
            self.server.start()

    def send_down(self, link: Link, text: bytes) -> None:
        """A text of the server onto a connection."""
        if link.server_open and not link.black_hole:
            self.at(link.down_at_s(self.now_s), self._arrive_down, link, text)

    def server_closes(self, link: Link, reason: str) -> None:
        """The server ends a connection; the other side learns it if anything passes."""
        if link.server_open:
            link.server_open = False
            self.server.closed(link, reason)
            if not link.black_hole:
                self.at(link.down_at_s(self.now_s), self.station_loses, link, f"closed by the server: {reason}")

    def server_loses(self, link: Link, reason: str) -> None:
        """The server learns that a connection is gone."""
        if link.server_open:
            link.server_open = False
            self.trace.note(self.now_s, link.seat.name, f"the server sees its line gone: {reason}")
            self.server.closed(link, reason)

    def _arrive_up(self, link: Link, text: bytes) -> None:
        if link.server_open and not link.black_hole and self.server.alive:
            self.trace.note(self.now_s, link.seat.name, f"-> {words(text)}")
            self.watch.answer_arrives(link, text)
            self.server.received(link, text)

    # --- the stations' side --------------------------------------------------------------------------------------------------

    def connect(self, seat: Seat) -> None:
        """A station opens a connection, if it has none, has power, and there is somebody to connect to."""
        seat.connecting = False
        if seat.link is not None:
            return
        if not self.server.alive or self.now_s < seat.off_until_s:
            self.reconnect_later(seat, max(seat.off_until_s, self.now_s) + self.random.uniform(1.0, 8.0))
            return
        link = self.new_link(seat)
        seat.link = link
        seat.touched(self.now_s)
        self.trace.note(self.now_s, seat.name, f"connects, line {link.number}")
        self.server.opened(link)
        if seat.shuffles_queue:
            seat.shuffles_queue = False
            self.random.shuffle(seat.station.uplink.events)
        seat.station.connect(seat.local_s(self.now_s))
        self.flush(seat)

    def new_link(self, seat: Seat, *, impostor: bool = False) -> Link:
        """A connection that is up on both sides."""
        self._links += 1
        return Link(self._links, seat, self.random, impostor=impostor)

    def reconnect_later(self, seat: Seat, at_s: float) -> None:
        """The station tries again then."""
        if not seat.connecting:
            seat.connecting = True
            self.at(at_s, self.connect, seat)

    def station_loses(self, link: Link, reason: str) -> None:
        """The station learns that a connection is gone; it comes back after a while."""
        if not link.station_open:
            return
        link.station_open = False
        seat = link.seat
        if seat.link is link:
            seat.link = None
            self.trace.note(self.now_s, seat.name, f"sees its line gone: {reason}")
            seat.station.disconnect(seat.local_s(self.now_s))
            self.flush(seat)
            self.reconnect_later(seat, self.now_s + self.random.uniform(1.0, 12.0))

    def cut(self, link: Link, reason: str) -> None:
        """A connection breaks and both sides see it."""
        self.station_loses(link, reason)
        self.server_loses(link, reason)

    def flush(self, seat: Seat) -> None:
        """Send what a station has to say, and note when it is due next."""
        station, link = seat.station, seat.link
        for text in station.take_outbox():
            if link is not None:
                self._send_up(seat, link, text)
        due_s = station.next_due_s()
        if due_s is not None and due_s - seat.clock_ahead_s < seat.due_s:
            seat.due_s = max(due_s - seat.clock_ahead_s, self.now_s)
            self.at(seat.due_s, self._step_station, seat, seat.due_s)
        if station.drop_line and link is not None:
            self.cut(link, "reset")

    def _send_up(self, seat: Seat, link: Link, text: bytes) -> None:
        is_answer = text[1] in (CALL_RESULT, CALL_ERROR)
        if is_answer and seat.swallow_answers > 0:
            seat.swallow_answers -= 1
            seat.touched(self.now_s + SETTLE_S)
            self.trace.note(self.now_s, seat.name, f"loses its {words(text)}")
            return
        if is_answer and seat.late_answers > 0:
            seat.late_answers -= 1
            seat.touched(self.now_s + SETTLE_S)
            self.at(self.now_s + self.random.uniform(28.0, 50.0), self._arrive_up, link, text)
            return
        self.at(link.up_at_s(self.now_s), self._arrive_up, link, text)
        if text[1] == CALL and seat.repeat_events > 0 and b'"TransactionEvent"' in text:
            seat.repeat_events -= 1
            self.at(link.up_at_s(self.now_s), self._arrive_up, link, text)

    def _arrive_down(self, link: Link, text: bytes) -> None:
        seat = link.seat
        if seat.link is not link or not link.station_open or link.black_hole:
            return
        if text[1] == CALL and seat.swallow_calls > 0:
            seat.swallow_calls -= 1
            seat.touched(self.now_s + SETTLE_S)
            self.trace.note(self.now_s, seat.name, f"never reads {words(text)}")
            return
        seat.station.receive(text, seat.local_s(self.now_s))
        self.flush(seat)

    def _step_station(self, seat: Seat, due_s: float) -> None:
        if seat.due_s == due_s:
            seat.due_s = inf
            seat.station.step(seat.local_s(self.now_s) + 1e-6)
            self.flush(seat)

    def _step_plant(self) -> None:
        for station in self.fleet.step_plant(self.now_s - 1.0, 1.0):
            seat = next(seat for seat in self.seats if seat.station is station)
            self.flush(seat)
        self.watch.look()
        self.at(self.now_s + 1.0, self._step_plant)
