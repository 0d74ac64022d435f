"""When which report is due, and which intervals are in it: what an event's report descriptors ask (User Guide §7.5, §8.7). Pure.

Where the guide leaves something open: a historical report is made at the end of its last interval, `startInterval` counted in; where so
many intervals do not precede it, those from it on are meant (the guide's example of a subset). `frequency` alone asks for a report each
so many intervals until the event ends (its example of 10 intervals and 5 reports). An event without intervals has implied ones.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import ceil, inf, isinf

from msgspec import Struct

from counterflow.adapters.openadr.models import DATA_QUALITY, Event, ReportDescriptor
from counterflow.adapters.openadr.timeline import Span, spans_of
from counterflow.adapters.openadr.times import is_now

OWN_INTERVAL_S = 900.0
"""Length of intervals that nobody has set: of a report-only event without a period, and of an interval without end."""
MOST_AHEAD = 200
"""So many intervals are in a forecast at most."""
MOST_SPANS = 5_000
"""So many intervals are in a report at most: the last ones."""
FASTEST_S = 1.0
"""Reports that are asked for more often than this are not made."""
_MOST_DUE = 5_000


class Slots(Struct, frozen=True):
    """An event's intervals, numbered from 0 on over all rounds. `count` None = without end."""

    spans: tuple[Span, ...]
    """One round."""
    count: int | None
    implied: bool = False
    end_s: float = inf
    """The last interval is cut here."""

    @property
    def round_length(self) -> int:
        """Intervals in one round."""
        return len(self.spans)

    def at(self, number: int) -> Span | None:
        """The interval of this number; None = there is none."""
        if number < 0 or (self.count is not None and number >= self.count):
            return None
        rounds, place = divmod(number, len(self.spans))
        span = self.spans[place]
        shift_s = rounds * (self.spans[-1].to_s - self.spans[0].from_s)
        named = number if self.implied else span.interval_id
        return Span(span.from_s + shift_s, min(span.to_s + shift_s, self.end_s), named)

    def last_before(self, at_s: float) -> int:
        """Number of the last interval that has begun by `at_s`; -1 = none."""
        round_s = self.spans[-1].to_s - self.spans[0].from_s
        rounds = max(0, int((at_s - self.spans[0].from_s) // round_s))
        begun = sum(span.from_s + rounds * round_s <= at_s for span in self.spans)
        number = rounds * len(self.spans) + begun - 1
        return number if self.count is None else min(number, self.count - 1)


class DueReport(Struct, frozen=True):
    """A report, when it can be made, and what it is about."""

    name: str
    """Its `reportName`: the same report has always the same."""
    at_s: float
    spans: tuple[Span, ...]
    descriptors: tuple[ReportDescriptor, ...]

    @property
    def historical(self) -> bool:
        """It tells what was; otherwise it is a forecast."""
        return self.descriptors[0].historical

    @property
    def from_s(self) -> float:
        """Begin of its first interval."""
        return self.spans[0].from_s

    @property
    def to_s(self) -> float:
        """End of its last interval."""
        return self.spans[-1].to_s


def slots_of(event: Event, ven_id: str, anchor_s: float) -> Slots | None:
    """The intervals that reports are about; None = it has none. Raises `UnclearError` where they cannot be laid over time."""
    spans = spans_of(event, ven_id, anchor_s)
    if not spans:
        return None if event.intervals else _implied(event, anchor_s)
    begin_s, last = spans[0].from_s, spans[-1]
    if isinf(last.to_s):  # reports cannot wait for its end, and go by a length of ours
        return Slots((Span(last.from_s, last.from_s + OWN_INTERVAL_S, last.interval_id),), None)
    lasting_s = last.to_s - begin_s if event.duration_s is None else event.duration_s
    if isinf(lasting_s):
        return Slots(spans, None)
    rounds, rest_s = divmod(lasting_s, last.to_s - begin_s)
    begun = sum(span.from_s - begin_s < rest_s - 1e-6 for span in spans)
    return Slots(spans, max(1, int(rounds) * len(spans) + begun), end_s=begin_s + lasting_s)


def _implied(event: Event, anchor_s: float) -> Slots:
    """A report-only event: its period says how long each of its intervals is, and its duration how long they go on."""
    period = event.interval_period
    start_s = period.start_s if period is not None else None
    begin_s = anchor_s if start_s is None or is_now(start_s) else start_s
    length_s = period.duration_s if period is not None and period.duration_s else OWN_INTERVAL_S
    length_s = OWN_INTERVAL_S if isinf(length_s) else length_s
    lasting_s = inf if event.duration_s is None else event.duration_s
    count = None if isinf(lasting_s) else max(1, ceil(lasting_s / length_s - 1e-9))
    return Slots((Span(begin_s, begin_s + length_s, 0),), count, implied=True)


def reports_due(event: Event, slots: Slots, since_s: float, until_s: float) -> list[DueReport]:
    """The reports that an event asks for and that can be made in (since_s, until_s], in the order of time.

    What would have been due before the event was created is left out, but for the newest of each kind ("do it now", User Guide §7.5).
    """
    found: list[DueReport] = []
    stem = (event.event_name or event.id)[:96]
    created_s = -inf if event.created_s is None else event.created_s
    for group_number, group in enumerate(grouped(event.report_descriptors)):
        late: DueReport | None = None
        for made in _series(group[0], slots, max(since_s, created_s), until_s):
            due = DueReport(f"{stem}/{group_number}.{made.number}", made.at_s, _spans(slots, made), group)
            if made.at_s < created_s:
                late = due
            elif made.at_s > since_s:
                found.append(due)
        if late is not None and since_s < created_s <= until_s:
            found.append(late)
    return sorted(found, key=lambda due: (due.at_s, due.name))


def grouped(descriptors: Sequence[ReportDescriptor]) -> list[tuple[ReportDescriptor, ...]]:
    """Those that are due together and over the same intervals are one report, in the order in which they stand in the event.

    One payload type stands in a report once: its mean and its peak are two reports. DATA_QUALITY is that of values, so whoever asks for it
    once, whenever, gets it in every report.
    """
    groups: dict[tuple[object, ...], list[ReportDescriptor]] = {}
    values = [one for one in descriptors if one.payload_type != DATA_QUALITY]
    quality = next((one for one in descriptors if one.payload_type == DATA_QUALITY), None)
    told = values or descriptors
    for number, one in enumerate(told):
        when = (one.start_interval, one.num_intervals, one.historical, one.frequency, one.repeat)
        again = sum(other.payload_type == one.payload_type for other in told[:number])
        key = (*when, one.report_intervals, one.aggregate, one.targets, again)
        groups.setdefault(key, []).append(one)
    beside = () if quality is None or not values else (quality,)
    return [(*group, *beside) for group in groups.values()]


class _Made(Struct, frozen=True):
    number: int
    at_s: float
    first: int
    last: int


def _spans(slots: Slots, made: _Made) -> tuple[Span, ...]:
    numbers = range(max(made.first, made.last + 1 - MOST_SPANS), made.last + 1)
    return tuple(span for span in (slots.at(one) for one in numbers) if span is not None)


def _series(wish: ReportDescriptor, slots: Slots, since_s: float, until_s: float) -> Iterator[_Made]:
    """Each report of a descriptor that can be made by `until_s`, from the last one before `since_s` on."""
    step = _step(wish, slots)
    if step * (slots.spans[-1].to_s - slots.spans[0].from_s) / slots.round_length < FASTEST_S:
        return
    first_at = _first_end(wish, slots, step) if wish.historical else max(0, wish.start_interval)
    skipped = 0 if isinf(since_s) else max(0, (slots.last_before(since_s) - first_at) // step - 2)
    for number in range(skipped, skipped + _MOST_DUE):
        if number >= _times(wish):
            return
        at = first_at + number * step
        made = _past(wish, slots, number, at, step) if wish.historical else _ahead(wish, slots, number, at)
        if made is None or made.at_s > until_s:
            return
        yield made


def _step(wish: ReportDescriptor, slots: Slots) -> int:
    """So many intervals from one report to the next."""
    if wish.frequency > 0:
        return wish.frequency
    if wish.frequency == 0:  # whenever we like: after each interval
        return 1
    return wish.num_intervals if wish.num_intervals > 0 else slots.round_length


def _times(wish: ReportDescriptor) -> float:
    if wish.repeat < 0 or (wish.repeat == 1 and wish.start_interval < 0 and wish.frequency >= 0):
        return inf
    return max(1, wish.repeat)


def _first_end(wish: ReportDescriptor, slots: Slots, step: int) -> int:
    """The interval at whose end the first historical report is made."""
    if wish.start_interval >= 0:
        return max(
            wish.start_interval, wish.num_intervals - 1 + (wish.start_interval if wish.num_intervals > wish.start_interval + 1 else 0)
        )
    return slots.count - 1 if _times(wish) == 1 and slots.count is not None else step - 1


def _past(wish: ReportDescriptor, slots: Slots, number: int, end: int, step: int) -> _Made | None:
    width = wish.num_intervals
    if width <= 0:
        width = end + 1 if wish.frequency < 0 and number == 0 else step
    final = end if slots.count is None else slots.count - 1
    if end > final and wish.start_interval < 0 and number and end - step < final:
        width, end = final - (end - step), final  # what is left behind the last full step
    span = slots.at(end)
    return None if span is None else _Made(number, span.to_s, max(0, end + 1 - width), end)


def _ahead(wish: ReportDescriptor, slots: Slots, number: int, begin: int) -> _Made | None:
    span = slots.at(begin)
    if span is None:
        return None
    most = MOST_AHEAD if slots.count is None else min(MOST_AHEAD, slots.count - begin)
    return _Made(number, span.from_s, begin, begin + (min(wish.num_intervals, most) if wish.num_intervals > 0 else most) - 1)


def pieces(span: Span, longest_s: float) -> list[tuple[float, float]]:
    """An interval in equal parts that are no longer than this."""
    count = max(1, ceil((span.to_s - span.from_s) / longest_s - 1e-9))
    edges = [span.from_s + (span.to_s - span.from_s) * part / count for part in range(count)] + [span.to_s]
    return list(pairwise(edges))


def cut_short(event: Event, slots: Slots, at_s: float) -> list[DueReport]:
    """The event was cancelled at `at_s`: of each series of historical reports the next one, about what has passed by then."""
    found: list[DueReport] = []
    stem = (event.event_name or event.id)[:96]
    for group_number, group in enumerate(grouped(event.report_descriptors)):
        made = next((one for one in _series(group[0], slots, at_s, inf) if one.at_s > at_s), None) if group[0].historical else None
        if made is None:
            continue
        begun = (span for span in _spans(slots, made) if span.from_s < at_s)
        spans = tuple(Span(span.from_s, min(span.to_s, at_s), span.interval_id) for span in begun)
        if spans:
            found.append(DueReport(f"{stem}/{group_number}.{made.number}", at_s, spans, group))
    return found
