"""The events of a VTN, read again and again: which are for which of our programs, and what all of them ask together. Pure.

What an event cannot have is a `Refused` in a sentence; what one event says never spoils another.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import floor, inf

from msgspec import Struct

from counterflow.adapters.openadr.charge_state import ChargePlans
from counterflow.adapters.openadr.introduction import Introduction
from counterflow.adapters.openadr.meanings import Alert, CapacityWindow, Meaning, meaning_of
from counterflow.adapters.openadr.models import Event
from counterflow.adapters.openadr.schedule import Asking, Stretch, stretches
from counterflow.adapters.openadr.settings import FollowedProgram
from counterflow.adapters.openadr.timeline import Course, UnclearError, lay_out
from counterflow.domain.grid import Program
from counterflow.domain.units import DAY_S

_AHEAD_DAYS = 3


class Refused(Struct, frozen=True):
    """An event that is not followed, and why. `end_s` is when it would be over, as far as can be told."""

    event: Event
    program: str
    sentence: str
    end_s: float


class Agenda(Struct, frozen=True):
    """What the events ask, by the name of our program."""

    askings: Mapping[str, tuple[Asking, ...]]
    limits: Mapping[str, tuple[tuple[Event, CapacityWindow], ...]]
    alerts: tuple[tuple[Event, Alert], ...]
    refused: tuple[Refused, ...]
    remarks: tuple[Refused, ...]
    """The same, of events that are followed in part."""
    passed_over: frozenset[str]
    """Payload types that are not for us."""


def agenda_of(
    events: Iterable[Event],
    introduction: Introduction,
    anchor_of: Callable[[Event], float],
    now_s: float,
    plans: ChargePlans | None = None,
) -> Agenda:
    """All that is asked from now on. `anchor_of` says what "now" is in an event; `plans` are those of states of charge."""
    askings: dict[str, list[Asking]] = {program.name: [] for _, program in _ours(introduction)}
    limits: dict[str, list[tuple[Event, CapacityWindow]]] = {name: [] for name in askings}
    alerts: dict[tuple[str, float, str], tuple[Event, Alert]] = {}
    refused: list[Refused] = []
    remarks: list[Refused] = []
    passed_over: set[str] = set()
    for event in events:
        mine = routes(event, introduction)
        for follow, program in mine:
            meaning, end_s = _meaning(event, introduction, follow, program, anchor_of(event), now_s, plans)
            if meaning.setpoints and len(mine) > 1:
                names = " and ".join(sorted(f"'{one.name}'" for _, one in mine))
                meaning = Meaning(alerts=meaning.alerts, refused=f"It is for the programs {names} at once, and a set-point is not divided.")
            passed_over |= meaning.passed_over
            alerts.update(((event.id, alert.from_s, alert.sentence), (event, alert)) for alert in meaning.alerts)
            if meaning.setpoints:
                goes_on = end_s == inf and meaning.setpoints[-1].to_s < inf
                askings[program.name].append(Asking(event, meaning.setpoints, goes_on))
            limits[program.name].extend((event, window) for window in meaning.limits if window.to_s > now_s)
            if end_s > now_s and (meaning.refused or meaning.remark):
                (refused if meaning.refused else remarks).append(Refused(event, program.name, meaning.refused or meaning.remark, end_s))
    return Agenda(
        askings={name: tuple(found) for name, found in askings.items()},
        limits={name: tuple(found) for name, found in limits.items()},
        alerts=tuple(alerts.values()),
        refused=tuple(refused),
        remarks=tuple(remarks),
        passed_over=frozenset(passed_over),
    )


def plan_of(
    events: Iterable[Event],
    introduction: Introduction,
    anchor_of: Callable[[Event], float],
    now_s: float,
    plans: ChargePlans | None = None,
) -> tuple[Agenda, Mapping[str, Sequence[Stretch]]]:
    """The agenda, and what is to be ordered for it by the name of our program."""
    agenda = agenda_of(events, introduction, anchor_of, now_s, plans)
    return agenda, {name: stretches(askings) for name, askings in agenda.askings.items()}


def routes(event: Event, introduction: Introduction) -> Sequence[tuple[FollowedProgram, Program]]:
    """Our programs that an event is for. Who filters at the VTN is not relied upon."""
    followed = introduction.followed.get(event.program_id)
    return [] if followed is None else [pair for pair in followed.ours if _is_for(event, pair[0], introduction)]


def span_s(now_s: float) -> tuple[float, float]:
    """What of a loop is looked at; it moves once a day."""
    today_s = floor(now_s / DAY_S) * DAY_S
    return today_s - DAY_S, today_s + _AHEAD_DAYS * DAY_S


def course_of(event: Event, ven_id: str, anchor_s: float, now_s: float) -> Course:
    """An event laid out around now. Raises `UnclearError`."""
    return lay_out(event, ven_id, anchor_s, *span_s(now_s))


def _ours(introduction: Introduction) -> Iterator[tuple[FollowedProgram, Program]]:
    for followed in introduction.followed.values():
        yield from followed.ours


def _is_for(event: Event, follow: FollowedProgram, introduction: Introduction) -> bool:
    if follow.targets:
        return not set(follow.targets).isdisjoint(event.targets)
    return not event.targets or not introduction.granted.isdisjoint(event.targets)


def _meaning(
    event: Event,
    introduction: Introduction,
    follow: FollowedProgram,
    program: Program,
    anchor_s: float,
    now_s: float,
    plans: ChargePlans | None,
) -> tuple[Meaning, float]:
    """What it asks, and when it is over: inf for one that goes on, or whose time cannot be told."""
    try:
        course = course_of(event, introduction.ven_id, anchor_s, now_s)
    except UnclearError as unclear:
        return Meaning(refused=str(unclear)), inf
    operators = introduction.followed[event.program_id].operators
    ends = [pieces[-1].to_s for pieces in course.pieces.values() if pieces]
    end_s = inf if course.goes_on else max(ends, default=-inf)
    return meaning_of(event, course, operators, program, follow.simple_power_w, plans), end_s
