"""An event laid over time: which value of which payload type holds from when to when. Pure; the User Guide §7 says how.

A start of "now" is anchored by the caller, who keeps the anchor. The random shift of the start is drawn from the event's and the VEN's
id, so that a restart draws the same. What is unsafe to guess is refused in a sentence (`UnclearError`).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from math import ceil, floor, inf

from msgspec import Struct

from counterflow.adapters.openadr.models import Event, Interval, IntervalPeriod, Value
from counterflow.adapters.openadr.times import is_now

MOST_PIECES = 20_000
"""A loop is laid out in so many intervals at once at most, and an event that says more values than that is refused."""
_DIGITS = 3
"""Times are kept to the millisecond: so where a piece ends the next one begins, however often the loop went round."""
_UNSET = IntervalPeriod()


class UnclearError(ValueError):
    """What the event means cannot be said; the text is a sentence."""


class Piece(Struct, frozen=True):
    """From `from_s` to `to_s` (epoch seconds; the end may be inf) one value holds, of the interval `interval_id`."""

    from_s: float
    to_s: float
    value: Value
    interval_id: int


class Course(Struct, frozen=True):
    """An event over time: the pieces of each payload type, in the order of time and without overlap."""

    pieces: Mapping[str, tuple[Piece, ...]]
    goes_on: bool = False
    """It loops, and goes on behind the last piece."""


class Span(Struct, frozen=True):
    """From when to when an interval lies (epoch seconds; the end may be inf), whatever its payloads are."""

    from_s: float
    to_s: float
    interval_id: int


class _Window(Struct, frozen=True):
    from_s: float
    to_s: float
    interval: Interval


def says_now(event: Event) -> bool:
    """Some start of it is "now": it needs an anchor."""
    periods = (event.interval_period, *(interval.interval_period for interval in event.intervals))
    return any(period is not None and is_now(period.start_s) for period in periods)


def says_cancelled(event: Event) -> bool:
    """It is cancelled by its own words: start "now", duration zero (User Guide §7)."""
    period = event.interval_period
    return period is not None and is_now(period.start_s) and period.duration_s == 0.0


def lay_out(event: Event, ven_id: str, anchor_s: float, since_s: float, until_s: float) -> Course:
    """Lay an event out. `anchor_s` is what "now" means in it; of a loop the rounds that lie in [since_s, until_s) are laid out.

    Raises `UnclearError`.
    """
    if says_cancelled(event):
        return Course({})
    if sum(len(payload.values) for interval in event.intervals for payload in interval.payloads) > MOST_PIECES:
        raise UnclearError(f"The event says more than {MOST_PIECES} values.")
    windows = _one_after_the_other(_windows(event, _share(event.id, ven_id), anchor_s))
    if not windows:
        return Course({})
    begin_s, round_end_s = windows[0].from_s, windows[-1].to_s
    end_s = round_end_s if event.duration_s is None else begin_s + event.duration_s
    goes_on = end_s > round_end_s and end_s > until_s
    if end_s > round_end_s:
        windows = _looped(windows, since_s, min(end_s, until_s))
    pieces: dict[str, list[Piece]] = defaultdict(list)
    for window in windows:
        for kind, piece in _cut(window):
            from_s, to_s = round(piece.from_s, _DIGITS), round(min(piece.to_s, end_s), _DIGITS)
            if from_s < to_s:
                pieces[kind].append(Piece(from_s, to_s, piece.value, piece.interval_id))
    return Course({kind: tuple(found) for kind, found in pieces.items()}, goes_on)


def spans_of(event: Event, ven_id: str, anchor_s: float) -> tuple[Span, ...]:
    """Where its intervals lie, one round of them, cut where the event ends. Raises `UnclearError`."""
    if says_cancelled(event):
        return ()
    windows = _one_after_the_other(_windows(event, _share(event.id, ven_id), anchor_s))
    end_s = inf if event.duration_s is None or not windows else windows[0].from_s + event.duration_s
    spans = (Span(round(one.from_s, _DIGITS), round(min(one.to_s, end_s), _DIGITS), one.interval.id) for one in windows)
    return tuple(span for span in spans if span.from_s < span.to_s)


def _share(event_id: str, ven_id: str) -> float:
    """Uniform in [0, 1), always the same for the same two."""
    return int.from_bytes(sha256(f"{event_id}\n{ven_id}".encode()).digest()[:6]) / 2.0**48


def _windows(event: Event, share: float, anchor_s: float) -> Iterator[_Window]:
    """Where each interval lies: at its own start, at that of the event, or where the one before it ended."""
    default = event.interval_period or _UNSET
    first_s, at_s = default.start_s, -inf
    for interval in event.intervals:
        own = interval.interval_period or _UNSET
        start_s = own.start_s if own.start_s is not None else first_s
        if start_s is not None:
            # One draw for the whole event: an interval with a start of its own is carried along with the first.
            range_s = own.randomize_start_s if own.randomize_start_s is not None else default.randomize_start_s
            at_s = (anchor_s if is_now(start_s) else start_s) + share * (range_s or 0.0)
        if at_s == -inf:
            raise UnclearError(f"Interval {interval.id} has no start, and the event names none.")
        if at_s == inf:
            raise UnclearError(f"Interval {interval.id} follows one that has no end.")
        duration_s = own.duration_s if own.duration_s is not None else default.duration_s
        if duration_s is None:
            duration_s = _whole_s(event)
        yield _Window(at_s, at_s + duration_s, interval)
        first_s, at_s = None, at_s + duration_s


def _whole_s(event: Event) -> float:
    """The duration of an interval that says none: of a single one the event's."""
    if len(event.intervals) == 1 and event.duration_s is not None:
        return event.duration_s
    raise UnclearError("An interval has no duration, and the event names none for its intervals.")


