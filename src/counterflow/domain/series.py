"""A report's series on a coarser grid. Energies are added up, so that every grid has the same total to the Wh."""

from collections.abc import Sequence
from itertools import groupby

from msgspec.structs import replace

from counterflow.domain.delivery import DeliveryReport, SeriesPoint
from counterflow.domain.settlement import Quality

_MOST = 0.9
"""A mean is told where this share of the time is known; a step has the quality that this share of it has."""


def regridded(report: DeliveryReport, step_s: float) -> DeliveryReport:
    """The report with its series in steps of `step_s`. Raises ValueError for a step that is no multiple of the report's own."""
    many = step_s / report.series_step_s if report.series_step_s > 0.0 else 0.0
    if many < 1.0 or abs(many - round(many)) > 1e-9:
        raise ValueError(f"A step of {step_s:g} s is no multiple of the report's own, {report.series_step_s:g} s.")
    if not report.series or round(many) == 1:
        return report
    first_s = report.series[0].from_s
    groups = groupby(timed(report), key=lambda timed_point: int((timed_point[0].from_s - first_s + 1e-6) // step_s))
    return replace(report, series=tuple(_together(list(members)) for _, members in groups), series_step_s=step_s)


def timed(report: DeliveryReport) -> list[tuple[SeriesPoint, float]]:
    """Each point with the length of its step, s; the last may be shorter."""
    series, instruction = report.series, report.instruction
    if not series:
        return []
    stop_s = instruction.end_s if instruction.resume_from_s is None else min(instruction.resume_from_s, instruction.end_s)
    if not report.final:
        stop_s = min(stop_s, report.generated_at_s)
    last_s = min(report.series_step_s, max(stop_s - series[-1].from_s, 0.0)) or report.series_step_s
    ends_s = [*(point.from_s for point in series[1:]), series[-1].from_s + last_s]
    return [(point, end_s - point.from_s) for point, end_s in zip(series, ends_s, strict=True)]


def _together(members: Sequence[tuple[SeriesPoint, float]]) -> SeriesPoint:
    whole_s = sum(length_s for _, length_s in members)
    powers = [(point.delivered_power_w, length_s) for point, length_s in members if point.delivered_power_w is not None]
    known_s = sum(length_s for _, length_s in powers)
    spares = [(point.headroom_power_w, length_s) for point, length_s in members if point.headroom_power_w is not None]
    return SeriesPoint(
        from_s=members[0][0].from_s,
        target_power_w=_mean([(point.target_power_w, length_s) for point, length_s in members]),
        delivered_power_w=_mean(powers) if powers and known_s >= _MOST * whole_s else None,
        delivered_energy_wh=sum(point.delivered_energy_wh for point, _ in members),
        headroom_power_w=_mean(spares) if spares else None,
        metered_share=_mean([(point.metered_share, length_s) for point, length_s in members]),
        baseline_energy_wh=sum(point.baseline_energy_wh for point, _ in members),
        quality=_quality(members, whole_s),
    )


def _mean(values: Sequence[tuple[float, float]]) -> float:
    return sum(value * length_s for value, length_s in values) / sum(length_s for _, length_s in values)


def _quality(members: Sequence[tuple[SeriesPoint, float]], whole_s: float) -> Quality | None:
    """None where a part is of an older release and does not tell."""
    lengths_s = {quality: sum(length_s for point, length_s in members if point.quality is quality) for quality in (None, *Quality)}
    if lengths_s[None] > 0.0:
        return None
    if lengths_s[Quality.GOOD] >= _MOST * whole_s:
        return Quality.GOOD
    return Quality.MISSING if whole_s - lengths_s[Quality.MISSING] < _MOST * whole_s else Quality.ESTIMATED
