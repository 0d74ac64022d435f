"""Telemetry of pools: one record of each every few seconds, numbered, kept on disk, and told to whoever waits for it.

A record is numbered here and shown once it is on disk (or the disk has refused it), so that a crash gives no number to two records.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from math import floor

import numpy as np

from counterflow.adapters.storage.telemetry_store import TelemetryStore
from counterflow.app.control_room import ControlRoom
from counterflow.domain.grid import PoolTelemetry, Program
from counterflow.domain.ids import ALL_SITES, PoolId
from counterflow.domain.instructions import DispatchInstruction, DispatchState
from counterflow.domain.reasons import Reason
from counterflow.engine.fleet.eligibility import measured_sessions
from counterflow.engine.fleet.meters import Meters
from counterflow.engine.fleet.snapshot import B1, I8
from counterflow.engine.grid.telemetry import UNKNOWN_FIRM, Firm, Part, PoolState, TelemetrySettings, pool_telemetry

KEPT_IN_MEMORY = 1_000
READY_OUTLOOK_S = 900.0
"""A car is ready if it can be discharged now, as an order for the coming quarter of an hour would find it."""

OpenStore = Callable[[Callable[[Sequence[PoolTelemetry]], None]], TelemetryStore]
"""Opens the store, given whom it tells of what it has written."""


class PoolRecords:
    """One instance a process, on the event loop; the disk is the store's thread's."""

    def __init__(
        self,
        room: ControlRoom,
        open_store: OpenStore,
        programs: Iterable[Program],
        *,
        now_s: Callable[[], float],
        broken: Callable[[], bool],
        stopwatch: Callable[[], float] = lambda: 0.0,
        firm: Callable[[PoolId], Firm | None] = lambda _pool: None,
    ) -> None:
        """`broken`: no order can be taken; `firm`: what can be given firmly, as far as it is known. Raises StorageError."""
        self.pools = pools_of(room.settings.telemetry, programs)
        self.took_s = 0.0
        """How long the last round took on the event loop."""
        self._room = room
        self._settings = room.settings.telemetry
        self._now_s = now_s
        self._broken = broken
        self._stopwatch = stopwatch
        self._firm = firm
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._kept: dict[PoolId, deque[PoolTelemetry]] = {pool: deque(maxlen=KEPT_IN_MEMORY) for pool in self.pools}
        self._ready: I8 = np.zeros(0, dtype=np.int64)
        self._looked_at_s = -np.inf
        self.store = open_store(self._on_written)
        # An empty store begins at the time: where the file is lost, numbers of before are not given again (a period is a second or more).
        self._numbers = {pool: self.store.last_sequence(pool) or floor(now_s()) for pool in self.pools}

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
                await asyncio.wait_for(news.wait(), left_s)

    async def _found(self, pool: PoolId, kept: deque[PoolTelemetry], sequence: int, most: int) -> Sequence[PoolTelemetry]:
        if kept and kept[-1].sequence <= sequence:
            return ()
        if kept and kept[0].sequence <= sequence + 1:
            return [record for record in kept if record.sequence > sequence][:most]
        return await asyncio.to_thread(self.store.since, pool, sequence, most)

    # --- recording -----------------------------------------------------------------------------------------------------------

    async def begin(self) -> None:
        """The first records, so that there is a newest one of each pool from now on."""
        await self._look(self._now_s())
        self.record(self._now_s())
        while any(not kept or kept[-1].sequence < self._numbers[pool] for pool, kept in self._kept.items()):
            await self._news.wait()

    async def keep(self) -> None:
        """For ever: a record of each pool a period, on round instants."""
        period_s = self._settings.period_s
        while True:
            now_s = self._now_s()
            await asyncio.sleep((floor(now_s / period_s) + 1) * period_s - now_s)
            with self._room.dispatcher.faults.guard("telemetry", self._now_s()):
                await self._look(self._now_s())
                self.record(self._now_s())

    def record(self, now_s: float) -> None:
        """One record of each pool, at this instant."""
        began_s = self._stopwatch()
        room = self._room
        meters = room.fleet.meters(now_s)
        known = measured_sessions(meters, now_s, room.settings.capability)
        running = [(one, self._part(one, meters, now_s)) for one in room.dispatcher.book.in_state(DispatchState.RUNNING)]
        ready = self._ready_rows(meters)
        broken = self._broken()
        records: list[PoolTelemetry] = []
        for pool in self.pools:
            sites = room.topology.pool_mask(pool)
            state = PoolState(
                pool=pool,
                sites=sites,
                parts=[part for instruction, part in running if self._lies_in(instruction, sites)],
                firm=self._firm(pool) or UNKNOWN_FIRM,
                sessions_ready=int(np.count_nonzero(ready & sites[np.maximum(meters.site, 0)])),
                available=not (broken or room.dispatcher.latch.on),
                fault=broken,
            )
            self._numbers[pool] += 1
            records.append(pool_telemetry(meters, known, state, self._settings, self._numbers[pool]))
        self.store.append(records)
        self.took_s = self._stopwatch() - began_s

    def close(self) -> None:
        """Write what waits, and stop."""
        self.store.close()

    def alarms(self) -> tuple[str, ...]:
        """Why records do not reach the disk, as a sentence."""
        return (self.store.failed,) if self.store.failed else ()

    async def _look(self, now_s: float) -> None:
        """Which cars could be discharged: the costly part, done seldom, and off the loop."""
        if 0.0 <= now_s - self._looked_at_s < self._settings.look_s:
            return
        self._looked_at_s = now_s
        image = self._room.fleet.snapshot(now_s)
        able = await asyncio.to_thread(self._room.dispatcher.outlook.capability_now, image, now_s + READY_OUTLOOK_S)
        self._ready = np.where(able.reason == Reason.READY, image.uid, 0)

    def _ready_rows(self, meters: Meters) -> B1:
        """Rows whose session was ready when last looked at, (N,)."""
        known = min(len(self._ready), len(meters.uid))
        ready = np.zeros(len(meters.uid), dtype=np.bool_)
        ready[:known] = (meters.uid[:known] == self._ready[:known]) & (meters.uid[:known] != 0)
        return ready

    def _part(self, instruction: DispatchInstruction, meters: Meters, now_s: float) -> Part:
        book = self._room.dispatcher.book
        task = book.tasks[instruction.dispatch_id]
        memory = task.memory.sized(len(meters.uid))
        return Part(
            mode=instruction.mode,
            group_uid=memory.group_uid,
            baseline_w=memory.baseline_w,
            target_w=book.target_w(instruction, now_s),
            committed_w=instruction.feasibility.committed_power_w if instruction.feasibility else None,
            expected_w=task.figures.expected_w if task.figures else None,
        )

    def _lies_in(self, instruction: DispatchInstruction, sites: B1) -> bool:
        """Wholly: of one that reaches beyond the pool nobody has said what the pool's part is."""
        return not (self._room.topology.pool_mask(instruction.pool) & ~sites).any()

    def _on_written(self, records: Sequence[PoolTelemetry]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._show, records)

    def _show(self, records: Sequence[PoolTelemetry]) -> None:
        for record in records:
            self._kept[record.pool].append(record)
        news, self._news = self._news, asyncio.Event()
        news.set()


def pools_of(settings: TelemetrySettings, programs: Iterable[Program]) -> tuple[PoolId, ...]:
    """The pools that are recorded, `all` first."""
    return tuple(dict.fromkeys((ALL_SITES, *settings.pools, *(program.pool for program in programs))))
