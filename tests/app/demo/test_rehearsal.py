"""The demo's promise on the virtual clock, small; the full size is in tests/flow and in `counterflow replay`."""

import pytest

from counterflow.app.demo.rehearsal import Scenario, rehearse
from counterflow.sim.settings import PlantSettings

IDEAL = Scenario(stations=20, duration_s=120.0, drop_out=0.0, plant=PlantSettings.ideal())


def test_cars_that_do_as_they_are_told_keep_any_promise() -> None:
    one = rehearse(1, IDEAL)
    assert one.kept
    assert one.in_band_after_s is not None
    assert one.verdict.worst_frac is not None
    assert abs(one.verdict.worst_frac) < 0.01
    assert one.members > 10


def test_the_same_seed_is_the_same_run() -> None:
    assert rehearse(3, IDEAL) == rehearse(3, IDEAL)
    assert rehearse(3, IDEAL) != rehearse(4, IDEAL)


def test_a_fleet_that_cannot_discharge_is_said_not_shown() -> None:
    with pytest.raises(RuntimeError, match="above zero"):
        rehearse(1, Scenario(stations=1, duration_s=60.0, plant=PlantSettings(meter_loss=1.0)))
