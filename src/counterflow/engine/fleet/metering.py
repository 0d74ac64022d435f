"""One meter sample into one session: newest reading of each kind wins, and every reading keeps its own time.

Energy since a report is the difference of a register and its *baseline*, the register at the time of that report. Where the
two do not come together the baseline is chosen on the careful side: exports since the register before it count, imports only
from the register after it.
"""

from math import isnan, nan

from counterflow.domain.telemetry import Measurement
from counterflow.engine.fleet.columns import READINGS_BYTES, Columns, write_readings
from counterflow.engine.fleet.sessions import Session
from counterflow.engine.fleet.settings import FleetSettings

MAX_SPACING_S = 3600.0


def take_measurement(
    session: Session, columns: Columns, sample: Measurement, received_s: float, live: bool, settings: FleetSettings
) -> bool:
    """Fold a sample into the session and its row. Returns whether the session's record or derived columns changed with it.

    `live` is False for what was queued while the station was offline: its readings count by their time, but they never make a
    session look fresh. A timestamp too far ahead of ours is replaced by `received_s`; that of a live value which is too far from
    ours either way is noted.
    """
    at_s = sample.at_s
    if not -settings.max_clock_ahead_s <= received_s - at_s <= settings.max_clock_behind_s:
        at_s = min(at_s, received_s)
        if live and sample.power_w == sample.power_w:
            columns.misdated_at_s[session.row] = at_s
    power_w, export_wh, import_wh, soc_frac = sample.power_w, sample.export_wh, sample.import_wh, sample.soc_frac
    if (
        at_s > session.newest_s
        and live
        and session.settled
        and power_w == power_w
        and export_wh >= session.export_wh
        and (import_wh >= session.import_wh or (import_wh != import_wh and session.import_wh != session.import_wh))
        and soc_frac == soc_frac
    ):
        # The usual sample, in order and of all kinds that this station sends: what follows comes to the same, in three times the time.
        session.newest_s = session.power_at_s = session.export_at_s = session.soc_at_s = at_s
        session.export_wh = session.soc_export_wh = export_wh
        session.soc_frac = soc_frac
        if import_wh == import_wh:
            session.import_wh = session.soc_import_wh = import_wh
            session.import_at_s = at_s
        if not session.interval_confirmed:
            _observe_spacing(session, received_s, settings)
            columns.meter_interval_s[session.row] = session.observed_interval_s
        write_readings(
            columns.readings,
            session.row * READINGS_BYTES,
            received_s,
            power_w,
            at_s,
            export_wh,
            import_wh,
            at_s,
            soc_frac,
            at_s,
            export_wh,
            import_wh,
        )
        return False
    return _take_readings(session, columns, sample, at_s, received_s, live, settings)


def _take_readings(
    session: Session, columns: Columns, sample: Measurement, at_s: float, received_s: float, live: bool, settings: FleetSettings
) -> bool:
    """Reading by reading: each may be missing, late, or the first of its kind."""
    power_w, export_wh, import_wh, soc_frac = sample.power_w, sample.export_wh, sample.import_wh, sample.soc_frac
    news = False
    if at_s > session.newest_s:
        session.newest_s = at_s
    if power_w == power_w and at_s >= session.power_at_s:
        row = session.row
        if live:
            if not session.interval_confirmed and at_s > session.power_at_s:
                _observe_spacing(session, received_s, settings)
                columns.meter_interval_s[row] = session.observed_interval_s
            columns.last_sample_s[row] = received_s
        session.power_at_s = at_s
        columns.power_w[row] = power_w
        columns.power_at_s[row] = at_s
    if export_wh == export_wh and at_s >= session.export_at_s:
        news = _take_export(session, columns, export_wh)
        session.export_at_s = at_s
        columns.register_at_s[session.row] = at_s
    if import_wh == import_wh and at_s >= session.import_at_s:
        news = _take_import(session, columns, import_wh) or news
        session.import_at_s = at_s
        if session.export_wh != session.export_wh:
            columns.register_at_s[session.row] = at_s
    if soc_frac == soc_frac and at_s >= session.soc_at_s:
        news = take_soc(session, columns, soc_frac, at_s, settings) or news
    session.settle()
    return news


