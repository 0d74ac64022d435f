"""permessage-deflate (RFC 7692): agreeing on it, and turning messages into their compressed form and back within bounds.

What we agree to as a server (docs: decision 9): the station may carry its compression context from message to message, with a window of
at most 12 bits where it lets us choose; we never carry ours, so that an idle line holds no compressor. A station that does not let us
choose may use the full 15 bits: refusing would break it, and its line then costs 32 KiB more.
"""

import zlib
from collections.abc import Iterable

from msgspec import Struct

EXTENSION = "permessage-deflate"
CHOSEN_WINDOW_BITS = 12
FULL_WINDOW_BITS = 15
_FEWEST_WINDOW_BITS = 8
_FEWEST_ZLIB_BITS = 9
"""zlib cannot write a raw stream with a window of 8 bits."""

_TAIL = b"\x00\x00\xff\xff"
"""End of an empty stored block: the sender cuts it off each message, the receiver puts it back (RFC 7692, 7.2)."""
_TAILS_AFTER_FINAL_BLOCK = (_TAIL, b"\x00" + _TAIL)
_FLAGS = ("server_no_context_takeover", "client_no_context_takeover")
_WINDOWS = ("server_max_window_bits", "client_max_window_bits")


class DeflateAgreement(Struct, frozen=True, kw_only=True):
    """What both sides have agreed on. Windows are base-2 logarithms of bytes."""

    client_window_bits: int = FULL_WINDOW_BITS
    client_keeps_context: bool = True
    server_window_bits: int = FULL_WINDOW_BITS
    server_keeps_context: bool = True


class CorruptStreamError(Exception):
    """The bytes are not a deflate stream that fits the agreement."""


class InflatedTooBigError(Exception):
    """The message would be larger than the bound; inflating stopped there."""


def agree(offers: Iterable[str]) -> tuple[DeflateAgreement, str] | None:
    """Server side: take the first acceptable offer; the agreement and the `Sec-WebSocket-Extensions` value to answer with.

    `offers` are the values of that header, in order. None when compression is not offered in a form that we can hold to; the line is then
    plain, which every station must accept (RFC 7692, 5).
    """
    for name, parameters in _extensions(offers):
        if name == EXTENSION and parameters is not None:
            agreed = _accept(parameters)
            if agreed is not None:
                return agreed
    return None


def offer() -> str:
    """Client side: the `Sec-WebSocket-Extensions` value that offers compression and lets the server choose both windows."""
    return f"{EXTENSION}; client_max_window_bits"


def read_answer(answers: Iterable[str]) -> DeflateAgreement | None:
    """Client side: what the server agreed to; None = plain. Raises `ValueError` when it answered something that was not offered."""
    found = list(_extensions(answers))
    if not found:
        return None
    name, parameters = found[0]
    if len(found) > 1 or name != EXTENSION or parameters is None:
        raise ValueError(f"the server answered an extension that was not offered: {name}")
    client_bits = _bits(parameters.get("client_max_window_bits") or str(FULL_WINDOW_BITS))
    server_bits = _bits(parameters.get("server_max_window_bits") or str(FULL_WINDOW_BITS))
    if client_bits is None or server_bits is None or client_bits < _FEWEST_ZLIB_BITS:
        raise ValueError("the server answered a window size that cannot be held to")
    return DeflateAgreement(
        client_window_bits=client_bits,
        client_keeps_context="client_no_context_takeover" not in parameters,
        server_window_bits=server_bits,
        server_keeps_context="server_no_context_takeover" not in parameters,
    )


