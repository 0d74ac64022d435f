"""What comes in after a dispatch has ended and is about its window, meter values and the ends of sessions: the log says so, and a new
version is due."""

from collections.abc import Callable, Iterable
from math import inf

from counterflow.app.settlement.gathering import MARGIN_S, MINUTE_S
from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.ids import DispatchId, SessionUid
from counterflow.domain.instructions import DispatchInstruction
from counterflow.domain.records import SessionRecord
from counterflow.domain.units import DAY_S
from counterflow.engine.ports import Journal
from counterflow.engine.settlement.settings import SettlementSettings

LATE_S = 30.0
"""What is older than this when it comes is late; a report waits longer than that after the end."""


class LateValues:
    """Listens to the journal. What it writes goes to disk with the samples themselves, so that a crash loses both or none."""

    def __init__(self, journal: Journal, instructions: Callable[[], Iterable[DispatchInstruction]], settings: SettlementSettings) -> None:
        """`instructions` are all dispatches that are known, over or not."""
        self._journal = journal
        self._instructions = instructions
        self._settings = settings
        self._minutes: tuple[float, set[float]] = (0.0, set())
        self._open_gates: tuple[float, tuple[DispatchInstruction, ...]] = (-inf, ())
        self.tell: Callable[[DispatchId, float], object] = lambda _dispatch_id, _now_s: None
        """Is told of each dispatch for which something came, and when."""
        journal.on_late(LATE_S, self._came)

    def _came(self, _session_uid: SessionUid, received_s: float, at_s: float) -> None:
        """Looked at once for each minute of receipt and each minute it is about: a station that was away sends hundreds at once."""
        minute_s, about_s = received_s // MINUTE_S * MINUTE_S, at_s // MINUTE_S * MINUTE_S
        seen = self._minutes[1] if self._minutes[0] == minute_s else set[float]()
        self._minutes = (minute_s, seen)
        if about_s in seen:
            return
        seen.add(about_s)
        for instruction in self._instructions():
            if self._concerns(instruction, about_s, received_s):
                self._journal.log(instruction.dispatch_id, LogEntry(at_s=minute_s, kind=LogKind.LATE))
                self.tell(instruction.dispatch_id, received_s)

    def ended(self, record: SessionRecord, received_s: float) -> None:
        """A session is over. Of one whose end was told late nothing is unknown behind it; an end that is only assumed says nothing."""
        ended_s = record.ended_s
        if ended_s is None or record.end_assumed:
            return
        for instruction in self._begun(received_s):
            over = instruction.end_s < received_s
            in_window = instruction.start_s < ended_s < instruction.end_s
            if not in_window or not (over or received_s - ended_s > LATE_S):
                continue
            entry = LogEntry(at_s=received_s, kind=LogKind.ENDED, session_uid=record.session_uid, ended_s=ended_s)
            self._journal.log(instruction.dispatch_id, entry)
            if over:
                self.tell(instruction.dispatch_id, received_s)

    def _begun(self, received_s: float) -> tuple[DispatchInstruction, ...]:
        """Dispatches that have begun and whose gate is open. Looked up once for each second of receipt: thousands of sessions may end in
        one, and years of dispatches may be known."""
        second_s = received_s // 1.0
        if self._open_gates[0] != second_s:
            begun = (one for one in self._instructions() if one.start_s < received_s <= self._gate_s(one))
            self._open_gates = (second_s, tuple(begun))
        return self._open_gates[1]

    def _concerns(self, instruction: DispatchInstruction, about_s: float, received_s: float) -> bool:
        after_s = max(MARGIN_S, self._settings.recovery_s)
        about_it = instruction.start_s - MARGIN_S - MINUTE_S <= about_s <= instruction.end_s + after_s
        return about_it and instruction.end_s < received_s <= self._gate_s(instruction)

    def _gate_s(self, instruction: DispatchInstruction) -> float:
        return instruction.end_s + self._settings.gate_closure_days * DAY_S
