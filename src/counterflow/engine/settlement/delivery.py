"""What a dispatch delivered, from journal data alone: the same data give the same report, whenever it is made.

A member's energy is the difference of its registers over the time it was a member, shaped in between by its power samples
(`curve`). The fleet is the sum of its members, and every grid is a difference of that one sum, so that all grids, the sessions and
the total agree to the whole Wh. What no meter told is not counted, marked, and widens the uncertainty.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from counterflow.domain.delivery import DeliveryReport, DropOut, Gap, Pause, SessionDelivery, Stored
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.units import WH_PER_WS
from counterflow.engine.settlement import target as targets
from counterflow.engine.settlement.intervals import delivered_and_target_w, series_of
from counterflow.engine.settlement.members import LOST_TO_SIGHT, Member, drop_outs, messages_sent
from counterflow.engine.settlement.score import bursts, outside, rmse_frac, time_in_band_frac, worst_error_frac
from counterflow.engine.settlement.session import MemberEnergy, Spread, gaps, power_only_wh, spread
from counterflow.engine.settlement.settings import SettlementSettings
from counterflow.engine.settlement.settled import FleetEnergy, Settled, apportioned, counted, fleet_energy, settle, whole

F8 = NDArray[np.float64]

_COVERAGE = 2.0
"""Report figures are this many standard uncertainties, about 95 %."""


def build_report(
    stored: Stored, now_s: float, *, step_s: float = 4.0, settings: SettlementSettings, final: bool, version: int
) -> DeliveryReport:
    """The settlement of a dispatch up to `now_s` at most. Raises ValueError for a step that is not above zero.

    Energy is in whole Wh. Each session's exported and imported Wh are rounded by largest remainder, so that they add up to the
    rounded total. `uncertainty_wh` is twice the standard uncertainty of `session.spread`: independent parts are added as squares
    over sessions, the shared boundary part linearly.
    """
    settled = settle(stored, now_s, settings)
    grids = _Grids.of(settled, step_s)
    fleet, totals_wh = fleet_energy(settled, np.concatenate(grids))
    sessions, spreads = _sessions(settled, fleet, totals_wh)
    drops = _with_onsets(drop_outs(stored.log, settled.start_s, settled.until_s), settled.energies)
    pauses = _pauses(settled, drops)
    target_wh = float(np.ptp(settled.target.integrals(np.array([settled.start_s, settled.until_s]))[0])) * WH_PER_WS
    delivered_wh = float(sum(session.delivered_wh for session in sessions))
    own = sum(each.own_wh**2 for each in spreads)
    shared = sum(each.shared_wh for each in spreads)
    rmse, worst, in_band = _scores(settled, grids, fleet, pauses)
    return DeliveryReport(
        dispatch_id=stored.instruction.dispatch_id,
        version=version,
        generated_at_s=now_s,
        instruction=stored.instruction,
        target_energy_wh=target_wh,
        delivered_energy_wh=delivered_wh,
        uncertainty_wh=_COVERAGE * float(np.sqrt(own + shared**2)),
        shortfall_energy_wh=max(0.0, target_wh - delivered_wh),
        tracking_rmse_frac=rmse,
        worst_10s_error_frac=worst,
        time_in_band_frac=in_band,
        members=len(settled.members),
        messages_sent=messages_sent(stored.log),
        drop_outs=drops,
        gaps=tuple(gap for energy, member in zip(settled.energies, settled.members, strict=True) for gap in _gaps(energy, member)),
        sessions=sessions,
        series=series_of(settled, grids.series_s, fleet.cut(0, len(grids.series_s))),
        series_step_s=step_s,
        final=final,
        notes=_notes(settled),
        not_judged=pauses,
    )


class _Grids(NamedTuple):
    """Edges of all grids of a report, evaluated in one pass over the members. `ends_s` comes last: the totals."""

    series_s: F8
    score_s: F8
    worst_s: F8
    ends_s: F8

    @classmethod
    def of(cls, settled: Settled, step_s: float) -> "_Grids":
        settings = settled.settings
        judged_s = min(settled.start_s + settings.settle_s, settled.until_s)
        return cls(
            targets.edges_s(settled.start_s, settled.until_s, step_s),
            targets.edges_s(judged_s, settled.until_s, settings.score_step_s),
            targets.edges_s(judged_s, settled.until_s, settings.worst_step_s),
            np.array([settled.until_s]),
        )


def _sessions(settled: Settled, fleet: FleetEnergy, totals_wh: F8) -> tuple[tuple[SessionDelivery, ...], tuple[Spread, ...]]:
    sums_wh = whole(np.array([fleet.exported_wh[-1], fleet.imported_wh[-1], fleet.planned_wh[-1]]))
    exported, imported, planned = (apportioned(parts, total) for parts, total in zip(totals_wh.T, sums_wh.tolist(), strict=True))
    delivered = counted(settled.mode, exported, imported, planned)
    net = settled.mode is not DispatchMode.GROSS_EXPORT
    spreads = tuple(_spread(member, energy, net) for member, energy in zip(settled.members, settled.energies, strict=True))
    rows = zip(settled.members, settled.energies, exported.tolist(), imported.tolist(), delivered.tolist(), spreads, strict=True)
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
            uncertainty_wh=_COVERAGE * float(np.hypot(unsure.own_wh, unsure.shared_wh)),
            from_register=energy is not None and _from_register(energy, net),
            setpoint_changes=member.setpoint_changes,
            drop_out=member.drop_out,
        )
        for member, energy, out_wh, in_wh, wh, unsure in rows
    ), spreads


def _from_register(energy: MemberEnergy, net: bool) -> bool:
    """All counted energy but 1 Wh or 0.5 % is from registers. A post that only charges has none for export, and shows no export."""
    curves = (energy.exported, energy.imported) if net else (energy.exported,)
    only_charges = net and energy.imported.by_register.any() and float(energy.exported.energy_wh[-1]) <= 1.0
    if not energy.exported.by_register.any() and not only_charges:
        return False
    total = sum(float(curve.energy_wh[-1]) for curve in curves)
    return sum(power_only_wh(curve, energy.member) for curve in curves) <= max(1.0, 0.005 * total)


def _spread(member: Member, energy: MemberEnergy | None, net: bool) -> Spread:
    if energy is not None:
        return spread(energy, count_import=net)
    member_s = sum(to_s - from_s for from_s, to_s in member.spans)
    return Spread(member.setpoint_max_w * member_s * WH_PER_WS / float(np.sqrt(3.0)), 0.0)


def _gaps(energy: MemberEnergy | None, member: Member) -> tuple[Gap, ...]:
    if energy is not None:
        return gaps(energy)
    return tuple(Gap(session_uid=member.session_uid, from_s=a, to_s=b, bridged_by_register=False) for a, b in member.spans)


def _scores(
    settled: Settled, grids: _Grids, fleet: FleetEnergy, pauses: Sequence[Pause]
) -> tuple[float | None, float | None, float | None]:
    """RMSE, the worst 10 s mean and the time in band, all three of the steps that touch none of the pauses."""
    settings = settled.settings
    if len(grids.score_s) < 2:
        return None, None, None
    left_out = [(pause.from_s, pause.to_s) for pause in pauses]
    score_from = len(grids.series_s)
    worst_from = score_from + len(grids.score_s)
    delivered_w, target_w = delivered_and_target_w(settled, grids.score_s, fleet.cut(score_from, worst_from))
    weight_s = np.diff(grids.score_s) * outside(grids.score_s, left_out)
    rmse = rmse_frac(delivered_w, target_w, weight_s)
    in_band = time_in_band_frac(delivered_w, target_w, weight_s, settings.band_frac)
    delivered_w, target_w = delivered_and_target_w(settled, grids.worst_s, fleet.cut(worst_from, worst_from + len(grids.worst_s)))
    whole = np.diff(grids.worst_s) >= settings.worst_step_s - 1e-6
    return rmse, worst_error_frac(delivered_w, target_w, whole & outside(grids.worst_s, left_out)), in_band


def _pauses(settled: Settled, drops: Sequence[DropOut]) -> tuple[Pause, ...]:
    """Where tracking is not judged: while the cars come up, after each change of the target, and after each burst of drop-outs."""
    settings = settled.settings
    found = [(settled.start_s, settled.start_s + settings.settle_s, "start")]
    changed = settled.target.from_s[1:][np.diff(settled.target.value) != 0.0]
    if targets.moves_smoothly(settled.stored.instruction):
        changed = changed[:0]
    found += [(float(at_s), float(at_s) + settings.settle_s, "target changed") for at_s in changed]
    span_s = settled.until_s - settled.start_s
    if span_s > 0.0:
        mean_w = float(np.ptp(settled.target.integrals(np.array([settled.start_s, settled.until_s]))[0])) / span_s
        burst = bursts(drops, mean_w, span_s=settings.burst_span_s, share_frac=settings.burst_frac)
        found += [(first, last + settings.burst_recovery_s, "cars lost") for first, last in burst]
    return tuple(
        Pause(from_s=max(from_s, settled.start_s), to_s=min(to_s, settled.until_s), why=why)
        for from_s, to_s, why in sorted(found)
        if max(from_s, settled.start_s) < min(to_s, settled.until_s)
    )


def _with_onsets(drops: Sequence[DropOut], energies: Sequence[MemberEnergy | None]) -> tuple[DropOut, ...]:
    """When each loss began: what was lost to sight began to be lost with its last sample, since nothing is counted after it."""
    heard_s = {energy.member.session_uid: energy.heard_s for energy in energies if energy is not None}
    found: list[DropOut] = []
    for drop in drops:
        since_s = drop.at_s
        if drop.kind.lower() in LOST_TO_SIGHT and drop.session_uid in heard_s:
            before = heard_s[drop.session_uid][heard_s[drop.session_uid] <= drop.at_s]
            since_s = float(before[-1]) if len(before) else drop.at_s
        found.append(replace(drop, since_s=since_s))
    return tuple(found)


def _notes(settled: Settled) -> tuple[str, ...]:
    """Sentences about what a reader must know: anomalies of registers, missing meters, missing plans."""
    found: list[str] = []
    for member, energy in zip(settled.members, settled.energies, strict=True):
        name = f"{member.station_id or 'session'} {member.transaction_id or member.session_uid}"
        if energy is None:
            found.append(f"{name}: no meter values; nothing is counted for it.")
            continue
        for word, curve in (("export", energy.exported), ("import", energy.imported)):
            found += [
                f"{name}: {anomaly.kind.value} of the {word} register {anomaly.at_s - settled.start_s:+.0f} s from the start."
                for anomaly in curve.anomalies
                if settled.start_s <= anomaly.at_s <= settled.until_s + settled.settings.context_s
            ]
        if settled.mode is DispatchMode.RELATIVE and not member.plan:
            found.append(f"{name}: no plan was recorded; its plan is taken as 0 W.")
    most = settled.settings.notes_max
    return tuple(found) if len(found) <= most else (*found[: most - 1], f"... and {len(found) - most + 1} more notes.")
