"""What is different in 3.0.1: targets carry a type, notifications call operations by HTTP's verbs, "now" is year 0000, a report names its
program, resources lie under their ven, and targets are asked for by type.

Reading needs nothing of this: `reading` understands both. This turns what we send.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from counterflow.adapters.openadr.models import Version

OPERATIONS: Mapping[str, str] = {"CREATE": "POST", "READ": "GET", "UPDATE": "PUT", "DELETE": "DELETE"}
"""3.1.0 -> 3.0.1, in notifications alone: subscriptions speak of CREATE in both (components/schemas of 3.0.1)."""

NOW = "0000-00-00"
"""The sentinel of 3.0.1 (schema `intervalPeriod`)."""

_NOW_OF_V31 = "0001-01-01T00:00:00Z"
_OBJECT_TYPES = {"VEN_VEN_REQUEST": "VEN", "BL_VEN_REQUEST": "VEN", "VEN_RESOURCE_REQUEST": "RESOURCE", "BL_RESOURCE_REQUEST": "RESOURCE"}
_UNKNOWN_THERE = frozenset({"clientID", "reportIntervals"})


def lowered(raw: Mapping[str, Any], target_type: str = "GROUP") -> dict[str, Any]:
    """Plain values of 3.1.0 in the words of 3.0.1; targets get `target_type`.

    Raises ValueError for a report without the id of its program, which 3.0.1 demands.
    """
    if raw.get("objectType") == "REPORT" and not raw.get("programID"):
        raise ValueError("a report of OpenADR 3.0.1 needs the id of its program")
    return {key: _lowered(key, value, target_type) for key, value in raw.items() if key not in _UNKNOWN_THERE}


def _lowered(key: str, value: Any, target_type: str) -> Any:
    match key:
        case "targets":
            return [{"type": target_type, "values": list(value)}]
        case "operation":
            return OPERATIONS[value]
        case "objectType":
            return _OBJECT_TYPES.get(value, value)
        case "start":
            return NOW if value == _NOW_OF_V31 else value
        case "values":
            return value
        case _:
            pass
    if isinstance(value, Mapping):
        return lowered(value, target_type)
    return [lowered(one, target_type) if isinstance(one, Mapping) else one for one in value] if isinstance(value, list) else value


def resources_path(version: Version, ven_id: str) -> str:
    """Where a ven's resources are created and listed, below the base path."""
    return "/resources" if version is Version.V3_1_0 else f"/vens/{ven_id}/resources"


def resource_path(version: Version, ven_id: str, resource_id: str) -> str:
    """Where one resource is."""
    return f"{resources_path(version, ven_id)}/{resource_id}"


def target_query(version: Version, targets: Sequence[str], target_type: str = "GROUP") -> list[tuple[str, str]]:
    """Query parameters that ask for objects of these targets; none if there are none."""
    if not targets:
        return []
    if version is Version.V3_1_0:
        return [("targets", target) for target in targets]
    return [("targetType", target_type), *(("targetValues", target) for target in targets)]
