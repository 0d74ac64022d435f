"""What is sent, written strictly by the API description: what it would not allow is a ValueError here, and not a 400 over there."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from counterflow.adapters.openadr import models, wire_v30
from counterflow.adapters.openadr.models import Version, Wired
from counterflow.adapters.openadr.times import write_duration, write_instant

_ID = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_URL = re.compile(r"https?://\S{1,7990}")


def write_object(thing: Wired, version: Version = Version.V3_1_0) -> dict[str, Any]:
    """Plain values for JSON, in the words of `version`; defaults are left out. Raises ValueError in a sentence for what may not be sent."""
    raw = _plain(thing)
    return raw if version is Version.V3_1_0 else wire_v30.lowered(raw)


def write_body(thing: Wired, version: Version = Version.V3_1_0) -> bytes:
    """The same as a JSON body."""
    return msgspec.json.encode(write_object(thing, version))


def write_ven_request(ven: models.Ven, version: Version = Version.V3_1_0) -> dict[str, Any]:
    """What a VEN may say of itself: its targets are granted by the operator, and it does not send them (3.1.0)."""
    return write_object(msgspec.structs.replace(ven, object_type="VEN_VEN_REQUEST", client_id=None, targets=()), version)


def write_resource_request(resource: models.Resource, version: Version = Version.V3_1_0) -> dict[str, Any]:
    """The same for a resource of the VEN, whose `ven_id` must be there."""
    own = msgspec.structs.replace(resource, object_type="VEN_RESOURCE_REQUEST", client_id=None, targets=())
    if not own.ven_id:
        raise ValueError("a resource needs the id of its ven")
    return write_object(own, version)


def _plain(thing: Wired) -> dict[str, Any]:
    raw: dict[str, Any] = {}
    config = thing.__struct_config__
    if config.tag is not None and config.tag_field is not None:
        raw[config.tag_field] = config.tag
    for field in msgspec.structs.fields(thing):
        value = getattr(thing, field.name)
        if not field.required and field.name != "object_type" and value == field.default:
            continue
        try:
            raw[field.encode_name] = _written(field.encode_name, value)
        except ValueError as fault:
            raise ValueError(f"{type(thing).__name__}.{field.name}: {fault}") from fault
    return raw


def _written(name: str, value: Any) -> Any:
    if (rule := _RULES.get(name)) is not None and not isinstance(value, tuple) and not (name == "id" and isinstance(value, int)):
        return rule(value)
    if isinstance(value, Wired):
        return _plain(value)
    if isinstance(value, tuple):
        return [_written("target" if name == "targets" else "value" if name == "values" else "", one) for one in value]
    return _number(value) if isinstance(value, float) else value


def _number(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(f"{value} is unknown, and is not sent as a number")
    return value


def _value(value: Any) -> Any:
    if value is None:
        raise ValueError("an unknown value is left out, and not sent")
    return _plain(value) if isinstance(value, Wired) else _number(value) if isinstance(value, float) else value


def _name(value: str) -> str:
    if not 1 <= len(value) <= 128:
        raise ValueError(f"{value[:40]!r} has {len(value)} characters; from 1 to 128 are allowed")
    return value


def _id(value: str) -> str:
    if _ID.fullmatch(value) is None:
        raise ValueError(f"{value[:40]!r} is no id: from 1 to 128 letters, digits, _ and - are allowed")
    return value


def _url(value: str) -> str:
    if _URL.fullmatch(value) is None:
        raise ValueError(f"{value[:60]!r} is no http(s) address")
    return value


def _between(least: int, most: int) -> Callable[[int], int]:
    def checked(value: int) -> int:
        if not least <= value <= most:
            raise ValueError(f"{value} is not within {least} .. {most}")
        return value

    return checked


_RULES: Mapping[str, Callable[[Any], Any]] = {
    "id": _id,
    "programID": _id,
    "eventID": _id,
    "venID": _id,
    "clientID": _name,
    "clientName": _name,
    "programName": _name,
    "resourceName": _name,
    "venName": _name,
    "payloadType": _name,
    "readingType": _name,
    "units": _name,
    "target": _name,
    "value": _value,
    "callbackUrl": _url,
    "confidence": _between(0, 100),
    "priority": _between(0, 2**31 - 1),
    "start": write_instant,
    "createdDateTime": write_instant,
    "modificationDateTime": write_instant,
    "duration": write_duration,
    "randomizeStart": write_duration,
}
"""By the field's name on the wire (API description 3.1.0, components/schemas)."""
