"""A listing: which objects a query asks for, in pages of at most 50."""

import math
from collections.abc import Sequence
from typing import TypeVar

from counterflow.adapters.openadr.models import AnyObject, Event, Interval, Report, Subscription
from counterflow.adapters.openadr.times import is_now
from counterflow.sim.vtn.refusal import RefusedError

MAX_PAGE = 50
_A = TypeVar("_A", bound=AnyObject)


class Query:
    """The parameters of a request, each checked as the API description says. Raises `RefusedError` (400) where they are read."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._pairs = pairs

    def all(self, *names: str) -> list[str]:
        """Every value of the parameters."""
        return [value for name, value in self._pairs if name in names]

    def one(self, name: str) -> str | None:
        """The last value of a parameter."""
        values = self.all(name)
        return values[-1] if values else None

    def number(self, name: str, default: int, most: int | None) -> int:
        """A whole number from 0 to `most`."""
        text = self.one(name)
        if text is None:
            return default
        if not text.isdecimal() or (most is not None and int(text) > most):
            raise RefusedError(400, "Bad Request", f"{name} must be a whole number from 0{'' if most is None else f' to {most}'}.")
        return int(text)

    @property
    def active(self) -> bool:
        """Events that have transpired are not wanted."""
        text = self.one("active")
        if text not in (None, "true", "false"):
            raise RefusedError(400, "Bad Request", "active must be true or false.")
        return text == "true"


def page_of(things: Sequence[_A], query: Query, now_s: float, filtering: bool = True) -> list[_A]:
    """The page that is asked for. Without `filtering` only skip and limit count, as at the reference VTN."""
    skip, limit = query.number("skip", 0, None), query.number("limit", MAX_PAGE, MAX_PAGE)
    wanted = [one for one in things if _matches(one, query, now_s)] if filtering else list(things)
    return wanted[skip : skip + limit]


def _matches(thing: AnyObject, query: Query, now_s: float) -> bool:
    targets = query.all("targets", "targetValues")
    if targets and not isinstance(thing, Report) and not set(targets) & {*thing.targets, *_own_names(thing)}:
        return False
    for name, value in (
        ("programID", getattr(thing, "program_id", None)),
        ("eventID", getattr(thing, "event_id", None)),
        ("clientName", getattr(thing, "client_name", None)),
        ("venName", getattr(thing, "ven_name", None)),
        ("venID", getattr(thing, "ven_id", None)),
        ("resourceName", getattr(thing, "resource_name", None)),
    ):
        asked = query.one(name)
        if asked is not None and asked != value:
            return False
    objects = query.all("objects")
    if objects and isinstance(thing, Subscription) and not any(one in objects for told in thing.object_operations for one in told.objects):
        return False
    return not (query.active and isinstance(thing, Event) and ends_s(thing) <= now_s)


def _own_names(thing: AnyObject) -> tuple[str, ...]:
    """3.0.1 asks for an object of a name by target, too (VEN_NAME, RESOURCE_NAME, PROGRAM_NAME)."""
    names = (getattr(thing, name, None) for name in ("ven_name", "resource_name", "program_name", "event_name"))
    return tuple(name for name in names if name)


def ends_s(event: Event) -> float:
    """When an event has transpired, epoch seconds; infinite if it does not say how long it lasts."""
    period = event.interval_period
    start_s = period.start_s if period is not None else None
    default_s = period.duration_s if period is not None else None
    at_s = event.created_s or 0.0 if start_s is None or is_now(start_s) else start_s
    if event.duration_s is not None:
        return at_s + event.duration_s
    if not event.intervals:
        return at_s + (math.inf if default_s is None else default_s)
    for interval in event.intervals:
        at_s = _interval_ends_s(interval, at_s, default_s)
    return at_s


def _interval_ends_s(interval: Interval, at_s: float, default_s: float | None) -> float:
    own = interval.interval_period
    start_s = own.start_s if own is not None and own.start_s is not None and not is_now(own.start_s) else at_s
    duration_s = own.duration_s if own is not None and own.duration_s is not None else default_s
    return start_s + (math.inf if duration_s is None else duration_s)
