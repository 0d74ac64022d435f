"""Charge reduction in orders of the mode RELATIVE: cars that cannot be discharged and are slowed or paused."""

from typing import Any

import numpy as np
import pytest

from counterflow.domain.instructions import AllocationPolicy, DispatchMode
from counterflow.domain.reasons import ChangeReason, DropOutKind
from counterflow.domain.resources import ControlMode, Site
from counterflow.domain.setpoints import SetpointState
from counterflow.engine.control.balance import engage_w

START_S = 1_800_000_000.0
CHARGING: dict[str, Any] = {"control_mode": ControlMode.CHARGE_ONLY, "pausing": True, "power_w": 11_000.0, "max_charge_w": 11_000.0}
PAUSED: dict[str, Any] = CHARGING | {
    "power_w": 0.0,
    "power_at_s": START_S + 59.0,
    "setpoint_w": 0.0,
    "setpoint_at_s": START_S,
    "setpoint_state": SetpointState.ACCEPTED,
    "discharge_until_s": START_S + 930.0,
    "hold_until_s": START_S + 930.0,
    "pause_from_s": START_S,
    "drew_w": 11_000.0,
    "reduced": True,
}


LOOSE: dict[str, Any] = {
    "power_w": 11_000.0,
    "setpoint_w": np.nan,
    "setpoint_at_s": np.nan,
    "setpoint_state": SetpointState.NONE,
    "discharge_until_s": np.nan,
    "hold_until_s": np.nan,
    "pause_from_s": np.nan,
    "drew_w": np.nan,
    "reduced": False,
}


FREE = {"pause_left_s": np.inf, "departure_s": START_S + 8 * 3_600.0, "driver_stop": False, "priority_charging": False, "pausing": True}


def first_paused(**first: Any) -> dict[str, Any]:
    """The first of two cars is paused, the other charges; `first` is what else is so of the first."""
    return (
        PAUSED
        | {name: [PAUSED[name], value] for name, value in LOOSE.items()}
        | {name: [value, FREE[name]] for name, value in first.items()}
    )


def test_a_paused_car_let_go_draws_what_it_drew_whatever_its_plan_says(image: Any) -> None:
    paused = image(2, **first_paused())
    for planned_w in (0.0, 2_000.0, 15_000.0):
        assert engage_w(DispatchMode.RELATIVE, paused, np.array([0.0, np.nan]), np.full(2, planned_w)).tolist() == [11_000.0, 11_000.0]


def orders(decision: Any) -> list[tuple[float, bool]]:
    return [(change.power_w, change.reduces) for change in decision.changes]


@pytest.mark.parametrize("policy", list(AllocationPolicy))
def test_a_charging_car_is_paused_and_another_slowed(desk: Any, image: Any, policy: AllocationPolicy) -> None:
    decision = desk(mode=DispatchMode.RELATIVE, policy=policy, target_w=17_000.0).look(image(3, **CHARGING))
    assert orders(decision) == [(0.0, True), (5_000.0, True)]
    assert decision.figures.expected_w == pytest.approx(17_000.0)
    assert decision.figures.headroom_w == pytest.approx(16_000.0)
    assert decision.figures.shortfall_w == 0.0
    for change in decision.changes:
        assert change.discharge_until_s == change.hold_until_s
        assert START_S + 900.0 + 20.0 <= change.hold_until_s <= START_S + 900.0 + 80.0, "staggered behind the window"


@pytest.mark.parametrize("mode", [DispatchMode.NET_EXPORT, DispatchMode.GROSS_EXPORT])
def test_in_other_modes_it_takes_no_part(desk: Any, image: Any, mode: DispatchMode) -> None:
    decision = desk(mode=mode, target_w=17_000.0).look(image(3, **CHARGING))
    assert (decision.joined, decision.changes) == ((), ())


@pytest.mark.parametrize(
    "columns",
    [
        {"pausing": False},
        {"control_mode": ControlMode.NONE},
        {"driver_stop": True},
        {"priority_charging": True},
        {"power_w": 200.0},
        {"departure_s": START_S + 600.0, "soc_target_frac": 0.9},
        {"soc_frac": np.nan},
        {"blackout_from_s": START_S - 10.0, "blackout_until_s": START_S + 3_600.0},
    ],
)
def test_in_doubt_it_charges(desk: Any, image: Any, columns: dict[str, Any]) -> None:
    decision = desk(mode=DispatchMode.RELATIVE, target_w=17_000.0).look(image(3, **CHARGING | columns))
    assert (decision.joined, decision.changes) == ((), ())


def test_a_car_whose_need_is_unknown_is_paused_as_long_as_its_driver_said(desk: Any, image: Any) -> None:
    unknown = CHARGING | {"soc_frac": np.nan, "pause_left_s": 300.0}
    [change] = desk(mode=DispatchMode.RELATIVE, target_w=11_000.0).look(image(1, **unknown)).changes
    assert change.hold_until_s == pytest.approx(START_S + 280.0), "20 s are kept for a reading and a message"


def test_the_departure_bounds_a_pause(desk: Any, image: Any) -> None:
    leaves = CHARGING | {"departure_s": START_S + 3_200.0}  # needs nothing; 1200 s of margin are kept
    [change] = desk(mode=DispatchMode.RELATIVE, target_w=11_000.0, duration_s=3_600.0).look(image(1, **leaves)).changes
    assert START_S + 1_900.0 < change.hold_until_s < START_S + 2_000.0


