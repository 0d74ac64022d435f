"""What each station has told of others, in memory and in the journal."""

from counterflow.domain.conflicts import KnownProfiles
from counterflow.domain.ids import StationId
from counterflow.domain.records import DocumentKind
from counterflow.engine.ports import Journal


class KnownStations:
    """One record a station; a station that has told nothing has an empty one."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._records: dict[StationId, KnownProfiles] = {}

    def __contains__(self, station_id: StationId) -> bool:
        return station_id in self._records

    def of(self, station_id: StationId) -> KnownProfiles:
        """What is known of a station."""
        return self._records.get(station_id) or KnownProfiles(station_id=station_id)

    def keep(self, record: KnownProfiles) -> None:
        """The record as it is now; written when it says anything new."""
        if self.of(record.station_id) != record:
            self._records[record.station_id] = record
            self._journal.put(DocumentKind.KNOWN_PROFILES, record.station_id, record)

    def forget(self, station_id: StationId) -> None:
        """The station is no longer ours."""
        if self._records.pop(station_id, None) is not None:
            self._journal.delete(DocumentKind.KNOWN_PROFILES, station_id)

    def restore(self) -> None:
        """After a start."""
        self._records = {record.station_id: record for _, record in self._journal.documents(DocumentKind.KNOWN_PROFILES)}
