"""Notices as server-sent events. A slow reader loses the oldest (the notices tell how many); a silent stream says it is alive."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import msgspec
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from counterflow.domain.views import Notice

Item = TypeVar("Item")
MEDIA_TYPE = "text/event-stream"
OPENED = b": counterflow notices\n\n"
KEEP_ALIVE = b": nothing has happened\n\n"


class EventStreams:
    """Counts the open streams, so that they stay bounded."""

    def __init__(self, most: int, keep_alive_s: float) -> None:
        self._most = most
        self._keep_alive_s = keep_alive_s
        self._closing: set[asyncio.Task[None]] = set()
        self.open = 0

    @property
    def full(self) -> bool:
        """No further stream can be opened."""
        return self.open >= self._most

    def response(self, items: AsyncIterator[Item], may_read: Callable[[], bool], encode: Callable[[Item], bytes]) -> StreamingResponse:
        """The answer that streams these items until the reader goes, or may not read any more."""
        self.open += 1
        return _EventResponse(self, self.events(items, encode, may_read))

    async def events(
        self, items: AsyncIterator[Item], encode: Callable[[Item], bytes], may_read: Callable[[], bool] = lambda: True
    ) -> AsyncIterator[bytes]:
        """Each item as one event, and a comment after every `keep_alive_s` without any; the first comment comes at once.

        Before each `may_read` is asked: the stream of a token that was revoked ends there.
        """
        waiting: asyncio.Task[Item] | None = asyncio.create_task(_next(items))
        try:
            await asyncio.sleep(0.0)  # lets the reader be known before it is told that it is
            yield OPENED
            while True:
                if waiting is None:
                    waiting = asyncio.create_task(_next(items))
                done, _ = await asyncio.wait({waiting}, timeout=self._keep_alive_s)
                if not may_read():
                    return
                if not done:
                    yield KEEP_ALIVE
                    continue
                arrived, waiting = waiting, None
                try:
                    item = arrived.result()
                except _NoMoreError:
                    return
                yield encode(item)
        finally:
            # A reader that goes cancels us again at every await: the rest is closed by a task of its own.
            closing = asyncio.create_task(_close(waiting, items))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)


class _EventResponse(StreamingResponse):
    """Gives its place back however it ends, also when it never began."""

    def __init__(self, streams: EventStreams, content: AsyncIterator[bytes]) -> None:
        super().__init__(content, media_type=MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})
        self._streams = streams

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._streams.open -= 1


class _NoMoreError(Exception):
    """The notices have ended; a task cannot carry StopAsyncIteration."""


async def _next(items: AsyncIterator[Item]) -> Item:
    try:
        return await anext(items)
    except StopAsyncIteration:
        raise _NoMoreError from None


async def _close(waiting: asyncio.Task[Item] | None, items: AsyncIterator[Item]) -> None:
    if waiting is not None:
        waiting.cancel()
        await asyncio.wait({waiting})
    close: Awaitable[None] | None = getattr(items, "aclose", lambda: None)()
    if close is not None:
        await close


def encoded(notice: Notice) -> bytes:
    """One server-sent event: its place in the stream, the kind as its name, the notice as JSON on one line."""
    name = "".join(letter for letter in notice.kind if letter.isprintable())
    place = f"id: {notice.id}\n".encode() if notice.id else b""
    return place + b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(notice) + b"\n\n"
