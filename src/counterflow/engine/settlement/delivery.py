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

from counterflow.domain.delivery import DeliveryReport, DropOut, Pause, SeriesPoint, Stored
from counterflow.domain.settlement import BY_PLAN, BaselineMethod, BaselineStatement, PlanFrozen, Quality
from counterflow.domain.units import WH_PER_WS
from counterflow.engine.settlement import target as targets
from counterflow.engine.settlement.around import ready_s
from counterflow.engine.settlement.baselines import WORDS
from counterflow.engine.settlement.clocks import clock_skews
from counterflow.engine.settlement.evidence import evidence, fingerprint
from counterflow.engine.settlement.intervals import delivered_and_target_w, series_of
from counterflow.engine.settlement.members import LOST_TO_SIGHT, drop_outs, messages_sent
from counterflow.engine.settlement.recovery import recovered
from counterflow.engine.settlement.score import bursts, outside, rmse_frac, time_in_band_frac, worst_error_frac
from counterflow.engine.settlement.session import MemberEnergy
from counterflow.engine.settlement.sessions import COVERAGE, gaps_of, sessions, shares, spreads
from counterflow.engine.settlement.settings import SettlementSettings
from counterflow.engine.settlement.settled import FleetEnergy, Settled, fleet_energy, quality_of, settle

F8 = NDArray[np.float64]


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
    skews = clock_skews(settled.members, stored.samples, settings.clock_skew_s)
    given, unsure = shares(settled, fleet, totals_wh), spreads(settled, skews)
    back = recovered(settled, given.taken_wh(settled.mode), now_s)
    prints = tuple(map(fingerprint, settled.columns))
    drops = _with_onsets(drop_outs(stored.log, settled.start_s, settled.until_s), settled.energies)
    pauses = _pauses(settled, drops)
    target_wh = float(np.ptp(settled.target.integrals(np.array([settled.start_s, settled.until_s]))[0])) * WH_PER_WS
    delivered_wh = float(given.delivered_wh.sum())
    own = sum(each.own_wh**2 for each in unsure)
    shared = sum(each.shared_wh for each in unsure)
    rmse, worst, in_band = _scores(settled, grids, fleet, pauses)
    members = sessions(settled, given, unsure, prints, back.each_wh)
    series = series_of(settled, grids.series_s, fleet.cut(0, len(grids.series_s)))
    return DeliveryReport(
        dispatch_id=stored.instruction.dispatch_id,
        version=version,
        generated_at_s=now_s,
        instruction=stored.instruction,
        target_energy_wh=target_wh,
        delivered_energy_wh=delivered_wh,
        uncertainty_wh=COVERAGE * float(np.sqrt(own + shared**2)),
        shortfall_energy_wh=max(0.0, target_wh - delivered_wh),
        tracking_rmse_frac=rmse,
        worst_10s_error_frac=worst,
        time_in_band_frac=in_band,
        members=len(settled.members),
        messages_sent=messages_sent(stored.log),
        drop_outs=drops,
        gaps=gaps_of(settled),
        sessions=members,
        series=series,
        series_step_s=step_s,
        final=final,
        notes=_notes(settled),
        not_judged=pauses,
        baseline=_statement(settled, float(given.planned_wh.sum()), now_s),
        availability_frac=_availability(series, settled.until_s),
        flagged_wh=sum(session.flagged_wh for session in members),
        quality=_quality(settled, fleet.cut(len(fleet.member_s) - 1, len(fleet.member_s))),
        recovery=back.pool if final and settings.recovery_s > 0.0 else None,
        clocks=tuple(skew for skew in skews if skew.flagged),
        evidence=evidence(settled, prints),
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


def _statement(settled: Settled, planned_wh: float, now_s: float) -> BaselineStatement:
    """The baseline in words. A meter that is still to be read after the dispatch makes it incomplete."""
    method, words = settled.baseline, WORDS[settled.baseline]
    after = method is BaselineMethod.METER_BEFORE_AFTER
    return BaselineStatement(
        method=method,
        description=words.description,
        known_error=words.known_error,
        energy_wh=planned_wh,
        complete=not after or now_s >= ready_s(settled.until_s, settled.settings.baselines),
    )


def _availability(series: Sequence[SeriesPoint], until_s: float) -> float | None:
    """Mean share of the target that could have been given, over the steps in which that is known and something was asked."""
    ends_s = [*(point.from_s for point in series[1:]), until_s]
    shares_s = [
        (min(1.0, max(0.0, point.delivered_power_w + (point.headroom_power_w or 0.0)) / point.target_power_w), end_s - point.from_s)
        for point, end_s in zip(series, ends_s, strict=False)
        if point.delivered_power_w is not None and point.target_power_w > 0.0
    ]
    asked_s = sum(length_s for _, length_s in shares_s)
    return sum(share * length_s for share, length_s in shares_s) / asked_s if asked_s > 0.0 else None


def _quality(settled: Settled, totals: FleetEnergy) -> Quality:
    """Of all members' time together, lost to sight or not."""
    member_s, least = float(totals.member_s[0] + totals.unseen_s[0]), settled.settings.min_metered_share
    return quality_of(float(totals.firm_s[0]) >= least * member_s, float(totals.known_s[0]) >= least * member_s)


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
    history, wanted = len(settled.stored.past_days_s), settled.settings.baselines.history_days
    if settled.baseline in (BaselineMethod.TEN_OF_TEN, BaselineMethod.HIGH_FIVE_OF_TEN) and history < wanted:
        found.append(f"Of the {wanted} earlier days that the baseline is made from, {history} are kept.")
    if settled.baseline in BY_PLAN:
        occasions = [member.frozen.when for member in settled.members if member.frozen is not None]
        counts = occasions.count(PlanFrozen.ACCEPTANCE), occasions.count(PlanFrozen.JOIN)
        found += ["Plans frozen when the order was accepted: {}; when the car joined: {}.".format(*counts)] if occasions else []
    for member, energy, plan in zip(settled.members, settled.energies, settled.plans, strict=True):
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
        if plan is None and settled.baseline is not BaselineMethod.ZERO:
            found.append(f"{name}: no plan by the method {settled.baseline} can be told; its baseline is taken as 0 W.")
    most = settled.settings.notes_max
    return tuple(found) if len(found) <= most else (*found[: most - 1], f"... and {len(found) - most + 1} more notes.")
