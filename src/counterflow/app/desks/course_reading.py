"""The course of a dispatch, read back from its log: for a chart that is opened later, and for the replay of a past one."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence

from counterflow.app.dispatching.streams import PHASE_WORDS
from counterflow.domain.course import CourseMark, CoursePoint, CourseView, drop_out_words, replan_words
from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.ids import DispatchId, SessionUid
from counterflow.engine.control.stream import StreamPhase
from counterflow.engine.ports import Journal

_OF_THE_WHOLE: dict[str, tuple[str, Callable[[LogEntry], str]]] = {
    LogKind.ACCEPTED: ("dispatch.accepted", lambda entry: f"accepted from {entry.text}"),
    LogKind.STATE: ("dispatch.state", lambda entry: f"{entry.text}: {entry.result}" if entry.result else entry.text),
    LogKind.AMENDED: ("dispatch.amended", lambda entry: f"amended by {entry.text}"),
    LogKind.DISPLACED: ("dispatch.displaced", lambda entry: entry.text),
    LogKind.SHORTFALL: ("dispatch.shortfall", lambda entry: entry.text),
    LogKind.NOTE: ("dispatch.note", lambda entry: entry.text),
}
"""Kinds of log lines that are about the dispatch as a whole: kind of the mark, and its words."""


class CourseReading:
    """Reads the journal; nothing of it is done on the event loop."""

    def __init__(self, journal: Journal, tolerance_frac: float) -> None:
        self._journal = journal
        self._tolerance_frac = tolerance_frac

    async def read(self, dispatch_id: DispatchId, now_s: float, since_s: float, step_s: float) -> CourseView:
        """As `build`."""
        return await asyncio.to_thread(self.build, dispatch_id, now_s, since_s, step_s)

    def build(self, dispatch_id: DispatchId, now_s: float, since_s: float, step_s: float) -> CourseView:
        """What is written from `since_s` up to `now_s`, of ticks one in each step of `step_s`. Blocking."""
        self._journal.flush()
        log = [entry for entry in self._journal.dispatch_log(dispatch_id) if entry.at_s <= now_s]
        return CourseView(
            dispatch_id=dispatch_id,
            at_s=now_s,
            tolerance_frac=self._tolerance_frac,
            points=points_of(log, since_s, step_s),
            marks=tuple(mark for mark in marks_of(log) if mark.at_s >= since_s),
        )


def points_of(log: Sequence[LogEntry], since_s: float, step_s: float) -> tuple[CoursePoint, ...]:
    """The last tick of each step."""
    last = {int(entry.at_s // step_s): entry for entry in log if entry.kind == LogKind.TICK and entry.at_s >= since_s}
    return tuple(
        CoursePoint(
            at_s=entry.at_s,
            target_power_w=entry.target_power_w,
            delivered_power_w=entry.power_w,
            headroom_power_w=entry.headroom_power_w,
        )
        for entry in last.values()
    )


def marks_of(log: Sequence[LogEntry]) -> Iterator[CourseMark]:
    """Everything that happened to it, in the order of the log."""
    stations = {entry.session_uid: entry.station_id for entry in log if entry.kind == LogKind.JOINED}
    for number, entry in enumerate(log):
        if entry.kind in _OF_THE_WHOLE:
            kind, words = _OF_THE_WHOLE[entry.kind]
            yield CourseMark(at_s=entry.at_s, kind=kind, text=words(entry))
        elif entry.kind == LogKind.ASKED and entry.text:
            yield CourseMark(at_s=entry.at_s, kind="dispatch.stream", text=_stream_words(entry.text))
        elif entry.kind == LogKind.LEFT:
            yield _of_session(entry, "session.dropped_out", drop_out_words(entry.text, entry.result, entry.power_w), stations)
            if entry.count:
                lost = _lost_together(log, number)
                text = replan_words(len(lost), sum(one.power_w or 0.0 for one in lost), entry.count)
                yield CourseMark(at_s=entry.at_s, kind="dispatch.replanned", text=text)
        elif entry.kind == LogKind.SETPOINT and entry.result:
            yield _of_session(entry, "session.refused", entry.result, stations)
        elif entry.kind == LogKind.GUARDED:
            yield _of_session(entry, "session.guarded", entry.text, stations)


def _lost_together(log: Sequence[LogEntry], first: int) -> list[LogEntry]:
    """Those lost in one tick: they are logged in one go, the largest first, which alone counts who replaces them."""
    lost = [log[first]]
    for entry in log[first + 1 :]:
        if entry.at_s != log[first].at_s or entry.kind != LogKind.LEFT or entry.count:
            break
        lost.append(entry)
    return lost


def _of_session(entry: LogEntry, kind: str, text: str, stations: Mapping[SessionUid, str]) -> CourseMark:
    return CourseMark(
        at_s=entry.at_s, kind=kind, text=text, station_id=stations.get(entry.session_uid, ""), session_uid=int(entry.session_uid)
    )


def _stream_words(text: str) -> str:
    phase = next((one for one in StreamPhase if one.value == text), None)
    return text if phase is None else PHASE_WORDS[phase]
