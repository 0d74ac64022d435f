"""aFRR signals and local frequency on the virtual clock: stations find their power by curves, and the driver's floor holds at the worst."""

from datetime import datetime
from typing import Any

import pytest

from counterflow.domain.ids import EvseId, StationId
from counterflow.domain.instructions import Amendment, ControlPath, DispatchState
from counterflow.domain.views import Refusal
from counterflow.engine.control.curves import SIGNAL_STEPS

END_S = 230.0
ABLE: dict[str, Any] = {"operation_modes": ("ChargingOnly", "CentralSetpoint", "LocalFrequency", "Idle")}


@pytest.fixture
def exact(ideal: dict[str, Any]) -> dict[str, Any]:
    """Cars that deliver what they are asked, where curves are looked at."""
    return ideal | {"gain_mean": 1.0, "gain_sd": 0.0, "bias_mean_w": 0.0, "bias_sd_w": 0.0}


def curve_profiles(at: Any) -> list[dict[str, Any]]:
    """Profiles with curves that were sent."""
    placed = [one.payload["chargingProfile"] for one in at.sent if one.action == "SetChargingProfile"]
    return [one for one in placed if one["chargingSchedule"][0]["chargingSchedulePeriod"][0].get("operationMode") == "LocalFrequency"]


def signals(at: Any) -> list[int]:
    return [one.payload["signal"] for one in at.sent if one.action == "AFRRSignal"]


def band_w(at: Any) -> float:
    """What the stations together would give at full activation."""
    return -sum(
        min(period.v2x_signal_watt_curve or period.v2x_freq_watt_curve, key=lambda point: point.power).power
        for station in at.world.stations
        for one in station.installed_profiles
        for period in one.profile.charging_schedule[0].charging_schedule_period[:1]
        if period.operation_mode == "LocalFrequency"
    )


def held_power_w(at: Any) -> float:
    """True discharge of the cars that hold a curve."""
    rows = [
        row
        for row, station in enumerate(at.world.stations)
        if any(
            one.profile.charging_schedule[0].charging_schedule_period[0].operation_mode == "LocalFrequency"
            for one in station.installed_profiles
        )
    ]
    return -float(at.world.power_w[rows].sum())


def test_q08_one_signal_moves_all_stations_along_their_curves(town: Any, exact: dict[str, Any]) -> None:
    at = town(40, 1, plant=exact, station=ABLE)
    order = at.order(500.0, 0.5, control_path=ControlPath.AFRR)
    ordered_w = order.steps[0].discharge_power_w
    at.run(40)
    profiles = curve_profiles(at)
    assert len(profiles) >= 10
    assert band_w(at) == pytest.approx(ordered_w / 0.95, rel=0.06)
    assert set(signals(at)) == {SIGNAL_STEPS}
    assert held_power_w(at) == pytest.approx(band_w(at), rel=0.02)
    for share in (0.5, 0.0, 0.8):
        power_w = max(1.0, share * ordered_w)
        at.do(at.operations.amend(order.dispatch_id, Amendment(discharge_power_w=power_w), "me"))
        sent = len(at.sent)
        at.run(20)
        told = round(SIGNAL_STEPS * share)
        assert {one.payload["signal"] for one in at.sent[sent:] if one.action == "AFRRSignal"} | {told} == {told}
        assert held_power_w(at) == pytest.approx(band_w(at) * told / SIGNAL_STEPS, rel=0.03, abs=100.0)
    assert len(curve_profiles(at)) <= 1.2 * len(profiles)
    at.run(400 + END_S)
    assert at.view(order).instruction.state is DispatchState.COMPLETED
    assert at.left_behind() == []


def test_q08_a_profile_with_curves_ends_by_itself_and_asks_for_no_more_than_its_car_can_keep_up(town: Any, exact: dict[str, Any]) -> None:
    at = town(40, 2, plant=exact, station=ABLE)
    order = at.order(1_800.0, 0.9, control_path=ControlPath.AFRR)
    at.run(30)
    for profile in curve_profiles(at):
        [schedule] = profile["chargingSchedule"]
        first, *hold = schedule["chargingSchedulePeriod"]
        assert set(first) == {"startPeriod", "operationMode", "v2xBaseline", "v2xFreqWattCurve", "v2xSignalWattCurve"}
        assert len(first["v2xFreqWattCurve"]) >= 2
        assert len(first["v2xSignalWattCurve"]) == SIGNAL_STEPS + 1
        assert [period["setpoint"] for period in hold] in ([], [0.0])
        assert datetime.fromisoformat(profile["validTo"]).timestamp() <= order.end_s + 90.0
        assert profile["maxOfflineDuration"] > 0
    at.world.cut_all(None)
    at.run(1_900)
    assert at.world.fleet.violations() == []


