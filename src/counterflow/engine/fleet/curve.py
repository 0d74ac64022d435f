"""The charging curve of a car: full power up to a knee, then falling in a line to a small share when full.

Charging times are differences of one increasing function of the state of charge, `stretched`: seconds to charge from a to b
= `full_charge_s * (stretched(b) - stretched(a))`, where `full_charge_s` is what 1.0 would take at full power (control 1.3).
"""

from typing import Final

import numpy as np

from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import F8

_NEARLY: Final = 1e-6


def taper(at_frac: F8, settings: CapabilitySettings) -> F8:
    """Share of its full charging power that a car takes at a state of charge, (N,)."""
    share: F8 = np.clip(1.0 - _steepness(settings) * (at_frac - settings.taper_from_soc_frac), settings.taper_end_share, 1.0)
    return share


def stretched(at_frac: F8, settings: CapabilitySettings) -> F8:
    """The integral of 1 / taper, (N,); it goes on in a line below 0 and above 1, so that stand-in scales work too."""
    result = np.array(at_frac, dtype=np.float64)
    bent = np.flatnonzero(result > settings.taper_from_soc_frac)
    if bent.size == 0:
        return result
    above = result[bent]
    result[bent] = settings.taper_from_soc_frac - np.log(taper(above, settings)) / _steepness(settings)
    result[bent] += np.maximum(above - 1.0, 0.0) / settings.taper_end_share
    return result


def unstretched(value: F8, settings: CapabilitySettings) -> F8:
    """The state of charge at which `stretched` takes a value, (N,)."""
    knee, steepness = settings.taper_from_soc_frac, _steepness(settings)
    full = knee - np.log(settings.taper_end_share) / steepness
    bent = knee + (1.0 - np.exp(-steepness * (np.clip(value, knee, full) - knee))) / steepness
    return np.where(value <= knee, value, bent + np.maximum(value - full, 0.0) * settings.taper_end_share)


def worst_stretch(from_frac: F8, settings: CapabilitySettings) -> F8:
    """How much longer than at full power any charge that begins at `from_frac` or below may take on average, (N,): all the way to full.

    NaN = the place is unknown; then it may be all in the slowest part.
    """
    below = np.minimum(from_frac, 1.0 - _NEARLY)
    average = (stretched(np.ones_like(below), settings) - stretched(below, settings)) / (1.0 - below)
    return np.where(np.isnan(from_frac), 1.0 / settings.taper_end_share, average)


def _steepness(settings: CapabilitySettings) -> float:
    return (1.0 - settings.taper_end_share) / (1.0 - settings.taper_from_soc_frac)
