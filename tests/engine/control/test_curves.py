"""Curves never ask for more than their band, and signals name points of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.domain.instructions import ControlPath
from counterflow.engine.control.curves import SIGNAL_STEPS, CurveSettings, curves_of, signal_of


@given(
    power_w=st.floats(-350_000.0, 0.0),
    path=st.sampled_from([ControlPath.AFRR, ControlPath.LOCAL_FREQUENCY]),
    dead_band_hz=st.floats(0.0, 1.0),
    full_at_hz=st.floats(0.001, 5.0),
)
def test_q08_the_worst_of_a_curve_is_the_band_and_its_best_is_nothing(
    power_w: float, path: ControlPath, dead_band_hz: float, full_at_hz: float
) -> None:
    curves = curves_of(path, power_w, CurveSettings(dead_band_hz=dead_band_hz, full_at_hz=full_at_hz))
    assert curves.worst_w == pytest.approx(power_w)
    assert curves.worst_w >= power_w - 1e-6
    powers = [power for _, power in (*curves.frequency, *curves.signal)]
    assert max(powers) == 0.0
    assert 2 <= len(curves.frequency) <= 20
    assert len(curves.signal) <= 20
    frequencies = [at_hz for at_hz, _ in curves.frequency]
    assert frequencies == sorted(set(frequencies))


@pytest.mark.parametrize(("share", "signal"), [(0.0, 0), (1.0, SIGNAL_STEPS), (0.5, 10), (0.26, 5)])
def test_q08_a_signal_is_a_point_of_the_curve(share: float, signal: int) -> None:
    assert signal_of(share) == signal
    points = dict(curves_of(ControlPath.AFRR, -10_000.0, CurveSettings()).signal)
    assert points[signal] == pytest.approx(-10_000.0 * share, abs=10_000.0 / SIGNAL_STEPS * 0.51)
