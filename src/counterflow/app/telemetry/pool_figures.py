"""The telemetry records of all pools at an instant, made from the live state."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from counterflow.app.control_room import ControlRoom
from counterflow.domain.grid import PoolTelemetry, Program
from counterflow.domain.ids import ALL_SITES, PoolId
from counterflow.domain.instructions import DispatchInstruction, DispatchState
from counterflow.domain.reasons import Reason
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.eligibility import measured_sessions
from counterflow.engine.fleet.meters import Meters
from counterflow.engine.fleet.snapshot import B1, I8, FleetImage
from counterflow.engine.grid.storage import PoolStorage, pool_storage, with_storage
from counterflow.engine.grid.telemetry import Firm, Part, PoolState, pool_telemetry

READY_OUTLOOK_S = 900.0
"""A car is ready if it can be discharged now, as an order for the coming quarter of an hour would find it."""


class PoolFigures:
    """`broken`: no order can be taken; `firm`: what can be given firmly, as far as it is known."""

    def __init__(
        self,
        room: ControlRoom,
        programs: Iterable[Program],
        *,
        broken: Callable[[], bool],
        firm: Callable[[PoolId], Firm | None] = lambda _pool: None,
    ) -> None:
        self.pools: tuple[PoolId, ...] = tuple(
            dict.fromkeys((ALL_SITES, *room.settings.telemetry.pools, *(program.pool for program in programs)))
        )
        """Those that are recorded, `all` first."""
        self._room = room
        self._settings = room.settings.telemetry
        self._broken = broken
        self._firm = firm
        self._ready: I8 = np.zeros(0, dtype=np.int64)
        self._storages: Mapping[PoolId, PoolStorage] = {}
        self._looked_at_s = -np.inf
        self._lag_s = room.settings.response.prior_lag_s

    def at(self, now_s: float, numbers: Mapping[PoolId, int]) -> list[PoolTelemetry]:
        """One record of each pool, with its number."""
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
                firm=self._firm(pool),
                lag_s=self._lag_s,
                sessions_ready=int(np.count_nonzero(ready & sites[np.maximum(meters.site, 0)])),
                available=not (broken or room.dispatcher.latch.on),
                fault=broken,
            )
            record = pool_telemetry(meters, known, state, self._settings, numbers[pool])
            records.append(with_storage(record, self._storages.get(pool)))
        return records

    async def look(self, now_s: float) -> None:
        """What the cars could do, if that was not looked at lately: the costly part, off the loop."""
        if self._was_looked_at(now_s):
            return
        image = self._room.fleet.snapshot(now_s)
        self._take(image, *await asyncio.to_thread(self._looked, image))

    def look_now(self, now_s: float) -> None:
        """The same, at once."""
        if not self._was_looked_at(now_s):
            image = self._room.fleet.snapshot(now_s)
            self._take(image, *self._looked(image))

    def _was_looked_at(self, now_s: float) -> bool:
        if 0.0 <= now_s - self._looked_at_s < self._settings.look_s:
            return True
        self._looked_at_s = now_s
        return False

    def _looked(self, image: FleetImage) -> tuple[Capability, Mapping[PoolId, PoolStorage]]:
        able = self._room.dispatcher.outlook.capability_now(image, image.at_s + READY_OUTLOOK_S)
        topology, tolerated = self._room.topology, self._settings.tolerated_share
        return able, {pool: pool_storage(image, able, topology, topology.pool_mask(pool), tolerated) for pool in self.pools}

    def _take(self, image: FleetImage, able: Capability, storages: Mapping[PoolId, PoolStorage]) -> None:
        self._storages = storages
        ready = able.reason == Reason.READY
        self._ready = np.where(ready, image.uid, 0)
        response = self._room.dispatcher.outlook.response
        rows = len(response.gains())  # what was learned at the last tick
        if rows <= len(ready):
            self._lag_s = response.lag(ready[:rows], able.max_power_w[:rows]).fleet_s

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


class Momentary:
    """Records that nobody keeps: made when asked for (the simulation on a virtual clock)."""

    def __init__(self, figures: PoolFigures, now_s: Callable[[], float]) -> None:
        self._figures = figures
        self._now_s = now_s
        self._count = 0

    def newest(self, pool: PoolId) -> PoolTelemetry:
        """A pool as it is now. Raises KeyError for a pool that is not recorded."""
        self._count += 1
        self._figures.look_now(self._now_s())
        found = self._figures.at(self._now_s(), dict.fromkeys(self._figures.pools, self._count))
        return {record.pool: record for record in found}[pool]

    async def since(self, pool: PoolId, sequence: int, most: int, wait_s: float = 0.0) -> Sequence[PoolTelemetry]:
        """The pool as it is now, if that is behind `sequence`."""
        record = self.newest(pool)
        return [record] if record.sequence > sequence and most > 0 else ()
