"""The outstation as the server runs it: opened, shown round and round, closed."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import structlog
from msgspec import Struct

from counterflow.adapters.iec104.commands import SetpointCommand
from counterflow.adapters.iec104.front import Front, security_of
from counterflow.adapters.iec104.outstation import CannotOpenError, Outstation, Showing
from counterflow.adapters.iec104.settings import Iec104Settings
from counterflow.domain.grid import Wire
from counterflow.domain.units import format_instant
from counterflow.engine.grid_side import GridSide

_log = structlog.get_logger("counterflow")
_BREATH_S = 0.2
MISSING_EXTRA = "IEC 60870-5-104 needs the package c104, which is not installed. Type: pip install 'counterflow[iec104]'"


class Iec104Figures(Struct, frozen=True, kw_only=True):
    """How it goes with the line. All count from the start."""

    masters: int = 0
    """Connected now."""
    commands: Mapping[tuple[str, str], int] = {}
    """By program and what became of them: taken, refused."""
    late_answers: int = 0
    """Confirmed negatively since the answer took too long; counted above as what they became."""
    turned_away: int = 0
    """Connections of control systems that are not on the list, or too many."""
    malformed: int = 0
    """Connections that were ended over octets that are no frame."""


class Link(Protocol):
    """What carries points and commands; its methods block, and run on the service's thread."""

    @property
    def late_answers(self) -> int:
        """Commands that were confirmed negatively since their answer took too long."""
        ...

    @property
    def port(self) -> int:
        """Where it listens, on this machine."""
        ...

    def expect(self) -> Callable[[], None]:
        """One connection comes from our own door; call what is returned when it does not."""
        ...

    def start(self) -> None:
        """Listen. Raises OSError when the port cannot be had."""
        ...

    def show(self, common_address: int, showing: Showing) -> None:
        """Set and send points."""
        ...

    def stop(self) -> None:
        """Listen no more."""
        ...


class Iec104Service:
    """`open()` it, let `run()` go on, `close()` it. Its own thread talks to c104, so that no lock of that library can hold the loop."""

    def __init__(self, grid: GridSide, settings: Iec104Settings) -> None:
        self._grid = grid
        self._settings = settings
        self.outstations: Mapping[int, Outstation] = {one.common_address: Outstation(grid, settings, one) for one in settings.stations}
        """By common address."""
        self._wake = {address: asyncio.Event() for address in self.outstations}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="iec104")
        self._masters_since_s = grid.now_s()
        self.front: Front | None = None
        self.link: Link | None = None
        """Once it is open."""
        self._alarms: dict[str, str | None] = {}

    async def open(self) -> None:
        """Listen. Raises `CannotOpenError` in one sentence, OSError when the port cannot be had."""
        try:
            from counterflow.adapters.iec104.link import C104Link  # an extra
        except ImportError:
            raise CannotOpenError(MISSING_EXTRA) from None
        security = security_of(self._settings)
        self.link = C104Link(self._settings, asyncio.get_running_loop(), self._decide)
        await asyncio.get_running_loop().run_in_executor(self._thread, self.link.start)
        front = Front(self._settings, self.link.expect, self._grid.now_s)
        try:
            await front.open(self.link.port, security)
        except OSError:
            await asyncio.get_running_loop().run_in_executor(self._thread, self.link.stop)
            where = f"{self._settings.host}:{self._settings.port}"
            raise OSError(f"The IEC 104 port {where} cannot be opened; is another server running?") from None
        self.front = front

    async def run(self) -> None:
        """Show all stations until cancelled; only once it is open."""
        async with asyncio.TaskGroup() as tasks:
            for common_address in self.outstations:
                tasks.create_task(self._show(common_address))
                tasks.create_task(self._listen(common_address))

    def figures(self) -> Iec104Figures:
        """For the metrics."""
        link = self.link
        return Iec104Figures(
            masters=self.front.masters if self.front else 0,
            commands={(one.program.name, what): count for one in self.outstations.values() for what, count in one.counts.items()},
            late_answers=link.late_answers if link else 0,
            turned_away=self.front.turned_away if self.front else 0,
            malformed=self.front.malformed if self.front else 0,
        )

    async def close(self) -> None:
        """End all connections; what was commanded last stays in force until its dead-man acts. Fine if it was never opened."""
        if self.link is None or self.front is None:
            return
        await self.front.close()
        await asyncio.get_running_loop().run_in_executor(self._thread, self.link.stop)
        self._thread.shutdown(wait=False)

    async def _show(self, common_address: int) -> None:
        assert self.link is not None, "it is open"
        show, outstation, wake = self.link.show, self.outstations[common_address], self._wake[common_address]
        loop = asyncio.get_running_loop()
        subject = f"station {common_address}"
        while True:
            wake.clear()
            try:
                await loop.run_in_executor(self._thread, show, common_address, outstation.show())
                self._alarm(subject, None)
            except Exception as error:  # noqa: BLE001  # the other stations are to be shown on, and this one again
                _log.error("nothing shown", wire="iec104", common_address=common_address, error=repr(error))
                self._alarm(subject, f"The points of IEC 104 station {common_address} are not up to date: a fault of ours, see the log.")
            self._watch_masters()
            try:
                async with asyncio.timeout(outstation.until_cycle_s()):
                    await wake.wait()
            except TimeoutError:
                continue

    async def _listen(self, common_address: int) -> None:
        """A new record is shown at once."""
        while True:
            await self.outstations[common_address].news()
            self._wake[common_address].set()
            await asyncio.sleep(_BREATH_S)  # until it is shown

    async def _decide(self, common_address: int, command: SetpointCommand) -> bool:
        taken = await self.outstations[common_address].command(command)
        self._wake[common_address].set()  # the echo follows at once
        return taken

    def _watch_masters(self) -> None:
        """Nobody connected for too long is an alarm."""
        now_s = self._grid.now_s()
        if self.front is not None and self.front.masters:
            self._masters_since_s = now_s
        absent = now_s - self._masters_since_s > self._settings.master_absent_s
        sentence = f"No control system has been connected by IEC 104 since {format_instant(round(self._masters_since_s))}."
        self._alarm("masters", sentence if absent else None)

    def _alarm(self, subject: str, sentence: str | None) -> None:
        if self._alarms.get(subject) != sentence:
            self._alarms[subject] = sentence
            self._grid.alarm(Wire.IEC104, subject, sentence)
