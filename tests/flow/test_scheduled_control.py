"""Cars in ScheduledControl through the whole house: a stepped target is told them once, in one schedule of several periods (5.5)."""

import json
from typing import Any

import pytest

from counterflow.app.dispatching.control_paths import PERIODS
from counterflow.domain.commands import ProfileKind
from counterflow.domain.instructions import Amendment, OrderStep

END_S = 250.0
ALL = {"scheduled_every": 1}
SHARES = [0.9, 0.3, 0.7, 0.2, 0.8, 0.5]
STEP_S = 150.0


def told(at: Any, since_s: float, station_id: str | None = None) -> list[Any]:
    """Discharge profiles that left for stations."""
    sent = [one for one in at.sent if station_id in (None, one.station_id) and one.at_s >= since_s and one.action == "SetChargingProfile"]
    return [one.payload["chargingProfile"] for one in sent if "validTo" in one.payload["chargingProfile"]]


def periods(profile: Any) -> list[Any]:
    periods: list[Any] = profile["chargingSchedule"][0]["chargingSchedulePeriod"]
    return periods


def stepped(at: Any, full_w: float, shares: list[float] = SHARES) -> Any:
    """An order that steps through these shares of `full_w`, each for STEP_S."""
    steps = tuple(OrderStep(discharge_power_w=share * full_w, after_s=STEP_S * number) for number, share in enumerate(shares) if number)
    return at.order(STEP_S * len(shares), power_w=shares[0] * full_w, steps=steps)


def follow(at: Any, full_w: float, shares: list[float] = SHARES, rel: float = 0.04) -> None:
    for share in shares:
        at.run(int(STEP_S) - 30)
        assert at.delivered_w(30) == pytest.approx(share * full_w, rel=rel)
        at.run(30)


def test_k01_a_stepped_target_is_one_schedule_for_each_car_and_is_followed(town: Any, ideal: dict[str, Any]) -> None:
    at = town(40, 3, plant=ideal, mix=ALL)
    full_w, begins_s = at.offer_w(900.0), at.now_s
    order = stepped(at, full_w)
    follow(at, full_w)
    at.run(END_S)
    profiles = told(at, begins_s)
    assert sum(len(periods(profile)) > 2 for profile in profiles) >= 20, "what changes with the target changes by itself"
    assert len(profiles) <= 2.2 * len(at.world.stations), "and is seldom told anything again"
    report = at.report(order.dispatch_id)
    assert report.delivered_energy_wh == pytest.approx(report.target_energy_wh, rel=0.02)
    assert at.left_behind() == []


def test_where_others_can_move_a_car_in_scheduled_control_is_told_once(town: Any, ideal: dict[str, Any]) -> None:
    at = town(45, 4, plant=ideal, mix={"scheduled_every": 3})
    full_w, begins_s = at.offer_w(900.0), at.now_s
    stepped(at, full_w)
    follow(at, full_w)
    scheduled = [station for station in at.world.stations if station.state.first_evse.scheduled_control]
    counts = [len(told(at, begins_s, station.station_id)) for station in scheduled]
    assert max(counts) <= 2
    assert sum(counts) <= 1.3 * len(counts)


def test_i8_after_a_crash_the_period_in_force_is_known_and_the_schedule_goes_on(town: Any, ideal: dict[str, Any]) -> None:
    at = town(30, 5, plant=ideal, mix=ALL)
    full_w = at.offer_w(900.0)
    stepped(at, full_w)
    at.run(145)
    records = {record.station_id: record for record in at.room.ledger if record.kind is ProfileKind.DISCHARGE and record.later}
    assert len(records) >= 10
    at.restart(away_s=10.0)  # the first step comes while nobody is there
    at.run(40)
    told_w = {view.station_id: view.setpoint_w for view in at.do(at.operations.sessions())}
    assert all(told_w[one] == pytest.approx(-record.power_at(at.now_s)) for one, record in records.items())
    at.run(115)
    assert at.delivered_w(100) == pytest.approx(SHARES[1] * full_w, rel=0.02)
    follow(at, full_w, SHARES[2:], rel=0.06)
    at.run(END_S)
    assert at.left_behind() == []


