"""Meter before and after: what each member drew just before it joined and once the dispatch was over, by its registers."""

from collections.abc import Sequence

import numpy as np

from counterflow.domain.units import WH_PER_WS
from counterflow.engine.settlement.members import Member
from counterflow.engine.settlement.session import MemberEnergy
from counterflow.engine.settlement.settings import BaselineSettings
from counterflow.engine.settlement.target import Held, held


def around_plans(
    members: Sequence[Member], energies: Sequence[MemberEnergy | None], stop_s: float, settings: BaselineSettings
) -> tuple[Held | None, ...]:
    """The mean of what each drew over a window before and one after, W; of one where the other is not known; None without either."""
    plans: list[Held | None] = []
    for member, energy in zip(members, energies, strict=True):
        after_s = stop_s + settings.after_delay_s
        windows = ((member.since_s - settings.around_s, member.since_s), (after_s, after_s + settings.around_s))
        known_w = [level for window in windows if energy is not None and (level := mean_draw_w(energy, *window)) is not None]
        plans.append(held([(member.since_s, sum(known_w) / len(known_w))]) if known_w else None)
    return tuple(plans)


def ready_s(stop_s: float, settings: BaselineSettings) -> float:
    """When the window after has been."""
    return stop_s + settings.after_delay_s + settings.around_s


def mean_draw_w(energy: MemberEnergy, from_s: float, to_s: float, least_known: float = 0.9) -> float | None:
    """Mean net import between two instants, W; None where too little of it is known."""
    at_s = np.array([from_s, to_s])
    if np.ptp(energy.known_s(at_s)) < least_known * (to_s - from_s):
        return None
    drawn_wh = np.ptp(energy.imported.energy_at(at_s)) - np.ptp(energy.exported.energy_at(at_s))
    return float(drawn_wh) / ((to_s - from_s) * WH_PER_WS)
