"""A fault in one dispatch stops no other, is told in words, and what was sent ends by itself."""

from typing import Any

import msgspec
import numpy as np
import pytest

from counterflow.domain.ids import DispatchId, SiteId, StationId
from counterflow.domain.instructions import Amendment, DispatchState
from counterflow.domain.resources import StationRegistration
from counterflow.engine.control.tick import tick

END_S = 200.0
TWO_POOLS: dict[str, Any] = {
    "sites": [{"site_id": "north", "pools": ["cold"]}, {"site_id": "south", "pools": ["warm"]}],
    "stations": {"accept_unknown": True, "default_site": "south"},
}


def split(at: Any) -> None:
    """The first half of the stations stands in the north, the rest in the south."""
    half = len(at.world.stations) // 2
    for row, station in enumerate(at.world.stations):
        site_id = SiteId("north" if row < half else "south")
        at.room.registry.add(StationRegistration(station_id=StationId(station.station_id), site_id=site_id, accepted_unregistered=True))


def delivered_w(at: Any, rows: slice) -> float:
    return -float(at.world.power_w[rows].sum())


@pytest.fixture
def two_pools(town: Any, ideal: dict[str, Any]) -> Any:
    return town(60, 31, plant=ideal, settings=TWO_POOLS, ready=split)


def test_a_fault_in_one_dispatch_leaves_the_other_on_target_and_is_an_alarm(two_pools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at = two_pools
    broken, whole = at.order(120.0, 0.7, pool="cold"), at.order(240.0, 0.5, pool="warm")
    at.run(50)
    assert at.operations.health().ready

    def faulty(image: Any, task: Any, *rest: Any, **more: Any) -> Any:
        if task.instruction.dispatch_id == broken.dispatch_id:
            raise ZeroDivisionError
        return tick(image, task, *rest, **more)

    monkeypatch.setattr("counterflow.app.dispatching.deciding.tick", faulty)
    more_w = 1.2 * whole.steps[0].discharge_power_w
    at.do(at.operations.amend(whole.dispatch_id, Amendment(discharge_power_w=more_w), "me"))
    at.run(60)
    assert delivered_w(at, slice(30, 60)) == pytest.approx(more_w, rel=0.03)
    health = at.operations.health()
    assert not health.ready
    assert any(f"dispatch {broken.dispatch_id}" in alarm and "ends by itself" in alarm for alarm in health.alarms)
    assert at.room.dispatcher.faults.count > 5
    at.run(40)
    assert delivered_w(at, slice(0, 30)) <= 500.0, "its orders had an end"
    at.run(100 + END_S)
    assert at.view(whole).instruction.state is DispatchState.COMPLETED
    at.run(300)
    assert at.operations.health().ready, "an old fault is no alarm any more"


def test_the_emergency_stop_reaches_every_dispatch_although_one_cannot_be_worked_out(two_pools: Any) -> None:
    at = two_pools
    broken, whole = at.order(240.0, 0.7, pool="cold"), at.order(240.0, 0.5, pool="warm")
    at.run(50)
    book = at.room.dispatcher.book
    book.tasks[broken.dispatch_id].members.add(None)  # cannot be sorted
    at.do(at.operations.emergency_stop(True, "me"))
    at.run(20)
    assert delivered_w(at, slice(30, 60)) <= 500.0
    assert at.view(whole).instruction.state is DispatchState.RESUMING


def test_a_pool_that_the_settings_lost_aborts_its_dispatches_and_nobody_else_s(two_pools: Any) -> None:
    at = two_pools
    lost, whole = at.order(240.0, 0.7, pool="cold"), at.order(240.0, 0.5, pool="warm")
    planned = at.order(60.0, power_w=10_000.0, start_s=at.now_s + 900.0, pool="cold")
    at.run(50)
    at.settings = msgspec.structs.replace(at.settings, sites=tuple(site for site in at.settings.sites if site.site_id == "south"))
    at.restart()
    for gone in (lost, planned):
        assert at.view(gone).instruction.state in (DispatchState.RESUMING, DispatchState.ABORTED)
        assert at.view(gone).instruction.state_reason == "the settings name no pool 'cold' any more"
    at.run(60)
    assert delivered_w(at, slice(0, 30)) <= 500.0
    assert delivered_w(at, slice(30, 60)) == pytest.approx(whole.steps[0].discharge_power_w, rel=0.03)
    assert not at.room.dispatcher.faults.count
    at.run(140 + END_S)
    assert at.view(lost).instruction.state is DispatchState.ABORTED
    assert at.left_behind() == []


def test_a_start_that_fails_is_tried_again_but_not_at_once(two_pools: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    at = two_pools
    planned = at.order(60.0, 0.3, start_s=at.now_s + 20.0, pool="warm")
    dispatcher = at.room.dispatcher
    real, asked = dispatcher.outlook.of, []

    def outlook(instruction: Any, now_s: float, outranked: Any = ()) -> Any:
        asked.append(now_s)
        if len(asked) <= 3:
            raise ZeroDivisionError
        return real(instruction, now_s, outranked)

    monkeypatch.setattr(dispatcher.outlook, "of", outlook)
    at.run(40)
    assert at.view(planned).instruction.state is DispatchState.RUNNING
    assert min(np.diff(asked[:4])) >= 0.9
    assert dispatcher.book.tasks[DispatchId(planned.dispatch_id)].figures is not None
