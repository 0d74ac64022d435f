"""Why a car was given what it was given, or nothing: read from the logs of dispatches, so that it can be told after a restart, too."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from counterflow.domain.delivery import LogEntry, LogKind, Sample, Why
from counterflow.domain.ids import SessionUid
from counterflow.domain.instructions import DispatchInstruction, DispatchMode
from counterflow.domain.reasons import BOUND_WORDS, CHANGE_WORDS, END_WORDS, REASON_WORDS, Bound, ChangeReason, EndedBy, Reason
from counterflow.domain.session_views import ExplanationView
from counterflow.domain.settlement import BY_PLAN, BaselineMethod, PlanFrozen
from counterflow.domain.units import format_instant, format_power
from counterflow.engine.fleet.frozen import Frozen, frozen_in
from counterflow.engine.ports import Journal

AFTER_S = 600.0
"""A dispatch is asked about for so long after its end: its cars may still be on their way back to charging."""
_METER_S = 90.0
_SAME_TICK_S = 0.5
_SAID_AGAIN = frozenset({ChangeReason.RE_ARM.name.lower(), ChangeReason.REFUSED_RETRY.name.lower()})
"""An order that says again what the one before said."""
_OWN = frozenset({LogKind.JOINED, LogKind.LEFT, LogKind.RESTED, LogKind.RELEASED, LogKind.SETPOINT})
_STATES_UNDER_WAY = frozenset({"running", "scheduled"})


class _Course(NamedTuple):
    """What a log says up to an instant: of the session, and of the dispatch as a whole."""

    instruction: DispatchInstruction
    own: tuple[LogEntry, ...]
    aside: LogEntry | None
    tick: LogEntry | None
    asked: LogEntry | None
    state: LogEntry | None
    left: tuple[LogEntry, ...]
    plan: Frozen | None = None
    """What it is counted from, where that is a plan of its own."""

    @property
    def last(self) -> LogEntry | None:
        """The newest that is about the session."""
        about = (*self.own[-1:], *((self.aside,) if self.aside is not None else ()))
        return max(about, key=lambda entry: entry.at_s, default=None)


class Explaining:
    """Reads the journal; nothing of it is done on the event loop."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    async def explain(self, uid: SessionUid, instructions: Sequence[DispatchInstruction], at_s: float) -> ExplanationView | None:
        """As `build`."""
        return await asyncio.to_thread(self.build, uid, instructions, at_s)

    def build(self, uid: SessionUid, instructions: Sequence[DispatchInstruction], at_s: float) -> ExplanationView | None:
        """What is written of a session as of `at_s`; None when nothing is. Blocking."""
        self._journal.flush()
        courses = [course_of(uid, instruction, self._journal.dispatch_log(instruction.dispatch_id), at_s) for instruction in instructions]
        known = [(course.last.at_s, number) for number, course in enumerate(courses) if course.last is not None]
        if not known:
            return None
        samples = self._journal.samples([uid], at_s - _METER_S, at_s + _METER_S)
        return explained(uid, courses[max(known)[1]], samples, at_s)


def under_way(instructions: Sequence[DispatchInstruction], at_s: float) -> list[DispatchInstruction]:
    """Dispatches that may have had to do with a car at `at_s`."""
    return [one for one in instructions if one.accepted_at_s <= at_s <= max(one.end_s, one.resume_from_s or 0.0) + AFTER_S]


def course_of(uid: SessionUid, instruction: DispatchInstruction, log: Sequence[LogEntry], at_s: float) -> _Course:
    """What the log of one dispatch says of a session up to `at_s`."""
    past = [entry for entry in log if entry.at_s <= at_s]
    newest = {entry.kind: entry for entry in past}
    return _Course(
        instruction=instruction,
        own=tuple(entry for entry in past if entry.kind in _OWN and entry.session_uid == uid),
        aside=next((entry for entry in reversed(past) if entry.kind == LogKind.ASIDE and uid in entry.uids), None),
        tick=newest.get(LogKind.TICK),
        asked=newest.get(LogKind.ASKED),
        state=newest.get(LogKind.STATE),
        left=tuple(entry for entry in past if entry.kind == LogKind.LEFT),
        plan=frozen_in(entry for entry in past if entry.session_uid == uid or uid in entry.uids).get(uid),
    )


def explained(uid: SessionUid, course: _Course, samples: Sequence[Sample], at_s: float) -> ExplanationView:
    """The answer in words, with the figures."""
    joined = next((entry for entry in reversed(course.own) if entry.kind == LogKind.JOINED), None)
    newest = _in_force(course)
    setpoint = None if newest is None else _first_said(course, newest)
    if setpoint is not None and newest is not None and (setpoint.power_w or _reduces(setpoint)):
        reason, sentences = setpoint.text, _used(course, setpoint, newest, at_s)
    else:
        reason, sentences = _not_used(course, setpoint, at_s)
    if course.plan is not None:
        sentences.append(_plan_words(course.plan, course.instruction.baseline))
    metered = _metered(samples, at_s)
    if metered is not None:
        gives = "discharge" if metered.power_w <= 0.0 else "charging"
        sentences.append(f"Its meter showed {format_power(abs(metered.power_w))} of {gives} at {_instant(metered.at_s)}.")
    return ExplanationView(
        session_uid=uid,
        station_id=joined.station_id if joined is not None else "",
        transaction_id=joined.transaction_id if joined is not None else "",
        at_s=at_s,
        dispatch_id=course.instruction.dispatch_id,
        setpoint_w=None if setpoint is None or setpoint.power_w is None else 0.0 - setpoint.power_w,
        setpoint_at_s=None if setpoint is None else setpoint.at_s,
        reason=reason,
        sentences=tuple(sentences),
        figures=_figures(course, setpoint),
    )


