"""A mixed fleet under one order of the mode RELATIVE: cars that discharge (OCPP 2.1), and posts of OCPP 1.6 and 2.0.1 that charge less."""

import itertools
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest

from counterflow.app.config import Settings
from counterflow.app.replay import Replay
from counterflow.domain.delivery import DeliveryReport, LogKind
from counterflow.domain.dispatch_views import DispatchAnswer
from counterflow.domain.drivers import Scope, SessionOverride
from counterflow.domain.instructions import ControlPath, DispatchMode, DispatchOrder, DispatchState, StreamTerms, StreamValue
from counterflow.domain.records import DocumentKind
from counterflow.domain.settlement import BaselineMethod, PlanFrozen
from counterflow.engine.settlement.members import members
from counterflow.sim.settings import WorldSettings
from counterflow.sim.vehicle import Cars

AMPERE_W = 3 * 230.0
TERMS: dict[str, Any] = {"drivers": {"default": {"consent": True, "pausing": True, "max_pause_s": 3_600.0}}}
CONFIGURATION = {
    "NumberOfConnectors": "1", "SupportedFeatureProfiles": "Core,SmartCharging", "MeterValueSampleInterval": "10",
    "MeterValuesSampledData": "Power.Active.Import,Energy.Active.Import.Register", "ChargeProfileMaxStackLevel": "3",
    "ChargingScheduleMaxPeriods": "1", "MaxChargingProfilesInstalled": "2",
}  # fmt: skip
VARIABLES = {
    "SampledDataCtrlr.TxUpdatedInterval": "10", "SampledDataCtrlr.TxUpdatedMeasurands": "Power.Active.Import",
    "SmartChargingCtrlr.Enabled": "true", "SmartChargingCtrlr.RateUnit": "W", "SmartChargingCtrlr.ProfileStackLevel": "5",
}  # fmt: skip


