"""The live monitor of the guarantees: what it finds, what it leaves alone, and how long it waits."""

from typing import Any

import numpy as np
import pytest

from counterflow.domain.conflicts import Conflict
from counterflow.domain.ids import FeederId, SiteId
from counterflow.domain.resources import Feeder, Site
from counterflow.domain.setpoints import FallbackState, SetpointState
from counterflow.engine.control.guarantees import (
    GRACE_S,
    GUARANTEE_WORDS,
    Breach,
    Guarantee,
    Owners,
    discharging_orders,
    of_fleet,
    of_members,
    ripened,
)
from counterflow.engine.fleet.capability import capability
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.topology import Topology

NOW_S = 1_800_000_000.0
ORDERED: dict[str, Any] = {
    "setpoint_w": -7_000.0,
    "setpoint_at_s": NOW_S - 60.0,
    "setpoint_state": SetpointState.ACCEPTED,
    "previous_setpoint_w": -7_000.0,
    "discharge_until_s": NOW_S + 600.0,
    "hold_until_s": NOW_S + 650.0,
    "power_w": -6_800.0,
    "fallback_state": FallbackState.PLACED,
}
"""Cars of 7 kW that follow an order to discharge, as it should be."""


def members(image: Any, cars: int = 2, **columns: Any) -> dict[Guarantee, list[int]]:
    fleet = image(cars, **(ORDERED | columns))
    able = capability(fleet, NOW_S, NOW_S + 600.0, CapabilitySettings())
    flags = of_members(fleet, able, np.ones(cars, dtype=bool), NOW_S + 600.0)
    return {guarantee: rows.tolist() for guarantee, rows in flags.items() if rows.size}


def fleet_flags(
    image: Any, topology: Topology, *, steered: Any = True, handed_back: Any = False, latched: bool = False, **columns: Any
) -> Any:
    cars = len(np.atleast_1d(columns.get("power_w", [0.0, 0.0])))
    fleet = image(cars, **(ORDERED | columns))
    owners = Owners(steered=np.zeros(cars, dtype=bool) | steered, handed_back=np.zeros(cars, dtype=bool) | handed_back)
    return {guarantee: rows.tolist() for guarantee, rows in of_fleet(fleet, topology, owners, latched=latched).items() if rows.size}


def test_every_guarantee_has_words_and_a_grace() -> None:
    assert set(GUARANTEE_WORDS) == set(GRACE_S) == set(Guarantee)


def test_orders_as_they_should_be_are_left_alone(image: Any) -> None:
    assert members(image) == {}
    assert fleet_flags(image, Topology(()), power_w=[-6_800.0, -6_800.0]) == {}


@pytest.mark.parametrize(
    ("columns", "guarantee"),
    [
        ({"soc_frac": [0.85, 0.31]}, Guarantee.FLOOR),
        ({"export_limit_wh": [np.inf, 0.0]}, Guarantee.FLOOR),
        ({"departure_s": [NOW_S + 30_000.0, NOW_S + 900.0]}, Guarantee.DEPARTURE),
        ({"consent": [True, False]}, Guarantee.PERMISSION),
        ({"conflict": [Conflict.NONE, Conflict.FOREIGN_PROFILE]}, Guarantee.PERMISSION),
        ({"grid_fault": [False, True]}, Guarantee.PERMISSION),
        ({"soc_frac": [0.85, np.nan]}, Guarantee.PERMISSION),
        ({"max_discharge_w": [7_000.0, 6_000.0]}, Guarantee.BOUNDS),
        ({"external_discharge_w": [np.nan, 3_000.0]}, Guarantee.BOUNDS),
        ({"max_discharge_w": [7_000.0, np.nan]}, Guarantee.BOUNDS),
        ({"setpoint_w": [-7_000.0, -900.0], "min_discharge_w": 1_400.0}, Guarantee.BOUNDS),
        ({"discharge_until_s": [NOW_S + 600.0, NOW_S + 3_600.0]}, Guarantee.ENDS),
        ({"fallback_state": [FallbackState.PLACED, FallbackState.NONE]}, Guarantee.ENDS),
    ],
    ids=str,
)
def test_what_does_not_hold_for_a_member_is_found_at_that_member(image: Any, columns: dict[str, Any], guarantee: Guarantee) -> None:
    assert members(image, **columns).get(guarantee) == [1]


