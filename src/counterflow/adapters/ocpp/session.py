"""One OCPP-J conversation, sans-I/O: text and time in, events and text out (OCPP 2.1 part 4, section 4.1).

The same class serves the CSMS for a station and a simulated station for its CSMS. It reads no clock, opens no socket and never
raises on what a peer sends. The owner passes every WebSocket text to `receive`, calls `on_deadline` when `next_deadline_s` has come,
and after each of these sends what `take_outbox` returns, in that order.

>>> from counterflow.adapters.ocpp import messages
>>> from counterflow.adapters.ocpp.events import Answered, CallDone, IncomingCall
>>> from counterflow.adapters.ocpp.session import Session
>>> session = Session(incoming=messages.FROM_STATION, new_message_id=iter("abc").__next__)
>>> [event] = session.receive('[2,"17","Heartbeat",{}]', now_s=0.0)
>>> isinstance(event, IncomingCall) and event.action
'Heartbeat'
>>> call_id = session.call("Reset", {"type": "OnIdle"}, now_s=1.0)
>>> session.take_outbox()
[b'[2,"a","Reset",{"type":"OnIdle"}]']
>>> session.next_deadline_s()
31.0
>>> [done] = session.receive('[3,"a",{"status":"Accepted"}]', now_s=2.0)
>>> isinstance(done, CallDone) and isinstance(done.outcome, Answered) and done.outcome.response.status
'Accepted'
"""

from collections.abc import Callable, Container, Hashable
from typing import Any, Final, assert_never

import msgspec
from msgspec import Struct

from counterflow.adapters.ocpp import rpc
from counterflow.adapters.ocpp.dialect import OCPP_2_1, Dialect
from counterflow.adapters.ocpp.events import (
    Answered,
    AnswerRefused,
    CallDone,
    CallId,
    ConnectionLost,
    ErrorAnswer,
    IncomingCall,
    IncomingSend,
    InvalidAnswer,
    LateAnswer,
    NotSent,
    RpcEvent,
    TimedOut,
)
from counterflow.adapters.ocpp.waiting_calls import PendingCall, WaitingCalls

LATE_ANSWERS_REMEMBERED: Final = 8
"""How many timed-out calls a session still recognises the answers of."""


