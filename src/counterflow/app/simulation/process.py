"""The server as a process that lives, dies at any write, and is started again on what the disk holds."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Coroutine, Generator
from random import Random
from typing import TYPE_CHECKING, Any

from counterflow.app.clock import SystemClock
from counterflow.app.config import Settings
from counterflow.app.control_room import ControlRoom
from counterflow.app.desks.operations import LiveOperations
from counterflow.app.dispatching.departures import Departures
from counterflow.app.observing.notices import NoticeBoard
from counterflow.app.replay import KeptReports, message_ids
from counterflow.app.settlement.reporting import Reporting
from counterflow.app.simulation.disk import Disk, ProcessKilled
from counterflow.app.simulation.wire import CALL, Link, words
from counterflow.domain.views import Notice

if TYPE_CHECKING:
    from counterflow.app.simulation.universe import Universe

ROUNDING_S = 1e-6
"""Epoch seconds have no finer grain than a quarter of this."""
COMMIT_MAX_S = 0.012
"""A group commit takes up to this long."""


class Durable:
    """What an operation waits for."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class ServerProcess:
    """One server, many lives. What the live server does with sockets and threads is done here with the universe's clock."""

    def __init__(self, universe: Universe, settings: Settings, random: Random) -> None:
        self.settings = settings
        self.disk = Disk()
        self.reports = KeptReports()
        self.alive = False
        self.lives = 0
        self.began_s = 0.0
        self.wall_ahead_s = 0.0
        """How far the machine's clock is ahead of true time."""
        self.kill_at_commit = ""
        """"before" or "after": the process dies around its next commit."""
        self.room: ControlRoom
        self.operations: LiveOperations
        self.reporting: Reporting
        self.departures: Departures[Link]
        self.clock: SystemClock
        self._universe = universe
        self._random = random
        self._commit_due = False
        self._waiting: list[tuple[int, Coroutine[Any, Any, object], Callable[[object], None]]] = []

    @property
    def now_s(self) -> float:
        """What the server takes for the time."""
        return self.clock.now_s()

    # --- life and death ------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A process starts on what the disk holds."""
        universe = self._universe
        self.lives += 1
        self.alive, self.began_s = True, universe.now_s
        self._commit_due = False
        self.kill_at_commit = ""
        self.clock = SystemClock(lambda: universe.now_s + self.wall_ahead_s, lambda: universe.now_s)
        self.room = ControlRoom(
            self.settings, self.disk, new_message_id=message_ids(1000 * self.lives + universe.seed), notify=self._announced
        )
        self.departures = Departures(self.settings.ocpp.call_timeout_s, self.room.csms.call_left_late)
        self.reporting = Reporting(self.disk, self.reports, self.settings.settlement, self.reports.newest)
        self.operations = LiveOperations(
            self.room,
            board=NoticeBoard(f"life-{self.lives}"),
            reporting=self.reporting,
            now_s=self.clock.now_s,
            settled=self._settled,
            alarms=self.disk.alarms,
            disconnect=lambda _station_id: None,
            new_id=lambda: f"{universe.random.getrandbits(32):08x}",
        )
        universe.trace.note(universe.now_s, "server", f"starts, life {self.lives}")
        self.enter(lambda: self.room.restore(self.now_s))

    def die(self, where: str) -> None:
        """The process is gone, with all that was not committed (the writer may just have committed a part of it)."""
        if not self.alive:
            return
        self.alive = False
        kept = self._random.randint(0, self.disk.pending) if self._random.random() < 0.5 else 0
        lost = self.disk.crash(kept)
        for _, operation, _ in self._waiting:
            operation.close()
        self._waiting.clear()
        self._universe.server_died(f"dies {where}; {lost} writes lost")

    def enter(self, work: Callable[[], object]) -> None:
        """Let the room do something, and do what the server does afterwards."""
        if not self.alive:
            return
        try:
            work()
            self._after()
        except ProcessKilled:
            self.die("between two writes")
        except Exception:  # noqa: BLE001  # a fault of the server's own is what is looked for
            self._universe.watch.breach("the server raised: " + traceback.format_exc(limit=-6))

    # --- lines ---------------------------------------------------------------------------------------------------------------

    def opened(self, link: Link) -> None:
        """A connection is up; an older one of the same identity is ended."""
        older = self.departures.line_of(link.seat.station.station_id)  # type: ignore[arg-type]
        self.enter(lambda: None)
        if not self.alive:
            return
        self.departures.opened(link.seat.station.station_id, link)  # type: ignore[arg-type]
        if older is not None:
            self._universe.server_closes(older, "replaced")
        self.enter(lambda: self.room.opened(link.seat.name, "ocpp2.1", self.now_s))

    def received(self, link: Link, text: bytes) -> None:
        """One text of a station."""
        if self.departures.line_of(link.seat.name) is link:  # type: ignore[arg-type]
            self.enter(lambda: self.room.received(link.seat.name, text, self.now_s))

    def closed(self, link: Link, reason: str) -> None:
        """A connection is gone."""
        if self.alive and self.departures.closed(link.seat.name, link):  # type: ignore[arg-type]
            self.enter(lambda: self.room.closed(link.seat.name, self.now_s, reason))

    # --- time and disk -------------------------------------------------------------------------------------------------------

    def next_due_s(self) -> float | None:
        """When `advance` wants to be called, in true time."""
        due_s = self.room.next_due_s() if self.alive else None
        return None if due_s is None else max(self._universe.now_s, self._universe.now_s + due_s - self.now_s + ROUNDING_S)

    def advance(self) -> None:
        """Whatever is due, and what the live server does in a thread meanwhile."""
        self.enter(lambda: self.room.advance(self.now_s))
        self.enter(lambda: self.room.dispatcher.identify(self.now_s))

    def commit(self, life: int) -> None:
        """The writer's thread commits a group."""
        if not self.alive or life != self.lives:
            return
        self._commit_due = False
        if self.disk.trouble:
            return
        moment, self.kill_at_commit = self.kill_at_commit, ""
        if moment == "before":
            self.die("before a commit")
            return
        self.disk.commit()
        if moment == "after":
            self.die("after a commit")
            return
        self.enter(self._resume)

    def _after(self) -> None:
        departing = self.room.take_departing()
        if departing:
            self.departures.hold(self.disk.position, departing, self.now_s)
        self._send_ready()
        if self.disk.durable_position < self.disk.position and not self._commit_due:
            self._commit_due = True
            life = self.lives
            self._universe.at(self._universe.now_s + self._random.uniform(0.0005, COMMIT_MAX_S), self.commit, life)
        self._universe.server_moved()

    def _send_ready(self) -> None:
        for link, item in self.departures.take_ready(self.disk.durable_position, self.now_s):
            if item.text[1] == CALL:
                self._universe.watch.call_leaves(link, item.text)
            self._universe.trace.note(self._universe.now_s, link.seat.name, f"<- {words(item.text)}")
            self._universe.send_down(link, item.text)

    # --- people --------------------------------------------------------------------------------------------------------------

    def do(self, operation: Coroutine[Any, Any, object], done: Callable[[object], None]) -> None:
        """Carry out an operation; `done` gets what the person is told, once it is durable. A crash in between says nothing."""
        self.enter(lambda: self._step(operation, done))

    async def _settled(self) -> None:
        self._after()
        if self.disk.durable_position < self.disk.position:
            await Durable()

    def _step(self, operation: Coroutine[Any, Any, object], done: Callable[[object], None]) -> None:
        try:
            operation.send(None)
        except StopIteration as finished:
            done(finished.value)
        else:
            self._waiting.append((self.disk.position, operation, done))

    def _resume(self) -> None:
        waiting, self._waiting = self._waiting, []
        for position, operation, done in waiting:
            if position <= self.disk.durable_position:
                self._step(operation, done)
            else:
                self._waiting.append((position, operation, done))

    def _announced(self, notice: Notice) -> None:
        if not notice.kind.endswith((".tick", ".second")):
            self._universe.trace.note(self._universe.now_s, "server", f"{notice.kind} {notice.subject} {notice.text}")