def test_local_frequency_discharges_when_the_grid_sags_without_a_message(town: Any, exact: dict[str, Any]) -> None:
    at = town(40, 3, plant=exact, station=ABLE)
    order = at.order(600.0, 0.5, control_path=ControlPath.LOCAL_FREQUENCY)
    at.run(40)
    assert len(curve_profiles(at)) >= 10
    assert held_power_w(at) == pytest.approx(0.0, abs=500.0)
    sent = len(at.sent)
    for frequency_hz, share in ((49.8, 1.0), (49.9, 90 / 190), (49.5, 1.0), (49.995, 0.0), (50.2, 0.0)):
        at.world.set_frequency(frequency_hz)
        at.run(8)
        assert held_power_w(at) == pytest.approx(share * band_w(at), rel=0.03, abs=500.0)
    assert [one.action for one in at.sent[sent:] if one.action in ("AFRRSignal", "UpdateDynamicSchedule")] == []
    assert band_w(at) * 0.95 == pytest.approx(order.steps[0].discharge_power_w, rel=0.06)
    refused = at.do(at.operations.amend(order.dispatch_id, Amendment(discharge_power_w=1_000.0), "me"))
    assert isinstance(refused, Refusal)
    at.do(at.operations.amend(order.dispatch_id, Amendment(end_s=at.now_s + 30.0), "me"))
    at.run(40 + END_S)
    assert at.view(order).instruction.state is DispatchState.COMPLETED
    assert at.left_behind() == []


@pytest.mark.parametrize("code", ["NoSignalWattCurve", "NotImplemented"])
def test_q08_stations_that_refuse_signals_get_setpoints_and_the_reason_is_kept(town: Any, exact: dict[str, Any], code: str) -> None:
    at = town(16, 4, plant=exact, station=ABLE)

    def refuse(frame: Any) -> Any:
        if code == "NotImplemented":
            return [4, frame[1], code, "", {}]
        return [3, frame[1], {"status": "Rejected", "statusInfo": {"reasonCode": code}}]

    at.answering("AFRRSignal", refuse)
    order = at.order(300.0, 0.5, control_path=ControlPath.AFRR)
    at.run(60)
    closed = [record for station in at.world.stations for record in at.room.placement.paths.closed_at(station.station_id)]
    assert closed
    assert {record.path for record in closed} == {"afrr"}
    assert all(code in record.reason for record in closed)
    assert held_power_w(at) == 0.0
    discharging_w = -float(at.world.power_w[at.world.power_w < 0.0].sum())
    assert discharging_w == pytest.approx(order.steps[0].discharge_power_w / 0.95, rel=0.08)
    at.do(at.operations.amend(order.dispatch_id, Amendment(discharge_power_w=0.5 * order.steps[0].discharge_power_w), "me"))
    at.run(30)
    assert -float(at.world.power_w[at.world.power_w < 0.0].sum()) == pytest.approx(discharging_w / 2, rel=0.08)
    at.run(210 + END_S)
    assert at.left_behind() == []
    assert sum(at.room.dispatcher.guarding.breaches.values()) == 0, "I5: nothing, or the car's minimum at least"


def test_stations_that_refuse_curves_are_left_out_of_a_local_frequency_band(town: Any, exact: dict[str, Any]) -> None:
    at = town(20, 5, plant=exact, station=ABLE)

    def refuse(frame: Any) -> Any:
        return [3, frame[1], {"status": "Rejected", "statusInfo": {"reasonCode": "InvalidOperationMode"}}]

    def is_curve(payload: Any) -> bool:
        [schedule] = payload["chargingProfile"]["chargingSchedule"]
        return "v2xFreqWattCurve" in schedule["chargingSchedulePeriod"][0]

    at.answering("SetChargingProfile", refuse, range(8), is_curve)
    order = at.order(300.0, 0.4, control_path=ControlPath.LOCAL_FREQUENCY)
    at.run(60)
    closed = [record for station in at.world.stations for record in at.room.placement.paths.closed_at(station.station_id)]
    assert closed
    assert {record.path for record in closed} == {"local_frequency"}
    assert band_w(at) * 0.95 == pytest.approx(order.steps[0].discharge_power_w, rel=0.08)
    at.run(250 + END_S)
    assert at.left_behind() == []


