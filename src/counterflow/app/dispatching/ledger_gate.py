"""The one door to the stations for profiles of ours: the ledger's entry is in the journal before the message leaves."""

from collections import Counter

from counterflow.app.dispatching.clearing import Clearing, document_key
from counterflow.domain.commands import MoveSetpoint, PlaceDischarge, PlaceFallback
from counterflow.domain.ids import ProfileId, StationId
from counterflow.domain.records import DocumentKind
from counterflow.domain.setpoints import CommandResult, Offline, Superseded
from counterflow.engine.control.ledger import Happening, ProfileLedger
from counterflow.engine.ports import Journal, StationLink

Placed = PlaceDischarge | MoveSetpoint | PlaceFallback
_NEVER_LEFT = (Offline, Superseded)


class LedgerGate:
    """Writes, then sends, and knows what is under way."""

    def __init__(self, ledger: ProfileLedger, journal: Journal, link: StationLink, messages: Counter[str], clearing: Clearing) -> None:
        self._ledger = ledger
        self._journal = journal
        self._link = link
        self._messages = messages
        self._clearing = clearing
        self._under_way: dict[tuple[StationId, ProfileId], int] = {}

    def send(self, command: Placed, dispatch_id: str, now_s: float) -> None:
        """Into the ledger, then to the station. A refresh changes nothing that the ledger knows."""
        key = command.station_id, command.profile_id
        if not (isinstance(command, MoveSetpoint) and command.is_refresh):
            record = self._ledger.sent(command, now_s, dispatch_id)
            self._clearing.forget(*key)
            self._journal.put(DocumentKind.PROFILE, document_key(*key), record)
        self._messages[dispatch_id] += 1
        self._under_way[key] = self._under_way.get(key, 0) + 1
        self._link.submit(command, now_s)

    def is_under_way(self, station_id: StationId, profile_id: ProfileId) -> bool:
        """A message about this profile has no outcome yet."""
        return (station_id, profile_id) in self._under_way

    def arrived(self, command: Placed, result: CommandResult) -> None:
        """A message has its outcome; one that never left does not count."""
        key = command.station_id, command.profile_id
        left = self._under_way.pop(key, 0) - 1
        if left > 0:
            self._under_way[key] = left
        if isinstance(result, _NEVER_LEFT) and (record := self._ledger.get(*key)) is not None:
            self._messages[record.dispatch_id] -= 1

    def note(self, command: Placed, what: Happening) -> None:
        """Move the ledger's entry; gone for good, it goes from the journal too."""
        key = command.station_id, command.profile_id
        if what is Happening.REFUSED and key in self._under_way:
            # A newer one is on its way and may yet be taken: the entry must stay.
            what = Happening.UNSURE
        if what is Happening.ACCEPTED:  # which never ends an entry
            self._ledger.happened(*key, what)
            return
        before = self._ledger.get(*key)
        after = self._ledger.happened(*key, what)
        if before is not None and after is None:
            self._journal.delete(DocumentKind.PROFILE, document_key(*key))
