"""What a client sends, taken strictly: a VTN that forgives would hide a VEN's faults from its tests."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from counterflow.adapters.openadr.models import AnyObject, Event, Report, Subscription, Version, Wired
from counterflow.adapters.openadr.reading import read_object
from counterflow.adapters.openadr.writing import write_object
from counterflow.sim.vtn.refusal import RefusedError

_A = TypeVar("_A", bound=AnyObject)
_REQUIRED_BY_V30: Mapping[type[Wired], tuple[str, ...]] = {
    Event: ("intervals",),
    Report: ("programID",),
    Subscription: ("programID",),
}


def received(kind: type[_A], body: bytes, version: Version) -> _A:
    """The object in a request. Raises `RefusedError` (400) in a sentence."""
    try:
        raw = msgspec.json.decode(body)
    except msgspec.DecodeError as fault:
        raise _bad(f"The body is no JSON: {fault}.") from fault
    if not isinstance(raw, dict):
        raise _bad("The body must be a JSON object.")
    if version is Version.V3_1_0:
        _check_v31(raw)
    else:
        for name in _REQUIRED_BY_V30.get(kind, ()):
            if raw.get(name) is None:
                raise _bad(f"{name} is required in OpenADR 3.0.1.")
    try:
        thing = read_object(kind, raw)
        write_object(thing, version)  # what could not be written again would not fit the API description
    except ValueError as fault:
        raise _bad(f"{fault}.") from fault
    return thing


def _check_v31(raw: Any, name: str = "body") -> None:
    """Descriptors have their discriminator and targets are strings; the rest is checked by the models."""
    if isinstance(raw, dict):
        targets = raw.get("targets")
        if targets is not None and not (isinstance(targets, list) and all(isinstance(one, str) for one in targets)):
            raise _bad(f"{name}.targets must be a list of strings in OpenADR 3.1.0.")
        for key, value in raw.items():
            descriptors = value if key == "payloadDescriptors" and isinstance(value, list) else []
            if not all(isinstance(one, dict) and one.get("objectType") for one in descriptors):
                raise _bad(f"{name}.{key}: each needs its objectType.")
            if key != "values":
                _check_v31(value, key)
    elif isinstance(raw, list):
        for one in raw:
            _check_v31(one, name)


def _bad(detail: str) -> RefusedError:
    return RefusedError(400, "Bad Request", detail)
