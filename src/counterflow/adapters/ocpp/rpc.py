"""OCPP-J frames (OCPP 2.1 part 4, section 4): from text to light Structs and back. Pure functions, no state.

`decode_frame` never raises on anything that a peer can send: what is no frame becomes `Malformed`, with the CALLERROR that it
deserves. `decode_payload` reads a payload into its message type: strictly first (one msgspec pass, the usual case), and when that
fails once more through `salvage`, which repairs what is safe to repair and names each repair.
"""

import difflib
import re
from datetime import UTC, datetime
from typing import Any, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Raw, Struct

from counterflow.adapters.ocpp.dialect import OCPP_2_1, Dialect
from counterflow.adapters.ocpp.plain import twin_of
from counterflow.adapters.ocpp.salvage import Unusable, salvage, unknown_fields

MAX_MESSAGE_ID_LENGTH: Final = 36
MAX_DESCRIPTION_LENGTH: Final = 255
MAX_CODE_LENGTH: Final = 50
UNREADABLE_ID: Final = "-1"
"""The message id of a CALLERROR that answers a CALL whose own id cannot be read (part 4, 4.2.3)."""

ErrorCode = Literal[
    "FormatViolation",
    "GenericError",
    "InternalError",
    "MessageTypeNotSupported",
    "NotImplemented",
    "NotSupported",
    "OccurrenceConstraintViolation",
    "PropertyConstraintViolation",
    "ProtocolError",
    "RpcFrameworkError",
    "SecurityError",
    "TypeConstraintViolation",
]
"""The codes that we send (part 4, 4.3)."""

_CODE_OF_OLDER_SPELLING: Final = {
    "FormationViolation": "FormatViolation",  # OCPP 1.6
    "OccurenceConstraintViolation": "OccurrenceConstraintViolation",  # OCPP 1.6, misspelt in its text
}

T = TypeVar("T", bound=Struct)


class Call(Struct, array_like=True, tag=2, frozen=True, gc=False):
    """A request. `payload` is the undecoded JSON."""

    message_id: str
    action: str
    payload: Raw


class CallResult(Struct, array_like=True, tag=3, frozen=True, gc=False):
    """The answer to a CALL; which action it belongs to only the sender of the CALL knows."""

    message_id: str
    payload: Raw


class CallError(Struct, array_like=True, tag=4, frozen=True, gc=False):
    """The refusal of a CALL. `code` may be none of ours; stations also write more than 255 characters."""

    message_id: str
    code: str
    description: str = ""


class CallResultError(Struct, array_like=True, tag=5, frozen=True, gc=False):
    """The refusal of a CALLRESULT (OCPP 2.1)."""

    message_id: str
    code: str
    description: str = ""


class Send(Struct, array_like=True, tag=6, frozen=True, gc=False):
    """A message that is never answered (OCPP 2.1)."""

    message_id: str
    action: str
    payload: Raw


class Malformed(Struct, frozen=True, kw_only=True):
    """Text that is no frame. `message_type` and `message_id` are what could be read of it (None, "-1" if nothing)."""

    message_type: int | None
    message_id: str
    code: ErrorCode
    description: str

    @property
    def deserves_call_error(self) -> bool:
        """Only a CALL, or what may have been one, is answered: answers to answers would never end."""
        return self.message_type is None or self.message_type == 2


WellFormed = Call | CallResult | CallError | CallResultError | Send
Frame = WellFormed | Malformed


class Decoded(Struct, Generic[T], frozen=True):
    """A payload in its type; `salvaged` names each repair (`meterValue[].sampledValue[].phase: dropped, ...`), mostly none."""

    value: T
    salvaged: tuple[str, ...] = ()


class Refused(Struct, frozen=True, kw_only=True):
    """A payload whose essentials are unusable, with the CALLERROR to send."""

    code: ErrorCode
    description: str


_frame_decoder: Final[msgspec.json.Decoder[WellFormed]] = msgspec.json.Decoder(WellFormed)
_parts_decoder: Final = msgspec.json.Decoder(list[Raw])
_encoder: Final = msgspec.json.Encoder()
_payload_decoders: Final[dict[type[Struct], msgspec.json.Decoder[Any]]] = {}
_quick_decoders: Final[dict[type[Struct], msgspec.json.Decoder[Any]]] = {}
# msgspec writes microseconds with six digits; OCPP allows three (part 2, datatypes).
_SPARE_DIGITS: Final = re.compile(rb'(?<=\.\d{3})\d{3}(?=Z"|[+-]\d\d:\d\d")')
_has_fraction: Final = re.compile(rb'\.\d{6}(?:Z"|[+-])').search
"""Found or not in a tenth of the time, since it begins with a character that is rare."""
_UNREADABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)


def decode_frame(text: bytes | str | bytearray | memoryview) -> Frame:
    """The frame in one WebSocket text message. A view into a receive buffer is copied first: payloads outlive the buffer."""
    if not isinstance(text, (bytes, str)):
        text = bytes(text)
    try:
        return _frame_decoder.decode(text)
    except _UNREADABLE:
        return _diagnose(text)


def read_payload(raw: Raw | bytes, kind: type[T]) -> T | None:
    """`raw` as a `kind` or its strict twin (see `plain`), in one quick try; None = it takes `decode_payload` to say what is wrong."""
    decoder = _quick_decoders.get(kind)
    if decoder is None:
        decoder = _quick_decoders[kind] = msgspec.json.Decoder(twin_of(kind))
    try:
        request: T = decoder.decode(raw)
    except _UNREADABLE:
        return None
    return request


