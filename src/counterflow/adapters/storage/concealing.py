"""Raw frames without the identifiers of people and cars: each is replaced by its pseudonym before a frame is kept."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

IDENTIFIER_HINTS: Final = ("idtoken", "idtag", "emaid", "vehicleid", "certificate", "customerinformation")
"""A frame without any of these holds no identifier, unless an escape spells one."""
_IDENTIFIERS: Final = frozenset({"idtoken", "additionalidtoken", "idtag", "parentidtag", "emaid"})
_LEFT_OUT: Final = frozenset({"certificate", "certificatechain", "customeridentifier"})
"""Texts that hold identifiers somewhere inside: nothing of them is kept."""
_VEHICLE: Final = "vehicleid"
_VALUES: Final = frozenset({"attributevalue", "value", "actualvalue"})


def _may_hold(folded: str) -> bool:
    for hint in IDENTIFIER_HINTS:
        if hint in folded:
            return True
    return "\\" in folded and "\\u" in folded  # one character is found far quicker than two; an escape could spell any hint


def conceal(text: str, pseudonym: Callable[[str], str]) -> str:
    """The frame with pseudonyms; one that cannot be read as JSON and may hold identifiers is left out."""
    if not _may_hold(text.casefold()):
        return text
    try:
        frame = msgspec.json.decode(text.encode("utf-8", "replace"))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return f"({len(text)} characters left out: no JSON, and they may hold an identifier)"
    try:
        return msgspec.json.encode(_walk(frame, pseudonym, names_vehicle=False, data="CustomerInformation" in text)).decode()
    except RecursionError:
        return f"({len(text)} characters left out: nested too deeply)"


def _walk(value: Any, pseudonym: Callable[[str], str], *, names_vehicle: bool, data: bool) -> Any:
    if isinstance(value, list):
        return [_walk(each, pseudonym, names_vehicle=names_vehicle, data=data) for each in value]
    if not isinstance(value, dict):
        return value
    variable = value.get("variable")
    names_vehicle = names_vehicle or (isinstance(variable, dict) and str(variable.get("name", "")).casefold() == _VEHICLE)
    hidden = {}
    for key, inner in value.items():
        name = key.casefold()
        if isinstance(inner, str) and (name in _IDENTIFIERS or (names_vehicle and name in _VALUES)):
            hidden[key] = pseudonym(inner)
        elif isinstance(inner, str) and (name in _LEFT_OUT or (data and name == "data")):
            hidden[key] = "(left out)"
        else:
            hidden[key] = _walk(inner, pseudonym, names_vehicle=names_vehicle, data=data)
    return hidden
