"""Secrets out of raw frames before these are kept: passwords that we set at a station, or that a station tells in spite of the standard."""

from typing import Any, Final

import msgspec

HIDDEN: Final = "(hidden)"
UNREADABLE: Final = "(withheld: it cannot be read, and it may hold a secret)"

SECRET_HINTS: Final = ("password", "authorizationkey", "vpn")
"""Cheap to look for; only frames with one of these words are taken apart. An escape could spell any of them."""
_SECRET_FIELDS: Final = frozenset({"basicauthpassword", "apnpassword", "password"})
_SECRET_VARIABLES: Final = frozenset({"basicauthpassword", "apnpassword", "vpnpassword", "vpnkey", "password", "authorizationkey"})
_SPOKEN_FIELDS: Final = frozenset({"attributevalue", "value"})


def _may_hold(folded: str) -> bool:
    for hint in SECRET_HINTS:
        if hint in folded:
            return True
    return "\\" in folded and "\\u" in folded  # one character is found far quicker than two; an escape could spell any hint


def hide_secrets(text: str) -> str:
    """A frame with its secrets replaced; the same text when it holds none.

    Covers SetVariables, GetVariables and NotifyReport of the variables in SecurityCtrlr and NetworkConfiguration, SetNetworkProfile, and
    AuthorizationKey of OCPP 1.6.
    """
    if not _may_hold(text.casefold()):
        return text
    try:
        frame = msgspec.json.decode(text)
        cleaned = _cleaned(frame, within="")
        return text if cleaned == frame else msgspec.json.encode(cleaned).decode()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return UNREADABLE


def _cleaned(value: Any, within: str) -> Any:
    if isinstance(value, list):
        return [_cleaned(one, within) for one in value]
    if not isinstance(value, dict):
        return value
    if _names_secret(value):
        return {key: _without_values(key, inner) for key, inner in value.items()}
    return {key: _hidden(key, inner, within) for key, inner in value.items()}


def _hidden(key: str, value: Any, within: str) -> Any:
    return HIDDEN if isinstance(value, str) and _is_secret(key, within) else _cleaned(value, key.casefold())


def _is_secret(key: str, within: str) -> bool:
    name = key.casefold()
    return name in _SECRET_FIELDS or (name == "key" and within == "vpn")


def _names_secret(value: dict[str, Any]) -> bool:
    """An entry about a variable (2.x) or a configuration key (1.6) that is a secret."""
    variable = value.get("variable")
    name = variable.get("name") if isinstance(variable, dict) else value.get("key")
    return isinstance(name, str) and name.casefold() in _SECRET_VARIABLES


def _without_values(key: str, value: Any) -> Any:
    if key.casefold() in _SPOKEN_FIELDS and isinstance(value, str):
        return HIDDEN
    if isinstance(value, list):
        return [_without_values(key, one) for one in value]
    if isinstance(value, dict):
        return {inner_key: _without_values(inner_key, inner) for inner_key, inner in value.items()}
    return value
