"""A connection of our HTTP servers (API, console, OpenADR's webhook) that does not wait for ever for the rest of a request, as uvicorn's
does."""

import asyncio
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol


class HttpConnection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # chosen when uvicorn is imported: httptools, or h11
    """Closed where a request, its body included, is not whole `request_within_s` after the connection or its first byte came."""

    def __init__(self, *, request_within_s: float, **given: Any) -> None:
        super().__init__(**given)
        self._request_within_s = request_within_s
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Now somebody may ask."""
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        """A part of a request, or several whole ones."""
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
