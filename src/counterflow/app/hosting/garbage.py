"""When Python's cycle collector may run. Left to itself it walks every object of ten thousand stations in the middle of a fan-out, for
hundreds of milliseconds in which no meter value is answered. Here it looks at what is new, often, and at everything in calm hours,
or once a day where there are none.
"""

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterator
from typing import Final

BEAT_S: Final = 0.1
YOUNG_EVERY_S: Final = 1.0
YOUNG_OBJECTS: Final = 100_000
"""A look at what is new comes early when there is this much of it: about 10 ms of work."""
FULL_EVERY_S: Final = 3_600.0
FULL_AT_LATEST_S: Final = 86_400.0
"""Where one dispatch follows another for days there is no calm hour, and what is set aside each second would only grow."""
TRIM_EVERY_S: Final = 60.0


@contextlib.contextmanager
def starting() -> Iterator[None]:
    """Collect nothing until `Garbage` takes over: what is loaded in a start stays, and to look through it again and again is a fifth of
    the start's work."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Garbage:
    """Has the collector from `begin` to `end`. `is_busy` tells whether a pause of a few hundred ms would hurt just now."""

    def __init__(self, is_busy: Callable[[], bool], give_back: Callable[[], None]) -> None:
        """`give_back` hands pages of the heap that hold nothing back to the system."""
        self._is_busy = is_busy
        self._give_back = give_back
        self._young_at_s = 0.0
        self._full_at_s = 0.0
        self._trimmed_at_s = 0.0
        self.full_collections = 0

    def begin(self, now_s: float) -> None:
        """What is there now will stay; from here on nothing is collected but in `beat`."""
        gc.disable()
        self._full(now_s)
        self._young_at_s = now_s

    def beat(self, now_s: float) -> None:
        """Collect what is due. Survivors are set aside until the next full collection."""
        since_full_s = now_s - self._full_at_s
        if since_full_s >= FULL_AT_LATEST_S or (since_full_s >= FULL_EVERY_S and not self._is_busy()):
            self._full(now_s)
        elif now_s - self._trimmed_at_s >= TRIM_EVERY_S and not self._is_busy():
            self._trim(now_s)
        elif now_s - self._young_at_s >= YOUNG_EVERY_S or gc.get_count()[0] >= YOUNG_OBJECTS:
            self._young_at_s = now_s
            gc.collect(0)
            gc.freeze()

    def end(self) -> None:
        """Give the collector back."""
        gc.unfreeze()
        gc.enable()

    async def keep(self, now_s: Callable[[], float]) -> None:
        """Between `begin` and `end`, until cancelled."""
        while True:
            await asyncio.sleep(BEAT_S)
            self.beat(now_s())

    def _trim(self, now_s: float) -> None:
        self._trimmed_at_s = now_s
        self._give_back()

    def _full(self, now_s: float) -> None:
        self._full_at_s = now_s
        self.full_collections += 1
        gc.unfreeze()
        gc.collect()
        gc.freeze()