def test_a_car_charges_afterwards_no_faster_than_it_did_before(desk: Any, image: Any) -> None:
    """It could take 11 kW and draws 3.7, so 12 kWh take three hours and a half and not one and a quarter."""
    needs = CHARGING | {"soc_frac": 0.45, "soc_target_frac": 0.6, "departure_s": START_S + 3.5 * 3_600.0}
    assert len(desk(mode=DispatchMode.RELATIVE, target_w=3_000.0).look(image(1, **needs)).changes) == 1
    slow = needs | {"power_w": 3_700.0}
    assert desk(mode=DispatchMode.RELATIVE, target_w=3_000.0).look(image(1, **slow)).joined == ()


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"pause_left_s": 70.0}, DropOutKind.MUST_CHARGE),
        ({"departure_s": START_S + 1_270.0}, DropOutKind.MUST_CHARGE),
        ({"pausing": False}, DropOutKind.WITHDRAWN),
        ({"driver_stop": True}, DropOutKind.WITHDRAWN),
        ({"priority_charging": True}, DropOutKind.WITHDRAWN),
    ],
)
def test_a_paused_car_that_may_not_be_paused_any_more_is_given_back_at_once(
    desk: Any, image: Any, columns: dict[str, Any], kind: DropOutKind
) -> None:
    at = desk(mode=DispatchMode.RELATIVE, target_w=11_000.0)
    at.look(image(2, **CHARGING))
    decision = at.look(image(2, START_S + 60.0, **first_paused(**columns)))
    assert [(release.row, departure.kind) for release, departure in zip(decision.releases, decision.left, strict=True)] == [(0, kind)]
    both_charge = CHARGING | {name: [value, CHARGING.get(name, FREE.get(name))] for name, value in columns.items()}
    assert orders(at.look(image(2, START_S + 70.0, **both_charge))) == [(0.0, True)], "the other car takes over"


def test_a_lower_target_lets_cars_charge_again_and_none_lets_all(desk: Any, image: Any) -> None:
    at = desk(mode=DispatchMode.RELATIVE, target_w=22_000.0)
    at.look(image(2, **CHARGING))
    at.target_w = 11_000.0
    decision = at.look(image(2, START_S + 60.0, **PAUSED))
    [release] = decision.releases
    assert release.reason is ChangeReason.GAP_DOWN
    assert decision.left == (), "it stays a member"
    assert decision.figures.expected_w == pytest.approx(11_000.0)


def test_what_a_paused_car_spares_counts_against_its_plan_and_is_no_discharge(desk: Any, image: Any) -> None:
    at = desk(mode=DispatchMode.RELATIVE, target_w=22_000.0)
    at.look(image(2, **CHARGING))
    figures = at.look(image(2, START_S + 60.0, **PAUSED)).figures
    assert figures.measured_w == pytest.approx(22_000.0)
    assert (figures.members, figures.discharging, figures.reserve) == (2, 0, 0)


def test_a_car_that_goes_on_charging_at_a_pause_does_not_respond(desk: Any, image: Any) -> None:
    at = desk(mode=DispatchMode.RELATIVE, target_w=11_000.0)
    at.look(image(1, **CHARGING))
    for after_s in (60.0, 70.0):
        deaf = PAUSED | {"power_w": 11_000.0, "power_at_s": START_S + after_s - 1.0, "last_sample_s": START_S + after_s - 1.0}
        decision = at.look(image(1, START_S + after_s, **deaf))
    assert [departure.kind for departure in decision.left] == [DropOutKind.NOT_RESPONDING]
    assert len(decision.releases) == 1


def test_the_emergency_stop_leaves_a_paused_car_as_it_is(desk: Any, image: Any) -> None:
    at = desk(mode=DispatchMode.RELATIVE, target_w=11_000.0)
    at.look(image(1, **CHARGING))
    at.stop = True
    assert at.look(image(1, START_S + 60.0, **PAUSED)).changes == ()


@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_mixed_fleet_and_one_that_only_charges_hold_their_target(loop: Any, share: float, seed: int) -> None:
    at_work = loop(cars=200, seed=seed, charging_w=11_000.0, charge_only_share=share)
    target_w = 0.7 * 200 * 11_000.0
    at_work.order([(0.0, target_w)], 400.0, mode=DispatchMode.RELATIVE)
    run = at_work.play(390, {200: at_work.lose(0.1)})
    # Of a car that has left what it drew counts neither way; its part is taken on by others.
    plant = at_work.plant
    member = at_work.memory.group_uid != 0
    given_w = float((plant.true_w + 11_000.0)[member & ~plant.gone].sum())
    assert given_w == pytest.approx(target_w, rel=0.02)
    only = plant.columns["control_mode"] == ControlMode.CHARGE_ONLY
    assert plant.true_w[only & member].max() <= 1.0, "never discharged"
    level_w = at_work.memory.level_w[only & member]
    slowed = level_w < 0.0
    assert (level_w[slowed] <= -4_140.0).all()
    assert run.messages() / 200.0 < 3.0


def test_a_site_that_may_not_export_pauses_its_cars(desk: Any, image: Any) -> None:
    at = desk(mode=DispatchMode.RELATIVE, target_w=22_000.0, sites=(Site(site_id="s", max_export_power_w=0.0),))
    decision = at.look(image(2, site=1, **CHARGING))
    assert orders(decision) == [(0.0, True), (0.0, True)]