def test_a_car_that_leaves_is_replaced_and_a_cancel_ends_it(town: Any, exact: dict[str, Any]) -> None:
    at = town(40, 6, plant=exact, station=ABLE)
    order = at.order(900.0, 0.4, control_path=ControlPath.AFRR)
    at.run(40)
    at.do(at.operations.amend(order.dispatch_id, Amendment(discharge_power_w=0.5 * order.steps[0].discharge_power_w), "me"))
    at.world.drop_out(0.2, 0.0)
    at.run(30)
    assert band_w(at) * 0.95 == pytest.approx(order.steps[0].discharge_power_w, rel=0.06)
    assert held_power_w(at) == pytest.approx(band_w(at) * 10 / SIGNAL_STEPS, rel=0.03)
    at.do(at.operations.cancel(order.dispatch_id, "me"))
    at.run(10)
    assert at.world.power_w.min() > -300.0
    at.run(END_S)
    assert at.left_behind() == []


def test_a_restart_goes_on_with_the_band_and_tells_the_signal_again(town: Any, exact: dict[str, Any]) -> None:
    at = town(30, 7, plant=exact, station=ABLE)
    order = at.order(900.0, 0.5, control_path=ControlPath.AFRR)
    at.run(40)
    at.restart()
    since = len(at.sent)
    at.run(40)
    assert {one.payload["signal"] for one in at.sent[since:] if one.action == "AFRRSignal"} == {SIGNAL_STEPS}
    assert held_power_w(at) == pytest.approx(band_w(at), rel=0.03)
    assert band_w(at) * 0.95 == pytest.approx(order.steps[0].discharge_power_w, rel=0.1)
    at.do(at.operations.cancel(order.dispatch_id, "me"))
    at.run(END_S)
    assert at.left_behind() == []


def test_stations_without_the_mode_take_no_part_in_local_frequency_nor_in_what_is_promised(town: Any, exact: dict[str, Any]) -> None:
    at = town(12, 8, plant=exact)
    order = at.order(100.0, power_w=12_000.0, control_path=ControlPath.LOCAL_FREQUENCY)
    assert (at.view(order).feasibility.sessions, at.view(order).feasibility.expected_power_w) == (0, 0.0)
    assert at.view(order).feasibility.shortfall_power_w == pytest.approx(12_000.0)
    at.run(30)
    assert curve_profiles(at) == []
    assert at.calls()["SetChargingProfile"] == 0
    assert at.view(order).shortfall_power_w == pytest.approx(12_000.0, rel=0.01)
    usable = [view for view in at.do(at.operations.sessions()) if view.reason == "ready"]
    view = at.operations._explaining.build(usable[0].session_uid, (order,), at.now_s)
    assert view.reason == "no_local_frequency"
    assert "LocalFrequency" in " ".join(view.sentences)
    assert {view.dispatch_id for view in usable} == {None}, "they are free for other dispatches"
    at.run(80 + END_S)
    assert at.left_behind() == []


def test_only_stations_with_the_mode_are_promised_in_local_frequency_and_all_in_afrr(town: Any, exact: dict[str, Any]) -> None:
    """In aFRR a car without curves follows by setpoints, so that it counts."""
    at = town(12, 8, plant=exact, station=ABLE)
    local_w, afrr_w = (at.offer_w(100.0, control_path=path) for path in (ControlPath.LOCAL_FREQUENCY, ControlPath.AFRR))
    assert local_w == afrr_w > 0.0
    for station in at.world.stations[:6]:
        for path in (ControlPath.LOCAL_FREQUENCY, ControlPath.AFRR):
            at.room.placement.paths.close(StationId(station.station_id), EvseId(1), path.value, "InvalidOperationMode", at.now_s)
    assert 0.0 < at.offer_w(100.0, control_path=ControlPath.LOCAL_FREQUENCY) < 0.8 * local_w
    assert at.offer_w(100.0, control_path=ControlPath.AFRR) == afrr_w
