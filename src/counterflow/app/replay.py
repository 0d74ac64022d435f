"""The control room and the simulated fleet in one process on a virtual clock: an hour of dispatch in seconds, the same each time."""

from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.config import Settings
from counterflow.app.control_room import ControlRoom
from counterflow.app.desks.capacity_desk import CapacityDesk
from counterflow.app.desks.grid_desk import GridDesk
from counterflow.app.desks.operations import LiveOperations
from counterflow.app.observing.notices import NoticeBoard
from counterflow.app.observing.wire_alarms import WireAlarms
from counterflow.app.settlement.reporting import Reporting
from counterflow.app.telemetry.pool_figures import Momentary, PoolFigures
from counterflow.domain.delivery import DeliveryReport
from counterflow.domain.ids import DispatchId, StationId
from counterflow.domain.views import Notice
from counterflow.sim.settings import WorldSettings
from counterflow.sim.vehicle import Cars
from counterflow.sim.world import World

START_S = 1_795_366_800.0
"""2026-11-22T17:00:00Z."""

_CALL = 2
Value = TypeVar("Value")


def message_ids(seed: int) -> Callable[[], str]:
    """Message ids as UUIDs that are the same in every run of a seed."""
    random = Random(seed)
    return lambda: str(UUID(int=random.getrandbits(128), version=4))


class Sent(NamedTuple):
    """One CALL of ours on its way to a station."""

    at_s: float
    station_id: StationId
    action: str
    payload: dict[str, Any]


class KeptReports:
    """`ReportSink` that keeps every version in memory."""

    def __init__(self) -> None:
        self.kept: list[DeliveryReport] = []

    def keep(self, report: DeliveryReport) -> None:
        """Store one version."""
        self.kept.append(report)

    def versions(self, dispatch_id: DispatchId) -> list[int]:
        """The versions kept."""
        return [report.version for report in self.kept if report.dispatch_id == dispatch_id]

    def read(self, dispatch_id: DispatchId, version: int) -> DeliveryReport | None:
        """One version."""
        return next((report for report in self.kept if (report.dispatch_id, report.version) == (dispatch_id, version)), None)

    def sums(self, _dispatch_id: DispatchId) -> dict[str, str]:
        """Memory has no files."""
        return {}

    def newest(self, dispatch_id: DispatchId) -> DeliveryReport | None:
        """The newest version."""
        return next((report for report in reversed(self.kept) if report.dispatch_id == dispatch_id), None)


