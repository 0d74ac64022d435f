"""Session histories and profile ledgers, put together from journal, logs, raw frames and the ledger. Pure functions of what was read."""

from bisect import bisect_right
from collections.abc import Container, Iterable, Sequence

from counterflow.adapters.ocpp.profile_messages import CLEAR, SET, ProfileMessage
from counterflow.domain.commands import ProfileKind
from counterflow.domain.conflicts import ForeignProfile
from counterflow.domain.delivery import LogEntry, LogKind, Sample
from counterflow.domain.histories import ProfileEntry, SamplePoint, SetpointEntry
from counterflow.domain.ids import SessionUid
from counterflow.domain.reasons import CHANGE_WORDS, ChangeReason
from counterflow.domain.records import ProfileRecord, ProfileState
from counterflow.engine.control.ledger import ProfileLedger

SAMPLES_SHOWN = 1_000
_TOLD_AGO_S = 0.5
"""A frame may carry an instant a little before the log line of the order that it carries."""
_STANDING = {
    ProfileState.PLACING: ("placing", "it is on its way"),
    ProfileState.PLACED: ("accepted", "the station has it"),
    ProfileState.UNSURE: ("unsure", "the station may have it: an answer is missing, or it was away"),
}


def sample_points(samples: Sequence[Sample], from_s: float, to_s: float) -> tuple[SamplePoint, ...]:
    """At most so many that a chart can show, by the time of measurement; of each step the last."""
    step_s = max(1.0, (to_s - from_s) / SAMPLES_SHOWN)
    merged: dict[int, SamplePoint] = {}
    for sample in sorted(samples, key=lambda sample: sample.at_s):
        step = int(sample.at_s // step_s)
        before = merged.get(step)
        power_w = (before.power_w if before else None) if sample.power_w != sample.power_w else 0.0 - sample.power_w
        soc_frac = (before.soc_frac if before else None) if sample.soc_frac != sample.soc_frac else sample.soc_frac
        if power_w is not None or soc_frac is not None:
            merged[step] = SamplePoint(at_s=sample.at_s, power_w=power_w, soc_frac=soc_frac)
    return tuple(merged.values())


def setpoint_entries(
    uid: SessionUid, logs: Iterable[tuple[str, Sequence[LogEntry]]], messages: Sequence[ProfileMessage], ledger: ProfileLedger
) -> tuple[SetpointEntry, ...]:
    """Orders to a session in the order of time, each with the answer to the message that carried it."""
    own = [
        (entry, dispatch_id)
        for dispatch_id, log in logs
        for entry in log
        if entry.session_uid == uid and entry.kind in (LogKind.SETPOINT, LogKind.RELEASED) and not entry.result
    ]
    own.sort(key=lambda pair: pair[0].at_s)
    begins_s = [entry.at_s - _TOLD_AGO_S for entry, _ in own]
    profile_id = ledger.profile_id(uid, ProfileKind.DISCHARGE)
    carried: dict[int, ProfileMessage] = {}
    since_s = min((message.sent_s for message in messages), default=float("inf"))
    for message in messages:
        number = bisect_right(begins_s, message.sent_s) - 1
        if message.profile_id == profile_id and number >= 0 and (message.action == CLEAR) == (own[number][0].kind == LogKind.RELEASED):
            carried.setdefault(number, message)
    return tuple(
        _setpoint(entry, dispatch_id, carried.get(number), is_kept=entry.at_s >= since_s) for number, (entry, dispatch_id) in enumerate(own)
    )


def _setpoint(entry: LogEntry, dispatch_id: str, message: ProfileMessage | None, *, is_kept: bool) -> SetpointEntry:
    code = ChangeReason.__members__.get(entry.text.upper())
    if message is not None:
        outcome = message.answer or "no answer yet"
    else:
        outcome = "not sent: a newer one took its place" if is_kept and entry.kind == LogKind.SETPOINT else ""
    return SetpointEntry(
        at_s=entry.at_s,
        dispatch_id=dispatch_id,
        power_w=None if entry.kind == LogKind.RELEASED or entry.power_w is None else 0.0 - entry.power_w,
        reason=entry.text,
        reason_text=entry.text.replace("_", " ") if code is None else CHANGE_WORDS[code],
        outcome=outcome,
        answered_at_s=None if message is None else message.answered_s,
    )


def profile_entries(
    records: Sequence[ProfileRecord],
    foreign: Sequence[ForeignProfile],
    messages: Sequence[ProfileMessage],
    wanted: Container[SessionUid],
) -> list[ProfileEntry]:
    """The ledger of a station: what may be there, and what was, as far as its frames are kept; the newest first."""
    placed = {message.profile_id: message for message in messages if message.action == SET}
    cleared = {message.profile_id: message for message in messages if message.action == CLEAR}
    entries = [_of_ledger(record, placed.get(record.profile_id), cleared.get(record.profile_id), wanted) for record in records]
    known = {record.profile_id for record in records}
    entries += [_foreign(one) for one in foreign]
    entries += [_gone(placed.get(one), cleared.get(one), one) for one in (placed.keys() | cleared.keys()) - known]
    return sorted(entries, key=lambda entry: (-(entry.cleared_at_s or entry.placed_at_s or 0.0), entry.profile_id))


def _of_ledger(
    record: ProfileRecord, placed: ProfileMessage | None, cleared: ProfileMessage | None, wanted: Container[SessionUid]
) -> ProfileEntry:
    is_clearing = record.state is ProfileState.CLEARING
    if is_clearing:
        standing, text = "orphan", "it is no longer wanted, and is cleared as soon as the station says that it is gone"
    elif record.session_uid not in wanted:
        standing, text = "orphan", "no dispatch holds its session"
    else:
        standing, text = _STANDING[record.state]
    return ProfileEntry(
        profile_id=record.profile_id,
        standing=standing,
        standing_text=text,
        evse_id=record.evse_id,
        kind=record.kind.value,
        power_w=0.0 - record.power_w,
        placed_at_s=record.placed_at_s,
        answer="" if placed is None else placed.answer,
        cleared_at_s=cleared.sent_s if is_clearing and cleared is not None else None,
        clear_answer=cleared.answer if is_clearing and cleared is not None else "",
        dispatch_id=record.dispatch_id or None,
    )


def _foreign(one: ForeignProfile) -> ProfileEntry:
    return ProfileEntry(
        profile_id=one.profile.profile_id,
        standing="foreign",
        standing_text=f"not of ours ({one.source}), seen by the station's own report",
        evse_id=one.evse_id,
        kind=one.profile.purpose,
        power_w=None,
        placed_at_s=None,
        answer="",
        cleared_at_s=None,
        clear_answer="",
        dispatch_id=None,
    )


def _gone(placed: ProfileMessage | None, cleared: ProfileMessage | None, profile_id: int) -> ProfileEntry:
    """Not in the ledger any more: cleared, refused when it was placed, or gone with its transaction."""
    is_cleared = cleared is not None and (placed is None or cleared.sent_s >= placed.sent_s)
    if is_cleared:
        standing, text = "cleared", "the station was told to drop it"
    elif placed is not None and placed.answered_s is not None and not placed.accepted:
        standing, text = "rejected", "the station did not take it"
    else:
        standing, text = "cleared", "it went with its transaction"
    return ProfileEntry(
        profile_id=profile_id,
        standing=standing,
        standing_text=text,
        evse_id=None,
        kind="",
        power_w=None,
        placed_at_s=None if placed is None else placed.sent_s,
        answer="" if placed is None else placed.answer,
        cleared_at_s=cleared.sent_s if is_cleared and cleared is not None else None,
        clear_answer=cleared.answer if is_cleared and cleared is not None else "",
        dispatch_id=None,
    )
