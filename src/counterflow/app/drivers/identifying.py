"""Between two events what a car's record of the last one tells is identified, kept with the car, and what its next event begins with.

A tick only takes down what it has seen. The identification itself runs off the control's thread, some dozens of sessions at a time: those
that nothing of ours is in force at any more, and those that have ended. A process that ends loses records that were not identified yet,
and no more.
"""

from collections import deque
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace

from counterflow.app.drivers.experience import Begun, Experience
from counterflow.domain.ids import SessionUid
from counterflow.domain.records import SessionRecord, Transitions
from counterflow.engine.control.lags import SUMS, with_more
from counterflow.engine.control.response import ResponseMemory
from counterflow.engine.control.settings import ResponseSettings
from counterflow.engine.control.traces import Trace, Traces
from counterflow.engine.fleet.snapshot import F8, FleetImage

SLICE = 64
"""Sessions whose records are handed out together: what is found of them is kept in 3 ms of the loop."""
MOST_ENDED = 20_000
"""So many ended sessions wait at most (2.2 kB each, 45 MB); of more at once, what was learned within the event is kept as it is."""


class _Open(NamedTuple):
    """A session that goes on: what it had begun with, and its sums when the record was cut."""

    uid: SessionUid
    begun: Begun | None
    sums: F8


class _Ended(NamedTuple):
    """A session that is over, with what was learned within its last event, should its record tell nothing. `told`: as in `Begun`."""

    record: SessionRecord
    trace: Trace
    learned: Transitions
    told: float


class Batch(NamedTuple):
    """Records to be identified, and whose they are, in the same order."""

    trace: Trace
    whose: tuple[_Open | _Ended, ...]


class Identifying:
    """Single writer of the records. `identified` counts sessions whose record told something, `empty` those whose did not."""

    def __init__(self, experience: Experience, response: ResponseSettings) -> None:
        self.identified = self.empty = 0
        self._experience = experience
        self._response = response
        self._traces = Traces()
        self._ended: deque[_Ended] = deque()

    def take(self, image: FleetImage, response: ResponseMemory) -> None:
        """Take down what a tick has seen."""
        self._traces.take(image, response, self._response)

    def over(self, record: SessionRecord, response: ResponseMemory) -> None:
        """A session has ended: what it taught is kept, how late its car follows once that is identified."""
        uid, begun = record.session_uid, self._experience.begun(record.session_uid)
        trace = None
        if begun is not None and self._traces.holds(begun.row, uid):
            trace = self._traces.cut(np.array([begun.row]), response)
        if begun is None or trace is None or len(self._ended) >= MOST_ENDED:
            self._experience.over(record, response)
        else:
            learned = self._experience.over(record, response, without_transitions=True)
            self._ended.append(_Ended(record, trace, learned, begun.told))

    @staticmethod
    def nothing(batch: Batch) -> F8:
        """What is found where these records could not be gone into: that they tell nothing."""
        return np.zeros((len(batch.whose), len(SUMS)))

    def next(self, now_s: float, response: ResponseMemory) -> Batch | None:
        """The next records to be identified, None = there are none now."""
        whose: list[_Open | _Ended] = [self._ended.popleft() for _ in range(min(len(self._ended), SLICE))]
        traces = [one.trace for one in whose if isinstance(one, _Ended)]
        rows = self._traces.due(now_s, response)[: SLICE - len(whose)]
        if rows.size:
            traces.append(self._traces.cut(rows, response))
            sums = np.stack([getattr(response.lags, name)[rows] for name in SUMS], axis=1)
            whose += [
                _Open(SessionUid(uid), self._experience.begun(SessionUid(uid)), one)
                for uid, one in zip(traces[-1].uid.tolist(), sums, strict=True)
            ]
        return Batch(Trace.joined(traces), tuple(whose)) if whose else None

    def done(self, batch: Batch, found: F8, response: ResponseMemory, now_s: float) -> ResponseMemory:
        """The memory, with what was found, sums over transitions (n, 5), in place of what was learned within the event."""
        rows: list[int] = []
        more: list[F8] = []
        for one, sums in zip(batch.whose, found, strict=True):
            told = _transitions(sums)
            tells = told[0] > 0.0
            if isinstance(one, _Ended):
                self._experience.taught_later(one.record, told if tells else one.learned, one.told)
            elif tells and one.begun is not None and self._is_open(one.uid, one.begun):
                self._experience.identified(one.uid, told, now_s)
                rows.append(one.begun.row)
                more.append(sums + np.array(one.begun.start.transitions) - one.sums)
            self.identified, self.empty = self.identified + tells, self.empty + (not tells)
        return replace(response, lags=with_more(response.lags, np.array(rows), np.array(more))) if rows else response

    def _is_open(self, uid: SessionUid, then: Begun) -> bool:
        """Whether it goes on with what it had begun with, by whatever name."""
        now = self._experience.begun(uid)
        return now is not None and now.start is then.start


def _transitions(sums: F8) -> Transitions:
    count, half_w, half_w2, lag_s, lag_half = sums.tolist()
    return count, half_w, half_w2, lag_s, lag_half