def _one_after_the_other(found: Iterable[_Window]) -> list[_Window]:
    """In the order of time; where intervals overlap the one that begins later holds, and those without any length are left out."""
    windows: list[_Window] = []
    for window in sorted((window for window in found if window.to_s > window.from_s), key=lambda window: window.from_s):
        while windows and windows[-1].from_s >= window.from_s:
            windows.pop()
        if windows and windows[-1].to_s > window.from_s:
            windows[-1] = _Window(windows[-1].from_s, window.from_s, windows[-1].interval)
        windows.append(window)
    return windows


def _looped(windows: Sequence[_Window], since_s: float, until_s: float) -> list[_Window]:
    begin_s, round_s = windows[0].from_s, windows[-1].to_s - windows[0].from_s
    first = max(0, floor((since_s - begin_s) / round_s))
    last = max(first + 1, ceil((until_s - begin_s) / round_s))
    last = min(last, first + max(1, MOST_PIECES // len(windows)))
    return [
        _Window(window.from_s + number * round_s, window.to_s + number * round_s, window.interval)
        for number in range(first, last)
        for window in windows
    ]


def _cut(window: _Window) -> Iterator[tuple[str, Piece]]:
    """The payloads of an interval; several values in one cut it into equal parts."""
    seen: set[str] = set()
    for payload in window.interval.payloads:
        if payload.type in seen:
            raise UnclearError(f"Interval {window.interval.id} holds {payload.type} more than once.")
        seen.add(payload.type)
        parts = len(payload.values)
        if parts > 1 and window.to_s == inf:
            raise UnclearError(f"Interval {window.interval.id} has no end, and {parts} values of {payload.type} that would cut it.")
        length_s = window.to_s - window.from_s
        edges = [window.from_s, *(window.from_s + length_s * part / parts for part in range(1, parts)), window.to_s]
        for number, value in enumerate(payload.values):
            yield payload.type, Piece(edges[number], edges[number + 1], value, window.interval.id)
