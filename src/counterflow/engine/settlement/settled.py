"""A dispatch with its members, their curves and their baselines: all that a report, a series or a single interval is cut from.

The fleet is the sum of its members, and every grid is a difference of that one sum, rounded where it is cut: so all grids, the sessions
and the total agree to the whole Wh.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterflow.domain.delivery import Stored
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.settlement import BaselineMethod, Quality
from counterflow.domain.units import WH_PER_WS
from counterflow.engine.settlement import target as targets
from counterflow.engine.settlement.baselines import Plans, baseline_of, baseline_plans
from counterflow.engine.settlement.members import Member, members
from counterflow.engine.settlement.samples import NO_SAMPLES, MeterColumns, meter_columns
from counterflow.engine.settlement.session import MemberEnergy, member_energy
from counterflow.engine.settlement.settings import SettlementSettings

F8 = NDArray[np.float64]
B1 = NDArray[np.bool_]

_NO_TIME_S = 1e-9


class Settled(NamedTuple):
    """All that a series or a report is cut from."""

    stored: Stored
    start_s: float
    until_s: float
    """The end of the window, its early stop, or now."""
    members: tuple[Member, ...]
    energies: tuple[MemberEnergy | None, ...]
    columns: tuple[MeterColumns, ...]
    """The samples of each member."""
    baseline: BaselineMethod
    plans: Plans
    target: targets.Held
    settings: SettlementSettings

    @property
    def mode(self) -> DispatchMode:
        """What counts as delivery."""
        return self.stored.instruction.mode


class FleetEnergy(NamedTuple):
    """Cumulative sums over the members at the edges of a grid, all (M,), in Wh and s."""

    exported_wh: F8
    imported_wh: F8
    planned_wh: F8
    metered_s: F8
    known_s: F8
    """Time of which the energy is counted, be it from registers or from power."""
    firm_s: F8
    """Time with meter values and registers around it."""
    member_s: F8
    """Time in which members count."""
    unseen_s: F8
    """Time in which members were lost to sight."""

    def cut(self, begin: int, end: int) -> "FleetEnergy":
        """The same at some of the instants."""
        return FleetEnergy(*(column[begin:end] for column in self))

    def counted_wh(self, mode: DispatchMode) -> F8:
        """Delivered energy, unrounded."""
        return counted(mode, self.exported_wh, self.imported_wh, self.planned_wh)

    def counted_whole_wh(self, mode: DispatchMode) -> F8:
        """Delivered energy in whole Wh: each part rounded on its own, so that sessions can be rounded to the same sums."""
        return counted(mode, whole(self.exported_wh), whole(self.imported_wh), whole(self.planned_wh))

    def metered_wh(self, mode: DispatchMode) -> F8:
        """What the meters tell of it, unrounded, discharge positive: delivery with the baseline left out."""
        return counted(mode, self.exported_wh, self.imported_wh, np.zeros(len(self.exported_wh)))

    def share(self, part_s: F8, *, of_all: bool = False) -> F8:
        """Share of the members' time in each step that `part_s` covers (M-1,); without members everything is covered, and where all of
        them were lost to sight nothing.

        `of_all` = the time in which members were lost to sight is theirs, too.
        """
        every_s = np.diff(self.member_s + self.unseen_s)
        member_s = every_s if of_all else np.diff(self.member_s)
        covered = np.clip(np.diff(part_s) / np.maximum(member_s, _NO_TIME_S), 0.0, 1.0)
        return np.where(every_s > _NO_TIME_S, covered, 1.0)


def settle(stored: Stored, now_s: float, settings: SettlementSettings) -> Settled:
    """Find members and build their curves and baselines; the costly part of a report."""
    start_s = stored.instruction.start_s
    until_s = max(start_s, min(targets.stop_s(stored.instruction, stored.log), now_s))
    stays = stored.instruction.mode is not DispatchMode.GROSS_EXPORT
    found = members(stored.log, start_s, until_s, stays=stays)
    by_uid = meter_columns(stored.samples, start_s - settings.context_s, until_s + settings.context_s)
    columns = tuple(by_uid.get(member.session_uid, NO_SAMPLES) for member in found)
    found = tuple(
        member.heard_until(float(each.at_s[-1])) if len(each.at_s) else member for member, each in zip(found, columns, strict=True)
    )
    energies = tuple(member_energy(member, each, settings) for member, each in zip(found, columns, strict=True))
    method = baseline_of(stored)
    return Settled(
        stored=stored,
        start_s=start_s,
        until_s=until_s,
        members=found,
        energies=energies,
        columns=columns,
        baseline=method,
        plans=baseline_plans(method, stored, found, energies, until_s, settings),
        target=targets.target(stored.instruction, stored.log),
        settings=settings,
    )


def fleet_energy(settled: Settled, at_s: F8) -> tuple[FleetEnergy, F8]:
    """Sums over the members at `at_s` (M,), counted from the start of the window, and (exported, imported, planned) Wh of each
    member at the last of these instants, (N, 3).

    What a car would have drawn counts where its meter tells what it drew: a plan against nothing would be delivered by a dead meter.
    """
    sums = FleetEnergy(*(np.zeros(len(at_s)) for _ in FleetEnergy._fields))
    each_wh = np.zeros((len(settled.members), 3))
    for row, (member, energy, plan) in enumerate(zip(settled.members, settled.energies, settled.plans, strict=True)):
        for from_s, to_s in member.unseen:
            sums.unseen_s[:] += np.minimum(np.maximum(at_s, from_s), to_s) - from_s
        for from_s, to_s in member.spans:
            probe_s = np.minimum(np.maximum(np.append(at_s, from_s), from_s), to_s)
            sums.member_s[:] += probe_s[:-1] - from_s
            if energy is None:
                continue
            if plan is not None:
                each_wh[row, 2] += _add(sums.planned_wh, energy.of_known(probe_s, plan.integrals) * WH_PER_WS)
            _add(sums.metered_s, energy.metered_s(probe_s))
            _add(sums.known_s, energy.known_s(probe_s))
            _add(sums.firm_s, energy.firm_s(probe_s))
            each_wh[row, 0] += _add(sums.exported_wh, energy.exported.energy_at(probe_s))
            each_wh[row, 1] += _add(sums.imported_wh, energy.imported.energy_at(probe_s))
    return sums, each_wh


def _add(sums: F8, cumulative: F8) -> float:
    """Add a curve (M+1,), counted from its value at the last instant, to the sums (M,); returns what it adds at the end."""
    sums += cumulative[:-1] - cumulative[-1]
    return float(cumulative[-2] - cumulative[-1])


def counted(mode: DispatchMode, exported: F8, imported: F8, planned: F8) -> F8:
    """Delivery: what was metered less the baseline, which is minus what would have been drawn."""
    match mode:
        case DispatchMode.NET_EXPORT:
            return exported - imported
        case DispatchMode.GROSS_EXPORT:
            return exported
        case DispatchMode.RELATIVE:
            return planned + exported - imported


def whole(energy_wh: F8) -> F8:
    """Whole Wh; the inner rounding makes the last bits of a float sum harmless."""
    rounded: F8 = np.rint(np.round(energy_wh, 6))
    return rounded


def apportioned(parts_wh: F8, total_wh: float) -> F8:
    """Whole Wh for each part (N,) that add up to `total_wh`, their rounded sum: the largest remainders are rounded up."""
    floors = np.floor(parts_wh + 1e-6)
    missing = round(total_wh - float(np.sum(floors)))
    if missing > 0:
        floors[np.argsort(floors - parts_wh, kind="stable")[:missing]] += 1.0
    return floors


def power(settled: Settled, edges_s: F8, energy_wh: F8, heard: F8) -> F8:
    """Mean power of each step from cumulative energy (M,), NaN where too few members were heard; (M-1,)."""
    power_w = np.diff(energy_wh) / (np.diff(edges_s) * WH_PER_WS)
    return np.where(heard >= settled.settings.min_metered_share, power_w, np.nan)


def qualities(settled: Settled, energy: FleetEnergy) -> tuple[Quality, ...]:
    """The quality of each step, by the share of the members' time, lost to sight or not, that is firm, or at least counted; (M-1,)."""
    least = settled.settings.min_metered_share
    firm, known = (energy.share(part_s, of_all=True) >= least for part_s in (energy.firm_s, energy.known_s))
    return tuple(quality_of(*both) for both in zip(firm.tolist(), known.tolist(), strict=True))


def quality_of(firm: bool, known: bool) -> Quality:
    """The quality of a figure that is firm, or at least known."""
    if firm:
        return Quality.GOOD
    return Quality.ESTIMATED if known else Quality.MISSING
