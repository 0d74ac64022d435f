"""Numbers for transactions of OCPP 1.6, where the server gives them: durable, and never the same twice.

A number is at least the seconds since 2024, so that it is a new one even for a server that has lost its memory.
"""

from typing import Final

from counterflow.domain.ids import EvseId, StationId
from counterflow.domain.records import DocumentKind, TransactionNumber
from counterflow.engine.ports import Journal

EPOCH_2024_S: Final = 1_704_067_200
MOST: Final = 2**31 - 1


class TransactionNumbers:
    """Remembers the newest one of each connector: a start that is sent again gets the same."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._newest: dict[str, TransactionNumber] = {}
        self._last = 0

    def restore(self) -> None:
        """Everything from the journal."""
        self._newest = dict(self._journal.documents(DocumentKind.TRANSACTION_NUMBER))
        self._last = max((given.number for given in self._newest.values()), default=0)

    def number_for(self, station_id: StationId, evse_id: EvseId, started_s: float, meter_start_wh: int, now_s: float) -> int:
        """The number of the transaction that began there and then; written before it is known to anybody."""
        key = f"{station_id}/{evse_id}"
        given = self._newest.get(key)
        if given is not None and (given.started_s, given.meter_start_wh) == (started_s, meter_start_wh):
            return given.number
        self._last = min(max(self._last + 1, int(now_s) - EPOCH_2024_S), MOST)
        self._newest[key] = given = TransactionNumber(
            station_id=station_id, evse_id=evse_id, number=self._last, started_s=started_s, meter_start_wh=meter_start_wh
        )
        self._journal.put(DocumentKind.TRANSACTION_NUMBER, key, given)
        return given.number

    def forget(self, station_id: StationId) -> None:
        """A station was taken off the register; numbers given to it are not given again all the same."""
        for key in [key for key, given in self._newest.items() if given.station_id == station_id]:
            del self._newest[key]
            self._journal.delete(DocumentKind.TRANSACTION_NUMBER, key)
