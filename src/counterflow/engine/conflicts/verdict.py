"""What other actors mean for one session: a pure rule (decisions 6; OCPP 2.1 part 2, 3.5; docs/adr/0009).

In doubt a car is not discharged. Doubt is: not told yet; a transaction profile that is not ours; a local system that can set the
power itself while nobody said whose setpoint wins. Only the operator of the site can settle the last two.
"""

from collections.abc import Iterable

from msgspec import Struct

from counterflow.domain.conflicts import TX_PROFILE, Conflict, ForeignProfile, Leader, Telling
from counterflow.domain.ids import EvseId
from counterflow.domain.resources import EvseCapability
from counterflow.engine.control.ledger import LEVELS_OF_OURS

EXTERNAL_SETPOINT_MODE = "externalsetpoint"
OURS_WINS = "csms"
"""SmartChargingCtrlr.SetpointPriority when our setpoint beats a local system's."""


class Situation(Struct, frozen=True, kw_only=True):
    """Everything that a verdict on one session depends on."""

    telling: Telling
    seen: bool
    """The station has told since this session is open."""
    foreign: tuple[ForeignProfile, ...]
    """On this session's EVSE, or on the whole station."""
    capability: EvseCapability | None
    leader: Leader | None
    held_out: bool = False
    external_setpoint: bool = False
    """A local system's setpoint is in force now."""
    discharge_untold: bool = True


def on_evse(foreign: Iterable[ForeignProfile], evse_id: EvseId) -> tuple[ForeignProfile, ...]:
    """What applies to an EVSE: what is on it or on the whole station; everything while the EVSE is not known (0)."""
    return tuple(one for one in foreign if evse_id == 0 or one.evse_id in (0, evse_id))


def highest_level(foreign: Iterable[ForeignProfile]) -> int | None:
    """The highest stack level of the foreign transaction profiles; None = there is none."""
    return max((one.profile.stack_level for one in foreign if one.profile.purpose == TX_PROFILE), default=None)


def priority_unclear(capability: EvseCapability | None) -> bool:
    """A local system can set the power of this EVSE, and the station does not say that our setpoint wins.

    Such a system is known to be possible where the EVSE offers ExternalSetpoint or the station takes external control signals. Where
    neither is so there is nothing to arbitrate, whatever the station says, or does not say, of SetpointPriority.
    """
    if capability is None or ours_wins(capability):
        return False
    offers = EXTERNAL_SETPOINT_MODE in {mode.casefold() for mode in capability.operation_modes}
    return offers or capability.external_control_signals is True


def ours_wins(capability: EvseCapability | None) -> bool:
    """The station says that the setpoint of its CSMS beats a local system's."""
    said = None if capability is None else capability.setpoint_priority
    return said is not None and said.strip().casefold() == OURS_WINS


def verdict(situation: Situation) -> Conflict:
    """The first thing that keeps the session out of dispatch, gravest first."""
    if situation.held_out:
        return Conflict.CONTRADICTS_ITSELF
    if situation.telling is Telling.UNSUPPORTED:
        if not situation.discharge_untold:
            return Conflict.NOT_TELLING
    elif not situation.seen:
        return Conflict.UNSEEN
    if situation.external_setpoint and not ours_wins(situation.capability):
        return Conflict.EXTERNAL_SETPOINT
    top = highest_level(situation.foreign)
    unclear = priority_unclear(situation.capability)
    if top is None and not unclear:
        return Conflict.NONE
    if situation.leader is None:
        return Conflict.PRIORITY_UNCLEAR if top is None else Conflict.FOREIGN_PROFILE
    if situation.leader is Leader.THEM:
        return Conflict.OTHERS_LEAD
    return Conflict.NONE if has_room(top, situation.capability) else Conflict.NO_LEVEL_ABOVE


def has_room(top: int | None, capability: EvseCapability | None) -> bool:
    """Whether our fallback and our discharge both fit above level `top`, up to ProfileStackLevel."""
    most = None if capability is None else capability.max_stack_level
    return top is None or most is None or top + LEVELS_OF_OURS <= most
