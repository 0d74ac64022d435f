"""The commands of one station that wait for their turn: OCPP allows one CALL in flight, so what waits may still change.

Order: the commands of one session leave as they came, so that a fallback stands before its discharge and a clear is never overtaken by
an older discharge. Between sessions, one with an urgent command goes first. What only looks waits behind everything else.
"""

from collections.abc import Callable
from typing import Final

from counterflow.domain.commands import (
    ClearProfile,
    Command,
    MoveSetpoint,
    OfferTransfer,
    PlaceDischarge,
    PlaceFallback,
    RawCall,
    ReadComposite,
    ReadDerLimits,
    ReadProfiles,
    ReadTransaction,
    RequestSample,
    SendSignal,
)
from counterflow.domain.ids import SessionUid

MAX_WAITING: Final = 64
"""Raw calls beyond this many waiting commands are not taken; all other commands replace each other or are few."""


class CommandQueue:
    """A small list: a station has as many sessions as EVSEs."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: list[Command] = []

    def is_full(self) -> bool:
        """No room for calls that a person typed."""
        return len(self.waiting) >= MAX_WAITING

    def add(self, command: Command) -> list[Command]:
        """Queue `command`; returns the older ones that it makes pointless, which will not leave."""
        if not self.waiting:  # the usual case
            self.waiting.append(command)
            return []
        pointless = _pointless(command)
        replaced = [older for older in self.waiting if pointless(older)]
        if replaced:
            self.waiting = [older for older in self.waiting if not pointless(older)]
        self.waiting.append(command)
        return replaced

    def pop(self) -> Command | None:
        """The next command to send: the oldest of a session that has an urgent one, else the oldest, looks last."""
        if len(self.waiting) <= 1:
            return self.waiting.pop() if self.waiting else None
        place = next((number for number, command in enumerate(self.waiting) if not isinstance(command, _LOOKS)), 0)
        urgent = next((command for command in self.waiting if _is_urgent(command)), None)
        if urgent is not None:
            session = session_of(urgent)
            place = next(number for number, command in enumerate(self.waiting) if session_of(command) == session)
        return self.waiting.pop(place)

    def drain(self) -> list[Command]:
        """All that waited, oldest first; the queue is empty afterwards."""
        waiting, self.waiting = self.waiting, []
        return waiting


def session_of(command: Command) -> SessionUid | None:
    """Which session a command is for; None for questions to the station."""
    if isinstance(command, PlaceDischarge | MoveSetpoint | PlaceFallback | ClearProfile):
        return command.session_uid
    return None


def _is_urgent(command: Command) -> bool:
    return isinstance(command, PlaceDischarge | MoveSetpoint | ClearProfile) and command.urgent


_LOOKS: Final = (ReadProfiles, ReadComposite, ReadDerLimits, ReadTransaction)
"""Commands that change nothing at the station."""


def _pointless(newer: Command) -> Callable[[Command], bool]:
    """Which older commands need not leave once `newer` waits: the newest order for a profile wins."""
    match newer:
        case PlaceDischarge():
            return lambda older: isinstance(older, PlaceDischarge | MoveSetpoint) and older.profile_id == newer.profile_id
        case MoveSetpoint():
            # A profile that waits stays: without it there would be nothing to move.
            return lambda older: isinstance(older, MoveSetpoint) and older.profile_id == newer.profile_id
        case ClearProfile():
            return lambda older: isinstance(older, PlaceDischarge | MoveSetpoint | ClearProfile) and older.profile_id == newer.profile_id
        case RequestSample() | OfferTransfer() | ReadTransaction():
            return lambda older: older == newer
        case ReadProfiles() | ReadDerLimits() | SendSignal():
            return lambda older: type(older) is type(newer)
        case ReadComposite():
            return lambda older: isinstance(older, ReadComposite) and older.evse_id == newer.evse_id
        case PlaceFallback() | RawCall():
            return lambda _older: False
