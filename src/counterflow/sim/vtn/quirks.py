"""What real VTNs were seen to do, on demand: grid operators run them, too, and a VEN must live with all of it."""

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

_TIMES = frozenset({"start", "createdDateTime", "modificationDateTime"})


class Quirks(Struct, kw_only=True):
    """Ways in which a VTN departs from the API description. All off: it keeps to it."""

    plain_times: bool = False
    """Times as YYYY-MM-DD HH:MM:SS, without T and zone."""
    endless_rewritten: bool = False
    """P9999Y comes back as P9999Y0M0DT0H0M0S."""
    nested_targets: bool = False
    """A ven's targets are lists in a list."""
    unknown_fields: bool = False
    """Every object has a field that nobody knows."""
    filters_ignored: bool = False
    """Listings are not filtered by programID, targets and active."""
    no_expires_in: bool = False
    """The token does not say how long it lasts."""
    no_webhook_key: bool = False
    """/notifiers does not name WEBHOOK."""
    echo_in_path: bool = False
    """The echo check asks <callback>/echo."""
    snake_case_notifications: bool = False
    double_encoded_notifications: bool = False
    """A notification's body is a JSON string that holds JSON."""
    date_ahead_s: float = 0.0
    """Its clock, as told in the Date header, is so far ahead."""

    def dressed(self, raw: dict[str, Any]) -> dict[str, Any]:
        """An object as this VTN sends it."""
        dressed = {key: self._dressed(key, value) for key, value in raw.items()}
        if self.nested_targets and dressed.get("objectType") == "VEN":
            dressed["targets"] = [dressed.get("targets", []), []]
        if self.unknown_fields:
            dressed["vendorExtension"] = {"colour": "green", "start": 7}
        return dressed

    def _dressed(self, key: str, value: Any) -> Any:
        if key in _TIMES and self.plain_times and isinstance(value, str):
            return re.sub(r"\.\d+", "", value).replace("T", " ").rstrip("Z")
        if value == "P9999Y" and self.endless_rewritten:
            return "P9999Y0M0DT0H0M0S"
        if isinstance(value, dict):
            return {name: self._dressed(name, one) for name, one in value.items()}
        return [self._dressed("", one) for one in value] if isinstance(value, list) else value

    def notification(self, raw: dict[str, Any]) -> Any:
        """The JSON value of a notification as this VTN sends it."""
        return snaked(raw) if self.snake_case_notifications else raw


def snaked(value: Any) -> Any:
    """Keys in snake_case: programID -> program_id."""
    if isinstance(value, Mapping):
        return {re.sub("(ID|[A-Z])", lambda found: f"_{found[0].lower()}", key): snaked(one) for key, one in value.items()}
    return [snaked(one) for one in value] if isinstance(value, list) else value
