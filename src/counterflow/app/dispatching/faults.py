"""Faults of ours in the control of cars: none of them may stop the control of others, and each is an alarm in words."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from counterflow.adapters.ocpp.station_line import stack_of
from counterflow.domain.units import format_instant

ALARM_S = 300.0
"""A fault stays an alarm for this long after it was last seen."""

_log = structlog.get_logger("counterflow")


class Faults:
    """What went wrong, by whom it befell."""

    def __init__(self) -> None:
        self.count = 0
        self._seen: dict[str, tuple[float, str]] = {}

    @contextmanager
    def guard(self, what: str, now_s: float) -> Iterator[None]:
        """Whatever is raised inside is noted under `what` (such as "dispatch d-1"), and the caller goes on with the next."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  # the orders at its stations end by themselves; all others are to be controlled on
            self.note(what, now_s, error)

    def note(self, what: str, now_s: float, error: Exception) -> None:
        """A fault was caught. It is in the log once, and again when it comes back after `ALARM_S`."""
        self.count += 1
        self._seen = {key: seen for key, seen in self._seen.items() if now_s - seen[0] < ALARM_S}
        if what not in self._seen:
            _log.error("control failed", what=what, error=repr(error), stack=stack_of(error))
        self._seen[what] = (now_s, type(error).__name__)

    def alarms(self, now_s: float) -> tuple[str, ...]:
        """A sentence for each fault that was seen lately."""
        return tuple(
            f"A fault of ours ({kind}) kept {what} from being controlled at {format_instant(at_s)}: what was sent to its cars ends by "
            "itself. The log says where; please report it."
            for what, (at_s, kind) in self._seen.items()
            if now_s - at_s < ALARM_S
        )
