"""The second reading of a payload that breaks the schema: repair what is safe, name it, refuse the rest.

Stations in the field send text that is too long, `1.0` for `1`, `null` for "absent", values that no list knows. A CALLERROR for each
would cost the meter readings beside them. So (decisions: strict in sending, lenient in reading) the rules are, by what is found:

- unknown field: ignored, not counted
- free text too long, or a number where text belongs: cut; written as text (an identifier or signed content are unusable)
- `1.0` or `"1"` for an integer, `"1.5"` for a number: the number (more than 32 bits: unusable)
- `297.671` for an integer: rounded (an identifier or sequence number are unusable)
- `"true"` for a boolean: the boolean
- a timestamp without zone: UTC
- a listed value in other letter case: the listed value
- a plain "no" as `status` of a response: `Rejected`, where the list has it
- one object where a list belongs: a list of one
- an unusable optional field, `null`, `[]`: dropped: its value is unknown (unless its absence would say something)
- an unusable entry of a list of readings: dropped, the others stay (the list ends too short)

What is unusable makes the object around it unusable, up to the next optional field or reading; at the top the payload is refused.
"""

import re
import sys
from functools import cache
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, inspect

from counterflow.adapters.ocpp import messages

ViolationCode = Literal["FormatViolation", "OccurrenceConstraintViolation", "PropertyConstraintViolation", "TypeConstraintViolation"]

MAX_REPAIRS_NAMED: Final = 16

_READING_OF_1_6: Final = frozenset({"measurand", "phase", "context", "location", "unit", "format"})
# Absent, each of these says something (overall value, outlet, regular sample, default measurand), so it must not be dropped.
_ABSENCE_SPEAKS: Final = {
    "SampledValueType": {"measurand", "phase", "context", "location", "unitOfMeasure"},
    "ChargingSchedulePeriodType": {"operationMode"},
    "EventDataType": {"cleared"},
    "SampledValue": _READING_OF_1_6,
    "StopTransactionRequestSampledValue": _READING_OF_1_6,
}
# Lists whose entries stand each for themselves. Of a schedule or a curve, a missing entry would change the neighbours' meaning.
_READINGS: Final = frozenset(
    {
        "availableEnergyTransfer",
        "clearMonitoringResult",
        "data",
        "eventData",
        "getVariableResult",
        "meterValue",
        "monitor",
        "reportData",
        "sampledValue",
        "setMonitoringResult",
        "setVariableResult",
        "transactionData",
        "variableAttribute",
        "variableMonitoring",
    }
)
# Text that loses its meaning when cut.
_EXACT_TEXT: Final = frozenset(
    {
        "additionalIdToken",
        "certificate",
        "certificateChain",
        "certificateHashData",
        "controlId",
        "csr",
        "encodingMethod",
        "evseId",
        "exiRequest",
        "exiResponse",
        "id",
        "idTag",
        "idToken",
        "identity",
        "issuerKeyHash",
        "issuerNameHash",
        "ocspResult",
        "publicKey",
        "responderURL",
        "serialNumber",
        "signedMeterData",
        "signingMethod",
        "tariffId",
        "transactionId",
        "unit",
        "vatNumber",
        "vehicleId",
    }
)
_PLAIN_NO: Final = frozenset({"notsupported", "notimplemented", "unsupported", "denied", "refused", "notallowed"})
_INTEGER_TEXT: Final = re.compile(r"[+-]?\d{1,10}")
_NUMBER_TEXT: Final = re.compile(r"[+-]?\d{1,15}(\.\d{1,15})?")


class Unusable(Struct, frozen=True, kw_only=True):
    """Why a payload cannot be used, with the error code of OCPP-J. `path` is made of schema names only."""

    path: str
    code: ViolationCode
    why: str

    @property
    def description(self) -> str:
        """One sentence without any of the peer's own text."""
        return f"{self.path or 'payload'}: {self.why}."


class Repaired(Struct, frozen=True, kw_only=True):
    """The repaired JSON tree; `repairs` are at most 16 different sentences, `first_code` is the code of the first fault."""

    tree: Any
    repairs: tuple[str, ...]
    first_code: ViolationCode


