"""What a VTN (or a VEN) sends, read tolerantly: unknown fields, nulls, other spellings and stray types do no harm. Both versions are read.

What is unsafe to guess is not guessed: an object whose start, duration or structure cannot be read is refused in a sentence, alone; the
others of its page stand. Tolerances seen at real VTNs: snake_case keys, JSON in a JSON string, times without T or zone, lists in lists
for targets, typed targets and operation names of 3.0, descriptors without `objectType`, numbers as text.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import Struct

from counterflow.adapters.openadr import models
from counterflow.adapters.openadr.models import wire_name
from counterflow.adapters.openadr.times import read_duration, read_instant

OBJECTS: Mapping[models.ObjectType, type[models.AnyObject]] = {
    "PROGRAM": models.Program,
    "EVENT": models.Event,
    "REPORT": models.Report,
    "SUBSCRIPTION": models.Subscription,
    "VEN": models.Ven,
    "RESOURCE": models.Resource,
}
"""By the `objectType` of a notification."""

_OPERATIONS: Mapping[str, models.Operation] = {
    "CREATE": "CREATE",
    "READ": "READ",
    "UPDATE": "UPDATE",
    "DELETE": "DELETE",
    "POST": "CREATE",
    "GET": "READ",
    "PUT": "UPDATE",
}
"""The last three are how 3.0 calls them."""

_KNOWN = frozenset(
    field.encode_name for kind in (*models.Wired.__subclasses__(), *OBJECTS.values()) for field in msgspec.structs.fields(kind)
)
"""Every field of every model, as it is called on the wire."""

_NAME_OF: Mapping[type[models.Wired], models.ObjectType] = {kind: name for name, kind in OBJECTS.items()}
_DESCRIBED_BY: Mapping[type[models.Wired], str] = {models.Event: "EVENT_PAYLOAD_DESCRIPTOR", models.Report: "REPORT_PAYLOAD_DESCRIPTOR"}
_MAX_LAYERS = 3
_A = TypeVar("_A", bound=models.AnyObject)


class UnreadableError(ValueError):
    """It cannot be read; the message is a sentence for a person. `object_id` is there where it could be found."""

    def __init__(self, sentence: str, object_id: str = "") -> None:
        super().__init__(sentence)
        self.object_id = object_id


class Page(Struct, Generic[_A], frozen=True):
    """A page of a listing."""

    items: tuple[_A, ...]
    unreadable: tuple[UnreadableError, ...]
    """Objects that were in the page and are not in `items`."""

    @property
    def length(self) -> int:
        """Objects that were in the page, readable or not: what `skip` goes on by."""
        return len(self.items) + len(self.unreadable)


def read_json(body: bytes | str) -> Any:
    """Plain values from a body, which may be a JSON string that holds JSON. Raises `UnreadableError`."""
    value: Any = body
    for _ in range(_MAX_LAYERS):
        try:
            value = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError) as fault:
            raise UnreadableError(f"this is no JSON: {fault}") from fault
        except RecursionError as fault:
            raise UnreadableError("this is nested too deeply") from fault
        if not isinstance(value, str):
            return value
    raise UnreadableError("this is a text, and no JSON object")


def read_object(kind: type[_A], raw: Any) -> _A:
    """One object from plain values. Raises `UnreadableError`."""
    if not isinstance(raw, dict):
        raise UnreadableError(f"an object was expected, and not {str(raw)[:60]!r}")
    try:
        loosened = _object(raw)
        loosened["objectType"] = _object_type(kind, loosened.get("objectType"))
        if (of := _DESCRIBED_BY.get(kind)) is not None:
            for descriptor in loosened.get("payloadDescriptors", ()):
                descriptor["objectType"] = of
        return msgspec.convert(loosened, kind, strict=False)
    except (ValueError, RecursionError) as fault:  # msgspec's are ValueErrors, too
        found = str(raw.get("id") or "")
        raise UnreadableError(f"{_NAME_OF[kind].lower()} {found or 'without id'} cannot be read: {fault}", found) from fault


def read_page(kind: type[_A], body: bytes | str) -> Page[_A]:
    """A listing; what cannot be read does not spoil the rest. Raises `UnreadableError` if it is no listing at all."""
    raw = read_json(body)
    items: list[_A] = []
    unreadable: list[UnreadableError] = []
    for one in raw if isinstance(raw, list) else [raw]:
        try:
            items.append(read_object(kind, one))
        except UnreadableError as fault:
            unreadable.append(fault)
    if unreadable and not isinstance(raw, list):
        raise unreadable[0]
    return Page(tuple(items), tuple(unreadable))


def read_notification(body: bytes | str) -> models.Notification:
    """What a VTN pushed, in either version's words. Raises `UnreadableError`."""
    raw = read_json(body)
    if not isinstance(raw, dict):
        raise UnreadableError("a notification is a JSON object")
    spelled = {_spelled(key): value for key, value in raw.items()}
    content = spelled.get("object")
    object_type = spelled.get("objectType") or (_spelled_get(content, "objectType") if isinstance(content, dict) else None)
    kind = next((kind for name, kind in OBJECTS.items() if name == str(object_type).upper()), None)
    if kind is None:
        raise UnreadableError(f"a notification of {object_type!r} is not known here")
    operation = _OPERATIONS.get(str(spelled.get("operation")).upper())
    if operation is None:
        raise UnreadableError(f"a notification of the operation {str(spelled.get('operation'))[:40]!r} is not known here")
    read = read_object(kind, content)
    try:
        targets = tuple(_targets(spelled.get("targets")))
    except RecursionError as fault:
        raise UnreadableError("its targets are nested too deeply") from fault
    return models.Notification(object_type=_NAME_OF[kind], operation=operation, object=read, targets=targets)


