"""What a report is made from, read from the journal as it was at an instant: the same instant gives the same, whenever it is asked for.

A dispatch's samples are those received from a while before the window to a while after it, and in any later minute of which the log says
that something late came in. Beyond that only a few samples a session are read, for the recovery after it and for earlier days.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Protocol

from msgspec.structs import replace

from counterflow.domain.delivery import LogEntry, LogKind, Sample, Stored
from counterflow.domain.ids import DispatchId, SessionUid
from counterflow.domain.instructions import DispatchInstruction
from counterflow.domain.records import DocumentKind, SessionRecord
from counterflow.domain.settlement import BaselineMethod, PastSession
from counterflow.domain.units import DAY_S
from counterflow.engine.settlement.settings import SettlementSettings

MARGIN_S = 1000.0
"""Samples are read this far around the window, so that registers bracket it even at 15-minute metering."""
MINUTE_S = 60.0

_SLICE_S = 300.0
"""Where a few samples do, one a session is kept of each slice."""
_LOOK_BACK_DAYS = 60
_BY_HISTORY = frozenset({BaselineMethod.TEN_OF_TEN, BaselineMethod.HIGH_FIVE_OF_TEN})


class Records(Protocol):
    """The reading half of a journal."""

    def documents(self, kind: DocumentKind) -> Iterable[tuple[str, object]]:
        """All documents of a kind."""
        ...

    def dispatch_log(self, dispatch_id: DispatchId) -> Sequence[LogEntry]:
        """The log of one dispatch, oldest first."""
        ...

    def samples(self, session_uids: Iterable[SessionUid], from_s: float, to_s: float) -> Sequence[Sample]:
        """Samples received in [from_s, to_s) of these sessions."""
        ...


def gather(
    records: Records,
    instruction: DispatchInstruction,
    now_s: float,
    settings: SettlementSettings,
    instructions: Callable[[], Iterable[DispatchInstruction]],
) -> Stored:
    """All that was known at `now_s`. `instructions` tells on which earlier days there was a dispatch, for a baseline by history."""
    # What was told of ends later than `now_s` was not known then.
    log = tuple(entry for entry in records.dispatch_log(instruction.dispatch_id) if entry.kind != LogKind.ENDED or entry.at_s <= now_s)
    joined = [entry for entry in log if entry.kind == LogKind.JOINED]
    uids = {entry.session_uid for entry in joined}
    near_s = (instruction.start_s - MARGIN_S, instruction.end_s + MARGIN_S)
    samples = list(records.samples(uids, near_s[0], min(now_s, near_s[1])))
    after: list[Sample] = []
    for minute_s in sorted({entry.at_s for entry in log if entry.kind == LogKind.LATE and entry.at_s < now_s}):
        for sample in records.samples(uids, max(minute_s, near_s[1]), min(now_s, minute_s + MINUTE_S)):
            (samples if sample.at_s <= near_s[1] else after).append(sample)
    stopped_s = instruction.end_s if instruction.resume_from_s is None else min(instruction.resume_from_s, instruction.end_s)
    after += _thinned(records, uids, near_s[1], min(now_s, stopped_s + settings.recovery_s))
    stored = Stored(instruction=instruction, log=log, samples=tuple(samples), after=tuple(after))
    if instruction.baseline not in _BY_HISTORY:
        return stored
    return _with_history(stored, records, {(entry.station_id, entry.evse_id) for entry in joined}, settings, instructions)


def _thinned(records: Records, uids: Iterable[SessionUid], from_s: float, to_s: float) -> list[Sample]:
    """Of each slice the last sample of each session that has a register."""
    kept: list[Sample] = []
    while from_s < to_s and uids:
        newest = {
            sample.session_uid: sample
            for sample in records.samples(uids, from_s, min(from_s + _SLICE_S, to_s))
            if isfinite(sample.import_wh) or isfinite(sample.export_wh)
        }
        kept += newest.values()
        from_s += _SLICE_S
    return kept


def _with_history(
    stored: Stored,
    records: Records,
    evses: set[tuple[str, int]],
    settings: SettlementSettings,
    instructions: Callable[[], Iterable[DispatchInstruction]],
) -> Stored:
    """The same with what was drawn at these EVSEs on earlier days of the same kind (weekend or not, UTC) without a dispatch."""
    instruction, around_s = stored.instruction, settings.baselines.around_s
    length_s = instruction.end_s - instruction.start_s
    sessions = [record for _, record in records.documents(DocumentKind.SESSION) if isinstance(record, SessionRecord)]
    oldest_s = min((record.started_s for record in sessions), default=instruction.start_s)
    others = [other for other in instructions() if other.dispatch_id != instruction.dispatch_id]
    days_s: list[float] = []
    for back in range(1, _LOOK_BACK_DAYS + 1):
        day_s = instruction.start_s - back * DAY_S
        busy = any(other.start_s < day_s + length_s and day_s < other.end_s for other in others)
        if day_s >= oldest_s and not busy and _weekend(day_s) == _weekend(instruction.start_s):
            days_s.append(day_s)
        if len(days_s) == settings.baselines.history_days:
            break
    past: list[PastSession] = []
    history: list[Sample] = []
    for day_s in days_s:
        there = [
            record
            for record in sessions
            if (record.station_id, record.evse_id) in evses
            and record.started_s < day_s + length_s
            and (record.ended_s is None or record.ended_s > day_s - around_s)
        ]
        past += [
            PastSession(session_uid=record.session_uid, station_id=record.station_id, evse_id=record.evse_id, day_start_s=day_s)
            for record in there
        ]
        uids = {record.session_uid for record in there}
        history += _thinned(records, uids, day_s - around_s - 2.0 * _SLICE_S, day_s + length_s + 2.0 * _SLICE_S)
    return replace(stored, history=tuple(history), past=tuple(past), past_days_s=tuple(days_s))


def _weekend(at_s: float) -> bool:
    return datetime.fromtimestamp(at_s, UTC).weekday() >= 5
