"""How the console writes quantities, times and states."""

import re
from datetime import UTC, datetime

from counterflow.domain.units import format_energy, format_power

UNKNOWN = "–"
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
MARK_WORDS = {
    "session.dropped_out": "drop-out",
    "session.refused": "rejection",
    "session.guarded": "guard",
    "dispatch.replanned": "re-plan",
    "dispatch.shortfall": "shortfall",
    "dispatch.amended": "amended",
    "dispatch.stream": "stream",
    "dispatch.displaced": "displaced",
    "dispatch.note": "note",
}
"""What is marked on a chart, in a word or two."""


def power(power_w: float | None) -> str:
    """`1.42 MW`; unknown is a dash, never zero."""
    return UNKNOWN if power_w is None else format_power(power_w)


def energy(energy_wh: float | None) -> str:
    """`1.4 MWh`."""
    return UNKNOWN if energy_wh is None else format_energy(energy_wh)


def size(bytes_: int) -> str:
    """`48 kB`, `1.2 GB`."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if bytes_ >= factor:
            return f"{bytes_ / factor:.3g} {unit}"
    return f"{bytes_} B"


def counted(number: int, what: str) -> str:
    """`1 drop-out`, `2 drop-outs`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def share(frac: float | None) -> str:
    """`62 %`."""
    return UNKNOWN if frac is None else f"{100.0 * frac:.0f} %"


def clock(at_s: float | None) -> str:
    """`17:03:20 UTC`."""
    return UNKNOWN if at_s is None else datetime.fromtimestamp(at_s, UTC).strftime("%H:%M:%S UTC")


def day_and_clock(at_s: float | None) -> str:
    """`22 Nov 17:03 UTC`."""
    return UNKNOWN if at_s is None else datetime.fromtimestamp(at_s, UTC).strftime("%-d %b %H:%M UTC")


def with_clocks(sentence: str, now_s: float) -> str:
    """Instants in a sentence as the console writes them: those of today by the clock, others with their day."""
    today = datetime.fromtimestamp(now_s, UTC).date()

    def write(found: re.Match[str]) -> str:
        at = datetime.fromisoformat(found[0])
        return (clock if at.date() == today else day_and_clock)(at.timestamp())

    return _INSTANT.sub(write, sentence)


def age(age_s: float | None) -> str:
    """`3 s`, `2 min`, `5 h`."""
    if age_s is None:
        return UNKNOWN
    if age_s < 90.0:
        return f"{age_s:.0f} s"
    return f"{age_s / 60.0:.0f} min" if age_s < 5_400.0 else f"{age_s / 3600.0:.0f} h"


def happened(kind: str) -> str:
    """A kind of notice in a word or two: `drop-out`, `station connected`."""
    return MARK_WORDS.get(kind) or kind.replace("dispatch.", "").replace(".", " ").replace("_", " ")