def read_problem(body: bytes | str) -> models.Problem:
    """A refusal, in whatever form it comes. Never raises: an unreadable one is its own text."""
    try:
        return msgspec.convert(_object(read_json(body)), models.Problem, strict=False)
    except (ValueError, AttributeError, RecursionError):
        text = body if isinstance(body, str) else body.decode("utf-8", "replace")
        return models.Problem(detail=text[:200] or None)


def _spelled(key: str) -> str:
    """program_id -> programID; what has no underscore is left."""
    return wire_name(key) if "_" in key.strip("_") else key


def _spelled_get(raw: Mapping[str, Any], key: str) -> Any:
    return next((value for name, value in raw.items() if _spelled(name) == key and value is not None), None)


def _object_type(kind: type[_A], said: Any) -> str:
    """The discriminator as `kind` knows it; a wrong one (seen with vens) is set right, since the path says what it is."""
    name = _NAME_OF[kind]
    return said if isinstance(said, str) and said.endswith(f"{name}_REQUEST") and kind in (models.Ven, models.Resource) else name


def _object(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Keys as 3.1.0 spells them, values as the models want them, nulls left out. Raises ValueError in a sentence."""
    spelled: dict[str, Any] = {}
    for key, value in raw.items():
        name = _spelled(key)
        if value is None or name not in _KNOWN:  # what nobody knows is not read, whatever is in it
            continue
        reader = _READERS.get(name, _deep)
        try:
            read = reader(value)
        except ValueError as fault:
            raise ValueError(f"{name}: {fault}") from fault
        if read is not None:
            spelled[name] = read
    return spelled


def _deep(value: Any) -> Any:
    if isinstance(value, dict):
        return _object(value)
    return [_deep(one) for one in value] if isinstance(value, list) else value


def _instant(value: Any) -> float:
    if not isinstance(value, str):
        raise ValueError(f"{str(value)[:40]} is no time such as 2026-11-22T17:00:00Z")
    return read_instant(value)


def _told_instant(value: Any) -> float | None:
    """A time that is only told, and steers nothing: one that cannot be read is absent."""
    try:
        return _instant(value)
    except ValueError:
        return None


def _duration(value: Any) -> float:
    if not isinstance(value, str):
        raise ValueError(f"{str(value)[:40]} is no duration such as PT15M")
    return read_duration(value)


def _values(value: Any) -> list[Any]:
    """Scalars and points as they are; anything else is unknown (None)."""
    return [_value(one) for one in value] if isinstance(value, list) else [_value(value)]


def _value(one: Any) -> Any:
    if isinstance(one, dict):
        point = {key: one.get(key) for key in ("x", "y")}
        return point if all(isinstance(axis, int | float) for axis in point.values()) else None
    return one if isinstance(one, float | int | str | bool) else None


def _targets(value: Any) -> list[str]:
    """Strings of 3.1, {type, values} of 3.0, and lists in lists, in the order in which they come, each once."""
    if isinstance(value, str):
        return [value] if value else []
    if isinstance(value, dict):
        return _targets(value.get("values"))
    found = [target for one in value for target in _targets(one)] if isinstance(value, list) else []
    return list(dict.fromkeys(found))


def _descriptors(value: Any) -> list[Any]:
    """With the discriminator that 3.0 and lenient senders leave out."""
    return [_described(_object(one)) for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _described(raw: dict[str, Any]) -> dict[str, Any]:
    of_report = bool(raw.keys() & {"readingType", "accuracy", "confidence"})
    raw.setdefault("objectType", "REPORT_PAYLOAD_DESCRIPTOR" if of_report else "EVENT_PAYLOAD_DESCRIPTOR")
    return raw


def _report_descriptors(value: Any) -> list[Any]:
    """A wish for a report that cannot be read is left out: it does not stand in the way of the order."""
    readable = []
    for one in value if isinstance(value, list) else []:
        try:
            raw = _object(one)
            msgspec.convert(raw, models.ReportDescriptor, strict=False)
        except (ValueError, AttributeError):
            continue
        readable.append(raw)
    return readable


def _attributes(value: Any) -> list[Any]:
    return [_object(one) for one in value if isinstance(one, dict) and isinstance(one.get("type"), str)] if isinstance(value, list) else []


def _operations(value: Any) -> list[str]:
    names = [str(one).upper() for one in value] if isinstance(value, list) else []
    return [_OPERATIONS.get(name, name) for name in names]


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "start": _instant,
    "createdDateTime": _told_instant,
    "modificationDateTime": _told_instant,
    "duration": _duration,
    "randomizeStart": _duration,
    "values": _values,
    "targets": _targets,
    "payloadDescriptors": _descriptors,
    "reportDescriptors": _report_descriptors,
    "attributes": _attributes,
    "operations": _operations,
}