class Post:
    """A charging post with one car, of an older version: meters, obeys the limit of its highest profile, and cannot discharge.

    Its car draws `draw_w` on three phases until `need_wh` has come. `unit` is what its profiles are told in.
    """

    def __init__(
        self, at: Any, name: str, subprotocol: str, *, draw_w: float = 11_040.0, need_wh: float, unit: str = "Power", **keys: str
    ) -> None:
        self.at, self.name, self.subprotocol = at, name, subprotocol
        self.draw_w, self.need_wh = draw_w, need_wh
        self.keys = CONFIGURATION | {"ChargingScheduleAllowedChargingRateUnit": unit} | keys
        self.power_w, self.register_wh, self.got_wh = 0.0, 5_000.0, 0.0
        self.profiles: dict[int, dict[str, Any]] = {}
        self.limits_w: list[float] = []
        self.number: Any = None
        self.present, self.phase, self._seconds = False, "", 0
        self._ids, self._seq = itertools.count(), itertools.count()

    @property
    def old(self) -> bool:
        return self.subprotocol == "ocpp1.6"

    # --- the car

    def arrive(self, **needs: Any) -> None:
        now = _text(self.at.now_s)
        self.at.room.opened(self.name, self.subprotocol, self.at.now_s)
        self.present = True
        if self.old:
            self.call("BootNotification", {"chargePointVendor": "Elm", "chargePointModel": "Post"})
            self.call("StatusNotification", {"connectorId": 1, "errorCode": "NoError", "status": "Preparing"})
            self.call("StartTransaction", {"connectorId": 1, "idTag": self.name, "meterStart": 5000, "timestamp": now})
        else:
            self.call("BootNotification", {"reason": "PowerUp", "chargingStation": {"model": "Post", "vendorName": "Elm"}})
            self.number = f"tx-{self.name}"
            self.call("TransactionEvent", self._event("Started", "CablePluggedIn") | {"idToken": {"idToken": self.name, "type": "Central"}})
            if needs:
                self.call("NotifyEVChargingNeeds", {"evseId": 1, "chargingNeeds": needs})
        self._phase("Charging")

    def leave(self) -> None:
        self.present, self.power_w = False, 0.0
        if self.old:
            stop = {"transactionId": self.number, "meterStop": int(self.register_wh), "timestamp": _text(self.at.now_s)}
            self.call("StopTransaction", stop | {"reason": "EVDisconnected"})
        else:
            self.call("TransactionEvent", self._event("Ended", "EVDeparted"))
        self.profiles.clear()

    def back(self) -> None:
        """The line is open again, after the server was away."""
        self.at.room.opened(self.name, self.subprotocol, self.at.now_s)

    def limit_w(self) -> float:
        """What the profile of the highest level that is in force allows, W."""
        now_s, best, limit_w = self.at.now_s, -1, np.inf
        for profile in self.profiles.values():
            [schedule] = profile["chargingSchedule"] if isinstance(profile["chargingSchedule"], list) else [profile["chargingSchedule"]]
            starts_s = _seconds(schedule["startSchedule"])
            if starts_s <= now_s < starts_s + schedule.get("duration", np.inf) and profile["stackLevel"] > best:
                best = profile["stackLevel"]
                [period] = schedule["chargingSchedulePeriod"]
                limit_w = period["limit"] * (AMPERE_W if schedule["chargingRateUnit"] == "A" else 1.0)
        return limit_w

    def step(self) -> None:
        """A second passes: a car follows its limit (below 6 A it draws nothing), and every ten seconds the meter is read."""
        if not self.present:
            return
        self._seconds += 1
        limit_w = self.limit_w()
        self.limits_w.append(limit_w)
        wanted_w = min(self.draw_w, limit_w) if limit_w >= 6 * AMPERE_W and self.got_wh < self.need_wh else 0.0
        self.power_w += np.clip(wanted_w - self.power_w, -3_000.0, 3_000.0)
        self.register_wh += self.power_w / 3_600.0
        self.got_wh += self.power_w / 3_600.0
        self._phase("SuspendedEVSE" if limit_w == 0.0 else "Charging")
        if self._seconds % 10 == 0:
            values = [
                {"value": self._value(round(self.power_w)), "measurand": "Power.Active.Import"},
                {"value": self._value(round(self.register_wh)), "measurand": "Energy.Active.Import.Register"},
            ]
            readings = [{"timestamp": _text(self.at.now_s), "sampledValue": values}]
            if self.old:
                self.call("MeterValues", {"connectorId": 1, "transactionId": self.number, "meterValue": readings})
            else:
                self.call("TransactionEvent", self._event("Updated", "MeterValuePeriodic") | {"meterValue": readings})

    def _phase(self, phase: str) -> None:
        if phase == self.phase:
            return
        self.phase = phase
        if self.old:
            status = {"connectorId": 1, "errorCode": "NoError", "status": phase, "timestamp": _text(self.at.now_s)}
            self.call("StatusNotification", status)
        else:
            self.call("TransactionEvent", self._event("Updated", "ChargingStateChanged"))

    def _event(self, kind: str, trigger: str) -> dict[str, Any]:
        info = {"transactionId": self.number, "chargingState": self.phase or "EVConnected"}
        where = {"eventType": kind, "timestamp": _text(self.at.now_s), "triggerReason": trigger, "seqNo": next(self._seq)}
        return where | {"transactionInfo": info, "evse": {"id": 1, "connectorId": 1}}

    def _value(self, number: float) -> Any:
        return str(number) if self.old else number

    # --- the line

    def call(self, action: str, payload: dict[str, Any]) -> None:
        self.at.room.received(self.name, json.dumps([2, f"{self.name}-{next(self._ids)}", action, payload]).encode(), self.at.now_s)

    def receive(self, text: bytes) -> None:
        frame = json.loads(text)
        if frame[0] == 3 and "transactionId" in frame[2]:
            self.number = frame[2]["transactionId"]
        if frame[0] == 2:
            self.at.room.received(self.name, json.dumps(self._answer(frame[1], frame[2], frame[3])).encode(), self.at.now_s)

    def _answer(self, message_id: str, action: str, payload: dict[str, Any]) -> list[Any]:
        match action:
            case "SetChargingProfile":
                profile = payload["csChargingProfiles" if self.old else "chargingProfile"]
                self.profiles[profile["chargingProfileId" if self.old else "id"]] = profile
                return [3, message_id, {"status": "Accepted"}]
            case "ClearChargingProfile":
                gone = self.profiles.pop(payload["id" if self.old else "chargingProfileId"], None)
                return [3, message_id, {"status": "Unknown" if gone is None else "Accepted"}]
            case "GetConfiguration":
                keys = [{"key": key, "readonly": True, "value": value} for key, value in self.keys.items()]
                return [3, message_id, {"configurationKey": keys}]
            case "GetVariables":
                return [3, message_id, {"getVariableResult": [_variable(asked) for asked in payload["getVariableData"]]}]
            case "GetChargingProfiles":
                return [3, message_id, {"status": "NoProfiles"}]
            case _:
                return [4, message_id, "NotImplemented", "", {}]


