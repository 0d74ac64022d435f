"""What stands in the PDF: every figure with its unit and its quality, in words and rows of text."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime

from counterflow.domain.delivery import DeliveryReport, SessionDelivery, drop_out_words
from counterflow.domain.instructions import DispatchMode, promise_words, target_words
from counterflow.domain.series import regridded, timed
from counterflow.domain.settlement import Quality
from counterflow.domain.units import format_energy, format_instant

INTERVAL_HEADER = ("From (UTC)", "Target [kW]", "Delivered [kW]", "Delivered [Wh]", "Baseline [Wh]", "Short [Wh]", "Metered", "Data")
INTERVAL_WIDTHS = (1.25, 1.0, 1.1, 1.1, 1.1, 1.0, 0.85, -0.9)
DROP_OUT_HEADER = ("At (UTC)", "Station", "Session", "Why", "Lost [kW]", "Replaced by")
DROP_OUT_WIDTHS = (1.0, -1.6, -1.7, -1.3, 0.8, 0.9)
EVSE_HEADER = ("Station", "EVSE", "Sessions", "Out [Wh]", "In [Wh]", "Baseline [Wh]", "Delivered [Wh]", "± [Wh]", "Available", "Data")
EVSE_WIDTHS = (1.6, 0.5, 0.8, 0.85, 0.8, 1.15, 1.25, 0.7, 0.9, -0.95)

_STEPS_S = (60.0, 300.0, 900.0, 3600.0)
_MOST_INTERVALS = 44
_MOST_ROWS = 44
_WORST = (Quality.MISSING, Quality.STALE, Quality.ESTIMATED, Quality.GOOD)
_MODES = {
    DispatchMode.NET_EXPORT: "net export",
    DispatchMode.GROSS_EXPORT: "gross export",
    DispatchMode.RELATIVE: "relative to a baseline",
}


def heading(report: DeliveryReport) -> str:
    """The line below the title."""
    kind = "final" if report.final else "provisional"
    made = format_instant(round(report.generated_at_s))
    return f"Dispatch {report.dispatch_id} · version {report.version}, {kind} · made {made}"


def figures(report: DeliveryReport) -> list[tuple[str, str, str]]:
    """Name, figure and what stands below it, of the figures that count."""
    share = f"{_percent(report.delivered_energy_wh / report.target_energy_wh)} of the target" if report.target_energy_wh > 0.0 else ""
    tracking = "unknown" if report.tracking_rmse_frac is None else _percent(report.tracking_rmse_frac)
    band = "" if report.time_in_band_frac is None else f"{_percent(report.time_in_band_frac)} of time in band"
    return [
        ("Delivered", format_energy(report.delivered_energy_wh), f"± {format_energy(report.uncertainty_wh)} (95 %)"),
        ("Target", format_energy(report.target_energy_wh), share),
        ("Shortfall", format_energy(report.shortfall_energy_wh), "target less delivered"),
        ("Availability", _or_unknown(report.availability_frac), "of what was asked"),
        ("Tracking error", tracking, band),
    ]


def verdict(report: DeliveryReport) -> list[str]:
    """Sentences below the figures."""
    found: list[str] = []
    if report.revision is not None:
        found.append(f"This version replaces version {report.revision.of_version}. {' '.join(report.revision.reasons)}")
    if not report.final:
        found.append("These figures are provisional: the dispatch has not ended, or meter values may still come.")
    data = "" if report.quality is None else f" Data: {_quality(report.quality)}."
    flagged = f" Of the metered energy {report.flagged_wh:,.0f} Wh is from power alone." if report.flagged_wh else ""
    found += promise_words(report.instruction)
    found.append(f"{report.members:,} cars took part; {drop_out_words(report.drop_outs)}.{data}{flagged}")
    return found


def terms(report: DeliveryReport) -> list[tuple[str, str]]:
    """The order, as pairs."""
    order = report.instruction
    pairs = [
        ("Window", _window(order.start_s, order.end_s)),
        ("Asked", target_words(order)),
        ("Pool", str(order.pool)),
        ("Counts as", _MODES[order.mode]),
        ("Accepted", f"{_clock(order.accepted_at_s, day=True)} UTC"),
        ("Ordered by", order.ordered_by or "not said"),
        ("Ended as", (order.ends_as or order.state).value + (f" ({order.state_reason})" if order.state_reason else "")),
        ("Baseline", "not told (older report)" if report.baseline is None else report.baseline.method.value.replace("_", " ")),
    ]
    if order.resume_from_s is not None and order.resume_from_s < order.end_s - 1.0:
        pairs.insert(1, ("Stopped", f"{_clock(order.resume_from_s, day=True)} UTC"))
    return pairs


def interval_rows(report: DeliveryReport) -> list[list[str]]:
    """One row an interval: of a minute, or longer where the window is."""
    return [
        [
            _clock(point.from_s),
            f"{point.target_power_w / 1e3:,.1f}",
            "unknown" if point.delivered_power_w is None else f"{point.delivered_power_w / 1e3:,.1f}",
            f"{point.delivered_energy_wh:,.0f}",
            f"{point.baseline_energy_wh + 0.0:,.0f}",
            f"{max(0.0, point.target_power_w * length_s / 3600.0 - point.delivered_energy_wh):,.0f}",
            _percent(point.metered_share, 0),
            _quality(point.quality),
        ]
        for point, length_s in timed(_on_paper(report))
    ]


def interval_total(report: DeliveryReport) -> list[str]:
    """The row below the intervals. What is short is of the whole window, where more in one interval makes good for less in another."""
    base_wh = sum(point.baseline_energy_wh for point in report.series)
    totals = (report.delivered_energy_wh, base_wh + 0.0, report.shortfall_energy_wh)
    return ["Window", "", "", *(f"{wh:,.0f}" for wh in totals), "", _quality(report.quality)]


def _on_paper(report: DeliveryReport) -> DeliveryReport:
    length_s = sum(each_s for _, each_s in timed(report))
    fitting = [step for step in _STEPS_S if step % report.series_step_s == 0.0 and length_s / step <= _MOST_INTERVALS]
    return regridded(report, fitting[0]) if fitting else report


def drop_out_rows(report: DeliveryReport) -> tuple[list[list[str]], str]:
    """The drop-outs that cost most, in the order of time, and a sentence about the rest."""
    named = {session.session_uid: session for session in report.sessions}
    kept = sorted(sorted(report.drop_outs, key=lambda drop: -drop.lost_power_w)[:_MOST_ROWS], key=lambda drop: drop.at_s)
    rows = []
    for drop in kept:
        session = named.get(drop.session_uid)
        whose = ("", f"session {drop.session_uid}") if session is None else (session.station_id, session.transaction_id)
        lost = f"{drop.lost_power_w / 1e3:,.1f}"
        rows.append([_clock(drop.at_s), _cut(whose[0], 24), _cut(whose[1], 26), drop.kind.replace("_", " "), lost, str(drop.replaced_by)])
    return rows, _rest(len(report.drop_outs), "drop-outs", "the largest")


def evse_rows(report: DeliveryReport) -> tuple[list[list[str]], str]:
    """EVSE by EVSE, those that gave most first, and a sentence about the rest."""
    by_evse: dict[tuple[str, int], list[SessionDelivery]] = defaultdict(list)
    for session in report.sessions:
        by_evse[session.station_id, session.evse_id].append(session)
    ordered = sorted(by_evse.items(), key=lambda item: (-sum(session.delivered_wh for session in item[1]), item[0]))
    rows = [_evse_row(station, evse, sessions) for (station, evse), sessions in ordered[:_MOST_ROWS]]
    return rows, _rest(len(by_evse), "EVSEs", "those that gave most")


def _evse_row(station: str, evse: int, sessions: Sequence[SessionDelivery]) -> list[str]:
    energies = ("exported_wh", "imported_wh", "baseline_wh", "delivered_wh")
    sums = (sum(getattr(session, name) for session in sessions) + 0.0 for name in energies)
    unsure_wh = sum(session.uncertainty_wh**2 for session in sessions) ** 0.5
    there = [session.availability_frac for session in sessions if session.availability_frac is not None]
    worst = next((each for each in _WORST if any(session.quality is each for session in sessions)), None)
    available = _percent(max(there), 0) if there else "unknown"
    figures = (*(f"{wh:,.0f}" for wh in sums), f"{unsure_wh:,.0f}")
    return [_cut(station, 26), str(evse or ""), str(len(sessions)), *figures, available, _quality(worst)]


def evse_total(report: DeliveryReport) -> list[str]:
    """The row below the EVSEs, of all of them."""
    energies = ("exported_wh", "imported_wh", "baseline_wh", "delivered_wh")
    sums = (f"{sum(getattr(session, name) for session in report.sessions) + 0.0:,.0f}" for name in energies)
    evses = len({(session.station_id, session.evse_id) for session in report.sessions})
    unsure = f"{report.uncertainty_wh:,.0f}"
    return [f"All {evses:,} EVSEs", "", f"{len(report.sessions):,}", *sums, unsure, "", _quality(report.quality)]


def methods(report: DeliveryReport) -> list[tuple[str, list[str]]]:
    """The last page: title and sentences of each part."""
    return [
        ("How it was worked out", _worked_out(report)),
        ("Uncertainty", _uncertainty(report)),
        ("Recovery", _recovery(report)),
        ("Data quality", _data(report)),
        ("How to check it", _check(report)),
    ]


def _worked_out(report: DeliveryReport) -> list[str]:
    found = [
        "Energy is the difference of the energy registers of the meter of each EVSE, over the time for which its car was a member of the "
        "dispatch. Between two readings measured power tells when it flowed. All figures are AC, at the EVSE; discharge is positive.",
        "The pool is the sum of its members. Every grid of intervals is cut from that one sum in whole Wh, the rounding residual of one "
        "interval being carried into the next: intervals, EVSEs and the total agree to the Wh.",
    ]
    if report.baseline is not None:
        base = report.baseline
        complete = "" if base.complete else " It is not complete yet: the meter after the dispatch is still to be read."
        found.append(f"Baseline ({base.method.value.replace('_', ' ')}, {format_energy(base.energy_wh)}): {base.description}{complete}")
        found.append(f"What it is known to be off by: {base.known_error}")
    return found


def _uncertainty(report: DeliveryReport) -> list[str]:
    return [
        f"± {format_energy(report.uncertainty_wh)} is twice the standard uncertainty (about 95 %): the resolution of the registers, the "
        "split at the edges of the window where no reading falls on them, energy told by power alone, stretches of which nothing is "
        "known, and clocks that are off. The accuracy class of the meters and the error of the baseline are not in it.",
    ]


def _recovery(report: DeliveryReport) -> list[str]:
    if report.recovery is None:
        return []
    drew, until = format_energy(report.recovery.energy_wh), _clock(report.recovery.until_s, day=True)
    ends = _clock(report.recovery.ends_s, day=True)
    more = (
        "" if report.recovery.complete else (f" It is counted up to {ends} UTC: should they draw more until then, a later version says so.")
    )
    return [
        f"After the stop the members drew {drew} up to {until} UTC to make good what they had given. It is no part of what was "
        f"delivered.{more}"
    ]


def _data(report: DeliveryReport) -> list[str]:
    bridged = sum(gap.bridged_by_register for gap in report.gaps)
    gaps = f"Gaps in the meter values: {len(report.gaps)}, of which registers bridge {bridged}."
    found = [gaps if report.gaps else "No gaps in the meter values."]
    if report.clocks:
        named = ", ".join(f"{skew.station_id} ({skew.behind_s:+.1f} s)" for skew in report.clocks[:8])
        found.append(f"Stations whose clock is off (positive = behind, or slow to send): {_cut(named, 500)}.")
    found += [_cut(note, 240) for note in report.notes[:12]]
    if len(report.notes) > 12:
        found.append(f"... and {len(report.notes) - 12} more notes in the JSON of the report.")
    return found


def _check(report: DeliveryReport) -> list[str]:
    found = [
        f"'counterflow verify' makes the report again from the log and the raw meter values and compares it to the Wh: counterflow verify "
        f"{report.dispatch_id} --version {report.version}, or with the folder that 'counterflow report --all' wrote."
    ]
    if report.evidence is not None:
        found.append(f"It was made from {report.evidence.samples:,} meter values and the dispatch's log. Their SHA-256 sums:")
        found += [report.evidence.samples_sha256, report.evidence.log_sha256]
    return found


def _rest(count: int, things: str, chosen: str) -> str:
    return f"Of {count:,} {things} {chosen} are shown; all of them are in the CSV and JSON of the report." if count > _MOST_ROWS else ""


def _quality(quality: Quality | None) -> str:
    return "not told" if quality is None else quality.value


def _clock(at_s: float, *, day: bool = False) -> str:
    return datetime.fromtimestamp(round(at_s), UTC).strftime("%Y-%m-%d %H:%M:%S" if day else "%H:%M:%S")


def _window(from_s: float, to_s: float) -> str:
    same_day = _clock(from_s, day=True)[:10] == _clock(to_s, day=True)[:10]
    return f"{_clock(from_s, day=True)} to {_clock(to_s, day=not same_day)} UTC"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _or_unknown(share: float | None) -> str:
    return "unknown" if share is None else _percent(share)


def _percent(share: float, digits: int = 1) -> str:
    return f"{100.0 * share:.{digits}f} %"