@pytest.mark.parametrize(
    "columns",
    [
        {"setpoint_w": 0.0},
        {"setpoint_w": np.nan},
        {"setpoint_state": SetpointState.REJECTED},
        {"discharge_until_s": NOW_S - 1.0},
        {"connected": False},
        {"uid": 0},
    ],
    ids=str,
)
def test_a_car_that_is_not_ordered_or_cannot_be_reached_breaks_nothing(image: Any, columns: dict[str, Any]) -> None:
    broken = {"soc_frac": 0.2, "consent": False, "departure_s": NOW_S + 60.0, "max_discharge_w": 1_000.0}
    assert members(image, **(broken | columns)) == {}


def test_orders_without_a_dispatch_and_after_a_stop_are_found(image: Any) -> None:
    power_w = [-6_800.0, -6_800.0]
    assert fleet_flags(image, Topology(()), steered=[True, False], power_w=power_w) == {Guarantee.OWNED: [1]}
    assert fleet_flags(image, Topology(()), steered=[True, False], handed_back=[False, True], power_w=power_w) == {Guarantee.ENDS: [1]}
    assert fleet_flags(image, Topology(()), latched=True, power_w=power_w) == {Guarantee.STOPPED: [0, 1]}


def test_i3_above_a_limit_as_many_are_stopped_as_bring_it_back_those_that_give_most_first(image: Any) -> None:
    topology = Topology(
        [Site(site_id=SiteId("a"), feeder=FeederId("f")), Site(site_id=SiteId("b"))],
        [Feeder(feeder_id=FeederId("f"), max_export_power_w=15_000.0)],
    )
    given: dict[str, Any] = {"power_w": [-5_000.0, -7_000.0, -6_000.0, -7_000.0], "site": [1, 1, 1, 2]}
    assert fleet_flags(image, topology, **given) == {Guarantee.LIMITS: [1]}
    assert fleet_flags(image, topology, **(given | {"power_w": [-5_000.0, -4_000.0, -6_000.0, -7_000.0]})) == {}
    assert fleet_flags(image, Topology(()), **given) == {}


def test_a_guarantee_is_broken_only_when_it_was_so_at_every_look_for_its_grace(image: Any) -> None:
    suspicions: Any = {}
    for after_s, row, expected in ((0.0, 1, []), (4.0, 1, []), (8.0, 0, []), (12.0, 1, []), (40.0, 1, []), (42.0, 1, [1]), (46.0, 1, [1])):
        fleet = image(2, NOW_S + after_s)
        suspicions, breaches = ripened(fleet, {Guarantee.FLOOR: np.array([row])}, suspicions)
        assert [breach.row for breach in breaches] == expected, after_s
        assert breaches == [Breach(at, int(fleet.uid[at]), Guarantee.FLOOR) for at in expected]
        assert len(suspicions) == 1
    # A clock that is set back neither hastens nor forgets.
    earlier, breaches = ripened(image(2, NOW_S - 500.0), {Guarantee.FLOOR: np.array([1])}, suspicions)
    assert list(earlier.values()) == [NOW_S - 500.0]
    assert breaches == []


@pytest.mark.parametrize("seed", range(3))
def test_in_closed_loop_with_losses_nothing_is_ever_suspected_for_long(loop: Any, seed: int) -> None:
    at_work = loop(cars=150, seed=seed, command_loss=0.05, meter_loss=0.05, attrition_per_h=0.3, charging_w=5_000.0)
    plant = at_work.plant
    plant.columns["fallback_state"][:] = FallbackState.PLACED
    plant.columns["soc_frac"][:] = plant.rng.uniform(0.36, 0.9, 150)
    plant.columns["departure_s"][:] = plant.now_s + plant.rng.uniform(1_200.0, 9_000.0, 150)
    at_work.order([(0.0, 300_000.0), (150.0, 700_000.0)], 300.0)
    suspicions: Any = {}
    found = []
    for second in range(300):
        if second % 4 == 0:
            image = plant.image()
            able = capability(image, plant.now_s, at_work.instruction.end_s, CapabilitySettings())
            assert discharging_orders(image).any() or second < 8
            suspicions, breaches = ripened(image, of_members(image, able, image.occupied, at_work.instruction.end_s), suspicions)
            found += breaches
            at_work.tick()
        plant.step()
    assert found == []
