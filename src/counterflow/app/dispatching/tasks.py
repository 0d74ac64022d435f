"""What the dispatcher remembers of each dispatch while it runs: who belongs to it, what was done, what it looks like now."""

from collections.abc import Iterable

from msgspec import Struct

from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.ids import DispatchId, SessionUid, StationId
from counterflow.domain.instructions import DispatchInstruction, DispatchState
from counterflow.domain.settlement import Quality
from counterflow.engine.control.book import OPEN_STATES, ordered_power_w
from counterflow.engine.control.decision import TaskMemory, TickFigures
from counterflow.engine.control.stream import StreamState, asked
from counterflow.engine.fleet.undisturbed import Undisturbed


class RunningTask(Struct, kw_only=True):
    """Mutable on purpose: the dispatcher is its single writer."""

    instruction: DispatchInstruction
    memory: TaskMemory
    figures: TickFigures | None = None
    members: set[SessionUid]
    """Sessions that this dispatch holds now."""
    ever: set[SessionUid]
    """Every session that was ever a member, for the report."""
    released_at_s: dict[SessionUid, float]
    ended: dict[SessionUid, StationId] = {}
    """Where members were whose session is over, until a tick has told that they are gone."""
    offered_at_s: float | None = None
    """Until when what its members could have given is counted."""
    rests_since_s: float | None = None
    """Nothing is asked of a streamed dispatch since then; None = it is at work."""
    drop_outs: int = 0
    announced_short: bool = False
    announced_able_w: float = 0.0
    """What could be given when a shortfall, or its end, was told last."""
    delivered_power_w: float | None = None
    """Live sum of the members' meters, in the mode's terms; None before the first beat, and while no member's power is known."""
    delivered_energy_wh: float = 0.0
    unmeasured: int = 0
    quality: Quality | None = None
    """How far that sum can be trusted; None before the first beat."""
    discharging: int = 0
    """Members whose meter shows discharge."""
    beat_at_s: float | None = None


class Book:
    """All instructions that are kept, the tasks of the open ones, and who owns which session."""

    def __init__(self) -> None:
        self.instructions: dict[DispatchId, DispatchInstruction] = {}
        self.tasks: dict[DispatchId, RunningTask] = {}
        self.owner: dict[SessionUid, DispatchId] = {}
        self.by_key: dict[str, DispatchId] = {}
        self.past_drop_outs: dict[DispatchId, int] = {}
        self.streams: dict[DispatchId, StreamState] = {}
        self.frozen: dict[DispatchId, Undisturbed] = {}
        """The plans of relative orders that were accepted and have not had a tick yet."""
        self._open: dict[DispatchId, DispatchInstruction] = {}
        self._drop_outs_of_forgotten = 0

    def keep(self, instruction: DispatchInstruction) -> None:
        """Remember the newest version of an instruction."""
        self.instructions[instruction.dispatch_id] = instruction
        if instruction.state in OPEN_STATES:
            self._open[instruction.dispatch_id] = instruction
        else:
            self._open.pop(instruction.dispatch_id, None)
            self.frozen.pop(instruction.dispatch_id, None)
        if instruction.idempotency_key is not None:
            self.by_key[instruction.idempotency_key] = instruction.dispatch_id
        task = self.tasks.get(instruction.dispatch_id)
        if task is not None:
            task.instruction = instruction

    def stream_of(self, instruction: DispatchInstruction) -> StreamState:
        """The newest value of a streamed dispatch, or that there is none yet."""
        return self.streams.get(instruction.dispatch_id, StreamState())

    def asked(self, instruction: DispatchInstruction, at_s: float) -> DispatchInstruction:
        """The instruction as control is to follow it now: of a stream, what its newest value asks."""
        return instruction if instruction.stream is None else asked(self.stream_of(instruction), instruction, at_s)

    def target_w(self, instruction: DispatchInstruction, at_s: float) -> float:
        """What is asked of a dispatch at `at_s`, W >= 0; zero outside its window."""
        return ordered_power_w(self.asked(instruction, at_s), at_s)

    def in_state(self, *states: DispatchState) -> list[DispatchInstruction]:
        """Open instructions in one of these states, oldest first. Cheap however many have ended."""
        return [instruction for instruction in self._open.values() if instruction.state in states]

    @property
    def drop_outs(self) -> int:
        """Drop-outs of all dispatches since the start."""
        return self._drop_outs_of_forgotten + sum(self.past_drop_outs.values()) + sum(task.drop_outs for task in self.tasks.values())

    def open(self, instruction: DispatchInstruction, members: set[SessionUid]) -> RunningTask:
        """A task for a dispatch that starts, or goes on after a restart."""
        task = RunningTask(instruction=instruction, memory=TaskMemory.fresh(), members=set(), ever=set(members), released_at_s={})
        self.tasks[instruction.dispatch_id] = task
        for uid in members:
            self.claim(uid, instruction.dispatch_id)
        return task

    def close(self, dispatch_id: DispatchId) -> None:
        """The dispatch is over: its task goes, its count stays."""
        self.past_drop_outs[dispatch_id] = self.tasks.pop(dispatch_id).drop_outs

    def forget(self, dispatch_id: DispatchId) -> None:
        """A dispatch that has ended is not kept any longer; its drop-outs stay in the sum."""
        instruction = self.instructions.pop(dispatch_id, None)
        if instruction is not None and self.by_key.get(instruction.idempotency_key or "") == dispatch_id:
            del self.by_key[instruction.idempotency_key or ""]
        self._drop_outs_of_forgotten += self.past_drop_outs.pop(dispatch_id, 0)

    def claim(self, uid: SessionUid, dispatch_id: DispatchId) -> None:
        """A session belongs to this dispatch from now on, and to no other."""
        former = self.owner.get(uid)
        if former is not None and former != dispatch_id and former in self.tasks:
            self.tasks[former].members.discard(uid)
        self.owner[uid] = dispatch_id
        task = self.tasks[dispatch_id]
        task.members.add(uid)
        task.ever.add(uid)

    def let_go(self, uid: SessionUid) -> DispatchId | None:
        """A session belongs to no dispatch any more; returns the one it left."""
        former = self.owner.pop(uid, None)
        if former is not None and former in self.tasks:
            self.tasks[former].members.discard(uid)
        return former


def state_entry(instruction: DispatchInstruction, at_s: float, messages: int) -> LogEntry:
    """The log line of a state."""
    return LogEntry(at_s=at_s, kind=LogKind.STATE, text=instruction.state.value, result=instruction.state_reason, messages=messages)


def in_the_balance(log: Iterable[LogEntry]) -> set[SessionUid]:
    """Sessions that joined and were not left to themselves since."""
    found: set[SessionUid] = set()
    for entry in log:
        if entry.kind == LogKind.JOINED:
            found.add(entry.session_uid)
        elif entry.kind == LogKind.RESTED:
            found.discard(entry.session_uid)
    return found
