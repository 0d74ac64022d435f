"""The ledger of profiles that may be at a station because of us (I7). An entry is written before the message leaves, and removed
only when the profile is surely gone: cleared, refused on first placing, or dead with its transaction.

Ids: one stable pair per session, so that a re-sent profile replaces the old one (K01.FR.05) and never collides with a
neighbour's (profile ids are unique per station, not per EVSE).
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Annotated, TypeVar

from msgspec import Meta, Struct
from msgspec.structs import replace

from counterflow.domain.commands import MoveSetpoint, PlaceDischarge, PlaceFallback, ProfileKind
from counterflow.domain.ids import ProfileId, SessionUid, StationId
from counterflow.domain.records import ProfileRecord, ProfileState
from counterflow.domain.setpoints import PowerStep

ProfileKey = tuple[StationId, ProfileId]
Owner = TypeVar("Owner", SessionUid, StationId)


class Happening(StrEnum):
    """What can happen to a profile of ours."""

    SENT = "sent"
    ACCEPTED = "accepted"
    REFUSED = "refused"
    UNSURE = "unsure"
    CLEAR_SENT = "clear sent"
    GONE = "gone"


MOVES: dict[tuple[ProfileState | None, Happening], ProfileState | None] = {
    (None, Happening.SENT): ProfileState.PLACING,
    (None, Happening.GONE): None,
    (ProfileState.PLACING, Happening.SENT): ProfileState.PLACING,
    (ProfileState.PLACING, Happening.ACCEPTED): ProfileState.PLACED,
    (ProfileState.PLACING, Happening.REFUSED): None,
    (ProfileState.PLACING, Happening.UNSURE): ProfileState.UNSURE,
    (ProfileState.PLACED, Happening.SENT): ProfileState.UNSURE,
    (ProfileState.PLACED, Happening.ACCEPTED): ProfileState.PLACED,
    (ProfileState.PLACED, Happening.REFUSED): ProfileState.PLACED,
    (ProfileState.PLACED, Happening.UNSURE): ProfileState.UNSURE,
    (ProfileState.UNSURE, Happening.SENT): ProfileState.UNSURE,
    (ProfileState.UNSURE, Happening.ACCEPTED): ProfileState.PLACED,
    (ProfileState.UNSURE, Happening.REFUSED): ProfileState.UNSURE,
    (ProfileState.UNSURE, Happening.UNSURE): ProfileState.UNSURE,
    (ProfileState.CLEARING, Happening.SENT): ProfileState.UNSURE,
    (ProfileState.CLEARING, Happening.ACCEPTED): ProfileState.CLEARING,
    (ProfileState.CLEARING, Happening.REFUSED): ProfileState.CLEARING,
    (ProfileState.CLEARING, Happening.UNSURE): ProfileState.CLEARING,
    **{(state, Happening.CLEAR_SENT): ProfileState.CLEARING for state in ProfileState},
    **{(state, Happening.GONE): None for state in ProfileState},
}
"""The state table; None = no entry. A CLEARING entry is a tombstone until the station says that it is gone."""


_DISCHARGE, _FALLBACK = ProfileKind.DISCHARGE, ProfileKind.FALLBACK
LEVELS_OF_OURS = 2
"""The discharge profile, and the fallback one below."""
_NOTHING_LATER: tuple[PowerStep, ...] = ()


class LedgerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ids and levels of our profiles."""

    stack_level: Annotated[
        int, Meta(description="Stack level of the discharge profile; the fallback stands one below.", extra={"unit": "-"}, ge=1)
    ] = 8
    first_profile_id: Annotated[
        int, Meta(description="Lowest charging profile id that we use.", extra={"unit": "-"}, ge=1, le=1_000_000_000)
    ] = 1_000_000
    clear_retry_s: Annotated[
        float, Meta(description="Pause before a clear that was not confirmed is sent again.", extra={"unit": "s"}, gt=0)
    ] = 30.0


