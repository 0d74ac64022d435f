"""What a `Session` reports: the requests of the peer, and how each call of ours ended (closed unions of plain values)."""

from typing import Any, Literal, NewType

from msgspec import Struct

from counterflow.adapters.ocpp.rpc import ErrorCode

CallId = NewType("CallId", str)
"""The message id of a CALL of ours."""


class Answered(Struct, frozen=True, kw_only=True):
    """The peer answered; `response` is of the action's response type (statuses such as Rejected are answers too)."""

    response: Any
    salvaged: tuple[str, ...] = ()


class ErrorAnswer(Struct, frozen=True, kw_only=True):
    """The peer answered CALLERROR: the request had no effect."""

    code: str
    description: str


class InvalidAnswer(Struct, frozen=True, kw_only=True):
    """The peer answered something that the response type does not admit: what it did is unknown."""

    code: ErrorCode
    description: str


class TimedOut(Struct, frozen=True, kw_only=True):
    """No answer in time: what the peer did, or will still do, is unknown."""


class NotSent(Struct, frozen=True, kw_only=True):
    """The call never left: it had no effect."""

    reason: Literal["connection closed", "queue full"]


class Superseded(Struct, frozen=True, kw_only=True):
    """A newer call with the same `coalesce_key` took this one's place in the queue: it never left."""

    by: CallId


class ConnectionLost(Struct, frozen=True, kw_only=True):
    """The connection ended while the answer was awaited: what the peer did is unknown."""


CallOutcome = Answered | ErrorAnswer | InvalidAnswer | TimedOut | NotSent | Superseded | ConnectionLost


class IncomingCall(Struct, frozen=True, kw_only=True):
    """A valid request of the peer, to be answered by `Session.respond` or `Session.respond_error`."""

    message_id: str
    action: str
    request: Any
    salvaged: tuple[str, ...] = ()


class IncomingSend(Struct, frozen=True, kw_only=True):
    """A message that wants no answer."""

    message_id: str
    action: str
    message: Any
    salvaged: tuple[str, ...] = ()


class CallDone(Struct, frozen=True, kw_only=True):
    """The one and only end of a call of ours."""

    call_id: CallId
    action: str
    context: Any
    outcome: CallOutcome


class LateAnswer(Struct, frozen=True, kw_only=True):
    """The answer to a call that had been reported as `TimedOut`."""

    call_id: CallId
    action: str
    context: Any
    outcome: Answered | ErrorAnswer | InvalidAnswer


class AnswerRefused(Struct, frozen=True, kw_only=True):
    """The peer could not read an answer of ours (CALLRESULTERROR)."""

    message_id: str
    code: str
    description: str


RpcEvent = IncomingCall | IncomingSend | CallDone | LateAnswer | AnswerRefused