def salvage(tree: object, kind: type[Struct]) -> Repaired | Unusable:
    """Repair a decoded JSON tree so that it converts to `kind`, or say what makes it unusable."""
    reading = _Reading()
    result = reading.value(tree, type_of(kind), "", "")
    if isinstance(result, Unusable):
        return result
    return Repaired(tree=result, repairs=tuple(reading.repairs), first_code=reading.first_code)


@cache
def type_of(kind: type[Struct]) -> inspect.Type:
    """msgspec's description of a message type (dear to make, so kept)."""
    return inspect.type_info(kind)


def unknown_fields(tree: object, kind: type[Struct]) -> list[str]:
    """The paths in a JSON tree that `kind` has no field for: what a sender mistyped and a reader would ignore."""
    found: list[str] = []

    def walk(node: object, shape: inspect.Type, path: str) -> None:
        if isinstance(shape, inspect.StructType) and isinstance(node, dict):
            fields = {field.encode_name: field.type for field in shape.fields}
            for name, value in node.items():
                if name in fields:
                    walk(value, fields[name], _join(path, name))
                else:
                    found.append(_join(path, str(name)))
        elif isinstance(shape, inspect.ListType) and isinstance(node, list):
            for item in node:
                walk(item, shape.item_type, f"{path}[]")

    walk(tree, type_of(kind), "")
    return found


