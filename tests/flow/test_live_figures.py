"""The figures that people watch: what is not known now is said to be unknown, and what is offered is what an order would get."""

from typing import Any

import pytest

from counterflow.domain.instructions import DispatchState


def freeze(at: Any) -> None:
    """Every station stands still with its socket open: nothing more is heard of any."""
    at.received = lambda _station_id, _text, _now_s: None


def test_when_all_stations_freeze_power_is_unknown_and_no_energy_is_counted(town: Any, ideal: dict[str, Any]) -> None:
    at = town(12, 1, plant=ideal)
    order = at.order(600.0, 0.6)
    at.run(60)
    seen = at.view(order)
    assert seen.delivered_power_w == pytest.approx(order.steps[0].discharge_power_w, rel=0.1)
    assert at.operations.fleet().unmeasured_sessions == 0
    freeze(at)
    at.run(60)
    blind, fleet = at.view(order), at.operations.fleet()
    assert blind.instruction.state is DispatchState.RUNNING
    assert fleet.reasons == {"silent": fleet.sessions}
    assert (blind.delivered_power_w, fleet.measured_power_w, fleet.unmeasured_sessions) == (None, None, fleet.sessions)
    seconds = [notice for notice in at.notices if notice.kind in {"dispatch.second", "fleet.second"}][-2:]
    assert {notice.kind for notice in seconds} == {"dispatch.second", "fleet.second"}
    assert [notice.values.get("delivered_power_w", notice.values.get("measured_power_w")) for notice in seconds] == [None, None]
    at.run(120)
    assert at.view(order).delivered_energy_wh == blind.delivered_energy_wh


def test_of_the_group_only_what_is_heard_of_counts(town: Any, ideal: dict[str, Any]) -> None:
    at = town(12, 2, plant=ideal)
    order = at.order(600.0, 0.5)
    at.run(60)
    deaf = {station.station_id for station in at.world.stations[:6]}
    hear = at.room.received
    at.received = lambda station_id, text, now_s: None if station_id in deaf else hear(station_id, text, now_s)
    at.run(60)
    fleet = at.operations.fleet()
    assert fleet.unmeasured_sessions == len(deaf)
    heard_w = sum(view.power_w for view in at.operations.sessions() if view.station_id not in deaf)
    assert fleet.measured_power_w == pytest.approx(heard_w, abs=1.0)
    assert at.view(order).delivered_power_w == pytest.approx(heard_w, rel=0.05)
