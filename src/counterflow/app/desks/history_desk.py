"""The part of `Operations` that looks back on sessions and stations, and takes everything of ours off one station."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from counterflow.adapters.ocpp.profile_messages import ProfileMessage, profile_messages
from counterflow.adapters.storage.frames import Frame
from counterflow.app.control_room import ControlRoom
from counterflow.app.desks.histories import profile_entries, sample_points, setpoint_entries
from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.dispatch_views import ClearingView
from counterflow.domain.histories import ProfileEntry, SessionHistory
from counterflow.domain.ids import SessionUid, StationId
from counterflow.domain.instructions import DispatchInstruction
from counterflow.domain.views import Refusal, RefusalKind

FRAMES_READ = 5_000
"""Answers of a station are looked for in so many of its frames, the newest."""
LOOKS_BACK_S = 12 * 3600.0


class HistoryDesk:
    """Part of `LiveOperations`."""

    _room: ControlRoom
    _now_s: Callable[[], float]
    _settled: Callable[[], Awaitable[None]]
    _frames: Callable[[StationId, int], Sequence[Frame]]

    async def session_history(self, session_uid: SessionUid, since_s: float | None) -> SessionHistory | Refusal:
        """Meter values and orders of a session, open or over, from `since_s` (None = the last hours) on; read on a thread."""
        now_s = self._now_s()
        from_s = now_s - LOOKS_BACK_S if since_s is None else min(since_s, now_s)
        instructions = [one for one in self._room.dispatcher.book.instructions.values() if one.end_s >= from_s]
        key = self._room.fleet.key_of(session_uid)
        station_id = None if key is None else key[0]
        found = await asyncio.to_thread(self.read_history, session_uid, station_id, instructions, from_s, now_s)
        if key is None and not found.samples and not found.setpoints:
            return Refusal(
                kind=RefusalKind.NOT_FOUND,
                sentence=f"Nothing is written of session {session_uid} since then, and it is not open now.",
                remedy="GET /api/v1/sessions (counterflow sessions) and reports name sessions by their session_uid.",
            )
        return found

    def read_history(
        self, uid: SessionUid, station_id: StationId | None, instructions: Sequence[DispatchInstruction], from_s: float, to_s: float
    ) -> SessionHistory:
        """As `session_history`. Blocking."""
        self._room.journal.flush()
        logs = [(one.dispatch_id, self._room.journal.dispatch_log(one.dispatch_id)) for one in instructions]
        station_id = station_id or _station_of(uid, [log for _, log in logs])
        recent = [(dispatch_id, [entry for entry in log if from_s <= entry.at_s <= to_s]) for dispatch_id, log in logs]
        messages = [] if station_id is None else self._messages(station_id)
        return SessionHistory(
            session_uid=uid,
            from_s=from_s,
            at_s=to_s,
            samples=sample_points(self._room.journal.samples([uid], from_s, to_s), from_s, to_s),
            setpoints=setpoint_entries(uid, recent, messages, self._room.ledger),
        )

    async def profile_ledger(self, station_id: StationId) -> Sequence[ProfileEntry] | Refusal:
        """What became of each profile at a station: what may be there, and what was, as far as its frames are kept."""
        if station_id not in self._room.registry.registrations:
            return no_station(station_id)
        return self.ledger_of(station_id, await asyncio.to_thread(self._messages, station_id))

    def ledger_of(self, station_id: StationId, messages: Sequence[ProfileMessage]) -> list[ProfileEntry]:
        """As `profile_ledger`, with what its frames say."""
        foreign = self._room.conflicts.known.of(station_id).foreign
        return profile_entries(self._room.ledger.of_station(station_id), foreign, messages, self._room.dispatcher.book.owner)

    async def clear_station(self, station_id: StationId) -> ClearingView | Refusal:
        """Take every profile of ours off a station. Its sessions are left alone for a while, and lost to their dispatches, which ask
        others instead. What cannot be confirmed stays in the ledger until it is: an offline station is cleared on its return."""
        if station_id not in self._room.registry.registrations:
            return no_station(station_id)
        now_s = self._now_s()
        for record in self._room.fleet.records_at(station_id):
            self._room.fleet.exclude(record.session_uid, now_s + self._room.settings.refusals.long_rest_s)
        cleared = self._room.placement.clear_station(station_id, now_s)
        self._room.dispatcher.wake(now_s)
        self._room.dispatcher.plan_next(now_s)
        await self._settled()
        return ClearingView(profiles=cleared, paced=0, paced_over_s=0.0)

    def _messages(self, station_id: StationId) -> Sequence[ProfileMessage]:
        return profile_messages((frame.direction, frame.received_s, frame.text) for frame in self._frames(station_id, FRAMES_READ))


def no_station(station_id: StationId) -> Refusal:
    """There is no such station."""
    return Refusal(
        kind=RefusalKind.NOT_FOUND,
        sentence=f"There is no station '{station_id}'.",
        remedy="GET /api/v1/stations (counterflow stations list) shows them.",
    )


def _station_of(uid: SessionUid, logs: Sequence[Sequence[LogEntry]]) -> StationId | None:
    """Where a session that is over was, by the logs of the dispatches that it joined."""
    return next(
        (StationId(entry.station_id) for log in logs for entry in log if entry.kind == LogKind.JOINED and entry.session_uid == uid), None
    )
