"""Everything of ours is to go, whatever it was for (emergency stop, clear-all): the clears, in portions.

Ten thousand stations hold twenty thousand profiles. To clear them in one piece would hold up the answers of the first stations, and the
setpoints of 0 W of the cars that discharge.
"""

from collections.abc import Callable, Iterable

from counterflow.app.dispatching.clearing import Clearing
from counterflow.domain.ids import ProfileId, SessionUid, StationId
from counterflow.domain.records import ProfileRecord, ProfileState
from counterflow.engine.control.ledger import ProfileLedger


class Sweep:
    """Each is begun by `add` and cleared by `send`; what may be in force goes before what a clear was sent for already."""

    def __init__(self, ledger: ProfileLedger, clearing: Clearing, ordered: Callable[[SessionUid], bool]) -> None:
        """`ordered` tells whether a session has an order that is in force."""
        self._ledger = ledger
        self._clearing = clearing
        self._ordered = ordered
        self._waiting: dict[tuple[StationId, ProfileId], bool] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, records: Iterable[ProfileRecord], *, urgent: bool) -> None:
        """They are to be cleared; one that waits already becomes urgent, where it was not."""
        for record in sorted(records, key=lambda record: record.state is ProfileState.CLEARING):
            key = (record.station_id, record.profile_id)
            self._waiting[key] = urgent or self._waiting.get(key, False)

    def send(self, most: int, now_s: float) -> None:
        """Clear up to `most`. What has gone meanwhile, or was ordered anew (after a clear-all), is left alone."""
        for _ in range(min(most, len(self._waiting))):
            key = next(iter(self._waiting))
            urgent = self._waiting.pop(key)
            record = self._ledger.get(*key)
            if record is not None and not self._ordered(record.session_uid):
                self._clearing.send(record, now_s, urgent=urgent)
