"""One station's open WebSocket, seen from the server: frames in, messages to the handler, messages out, and every way it can end."""

import asyncio
import traceback
from typing import Protocol

import structlog
from picows import WSFrame, WSListener, WSMsgType, WSTransport

from counterflow.adapters.ocpp.assembly import MessageAssembly, ProtocolViolationError
from counterflow.adapters.ocpp.deflate import DeflateAgreement, Deflater, Inflater
from counterflow.adapters.ocpp.limits import AddressBook
from counterflow.adapters.ocpp.pace import Pace
from counterflow.adapters.ocpp.transport import CloseCode, GatewayCounters, GatewaySettings, LineHandler
from counterflow.adapters.ocpp.wire import say_goodbye
from counterflow.domain.ids import StationId

_log = structlog.get_logger("counterflow.gateway")

_TEXT = WSMsgType.TEXT
_CLOSE = WSMsgType.CLOSE
_PING = WSMsgType.PING
_PONG = WSMsgType.PONG

_OWN_BUFFER_ABOVE_BYTES = 1000
"""The core keeps a buffer for each connection as large as its largest frame that went through it. What is larger than it is at first brings
a buffer of its own: else the questions of discovery would cost two kilobytes a station for good."""
_HEADER_ROOM = bytes(14)

_UNSENDABLE_CLOSE_CODES = frozenset((1004, 1005, 1006, 1015))


class LineOwner(Protocol):
    """What a line needs of its gateway."""

    handler: LineHandler
    settings: GatewaySettings
    counters: GatewayCounters
    addresses: AddressBook

    def socket_opened(self) -> None: ...
    def socket_gone(self) -> None: ...
    def enter(self, line: "StationLine") -> None: ...
    def leave(self, line: "StationLine") -> None: ...
    def wait_for_turn(self, line: "StationLine") -> None: ...


