"""Faults and DER alarms of stations outlive this process: a station says once that they begin, and once that they end (B04, R04)."""

from counterflow.domain.ids import StationId
from counterflow.domain.records import DocumentKind, StationFaults
from counterflow.domain.telemetry import EvseStatusChanged, GridFaultReported, StationEvent
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.ports import Journal


class KnownFaults:
    """Writes what the fleet state holds of a station's faults when it has changed."""

    def __init__(self, fleet: FleetState, journal: Journal) -> None:
        self._fleet = fleet
        self._journal = journal
        self._written: dict[StationId, StationFaults] = {}

    def take(self, event: StationEvent) -> None:
        """After the fleet state has taken an event in."""
        if isinstance(event, EvseStatusChanged | GridFaultReported):
            self._keep(self._fleet.faults_of(event.station_id))

    def alarms(self, station_id: StationId, now_s: float) -> list[GridFaultReported]:
        """The end of every DER alarm of a station, for a person who knows better than the station says."""
        known = self._fleet.faults_of(station_id)
        return [GridFaultReported(station_id=station_id, at_s=now_s, control_type=name, ended=True) for name in sorted(known.alarms)]

    def forget(self, station_id: StationId) -> None:
        """The station is no longer registered."""
        nothing = StationFaults(station_id=station_id)
        self._fleet.restore_faults(nothing)
        self._keep(nothing)

    def restore(self) -> None:
        """After a start, before the sessions."""
        for _, known in self._journal.documents(DocumentKind.STATION_FAULTS):
            self._written[known.station_id] = known
            self._fleet.restore_faults(known)

    def _keep(self, known: StationFaults) -> None:
        station_id = known.station_id
        if known == self._written.get(station_id, StationFaults(station_id=station_id)):
            return
        if known:
            self._written[station_id] = known
            self._journal.put(DocumentKind.STATION_FAULTS, station_id, known)
        else:
            del self._written[station_id]
            self._journal.delete(DocumentKind.STATION_FAULTS, station_id)