class Session:
    """The two directions of one connection. `incoming` holds the actions that this side serves.

    `dialect` is the version that was agreed. `violations` counts what the peer sent against the protocol, `last_violation` says what the
    latest was; `unanswered` counts calls of the peer that wait for `respond`.
    """

    __slots__ = (
        "_call_timeout_s",
        "_closed",
        "_deadline_s",
        "_dialect",
        "_in_flight",
        "_incoming",
        "_late",
        "_lenient",
        "_new_message_id",
        "_outbox",
        "_peer_reads_2_1_frames",
        "_queue_limit",
        "_undelivered",
        "_waiting",
        "last_violation",
        "unanswered",
        "violations",
    )

    def __init__(
        self,
        *,
        incoming: Container[str],
        new_message_id: Callable[[], str],
        call_timeout_s: float = 30.0,
        peer_reads_2_1_frames: bool = False,
        queue_limit: int = 64,
        lenient: bool = True,
        dialect: Dialect = OCPP_2_1,
    ) -> None:
        self._dialect = dialect
        self._incoming = incoming
        self._new_message_id = new_message_id
        self._call_timeout_s = call_timeout_s
        self._peer_reads_2_1_frames = peer_reads_2_1_frames
        self._queue_limit = queue_limit
        self._lenient = lenient
        self._closed = False
        self._in_flight: PendingCall | None = None
        self._deadline_s = 0.0
        self._waiting: WaitingCalls | None = None
        self._late: dict[str, PendingCall] | None = None
        self._outbox: list[bytes] | None = None
        self._undelivered: list[RpcEvent] | None = None
        self.violations = 0
        self.last_violation = ""
        self.unanswered = 0

    # ---- from the peer

    def receive(self, text: bytes | str | bytearray | memoryview, now_s: float) -> list[RpcEvent]:
        """Take in one WebSocket text message and say what it means. Never raises on the peer's account."""
        if self._closed:
            return self._take_undelivered()
        frame = rpc.decode_frame(text)
        # The usual frames, and the usual case that nothing has waited, are tested the quick way.
        event: RpcEvent | None
        if type(frame) is rpc.Call:
            event = self._on_call(frame)
        else:
            event = self._on_answer(frame, now_s) if type(frame) is rpc.CallResult else self._on_other(frame, now_s)
        if self._undelivered is None:
            return [] if event is None else [event]
        return self._take_undelivered() if event is None else [*self._take_undelivered(), event]

    def _on_other(self, frame: rpc.Frame, now_s: float) -> RpcEvent | None:
        match frame:
            case rpc.Call():
                return self._on_call(frame)
            case rpc.CallResult() | rpc.CallError():
                return self._on_answer(frame, now_s)
            case rpc.Send():
                return self._on_send(frame)
            case rpc.CallResultError():
                self._count_violation("The peer refused an answer of ours.")
                code, description = rpc.normal_code(frame.code), frame.description[: rpc.MAX_DESCRIPTION_LENGTH]
                return AnswerRefused(message_id=frame.message_id, code=code, description=description)
            case rpc.Malformed():
                return self._on_malformed(frame, now_s)
            case _:
                assert_never(frame)

    def _on_call(self, frame: rpc.Call) -> IncomingCall | None:
        action, message_id = frame.action, frame.message_id
        types = self._dialect.served.get(action)
        if types is None and action not in self._dialect.asked:
            self._refuse(message_id, "NotImplemented", f"This action is not part of {self._dialect.name}.")
            return None
        if types is None or action not in self._incoming:
            self._refuse(message_id, "NotSupported", f"{action} is not served on this side.")
            return None
        salvaged: tuple[str, ...] = ()
        request = rpc.read_payload(frame.payload, types[0])
        if request is None:
            decoded = rpc.decode_payload(frame.payload, types[0], lenient=self._lenient)
            if isinstance(decoded, rpc.Refused):
                self._refuse(message_id, decoded.code, decoded.description)
                return None
            request, salvaged = decoded.value, decoded.salvaged
        if len(message_id) > rpc.MAX_MESSAGE_ID_LENGTH:
            self._count_violation("The message id has more than 36 characters.")
        self.unanswered += 1
        return IncomingCall(message_id=message_id, action=action, request=request, salvaged=salvaged)

    def _on_send(self, frame: rpc.Send) -> IncomingSend | None:
        kind = self._dialect.sends.get(frame.action)
        if kind is None:
            self._count_violation("A SEND of an unknown action.")
            return None
        decoded = rpc.decode_payload(frame.payload, kind, lenient=self._lenient)
        if isinstance(decoded, rpc.Refused):
            self._count_violation(decoded.description)
            return None
        return IncomingSend(message_id=frame.message_id, action=frame.action, message=decoded.value, salvaged=decoded.salvaged)

    def _on_answer(self, frame: rpc.CallResult | rpc.CallError, now_s: float) -> CallDone | LateAnswer | None:
        pending = self._in_flight
        if pending is not None and pending.call_id == frame.message_id:
            outcome = self._outcome(frame, pending)
            self._in_flight = None
            self._send_next(now_s)
            return pending.done(outcome)
        late = self._late.pop(frame.message_id, None) if self._late is not None else None
        if late is None:
            self._count_violation("An answer to no call of ours.")
            return None
        return LateAnswer(call_id=late.call_id, action=late.action, context=late.context, outcome=self._outcome(frame, late))

    def _outcome(self, frame: rpc.CallResult | rpc.CallError, pending: PendingCall) -> Answered | ErrorAnswer | InvalidAnswer:
        if isinstance(frame, rpc.CallError):
            return ErrorAnswer(code=rpc.normal_code(frame.code), description=frame.description[: rpc.MAX_DESCRIPTION_LENGTH])
        decoded = rpc.decode_payload(frame.payload, self._dialect.asked[pending.action][1], lenient=self._lenient)
        if isinstance(decoded, rpc.Refused):
            self._count_violation(decoded.description)
            if self._peer_reads_2_1_frames:
                self._put(rpc.encode_call_result_error(frame.message_id, decoded.code, decoded.description))
            return InvalidAnswer(code=decoded.code, description=decoded.description)
        return Answered(response=decoded.value, salvaged=decoded.salvaged)

    def _on_malformed(self, frame: rpc.Malformed, now_s: float) -> CallDone | None:
        self._count_violation(frame.description)
        if frame.deserves_call_error:
            self._put_error(frame.message_id, frame.code, frame.description)
        pending = self._in_flight
        if frame.message_type not in (3, 4) or pending is None or pending.call_id != frame.message_id:
            return None
        self._in_flight = None
        self._send_next(now_s)
        return pending.done(InvalidAnswer(code=frame.code, description=frame.description))

    def _refuse(self, message_id: str, code: rpc.ErrorCode, description: str) -> None:
        self._count_violation(description)
        self._put_error(message_id, code, description)

    def _put_error(self, message_id: str, code: rpc.ErrorCode, description: str) -> None:
        self._put(rpc.encode_call_error(message_id, self._dialect.error_codes.get(code, code), description))

    def _count_violation(self, description: str) -> None:
        self.violations += 1
        self.last_violation = description

    # ---- to the peer

    def respond(self, call: IncomingCall, response: Struct) -> None:
        """Answer a call of the peer, now or later; after `close` the answer goes nowhere. Raises TypeError on a wrong type."""
        expected = self._dialect.served[call.action][1]
        if type(response) is not expected:
            raise TypeError(f"{call.action} is answered with {expected.__name__}, not {type(response).__name__}.")
        frame = rpc.encode_call_result(call.message_id, response)
        self.unanswered -= 1
        if self._outbox is None and not self._closed:
            self._outbox = [frame]  # the usual case
        else:
            self._put(frame)

    def respond_error(self, call: IncomingCall, code: rpc.ErrorCode, description: str = "") -> None:
        """Answer a call of the peer with CALLERROR; a business refusal is no error but a response with a status."""
        self.unanswered -= 1
        self._put_error(call.message_id, code, description)

    def call(
        self,
        action: str,
        payload: Struct | dict[str, Any],
        now_s: float,
        *,
        urgent: bool = False,
        coalesce_key: Hashable | None = None,
        context: object = None,
    ) -> CallId:
        """Send a request, or queue it behind the one in flight; its end comes as `CallDone`.

        A dict is held strictly against the schema. Raises ValueError, with a sentence for a person, on an action that is unknown
        or the peer's own, and on a payload that the schema refuses.
        """
        call_id = CallId(self._new_message_id())
        if len(call_id) > rpc.MAX_MESSAGE_ID_LENGTH:
            raise ValueError(f"A message id has at most {rpc.MAX_MESSAGE_ID_LENGTH} characters.")
        try:
            frame = rpc.encode_call(call_id, action, self._checked(action, payload))
        except UnicodeEncodeError as error:
            raise ValueError(f"{action} contains text that cannot be written as UTF-8.") from error
        pending = PendingCall(call_id, action, frame, urgent, coalesce_key, context)
        if self._closed:
            self._deliver_later(pending.done(NotSent(reason="connection closed")))
        elif self._in_flight is None:
            self._launch(pending, now_s)
        else:
            if self._waiting is None:
                self._waiting = WaitingCalls(self._queue_limit)
            gone = self._waiting.add(pending)
            if gone is not None:
                self._deliver_later(gone)
        return pending.call_id

    def send(self, action: str, payload: Struct) -> None:
        """Send a message that wants no answer (NotifyPeriodicEventStream). Raises ValueError when the peer does not read SEND."""
        if self._dialect.sends.get(action) is not type(payload):
            raise ValueError(f"{action} with a {type(payload).__name__} is no SEND of {self._dialect.name}.")
        if not self._peer_reads_2_1_frames:
            raise ValueError("This peer is not known to read SEND messages.")
        self._put(rpc.encode_send(self._new_message_id(), action, payload))

    def _checked(self, action: str, payload: Struct | dict[str, Any]) -> Struct:
        dialect = self._dialect
        if action in self._incoming and not dialect.goes_both_ways(action):
            raise ValueError(f"{action} is a request that the other side sends.")
        if isinstance(payload, dict):
            payload = rpc.request_from_dict(action, payload, dialect)
        if type(payload) is not rpc.types_of(action, dialect)[0]:
            raise ValueError(f"{action} does not carry a {type(payload).__name__}.")
        return payload

    def _launch(self, pending: PendingCall, now_s: float) -> None:
        self._in_flight = pending
        self._deadline_s = now_s + self._call_timeout_s
        self._put(pending.frame)

    def _send_next(self, now_s: float) -> None:
        following = None if self._waiting is None else self._waiting.take()
        if following is not None:
            self._launch(following, now_s)

    def _put(self, frame: bytes) -> None:
        if self._closed:
            return
        if self._outbox is None:
            self._outbox = [frame]
        else:
            self._outbox.append(frame)

    def take_outbox(self) -> list[bytes]:
        """The frames to send now, oldest first; each is handed out once."""
        outbox, self._outbox = self._outbox, None
        return outbox if outbox is not None else []

    # ---- time

    def next_deadline_s(self) -> float | None:
        """When `on_deadline` wants to be called: a moment in the past if events wait, None if nothing is due."""
        if self._undelivered is not None:
            return float("-inf")
        return self._deadline_s if self._in_flight is not None else None

    def await_from(self, now_s: float) -> None:
        """The answer to the call in flight is awaited from `now_s` on."""
        self._deadline_s = now_s + self._call_timeout_s

    def on_deadline(self, now_s: float) -> list[RpcEvent]:
        """Time out the call in flight if its time has come, send the next one, hand out events that waited."""
        events = self._take_undelivered()
        pending = self._in_flight
        if pending is not None and now_s >= self._deadline_s:
            self._in_flight = None
            self._remember_late(pending)
            events.append(pending.done(TimedOut()))
            self._send_next(now_s)
        return events

    def close(self, now_s: float) -> list[RpcEvent]:
        """The connection has ended: give every call its end. Afterwards nothing is sent any more."""
        del now_s  # part of the interface of all moments in a session's life; nothing here depends on it
        events = self._take_undelivered()
        if self._in_flight is not None:
            events.append(self._in_flight.done(ConnectionLost()))
        if self._waiting is not None:
            events += [call.done(NotSent(reason="connection closed")) for call in self._waiting.all()]
        self._closed = True
        self._in_flight = self._waiting = self._late = self._outbox = None
        return events

    def _remember_late(self, pending: PendingCall) -> None:
        if self._late is None:
            self._late = {}
        while len(self._late) >= LATE_ANSWERS_REMEMBERED:
            del self._late[next(iter(self._late))]
        self._late[pending.call_id] = msgspec.structs.replace(pending, frame=b"")

    def _deliver_later(self, event: RpcEvent) -> None:
        if self._undelivered is None:
            self._undelivered = [event]
        else:
            self._undelivered.append(event)

    def _take_undelivered(self) -> list[RpcEvent]:
        events, self._undelivered = self._undelivered, None
        return events if events is not None else []
