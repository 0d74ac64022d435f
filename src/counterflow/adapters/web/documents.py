"""How answers look, for OpenAPI: Pydantic models made from the domain's own structs, so that they can never differ from what is sent.

Answers themselves are encoded by msgspec straight from the structs; listing 100 000 sessions must not hold up control.
"""

import types
from enum import IntEnum
from functools import cache, reduce
from operator import or_
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

from msgspec import Struct
from pydantic import BaseModel, ConfigDict, Field, RootModel, create_model

from counterflow.adapters.web.glossary import words


@cache
def documented(struct: type[Struct]) -> type[BaseModel]:
    """A model with the fields of `struct`, each with its sentence and unit."""
    fields: dict[str, Any] = {}
    spelled = dict(zip(struct.__struct_fields__, struct.__struct_encode_fields__, strict=True))
    for name, hint in get_type_hints(struct).items():
        alias = spelled[name] if spelled[name] != name else None
        fields[name] = (_plain(hint), Field(description=words(struct.__name__, name), alias=alias))
    summary = (struct.__doc__ or struct.__name__).strip().splitlines()[0]
    model: type[BaseModel] = create_model(struct.__name__, __config__=ConfigDict(extra="forbid"), __doc__=summary, **fields)
    return model


@cache
def documented_list(struct: type[Struct]) -> type[BaseModel]:
    """A list of them."""
    item: Any = documented(struct)
    return RootModel[list[item]]


def _plain(hint: Any) -> Any:
    """The same type in words of Pydantic: structs become models, integer enums and new types what they are in JSON."""
    if isinstance(hint, NewType):
        return _plain(hint.__supertype__)
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return reduce(or_, (_plain(part) for part in get_args(hint)))
    if origin is tuple:
        return list[_plain(get_args(hint)[0])]  # type: ignore[misc] # built at run time from the struct's own types
    if isinstance(hint, type) and issubclass(hint, Struct):
        return documented(hint)
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return int
    return hint
