"""Who took part, when, under which setpoints and against which plan: read from a dispatch's log."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from counterflow.domain.delivery import DropOut, LogEntry, LogKind
from counterflow.domain.ids import NO_SESSION, SessionUid
from counterflow.engine.fleet.frozen import Frozen, frozen_in

LOST_TO_SIGHT = frozenset({"silent", "offline"})
"""Drop-outs of which we only know that we no longer heard of the car."""

GONE = frozenset({"ended", "ev_gone"})
"""Drop-outs after which there is no session to count. After any other the car is still there and still in the group's balance: a
member that must charge counts against a net export."""


class Member(NamedTuple):
    """One session's part in a dispatch."""

    session_uid: SessionUid
    station_id: str
    transaction_id: str
    spans: tuple[tuple[float, float], ...]
    """When it counts, (from_s, to_s), inside the window, in order."""
    since_s: float
    """When it was chosen, which may be before the window."""
    joined_s: float
    left_s: float | None
    drop_out: str | None
    setpoint_changes: int
    setpoint_max_w: float
    """Largest magnitude of discharge that it was asked for; 0 when it never was."""
    plan: tuple[tuple[float, float], ...]
    """Baseline steps (from_s, planned_power_w), import positive."""
    evse_id: int = 0
    frozen: Frozen | None = None
    """Its state when its plan was frozen, and when that was; None = it has no such plan."""
    unseen: tuple[tuple[float, float], ...] = ()
    """When it was lost to sight and not found again, (from_s, to_s): it counts for nothing, and what it did is unknown.

    It follows on the last of `spans`."""

    def heard_until(self, heard_s: float) -> "Member":
        """The same where its meter, read later, tells what it did up to `heard_s`: so far it counts, and behind that it stays unknown."""
        if not self.unseen or heard_s <= self.unseen[0][0]:
            return self
        lost_s, until_s = self.unseen[0]
        known_s = min(heard_s, until_s)
        spans = (*(span for span in self.spans if span[1] < lost_s), (self.spans[-1][0], known_s))
        return self._replace(spans=spans, unseen=((known_s, until_s),) if known_s < until_s else ())


def by_session(log: Iterable[LogEntry]) -> dict[SessionUid, list[LogEntry]]:
    """Entries of each session in the order of time."""
    entries: dict[SessionUid, list[LogEntry]] = defaultdict(list)
    for entry in sorted(log, key=lambda entry: entry.at_s):
        if entry.session_uid != NO_SESSION:
            entries[entry.session_uid].append(entry)
    return entries


def members(log: Iterable[LogEntry], start_s: float, until_s: float, *, stays: bool = False) -> tuple[Member, ...]:
    """Members by uid. A session with setpoints and no JOINED is a member from its first setpoint on.

    A car that was lost to sight and came back counts for the time between too: its setpoint stood, and its registers tell. One that was
    not taken again counts as far as its meter tells when it is read later (`Member.heard_until`).
    A session whose end was told late counts, and is unknown, no longer than until it really ended.
    `stays` = a member that dropped out with its session still open goes on counting (net export, relative).
    """
    log = tuple(log)
    frozen = frozen_in(log)
    found = (_member(uid, entries, frozen.get(uid), start_s, until_s, stays) for uid, entries in sorted(by_session(log).items()))
    return tuple(member for member in found if member is not None)


