"""A connection of our HTTP servers (API, console, OpenADR's webhook) that does not wait for ever for the rest of a request, as uvicorn's
does."""

import asyncio
from typing import Any

from starlette.types import ASGIApp
from uvicorn.protocols.http.auto import AutoHTTPProtocol

STUCK_AFTER_S = 10.0
"""A client that has taken nothing of what waits for it for so long does not read."""


class HttpConnection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # chosen when uvicorn is imported: httptools, or h11
    """Closed where a request, its body included, is not whole `request_within_s` after the connection or its first byte came.

    Where `most` are open, the next takes the place of the one that has said nothing for longest and waits for no answer, or else does not
    read it; uvicorn's own limit would refuse those who are there, and let silent ones stay. Where all wait, `crowded` answers it.
    """

    def __init__(self, *, request_within_s: float, most: int | None = None, crowded: ASGIApp | None = None, **given: Any) -> None:
        super().__init__(**given)
        self._request_within_s = request_within_s
        self._most = most
        self._crowded = crowded
        self._heard_at_s = 0.0
        self._unsent = 0
        self._took_at_s = 0.0
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Now somebody may ask."""
        super().connection_made(transport)
        self._heard_at_s = asyncio.get_running_loop().time()
        if self._most is not None and len(self.connections) > self._most:
            self._make_room(self._most)
        self._look()

    def data_received(self, data: bytes) -> None:
        """A part of a request, or several whole ones."""
        self._heard_at_s = asyncio.get_running_loop().time()
        super().data_received(data)
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing comes any more."""
        self._forget()
        super().connection_lost(exc)

    def _waits(self) -> bool:
        """For the client: neither is a whole request at work, nor does the limit of idle connections hold."""
        if self.transport.get_protocol() is not self:
            return False  # it has become a WebSocket
        if self.cycle is None:
            return True
        if self.cycle.response_complete:
            return self.timeout_keep_alive_task is None
        return bool(self.cycle.more_body)

    @property
    def _is_idle(self) -> bool:
        """No answer is being made for it, or is on its way to it: what the network has not taken yet would be lost."""
        is_made = self.cycle is None or self.cycle.response_complete or self.cycle.more_body
        return bool(is_made) and self.transport.get_write_buffer_size() == 0

    def _is_stuck(self, now_s: float) -> bool:
        """Nothing of its answers has gone since it was looked at, long ago. Whoever asks and asks without reading would keep others out."""
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0 or unsent != self._unsent:
            self._unsent, self._took_at_s = unsent, now_s
        return unsent > 0 and now_s - self._took_at_s >= STUCK_AFTER_S

    def _make_room(self, most: int) -> None:
        others = [one for one in self.connections if isinstance(one, HttpConnection) and one is not self and not one.transport.is_closing()]
        if len(others) < most:
            return
        now_s = asyncio.get_running_loop().time()
        stuck = [one for one in others if one._is_stuck(now_s)]  # of all, so that each is seen to begin
        idle = [one for one in others if one._is_idle] or stuck
        if idle:
            min(idle, key=lambda one: one._heard_at_s).transport.abort()
        elif self._crowded is not None:
            self.app = self._crowded

    def _look(self) -> None:
        if not self._waits():
            self._forget()
        elif self._late is None:
            self._late = asyncio.get_running_loop().call_later(self._request_within_s, self._end)

    def _forget(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _end(self) -> None:
        self._late = None
        if self._waits():
            self.transport.close()
