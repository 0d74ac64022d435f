"""Taking profiles of ours off stations: by id, until the station says that it is gone; an unreachable one keeps a tombstone."""

from collections import Counter

from counterflow.domain.commands import ClearProfile, ProfileKind
from counterflow.domain.ids import ProfileId, StationId
from counterflow.domain.records import DocumentKind, ProfileRecord, ProfileState
from counterflow.domain.setpoints import Accepted, CommandResult, NothingThere, Offline, Superseded
from counterflow.engine.control.ledger import Happening, ProfileLedger
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.ports import Journal, StationLink

LONGEST_PAUSE = 30
"""Pauses between unanswered clears double up to this many times the first."""

_Key = tuple[StationId, ProfileId]


def document_key(station_id: StationId, profile_id: ProfileId) -> str:
    """The journal's key of a ledger entry."""
    return f"{station_id}|{profile_id}"


class Clearing:
    """Sends ClearChargingProfile and repeats it, ever more rarely, while the station is there and does not confirm."""

    def __init__(
        self, *, fleet: FleetState, ledger: ProfileLedger, journal: Journal, link: StationLink, messages: Counter[str], retry_s: float
    ) -> None:
        self._fleet = fleet
        self._ledger = ledger
        self._journal = journal
        self._link = link
        self._messages = messages
        self._retry_s = retry_s
        self._due_s: dict[_Key, float] = {}
        self._tries: Counter[_Key] = Counter()

    def send(self, record: ProfileRecord, now_s: float, *, urgent: bool) -> None:
        """Send a clear; the entry is a tombstone from now on. A fallback is cleared only once no discharge may stand on it."""
        key = (record.station_id, record.profile_id)
        moved = self._ledger.happened(*key, Happening.CLEAR_SENT)
        if moved is not None and record.state is not ProfileState.CLEARING:
            self._journal.put(DocumentKind.PROFILE, document_key(*key), moved)
        if record.kind is ProfileKind.FALLBACK and self._discharge_of(record) is not None:
            self.forget(*key)
            return
        self._due_s[key] = now_s + self._retry_s * min(2 ** min(self._tries[key], 16), LONGEST_PAUSE)
        self._tries[key] += 1
        self._messages[record.dispatch_id] += 1
        self._link.submit(
            ClearProfile(station_id=record.station_id, profile_id=record.profile_id, session_uid=record.session_uid, urgent=urgent), now_s
        )

    def retry(self, now_s: float) -> None:
        """Send again the clears that were not confirmed and whose pause is over."""
        for key in [key for key, due_s in self._due_s.items() if now_s >= due_s]:
            record = self._ledger.get(*key)
            if record is None or record.state is not ProfileState.CLEARING:
                self.forget(*key)
            else:
                self.send(record, now_s, urgent=False)

    def completed(self, command: ClearProfile, result: CommandResult, now_s: float) -> None:
        """The outcome of a clear. Accepted and Unknown are the two ways to be gone (K10)."""
        record = self._ledger.get(command.station_id, command.profile_id)
        if record is None:
            return
        if isinstance(result, Offline | Superseded):
            self._messages[record.dispatch_id] -= 1
        if isinstance(result, Offline):
            # It is sent again when the station is back, not before.
            self.forget(command.station_id, command.profile_id)
        elif isinstance(result, Accepted | NothingThere) and record.state is ProfileState.CLEARING:
            if record.kind is ProfileKind.DISCHARGE:
                self._fleet.setpoint_gone(command.session_uid)
            else:
                self._fleet.fallback_gone(command.session_uid)
            self.gone(command.station_id, command.profile_id)
            for beneath in self._ledger.of_session(record.session_uid):
                if beneath.kind is ProfileKind.FALLBACK and beneath.state is ProfileState.CLEARING:
                    self.send(beneath, now_s, urgent=command.urgent)

    def _discharge_of(self, fallback: ProfileRecord) -> ProfileRecord | None:
        return next((one for one in self._ledger.of_session(fallback.session_uid) if one.kind is ProfileKind.DISCHARGE), None)

    def gone(self, station_id: StationId, profile_id: ProfileId) -> None:
        """The profile is surely not there any more."""
        self._ledger.happened(station_id, profile_id, Happening.GONE)
        self.forget(station_id, profile_id)
        self._journal.delete(DocumentKind.PROFILE, document_key(station_id, profile_id))

    def forget(self, station_id: StationId, profile_id: ProfileId) -> None:
        """No clear of this profile is under way."""
        if self._due_s or self._tries:
            self._due_s.pop((station_id, profile_id), None)
            self._tries.pop((station_id, profile_id), None)