class ProfileLedger:
    """All entries, indexed by station and by session. The caller stores what each method returns."""

    def __init__(self, settings: LedgerSettings) -> None:
        self._settings = settings
        self._first_id = settings.first_profile_id
        self._entries: dict[ProfileKey, ProfileRecord] = {}
        self._by_session: dict[SessionUid, set[ProfileKey]] = {}
        self._by_station: dict[StationId, set[ProfileKey]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[ProfileRecord]:
        return iter(self._entries.values())

    def profile_id(self, uid: SessionUid, kind: ProfileKind) -> ProfileId:
        """The stable id of a session's profile of this kind, < 2^31 (OCPP integers are 32 bit)."""
        return ProfileId(self._first_id + 2 * (uid % 500_000_000) + (kind is _FALLBACK))

    def stack_level(self, kind: ProfileKind, max_stack_level: int | None, above: int | None = None) -> int:
        """Our level for this kind, inside what the station supports; the fallback is always the lower of the two.

        `above` = the highest level of another actor's transaction profile that ours must lead over, the fallback too.
        """
        wanted = self._settings.stack_level if above is None else max(self._settings.stack_level, above + LEVELS_OF_OURS)
        top = wanted if max_stack_level is None or max_stack_level >= wanted else max(1, max_stack_level)
        return top if kind is ProfileKind.DISCHARGE else top - 1

    def get(self, station_id: StationId, profile_id: ProfileId) -> ProfileRecord | None:
        """One entry."""
        return self._entries.get((station_id, profile_id))

    def of_session(self, uid: SessionUid) -> tuple[ProfileRecord, ...]:
        """Entries of one session, discharge first."""
        keys = sorted(self._by_session.get(uid, ()))
        return tuple(self._entries[key] for key in keys)

    def of_station(self, station_id: StationId) -> tuple[ProfileRecord, ...]:
        """Entries at one station."""
        keys = self._by_station.get(station_id)
        return tuple(self._entries[key] for key in sorted(keys)) if keys else ()

    def is_ours(self, station_id: StationId, profile_id: ProfileId, uids: Iterable[SessionUid] = ()) -> bool:
        """Whether a profile found at a station was placed by us: it is in the ledger, or has an id that only we give one of `uids`
        (a report may cross with the clear of what it lists)."""
        if (station_id, profile_id) in self._entries:
            return True
        return any(profile_id == self.profile_id(uid, kind) for uid in uids for kind in ProfileKind)

    def sent(self, command: PlaceDischarge | MoveSetpoint | PlaceFallback, now_s: float, dispatch_id: str) -> ProfileRecord:
        """A profile is about to leave: the record to store before it does."""
        key = (command.station_id, command.profile_id)
        before = self._entries.get(key)
        state = MOVES[before.state if before else None, Happening.SENT]
        assert state is not None, "sending always leaves an entry"
        if isinstance(command, PlaceFallback):
            record = ProfileRecord(
                station_id=command.station_id,
                profile_id=command.profile_id,
                session_uid=command.session_uid,
                evse_id=command.evse_id,
                transaction_id=command.transaction_id,
                kind=_FALLBACK,
                state=state,
                power_w=command.charge_power_w,
                placed_at_s=now_s,
                discharge_until_s=now_s,
                hold_until_s=now_s,
                dispatch_id=dispatch_id,
            )
        else:
            path, reduces, later = (
                (command.path, command.reduces, command.later) if isinstance(command, PlaceDischarge) else ("", False, _NOTHING_LATER)
            )
            record = ProfileRecord(
                station_id=command.station_id,
                profile_id=command.profile_id,
                session_uid=command.session_uid,
                evse_id=command.evse_id,
                transaction_id=command.transaction_id,
                kind=_DISCHARGE,
                state=state,
                power_w=command.power_w,
                placed_at_s=now_s,
                discharge_until_s=command.discharge_until_s,
                hold_until_s=command.hold_until_s,
                dispatch_id=dispatch_id,
                path=path,
                watchdog_s=command.watchdog_s,
                reduces=reduces,
                later=later,
            )
        if before is not None and before.session_uid == record.session_uid:
            self._entries[key] = record  # it stands in both indexes
        else:
            self._keep(record)
        return record

    def happened(self, station_id: StationId, profile_id: ProfileId, what: Happening) -> ProfileRecord | None:
        """Move one entry; returns it, or None when there is (now) none."""
        key = (station_id, profile_id)
        before = self._entries.get(key)
        if before is None:
            return None
        state = MOVES[before.state, what]
        if state is None:
            self._drop(before)
            return None
        if state is before.state:
            return before
        record = self._entries[key] = replace(before, state=state)
        return record

    def restore(self, record: ProfileRecord) -> None:
        """An entry from the journal: whatever was under way is unsure now, a tombstone stays one."""
        state = ProfileState.CLEARING if record.state is ProfileState.CLEARING else ProfileState.UNSURE
        self._keep(replace(record, state=state))

    def _keep(self, record: ProfileRecord) -> None:
        key = (record.station_id, record.profile_id)
        self._entries[key] = record
        self._by_session.setdefault(record.session_uid, set()).add(key)
        self._by_station.setdefault(record.station_id, set()).add(key)

    def _drop(self, record: ProfileRecord) -> None:
        key = (record.station_id, record.profile_id)
        del self._entries[key]
        _unlist(self._by_session, record.session_uid, key)
        _unlist(self._by_station, record.station_id, key)


def _unlist(index: dict[Owner, set[ProfileKey]], owner: Owner, key: ProfileKey) -> None:
    keys = index[owner]
    keys.discard(key)
    if not keys:
        del index[owner]
