"""The charging curve."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.engine.fleet.curve import stretched, taper, unstretched, worst_stretch
from counterflow.engine.fleet.settings import CapabilitySettings

PLAIN = CapabilitySettings()
FRAC = st.floats(-0.5, 1.5)


def test_power_falls_from_the_knee_to_a_quarter() -> None:
    assert taper(np.array([0.0, 0.8, 0.9, 1.0, 1.2]), PLAIN).tolist() == pytest.approx([1.0, 1.0, 0.625, 0.25, 0.25])


def test_stretched_is_the_integral_of_one_over_taper() -> None:
    grid = np.linspace(0.0, 1.1, 110_001)
    middle = (grid[1:] + grid[:-1]) / 2.0
    integral = np.concatenate([[0.0], np.cumsum(np.diff(grid) / taper(middle, PLAIN))])
    assert np.abs(stretched(grid, PLAIN) - integral).max() < 1e-6


@settings(max_examples=100)
@given(at=FRAC, knee=st.floats(0.3, 0.95), end=st.floats(0.05, 0.95))
def test_unstretched_undoes_stretched(at: float, knee: float, end: float) -> None:
    curve = CapabilitySettings(taper_from_soc_frac=knee, taper_end_share=end)
    assert unstretched(stretched(np.array([at]), curve), curve)[0] == pytest.approx(at, abs=1e-9)


@settings(max_examples=100)
@given(start=st.floats(0.0, 1.0), first=st.floats(0.0, 1.0), second=st.floats(0.0, 1.0))
def test_no_charge_from_a_place_or_below_takes_longer_than_its_worst_stretch(start: float, first: float, second: float) -> None:
    begin, end = sorted((min(first, start), second))
    took = stretched(np.array([end]), PLAIN)[0] - stretched(np.array([begin]), PLAIN)[0]
    if begin <= start and end - begin > 1e-6:
        # However little of it lies high up: what is asked is the average from the place to full, or from below it to full.
        reach = worst_stretch(np.array([begin]), PLAIN)[0]
        assert took / (end - begin) <= reach + 1e-9
        assert reach <= worst_stretch(np.array([start]), PLAIN)[0] + 1e-9


def test_an_unknown_place_may_be_all_in_the_slowest_part() -> None:
    assert worst_stretch(np.array([np.nan]), PLAIN)[0] == pytest.approx(1.0 / PLAIN.taper_end_share)
    assert worst_stretch(np.array([1.0]), PLAIN)[0] == pytest.approx(1.0 / PLAIN.taper_end_share, rel=1e-4)


def test_unknown_stays_unknown() -> None:
    nothing = np.array([np.nan])
    assert np.isnan(stretched(nothing, PLAIN)).all()
    assert np.isnan(unstretched(nothing, PLAIN)).all()
