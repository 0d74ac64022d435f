"""The curves that a station is given when it finds its power by itself, and the signal that moves a fleet along them."""

from typing import Annotated

from msgspec import Meta, Struct

from counterflow.domain.instructions import ControlPath, DispatchInstruction
from counterflow.domain.setpoints import WattCurves
from counterflow.engine.control.book import ordered_power_w

SIGNAL_STEPS = 19
"""Signals 0 to 19: as many points as a curve may have, so that a station that does not interpolate finds every one of them."""


class CurveSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The droop of `local_frequency`."""

    nominal_hz: Annotated[float, Meta(description="Frequency at which nothing is asked.", extra={"unit": "Hz"}, gt=0)] = 50.0
    dead_band_hz: Annotated[float, Meta(description="So far below nominal nothing is asked yet.", extra={"unit": "Hz"}, ge=0, le=1)] = 0.01
    full_at_hz: Annotated[float, Meta(description="So far below nominal the whole band is asked.", extra={"unit": "Hz"}, gt=0, le=5)] = 0.2


def curves_of(path: ControlPath, power_w: float, settings: CurveSettings) -> WattCurves:
    """The curves of a car whose band is `power_w` (<= 0, import positive). Nothing is asked above it: the band is for discharge."""
    if path is ControlPath.AFRR:
        low_hz, high_hz = settings.nominal_hz - settings.full_at_hz, settings.nominal_hz + settings.full_at_hz
        steps = tuple((signal, power_w * signal / SIGNAL_STEPS) for signal in range(SIGNAL_STEPS + 1))
        return WattCurves(baseline_w=0.0, frequency=((low_hz, 0.0), (high_hz, 0.0)), signal=steps)
    full_hz = settings.nominal_hz - max(settings.full_at_hz, settings.dead_band_hz + 0.001)
    return WattCurves(baseline_w=0.0, frequency=((full_hz, power_w), (settings.nominal_hz - settings.dead_band_hz, 0.0)))


def activation(instruction: DispatchInstruction, now_s: float) -> float:
    """Which share of its band an aFRR dispatch is to deliver now, 0 to 1; the band is the power that was ordered first."""
    band_w = instruction.steps[0].discharge_power_w
    return min(1.0, ordered_power_w(instruction, now_s) / band_w) if band_w > 0.0 else 0.0


def signal_of(share: float) -> int:
    """The signal for a share of the band."""
    return round(SIGNAL_STEPS * share)
