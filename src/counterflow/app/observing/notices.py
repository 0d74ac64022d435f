"""The event stream inside the process: every listener has a bounded queue, loses the oldest when slow, and is told how many.

Notices are numbered within the life of the process, and the newest are kept, so that a reader that was away can go on where it was.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from msgspec.structs import replace

from counterflow.domain.views import Notice

DEPTH = 1000


class _Listener:
    def __init__(self) -> None:
        self.queue: deque[Notice] = deque()
        self.lost = 0
        self.ready = asyncio.Event()


class NoticeBoard:
    """Publish from the event loop's thread; each `listen()` gets everything from then on."""

    def __init__(self, life: str) -> None:
        """`life` tells this process from an earlier one, whose numbers mean nothing here."""
        self._life = life
        self._count = 0
        self._kept: deque[Notice] = deque(maxlen=DEPTH)
        self._listeners: set[_Listener] = set()

    def publish(self, notice: Notice) -> None:
        """Hand a notice to every listener. Never blocks."""
        self._count += 1
        notice = replace(notice, id=f"{self._life}-{self._count}")
        self._kept.append(notice)
        for listener in self._listeners:
            if len(listener.queue) >= DEPTH:
                listener.queue.popleft()
                listener.lost += 1
            listener.queue.append(notice)
            listener.ready.set()

    async def listen(self, after: str | None = None) -> AsyncIterator[Notice]:
        """Notices as they come, or from the one behind `after` on; a `lost` notice says how many were dropped before the next one."""
        listener = _Listener()
        listener.queue.extend(self._missed(after))
        if listener.queue:
            listener.ready.set()
        self._listeners.add(listener)
        try:
            while True:
                await listener.ready.wait()
                listener.ready.clear()
                while listener.queue:
                    if listener.lost:
                        lost, listener.lost = listener.lost, 0
                        yield _lost(listener.queue[0].at_s, lost)
                    yield listener.queue.popleft()
        finally:
            self._listeners.discard(listener)

    def _missed(self, after: str | None) -> list[Notice]:
        """What a reader that has seen `after` has not seen, as far as it is kept."""
        if after is None or not self._kept:
            return []
        life, _, number = after.rpartition("-")
        if life != self._life or not (number.isascii() and number.isdigit()):
            return [_lost(self._kept[0].at_s, None), *self._kept]
        behind = max(0, self._count - int(number))
        found = list(self._kept)[-behind:] if behind else []
        return [_lost(found[0].at_s, behind - len(found)), *found] if behind > len(found) else found


def _lost(at_s: float, count: int | None) -> Notice:
    text = "notices of an earlier run of the server may be lost" if count is None else f"{count} notices lost"
    return Notice(at_s=at_s, kind="lost", subject="stream", text=text, values={"lost": count})
