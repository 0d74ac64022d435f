"""What the members would have drawn without the dispatch: a table of methods, each with what it is known to be off by.

A baseline is per EVSE, and counts while its car is a member: one that leaves takes its baseline along. Figures of `known_error` are those
of `counterflow bench settlement` (docs/settlement.md).
"""

from collections.abc import Sequence
from typing import NamedTuple

from counterflow.domain.delivery import Stored
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.settlement import BaselineMethod
from counterflow.engine.settlement.around import around_plans
from counterflow.engine.settlement.forward import forward_plans
from counterflow.engine.settlement.history import history_plans
from counterflow.engine.settlement.members import Member
from counterflow.engine.settlement.session import MemberEnergy
from counterflow.engine.settlement.settings import SettlementSettings
from counterflow.engine.settlement.target import Held, held

Plans = tuple[Held | None, ...]
"""What each member would have drawn, W, import positive; None = it cannot be told, and counts as 0 W."""


class MethodWords(NamedTuple):
    """How a method works, and what it is known to be off by, in sentences for the report."""

    description: str
    known_error: str


WORDS: dict[BaselineMethod, MethodWords] = {
    BaselineMethod.ZERO: MethodWords(
        "No baseline: all that the members gave counts, and all that they drew counts against it.",
        "It ignores what they would have drawn; charging that was only put off is not seen.",
    ),
    BaselineMethod.DECLARED: MethodWords(
        "The plan of each car, frozen when the order was accepted, or when it joined later: it goes on at the power that it had.",
        "In simulation 4 % too high in the first quarter of an hour and 18 % over an hour: it ignores cars that would have become full, "
        "or have charged slower.",
    ),
    BaselineMethod.FORWARD: MethodWords(
        "Each car simulated forward from its state when the order was accepted, or when it joined later: it goes on charging, slower as it "
        "fills, up to its target.",
        "In simulation 0.3 % too low, 0.5 % RMS over an hour. It is as good as the state of charge that the car told, and as the charge "
        "efficiency that is set; a car that would have done something else is not foreseen.",
    ),
    BaselineMethod.METER_BEFORE_AFTER: MethodWords(
        "The mean of what each EVSE drew before its car joined and after the dispatch, by its meter.",
        "In simulation 13 % too high over an hour: after the dispatch cars make good what they gave, and before it fewer of them were "
        "full.",
    ),
    BaselineMethod.TEN_OF_TEN: MethodWords(
        "What each EVSE drew at this time of day, mean of the last ten days of the same kind without a dispatch, shifted by what the pool "
        "drew today before the window.",
        "In simulation 18 % too low, 18 % RMS over an hour: what an EVSE draws on average knows nothing of the car that is there today.",
    ),
    BaselineMethod.HIGH_FIVE_OF_TEN: MethodWords(
        "What each EVSE drew at this time of day, mean of those five of the last ten days of the same kind on which the pool drew most.",
        "In simulation 27 % too low over an hour, for the same reason: the days are those of the pool, and the cars are others.",
    ),
}


def baseline_of(stored: Stored) -> BaselineMethod:
    """What a dispatch is settled against: only a relative one counts from anything but zero."""
    if stored.instruction.mode is not DispatchMode.RELATIVE:
        return BaselineMethod.ZERO
    return stored.instruction.baseline or BaselineMethod.DECLARED


def baseline_plans(
    method: BaselineMethod,
    stored: Stored,
    members: Sequence[Member],
    energies: Sequence[MemberEnergy | None],
    stop_s: float,
    settings: SettlementSettings,
) -> Plans:
    """The plan of each member by this method, up to `stop_s`."""
    match method:
        case BaselineMethod.ZERO:
            return (None,) * len(members)
        case BaselineMethod.DECLARED:
            return tuple(held(member.plan) if member.plan else None for member in members)
        case BaselineMethod.FORWARD:
            return forward_plans([member.frozen for member in members], stored.instruction.start_s, stop_s, settings.baselines)
        case BaselineMethod.METER_BEFORE_AFTER:
            return around_plans(members, energies, stop_s, settings.baselines)
        case BaselineMethod.TEN_OF_TEN | BaselineMethod.HIGH_FIVE_OF_TEN:
            return history_plans(method, stored, members, energies, stop_s, settings)