class _Reading:
    """One pass over one payload. `name` is the wire name of the field that a node is the value of."""

    def __init__(self) -> None:
        self.repairs: dict[str, None] = {}
        self.first_code: ViolationCode = "FormatViolation"

    def note(self, path: str, what: str, code: ViolationCode) -> None:
        if not self.repairs:
            self.first_code = code
        if len(self.repairs) < MAX_REPAIRS_NAMED:
            self.repairs[f"{path}: {what}"] = None

    def value(self, node: Any, shape: inspect.Type, path: str, name: str) -> Any:
        """The repaired node or `Unusable`."""
        match shape:
            case inspect.StructType():
                return self.object(node, shape, path)
            case inspect.ListType():
                return self.list(node, shape, path, name)
            case inspect.LiteralType():
                return self.listed(node, shape, path, name)
            case inspect.StrType():
                return self.text(node, shape, path, name)
            case inspect.IntType() | inspect.FloatType():
                return self.number(node, shape, path, name)
            case inspect.BoolType():
                return self.boolean(node, path)
            case inspect.DateTimeType():
                return self.timestamp(node, path)
            case inspect.DictType():
                return node if isinstance(node, dict) else _wrong_type(path, "an object")
            case _:
                return node

    def object(self, node: Any, shape: inspect.StructType, path: str) -> Any:
        if not isinstance(node, dict):
            return _wrong_type(path, "an object")
        if _converts(node, shape.cls):  # most branches of a faulty tree are sound, and this is far cheaper than walking them
            return node
        result: dict[str, Any] = {}
        for field in shape.fields:
            name = field.encode_name
            if name not in node:
                if field.required:
                    return Unusable(path=_join(path, name), code="OccurrenceConstraintViolation", why="missing")
                continue
            inner = _join(path, name)
            fixed = self.value(node[name], field.type, inner, name)
            if not isinstance(fixed, Unusable):
                result[name] = fixed
            elif field.required or (node[name] is not None and _absence_speaks(shape.cls, field)):
                return fixed
            else:
                what = "null" if node[name] is None else fixed.why
                self.note(inner, f"dropped ({what})", fixed.code)
        return result

    def list(self, node: Any, shape: inspect.ListType, path: str, name: str) -> Any:
        if isinstance(node, dict) and isinstance(shape.item_type, inspect.StructType):
            self.note(path, "one object taken as a list", "TypeConstraintViolation")
            node = [node]
        if not isinstance(node, list):
            return _wrong_type(path, "a list")
        result, fault = [], None
        for item in node:
            fixed = self.value(item, shape.item_type, f"{path}[]", name)
            if not isinstance(fixed, Unusable):
                result.append(fixed)
            elif name in _READINGS:
                fault = fault or fixed
                self.note(fixed.path, f"entry dropped ({fixed.why})", fixed.code)
            else:
                return fixed
        if len(result) < (shape.min_length or 0):
            return fault or Unusable(path=path, code="OccurrenceConstraintViolation", why="empty list")
        if shape.max_length is not None and len(result) > shape.max_length:
            why = f"more than {shape.max_length} entries"
            return Unusable(path=path, code="OccurrenceConstraintViolation", why=why)
        return result

    def listed(self, node: Any, shape: inspect.LiteralType, path: str, name: str) -> Any:
        if not isinstance(node, str):
            return _wrong_type(path, "a text")
        if node in shape.values:
            return node
        folded = node.casefold()
        for listed in shape.values:
            if str(listed).casefold() == folded:
                self.note(path, "letter case", "PropertyConstraintViolation")
                return listed
        if path == name == "status" and folded in _PLAIN_NO and "Rejected" in shape.values:
            self.note(path, "unknown value taken as Rejected", "PropertyConstraintViolation")
            return "Rejected"
        return Unusable(path=path, code="PropertyConstraintViolation", why="unknown value")

    def text(self, node: Any, shape: inspect.StrType, path: str, name: str) -> Any:
        exact = name in _EXACT_TEXT
        if isinstance(node, (bool, int, float)) and not exact:
            self.note(path, "written as text", "TypeConstraintViolation")
            node = str(node).lower()
        if not isinstance(node, str):
            return _wrong_type(path, "a text")
        if shape.max_length is None or len(node) <= shape.max_length:
            return node
        if exact:
            why = f"more than {shape.max_length} characters"
            return Unusable(path=path, code="PropertyConstraintViolation", why=why)
        self.note(path, f"cut to {shape.max_length} characters", "PropertyConstraintViolation")
        return node[: shape.max_length]

    def number(self, node: Any, shape: inspect.IntType | inspect.FloatType, path: str, name: str) -> Any:
        whole = isinstance(shape, inspect.IntType)
        pattern = _INTEGER_TEXT if whole else _NUMBER_TEXT
        if isinstance(node, str) and pattern.fullmatch(node):
            self.note(path, "text taken as a number", "TypeConstraintViolation")
            node = int(node) if whole else float(node)
        if isinstance(node, bool) or not isinstance(node, (int, float)):
            return _wrong_type(path, "an integer" if whole else "a number")
        if whole and isinstance(node, float):
            if node != (rounded := round(node)):
                if _is_identifier(name):
                    return _wrong_type(path, "an integer")
                self.note(path, "rounded", "TypeConstraintViolation")
            else:
                self.note(path, "decimal taken as an integer", "TypeConstraintViolation")
            node = rounded
        if not whole and abs(node) > sys.float_info.max:
            return Unusable(path=path, code="PropertyConstraintViolation", why="out of range")
        if (shape.ge is not None and node < shape.ge) or (shape.le is not None and node > shape.le):
            return Unusable(path=path, code="PropertyConstraintViolation", why="out of range")
        return node

    def boolean(self, node: Any, path: str) -> Any:
        if isinstance(node, str) and node.casefold() in ("true", "false"):
            self.note(path, "text taken as a boolean", "TypeConstraintViolation")
            return node.casefold() == "true"
        return node if isinstance(node, bool) else _wrong_type(path, "a boolean")

    def timestamp(self, node: Any, path: str) -> Any:
        if isinstance(node, str):
            if _converts(node, messages.Instant):
                return node
            if _converts(node + "Z", messages.Instant):
                self.note(path, "no zone, taken as UTC", "TypeConstraintViolation")
                return node + "Z"
        return _wrong_type(path, "a timestamp")


def _converts(node: object, kind: Any) -> bool:
    try:
        msgspec.convert(node, kind)
    except (msgspec.ValidationError, ValueError):
        return False
    return True


def _absence_speaks(cls: type, field: inspect.Field) -> bool:
    return field.name in messages.DEFAULTS.get(cls, ()) or field.encode_name in _ABSENCE_SPEAKS.get(cls.__name__, ())


def _is_identifier(name: str) -> bool:
    return name in ("id", "seqNo") or name.endswith(("Id", "Ids"))


def _wrong_type(path: str, wanted: str) -> Unusable:
    return Unusable(path=path, code="TypeConstraintViolation", why=f"not {wanted}")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
