"""The part of the capability that takes a search: it is worked out when somebody asks, and then like at once."""

from collections.abc import Callable

import numpy as np

from counterflow.domain.reasons import Reason
from counterflow.engine.fleet.capability import Capability, CapabilitySettings, capability
from counterflow.engine.fleet.snapshot import COLUMNS, FleetImage, freeze

Cars = Callable[..., FleetImage]


def of(image: FleetImage, t0: float) -> Capability:
    return capability(image, t0, t0 + 900.0, CapabilitySettings())


def test_it_is_worked_out_once_and_only_when_somebody_asks(cars: Cars, t0: float) -> None:
    able = of(cars(3), t0)
    assert not vars(able.promise), "nobody has asked"
    assert (able.sustained_power_w == 7_000.0).all()
    assert able.sustained_power_w is able.sustained_power_w
    assert list(vars(able.promise)) == ["sustained_power_w"], "and of the rest nobody has yet"


def test_rows_that_are_taken_out_promise_nothing_and_say_why(cars: Cars, t0: float) -> None:
    able = of(cars(3), t0)
    less = able.without(np.array([True, False, False]), Reason.GUARDED).without(np.array([False, False, True]), Reason.NO_LOCAL_FREQUENCY)
    assert less.reason.tolist() == [Reason.GUARDED, Reason.READY, Reason.NO_LOCAL_FREQUENCY]
    assert less.max_power_w.tolist() == less.sustained_power_w.tolist() == [0.0, 7_000.0, 0.0]
    assert (less.useful_until_s == able.useful_until_s).all()
    assert (able.sustained_power_w == 7_000.0).all(), "the capability that it was made from is as it was"


def test_a_promise_does_not_change_with_the_fleet(cars: Cars, t0: float) -> None:
    """It is worked out of the image that it was made from, however late it is asked: the fleet has gone on by then."""
    at_once = of(cars(2), t0)
    asked_at_once = at_once.sustained_power_w, at_once.useful_until_s
    fleet = {name: getattr(cars(2), name).copy() for name in COLUMNS}
    able = of(freeze(fleet, cars(2).keys, t0), t0)
    for name, value in {"soc_frac": 0.31, "max_discharge_w": 2_000.0, "external_ahead_s": t0 + 60.0, "external_ahead_w": 500.0}.items():
        fleet[name][:] = value
    assert (able.sustained_power_w == asked_at_once[0]).all()
    assert (able.useful_until_s == asked_at_once[1]).all()