def _variable(asked: dict[str, Any]) -> dict[str, Any]:
    value = VARIABLES.get(f"{asked['component']['name']}.{asked['variable']['name']}")
    if value is None or "evse" in asked["component"]:
        return {**asked, "attributeStatus": "UnknownVariable"}
    return {**asked, "attributeStatus": "Accepted", "attributeValue": value}


def _text(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat()


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class Street:
    """Posts beside the simulated stations of a town, on the same clock."""

    def __init__(self, at: Any) -> None:
        self.at = at
        self.posts: dict[str, Post] = {}
        taken = at.take_outbox

        def take_outbox() -> list[tuple[str, bytes]]:
            kept: list[tuple[str, bytes]] = []
            while texts := taken():
                for station_id, text in texts:
                    if station_id in self.posts:
                        self.posts[station_id].receive(text)
                    else:
                        kept.append((station_id, text))
            return kept

        at.take_outbox = take_outbox
        at.each_second.append(lambda: self.now(lambda: [post.step() for post in self.posts.values()]))

    def now(self, action: Callable[[], object]) -> None:
        """Do it now, and carry what follows to where it belongs."""
        self.at.world.at(self.at.now_s, action)
        self.at.world.run_until(self.at.now_s)

    def add(self, name: str, subprotocol: str, needs: dict[str, Any] | None = None, **car: Any) -> Post:
        post = self.posts[name] = Post(self.at, name, subprotocol, **car)
        self.now(lambda: post.arrive(**(needs or {})))
        return post

    def power_w(self) -> dict[str, float]:
        return {name: post.power_w for name, post in self.posts.items() if post.present}


def cars(count: int, stay_s: float) -> Cars:
    """Cars of 11 kW with half of their battery to give and not much to get."""
    each = np.ones(count)
    return Cars(
        max_power_w=11_000.0 * each,
        min_power_w=1_000.0 * each,
        capacity_wh=60_000.0 * each,
        soc_frac=0.7 * each,
        floor_soc_frac=0.3 * each,
        target_soc_frac=0.75 * each,
        stay_s=stay_s * each,
    )


@pytest.fixture
def street(town: Any, ideal: dict[str, Any]) -> Callable[..., Street]:
    """`street(4, settings=...)`: a town of so many cars that can be discharged, and room for posts."""

    def build(stations: int, settings: dict[str, Any] | None = None) -> Street:
        return Street(town(stations, 5, plant=ideal, cars=cars(stations, 7_200.0), settings=settings or TERMS))

    return build


def needs_of(at: Any, energy_wh: int, stay_s: float) -> dict[str, Any]:
    car = {"energyAmount": energy_wh, "evMinCurrent": 6, "evMaxCurrent": 16, "evMaxVoltage": 400}
    return {"requestedEnergyTransfer": "AC_three_phase", "departureTime": _text(at.now_s + stay_s), "acChargingParameters": car}


def test_a_mixed_fleet_follows_although_a_car_leaves_and_every_driver_gets_what_is_needed(street: Any) -> None:
    here = street(4)
    at = here.at
    leaver = here.add("P-16-1", "ocpp1.6", need_wh=9_000.0)
    amps = here.add("P-16-2", "ocpp1.6", need_wh=9_000.0, unit="Current")
    told = here.add("P-201", "ocpp2.0.1", needs_of(at, 6_000, 14_400.0), need_wh=6_000.0)
    at.run(40)
    plan_w = here.power_w()
    cars_w = at.world.power_w.copy()
    assert plan_w == {name: pytest.approx(11_040.0) for name in here.posts}
    views = {view.station_id: view for view in at.do(at.operations.sessions())}
    assert {name: (views[name].reason, views[name].pausing) for name in here.posts} == dict.fromkeys(
        here.posts, ("no_v2x_control", "ready")
    )
    order = at.order(600.0, 0.75, mode=DispatchMode.RELATIVE)
    target_w = order.steps[0].discharge_power_w
    assert target_w > 4 * 11_000.0, "the posts are counted on"
    given_w: list[float] = []
    at.each_second.append(
        lambda: given_w.append(
            float((cars_w - at.world.power_w).sum()) + sum(plan_w[name] - power_w for name, power_w in here.power_w().items())
        )
    )
    at.run(300)
    here.now(leaver.leave)
    at.run(295)
    means_w = np.array(given_w).reshape(-1, 5).mean(axis=1)
    assert means_w[12:60] == pytest.approx(target_w, rel=0.03)
    assert means_w[72:] == pytest.approx(target_w, rel=0.03), "others have taken on what the car that left had given"
    for post in here.posts.values():
        limited_w = [limit for limit in post.limits_w if np.isfinite(limit)]
        assert limited_w, "each took part"
        assert min(limited_w) == 0.0
        assert all(limit == 0.0 or limit >= 6 * AMPERE_W - 1e-6 for limit in limited_w), "paused, or no slower than 6 A"
    report = at.report(order.dispatch_id)
    by_station = {session.station_id: session for session in report.sessions}
    at.run(200)
    assert at.view(order).instruction.state is DispatchState.COMPLETED
    assert at.left_behind() == []
    assert all(not post.profiles for post in here.posts.values())
    settled_by_registers(report, by_station, plan_w)
    assert np.array(given_w)[-60:] == pytest.approx(0.0, abs=0.05 * target_w), "everything charges again as it did before"
    at.run(7_200.0 - (at.now_s - order.start_s) - 200.0)
    assert [post.got_wh >= post.need_wh for post in (amps, told)] == [True, True]
    plant = at.world.fleet.plant
    assert (plant.energy_wh / plant.capacity_wh >= 0.75 - 0.02).all(), "and the cars that were discharged have what they wanted"


def settled_by_registers(report: DeliveryReport, by_station: dict[str, Any], plan_w: dict[str, float]) -> None:
    """What a post spared is its plan less what its import register shows; nothing of it is discharged energy."""
    assert report.delivered_energy_wh == pytest.approx(report.target_energy_wh, rel=0.05)
    for name, planned_w in plan_w.items():
        session = by_station[name]
        member_s = (session.left_s or report.instruction.end_s) - session.joined_s
        assert session.exported_wh == 0.0
        assert session.from_register
        assert session.delivered_wh == pytest.approx(planned_w * member_s / 3_600.0 - session.imported_wh, rel=0.02, abs=20.0)


def test_without_consent_to_pausing_posts_charge_on(street: Any) -> None:
    here = street(2, settings={"drivers": {"default": {"consent": True}}})
    post = here.add("P-16", "ocpp1.6", need_wh=9_000.0)
    here.at.run(40)
    [view] = [view for view in here.at.do(here.at.operations.sessions()) if view.station_id == "P-16"]
    assert (view.pausing, view.reducible_power_w) == ("no_pause_consent", 0.0)
    here.at.order(120.0, 0.9, mode=DispatchMode.RELATIVE)
    here.at.run(120)
    assert not any(np.isfinite(limit) for limit in post.limits_w)


def test_a_driver_who_stops_it_charges_again_within_seconds(street: Any) -> None:
    here = street(1)
    post = here.add("P-16", "ocpp1.6", need_wh=9_000.0)
    here.at.run(40)
    here.at.order(600.0, 0.9, mode=DispatchMode.RELATIVE)
    here.at.run(40)
    assert post.power_w == 0.0
    uid = here.at.room.fleet.uid_of("P-16", str(post.number))
    here.now(lambda: here.at.room.override(uid, SessionOverride(stop=True), here.at.now_s))
    here.at.run(15)
    assert post.power_w == pytest.approx(11_040.0)


def test_cars_at_2_1_stations_whose_drivers_agreed_to_pausing_only_are_never_discharged(street: Any) -> None:
    here = street(4, settings={"drivers": {"default": {"consent": False, "pausing": True}}})
    at = here.at
    before_w = at.world.power_w.copy()
    least_w = [0.0]
    at.each_second.append(lambda: least_w.append(float(at.world.power_w.min())))
    order = at.order(200.0, 0.8, mode=DispatchMode.RELATIVE)
    at.run(150)
    target_w = order.steps[0].discharge_power_w
    assert 25_000.0 < target_w < before_w.sum()
    assert float((before_w - at.world.power_w).sum()) == pytest.approx(target_w, rel=0.05)
    placed = [one.payload["chargingProfile"] for one in at.sent if one.action == "SetChargingProfile"]
    modes = {
        period["operationMode"] for one in placed for schedule in one["chargingSchedule"] for period in schedule["chargingSchedulePeriod"]
    }
    assert modes == {"ChargingOnly"}
    assert all(schedule["duration"] > 0 for one in placed for schedule in one["chargingSchedule"])
    at.run(250)
    assert min(least_w) == 0.0, "none was ever discharged"
    assert at.left_behind() == []


def test_a_post_with_room_for_one_profile_of_one_level_and_one_period_takes_part(street: Any) -> None:
    here = street(1)
    post = here.add("P-16", "ocpp1.6", need_wh=9_000.0, ChargeProfileMaxStackLevel="0", MaxChargingProfilesInstalled="1")
    here.at.run(40)
    here.at.order(300.0, power_w=5_040.0, mode=DispatchMode.RELATIVE)
    here.at.run(40)
    assert post.power_w == pytest.approx(6_000.0)
    [profile] = post.profiles.values()
    assert profile["stackLevel"] == 0
    assert here.at.calls("P-16")["SetChargingProfile"] == 1, "no fallback goes beneath"


def test_an_order_for_later_counts_on_cars_whose_need_is_unknown(street: Any) -> None:
    here = street(1)
    alone_w = here.at.offer_w(600.0, mode=DispatchMode.RELATIVE, start_s=here.at.now_s + 200.0)
    here.add("P-16", "ocpp1.6", need_wh=9_000.0)
    here.at.run(40)
    with_post_w = here.at.offer_w(600.0, mode=DispatchMode.RELATIVE, start_s=here.at.now_s + 200.0)
    assert with_post_w == pytest.approx(alone_w + 11_040.0, rel=0.05)


def test_a_band_does_not_count_on_cars_that_only_charge(street: Any) -> None:
    here = street(1)
    band = {"mode": DispatchMode.RELATIVE, "control_path": ControlPath.AFRR}
    alone_w = here.at.offer_w(600.0, **band)
    here.add("P-16", "ocpp1.6", need_wh=9_000.0)
    here.at.run(40)
    assert here.at.offer_w(600.0, **band) == pytest.approx(alone_w, rel=0.05)


def test_who_agrees_while_the_car_charges_is_asked_about_at_once(street: Any) -> None:
    here = street(1, settings={"drivers": {"default": {"consent": True}}})
    here.add("P-201", "ocpp2.0.1", needs_of(here.at, 6_000, 14_400.0), need_wh=6_000.0)
    here.at.run(40)
    assert here.at.calls("P-201")["GetChargingProfiles"] == 0, "nobody agreed to anything"
    here.at.do(here.at.operations.set_driver(Scope.DRIVER, "P-201", None, {"pausing": True}, "me"))
    here.at.run(40)
    [view] = [view for view in here.at.do(here.at.operations.sessions()) if view.station_id == "P-201"]
    assert (view.pausing, view.reducible_power_w) == ("ready", pytest.approx(11_040.0))


def slowed(street: Any) -> tuple[Street, Post, Any]:
    """A post whose car is slowed to 6 kW by an order."""
    here = street(1)
    post = here.add("P-16", "ocpp1.6", need_wh=9_000.0)
    here.at.run(40)
    order = here.at.order(600.0, power_w=5_040.0, mode=DispatchMode.RELATIVE)
    here.at.run(40)
    assert post.power_w == pytest.approx(6_000.0)
    return here, post, order


@pytest.mark.parametrize("stop", ["cancel", "emergency"])
def test_when_an_order_is_stopped_a_slowed_car_is_not_paused_but_given_back(street: Any, stop: str) -> None:
    here, post, order = slowed(street)
    if stop == "cancel":
        here.at.do(here.at.operations.cancel(order.dispatch_id, "me"))
    else:
        here.at.do(here.at.operations.emergency_stop(True, "me"))
    here.at.run(100)
    assert min(post.limits_w[-100:]) == pytest.approx(6_000.0)
    assert (post.power_w, post.profiles) == (pytest.approx(11_040.0), {})
    assert here.at.left_behind() == []


def test_a_restart_goes_on_with_a_slowed_car_and_knows_how_long_it_was(street: Any) -> None:
    here, post, order = slowed(street)
    at = here.at
    [kept] = [record for _, record in at.journal.documents(DocumentKind.SESSION) if record.station_id == "P-16"]
    assert 600.0 <= kept.paused_s <= 600.0 + 80.0, "to the end of the order that is out"
    at.restart(away_s=5.0)
    row = at.room.fleet.row_of(kept.session_uid)
    image = at.room.fleet.snapshot(at.now_s)
    assert (bool(image.reduced[row]), float(image.setpoint_w[row])) == (True, pytest.approx(6_000.0))
    assert float(image.pause_left_s[row]) == pytest.approx(3_600.0 - kept.paused_s)
    here.now(post.back)
    at.run(300)
    assert post.power_w == pytest.approx(6_000.0)
    at.run(500)
    assert at.view(order).instruction.state is DispatchState.COMPLETED
    assert (post.power_w, post.profiles) == (pytest.approx(11_040.0), {})
    assert at.left_behind() == []


def test_if_the_server_dies_a_paused_car_charges_again_by_itself(street: Any) -> None:
    here = street(1)
    post = here.add("P-16", "ocpp1.6", need_wh=9_000.0)
    here.at.run(40)
    here.at.order(300.0, 0.9, mode=DispatchMode.RELATIVE)
    here.at.run(40)
    assert post.power_w == 0.0
    for _ in range(345):
        post.at.world.now_s += 1.0
        post.at.room = Nobody()
        post.step()
    assert post.power_w == pytest.approx(11_040.0)


class Nobody:
    """A server that is no more."""

    def received(self, *_: Any) -> None:
        """Nobody hears it."""


def test_a_car_whose_pause_is_used_up_is_given_back_and_not_paused_again(street: Any) -> None:
    terms = {"drivers": {"default": {"consent": True, "pausing": True, "max_pause_s": 120.0}}}
    here = street(1, settings=terms)
    post = here.add("P-16", "ocpp1.6", need_wh=9_000.0)
    here.at.run(40)
    here.at.order(600.0, 0.9, mode=DispatchMode.RELATIVE)
    here.at.run(400)
    paused_s = sum(np.isfinite(limit) for limit in post.limits_w)
    assert 60 <= paused_s <= 120
    [view] = [view for view in here.at.do(here.at.operations.sessions()) if view.station_id == "P-16"]
    assert view.pausing == "paused_enough"


def test_a_small_relative_order_takes_off_what_was_ordered_and_not_what_cars_leave_off_by_themselves() -> None:
    """Against a twin without the order: the cars fill meanwhile, and what they draw less by that is nobody's delivery."""
    house = {"stations": {"accept_unknown": True}, "drivers": {"default": {"consent": True, "pausing": True}}}

    def played(*, ordered: bool) -> Replay:
        at = Replay(msgspec.convert(house, Settings), WorldSettings(stations=50), 1).run(180)
        if ordered:
            order = DispatchOrder(discharge_power_w=20_000.0, duration_s=600.0, mode=DispatchMode.RELATIVE)
            assert isinstance(at.do(at.operations.order(order, None, False)), DispatchAnswer)
        return at.run(600)

    twin, at = played(ordered=False), played(ordered=True)
    by_themselves_w = np.mean(twin.power_w[180:200]) - np.mean(twin.power_w[-60:])
    assert by_themselves_w > 20_000.0, "counted from a constant plan nothing would be left to do"
    taken_off_w = np.array(twin.power_w) - np.array(at.power_w)
    assert float(taken_off_w[240:].mean()) == pytest.approx(20_000.0, abs=6_000.0)
    [instruction] = at.room.dispatcher.book.instructions.values()
    assert instruction.baseline is BaselineMethod.FORWARD
    report = at.report(instruction.dispatch_id)
    assert report.delivered_energy_wh == pytest.approx(20_000.0 / 6.0, rel=0.1)


PAUSING: dict[str, Any] = {"drivers": {"default": {"consent": False, "pausing": True, "max_pause_s": 3_600.0}}}


@pytest.mark.parametrize("baseline", [BaselineMethod.FORWARD, BaselineMethod.DECLARED])
def test_who_charges_harder_between_acceptance_and_start_is_not_paid_for_it(street: Any, baseline: BaselineMethod) -> None:
    """Two twins: in one the car raises its charging after the order is accepted, so as to have more to give up. Both are paused alike."""

    def played(then_w: float) -> tuple[Any, DeliveryReport]:
        here = street(1, settings=PAUSING)
        post = here.add("P-16", "ocpp1.6", need_wh=30_000.0, draw_w=6_000.0)
        here.at.run(40)
        order = here.at.order(300.0, power_w=17_000.0, mode=DispatchMode.RELATIVE, baseline=baseline, start_s=here.at.now_s + 120.0)
        here.at.run(20)
        post.draw_w = then_w
        here.at.run(60)
        assert post.power_w == pytest.approx(then_w), "it has done so in time"
        here.at.run(400)
        report = here.at.report(order.dispatch_id)
        [session] = [session for session in report.sessions if session.station_id == "P-16"]
        assert min(limit for limit in post.limits_w if np.isfinite(limit)) == 0.0, "it was paused"
        return session, report

    (honest, whole), (harder, whole_then) = played(6_000.0), played(11_040.0)
    assert (honest.plan_frozen, harder.plan_frozen) == (PlanFrozen.ACCEPTANCE, PlanFrozen.ACCEPTANCE)
    assert harder.baseline_wh == honest.baseline_wh == pytest.approx(-6_000.0 * 300.0 / 3_600.0, abs=1.0)
    assert harder.delivered_wh <= honest.delivered_wh
    for report in (whole, whole_then):
        assert report.instruction.feasibility is not None
        assert report.instruction.feasibility.committed_power_w == pytest.approx(0.9 * 16_620.0, rel=0.02), "cars told ahead count in full"
        assert report.delivered_energy_wh == pytest.approx(0.9 * 16_620.0 * 300.0 / 3_600.0, rel=0.05)


def test_what_a_car_draws_beyond_its_plan_is_not_committed_at_the_start(street: Any) -> None:
    here = street(1, settings=PAUSING)
    at = here.at
    post = here.add("P-16", "ocpp1.6", need_wh=30_000.0, draw_w=6_000.0)
    at.run(40)
    terms = StreamTerms(timeout_s=10.0, hold_s=5.0, ramp_down_s=10.0)  # what begins as a stream is told to nobody ahead
    order = at.order(300.0, power_w=40_000.0, mode=DispatchMode.RELATIVE, stream=terms, start_s=at.now_s + 120.0)
    assert order.feasibility.committed_power_w == pytest.approx(0.9 * 16_620.0, rel=0.02)
    post.draw_w = 11_040.0
    at.run(123)
    begun = at.view(order).instruction
    assert begun.state is DispatchState.RUNNING
    assert begun.feasibility.committed_power_w == pytest.approx(0.9 * 16_620.0, rel=0.02)


def test_plans_outlive_a_crash_between_acceptance_and_start_and_a_car_that_comes_later_has_its_own(street: Any) -> None:
    here = street(3, settings=PAUSING)
    at = here.at
    post = here.add("P-16", "ocpp1.6", need_wh=30_000.0, draw_w=6_000.0)
    at.run(40)
    order = at.order(300.0, power_w=30_000.0, mode=DispatchMode.RELATIVE, start_s=at.now_s + 150.0)
    accepted_s = at.now_s
    frozen = at.room.dispatcher.book.frozen[order.dispatch_id]
    assert len(frozen.uid) == 4
    at.restart(away_s=5.0)
    again = at.room.dispatcher.book.frozen[order.dispatch_id].laid_on(frozen.uid)
    for name in again.__struct_fields__:
        np.testing.assert_array_equal(getattr(again, name), getattr(frozen, name))
    here.now(post.back)
    post.draw_w = 11_040.0
    here.add("P-late", "ocpp1.6", need_wh=30_000.0, draw_w=9_000.0)
    at.run(250)
    plans = at.room.dispatcher.book.tasks[order.dispatch_id].memory.plans
    by_station = {view.station_id: view.session_uid for view in at.do(at.operations.sessions())}
    rows = {name: at.room.fleet.row_of(by_station[name]) for name in ("P-16", "P-late")}
    assert (float(plans.at_s[rows["P-16"]]), float(plans.power_w[rows["P-16"]])) == (accepted_s, 6_000.0)
    assert float(plans.at_s[rows["P-late"]]) > accepted_s + 60.0
    at.restart(away_s=5.0)
    for one in here.posts.values():
        here.now(one.back)
    instructions = [at.view(order).instruction]
    told = {name: at.operations._explaining.build(by_station[name], instructions, at.now_s) for name in rows}
    assert "its plan, frozen when the order was accepted" in " ".join(told["P-16"].sentences)
    assert "it drew 6.0 kW then" in " ".join(told["P-16"].sentences)
    assert "its plan, frozen when it joined" in " ".join(told["P-late"].sentences)
    at.run(200)
    report = at.report(order.dispatch_id)
    occasions = {session.station_id: session.plan_frozen for session in report.sessions}
    assert (occasions.pop("P-16"), occasions.pop("P-late")) == (PlanFrozen.ACCEPTANCE, PlanFrozen.JOIN)
    assert set(occasions.values()) <= {PlanFrozen.ACCEPTANCE}
    assert any(note.startswith("Plans frozen when the order was accepted: ") for note in report.notes)
    log = at.journal.dispatch_log(order.dispatch_id)
    assert [entry.session_uid for entry in log if entry.kind == LogKind.CAR] == [by_station["P-late"]], "nobody's plan was frozen twice"


def test_a_car_that_rests_and_joins_again_is_counted_from_one_plan_by_control_and_report(street: Any) -> None:
    here = street(1, settings=PAUSING)
    at = here.at
    post = here.add("P-16", "ocpp1.6", need_wh=30_000.0, draw_w=6_000.0)
    at.run(40)
    terms = StreamTerms(timeout_s=10.0, hold_s=5.0, ramp_down_s=10.0)
    order = at.order(600.0, power_w=17_000.0, mode=DispatchMode.RELATIVE, stream=terms, baseline=BaselineMethod.DECLARED)
    at.do(at.operations.tell(order.dispatch_id, StreamValue(discharge_power_w=17_000.0)))
    at.run(140)
    post.draw_w = 11_040.0
    at.run(30)
    at.do(at.operations.tell(order.dispatch_id, StreamValue(discharge_power_w=17_000.0)))
    at.run(8)
    log = at.journal.dispatch_log(order.dispatch_id)
    [uid] = [view.session_uid for view in at.do(at.operations.sessions()) if view.station_id == "P-16"]
    in_and_out = (LogKind.JOINED, LogKind.RESTED, LogKind.CAR)
    assert [entry.kind for entry in log if entry.session_uid == uid and entry.kind in in_and_out] == ["joined", "rested", "joined"]
    memory = at.room.dispatcher.book.tasks[order.dispatch_id].memory
    assert float(memory.baseline_w[at.room.fleet.row_of(uid)]) == 6_000.0
    [member] = [one for one in members(log, order.start_s, at.now_s, stays=True) if one.session_uid == uid]
    assert [power_w for _, power_w in member.plan] == [6_000.0]


@pytest.mark.parametrize(("consent", "given"), [(False, 0.0), (True, 1.0)])
def test_a_relative_order_that_is_settled_against_zero_pauses_nobody_for_it(
    town: Any, ideal: dict[str, Any], consent: bool, given: float
) -> None:
    drivers = {"default": {"consent": consent, "pausing": True}}
    soc = {"soc_min": 0.5, "soc_max": 0.6} if consent else {"soc_min": 0.2, "soc_max": 0.4}
    at = town(20, 2, plant=ideal, mix=soc, settings={"drivers": drivers})
    drew_w = at.power_w[-1]
    assert drew_w > 100_000.0
    answer = at.try_order(300.0, 30_000.0, mode=DispatchMode.RELATIVE, baseline=BaselineMethod.ZERO)
    told = answer.dispatch.feasibility
    assert told.committed_power_w == pytest.approx(given * 30_000.0), "nothing is promised that nobody would count"
    at.run(200)
    if not consent:
        assert at.power_w[-1] == pytest.approx(drew_w, rel=0.05), "everybody goes on charging"
    at.run(200)
    report = at.report(answer.dispatch.instruction.dispatch_id)
    assert report.delivered_energy_wh == pytest.approx(given * 2_500.0, abs=150.0)
