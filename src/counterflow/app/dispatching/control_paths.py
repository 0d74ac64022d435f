"""Ways of control that an EVSE offers and does not stand by: remembered with the reason until its firmware changes."""

from collections import Counter
from collections.abc import Callable

import numpy as np

from counterflow.domain.ids import EvseId, StationId
from counterflow.domain.instructions import ControlPath
from counterflow.domain.reasons import Reason
from counterflow.domain.records import DocumentKind, PathRecord
from counterflow.domain.resources import ControlMode, EvseCapability
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.snapshot import B1, FleetImage
from counterflow.engine.ports import Journal

DYNAMIC = "dynamic"
PERIODS = "several_periods"
"""A schedule of several periods of discharge."""
LOCAL_FREQUENCY_MODE = "LocalFrequency"
"""The operation mode (V2XChargingCtrlr.SupportedOperationModes) of both paths with curves."""

_Place = tuple[StationId, EvseId]


class ControlPaths:
    """What was refused, in memory and in the journal."""

    def __init__(self, journal: Journal, patience: int) -> None:
        self._journal = journal
        self._patience = patience
        self._closed: dict[_Place, dict[str, PathRecord]] = {}
        self._in_row: Counter[tuple[_Place, str]] = Counter()

    def restore(self, record: PathRecord) -> None:
        """An entry from the journal."""
        self._closed.setdefault((record.station_id, record.evse_id), {})[record.path] = record

    def is_open(self, station_id: StationId, evse_id: EvseId, path: str) -> bool:
        """Whether this way may be tried there."""
        closed = self._closed.get((station_id, evse_id))
        return closed is None or path not in closed

    def closed_at(self, station_id: StationId) -> tuple[PathRecord, ...]:
        """What a station does not stand by, by EVSE."""
        return tuple(record for place in sorted(self._closed) if place[0] == station_id for record in self._closed[place].values())

    def worked(self, station_id: StationId, evse_id: EvseId, path: str) -> None:
        """The way was taken: refusals count anew."""
        self._in_row.pop(((station_id, evse_id), path), None)

    def refused(self, station_id: StationId, evse_id: EvseId, path: str, reason: str, now_s: float) -> bool:
        """One more refusal; True once it is one too many."""
        key = ((station_id, evse_id), path)
        self._in_row[key] += 1
        if self._in_row[key] < self._patience:
            return False
        self.close(station_id, evse_id, path, reason, now_s)
        return True

    def close(self, station_id: StationId, evse_id: EvseId, path: str, reason: str, now_s: float) -> None:
        """Not this way any more."""
        self._in_row.pop(((station_id, evse_id), path), None)
        record = PathRecord(station_id=station_id, evse_id=evse_id, path=path, reason=reason, at_s=now_s)
        self.restore(record)
        self._journal.put(DocumentKind.PATH, _key(record), record)

    def forget(self, station_id: StationId) -> None:
        """The station has another firmware, or is another station: everything may be tried again."""
        for record in self.closed_at(station_id):
            self._closed.pop((record.station_id, record.evse_id), None)
            self._journal.delete(DocumentKind.PATH, _key(record))


def steered_rows(
    image: FleetImage, path: ControlPath, *, capability_of: Callable[[str, EvseId], EvseCapability | None], paths: ControlPaths
) -> B1:
    """Rows (N,) whose EVSE can find its power by curves, as it said itself and has not been seen to refuse."""
    steered = np.zeros(len(image), dtype=np.bool_)
    for row in np.flatnonzero(
        image.occupied & ((image.control_mode == ControlMode.SETPOINT) | (image.control_mode == ControlMode.DYNAMIC))
    ):
        key = image.keys[row]
        if key is None:
            continue
        evse_id = EvseId(int(image.evse_id[row]))
        known = capability_of(key[0], evse_id)
        offers = known is not None and LOCAL_FREQUENCY_MODE in known.operation_modes
        steered[row] = offers and paths.is_open(key[0], evse_id, path.value)
    return steered


def by_curve_only(able: Capability, steered: B1) -> Capability:
    """What is left for a dispatch in which the server does not know what is asked: only the rows that find their power by curves."""
    return able.without(~steered & np.equal(able.reason, Reason.READY), Reason.NO_LOCAL_FREQUENCY)


def _key(record: PathRecord) -> str:
    return f"{record.station_id}|{record.evse_id}|{record.path}"
