"""The one timer and what may leave: a fault of ours in what the timer does stops neither."""

import asyncio
from types import SimpleNamespace
from typing import Any

from counterflow.app.config import Settings
from counterflow.app.faults import Faults
from counterflow.app.lines import FAULT_PAUSE_S, Lines

NOW_S = 1_800_000_000.0


class Room:
    """Something is always due, and it always fails."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.csms = SimpleNamespace(call_left_late=lambda _station_id, _now_s: None)
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
        lines = Lines(room, SimpleNamespace(on_durable=lambda _: None), SimpleNamespace(), lambda: NOW_S)  # type: ignore[arg-type]
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