def take_soc(session: Session, columns: Columns, soc_frac: float, at_s: float, settings: FleetSettings) -> bool:
    """A state of charge, from a sample or from the needs; dead reckoning starts anew at it. True when the needs were waiting for it."""
    row = session.row
    session.soc_frac = soc_frac
    session.soc_at_s = at_s
    session.newest_s = max(session.newest_s, at_s)
    columns.soc_frac[row] = soc_frac
    columns.soc_at_s[row] = at_s
    if session.export_at_s <= at_s or session.soc_export_wh != session.soc_export_wh:
        session.soc_export_wh = session.export_wh
        columns.soc_export_wh[row] = session.export_wh
    baseline_wh = session.import_wh if session.import_at_s >= at_s else nan
    session.soc_import_wh = baseline_wh
    columns.soc_import_wh[row] = baseline_wh
    needs = session.needs
    if needs is not None and session.needs_soc_frac != session.needs_soc_frac and abs(at_s - needs.at_s) <= settings.needs_soc_age_s:
        session.needs_soc_frac = soc_frac
        return True
    return False


def restore_soc(session: Session, columns: Columns, soc_frac: float, at_s: float, export_baseline_wh: float) -> None:
    """A state of charge from before a restart: its true time is not known, so exports count from `export_baseline_wh` on and
    imports only from the next register."""
    row = session.row
    session.soc_frac = soc_frac
    session.soc_at_s = at_s
    session.newest_s = max(session.newest_s, at_s)
    session.soc_export_wh = export_baseline_wh
    session.soc_import_wh = nan
    columns.soc_frac[row] = soc_frac
    columns.soc_at_s[row] = at_s
    columns.soc_export_wh[row] = export_baseline_wh
    columns.soc_import_wh[row] = nan


def _take_export(session: Session, columns: Columns, export_wh: float) -> bool:
    """A reading of the export register. True when the needs learned their baseline with it, or a cap (which is a reading of this
    register) is to be worked out again: where the register begins, or begins anew."""
    begins = isnan(session.export_wh) and session.is_capped
    if export_wh < session.export_wh:
        session.set_back_wh += export_wh - session.export_wh
        begins = bool(session.caps)
    session.soc_export_wh, session.needs_export_wh, learned = _baselines(
        export_wh, session.export_wh, session.soc_export_wh, session.needs_export_wh, session.needs is not None
    )
    session.export_wh = export_wh
    columns.export_wh[session.row] = export_wh
    columns.soc_export_wh[session.row] = session.soc_export_wh
    return learned or begins


def _take_import(session: Session, columns: Columns, import_wh: float) -> bool:
    """A reading of the import register, in the same way."""
    session.soc_import_wh, session.needs_import_wh, learned = _baselines(
        import_wh, session.import_wh, session.soc_import_wh, session.needs_import_wh, session.needs is not None
    )
    session.import_wh = import_wh
    columns.import_wh[session.row] = import_wh
    columns.soc_import_wh[session.row] = session.soc_import_wh
    return learned


def _baselines(
    register_wh: float, before_wh: float, soc_baseline_wh: float, needs_baseline_wh: float, has_needs: bool
) -> tuple[float, float, bool]:
    """The register when the state of charge and when the needs came, and whether the second is news, after a reading `register_wh`.

    A register that ran backwards takes its baselines along, so that energy already counted stays counted; a baseline that is missing
    is this reading.
    """
    learned = False
    if register_wh < before_wh:
        step_wh = register_wh - before_wh
        soc_baseline_wh += step_wh
        needs_baseline_wh += step_wh
        learned = has_needs
    if isnan(soc_baseline_wh):
        soc_baseline_wh = register_wh
    if has_needs and isnan(needs_baseline_wh):
        needs_baseline_wh = register_wh
        learned = True
    return soc_baseline_wh, needs_baseline_wh, learned


def _observe_spacing(session: Session, received_s: float, settings: FleetSettings) -> None:
    """Keep a moving mean of how far apart live power samples arrive."""
    spacing_s = received_s - session.arrived_s
    session.arrived_s = received_s
    if not 0.0 < spacing_s <= MAX_SPACING_S:
        return
    known_s = session.observed_interval_s
    session.observed_interval_s = spacing_s if known_s != known_s else known_s + settings.interval_weight * (spacing_s - known_s)
