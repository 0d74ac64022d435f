"""The one timer and what may leave: a fault of ours in what the timer does stops neither."""

import asyncio
from types import SimpleNamespace
from typing import Any

from counterflow.app.config import Settings
from counterflow.app.dispatching.faults import Faults
from counterflow.app.lines import FAULT_PAUSE_S, LOOK_S, Lines

NOW_S = 1_800_000_000.0
FRAMES: Any = SimpleNamespace(record=lambda *_: None, record_all=lambda _: None)


class Room:
    """Something is always due, and it always fails."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.csms = SimpleNamespace(call_left_late=lambda _station_id, _now_s: None, names_nobody=False)
        self.dispatcher = SimpleNamespace(faults=Faults())
        self.advanced = 0
        self.asked_what_departs = 0

    def advance(self, now_s: float) -> None:
        self.advanced += 1
        raise KeyError("a pool that is gone")

    def take_expelled(self) -> list[Any]:
        return []

    def take_departing(self) -> list[Any]:
        self.asked_what_departs += 1
        return []

    def next_due_s(self) -> float:
        return NOW_S - 10.0


def test_after_a_fault_answers_leave_and_the_timer_goes_on_in_its_own_time() -> None:
    room, waits = Room(), []

    async def life() -> None:
        loop = asyncio.get_running_loop()
        lines = Lines(room, SimpleNamespace(on_durable=lambda _: None), FRAMES, lambda: NOW_S)  # type: ignore[arg-type]
        later = loop.call_later
        loop.call_later = lambda wait_s, what: waits.append(wait_s) or later(0.0, what)  # type: ignore[method-assign,assignment,func-returns-value]
        lines.kick()
        for _ in range(5):
            await asyncio.sleep(0)
        lines.close()

    asyncio.run(life())
    assert room.advanced >= 2
    assert room.asked_what_departs > room.advanced
    assert set(waits) == {FAULT_PAUSE_S}
    [alarm] = room.dispatcher.faults.alarms(NOW_S)
    assert "KeyError" in alarm


class QuietRoom(Room):
    """Nothing is due until a message makes it so."""

    def __init__(self) -> None:
        super().__init__()
        self.due_s: float | None = None
        self.asked_what_is_due = 0

    def received(self, _station_id: str, _text: bytes, now_s: float) -> None:
        self.due_s = now_s

    def advance(self, now_s: float) -> None:
        self.advanced += 1
        self.due_s = None

    def next_due_s(self) -> float | None:  # type: ignore[override]
        self.asked_what_is_due += 1
        return self.due_s


def test_what_messages_make_due_is_done_a_moment_later_and_asked_for_once_for_all_of_them() -> None:
    room, waits = QuietRoom(), []

    async def life() -> None:
        loop = asyncio.get_running_loop()
        lines = Lines(room, SimpleNamespace(on_durable=lambda _: None), FRAMES, lambda: NOW_S)  # type: ignore[arg-type]
        later = loop.call_later
        loop.call_later = lambda wait_s, what: waits.append(wait_s) or later(0.0, what)  # type: ignore[method-assign,assignment,func-returns-value]
        for _ in range(50):
            lines.received(SimpleNamespace(station_id="CS-1"), b"[]")  # type: ignore[arg-type]
        for _ in range(5):
            await asyncio.sleep(0)
        lines.close()

    asyncio.run(life())
    assert room.advanced == 1
    assert room.asked_what_is_due == 1
    [wait_s] = waits
    assert 0.0 < wait_s <= LOOK_S + 1e-6
