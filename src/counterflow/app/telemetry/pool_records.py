"""Telemetry of pools: one record of each every few seconds, numbered, kept on disk, and told to whoever waits for it.

A record is numbered here and shown once it is on disk (or the disk has refused it), so that a crash gives no number to two records.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from math import floor

from counterflow.adapters.storage.telemetry_store import TelemetryStore
from counterflow.app.control_room import ControlRoom
from counterflow.app.telemetry.pool_figures import PoolFigures
from counterflow.domain.grid import PoolTelemetry
from counterflow.domain.ids import PoolId

KEPT_IN_MEMORY = 1_000
EARLY_S = 0.2

OpenStore = Callable[[Callable[[Sequence[PoolTelemetry]], None]], TelemetryStore]
"""Opens the store, given whom it tells of what it has written."""


class PoolRecords:
    """One instance a process, on the event loop; the disk is the store's thread's."""

    def __init__(
        self,
        room: ControlRoom,
        open_store: OpenStore,
        figures: PoolFigures,
        *,
        now_s: Callable[[], float],
        stopwatch: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Raises StorageError."""
        self.took_s = 0.0
        """How long the last round took on the event loop."""
        self._room = room
        self._period_s = room.settings.telemetry.period_s
        self._now_s = now_s
        self._stopwatch = stopwatch
        self._figures = figures
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._kept: dict[PoolId, deque[PoolTelemetry]] = {pool: deque(maxlen=KEPT_IN_MEMORY) for pool in figures.pools}
        self.store = open_store(self._on_written)
        # An empty store begins at the time: where the file is lost, numbers of before are not given again (a period is a second or more).
        self._numbers = {pool: self.store.last_sequence(pool) or floor(now_s()) for pool in figures.pools}

    # --- looking -------------------------------------------------------------------------------------------------------------

    def newest(self, pool: PoolId) -> PoolTelemetry:
        """The newest record of a pool. Raises KeyError for a pool that is not recorded."""
        return self._kept[pool][-1]

    async def since(self, pool: PoolId, sequence: int, most: int, wait_s: float = 0.0) -> Sequence[PoolTelemetry]:
        """Up to `most` records of a pool behind `sequence`, in their order; where there are none yet, what comes within `wait_s`.

        Raises KeyError for a pool that is not recorded, StorageError when the disk cannot be read.
        """
        kept, give_up_s = self._kept[pool], self._loop.time() + wait_s
        while True:
            news, found = self._news, await self._found(pool, kept, sequence, most)
            left_s = give_up_s - self._loop.time()
            if found or left_s <= 0.0:
                return found
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await news.wait()

    async def _found(self, pool: PoolId, kept: deque[PoolTelemetry], sequence: int, most: int) -> Sequence[PoolTelemetry]:
        if kept and kept[-1].sequence <= sequence:
            return ()
        if kept and kept[0].sequence <= sequence + 1:
            return [record for record in kept if record.sequence > sequence][:most]
        return await asyncio.to_thread(self.store.since, pool, sequence, most)

    # --- recording -----------------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """The first records, so that there is a newest one of each pool from now on."""
        await self._figures.look(self._now_s())
        self.record(self._now_s())
        while any(not kept or kept[-1].sequence < self._numbers[pool] for pool, kept in self._kept.items()):
            await self._news.wait()

    async def keep(self) -> None:
        """For ever: a record of each pool a period, on round instants."""
        period_s = self._period_s
        while True:
            now_s = self._now_s()
            # A sleep may end a little early: that instant has had its record then.
            due_s = (floor((now_s + EARLY_S) / period_s) + 1) * period_s
            await asyncio.sleep(due_s - now_s)
            with self._room.dispatcher.faults.guard("telemetry", self._now_s()):
                await self._figures.look(self._now_s())
                self.record(self._now_s())

    def record(self, now_s: float) -> None:
        """One record of each pool, at this instant."""
        began_s = self._stopwatch()
        for pool in self._numbers:
            self._numbers[pool] += 1
        self.store.append(self._figures.at(now_s, self._numbers))
        self.took_s = self._stopwatch() - began_s

    def close(self) -> None:
        """Write what waits, and stop."""
        self.store.close()

    def alarms(self) -> tuple[str, ...]:
        """Why records do not reach the disk, as a sentence."""
        return (self.store.failed,) if self.store.failed else ()

    def _on_written(self, records: Sequence[PoolTelemetry]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._show, records)

    def _show(self, records: Sequence[PoolTelemetry]) -> None:
        for record in records:
            self._kept[record.pool].append(record)
        news, self._news = self._news, asyncio.Event()
        news.set()
