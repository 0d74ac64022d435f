"""Each member's share of a dispatch, in whole Wh that add up to the pool's, with how well it is known."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from counterflow.domain.delivery import Gap, SessionDelivery
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.settlement import BY_PLAN, ClockSkew, Quality
from counterflow.domain.units import WH_PER_WS
from counterflow.engine.settlement.evidence import Fingerprint
from counterflow.engine.settlement.members import Member
from counterflow.engine.settlement.session import MemberEnergy, Spread, gaps, power_only_wh, spread
from counterflow.engine.settlement.settled import FleetEnergy, Settled, apportioned, counted, quality_of, whole

F8 = NDArray[np.float64]

COVERAGE = 2.0
"""Report figures are this many standard uncertainties, about 95 %."""


class Shares(NamedTuple):
    """What each member exported, imported and would have drawn, and what of it counts; whole Wh, (N,) each."""

    exported_wh: F8
    imported_wh: F8
    planned_wh: F8
    delivered_wh: F8

    def taken_wh(self, mode: DispatchMode) -> F8:
        """What the dispatch took from each: what it gave, and what it did not draw."""
        return self.delivered_wh if mode is DispatchMode.RELATIVE else self.exported_wh


def shares(settled: Settled, fleet: FleetEnergy, totals_wh: F8) -> Shares:
    """`totals_wh` (N, 3) rounded so that each column adds up to the rounded sum of the fleet."""
    sums_wh = whole(np.array([fleet.exported_wh[-1], fleet.imported_wh[-1], fleet.planned_wh[-1]]))
    exported, imported, planned = (apportioned(parts, total) for parts, total in zip(totals_wh.T, sums_wh.tolist(), strict=True))
    return Shares(exported, imported, planned, counted(settled.mode, exported, imported, planned))


def spreads(settled: Settled, skews: Sequence[ClockSkew]) -> tuple[Spread, ...]:
    """The uncertainty of each member's delivery; a clock that is off moves the window by as much."""
    off_s = {skew.station_id: abs(skew.behind_s) for skew in skews if skew.flagged}
    net = settled.mode is not DispatchMode.GROSS_EXPORT
    return tuple(
        _spread(member, energy, net, off_s.get(member.station_id, 0.0))
        for member, energy in zip(settled.members, settled.energies, strict=True)
    )


def sessions(
    settled: Settled, given: Shares, spread_of: Sequence[Spread], prints: Sequence[Fingerprint], recovered_wh: F8
) -> tuple[SessionDelivery, ...]:
    """One entry a member."""
    net = settled.mode is not DispatchMode.GROSS_EXPORT
    columns = (*given, recovered_wh)
    rows = zip(settled.members, settled.energies, spread_of, prints, *(column.tolist() for column in columns), strict=True)
    return tuple(
        SessionDelivery(
            session_uid=member.session_uid,
            station_id=member.station_id,
            transaction_id=member.transaction_id,
            joined_s=member.joined_s,
            left_s=member.left_s,
            exported_wh=out_wh,
            imported_wh=in_wh,
            delivered_wh=wh,
            uncertainty_wh=COVERAGE * float(np.hypot(unsure.own_wh, unsure.shared_wh)),
            from_register=energy is not None and _from_register(energy, net),
            setpoint_changes=member.setpoint_changes,
            drop_out=member.drop_out,
            evse_id=member.evse_id,
            baseline_wh=0.0 - planned_wh,
            flagged_wh=0.0 if energy is None else float(whole(np.array([_flagged_wh(energy, net)]))[0]),
            recovery_wh=back_wh,
            availability_frac=_availability(member, settled.until_s),
            quality=_quality(member, energy, settled.settings.min_metered_share),
            samples=seen.samples,
            samples_sha256=seen.digest,
            plan_frozen=member.frozen.when if member.frozen is not None and settled.baseline in BY_PLAN else None,
        )
        for member, energy, unsure, seen, out_wh, in_wh, planned_wh, wh, back_wh in rows
    )


def gaps_of(settled: Settled) -> tuple[Gap, ...]:
    """Stretches without meter values, member by member."""
    return tuple(gap for energy, member in zip(settled.energies, settled.members, strict=True) for gap in _gaps(energy, member))


def _availability(member: Member, until_s: float) -> float:
    """Share of the time from its joining to the end for which it counted."""
    return min(1.0, sum(to_s - from_s for from_s, to_s in member.spans) / (until_s - member.joined_s))


def _quality(member: Member, energy: MemberEnergy | None, least: float) -> Quality:
    if energy is None:
        return Quality.MISSING
    edges_s = [np.array(span) for span in member.spans]
    member_s = sum(to_s - from_s for from_s, to_s in (*member.spans, *member.unseen))
    firm_s = sum(float(np.ptp(energy.firm_s(edges))) for edges in edges_s)
    known_s = sum(float(np.ptp(energy.known_s(edges))) for edges in edges_s)
    return quality_of(firm_s >= least * member_s, known_s >= least * member_s)


def _flagged_wh(energy: MemberEnergy, net: bool) -> float:
    curves = (energy.exported, energy.imported) if net else (energy.exported,)
    return sum(power_only_wh(curve, energy.member) for curve in curves)


def _from_register(energy: MemberEnergy, net: bool) -> bool:
    """All counted energy but 1 Wh or 0.5 % is from registers. A post that only charges has none for export, and shows no export."""
    curves = (energy.exported, energy.imported) if net else (energy.exported,)
    only_charges = net and energy.imported.by_register.any() and float(energy.exported.energy_wh[-1]) <= 1.0
    if not energy.exported.by_register.any() and not only_charges:
        return False
    total = sum(float(curve.energy_wh[-1]) for curve in curves)
    return _flagged_wh(energy, net) <= max(1.0, 0.005 * total)


def _spread(member: Member, energy: MemberEnergy | None, net: bool, off_s: float) -> Spread:
    if energy is None:
        member_s = sum(to_s - from_s for from_s, to_s in (*member.spans, *member.unseen))
        return Spread(member.setpoint_max_w * member_s * WH_PER_WS / float(np.sqrt(3.0)), 0.0)
    known = spread(energy, count_import=net)
    peak_w = max(float(energy.exported.rate_w.max(initial=0.0)), float(energy.imported.rate_w.max(initial=0.0)))
    moved_wh = float(np.sqrt(2.0)) * off_s * peak_w * WH_PER_WS
    return Spread(float(np.hypot(known.own_wh, moved_wh)), known.shared_wh)


def _gaps(energy: MemberEnergy | None, member: Member) -> tuple[Gap, ...]:
    if energy is not None:
        return gaps(energy)
    return tuple(Gap(session_uid=member.session_uid, from_s=a, to_s=b, bridged_by_register=False) for a, b in member.spans)
