"""When each station is asked for its profiles: paced, fair, one question a station at a time, and a time-out is an unknown.

A look goes through the table `MOVES`. A fleet that reconnects at once is asked in the order in which it came, a few at a time.
"""

import heapq
from collections.abc import Iterator
from enum import Enum, auto
from itertools import count
from math import inf

from msgspec import Struct

from counterflow.domain.ids import StationId
from counterflow.engine.conflicts.settings import ConflictSettings


class Stage(Enum):
    """How far a look has come."""

    IDLE = auto()
    WAITING = auto()
    ASKED = auto()
    REPORTING = auto()


class Step(Enum):
    """What can happen to a look."""

    WANTED = auto()
    SENT = auto()
    PROMISED = auto()
    ENDED = auto()
    FAILED = auto()


MOVES: dict[tuple[Stage, Step], Stage] = {
    (Stage.IDLE, Step.WANTED): Stage.WAITING,
    (Stage.WAITING, Step.WANTED): Stage.WAITING,
    (Stage.WAITING, Step.SENT): Stage.ASKED,
    (Stage.ASKED, Step.PROMISED): Stage.REPORTING,
    (Stage.ASKED, Step.ENDED): Stage.IDLE,
    (Stage.ASKED, Step.FAILED): Stage.IDLE,
    (Stage.REPORTING, Step.ENDED): Stage.IDLE,
    (Stage.REPORTING, Step.FAILED): Stage.IDLE,
}
"""A report may end before the answer that promises it (the two cross on the wire); what is not here changes nothing."""


class _Look(Struct):
    """Mutable: one a station."""

    stage: Stage = Stage.IDLE
    due_s: float = inf
    deadline_s: float = inf
    last_s: float = -inf
    request_id: int = 0
    again: bool = False
    """Something hinted at a change after the question had gone out."""
    failures: int = 0


class Looks:
    """Whose turn it is. The caller asks the stations and tells what came of it."""

    def __init__(self, settings: ConflictSettings) -> None:
        self._settings = settings
        self._looks: dict[StationId, _Look] = {}
        self._heap: list[tuple[float, int, StationId]] = []
        self._deadlines: list[tuple[float, int, StationId]] = []
        self._tickets = count()
        self.under_way = 0

    def want(self, station_id: StationId, now_s: float) -> None:
        """Something hints at a change, or nothing is known yet: ask as soon as it is the station's turn."""
        look = self._looks.setdefault(station_id, _Look())
        if look.stage in (Stage.ASKED, Stage.REPORTING):
            look.again = True
        else:
            self._plan(station_id, look, max(now_s, look.last_s + self._settings.look_gap_s))

    def turn(self, now_s: float) -> Iterator[StationId]:
        """The stations to ask now. Call `sent` for each before the next is taken."""
        while self._heap and self._heap[0][0] <= now_s and self.under_way < self._settings.looks_in_parallel:
            due_s, _, station_id = heapq.heappop(self._heap)
            look = self._looks.get(station_id)
            if look is not None and look.stage is Stage.WAITING and look.due_s == due_s:
                yield station_id

    def sent(self, station_id: StationId, request_id: int, now_s: float) -> None:
        """The question is on its way; its own time-out comes as `failed`."""
        look = self._looks[station_id]
        look.stage = MOVES[look.stage, Step.SENT]
        look.request_id, look.last_s, look.due_s, look.again = request_id, now_s, inf, False
        self.under_way += 1

    def promised(self, station_id: StationId, request_id: int, now_s: float) -> None:
        """The answer said that a report follows."""
        look = self._asked(station_id, request_id)
        if look is not None and (look.stage, Step.PROMISED) in MOVES:
            look.stage = MOVES[look.stage, Step.PROMISED]
            self._await(station_id, look, now_s)

    def heard(self, station_id: StationId, request_id: int, now_s: float) -> bool:
        """A part of a report came in; False when it is none that we wait for."""
        look = self._asked(station_id, request_id)
        if look is None:
            return False
        self._await(station_id, look, now_s)
        return True

    def ended(self, station_id: StationId, now_s: float, *, again: bool = True) -> None:
        """The report is whole, or the station said that it has none, or that it never will (`again` False)."""
        look = self._looks[station_id]
        self._leave(station_id, look, Step.ENDED)
        look.failures = 0
        if look.again and again:
            self.want(station_id, now_s)

    def failed(self, station_id: StationId, request_id: int, now_s: float) -> None:
        """No usable answer: what is installed stays unknown, and the station is asked again later, ever more rarely."""
        look = self._asked(station_id, request_id)
        if look is None:
            return
        self._leave(station_id, look, Step.FAILED)
        wait_s = min(self._settings.retry_s * 2.0 ** min(look.failures, 20), self._settings.retry_max_s)
        look.failures += 1
        self._plan(station_id, look, now_s + wait_s)

    def overdue(self, now_s: float) -> Iterator[tuple[StationId, int]]:
        """Looks whose report was begun or promised and did not go on. Call `failed` for each."""
        while self._deadlines and self._deadlines[0][0] <= now_s:
            deadline_s, _, station_id = heapq.heappop(self._deadlines)
            look = self._looks.get(station_id)
            if look is not None and look.deadline_s == deadline_s and look.stage in (Stage.ASKED, Stage.REPORTING):
                yield station_id, look.request_id

    def gone(self, station_id: StationId) -> None:
        """The line is cut: nothing is asked until it is back."""
        look = self._looks.get(station_id)
        if look is None:
            return
        if look.stage in (Stage.ASKED, Stage.REPORTING):
            self._leave(station_id, look, Step.FAILED)
        look.stage, look.due_s, look.again = Stage.IDLE, inf, False

    def forget(self, station_id: StationId) -> None:
        """The station is no longer ours."""
        self.gone(station_id)
        self._looks.pop(station_id, None)

    def next_due_s(self, *, paused: bool) -> float | None:
        """When to come back; None = nothing is due. While all places are taken, or looks are `paused`, only time-outs count."""
        while self._deadlines and self._deadline_s(self._deadlines[0][2]) != self._deadlines[0][0]:
            heapq.heappop(self._deadlines)
        due_s = self._deadlines[0][0] if self._deadlines else inf
        if self._heap and not paused and self.under_way < self._settings.looks_in_parallel:
            due_s = min(due_s, self._heap[0][0])
        return None if due_s == inf else due_s

    def _deadline_s(self, station_id: StationId) -> float:
        look = self._looks.get(station_id)
        return inf if look is None else look.deadline_s

    def _asked(self, station_id: StationId, request_id: int) -> _Look | None:
        look = self._looks.get(station_id)
        if look is None or look.request_id != request_id or look.stage not in (Stage.ASKED, Stage.REPORTING):
            return None
        return look

    def _plan(self, station_id: StationId, look: _Look, due_s: float) -> None:
        look.stage = MOVES[look.stage, Step.WANTED]
        if due_s < look.due_s:
            look.due_s = due_s
            heapq.heappush(self._heap, (due_s, next(self._tickets), station_id))

    def _await(self, station_id: StationId, look: _Look, now_s: float) -> None:
        look.deadline_s = now_s + self._settings.report_timeout_s
        heapq.heappush(self._deadlines, (look.deadline_s, next(self._tickets), station_id))

    def _leave(self, station_id: StationId, look: _Look, step: Step) -> None:
        look.stage = MOVES[look.stage, step]
        look.deadline_s = inf
        self.under_way -= 1