def decode_payload(raw: Raw | bytes, kind: type[T], *, lenient: bool = True) -> Decoded[T] | Refused:
    """`raw` as a `kind`. With `lenient`, a payload that breaks the schema is repaired where that is safe (see `salvage`)."""
    decoder = _payload_decoders.get(kind)
    if decoder is None:
        decoder = _payload_decoders[kind] = msgspec.json.Decoder(kind)
    try:
        return Decoded(decoder.decode(raw))
    except _UNREADABLE:
        return _second_reading(raw, kind, lenient=lenient)


def _second_reading(raw: Raw | bytes, kind: type[T], *, lenient: bool) -> Decoded[T] | Refused:
    try:
        repaired = salvage(msgspec.json.decode(raw), kind)
        if isinstance(repaired, Unusable):
            return Refused(code=repaired.code, description=repaired.description)
        if not lenient:
            # No repairs where the first of two equal keys was the faulty one: the tree knows only the last.
            first = repaired.repairs[0] if repaired.repairs else "a field is given twice"
            return Refused(code=repaired.first_code, description=f"Not as the schema has it: {first}.")
        return Decoded(msgspec.convert(repaired.tree, kind), repaired.repairs)
    except _UNREADABLE:
        return Refused(code="RpcFrameworkError", description="The payload is no valid JSON.")


def _diagnose(text: bytes | str) -> Malformed | CallError | CallResultError:
    """What is wrong with a text that did not decode as a frame."""

    def malformed(code: ErrorCode, description: str, kind: int | None = None, message_id: str = UNREADABLE_ID) -> Malformed:
        return Malformed(message_type=kind, message_id=message_id, code=code, description=description)

    try:
        parts = _parts_decoder.decode(text)
    except _UNREADABLE:
        return malformed("RpcFrameworkError", "The message is no JSON array.")
    kind, message_id = _read(parts, 0, int), _read(parts, 1, str)
    if kind is None:
        return malformed("RpcFrameworkError", "The message does not start with a message type number.")
    if message_id is None:
        return malformed("RpcFrameworkError", "The message id cannot be read.", kind)
    if kind in (4, 5) and len(parts) > 2:
        # A refusal is worth knowing even if its last fields are odd (null, missing, a number).
        code, description = _read(parts, 2, str) or "GenericError", _read(parts, 3, str) or ""
        return CallError(message_id, code, description) if kind == 4 else CallResultError(message_id, code, description)
    if kind not in (2, 3, 4, 5, 6):
        return malformed("MessageTypeNotSupported", f"Message type {kind} is unknown.", kind, message_id)
    if kind in (2, 6) and len(parts) > 2 and _read(parts, 2, str) is None:
        return malformed("RpcFrameworkError", "The action is no text.", kind, message_id)
    return malformed("RpcFrameworkError", "The message has too few elements.", kind, message_id)


P = TypeVar("P", int, str)


def _read(parts: list[Raw], place: int, kind: type[P]) -> P | None:
    if place >= len(parts):
        return None
    try:
        return msgspec.json.decode(parts[place], type=kind)
    except _UNREADABLE:
        return None


def normal_code(code: str) -> str:
    """An error code as OCPP 2.1 spells it, bounded in length; codes of the peer's own making stay as they are."""
    return _CODE_OF_OLDER_SPELLING.get(code, code[:MAX_CODE_LENGTH])


def types_of(action: str, dialect: Dialect = OCPP_2_1) -> tuple[type[Struct], type[Struct]]:
    """Request and response type of an action that a CSMS asks. Raises ValueError, naming what is spelt alike, if there is no such CALL."""
    types = dialect.asked.get(action)
    if types is None:
        near = difflib.get_close_matches(action, dialect.asked, n=3)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise ValueError(f"{action!r} is no request of {dialect.name}.{hint}")
    return types


def request_from_dict(action: str, payload: dict[str, Any], dialect: Dialect = OCPP_2_1) -> Struct:
    """A request held strictly against its schema, unknown fields included. Raises ValueError with a sentence for a person."""
    kind = types_of(action, dialect)[0]
    strange = unknown_fields(payload, kind)
    if strange:
        raise ValueError(f"{action} has no field {', '.join(strange)}.")
    try:
        return msgspec.convert(payload, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ValueError(f"{action} is not valid: {error}.") from error


def encode_call(message_id: str, action: str, payload: Struct) -> bytes:
    """`[2, id, action, payload]` as UTF-8."""
    return _encode((2, message_id, action, payload))


def encode_call_result(message_id: str, payload: Struct) -> bytes:
    """`[3, id, payload]` as UTF-8."""
    return _encode((3, message_id, payload))


def encode_call_error(message_id: str, code: str, description: str = "") -> bytes:
    """`[4, id, code, description, {}]` as UTF-8; the description is cut to 255 characters. `code` as the version spells it."""
    return _encode((4, message_id, code, _cut(description), {}))


def encode_call_result_error(message_id: str, code: ErrorCode, description: str = "") -> bytes:
    """`[5, id, code, description, {}]` as UTF-8, only for peers that read OCPP 2.1's own frame types."""
    return _encode((5, message_id, code, _cut(description), {}))


def encode_send(message_id: str, action: str, payload: Struct) -> bytes:
    """`[6, id, action, payload]` as UTF-8, only for peers that read OCPP 2.1's own frame types."""
    return _encode((6, message_id, action, payload))


def _encode(frame: tuple[object, ...]) -> bytes:
    text = _encoder.encode(frame)
    return _SPARE_DIGITS.sub(b"", text) if _has_fraction(text) else text


def _cut(text: str) -> str:
    return text[:MAX_DESCRIPTION_LENGTH]


def instant(epoch_s: float) -> datetime:
    """Epoch seconds as the UTC timestamp that the wire carries, to the millisecond."""
    return datetime.fromtimestamp(round(epoch_s, 3), UTC)
