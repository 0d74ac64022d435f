"""Headroom as the order names it: it stands by in idle cars, bears the loss that it was sized for, and what is missing is told at once."""

from typing import Any

import pytest

from counterflow.domain.instructions import Headroom
from counterflow.domain.units import format_power

END_S = 250.0


def shortfalls(at: Any) -> list[Any]:
    return [notice for notice in at.notices if notice.kind == "dispatch.shortfall"]


def unplug(at: Any, share: float) -> None:
    """Discharging cars leave, every nth of them."""
    discharging = [view.station_id for view in at.do(at.operations.sessions()) if view.setpoint_w]
    gone = set(discharging[:: round(1.0 / share)])
    for station in at.world.stations:
        if station.station_id in gone:
            at.world.at(at.now_s, lambda station=station: station.unplug(at.now_s))


def test_the_headroom_of_an_order_is_held_by_idle_cars_and_nobody_gives_a_bit_less(town: Any, ideal: dict[str, Any]) -> None:
    at = town(60, 51, plant=ideal)
    offer_w = at.offer_w(300.0)
    order = at.order(300.0, power_w=2.0 * offer_w, headroom=Headroom(share_frac=0.3))
    assert order.feasibility.committed_power_w == pytest.approx(0.7 * offer_w, rel=1e-6)
    at.run(100)
    view = at.view(order)
    assert view.headroom_power_w == pytest.approx(0.3 * offer_w, rel=0.25)
    assert view.capability_power_w == pytest.approx(view.expected_power_w + view.headroom_power_w)
    sessions = [one for one in at.do(at.operations.sessions()) if one.dispatch_id == order.dispatch_id]
    partial = [one for one in sessions if one.setpoint_w and one.setpoint_w < 0.9 * one.available_power_w]
    assert len(partial) <= 0.2 * len([one for one in sessions if one.setpoint_w])
    idle_w = sum(one.available_power_w for one in sessions if not one.setpoint_w)
    assert idle_w >= 0.2 * offer_w, "it is held by whole cars"
    at.run(200 + END_S)
    assert at.left_behind() == []


def test_a_loss_that_the_headroom_was_sized_for_is_borne_without_a_shortfall(town: Any, ideal: dict[str, Any]) -> None:
    settings = {"feasibility": {"headroom_sizing": "loss", "absorbed_loss": 0.25}}
    at = town(80, 52, plant=ideal, settings=settings)
    offer_w = at.offer_w(400.0)
    order = at.order(400.0, power_w=0.74 * offer_w)
    assert order.feasibility.shortfall_power_w == 0.0
    at.run(60)
    unplug(at, 0.25)
    lost = len(at.power_w)
    at.run(120)
    assert shortfalls(at) == []
    assert at.worst_error(0.74 * offer_w, lost + 30, lost + 120) < 0.03


def test_a_loss_beyond_the_headroom_is_told_within_a_tick_with_what_can_be_given_now(town: Any, ideal: dict[str, Any]) -> None:
    at = town(80, 53, plant=ideal)
    order = at.order(400.0, 0.88)
    at.run(60)
    assert shortfalls(at) == []
    lost_s = at.now_s
    unplug(at, 0.5)
    at.run(4)
    first = shortfalls(at)[0]
    assert first.at_s - lost_s <= 2.0
    at.run(60)
    last = shortfalls(at)[-1]
    assert last.values["capability_power_w"] == pytest.approx(at.delivered_w(10), rel=0.05)
    assert format_power(last.values["capability_power_w"]) in last.text
    assert last.values["shortfall_power_w"] == pytest.approx(order.steps[0].discharge_power_w - at.delivered_w(10), rel=0.15)
    assert len(shortfalls(at)) <= 6
    assert at.view(order).capability_power_w == pytest.approx(at.delivered_w(10), rel=0.05)
