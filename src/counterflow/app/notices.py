"""The event stream inside the process: every listener has a bounded queue, loses the oldest when slow, and is told how many."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from counterflow.domain.views import Notice

DEPTH = 1000


class _Listener:
    def __init__(self) -> None:
        self.queue: deque[Notice] = deque()
        self.lost = 0
        self.ready = asyncio.Event()


class NoticeBoard:
    """Publish from the event loop's thread; each `listen()` gets everything from then on."""

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()

    def publish(self, notice: Notice) -> None:
        """Hand a notice to every listener. Never blocks."""
        for listener in self._listeners:
            if len(listener.queue) >= DEPTH:
                listener.queue.popleft()
                listener.lost += 1
            listener.queue.append(notice)
            listener.ready.set()

    async def listen(self) -> AsyncIterator[Notice]:
        """Notices as they come; a `lost` notice says how many were dropped because this listener was slow."""
        listener = _Listener()
        self._listeners.add(listener)
        try:
            while True:
                await listener.ready.wait()
                listener.ready.clear()
                while listener.queue:
                    if listener.lost:
                        lost, listener.lost = listener.lost, 0
                        yield Notice(
                            at_s=listener.queue[0].at_s, kind="lost", subject="stream", text=f"{lost} notices lost", values={"lost": lost}
                        )
                    yield listener.queue.popleft()
        finally:
            self._listeners.discard(listener)