def _member(uid: SessionUid, entries: list[LogEntry], frozen: Frozen | None, start_s: float, until_s: float, stays: bool) -> Member | None:
    joins = [entry for entry in entries if entry.kind == LogKind.JOINED]
    setpoints = [entry for entry in entries if entry.kind == LogKind.SETPOINT and entry.power_w is not None]
    begins = joins or setpoints[:1]
    if not begins:
        return None
    spans: list[tuple[float, float]] = []
    open_s: float | None = None
    last_leave: LogEntry | None = None
    unseen_s: float | None = None
    gone_s = until_s
    over_s = next((entry.ended_s for entry in reversed(entries) if entry.ended_s is not None), until_s)
    ends = (LogKind.LEFT, LogKind.RESTED)
    moves = sorted([*begins, *(entry for entry in entries if entry.kind in ends)], key=lambda entry: entry.at_s)
    for move in moves:
        if move.at_s > until_s:
            break
        if move.kind == LogKind.RESTED:
            if open_s is not None:
                spans.append((open_s, move.at_s))
            open_s, last_leave = None, None
        elif move.kind == LogKind.LEFT:
            if open_s is not None and (not stays or move.text.lower() in GONE | LOST_TO_SIGHT):
                spans.append((open_s, move.at_s))
                open_s, unseen_s = None, move.at_s if move.text.lower() in LOST_TO_SIGHT else None
            gone_s = move.at_s if move.text.lower() in GONE else until_s
            last_leave = move
        else:
            if open_s is None:
                lost = last_leave is not None and last_leave.text.lower() in LOST_TO_SIGHT
                open_s = spans.pop()[0] if lost and spans else move.at_s
            last_leave, unseen_s = None, None
    if open_s is not None:
        spans.append((open_s, until_s))
    last_s, gone_s = min(until_s, over_s), min(gone_s, over_s)
    clipped = tuple((max(a, start_s), min(b, last_s)) for a, b in spans if min(b, last_s) > max(a, start_s))
    if not clipped:
        return None
    left = last_leave if last_leave is not None and start_s <= last_leave.at_s < until_s else None
    named = next((entry for entry in entries if entry.station_id), entries[0])
    powers = [entry.power_w for entry in setpoints if entry.power_w is not None]
    # Older dispatches wrote the power of a plan in a line of its own, and anew when a car joined again.
    plan = tuple((entry.at_s, entry.power_w) for entry in entries if entry.kind == LogKind.BASELINE and entry.power_w is not None)
    return Member(
        session_uid=uid,
        station_id=named.station_id,
        transaction_id=named.transaction_id,
        spans=clipped,
        since_s=begins[0].at_s,
        joined_s=max(begins[0].at_s, start_s),
        left_s=None if left is None else left.at_s,
        drop_out=left.text if left is not None and left.text else None,
        setpoint_changes=sum(1 for before, after in zip([None, *powers], powers, strict=False) if before != after),
        setpoint_max_w=max((max(-power, 0.0) for power in powers), default=0.0),
        plan=plan or (() if frozen is None else ((frozen.at_s, frozen.drew_w),)),
        evse_id=next((entry.evse_id for entry in entries if entry.evse_id), 0),
        frozen=frozen,
        # Of one whose session ended meanwhile nothing is unknown from then on.
        unseen=((unseen_s, gone_s),) if unseen_s is not None and start_s < unseen_s < gone_s else (),
    )


def drop_outs(log: Iterable[LogEntry], start_s: float, until_s: float) -> tuple[DropOut, ...]:
    """Every LEFT with a kind, inside the window, in the order of time."""
    found: list[DropOut] = []
    for uid, entries in by_session(log).items():
        setpoint_w = 0.0
        for entry in entries:
            if entry.kind == LogKind.SETPOINT and entry.power_w is not None:
                setpoint_w = entry.power_w
            if entry.kind == LogKind.LEFT and entry.text and start_s <= entry.at_s < until_s:
                lost_w = setpoint_w if entry.power_w is None else entry.power_w
                found.append(DropOut(at_s=entry.at_s, session_uid=uid, kind=entry.text, lost_power_w=abs(lost_w), replaced_by=entry.count))
    return tuple(sorted(found, key=lambda drop: (drop.at_s, drop.session_uid)))


def messages_sent(log: Iterable[LogEntry]) -> int:
    """Messages to stations, fallbacks and clears among them, as the log's running count tells."""
    return max((entry.messages for entry in log), default=0)
