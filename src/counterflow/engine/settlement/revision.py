"""When a report is another version, and what is different in it, in sentences."""

from counterflow.domain.delivery import DeliveryReport, SessionDelivery
from counterflow.domain.ids import SessionUid
from counterflow.domain.settlement import Revision


def is_another(before: DeliveryReport, after: DeliveryReport) -> bool:
    """Whether `after` is a version of its own, or `before` still says all of it.

    Charging goes on for long after the window: it makes a version once, when it has been counted to its end, and only where more was drawn
    than the version before could tell.
    """
    return _settled(after) != _settled(before) or _recovered_more(before, after)


def _settled(report: DeliveryReport) -> tuple[object, ...]:
    """The figures that are settled."""
    baseline = None if report.baseline is None else (report.baseline.energy_wh, report.baseline.complete)
    figures = (report.delivered_energy_wh, round(report.uncertainty_wh), report.flagged_wh, report.quality)
    return (*figures, report.gaps, report.notes, baseline, tuple(map(_figures, report.sessions)))


def _recovered_more(before: DeliveryReport, after: DeliveryReport) -> bool:
    return after.recovery is not None and after.recovery.complete and _recovered_wh(after) != _recovered_wh(before)


def _recovered_wh(report: DeliveryReport) -> dict[SessionUid, float]:
    return {session.session_uid: session.recovery_wh for session in report.sessions if session.recovery_wh}


def revision(before: DeliveryReport, after: DeliveryReport) -> Revision:
    """What `after` says otherwise than `before`, the version in front of it."""
    former = {session.session_uid: _figures(session) for session in before.sessions}
    changed = [session for session in after.sessions if former.get(session.session_uid) != _figures(session)]
    reasons: list[str] = []
    if changed:
        reasons.append(f"Meter values that came in since changed {len(changed)} of {len(after.sessions)} sessions.")
    moved_wh = after.delivered_energy_wh - before.delivered_energy_wh
    if moved_wh:
        now, then = f"{after.delivered_energy_wh:,.0f} Wh", f"{before.delivered_energy_wh:,.0f} Wh"
        reasons.append(f"Delivered energy is {now} instead of {then} ({moved_wh:+,.0f} Wh).")
    else:
        reasons.append(f"Delivered energy is unchanged: {after.delivered_energy_wh:,.0f} Wh.")
    if after.quality is not None and before.quality is not None and after.quality is not before.quality:
        reasons.append(f"Its quality is {after.quality.value} instead of {before.quality.value}.")
    if after.recovery is not None and _recovered_more(before, after):
        reasons.append(f"Recovery has been counted to its end: {after.recovery.energy_wh:,.0f} Wh.")
    if after.baseline is not None and before.baseline is not None and after.baseline.complete and not before.baseline.complete:
        reasons.append("The meter after the dispatch is in, and with it the baseline is complete.")
    if after.notes != before.notes:
        reasons.append("The notes on the meters are others.")
    if len(after.gaps) != len(before.gaps):
        reasons.append(f"Gaps in the meter values: {len(after.gaps)} instead of {len(before.gaps)}.")
    return Revision(
        of_version=before.version,
        delivered_before_wh=before.delivered_energy_wh,
        sessions_changed=len(changed),
        reasons=tuple(reasons),
    )


def _figures(session: SessionDelivery) -> tuple[object, ...]:
    energies = (session.exported_wh, session.imported_wh, session.delivered_wh, session.baseline_wh, session.flagged_wh)
    return (session.session_uid, *energies, session.from_register, session.joined_s, session.left_s, session.quality)
