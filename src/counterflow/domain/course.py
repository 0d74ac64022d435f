"""The course of a dispatch as a chart shows it: figures tick by tick, and what happened to it, in words."""

from msgspec import Struct

from counterflow.domain.reasons import DROP_OUT_WORDS, REASON_WORDS, DropOutKind, Reason
from counterflow.domain.units import format_power


class CoursePoint(Struct, frozen=True, kw_only=True):
    """What control saw at one tick, discharge positive; unknown is None."""

    at_s: float
    target_power_w: float | None
    delivered_power_w: float | None
    headroom_power_w: float | None


class CourseMark(Struct, frozen=True, kw_only=True):
    """Something that happened to a dispatch. `kind` is that of the notice that told it, `station_id` is empty where it is about all."""

    at_s: float
    kind: str
    text: str
    station_id: str = ""
    session_uid: int = 0


class CourseView(Struct, frozen=True, kw_only=True):
    """The course of one dispatch up to `at_s`, with the half-width of the band in which it counts as following."""

    dispatch_id: str
    at_s: float
    tolerance_frac: float
    points: tuple[CoursePoint, ...]
    marks: tuple[CourseMark, ...]


_SAID_BY_KIND = frozenset({Reason.READY, Reason.NO_SESSION, Reason.STATION_OFFLINE, Reason.SILENT, Reason.NOT_RESPONDING})
"""Reasons that say no more than the kind of the drop-out."""


def drop_out_words(kind: str, reason: str, lost_w: float | None) -> str:
    """How a car was lost, from the codes of the log: `its transaction has ended; 7.0 kW of discharge went with it`."""
    known = DropOutKind.__members__.get(kind.upper())
    words = kind.replace("_", " ") if known is None else DROP_OUT_WORDS[known]
    why = Reason.__members__.get(reason.upper())
    if why is not None and why not in _SAID_BY_KIND:
        words += f": {REASON_WORDS[why]}"
    return f"{words}; {format_power(lost_w)} of discharge went with it" if lost_w else words


def replan_words(lost: int, lost_w: float, asked: int) -> str:
    """Who makes good for lost cars: `2 cars lost, 14.0 kW with them: 3 others are asked in their place`."""
    cars = "1 car" if lost == 1 else f"{lost} cars"
    others = "another is" if asked == 1 else f"{asked} others are"
    return f"{cars} lost, {format_power(lost_w)} with {'it' if lost == 1 else 'them'}: {others} asked instead"
