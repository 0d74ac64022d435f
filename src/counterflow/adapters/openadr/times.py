"""Instants and durations as OpenADR 3 writes them. Inside they are epoch seconds and seconds.

Read: whatever VTNs were seen to send. Written: RFC 3339 in UTC, and ISO 8601 in days, hours, minutes and seconds.
"""

import math
import re
from datetime import UTC, datetime

NOW_S = -62135596800.0
"""0001-01-01T00:00:00Z in epoch seconds: "now", whenever that is (User Guide §7). Whoever acts on it anchors it and keeps the anchor."""

ENDLESS_S = math.inf
"""P9999Y: without end."""

_YEAR_S = 365 * 86400.0
_INSTANT = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:[T ](?P<time>\d\d:\d\d(?::(?P<second>\d\d))?)(?:[.,](?P<fraction>\d+))?)?"
    r"\s*(?P<zone>Z|[+-]\d\d:?(?:\d\d)?)?"
)
_DURATION = re.compile(
    r"P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?(?:(?P<days>\d+)D)?"
    r"(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:[.,]\d+)?)S)?)?"
)
_SECONDS_IN = {"weeks": 604800.0, "days": 86400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0}


def is_now(instant_s: float | None) -> bool:
    """The sentinel "now", and not an instant. Some VTNs shift it by their zone, so the days around it count."""
    return instant_s is not None and instant_s < NOW_S + 2 * 86400.0


def read_instant(text: str) -> float:
    """Epoch seconds. Without a zone it is UTC; a space may stand for the T; years 0000 and 0001 are "now".

    Raises ValueError in a sentence.
    """
    found = _INSTANT.fullmatch(text.strip().upper())
    if found is None:
        raise ValueError(f"{text[:40]!r} is no time such as 2026-11-22T17:00:00Z")
    if found["date"][:4] in ("0000", "0001"):
        return NOW_S
    clock, leap = found["time"] or "00:00", found["second"] == "60"
    if leap:  # RFC 3339 §5.6 allows a leap second; the second after 59 is as near as a clock without them can say
        clock = clock[:-2] + "59"
    try:
        at = datetime.fromisoformat(f"{found['date']}T{clock}{found['zone'] or 'Z'}")
        return at.timestamp() + float(f"0.{found['fraction'] or 0}") + (1.0 if leap else 0.0)
    except (ValueError, OverflowError) as fault:
        raise ValueError(f"{text[:40]!r} is no time such as 2026-11-22T17:00:00Z") from fault


def write_instant(instant_s: float) -> str:
    """RFC 3339 in UTC, to the millisecond where it has one. Raises ValueError for what is no instant."""
    if is_now(instant_s):
        return "0001-01-01T00:00:00Z"
    if not math.isfinite(instant_s):
        raise ValueError(f"{instant_s} is no instant")
    at = datetime.fromtimestamp(round(instant_s, 3), UTC)
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds").replace("+00:00", "Z")


def read_duration(text: str) -> float:
    """Seconds; `ENDLESS_S` for P9999Y however it was rewritten. Years and months have no length, and are refused.

    Raises ValueError in a sentence.
    """
    found = _DURATION.fullmatch(text.strip().upper())
    parts = {name: float(value.replace(",", ".")) for name, value in found.groupdict().items() if value} if found else {}
    if not parts:
        raise ValueError(f"{text[:40]!r} is no duration such as PT15M")
    if parts.pop("years", 0.0) >= 9999:
        return ENDLESS_S
    years_or_months = found is not None and (float(found["years"] or 0) or parts.get("months", 0.0))
    if years_or_months:
        raise ValueError(f"{text[:40]!r} counts years or months, which have no fixed length: say it in days, or P9999Y for without end")
    return sum(_SECONDS_IN[name] * value for name, value in parts.items() if name != "months")


def write_duration(duration_s: float) -> str:
    """ISO 8601 by the pattern of the API description. Raises ValueError for a negative one."""
    if duration_s >= 9999 * _YEAR_S:
        return "P9999Y"
    if not duration_s >= 0:
        raise ValueError(f"{duration_s} s is no duration")
    whole_ms = round(duration_s * 1000)
    days, rest_ms = divmod(whole_ms, 86_400_000)
    hours, rest_ms = divmod(rest_ms, 3_600_000)
    minutes, rest_ms = divmod(rest_ms, 60_000)
    seconds = f"{rest_ms / 1000:.3f}".rstrip("0").rstrip(".")
    clock = "".join(f"{value}{letter}" for value, letter in ((hours, "H"), (minutes, "M"), (seconds, "S")) if value not in (0, "0"))
    if not days and not clock:
        return "PT0S"
    return "P" + (f"{days}D" if days else "") + (f"T{clock}" if clock else "")
