"""Who joins a dispatch: its own at once, in its log soon."""

from collections import deque
from typing import NamedTuple

import numpy as np

from counterflow.app.dispatching.tasks import Book, RunningTask
from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.ids import DispatchId, SessionUid
from counterflow.domain.settlement import CarState
from counterflow.engine.control.decision import Decision
from counterflow.engine.fleet.snapshot import FleetImage
from counterflow.engine.ports import Journal


class _Joined(NamedTuple):
    """Who has joined and is not in the log yet; `cars`: rows with a plan that was frozen by that, and the state that it was frozen with."""

    dispatch_id: DispatchId
    at_s: float
    image: FleetImage
    cars: dict[int, CarState]
    members: deque[tuple[int, SessionUid]]


class Joins:
    """Log lines that wait to be written in portions: thousands may join at once."""

    def __init__(self, book: Book, journal: Journal) -> None:
        self._book = book
        self._journal = journal
        self._waiting: deque[_Joined] = deque()

    def __len__(self) -> int:
        """Lines that wait."""
        return sum(len(joined.members) for joined in self._waiting)

    def add(self, task: RunningTask, decision: Decision, image: FleetImage, now_s: float) -> None:
        """Who joins by this decision belongs to its dispatch from now on."""
        if not decision.joined:
            return
        dispatch_id = task.instruction.dispatch_id
        for _, uid in decision.joined:
            self._book.claim(uid, dispatch_id)
        self._waiting.append(_Joined(dispatch_id, now_s, image, _planned_cars(decision), deque(decision.joined)))

    def write(self, most: int) -> None:
        """Up to `most` lines of the oldest decision. There must be one that waits."""
        joined = self._waiting[0]
        for _ in range(min(len(joined.members), most)):
            self._write_one(joined, *joined.members.popleft())
        if not joined.members:
            self._waiting.popleft()

    def _write_one(self, joined: _Joined, row: int, uid: SessionUid) -> None:
        key = joined.image.keys[row]
        assert key is not None, "only occupied rows join"
        image = joined.image
        entry = LogEntry(
            at_s=joined.at_s,
            kind=LogKind.JOINED,
            session_uid=uid,
            station_id=key[0],
            transaction_id=key[1],
            evse_id=int(image.evse_id[row]),
        )
        self._journal.log(joined.dispatch_id, entry)
        car = joined.cars.get(row)
        if car is not None:
            self._journal.log(joined.dispatch_id, LogEntry(at_s=image.at_s, kind=LogKind.CAR, session_uid=uid, car=car))


def _planned_cars(decision: Decision) -> dict[int, CarState]:
    """The rows whose plan was frozen in this tick, with its state."""
    plans = decision.memory.plans
    if plans is None or decision.planned is None:
        return {}
    rows = np.flatnonzero(decision.planned)
    return dict(zip(rows.tolist(), plans.rows(rows).states(), strict=True))
