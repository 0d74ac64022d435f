"""Asking stations which profiles they hold, and taking in what they report (OCPP 2.1 K09).

Looks have the lowest priority on a line and are few at a time, so that neither a reconnecting fleet nor the emergency stop ever waits
for one.
"""

from collections.abc import Callable

from msgspec.structs import replace

from counterflow.app.stations.known_profiles import KnownStations
from counterflow.domain.commands import ReadProfiles
from counterflow.domain.conflicts import ForeignProfile, KnownProfiles, Telling
from counterflow.domain.ids import StationId, TransactionId
from counterflow.domain.records import SessionRecord
from counterflow.domain.setpoints import Accepted, NothingThere, NotSupported
from counterflow.domain.telemetry import CommandCompleted, ProfilesReported
from counterflow.domain.views import Notice
from counterflow.engine.conflicts.looks import Looks
from counterflow.engine.conflicts.register import merged
from counterflow.engine.conflicts.settings import ConflictSettings
from counterflow.engine.control.ledger import ProfileLedger
from counterflow.engine.ports import StationLink

CANNOT_TELL = frozenset({"NotSupported", "NotImplemented"})
"""CALLERROR codes of a station that does not implement GetChargingProfiles."""
MAX_INT32 = 2**31


class ProfileReports:
    """Writes foreign profiles into what is known of each station. `judge` is called when that has changed."""

    def __init__(
        self,
        *,
        known: KnownStations,
        ledger: ProfileLedger,
        link: StationLink,
        settings: ConflictSettings,
        notify: Callable[[Notice], None],
        sessions_of: Callable[[StationId], tuple[SessionRecord, ...]],
        judge: Callable[[StationId, float], None],
    ) -> None:
        self.looks = Looks(settings)
        self._known = known
        self._ledger = ledger
        self._link = link
        self._notify = notify
        self._sessions_of = sessions_of
        self._judge = judge
        self._open_when_asked: dict[StationId, tuple[TransactionId, ...]] = {}
        self._parts: dict[StationId, list[ForeignProfile]] = {}
        self._next_request_id = 0

    def advance(self, now_s: float, *, paused: bool) -> None:
        """Give up reports that stopped, and ask the stations whose turn it is."""
        for station_id, request_id in self.looks.overdue(now_s):
            self.looks.failed(station_id, request_id, now_s)
        if paused:
            return
        for station_id in self.looks.turn(now_s):
            self._ask(station_id, now_s)

    def _ask(self, station_id: StationId, now_s: float) -> None:
        request_id = self.new_request_id(now_s)
        self._parts[station_id] = []
        self._open_when_asked[station_id] = tuple(record.transaction_id for record in self._sessions_of(station_id))
        self.looks.sent(station_id, request_id, now_s)
        self._link.submit(ReadProfiles(station_id=station_id, request_id=request_id), now_s)

    def new_request_id(self, now_s: float) -> int:
        """Never an id of an earlier process: its reports may still be on their way."""
        self._next_request_id = max(self._next_request_id + 1, int(now_s)) % MAX_INT32
        return self._next_request_id

    def completed(self, command: ReadProfiles, event: CommandCompleted, now_s: float) -> None:
        """The answer to a question of ours. No answer and an unusable one mean unknown, never "nothing there"."""
        result = event.result
        if isinstance(result, Accepted):
            self.looks.promised(command.station_id, command.request_id, now_s)
        elif isinstance(result, NotSupported) and result.code in CANNOT_TELL:
            self._cannot_tell(command.station_id, command.request_id, result, now_s)
        elif not isinstance(result, NothingThere):  # with that one an empty report comes along
            self.looks.failed(command.station_id, command.request_id, now_s)

    def _cannot_tell(self, station_id: StationId, request_id: int, result: NotSupported, now_s: float) -> None:
        if not self.looks.heard(station_id, request_id, now_s):
            return
        self.looks.ended(station_id, now_s, again=False)
        text = f"{result.code}: {result.text}" if result.text else result.code
        self._known.keep(replace(self._known.of(station_id), telling=Telling.UNSUPPORTED, at_s=now_s, foreign=(), text=text))
        self._judge(station_id, now_s)

    def reported(self, event: ProfilesReported, now_s: float) -> None:
        """A part of a report. A foreign profile counts at once; only a whole report that we asked for clears one."""
        station_id = event.station_id
        sessions = self._sessions_of(station_id)
        uids = [record.session_uid for record in sessions]
        found = [
            ForeignProfile(evse_id=event.evse_id, profile=profile, source=event.source, seen_at_s=now_s)
            for profile in event.profiles
            if not self._ledger.is_ours(station_id, profile.profile_id, uids)
        ]
        known = self._known.of(station_id)
        if not self.looks.heard(station_id, event.request_id, now_s):
            if found:
                self._known.keep(replace(known, foreign=merged(known.foreign, found)))
                self._judge(station_id, now_s)
            return
        parts = self._parts[station_id]
        parts += found
        if event.last:
            del self._parts[station_id]
            still_open = {record.transaction_id for record in sessions}
            seen = tuple(one for one in self._open_when_asked.pop(station_id, ()) if one in still_open)
            told = replace(known, telling=Telling.TOLD, at_s=now_s, foreign=merged((), parts), seen=seen, text="")
            self._tell_of_change(known, told, now_s)
            self._known.keep(told)
            self.looks.ended(station_id, now_s)
        elif found:
            self._known.keep(replace(known, foreign=merged(known.foreign, found)))
        self._judge(station_id, now_s)

    def _tell_of_change(self, before: KnownProfiles, after: KnownProfiles, now_s: float) -> None:
        known = {(one.evse_id, one.profile) for one in before.foreign}
        new = [one for one in after.foreign if (one.evse_id, one.profile) not in known]
        if new:
            words = ", ".join(f"{one.profile.purpose} {one.profile.profile_id} at level {one.profile.stack_level}" for one in new)
            self._notify(Notice(at_s=now_s, kind="conflicts.found", subject=after.station_id, text=f"not ours: {words}", values={}))
