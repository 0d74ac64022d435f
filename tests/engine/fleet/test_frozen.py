"""Plans that are frozen when an order is accepted: whose, with what, and the same again when they are read back."""

from typing import Any

import msgspec
import numpy as np
import pytest

from counterflow.domain.delivery import LogEntry, LogKind
from counterflow.domain.settlement import CarState, PlanFrozen
from counterflow.engine.fleet.frozen import CARS_PER_LINE, at_acceptance, frozen_in, lines_of, thawed
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import FleetImage, empty_columns, freeze
from counterflow.engine.fleet.undisturbed import ChargingTerms, Undisturbed

NOW_S = 10_000.0
TERMS = ChargingTerms()
SETTINGS = CapabilitySettings()


def picture(count: int, **columns: Any) -> FleetImage:
    made = empty_columns(count)
    known = {"uid": np.arange(1, count + 1), "power_w": 7_000.0, "soc_frac": 0.85, "capacity_wh": 50_000.0, "soc_target_frac": 0.95}
    known["last_sample_s"] = NOW_S - 10.0
    for name, values in {**known, **columns}.items():
        made[name][:] = values
    return freeze(made, tuple(("CS", str(row)) for row in range(count)), NOW_S)


def frozen(image: FleetImage, *others: Undisturbed) -> dict[int, float]:
    plans = at_acceptance(image, np.arange(len(image)) != 4, others, TERMS, SETTINGS)
    return dict(zip(plans.uid.tolist(), plans.power_w.tolist(), strict=True))


def test_every_car_of_the_group_that_is_there_has_its_plan_frozen() -> None:
    image = picture(5, uid=[1, 2, 0, 4, 5], power_w=[7_000.0, 0.0, 7_000.0, np.nan, 7_000.0])
    assert frozen(image) == {1: 7_000.0, 2: 0.0}, "not a free row, not one of which nothing is known, and none of another pool"


def test_of_a_car_that_was_not_heard_of_lately_nothing_is_known() -> None:
    image = picture(3, last_sample_s=[NOW_S - 3_600.0, NOW_S - 10.0, np.nan])
    assert frozen(image) == {2: 7_000.0}, "a power of an hour ago is no power now: its plan is frozen when it joins"
    held = picture(1, last_sample_s=NOW_S - 3_600.0, setpoint_w=-7_000.0, hold_until_s=NOW_S + 60.0)
    other = Undisturbed.of([CarState(7_000.0, 0.85, 50_000.0, None, 0.95)], np.full(1, NOW_S - 900.0), [1])
    assert list(frozen(held, other)) == [1], "it goes on in the plan that there is"


def test_a_car_that_an_order_holds_goes_on_as_it_did_before_or_in_the_plan_of_that_order() -> None:
    image = picture(
        4,
        power_w=[0.0, -7_000.0, -7_000.0, 0.0],
        setpoint_w=[0.0, -7_000.0, -7_000.0, -7_000.0],
        hold_until_s=[NOW_S + 60.0, NOW_S + 60.0, NOW_S + 60.0, NOW_S - 60.0],
        reduced=[True, False, False, False],
        drew_w=[11_000.0, np.nan, np.nan, np.nan],
    )
    assert frozen(image) == {1: 11_000.0, 4: 0.0}, "of a car that discharges nothing is known; the last one's order is over"
    first = Undisturbed.of([CarState(7_000.0, 0.85, 50_000.0, None, 0.95)] * 4, np.full(4, NOW_S - 900.0), [1, 9, 9, 9])
    assert frozen(image, first)[1] == pytest.approx(first.power_at(NOW_S, TERMS)[0]), "slowed by an order that has a plan of it"
    other = Undisturbed.of([CarState(7_000.0, 0.85, 50_000.0, None, 0.95)] * 4, np.full(4, NOW_S - 900.0), [9, 9, 3, 4])
    carried = at_acceptance(image, image.occupied, [other], TERMS, SETTINGS)
    assert carried.uid.tolist() == [1, 3, 4]
    for later_s in (0.0, 1_000.0, 3_000.0):
        assert carried.power_at(NOW_S + later_s, TERMS)[1] == pytest.approx(other.power_at(NOW_S + later_s, TERMS)[2])


@pytest.mark.parametrize("count", [0, 3, CARS_PER_LINE + 2])
def test_what_was_written_is_read_back_to_the_last_bit(count: int) -> None:
    rng = np.random.default_rng(1)
    image = picture(count, power_w=rng.uniform(0.0, 11_000.0, count), soc_frac=np.where(np.arange(count) % 2, rng.random(count), np.nan))
    plans = at_acceptance(image, image.occupied, (), TERMS, SETTINGS)
    lines = list(lines_of(plans, NOW_S))
    assert [len(line.uids) for line in lines] == [min(CARS_PER_LINE, count - first) for first in range(0, count, CARS_PER_LINE)]
    read = [msgspec.json.decode(msgspec.json.encode(line), type=LogEntry) for line in lines]
    again = thawed(frozen_in(read)).laid_on(image.uid)
    for name in Undisturbed.__struct_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(plans, name))


def test_plans_find_the_rows_of_their_sessions_and_no_others() -> None:
    plans = Undisturbed.of([CarState(float(uid), None, None, None, None) for uid in (30, 10, 20)], np.full(3, NOW_S), [30, 10, 20])
    laid = plans.laid_on(np.array([20, 0, 30, 77]))
    assert laid.uid.tolist() == [20, 0, 30, 0]
    assert laid.drew_w.tolist() == [0.0] * 4
    assert laid.power_w[[0, 2]].tolist() == [20.0, 30.0]


def test_of_a_car_the_plan_that_was_frozen_first_holds() -> None:
    early, late = CarState(3_000.0, None, None, None, None), CarState(11_000.0, None, None, None, None)
    log = [
        LogEntry(at_s=1.0, kind=LogKind.PLANS, uids=(1, 2), cars=(early, early)),
        LogEntry(at_s=5.0, kind=LogKind.CAR, session_uid=2, car=late),
        LogEntry(at_s=6.0, kind=LogKind.CAR, session_uid=3, car=late),
        LogEntry(at_s=9.0, kind=LogKind.CAR, session_uid=3, car=early),
        LogEntry(at_s=10.0, kind=LogKind.PLANS, uids=(1, 3), cars=(late, early)),
    ]
    found = frozen_in(log)
    assert {uid: (one.at_s, one.drew_w, one.when) for uid, one in found.items()} == {
        1: (1.0, 3_000.0, PlanFrozen.ACCEPTANCE),
        2: (1.0, 3_000.0, PlanFrozen.ACCEPTANCE),
        3: (6.0, 11_000.0, PlanFrozen.JOIN),
    }