def test_k01_fr_05_a_station_that_booted_gets_what_is_left_of_its_schedule(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 6, plant=ideal, mix=ALL)
    full_w, begins_s = at.offer_w(900.0), at.now_s
    stepped(at, full_w)
    at.run(153)
    station = next(one for one in at.world.stations if [len(periods(it)) > 3 for it in told(at, begins_s, one.station_id)] == [True])
    [first] = told(at, begins_s, station.station_id)
    cut_s = at.now_s
    at.room.placement.station_back(station.station_id, at.now_s)  # as after a boot
    at.run(3)
    again = told(at, cut_s, station.station_id)[0]
    assert [period["setpoint"] for period in periods(again)] == [period["setpoint"] for period in periods(first)][1:]
    assert again["validTo"] == first["validTo"]
    assert not [notice for notice in at.notices if notice.kind == "session.refused"]


def test_k01_periods_per_schedule_is_kept_and_the_order_is_renewed_where_it_was_cut(town: Any, ideal: dict[str, Any]) -> None:
    at = town(30, 7, plant=ideal, mix=ALL, station={"max_periods": 3})
    full_w, begins_s = at.offer_w(900.0), at.now_s
    stepped(at, full_w)
    follow(at, full_w, rel=0.1)
    at.run(END_S)
    profiles = told(at, begins_s)
    assert max(len(periods(profile)) for profile in profiles) == 3
    assert at.left_behind() == []


def test_a_station_that_refuses_several_periods_gets_one_and_is_not_asked_again(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 8, plant=ideal, mix=ALL)
    asked: list[str] = []
    for station in at.world.stations[:10]:
        receive = station.receive

        def hear(text: bytes, now_s: float, station: Any = station, receive: Any = receive) -> None:
            frame = json.loads(text)
            if frame[0] == 2 and frame[2] == "SetChargingProfile" and len(periods(frame[3]["chargingProfile"])) > 2:
                asked.append(station.station_id)
                answer = [3, frame[1], {"status": "Rejected", "statusInfo": {"reasonCode": "TooManyElements"}}]
                at.world.at(now_s, lambda: at.world.csms.received(station.station_id, json.dumps(answer).encode(), at.now_s))
            else:
                receive(text, now_s)

        station.receive = hear
    full_w = at.offer_w(900.0)
    stepped(at, full_w)
    at.run(100)
    assert at.delivered_w(30) == pytest.approx(SHARES[0] * full_w, rel=0.05)
    assert asked
    assert len(asked) == len(set(asked))
    for station_id in asked:
        [closed] = at.room.placement.paths.closed_at(station_id)
        assert closed.path == PERIODS
        assert "TooManyElements" in closed.reason
    at.run(800 + END_S)
    assert at.left_behind() == []


def test_i11_an_emergency_stop_takes_periods_to_come_with_it(town: Any, ideal: dict[str, Any]) -> None:
    at = town(20, 9, plant=ideal, mix=ALL)
    full_w = at.offer_w(900.0)
    stepped(at, full_w, [0.1, 0.9, 0.9])
    at.run(100)
    waiting = [record for record in at.room.ledger if record.kind is ProfileKind.DISCHARGE and record.power_w == 0.0 and record.later]
    assert waiting, "cars at rest have their discharge in their schedule already"
    at.do(at.operations.emergency_stop(True, "me"))
    at.run(300)
    assert max(-power_w for power_w in at.power_w[-290:]) <= 500.0
    assert at.left_behind() == []


def test_an_amendment_replaces_the_steps_that_do_not_hold_any_more(town: Any, ideal: dict[str, Any]) -> None:
    at = town(30, 10, plant=ideal, mix=ALL)
    full_w, begins_s = at.offer_w(900.0), at.now_s
    order = stepped(at, full_w, [0.4, 0.9, 0.2, 0.9, 0.2, 0.9])
    at.run(60)
    assert any(len(periods(profile)) > 3 for profile in told(at, begins_s))
    at.do(at.operations.amend(order.dispatch_id, Amendment(discharge_power_w=0.4 * full_w), "me"))
    amended = at.view(order).instruction
    at.run(60)
    for _ in range(3):
        at.run(120)
        asked_w = at.view(order).target_power_w
        assert at.delivered_w(30) == pytest.approx(asked_w, rel=0.06), amended.steps
    at.do(at.operations.cancel(order.dispatch_id, "me"))
    at.run(END_S)
    assert at.left_behind() == []
