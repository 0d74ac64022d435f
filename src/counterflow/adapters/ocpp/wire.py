"""What both ends of a line ask of picows in the same way."""

import asyncio
import logging

from picows import WSTransport

READ_BUFFER_BYTES = 2048
"""What picows keeps per connection to read into; it grows with larger frames."""

_CLOSE_REASON_BYTES = 123


class _SilentLogger(logging.LoggerAdapter[logging.Logger]):
    """Python's own takes its time to find out that it has nothing to do."""

    def isEnabledFor(self, _level: int) -> bool:  # noqa: N802  # Python's name
        """It is not."""
        return False

    def log(self, *_: object, **__: object) -> None:
        """Nothing is kept."""

    debug = info = warning = error = exception = log


def silent_logger() -> logging.LoggerAdapter[logging.Logger]:
    """picows logs each connection and each malformed frame; a hostile peer could fill a disk. What matters we log ourselves, once.

    An adapter rather than a logger, because picows makes a child logger per connection from a plain one.
    """
    return _SilentLogger(logging.Logger("counterflow.picows", level=logging.CRITICAL + 1))


def say_goodbye(transport: WSTransport, code: int, reason: str, timeout_s: float) -> None:
    """Send a close frame and see to it that the connection is gone after `timeout_s`, whether the peer answers or not."""
    text = reason.encode()[:_CLOSE_REASON_BYTES].decode(errors="ignore")
    transport.send_close(code, text)  # type: ignore[arg-type]  # a C enum inside: any 16-bit code passes, the stub names a few
    asyncio.get_running_loop().call_later(timeout_s, transport.disconnect, False)
