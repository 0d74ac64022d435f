"""What the audit log says of a request: the body without secrets, and the thing it is about, before and after."""

import re
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from counterflow.adapters.web.roles import LOOKING, PREFIX
from counterflow.domain.dispatch_views import DispatchView
from counterflow.domain.ids import DispatchId, StationId
from counterflow.domain.views import FleetView
from counterflow.engine.operations import Operations

SECRET: Final = frozenset({"password", "token", "id", "csv"})
"""Fields of bodies that are not kept: secrets, and identifiers of people and cars."""
LONGEST_BODY: Final = 16_384

_VALUE: Final = re.compile(r"/(dispatches/[^/]+/target|programs/[^/]+/setpoint)")

_Look = Callable[[Operations, str], object]
_LOOKS: Final[tuple[tuple[re.Pattern[str], _Look], ...]] = (
    (re.compile(r"/dispatches/([^/]+)"), lambda operations, name: operations.dispatch(DispatchId(name))),
    (
        re.compile(r"/commitments/([^/]+)"),
        lambda operations, name: next((one for one in operations.commitments() if one.commitment_id == name), None),
    ),
    (re.compile(r"/stations/([^/]+)(?:/[a-z-]+)?"), lambda operations, name: operations.station(StationId(name))),
    (re.compile(r"/(emergency-stop|clear-all)"), lambda operations, _: operations.fleet()),
    (
        re.compile(r"/conflicts/priorities/([^/]+)"),
        lambda operations, name: next((one for one in operations.priorities() if one.site_id == name), None),
    ),
)


def is_recorded(method: str, path: str) -> bool:
    """Whatever may change something below the prefix."""
    return method not in LOOKING and path.startswith(PREFIX)


def is_value(method: str, path: str) -> bool:
    """A value of a streamed target: what was taken is in the log of its dispatch, so that only refused ones are recorded here."""
    return method in ("PUT", "POST") and _VALUE.fullmatch(path.removeprefix(PREFIX)) is not None


def seen(operations: Operations, path: str) -> Any:
    """The thing at a path as it is now, as plain JSON; None where there is no such view. Never raises."""
    try:
        return _seen(operations, path)
    except Exception as error:  # noqa: BLE001  # a view that fails must not keep an emergency stop from getting through
        return f"(no view: {type(error).__name__})"


def _seen(operations: Operations, path: str) -> Any:
    for pattern, look in _LOOKS:
        found = pattern.fullmatch(path.removeprefix(PREFIX))
        if found:
            view = look(operations, found[1])
            if isinstance(view, DispatchView):
                view = view.instruction
            elif isinstance(view, FleetView):
                return {"emergency_stop": view.emergency_stop, "profiles_placed": view.profiles_placed}
            return msgspec.to_builtins(view) if isinstance(view, Struct) else None
    return None


def told(body: bytes) -> Any:
    """What was sent, as it is kept."""
    if not body:
        return None
    if len(body) > LONGEST_BODY:
        return f"({len(body)} bytes)"
    try:
        return _without_secrets(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "(not JSON)"


def _without_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "(not kept)" if key.casefold() in SECRET else _without_secrets(inner) for key, inner in value.items()}
    return [_without_secrets(inner) for inner in value] if isinstance(value, list) else value
