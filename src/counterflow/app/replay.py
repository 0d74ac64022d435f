"""The control room and the simulated fleet in one process on a virtual clock: an hour of dispatch in seconds, the same each time."""

from collections.abc import Callable
from random import Random
from uuid import UUID

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.config import Settings
from counterflow.app.control_room import ControlRoom
from counterflow.domain.views import Notice
from counterflow.sim.settings import WorldSettings
from counterflow.sim.world import World

START_S = 1_795_366_800.0
"""2026-11-22T17:00:00Z."""


def message_ids(seed: int) -> Callable[[], str]:
    """Message ids as UUIDs that are the same in every run of a seed."""
    random = Random(seed)
    return lambda: str(UUID(int=random.getrandbits(128), version=4))


def build_world(
    settings: Settings,
    world: WorldSettings,
    seed: int,
    *,
    start_s: float = START_S,
    journal: MemoryJournal | None = None,
    notify: Callable[[Notice], None] = lambda _notice: None,
) -> tuple[World, ControlRoom]:
    """A world and its control room, joined, at `start_s`; stations are plugged in and connect over the first seconds."""
    journal = journal if journal is not None else MemoryJournal()
    room = ControlRoom(settings, journal, new_message_id=message_ids(seed), notify=notify)
    room.restore(start_s)
    return World(room, world, seed, start_s), room
