"""A station whose clock is wrong would begin and end an order at the wrong time (OCPP 2.1 part 2, gotcha 20: Absolute schedules)."""

from typing import Any

import pytest

from counterflow.app.simulation.settings import SimulationSettings
from counterflow.app.simulation.universe import Universe
from counterflow.domain.instructions import DispatchOrder


@pytest.mark.parametrize("off_s", [-300.0, 300.0])
def test_gotcha_20_stations_with_a_wrong_clock_are_left_out_with_the_reason_and_the_promise_is_kept_without_them(off_s: float) -> None:
    universe = Universe(5, SimulationSettings(stations=12))
    wrong = {seat.name for seat in universe.seats[1::2]}
    for seat in universe.seats[1::2]:
        seat.set_clock(off_s)
    universe.run_until(universe.now_s + 60.0)
    server: Any = universe.server
    told: list[Any] = []
    server.do(server.operations.sessions(), told.append)
    reasons = {view.station_id: view.reason for view in told.pop()}
    assert {reasons[name] for name in wrong} <= {"clock_off", "no_consent"}
    assert "clock_off" in reasons.values()
    assert "ready" in reasons.values()
    order = DispatchOrder(discharge_power_w=0.8 * server.operations.fleet().available_power_w, duration_s=60.0)
    server.do(server.operations.order(order, None, False), told.append)
    universe.run_until(universe.now_s + 40.0)
    plant = universe.fleet.plant
    assert {seat.name for seat in universe.seats if plant.power_w[seat.row] < -100.0}.isdisjoint(wrong)
    given_w = -sum(min(0.0, float(plant.power_w[seat.row])) for seat in universe.seats)
    assert given_w > 0.9 * order.discharge_power_w
    for seat in universe.seats[1::2]:
        seat.set_clock(0.0)
    universe.run_until(universe.now_s + 400.0)
    server.do(server.operations.sessions(), told.append)
    assert "clock_off" not in {view.reason for view in told.pop()}
    assert universe.watch.breaches == []
