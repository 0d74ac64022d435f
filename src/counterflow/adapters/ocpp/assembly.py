"""From WebSocket data frames to whole messages: joining fragments and undoing compression, within bounds. No socket in here."""

from counterflow.adapters.ocpp.deflate import CorruptStreamError, InflatedTooBigError, Inflater
from counterflow.adapters.ocpp.transport import CloseCode

CONTINUATION = 0x0
TEXT = 0x1
BINARY = 0x2


class ProtocolViolationError(Exception):
    """The peer broke RFC 6455, RFC 7692 or a bound of ours; `code` is the close code to answer with."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class MessageAssembly:
    """The inbound half of one connection. `max_message_bytes` bounds a message both as received and as inflated."""

    __slots__ = ("_compressed", "_inflater", "_max_fragments", "_max_message_bytes", "_parts", "_size_bytes")

    def __init__(self, max_message_bytes: int, max_fragments: int, inflater: Inflater | None) -> None:
        self._max_message_bytes = max_message_bytes
        self._max_fragments = max_fragments
        self._inflater = inflater
        self._parts: list[bytes] | None = None  # None = between messages
        self._size_bytes = 0
        self._compressed = False

    @property
    def idle(self) -> bool:
        """Whether no fragmented message is under way: a plain whole frame is then a message as it stands."""
        return self._parts is None

    def take(self, opcode: int, *, final: bool, compressed: bool, payload: bytes) -> bytes | None:
        """Take one data frame; the whole message once it is complete, else None. Raises `ProtocolViolationError`."""
        parts = self._continue(compressed) if opcode == CONTINUATION else self._begin(opcode, compressed)
        parts.append(payload)
        self._size_bytes += len(payload)
        if self._size_bytes > self._max_message_bytes:
            raise ProtocolViolationError(CloseCode.MESSAGE_TOO_BIG, f"message over {self._max_message_bytes} bytes")
        if len(parts) > self._max_fragments:
            raise ProtocolViolationError(CloseCode.MESSAGE_TOO_BIG, f"message in over {self._max_fragments} frames")
        if not final:
            return None
        message = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = None
        return self._inflated(message) if self._compressed else message

    def _begin(self, opcode: int, compressed: bool) -> list[bytes]:
        if opcode != TEXT:
            raise ProtocolViolationError(CloseCode.UNSUPPORTED_DATA, "OCPP speaks in text frames only")
        if self._parts is not None:
            raise ProtocolViolationError(CloseCode.PROTOCOL_ERROR, "a new message inside a fragmented one")
        if compressed and self._inflater is None:
            raise ProtocolViolationError(CloseCode.PROTOCOL_ERROR, "compressed, but compression was not agreed")
        self._parts = []
        self._size_bytes = 0
        self._compressed = compressed
        return self._parts

    def _continue(self, compressed: bool) -> list[bytes]:
        if self._parts is None:
            raise ProtocolViolationError(CloseCode.PROTOCOL_ERROR, "a continuation without a beginning")
        if compressed:
            raise ProtocolViolationError(CloseCode.PROTOCOL_ERROR, "the compression bit belongs to the first frame")
        return self._parts

    def _inflated(self, message: bytes) -> bytes:
        if self._inflater is None:
            raise AssertionError("compressed messages are refused in _begin when there is no inflater")
        try:
            return self._inflater.inflate(message)
        except InflatedTooBigError:
            raise ProtocolViolationError(CloseCode.MESSAGE_TOO_BIG, f"message over {self._max_message_bytes} bytes when inflated") from None
        except CorruptStreamError:
            raise ProtocolViolationError(CloseCode.INVALID_PAYLOAD, "not a deflate stream as agreed") from None