class Inflater:
    """Undoes the peer's compression, one message at a time, never holding more than `limit_bytes` of the result.

    Every message ends where a block ends, so what the next one may refer to is the text before it, as far as the window reaches. That much
    is kept, and not the decompressor: zlib's holds 7 KiB beside its window, for as long as the line lives.
    """

    __slots__ = ("_keeps_context", "_limit_bytes", "_window", "_window_bits")

    def __init__(self, window_bits: int, keeps_context: bool, limit_bytes: int) -> None:
        # A wider window than agreed is harmless; one of 8 bits is not, since zlib senders round it up to 9.
        self._window_bits = max(window_bits, _FEWEST_ZLIB_BITS)
        self._keeps_context = keeps_context
        self._limit_bytes = limit_bytes
        self._window = b""

    def inflate(self, message: bytes) -> bytes:
        """The plain message. Raises `InflatedTooBigError` at the bound, `CorruptStreamError`; the context is of no use after either."""
        stream = zlib.decompressobj(-self._window_bits, self._window)
        try:
            plain = stream.decompress(message + _TAIL, self._limit_bytes + 1)
        except zlib.error as error:
            raise CorruptStreamError(str(error)) from error
        if len(plain) > self._limit_bytes:
            raise InflatedTooBigError
        # A sender may end a message with a final block (7.2.3.4); what follows it can only be the tail.
        if stream.eof and stream.unused_data not in _TAILS_AFTER_FINAL_BLOCK:
            raise CorruptStreamError("bytes after the final block")
        if self._keeps_context:
            self._window = (self._window + plain)[-(1 << self._window_bits) :]
        return plain


class Deflater:
    """Compresses our messages. Without context each message stands alone and nothing is kept between them."""

    __slots__ = ("_keeps_context", "_stream", "_window_bits")

    def __init__(self, window_bits: int, keeps_context: bool) -> None:
        self._window_bits = min(window_bits, CHOSEN_WINDOW_BITS)  # OCPP messages are small: a wider window costs memory for nothing
        self._keeps_context = keeps_context
        self._stream: zlib._Compress | None = None

    def deflate(self, message: bytes) -> bytes:
        """The compressed message, to be sent with the first reserved bit set."""
        stream = self._stream or zlib.compressobj(zlib.Z_DEFAULT_COMPRESSION, zlib.DEFLATED, -self._window_bits, memLevel=5)
        self._stream = stream if self._keeps_context else None
        packed = stream.compress(message) + stream.flush(zlib.Z_SYNC_FLUSH)
        return packed[: -len(_TAIL)] or b"\x00"  # an empty message is one empty block (7.2.3.6)


def _extensions(values: Iterable[str]) -> Iterable[tuple[str, dict[str, str | None] | None]]:
    """Each extension with its parameters; None for the parameters when one of them is given twice."""
    for one in ",".join(values).split(","):
        name, *rest = (part.strip() for part in one.split(";"))
        if not name:
            continue
        parameters: dict[str, str | None] | None = {}
        for part in rest:
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if parameters is None or key in parameters:
                parameters = None
                break
            parameters[key] = value.strip('"') if equals else None
        yield name.lower(), parameters


def _accept(offered: dict[str, str | None]) -> tuple[DeflateAgreement, str] | None:
    if any(key not in _FLAGS + _WINDOWS for key in offered) or any(offered.get(flag) is not None for flag in _FLAGS):
        return None
    answer = [EXTENSION, "server_no_context_takeover"]
    server_bits = FULL_WINDOW_BITS
    if "server_max_window_bits" in offered:
        asked = _bits(offered["server_max_window_bits"] or "")
        if asked is None or asked < _FEWEST_ZLIB_BITS:
            return None
        server_bits = asked
        answer.append(f"server_max_window_bits={server_bits}")
    client_bits = FULL_WINDOW_BITS
    if "client_max_window_bits" in offered:
        asked = _bits(offered["client_max_window_bits"] or str(FULL_WINDOW_BITS))
        if asked is None:
            return None
        client_bits = min(asked, CHOSEN_WINDOW_BITS)
        answer.append(f"client_max_window_bits={client_bits}")
    keeps_context = "client_no_context_takeover" not in offered
    if not keeps_context:
        answer.append("client_no_context_takeover")
    agreement = DeflateAgreement(
        client_window_bits=client_bits,
        client_keeps_context=keeps_context,
        server_window_bits=server_bits,
        server_keeps_context=False,
    )
    return agreement, "; ".join(answer)


def _bits(text: str) -> int | None:
    """A window size of 8 to 15 without leading zero, as RFC 7692 7.1.2 wants it; None when it is not one."""
    if len(text) > 2 or not (text.isascii() and text.isdigit()) or text[0] == "0":
        return None
    bits = int(text)
    return bits if _FEWEST_WINDOW_BITS <= bits <= FULL_WINDOW_BITS else None