def _plan_words(plan: Frozen, baseline: BaselineMethod | None) -> str:
    """When its plan was frozen, and with what."""
    occasion = "the order was accepted" if plan.when is PlanFrozen.ACCEPTANCE else "it joined"
    charge = "" if plan.car.soc_frac is None else f" and was charged to {plan.car.soc_frac:.0%}"
    counted = "It is counted" if baseline is None or baseline in BY_PLAN else "While the dispatch runs it is counted"
    return f"{counted} from its plan, frozen when {occasion}, at {_instant(plan.at_s)}: it drew {format_power(plan.drew_w)} then{charge}."


def _in_force(course: _Course) -> LogEntry | None:
    """The newest order, unless something has ended it since."""
    if course.state is not None and course.state.text not in _STATES_UNDER_WAY:
        return None
    last = course.own[-1] if course.own else None
    return last if last is not None and last.kind == LogKind.SETPOINT and last.power_w is not None else None


def _first_said(course: _Course, newest: LogEntry) -> LogEntry:
    """The order that asked for this first: later ones only said it again."""
    orders = [entry for entry in course.own if entry.kind == LogKind.SETPOINT and entry.power_w is not None]
    first = newest
    for order in reversed(orders):
        if first.text not in _SAID_AGAIN:
            break
        first = order
    return first


def _used(course: _Course, setpoint: LogEntry, newest: LogEntry, at_s: float) -> list[str]:
    why, power_w = setpoint.why, newest.power_w or 0.0
    asked = f"to charge at {format_power(power_w)} at most" if _reduces(setpoint) else f"for {format_power(-power_w)} of discharge"
    sentences = [
        f"At {_instant(at_s)} dispatch {course.instruction.dispatch_id} asked this car {asked}, since {_instant(setpoint.at_s)}.",
        f"Why: {_cause(course, setpoint)}.",
    ]
    if why is None:
        return sentences
    if why.place > 0:
        could_wait = "" if why.laxity_s is None else f"; it could have waited {_span(why.laxity_s)} and still given all its energy"
        sentences.append(f"Its turn: number {why.place} of {why.ranked} in the order of merit{could_wait}.")
    if why.bound != Bound.NOTHING:
        sentences.append(f"How much: {BOUND_WORDS[Bound(why.bound)]}.")
    ended_by = why.ended_by if newest.why is None else newest.why.ended_by
    sentences.append(f"Its end, if nothing else is said: {END_WORDS[EndedBy(ended_by)]}.")
    if newest is not setpoint:
        code = _code(ChangeReason, newest.text)
        sentences.append(f"It was said again at {_instant(newest.at_s)}: {newest.text if code is None else CHANGE_WORDS[code]}.")
    sentences.append(f"Before that {_before(why)}.")
    return sentences


def _before(why: Why) -> str:
    if why.was_w is None:
        return "nothing of ours was asked"
    slowed = why.was_w < 0 or (why.bound == Bound.CHARGING and why.was_w == 0)
    return f"it was to charge at {format_power(-why.was_w)} at most" if slowed else f"it was asked for {format_power(why.was_w)}"


def _reduces(setpoint: LogEntry) -> bool:
    """A limit to the car's charging, and no discharge."""
    return (setpoint.power_w or 0.0) > 0.0 or (setpoint.why is not None and setpoint.why.bound == Bound.CHARGING)


def _cause(course: _Course, setpoint: LogEntry) -> str:
    """The reason of a change, with the figures that belong to it."""
    code = _code(ChangeReason, setpoint.text)
    words = setpoint.text if code is None else CHANGE_WORDS[code]
    why = setpoint.why
    if why is None:
        return words
    target, gap = format_power(why.target_w), format_power(abs(why.gap_w))
    match code:
        case ChangeReason.DROP_OUT:
            return f"{words}: {_lost(course, setpoint.at_s - why.late_s)}{gap} of the target of {target} was missing"
        case ChangeReason.START | ChangeReason.TARGET_CHANGED if course.instruction.stream is not None and course.asked is not None:
            source = f" (by its dead-man: {course.asked.text})" if course.asked.text else ""
            return f"{words}: the stream asked for {target} at {_instant(course.asked.at_s)}{source}, {gap} off"
        case ChangeReason.START | ChangeReason.TARGET_CHANGED | ChangeReason.GAP_UP | ChangeReason.GAP_DOWN:
            return f"{words}: {gap} {'was missing' if why.gap_w >= 0 else 'too much'} at a target of {target}"
        case ChangeReason.FLOOR_OR_DEPARTURE if why.reason != Reason.READY:
            return f"{words}: {REASON_WORDS[Reason(why.reason)]}"
        case _:
            return words


