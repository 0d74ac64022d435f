"""Requests that provably name nobody: read by a strict twin of their type that has no place for an identifier.

A frame is searched for identifiers of people and cars before it is kept, which took as long as anything else that is done to a meter
value. The twin knows the schema's fields and no others, and neither the field of an id token nor custom data. What it can read needs no
search; what it cannot is read by the lenient type, and searched.
"""

from types import UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Struct, UnsetType

from counterflow.adapters.ocpp import messages

_LEFT_OUT: Final = frozenset({"id_token", "custom_data"})
_twins: dict[type[Struct], type[Struct]] = {}


def _twin(kind: type[Struct]) -> type[Struct]:
    known = _twins.get(kind)
    if known is not None:
        return known
    hints = get_type_hints(kind, include_extras=True)
    changed: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for field in msgspec.structs.fields(kind):
        narrowed = UnsetType if field.name in _LEFT_OUT else _narrowed(hints[field.name])
        if narrowed is not hints[field.name]:
            changed.append((field.name, narrowed) if field.required else (field.name, narrowed, UNSET))
    _twins[kind] = msgspec.defstruct(kind.__name__, changed, bases=(kind,), frozen=True, kw_only=True, forbid_unknown_fields=True)
    return _twins[kind]


def _narrowed(hint: Any) -> Any:
    """The hint with twins in place of its types; the same object where there are none."""
    if isinstance(hint, type) and issubclass(hint, Struct):
        return _twin(hint)
    origin, parts = get_origin(hint), get_args(hint)
    inner = tuple(_narrowed(part) for part in parts[:1] if origin is Annotated) or tuple(_narrowed(part) for part in parts)
    if all(one is other for one, other in zip(inner, parts, strict=False)):
        return hint
    if origin is Annotated:
        return Annotated[(inner[0], *parts[1:])]
    # Made from values: a checker of types cannot follow, and need not.
    return Union.__getitem__(inner) if origin in (Union, UnionType) else list.__class_getitem__(inner[0])


_TWIN_OF: Final[dict[type[Struct], type[Struct]]] = {
    kind: _twin(kind)
    for kind in (
        messages.TransactionEventRequest,
        messages.MeterValuesRequest,
        messages.StatusNotificationRequest,
        messages.HeartbeatRequest,
    )
}
"""The strict twin of each type that most messages are of (2.0.1 is read with these, too). A twin is a subclass: whoever handles the
type handles it."""

PLAIN_TYPES: Final = frozenset(_TWIN_OF.values())
"""A request of one of these types came in a text that names nobody."""


def twin_of(kind: type[Struct]) -> type[Struct]:
    """The strict twin, or the type itself where it has none."""
    return _TWIN_OF.get(kind, kind)
