"""What an event did to the fleet: the answer of the single writer."""

from msgspec import Struct

from counterflow.domain.ids import NO_SESSION, SessionUid
from counterflow.domain.reasons import DropOutKind
from counterflow.domain.records import SessionRecord

Loss = tuple[SessionUid, DropOutKind]


class Applied(Struct, frozen=True, kw_only=True, gc=False):
    """What must follow from an event: what to keep, who was lost, and whether to look again soon."""

    sampled: SessionUid = NO_SESSION
    """The session whose measurements in this event belong in the journal; 0 = none (a repeated event, or nobody's)."""
    changed: tuple[SessionRecord, ...] = ()
    """Records to store: opened, changed and closed sessions."""
    left: tuple[Loss, ...] = ()
    """Sessions that can no longer be dispatched, and as what the loss counts."""
    wake: bool = False
    """A control tick should run soon."""


NOTHING = Applied()
