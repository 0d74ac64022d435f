"""The driver's word and the driver's caps in the whole house: the next tick follows, and energy is counted through restarts."""

from typing import Any

import pytest

from counterflow.domain.drivers import Scope, SessionOverride
from counterflow.domain.ids import SessionUid, StationId, TransactionId
from counterflow.domain.records import DocumentKind


def uid_of(at: Any, station: int) -> SessionUid:
    evse = at.world.stations[station].state.first_evse
    uid = at.room.fleet.uid_of(StationId(at.world.stations[station].state.station_id), TransactionId(evse.transaction_id))
    assert uid is not None
    return uid


def a_discharging_station(at: Any) -> int:
    return next(number for number in range(len(at.world.stations)) if at.world.fleet.plant.power_w[number] < -500.0)


def test_stop_now_wins_the_next_tick(town: Any, ideal: dict[str, Any]) -> None:
    at = town(12, plant=ideal)
    order = at.order(600.0, share=0.6)
    at.run(30)
    car = a_discharging_station(at)
    uid = uid_of(at, car)
    at.room.override(uid, SessionOverride(stop=True, at_s=at.now_s, by="app"), at.now_s)
    at.run(8)
    assert at.world.fleet.plant.power_w[car] > -100.0
    assert uid not in at.room.dispatcher.book.owner
    at.run(60)
    assert at.world.fleet.plant.power_w[car] >= 0.0, "it is back at charging"
    assert at.delivered_w() == pytest.approx(at.view(order).target_power_w, rel=0.1), "others have taken over"
    at.restart()
    at.run(60)
    assert at.world.fleet.plant.power_w[car] >= 0.0, "a restart does not forget it"


def test_i_leave_soon_makes_it_charge(town: Any, ideal: dict[str, Any]) -> None:
    at = town(12, plant=ideal)
    at.order(600.0, share=0.6)
    at.run(30)
    car = a_discharging_station(at)
    at.room.override(uid_of(at, car), SessionOverride(departure_s=at.now_s + 600.0, at_s=at.now_s, by="app"), at.now_s)
    at.run(30)
    assert at.world.fleet.plant.power_w[car] >= 0.0


def test_a_departure_that_comes_closer_shortens_the_order_in_force(town: Any, ideal: dict[str, Any]) -> None:
    at = town(6, plant=ideal)
    at.order(3_000.0, share=0.4)
    at.run(60)
    car = a_discharging_station(at)
    uid = uid_of(at, car)
    row = at.room.fleet.row_of(uid)
    image = at.room.fleet.snapshot(at.now_s)
    until_s = float(image.discharge_until_s[row])
    laxity_s = float(at.room.dispatcher.outlook.capability_now(image, at.now_s + 900.0).laxity_s[row])
    leaves_s = float(image.departure_s[row]) - laxity_s + 300.0
    at.room.override(uid, SessionOverride(departure_s=leaves_s, at_s=at.now_s, by="app"), at.now_s)
    at.run(5)
    assert float(at.room.fleet.snapshot(at.now_s).discharge_until_s[row]) < until_s - 60.0


def test_a_cap_ends_discharge_is_counted_by_registers_and_survives_restarts(town: Any, ideal: dict[str, Any]) -> None:
    cap_wh = 800.0
    at = town(4, plant=ideal, settings={"drivers": {"default": {"consent": True, "max_day_discharge_wh": cap_wh}}})
    before_wh = at.world.fleet.plant.export_wh.copy()
    at.order(1_800.0, power_w=40_000.0)
    at.run(120)
    at.restart()
    at.run(120)
    at.restart()
    at.run(1_200)
    given_wh = at.world.fleet.plant.export_wh - before_wh
    assert given_wh.max() <= cap_wh
    assert given_wh.max() > 0.7 * cap_wh, "what is allowed is used"
    accounts = [record for _, record in at.journal.documents(DocumentKind.ACCOUNT)]
    assert accounts
    for uid in at.room.fleet.uids():
        at.room.fleet.override(uid, SessionOverride(), at.now_s)
    counted_wh = sum(at.room.fleet.accounts.get(one.account).day_wh for one in accounts if one.account.startswith("driver:"))
    assert counted_wh == pytest.approx(given_wh.sum(), abs=40.0), "nothing counted twice, nothing left out"


def test_a_cap_holds_if_all_else_dies(town: Any, ideal: dict[str, Any]) -> None:
    cap_wh = 600.0
    at = town(4, plant=ideal, settings={"drivers": {"default": {"consent": True, "max_day_discharge_wh": cap_wh}}})
    before_wh = at.world.fleet.plant.export_wh.copy()
    at.order(1_800.0, power_w=40_000.0)
    at.run(60)
    at.world.cut_all(1_700.0)
    at.run(1_500)
    assert (at.world.fleet.plant.export_wh - before_wh).max() <= cap_wh


def test_q01_consent_that_comes_later_upgrades_the_session_once(town: Any, ideal: dict[str, Any]) -> None:
    at = town(3, plant=ideal, settings={"drivers": {"default": {"consent": False}}})
    assert at.calls()["NotifyAllowedEnergyTransfer"] == 0
    token = "DECFW000000002"
    at.do(at.operations.set_driver(Scope.DRIVER, token, None, {"consent": True}, "me"))
    at.run(30)
    assert at.calls()["NotifyAllowedEnergyTransfer"] == 1
    assert at.calls("SIM-00002")["NotifyAllowedEnergyTransfer"] == 1
    assert at.world.stations[1].state.first_evse.bidirectional, "new needs have followed"
    assert at.operations.fleet().sessions_ready == 1
    at.restart()
    at.run(60)
    assert at.calls()["NotifyAllowedEnergyTransfer"] == 1, "never twice"
    assert at.world.fleet.violations() == []
