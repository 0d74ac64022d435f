"""The life of a session as tables: what a transaction event means, and which reports take a car out of dispatch."""

from enum import Enum, auto

from counterflow.domain.reasons import DropOutKind
from counterflow.domain.telemetry import EventKind, TransactionPhase


class Standing(Enum):
    """What we know of the transaction that an event speaks of."""

    ABSENT = auto()
    OPEN = auto()
    ENDED = auto()


class Move(Enum):
    """What an event does to a session."""

    OPEN = auto()
    UPDATE = auto()
    CLOSE = auto()
    RECORD_ENDED = auto()
    KEEP_LATE = auto()
    REOPEN = auto()


MOVES: dict[tuple[Standing, EventKind], Move] = {
    (Standing.ABSENT, EventKind.STARTED): Move.OPEN,
    (Standing.ABSENT, EventKind.UPDATED): Move.OPEN,
    (Standing.ABSENT, EventKind.ENDED): Move.RECORD_ENDED,
    (Standing.OPEN, EventKind.STARTED): Move.UPDATE,
    (Standing.OPEN, EventKind.UPDATED): Move.UPDATE,
    (Standing.OPEN, EventKind.ENDED): Move.CLOSE,
    (Standing.ENDED, EventKind.STARTED): Move.REOPEN,
    (Standing.ENDED, EventKind.UPDATED): Move.KEEP_LATE,
    (Standing.ENDED, EventKind.ENDED): Move.KEEP_LATE,
}
"""An unknown Updated is a transaction that we lost: it is adopted. An ended id that starts again later is a new session
(stations that count from 1 after a reset); anything else for an ended one only brings late meter values."""

PHASE_DROP_OUT: dict[TransactionPhase, DropOutKind | None] = {
    TransactionPhase.UNKNOWN: None,
    TransactionPhase.EV_CONNECTED: DropOutKind.SUSPENDED,
    TransactionPhase.CHARGING: None,
    TransactionPhase.SUSPENDED_EV: DropOutKind.SUSPENDED,
    TransactionPhase.SUSPENDED_EVSE: None,
    TransactionPhase.IDLE: DropOutKind.EV_GONE,
}
"""Which phases cannot be dispatched, and as what the loss counts. SuspendedEVSE can: a station says so at our own 0 W."""

EV_GONE_TRIGGERS = frozenset({"EVDeparted", "EVCommunicationLost"})
FAULT_TRIGGERS = frozenset({"AbnormalCondition"})
EV_BACK_TRIGGERS = frozenset({"EVDetected", "CablePluggedIn"})


def phase_of(trigger: str, phase: TransactionPhase) -> TransactionPhase | None:
    """The phase that an event states, or that its trigger reason implies when it states none; None = no news.

    Some stations never state a phase: a car that comes back is then UNKNOWN, which does not bar it.
    """
    if phase is not TransactionPhase.UNKNOWN:
        return phase
    if trigger in EV_GONE_TRIGGERS:
        return TransactionPhase.IDLE
    if trigger in EV_BACK_TRIGGERS:
        return TransactionPhase.UNKNOWN
    return None
