"""LocalFrequency: what a period's curves ask for at a grid frequency and an aFRR signal (OCPP 2.1 part 2, Q08)."""

from math import inf

from msgspec import UnsetType

from counterflow.adapters.ocpp.messages import ChargingSchedulePeriodType

NOMINAL_HZ = 50.0


def curve_power_w(period: ChargingSchedulePeriodType, frequency_hz: float, signal: int | None) -> float:
    """Baseline and both curves together, W, import positive. Without a signal so far its curve adds nothing."""
    frequency, signals = _frequency_points(period), _signal_points(period)
    power_w = 0.0 if isinstance(period.v2x_baseline, UnsetType) else period.v2x_baseline
    if frequency:
        power_w += _between(frequency, frequency_hz)
    if signals and signal is not None:
        power_w += _between(signals, float(signal))
    return power_w


def worst_power_w(period: ChargingSchedulePeriodType) -> float:
    """The strongest discharge that the curves can ask for, W, import positive."""
    power_w = 0.0 if isinstance(period.v2x_baseline, UnsetType) else period.v2x_baseline
    for points in (_frequency_points(period), _signal_points(period)):
        power_w += min((power for _, power in points), default=0.0)
    return power_w


def has_signal_curve(period: ChargingSchedulePeriodType) -> bool:
    """An AFRRSignal means something to this period."""
    return not isinstance(period.v2x_signal_watt_curve, UnsetType)


def _frequency_points(period: ChargingSchedulePeriodType) -> list[tuple[float, float]]:
    curve = period.v2x_freq_watt_curve
    return [] if isinstance(curve, UnsetType) else sorted((point.frequency, point.power) for point in curve)


def _signal_points(period: ChargingSchedulePeriodType) -> list[tuple[float, float]]:
    curve = period.v2x_signal_watt_curve
    return [] if isinstance(curve, UnsetType) else sorted((float(point.signal), point.power) for point in curve)


def _between(points: list[tuple[float, float]], at: float) -> float:
    """Linear between points, level beyond the ends."""
    before, before_w = -inf, points[0][1]
    for value, power_w in points:
        if at <= value:
            return power_w if before == -inf else before_w + (power_w - before_w) * (at - before) / (value - before)
        before, before_w = value, power_w
    return before_w
