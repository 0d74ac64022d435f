"""The station's end of a line, light enough that one process can hold ten thousand: for the simulated fleet, benches and tests."""

import ssl
import urllib.parse
from collections.abc import Callable, Sequence

from picows import WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, WSUpgradeResponse, ws_connect

from counterflow.adapters.ocpp.assembly import MessageAssembly, ProtocolViolationError
from counterflow.adapters.ocpp.credentials import Credentials, basic_header
from counterflow.adapters.ocpp.deflate import DeflateAgreement, Deflater, Inflater, offer, read_answer
from counterflow.adapters.ocpp.transport import CloseCode
from counterflow.adapters.ocpp.wire import READ_BUFFER_BYTES, say_goodbye, silent_logger

MAX_MESSAGE_BYTES = 1024 * 1024
MAX_FRAGMENTS = 2048
CLOSE_TIMEOUT_S = 2.0

_TEXT = WSMsgType.TEXT
_CLOSE = WSMsgType.CLOSE
_PONG = WSMsgType.PONG
_LOGGER = silent_logger()

OnText = Callable[["ClientLine", bytes], None]
OnClose = Callable[["ClientLine", str], None]


class HandshakeRefusedError(Exception):
    """The server answered the handshake with something else than an upgrade; `http_status` is None when it made no sense."""

    def __init__(self, http_status: int | None, text: str) -> None:
        super().__init__(text)
        self.http_status = http_status


class ClientLine(WSListener):
    """One open connection to a CSMS. Made by `connect`."""

    __slots__ = ("_assembly", "_deflater", "_on_close", "_on_text", "_open", "_transport", "_why_ended", "subprotocol")

    def __init__(self, subprotocol: str | None, agreed: DeflateAgreement | None, on_text: OnText, on_close: OnClose) -> None:
        self.subprotocol = subprotocol
        """The version the server picked; None when it found none in common, and will close."""
        self._on_text = on_text
        self._on_close = on_close
        self._transport: WSTransport | None = None
        self._open = False
        self._why_ended = ""
        inflater = None
        self._deflater = None
        if agreed is not None:
            inflater = Inflater(agreed.server_window_bits, agreed.server_keeps_context, MAX_MESSAGE_BYTES)
            self._deflater = Deflater(agreed.client_window_bits, agreed.client_keeps_context)
        self._assembly = MessageAssembly(MAX_MESSAGE_BYTES, MAX_FRAGMENTS, inflater)

    @property
    def compressed(self) -> bool:
        """Whether the server agreed to permessage-deflate."""
        return self._deflater is not None

    def send(self, text: bytes) -> None:
        """Send one whole text message, compressed where agreed. Never blocks; dropped without a word once the line has ended."""
        if not self._open or self._transport is None:
            return
        if self._deflater is None:
            self._transport.send(_TEXT, text)
        else:
            self._transport.send(_TEXT, self._deflater.deflate(text), True, True)  # fin, rsv1

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Say goodbye; `on_close` follows when the connection is gone."""
        if self._open and self._transport is not None:
            self._open = False
            self._why_ended = f"closed by us: {code} {reason}".rstrip()
            say_goodbye(self._transport, code, reason, CLOSE_TIMEOUT_S)

    def abort(self) -> None:
        """Drop the connection without a word, as a station does that loses power."""
        if self._transport is not None:
            self._open = False
            self._why_ended = self._why_ended or "dropped by us"
            self._transport.disconnect(False)

    # What picows calls.

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        transport.request.headers.clear()  # picows keeps both for the life of the connection, the password among them
        transport.response.headers.clear()
        self._open = True

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if kind is _CLOSE:
            self._close_in(transport, frame.get_payload_as_bytes())
            return
        if kind is _PONG or not self._open or transport.is_close_frame_sent:
            return
        payload = frame.get_payload_as_bytes()
        if kind is _TEXT and frame.fin and not frame.rsv1 and self._assembly.idle:
            self._on_text(self, payload)
            return
        try:
            text = self._assembly.take(kind.value, final=bool(frame.fin), compressed=bool(frame.rsv1), payload=payload)
        except ProtocolViolationError as violation:
            self.close(violation.code, violation.reason)
            return
        if text is not None:
            self._on_text(self, text)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._open = False
        self._transport = None
        lost = "malformed frame" if transport.is_close_frame_sent else "connection lost"
        self._on_close(self, self._why_ended or lost)

    def pause_writing(self) -> None:
        """A client may queue: what it sends is bounded by what the simulation makes."""

    def resume_writing(self) -> None:
        """See `pause_writing`."""

    def _close_in(self, transport: WSTransport, payload: bytes) -> None:
        if self._open:
            code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else int(CloseCode.NORMAL)
            reason = payload[2:].decode(errors="replace")
            self._open = False
            self._why_ended = f"closed by the server: {code} {reason}".rstrip()
            say_goodbye(transport, code, "", CLOSE_TIMEOUT_S)
        transport.disconnect()


async def connect(
    url: str,
    *,
    subprotocols: Sequence[str],
    password: str | None = None,
    deflate: bool = False,
    context: ssl.SSLContext | None = None,
    on_text: OnText,
    on_close: OnClose,
    handshake_timeout_s: float = 10.0,
) -> ClientLine:
    """Connect to `ws://host:port/path/<station id>` (or `wss:`, with `context`); the HTTP Basic user is the id from the URL.

    `on_text(line, text)` may be called before this returns, when the server speaks first; `on_close(line, reason)` is called once. Raises
    `HandshakeRefusedError` (404, 401, ...), `OSError` when there is no connection, `TimeoutError` when no answer came in time.
    """
    headers = [("Sec-WebSocket-Protocol", ", ".join(subprotocols))] if subprotocols else []
    if password is not None:
        user = urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2])
        headers.append(("Authorization", basic_header(Credentials(user, password))))
    if deflate:
        headers.append(("Sec-WebSocket-Extensions", offer()))

    def line_for(_request: WSUpgradeRequest, response: WSUpgradeResponse) -> ClientLine:
        agreed = read_answer(response.headers.getall("Sec-WebSocket-Extensions", []))
        if agreed is not None and not deflate:
            raise ValueError("the server answered an extension that was not offered")
        return ClientLine(response.headers.get("Sec-WebSocket-Protocol"), agreed, on_text, on_close)

    try:
        _, line = await ws_connect(
            line_for,
            url,
            websocket_handshake_timeout=handshake_timeout_s,
            logger_name=_LOGGER,
            max_frame_size=MAX_MESSAGE_BYTES,
            extra_headers=headers,
            max_redirects=0,
            read_buffer_init_size=READ_BUFFER_BYTES,
            use_aiofastnet=context is not None,
            ssl_context=context,
        )
    except ssl.SSLError:  # a ValueError too, where the server's certificate does not verify
        raise
    except (WSHandshakeError, ValueError) as error:
        response = error.response if isinstance(error, WSHandshakeError) else None
        raise HandshakeRefusedError(None if response is None else int(response.status), str(error)) from error
    if not isinstance(line, ClientLine):  # picows' way to say that the server hung up before it answered
        raise ConnectionError("the server closed the connection during the handshake")
    return line
