"""What has passed over the lines, for the metrics page."""

from collections import Counter

from msgspec import Struct, field


class OcppCounters(Struct, kw_only=True):
    """What has passed since the start, over all stations. `dropped_values` counts meter values left out, by reason."""

    requests: Counter[str] = field(default_factory=Counter)
    """CALLs and SENDs from stations that could be read, by action."""
    calls: dict[str, int] = field(default_factory=dict)
    """CALLs of ours, by action."""
    outcomes: dict[str, int] = field(default_factory=dict)
    """How those ended: Answered, ErrorAnswer, InvalidAnswer, TimedOut, ConnectionLost."""
    answers: int = 0
    call_errors: int = 0
    """CALLERRORs of ours: unreadable requests, and stations that are not accepted."""
    salvaged: int = 0
    """Requests and answers of stations that had to be repaired to be read."""
    violations: int = 0
    late_answers: int = 0
    handler_failures: int = 0
    dropped_values: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    """Stations connected now."""
    discovering: int = 0
    """Stations in discovery now."""
    awaiting_discovery: int = 0
    """Stations whose turn has not come."""


def count_one(counts: dict[str, int], name: str) -> None:
    """One more of `name`."""
    counts[name] = counts.get(name, 0) + 1
