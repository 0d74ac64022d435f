"""Targets that move: stepped profiles and ramp-limited products, from the order to the report."""

from typing import Any

import numpy as np
import pytest

from counterflow.domain.dispatch_views import DispatchAnswer
from counterflow.domain.instructions import DispatchOrder, DispatchState, OrderStep

END_S = 250.0


def test_a_stepped_profile_is_committed_followed_and_settled_step_by_step(town: Any, ideal: dict[str, Any]) -> None:
    at = town(60, 11, plant=ideal)
    full_w = at.offer_w(480.0)
    steps = (OrderStep(discharge_power_w=0.8 * full_w, after_s=160.0), OrderStep(discharge_power_w=0.2 * full_w, after_s=320.0))
    order = at.order(480.0, power_w=0.4 * full_w, steps=steps)
    assert order.feasibility.committed_power_w == pytest.approx(0.8 * full_w)
    assert order.feasibility.expected_power_w >= full_w
    for share in (0.4, 0.8, 0.2):
        at.run(150)
        assert at.view(order).target_power_w == pytest.approx(share * full_w)
        assert at.delivered_w(30) == pytest.approx(share * full_w, rel=0.03)
        at.run(10)
    at.run(END_S)
    assert at.view(order).instruction.state is DispatchState.COMPLETED
    report = at.report(order.dispatch_id)
    assert report.target_energy_wh == pytest.approx((0.4 + 0.8 + 0.2) * full_w * 160.0 / 3600.0)
    assert report.delivered_energy_wh == pytest.approx(report.target_energy_wh, rel=0.03)
    assert report.tracking_rmse_frac is not None
    assert report.tracking_rmse_frac < 0.02
    assert [pause.why for pause in report.not_judged] == ["start", "target changed", "target changed"]
    assert at.left_behind() == []


def test_a_step_is_acted_on_when_it_comes_and_not_a_tick_later(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 12, plant=ideal, settings={"control": {"tick_interval_s": 60.0}})
    order = at.order(300.0, 0.3, steps=(OrderStep(discharge_power_w=0.0, after_s=91.0),))
    at.run(90)
    sent = len(at.sent)
    at.run(3)
    profiles = [one.payload["chargingProfile"]["chargingSchedule"][0] for one in at.sent[sent:]]
    assert {profile["chargingSchedulePeriod"][0]["setpoint"] for profile in profiles} == {0.0}
    at.run(order.end_s - at.now_s + END_S)
    assert at.left_behind() == []


def test_a_short_peak_is_promised_where_the_whole_window_could_not_hold_it(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 13, plant=ideal)
    hours = 4.0 * 3600.0
    flat_w = at.offer_w(hours)
    peak = OrderStep(discharge_power_w=1.3 * flat_w, after_s=600.0), OrderStep(discharge_power_w=0.1 * flat_w, after_s=1200.0)
    told = at.try_order(hours, 0.1 * flat_w, steps=peak)
    assert isinstance(told, DispatchAnswer)
    assert told.dispatch.feasibility.shortfall_power_w == 0.0
    order = DispatchOrder(discharge_power_w=1.3 * flat_w, duration_s=hours)
    constant = at.do(at.operations.order(order, None, True))
    assert constant.dispatch.feasibility.shortfall_power_w > 0.0


def test_a_ramp_limited_product_is_followed_while_it_ramps_and_judged_there(town: Any, ideal: dict[str, Any]) -> None:
    at = town(80, 14, plant=ideal)
    full_w = 0.7 * at.offer_w(600.0)
    order = at.order(600.0, power_w=full_w, ramp_w_per_s=full_w / 150.0, ramp_out_s=120.0)
    at.run(75)
    assert at.view(order).target_power_w == pytest.approx(0.5 * full_w)
    assert at.delivered_w(2) == pytest.approx(0.5 * full_w, rel=0.12)
    at.run(225)
    assert at.delivered_w(30) == pytest.approx(full_w, rel=0.02)
    at.run(240)
    assert at.view(order).target_power_w == pytest.approx(0.5 * full_w)
    assert at.delivered_w(2) == pytest.approx(0.5 * full_w, rel=0.15)
    at.run(60 + END_S)
    report = at.report(order.dispatch_id)
    assert report.target_energy_wh == pytest.approx(full_w * (600.0 - 75.0 - 60.0) / 3600.0, rel=1e-6)
    assert report.delivered_energy_wh == pytest.approx(report.target_energy_wh, rel=0.03)
    assert [pause.why for pause in report.not_judged] == ["start"]
    assert report.tracking_rmse_frac is not None
    assert report.tracking_rmse_frac < 0.05
    assert at.left_behind() == []


@pytest.mark.parametrize("ramp_out_s", [0.0, 60.0])
def test_after_the_window_charging_comes_back_along_its_line_without_a_step(town: Any, ideal: dict[str, Any], ramp_out_s: float) -> None:
    at = town(120, 15, plant=ideal)
    order = at.order(240.0, 0.7, ramp_out_s=ramp_out_s)
    at.run(order.end_s - at.now_s - 65.0)
    before = len(at.power_w)
    at.run(65.0)
    ended = len(at.power_w)
    # Cars that take no part charge all the time.
    base_w = float(np.maximum(at.world.power_w, 0.0).sum())
    at.run(120.0)
    power_w = np.array(at.power_w)
    back_w = float(power_w[ended : ended + 90].max())
    share = np.clip((np.arange(75) + 4.0) / 60.0, 0.0, 1.0)
    assert (power_w[ended : ended + 75] - (base_w + share * (back_w - base_w))).max() <= 0.03 * back_w
    assert np.abs(np.diff(power_w[ended + 5 : ended + 90])).max() <= 0.12 * back_w
    if ramp_out_s > 0.0:
        assert np.abs(np.diff(power_w[before:ended])).max() <= 0.15 * back_w, "it goes down car by car"