class StationLine(WSListener):
    """A `Line`. The object is also picows' listener, so that an idle station costs one object rather than two."""

    __slots__ = (
        "_announced",
        "_assembly",
        "_deflater",
        "_faults",
        "_heard",
        "_heard_at_s",
        "_held_back",
        "_open",
        "_owner",
        "_pace",
        "_pinged_at_s",
        "_transport",
        "_why_ended",
        "certificate_names",
        "peer",
        "station_id",
        "subprotocol",
    )

    def __init__(
        self,
        owner: LineOwner,
        station_id: StationId,
        subprotocol: str,
        peer: str,
        agreed: DeflateAgreement | None,
        certificate_names: tuple[str, ...] = (),
    ) -> None:
        settings = owner.settings
        self.certificate_names = certificate_names
        self.station_id = station_id
        self.subprotocol = subprotocol
        self.peer = peer
        self._owner = owner
        self._transport: WSTransport | None = None
        self._open = False  # messages may pass
        self._announced = False  # the handler has seen `opened` and not yet `closed`
        self._heard = True
        self._heard_at_s = 0.0
        self._pinged_at_s: float | None = None
        self._faults = 0
        self._held_back = False  # not read for a while
        self._pace = Pace(settings, asyncio.get_running_loop().time())
        self._why_ended = ""
        inflater = None
        self._deflater = None
        if agreed is not None:
            inflater = Inflater(agreed.client_window_bits, agreed.client_keeps_context, settings.max_message_bytes)
            self._deflater = Deflater(agreed.server_window_bits, agreed.server_keeps_context)
        self._assembly = MessageAssembly(settings.max_message_bytes, settings.max_fragments, inflater)

    # What the core calls (see `transport.Line`).

    def send(self, text: bytes, *, is_call: bool = False) -> None:
        """Send one whole text message; see `Line.send` for what is promised."""
        if not self._open or self._transport is None:
            return
        owner = self._owner
        if is_call and self._deflater is not None and len(text) > owner.settings.compress_calls_above_bytes:
            packed = self._deflater.deflate(text)
            self._transport.send(_TEXT, packed, True, True)  # fin, rsv1
            owner.counters.bytes_out += len(packed)
        elif len(text) > _OWN_BUFFER_ABOVE_BYTES:
            self._transport.send_reuse_external_bytearray(_TEXT, bytearray(_HEADER_ROOM + text), len(_HEADER_ROOM))
            owner.counters.bytes_out += len(text)
        else:
            self._transport.send(_TEXT, text)
            owner.counters.bytes_out += len(text)
        owner.counters.messages_out += 1

    def close(self, code: int, reason: str) -> None:
        """End the line; the handler hears of it in the next turn of the event loop."""
        if self._open:
            self._say_goodbye(code, reason)
            self._why_ended = f"closed by us: {code} {reason}"
            asyncio.get_running_loop().call_soon(self._announce_end)

    # What the gateway calls.

    def certificate_der(self) -> bytes | None:
        """The certificate that the station has shown, as long as the connection is there."""
        tls = None if self._transport is None else self._transport.underlying_transport.get_extra_info("ssl_object")
        return None if tls is None else tls.getpeercert(True)

    def end(self, code: int, reason: str) -> None:
        """End the line and tell the handler at once. Only from the event loop, never below a call of the handler's."""
        if self._open:
            self._say_goodbye(code, reason)
            self._why_ended = f"closed by us: {code} {reason}"
        self._announce_end()

    def look_after(self, now_s: float) -> None:
        """Ping when silent for long, end when the ping brought no sign of life. `now_s` is the loop's clock."""
        settings = self._owner.settings
        if self._heard or self._held_back:  # one that is not read cannot be heard
            self._heard = False
            self._heard_at_s = now_s
            self._pinged_at_s = None
        elif self._pinged_at_s is None:
            if now_s - self._heard_at_s >= settings.ping_interval_s and self._transport is not None:
                self._pinged_at_s = now_s
                self._transport.send_ping()
        elif now_s - self._pinged_at_s >= settings.ping_timeout_s:
            self._owner.counters.silent += 1
            _log.info("station is silent", station_id=self.station_id, peer=self.peer)
            self.end(CloseCode.GOING_AWAY, "no answer to a ping")

    # What picows calls.

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        settings = self._owner.settings
        transport.underlying_transport.set_write_buffer_limits(high=settings.write_buffer_bytes)
        # picows keeps both for the life of the connection: a few KiB, and the password among them.
        transport.request.headers.clear()
        transport.response.headers.clear()
        self._open = True
        self._owner.socket_opened()
        self._owner.enter(self)
        self._announced = True
        try:
            self._owner.handler.opened(self)
        except Exception as error:  # noqa: BLE001  # whatever our own code does wrong stays on this line
            self._count_fault("opened", error)
            self.end(CloseCode.INTERNAL_ERROR, "internal error")

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if not self._open or transport.is_close_frame_sent:
            # Ended by us, or by picows for a malformed frame: only the peer's half of the goodbye is of interest.
            if kind is _CLOSE:
                transport.disconnect()
            return
        self._heard = True
        pace = self._pace
        pace.messages_left -= 1
        if pace.messages_left < 0 or pace.bytes_left < 0:
            self._hold_back(transport)
        try:
            text = self._message_in(kind, frame)
        except ProtocolViolationError as violation:
            self._count_violation(violation.reason)
            self.end(violation.code, violation.reason)
            return
        if text is None:
            return
        self._owner.counters.messages_in += 1
        try:
            self._owner.handler.received(self, text)
        except Exception as error:  # noqa: BLE001  # whatever our own code does wrong stays on this line
            self._count_fault("received", error)
            if self._faults >= self._owner.settings.max_faults:
                self.end(CloseCode.INTERNAL_ERROR, "internal error")
        else:
            self._faults = 0

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self._open:
            self._open = False
            if transport.is_close_frame_sent:  # by picows, for a malformed or too large frame
                sent = transport.close_handshake.sent
                reason = "malformed frame" if sent is None else sent.reason
                self._count_violation(reason)
                self._why_ended = f"closed by us: {reason}"
            else:
                self._why_ended = "connection lost"
        self._announce_end()
        self._transport = None
        self._owner.socket_gone()

    def pause_writing(self) -> None:
        """The transport holds more unsent bytes than the setting allows: the station does not read."""
        if self._open and self._transport is not None:
            self._open = False
            self._why_ended = "cut off: the station reads too slowly"
            self._owner.counters.cut_off += 1
            _log.warning("station reads too slowly", station_id=self.station_id, peer=self.peer)
            # Not from here: we are below a write of the transport's own.
            asyncio.get_running_loop().call_soon(self._transport.disconnect, False)

    def resume_writing(self) -> None:
        """Nothing was paused: a line that reached the limit is gone."""

    # Within.

    def _message_in(self, kind: WSMsgType, frame: WSFrame) -> bytes | None:
        """The whole message that this frame completes, if it does."""
        if frame.rsv2 or frame.rsv3:
            raise ProtocolViolationError(CloseCode.PROTOCOL_ERROR, "a reserved bit is set")
        payload = frame.get_payload_as_bytes()
        self._pace.bytes_left -= len(payload)
        compressed = frame.rsv1
        if kind is _PING or kind is _PONG or kind is _CLOSE:
            if compressed:
                raise ProtocolViolationError(CloseCode.PROTOCOL_ERROR, "a control frame is never compressed")
            self._control_in(kind, payload)
            return None
        self._owner.counters.bytes_in += len(payload)
        if kind is _TEXT and frame.fin and not compressed and self._assembly.idle:
            return payload
        return self._assembly.take(kind.value, final=bool(frame.fin), compressed=bool(compressed), payload=payload)

    def _hold_back(self, transport: WSTransport) -> None:
        """It has spent its slice. Where that took no time the others come first, and one that has spent all that it may is not read for as
        long as that takes; nothing is lost, TCP makes it wait."""
        if not self._held_back:
            hurried = self._pace.hurried(asyncio.get_running_loop().time())
            throttled = self._wait_s() > 0.0
            if hurried or throttled:
                self._held_back = True
                self._owner.counters.throttled += throttled
                transport.underlying_transport.pause_reading()
                self._owner.wait_for_turn(self)

    def _wait_s(self) -> float:
        """How long it must wait by its own pace and by that of its address."""
        owner, now_s = self._owner, asyncio.get_running_loop().time()
        shared_s = owner.addresses.spend(self.peer.rpartition(":")[0], *self._pace.spent, now_s)
        return max(shared_s, self._pace.wait_s(owner.settings, now_s))

    def read_on(self) -> None:
        """It is its turn; once it may speak again, it is read. What had already been read before the pause was taken, and counts."""
        transport = self._transport
        if transport is None or transport.underlying_transport.is_closing():
            return
        wait_s = self._wait_s()
        if wait_s > 0.0:
            asyncio.get_running_loop().call_later(wait_s, self.read_on)
        else:
            self._held_back = False
            transport.underlying_transport.resume_reading()

    def _control_in(self, kind: WSMsgType, payload: bytes) -> None:
        if self._transport is None:
            return
        if kind is _PING:
            self._transport.send_pong(payload)
        elif kind is _CLOSE:
            code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else CloseCode.NORMAL
            reason = payload[2:].decode(errors="replace")
            self._say_goodbye(CloseCode.NORMAL if code in _UNSENDABLE_CLOSE_CODES else code, "")
            self._why_ended = f"closed by the station: {code} {reason}".rstrip()
            self._transport.disconnect()
            self._announce_end()

    def _say_goodbye(self, code: int, reason: str) -> None:
        """Send the close frame; the connection goes when the peer has answered or `close_timeout_s` has passed."""
        self._open = False
        if self._transport is not None:
            say_goodbye(self._transport, code, reason, self._owner.settings.close_timeout_s)

    def _announce_end(self) -> None:
        if not self._announced:
            return
        self._announced = False
        self._owner.leave(self)
        try:
            self._owner.handler.closed(self, self._why_ended)
        except Exception as error:  # noqa: BLE001  # whatever our own code does wrong stays on this line
            self._count_fault("closed", error)

    def _count_violation(self, reason: str) -> None:
        self._owner.counters.violations += 1
        _log.warning("station broke the protocol", station_id=self.station_id, peer=self.peer, reason=reason)

    def _count_fault(self, where: str, error: Exception) -> None:
        self._faults += 1
        self._owner.counters.faults += 1
        _log.error("handler failed", station_id=self.station_id, where=where, error=type(error).__name__, stack=stack_of(error))


class TurnedAway(WSListener):
    """A connection without a common subprotocol: opened, as OCPP-J 3.1.2 wants it, and closed at once. The handler never sees it."""

    __slots__ = ("_owner",)

    def __init__(self, owner: LineOwner) -> None:
        self._owner = owner

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._owner.socket_opened()
        close_timeout_s = self._owner.settings.close_timeout_s
        say_goodbye(transport, CloseCode.PROTOCOL_ERROR, "no common subprotocol", close_timeout_s)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is _CLOSE:
            transport.disconnect()

    def on_ws_disconnected(self, _transport: WSTransport) -> None:
        self._owner.socket_gone()

    def pause_writing(self) -> None:
        """Nothing is written but the close frame."""

    def resume_writing(self) -> None:
        """Nothing is written but the close frame."""


def stack_of(error: BaseException) -> str:
    """Where an exception came from, without its message and without any value: both may hold what a station sent."""
    return "".join(traceback.format_tb(error.__traceback__))