class Replay:
    """A fleet, its control room and the operations on it, with a record of what was sent and what the cars truly did.

    `power_w` has one entry a second (import positive), `sent` every CALL of ours, `notices` what was announced. `restart` lets the
    process die and another one start on the same journal.
    """

    def __init__(
        self,
        settings: Settings,
        world: WorldSettings,
        seed: int,
        *,
        start_s: float = START_S,
        journal: MemoryJournal | None = None,
        cars: Cars | None = None,
    ) -> None:
        self.settings = settings
        self.journal = journal if journal is not None else MemoryJournal()
        self.reports = KeptReports()
        self.notices: list[Notice] = []
        self.sent: list[Sent] = []
        self.power_w: list[float] = []
        self.each_second: list[Callable[[], object]] = []
        self.on_sent: list[Callable[[Sent], object]] = []
        self.room: ControlRoom
        self.operations: LiveOperations
        self.grid: GridDesk
        self._clock: Callable[[], float] = lambda: start_s
        self._seed = seed
        self._lives = 0
        self._begin_life()
        self.world = World(self, world, seed, start_s, cars=cars)
        self._clock = lambda: self.world.now_s

    # --- what a person does ----------------------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """The virtual clock."""
        return self._clock()

    def run(self, seconds: float) -> "Replay":
        """Let time pass."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.world.run_until(min(until_s, self.now_s + 1.0))
            self.room.dispatcher.identify(self.now_s)
            self.power_w.append(self.world.true_power_w())
            for look in self.each_second:
                look()
        return self

    def do(self, operation: Coroutine[Any, Any, Value]) -> Value:
        """Carry out an operation now. Raises RuntimeError for one that has to wait."""
        try:
            operation.send(None)
        except StopIteration as done:
            self.world.at(self.now_s, lambda: None)
            self.world.run_until(self.now_s)
            value: Value = done.value
            return value
        raise RuntimeError("this operation waits for something; it cannot be done on a virtual clock")

    def report(self, dispatch_id: DispatchId) -> DeliveryReport:
        """The settlement as of now."""
        return self.operations_reporting.build(self.room.dispatcher.book.instructions[dispatch_id], self.now_s)

    def restart(self, *, away_s: float = 5.0, lose_pending: bool = False) -> None:
        """The process dies and is started again at once; stations are back `away_s` later."""
        self.room = _Dead()  # type: ignore[assignment]  # nobody answers while lines break
        self.world.cut_all(away_s)
        if lose_pending:
            self.journal.lose_pending()
        self._begin_life()
        self.world.replace_csms(self)

    # --- what the world sees (sim.world.CsmsSide) ------------------------------------------------------------------------------

    def opened(self, station_id: str, subprotocol: str, now_s: float) -> None:
        """A line is up."""
        self.room.opened(station_id, subprotocol, now_s)

    def received(self, station_id: str, text: bytes, now_s: float) -> None:
        """One text from a station."""
        self.room.received(station_id, text, now_s)

    def closed(self, station_id: str, now_s: float, reason: str) -> None:
        """A line is gone."""
        self.room.closed(station_id, now_s, reason)

    def advance(self, now_s: float) -> None:
        """Whatever is due."""
        self.room.advance(now_s)

    def next_due_s(self) -> float | None:
        """When `advance` should be called next."""
        return self.room.next_due_s()

    def take_outbox(self) -> list[tuple[str, bytes]]:
        """Texts to send; CALLs are noted."""
        texts = []
        for departing in self.room.take_departing():
            texts.append((str(departing.station_id), departing.text))
            if departing.is_call:
                frame = msgspec.json.decode(departing.text)
                sent = Sent(self.now_s, departing.station_id, frame[2], frame[3])
                self.sent.append(sent)
                for look in self.on_sent:
                    look(sent)
        return texts

    def _begin_life(self) -> None:
        self._lives += 1
        self.room = ControlRoom(
            self.settings, self.journal, new_message_id=message_ids(1000 * self._lives + self._seed), notify=self.notices.append
        )
        self.room.restore(self.now_s)
        self.operations_reporting = Reporting(
            self.journal,
            self.reports,
            self.settings.settlement,
            self.reports.newest,
            lambda: tuple(self.room.dispatcher.book.instructions.values()),
        )
        self.room.on_ended = self.operations_reporting.late.ended
        board, wire_alarms = NoticeBoard("replay"), WireAlarms()
        self.operations = LiveOperations(
            self.room,
            board=board,
            reporting=self.operations_reporting,
            now_s=lambda: self.now_s,
            settled=_at_once,
            alarms=lambda: (),
            disconnect=lambda station_id: self.world.cut(station_id, 5.0),
            wire_alarms=wire_alarms.all,
        )
        self.grid = GridDesk(
            self.operations,
            self.settings.programs,
            self.journal,
            settings=self.settings.orders,
            settled=_at_once,
            alarms=wire_alarms,
            notify=self.notices.append,
            records=Momentary(PoolFigures(self.room, self.settings.programs, broken=lambda: False), lambda: self.now_s),
            capacity=CapacityDesk(self.room, self.journal),
        )
        self.grid.restore()


class _Dead:
    """A process that is no more."""

    def closed(self, station_id: str, now_s: float, reason: str) -> None:
        """Nobody hears it."""

    def take_departing(self) -> list[Any]:
        """Nothing."""
        return []

    def next_due_s(self) -> None:
        """Never."""
        return


async def _at_once() -> None:
    """The journal in memory is durable at once."""
