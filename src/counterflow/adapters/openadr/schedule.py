"""All events of a program together: who holds where they overlap, and what is to be ordered, changed and withdrawn for it. Pure.

What has passed stays as it was: only what is to come is compared with the orders that stand.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import count
from math import inf

from msgspec import Struct
from msgspec.structs import replace

from counterflow.adapters.openadr.meanings import Setpoint, layered
from counterflow.adapters.openadr.models import Event
from counterflow.domain.grid import GridOrder, GridOrderRecord, GridOutcome, GridStep
from counterflow.domain.instructions import DispatchMode

MOST_STEPS = 900
"""Steps of one order; what comes behind is ordered as time goes on."""
_PART = "#"
"""Stands in the key of an order before the number of a further part of its event; it cannot stand in an event's id."""


class Asking(Struct, frozen=True):
    """An event and what it asks for. `goes_on`: it loops, and asks for more behind that."""

    event: Event
    setpoints: tuple[Setpoint, ...]
    goes_on: bool = False


class Stretch(Struct, frozen=True):
    """A part of an event that holds without a break, in one mode: what one order says. `cut`: more of it follows later."""

    event_id: str
    steps: tuple[GridStep, ...]
    end_s: float
    mode: DispatchMode | None
    cut: bool = False


class Withdrawal(Struct, frozen=True):
    """An order that is to be taken back."""

    key: str
    why: str


def rank(event: Event) -> tuple[float, float, str]:
    """The least goes first: priority 0 is the highest and an absent one the lowest; then the newest; then the smaller id."""
    return (inf if event.priority is None else float(event.priority), -(event.created_s or 0.0), event.id)


def stretches(askings: Iterable[Asking]) -> list[Stretch]:
    """What each event is left with where others go before it (`rank`), in the order of time."""
    ranked = sorted(askings, key=lambda asking: rank(asking.event))
    found: list[Stretch] = []
    open_parts: dict[int, list[Setpoint]] = {}
    for number, setpoint in layered([asking.setpoints for asking in ranked]):
        part = open_parts.get(number)
        if part and (part[-1].to_s != setpoint.from_s or part[0].mode is not setpoint.mode):
            found.append(_stretch(ranked[number], part))
            part = None
        if part is None:
            open_parts[number] = part = []
        part.append(setpoint)
    found.extend(_stretch(ranked[number], part) for number, part in open_parts.items())
    return sorted(found, key=lambda stretch: (stretch.steps[0].from_s, stretch.event_id))


def is_usable(event_id: str) -> bool:
    """It can be the key of an order."""
    return bool(event_id) and _PART not in event_id


def event_of(key: str) -> str:
    """The event that an order's key belongs to."""
    return key.partition(_PART)[0]


def changes(program: str, wanted: Sequence[Stretch], standing: Sequence[GridOrderRecord], now_s: float) -> list[Withdrawal | GridOrder]:
    """What to do, in this order, so that the orders that stand say what is wanted from `now_s` on. Nothing to do: empty.

    First time is given back, by withdrawals and by shorter orders, and only then taken: no two orders ask at the same time in between.
    """
    stands: dict[str, list[GridOrderRecord]] = defaultdict(list)
    for record in standing:
        # An order that could not be read has no steps: there is nothing to take back, and its key is free.
        if record.order.steps:
            stands[event_of(record.order.key)].append(record)
    wants: dict[str, list[Stretch]] = defaultdict(list)
    for stretch in wanted:
        if stretch.end_s > now_s:
            wants[stretch.event_id].append(stretch)
    gives: list[Withdrawal | GridOrder] = []
    takes: list[GridOrder] = []
    for event_id in sorted({*stands, *wants}):
        for order, former in _of_event(program, wants[event_id], stands[event_id], now_s):
            if order is None:
                assert former is not None, "there is one or the other"
                gives.append(Withdrawal(former.key, "its event is gone" if not wants[event_id] else "its event was changed"))
            elif former is None:
                takes.append(order)
            else:
                gives += _given_back(order, former, now_s)
                takes += [] if gives and gives[-1] == order else [order]
    return [*gives, *sorted(takes, key=lambda order: order.steps[0].from_s)]


