"""Weekly times at which a driver wants no discharge, in local time: `mon-fri 06:30-09:00`, `sat,sun 22:00-06:00`, `daily 12:00-14:00`."""

import re
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from msgspec import Struct

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_PER_DAY = 24 * 60
_ANY_DAY = "daily"
_TEXT = re.compile(r"([a-z,\-]+) (\d{1,2}):(\d{2})-(\d{1,2}):(\d{2})")


class WeeklyWindow(Struct, frozen=True):
    """On each of `days` (Monday = 0) from `from_min` for `length_min` minutes of local time; it may reach into the next day."""

    days: frozenset[int]
    from_min: int
    length_min: int


@lru_cache(maxsize=4096)
def parse_window(text: str) -> WeeklyWindow:
    """The window that a text describes. Raises ValueError with a sentence."""
    match = _TEXT.fullmatch(" ".join(text.lower().split()))
    if match is None:
        raise ValueError(
            f"'{text}' is not a weekly time: write it like 'mon-fri 06:30-09:00', 'sat,sun 22:00-06:00' or 'daily 12:00-14:00'"
        )
    begin, end = _minute(match[2], match[3], text), _minute(match[4], match[5], text)
    length_min = (end - begin) % MINUTES_PER_DAY if end != begin + MINUTES_PER_DAY else MINUTES_PER_DAY
    if length_min == 0 or begin == MINUTES_PER_DAY:
        raise ValueError(f"'{text}' has no length; a whole day is written 00:00-24:00")
    return WeeklyWindow(_days(match[1], text), begin, length_min)


@lru_cache(maxsize=512)
def zone_of(name: str) -> ZoneInfo:
    """The time zone of an IANA name. Raises ValueError with a sentence."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"'{name}' is not a time zone: write an IANA name such as Europe/Berlin or UTC") from None


def next_blackout(windows: tuple[str, ...], timezone: str, now_s: float) -> tuple[float, float] | None:
    """The first blackout that is not over at `now_s`: (from, until) in epoch seconds; None when there is none.

    Where the clocks change, a window begins at the earlier and ends at the later of two readings of its time.
    """
    zone = zone_of(timezone)
    today = datetime.fromtimestamp(now_s, zone).date()
    first: tuple[float, float] | None = None
    for text in windows:
        window = parse_window(text)
        for ahead in range(-1, 8):
            day = today + timedelta(days=ahead)
            if day.weekday() not in window.days:
                continue
            midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001  # local time of day; the zone comes below
            begins = (midnight + timedelta(minutes=window.from_min)).replace(tzinfo=zone, fold=0)
            ends = (midnight + timedelta(minutes=window.from_min + window.length_min)).replace(tzinfo=zone, fold=1)
            found = (begins.timestamp(), ends.timestamp())
            if found[1] > now_s and (first is None or found < first):
                first = found
    return first


def day_of(timezone: str, at_s: float) -> str:
    """The local date of an instant, `2026-11-22`."""
    return datetime.fromtimestamp(at_s, zone_of(timezone)).date().isoformat()


def day_ends_s(timezone: str, at_s: float) -> float:
    """When the local day of an instant is over."""
    zone = zone_of(timezone)
    tomorrow = datetime.fromtimestamp(at_s, zone).date() + timedelta(days=1)
    return datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=zone).timestamp()


def _minute(hours: str, minutes: str, text: str) -> int:
    minute = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or minute > MINUTES_PER_DAY:
        raise ValueError(f"'{text}' has a time of day that there is not; it goes from 00:00 to 24:00")
    return minute


def _days(text: str, whole: str) -> frozenset[int]:
    if text == _ANY_DAY:
        return frozenset(range(7))
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        if first not in DAYS or (last or first) not in DAYS:
            raise ValueError(f"'{whole}' names a day that there is not; days are {', '.join(DAYS)} and {_ANY_DAY}")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        days.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return frozenset(days)
