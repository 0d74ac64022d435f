"""A dispatch with notice: profiles are at the stations before it starts, and the fleet is there when it does."""

from datetime import datetime
from typing import Any

import numpy as np
import pytest

from counterflow.domain.instructions import Amendment, DispatchState

END_S = 220.0
AT_START: dict[str, Any] = {"scheduled_start": {"ahead_s": 0.0}}


def starts(at: Any) -> list[float]:
    """startSchedule of every discharge that was sent, epoch seconds."""
    found = []
    for one in at.sent:
        if one.action == "SetChargingProfile":
            [schedule] = one.payload["chargingProfile"]["chargingSchedule"]
            if "setpoint" in schedule["chargingSchedulePeriod"][0]:
                found.append(datetime.fromisoformat(schedule["startSchedule"]).timestamp())
    return found


def settled_after_s(at: Any, from_second: int, target_w: float, band: float = 0.03) -> int:
    """Seconds from `from_second` until five-second means stay within the band for 20 s."""
    power_w = -np.convolve(np.array(at.power_w), np.ones(5) / 5.0, mode="valid")
    inside = np.abs(power_w[from_second:] / target_w - 1.0) <= band
    return next(second for second in range(len(inside) - 20) if inside[second : second + 20].all())


@pytest.mark.parametrize("seed", [1, 2])
def test_the_fleet_is_there_when_the_window_starts_and_not_before(town: Any, seed: int) -> None:
    took = {}
    for name, settings in (("ahead", None), ("at the start", AT_START)):
        at = town(200, seed, settings=settings)
        order = at.order(180.0, 0.7, start_s=at.now_s + 90.0)
        first = len(at.power_w) + 90
        at.run(89)
        begun = starts(at)
        if name == "ahead":
            assert len(begun) >= 150
            assert order.start_s - 20.0 <= min(begun)
            assert max(begun) <= order.start_s
            assert at.power_w[-25] > 0.0
        else:
            assert begun == []
            assert at.power_w[-1] > 0.0
        assert at.view(order).instruction.state is DispatchState.SCHEDULED
        at.run(90)
        took[name] = settled_after_s(at, first, order.steps[0].discharge_power_w)
        at.run(90 + END_S)
        assert at.view(order).instruction.state is DispatchState.COMPLETED
        assert at.left_behind() == []
    assert took["ahead"] < took["at the start"]
    assert took["ahead"] <= 35


def test_cancelled_before_its_start_it_leaves_no_trace(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 3, plant=ideal)
    order = at.order(300.0, start_s=at.now_s + 60.0)
    at.run(30)
    assert len(starts(at)) >= 20
    at.do(at.operations.cancel(order.dispatch_id, "me"))
    at.run(5)
    assert at.view(order).instruction.state is DispatchState.CANCELLED
    assert at.left_behind() == []
    at.run(60)
    assert min(at.power_w[-90:]) > 0.0
    assert at.room.dispatcher.book.owner == {}


def test_the_emergency_stop_takes_back_what_has_not_started(town: Any, ideal: dict[str, Any]) -> None:
    at = town(30, 4, plant=ideal)
    order = at.order(300.0, start_s=at.now_s + 50.0)
    at.run(25)
    at.do(at.operations.emergency_stop(True, "me"))
    at.run(60)
    assert min(at.power_w[-80:]) > 0.0
    assert at.view(order).instruction.state is DispatchState.ABORTED
    assert at.left_behind() == []


def test_amended_before_its_start_it_starts_as_amended(town: Any, ideal: dict[str, Any]) -> None:
    at = town(60, 5, plant=ideal)
    order = at.order(200.0, 0.7, start_s=at.now_s + 60.0)
    at.run(30)
    halved_w = 0.5 * order.steps[0].discharge_power_w
    at.do(at.operations.amend(order.dispatch_id, Amendment(discharge_power_w=halved_w), "me"))
    at.run(29)
    assert at.power_w[-20] > 0.0
    at.run(40)
    assert at.delivered_w() == pytest.approx(halved_w, rel=0.05)
    at.run(160 + END_S)
    assert at.left_behind() == []


def test_with_little_notice_everything_goes_out_at_the_start(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 6, plant=ideal)
    at.order(120.0, start_s=at.now_s + 25.0)
    at.run(24)
    assert starts(at) == []
    at.run(20)
    assert len(starts(at)) >= 12
    at.run(100 + END_S)
    assert at.left_behind() == []


def test_a_restart_before_the_start_takes_back_and_goes_out_at_the_start(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 7, plant=ideal)
    order = at.order(200.0, 0.7, start_s=at.now_s + 60.0)
    at.run(20)
    assert len(starts(at)) >= 20
    at.restart()
    again_s = at.now_s
    at.run(39)
    assert at.power_w[-1] > 0.0
    assert at.calls(since_s=again_s)["SetChargingProfile"] == 0
    assert list(at.room.ledger) == []
    at.run(41)
    assert at.delivered_w() == pytest.approx(order.steps[0].discharge_power_w, rel=0.06)
    at.run(160 + END_S)
    assert at.left_behind() == []


def test_a_car_that_leaves_before_the_start_is_replaced_before_it(town: Any, ideal: dict[str, Any]) -> None:
    at = town(60, 8, plant=ideal)
    order = at.order(200.0, 0.6, start_s=at.now_s + 60.0)
    at.run(20)
    at.world.drop_out(0.15, 0.0)
    at.run(65)
    assert at.delivered_w(5) == pytest.approx(order.steps[0].discharge_power_w, rel=0.05)
    at.run(175 + END_S)
    assert at.left_behind() == []


def test_with_what_was_learned_of_each_car_the_fleet_is_nearer_to_the_target_sooner(town: Any) -> None:
    """Two dispatches before teach each session its own delay and ramp; `lead_default_weight` = huge keeps to the default."""
    off, there_s = {}, {}
    for name, weight in (("learned", 0.5), ("by default", 1e9)):
        at = town(200, 3, settings={"scheduled_start": {"lead_default_weight": weight}})
        target_w = 0.6 * at.offer_w(300.0)
        for _ in range(2):
            at.order(120.0, power_w=target_w)
            at.run(400)
        at.order(240.0, power_w=target_w, start_s=at.now_s + 90.0)
        first = len(at.power_w) + 90
        at.run(90 + 150)
        off[name] = float(np.abs(-np.array(at.power_w[first : first + 40]) / target_w - 1.0).mean())
        there_s[name] = settled_after_s(at, first, target_w, band=0.02)
    assert off["learned"] < 0.8 * off["by default"]
    assert there_s["learned"] <= there_s["by default"]