def _given_back(order: GridOrder, former: GridOrder, now_s: float) -> list[GridOrder]:
    """What an order that is changed is made to first, where it gives time back: what its two versions have in common."""
    begin_s, end_s = max(order.steps[0].from_s, former.steps[0].from_s), min(order.end_s, former.end_s)
    if end_s == former.end_s and max(begin_s, now_s) == max(former.steps[0].from_s, now_s):
        return []
    if end_s == order.end_s and begin_s == order.steps[0].from_s:
        return [order]
    begun = [step for step in order.steps if step.from_s <= begin_s]
    steps = [replace(begun[-1], from_s=begin_s), *(step for step in order.steps if begin_s < step.from_s < end_s)]
    return [replace(order, steps=tuple(steps), end_s=end_s)]


def _stretch(asking: Asking, part: Sequence[Setpoint]) -> Stretch:
    kept = part[:MOST_STEPS]
    steps = tuple(GridStep(from_s=setpoint.from_s, discharge_power_w=setpoint.discharge_power_w) for setpoint in kept)
    cut = len(kept) < len(part) or (asking.goes_on and kept[-1].to_s == asking.setpoints[-1].to_s)
    return Stretch(asking.event.id, steps, kept[-1].to_s, part[0].mode, cut)


def _of_event(
    program: str, wanted: Sequence[Stretch], standing: Sequence[GridOrderRecord], now_s: float
) -> Iterator[tuple[GridOrder | None, GridOrder | None]]:
    """Pairs of what is to be ordered and what stood for it; without the first it is withdrawn."""
    open_records = [record for record in standing if record.order.end_s > now_s and record.outcome is not GridOutcome.WITHDRAWN]
    left, missing = [record.order for record in open_records], []
    for stretch in wanted:
        same = next((order for order in left if _says(order, stretch, now_s)), None)
        if same is not None:
            left.remove(same)
        else:
            missing.append(stretch)
    used = {record.order.key for record in standing if record.outcome is not GridOutcome.WITHDRAWN}
    for stretch in missing:
        former = next((order for order in left if order.mode is stretch.mode and _meet(order, stretch, now_s)), None)
        if former is not None:
            left.remove(former)
        key = former.key if former is not None else _free(stretch.event_id, used)
        used.add(key)
        yield GridOrder(program=program, key=key, steps=stretch.steps, end_s=stretch.end_s, mode=stretch.mode), former
    refused = {record.order.key for record in open_records if record.outcome is GridOutcome.REFUSED}
    yield from ((None, order) for order in left if order.key not in refused)


def _says(order: GridOrder, stretch: Stretch, now_s: float) -> bool:
    """From now on they ask for the same; a stretch that is cut may go on for longer, as long as the order has enough left."""
    if order.mode is not stretch.mode:
        return False
    if order.end_s == stretch.end_s:
        return _to_come(order.steps, now_s) == _to_come(stretch.steps, now_s)
    enough = stretch.cut and order.end_s < stretch.end_s and order.end_s - now_s >= (stretch.end_s - now_s) / 2
    return enough and _to_come(order.steps, now_s) == [step for step in _to_come(stretch.steps, now_s) if step[0] < order.end_s]


def _to_come(steps: Sequence[GridStep], now_s: float) -> list[tuple[float, float]]:
    begun = [step for step in steps if step.from_s <= now_s]
    pairs = [(now_s, begun[-1].discharge_power_w)] if begun else []
    return pairs + [(step.from_s, step.discharge_power_w) for step in steps if step.from_s > now_s]


def _meet(order: GridOrder, stretch: Stretch, now_s: float) -> bool:
    """They have some time in common that is still to come."""
    return max(order.steps[0].from_s, stretch.steps[0].from_s, now_s) < min(order.end_s, stretch.end_s)


def _free(event_id: str, used: set[str]) -> str:
    keys = (event_id if number == 1 else f"{event_id}{_PART}{number}" for number in count(1))
    return next(key for key in keys if key not in used)