def _lost(course: _Course, decided_s: float) -> str:
    """Who was lost in the tick of a change: `session 12 (ended, 7.0 kW) and 3 more; `."""
    lost = [entry for entry in course.left if abs(entry.at_s - decided_s) <= _SAME_TICK_S]
    if not lost:
        return ""
    first = max(lost, key=lambda entry: entry.power_w or 0.0)
    more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
    return f"session {first.session_uid} ({first.text.replace('_', ' ')}, {format_power(first.power_w or 0.0)}){more}; "


def _not_used(course: _Course, setpoint: LogEntry | None, at_s: float) -> tuple[str, list[str]]:
    """Reason and sentences for a car of which no discharge was asked."""
    dispatch, last, state = course.instruction.dispatch_id, course.last, course.state
    relative = course.instruction.mode is DispatchMode.RELATIVE
    nothing = f"At {_instant(at_s)} dispatch {dispatch} asked this car for no discharge{', and not to charge less' if relative else ''}."
    if state is not None and state.text not in _STATES_UNDER_WAY:
        because = f": {state.result}" if state.result else ""
        return state.text, [nothing, f"Why: the dispatch was {state.text} since {_instant(state.at_s)}{because}."]
    if last is not None and last.kind == LogKind.LEFT:
        words = _reason_words(last.result)
        because = f": {words}" if words else ""
        lost = f"Why: it was lost to the dispatch at {_instant(last.at_s)} ({last.text.replace('_', ' ')}{because})."
        return last.result or last.text, [nothing, lost]
    if last is not None and last.kind == LogKind.RELEASED:
        code = _code(ChangeReason, last.text)
        words = last.text if code is None else CHANGE_WORDS[code]
        return last.text, [nothing, f"Why: it was handed back to charging at {_instant(last.at_s)}, since {words}."]
    if last is not None and last.kind == LogKind.RESTED:
        return "at_rest", [nothing, f"Why: nothing was asked of the dispatch, so it was handed back to charging at {_instant(last.at_s)}."]
    aside = course.aside
    if aside is not None and aside.text != Reason.READY.name.lower():
        return aside.text, [nothing, f"Why: {_reason_words(aside.text)} (since {_instant(aside.at_s)})."]
    if relative and not course.own:
        return "reserve", [nothing, "Why: it could have been slowed or paused, but was not needed, or drew too little.", *_met_by(course)]
    held = f"it was held at 0 W since {_instant(setpoint.at_s)}, because {_cause(course, setpoint)}" if setpoint is not None else ""
    return "reserve", [nothing, f"Why: it was not needed and stood by{'; ' + held if held else ''}.", *_met_by(course)]


def _met_by(course: _Course) -> list[str]:
    tick = course.tick
    if tick is None or tick.target_power_w is None:
        return []
    return [
        f"At {_instant(tick.at_s)} {tick.count} cars gave {format_power(tick.power_w or 0.0)} of the target of "
        f"{format_power(tick.target_power_w)}, and {format_power(tick.headroom_power_w or 0.0)} stood by."
    ]


def _figures(course: _Course, setpoint: LogEntry | None) -> dict[str, float | str | None]:
    why: Why | None = None if setpoint is None else setpoint.why
    tick = course.tick
    figures: dict[str, float | str | None] = {}
    if course.plan is not None:
        figures |= {"plan_frozen": course.plan.when.value, "plan_frozen_at_s": course.plan.at_s, "plan_power_w": course.plan.drew_w}
    if why is not None:
        figures |= {
            "target_power_w": why.target_w,
            "gap_power_w": why.gap_w,
            "former_power_w": why.was_w,
            "merit_place": why.place or None,
            "ranked": why.ranked or None,
            "discharge_laxity_s": why.laxity_s,
            "bound": Bound(why.bound).name.lower(),
            "ended_by": EndedBy(why.ended_by).name.lower(),
            "able": Reason(why.reason).name.lower(),
        }
    if tick is not None:
        figures |= {
            "tick_at_s": tick.at_s,
            "tick_target_power_w": tick.target_power_w,
            "tick_delivered_power_w": tick.power_w,
            "tick_headroom_power_w": tick.headroom_power_w,
        }
    return figures


def _metered(samples: Sequence[Sample], at_s: float) -> Sample | None:
    """The power sample that is nearest to the instant."""
    powers = [sample for sample in samples if sample.power_w == sample.power_w and abs(sample.at_s - at_s) <= _METER_S]
    return min(powers, key=lambda sample: abs(sample.at_s - at_s), default=None)


def _code(kind: type[ChangeReason], text: str) -> ChangeReason | None:
    return kind.__members__.get(text.upper())


def _reason_words(text: str) -> str:
    reason = Reason.__members__.get(text.upper())
    return "" if reason is None or reason is Reason.READY else REASON_WORDS[reason]


def _instant(at_s: float) -> str:
    return format_instant(round(at_s))


def _span(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
