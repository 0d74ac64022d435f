"""The served process and stations on the PyPI packages `ocpp` and `websockets`, which share no code with us: a dispatch from the
first BootNotification to the report, and who may come in at all."""

import asyncio
import contextlib
import json
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import websockets
from ocpp.routing import after, on
from ocpp.v21 import ChargePoint, call, call_result
from ocpp.v21.enums import Action

SETTINGS = """
[ocpp]
sampling_interval_s = 1
[drivers.default]
consent = true
[control]
tick_interval_s = 1.0
dwell_s = 4.0
[dispatcher]
wake_gap_s = 0.3
[response]
prior_gain = 1.0
settle_base_s = 3.0
settle_ramp_min_s = 1.0
[resume]
resume_over_s = 5.0
[capability]
silence_min_s = 3.0
"""
EVSE_W, CHARGE_W = 11_000.0, 7_000.0
ORDER_W = 24_000.0
LEVEL = 8
"""Our stack level unless the settings or the station say otherwise."""
PASSWORD = "correct horse battery"
OLDER_MEASURANDS = "Power.Active.Import,Power.Active.Export,SoC,Energy.Active.Import.Register,Energy.Active.Export.Register"

Until = Callable[..., Awaitable[Any]]
Fields = dict[str, Any]


def iso(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class Car:
    """Does exactly what it is told, at once, and remembers every change of its power; import positive."""

    def __init__(self) -> None:
        self.changes: list[tuple[float, float]] = [(time.time(), 0.0)]

    @property
    def power_w(self) -> float:
        return self.changes[-1][1]

    def set(self, power_w: float, at_s: float) -> None:
        if power_w != self.power_w:
            self.changes.append((at_s, power_w))

    def registers_wh(self, at_s: float) -> tuple[float, float]:
        """(export, import) as the meter of the EVSE shows them at an instant."""
        ends = [begin_s for begin_s, _ in self.changes[1:]] + [at_s]
        pieces = [
            power_w * max(0.0, min(end_s, at_s) - begin_s) / 3600.0 for (begin_s, power_w), end_s in zip(self.changes, ends, strict=True)
        ]
        return -sum(wh for wh in pieces if wh < 0.0), sum(wh for wh in pieces if wh > 0.0)


class PeerStation(ChargePoint):
    """One EVSE with a car at it. The library holds every message against the official schemas, both ways."""

    def __init__(self, station_id: str, *, signed: bool = False, narrow: bool = False) -> None:
        super().__init__(station_id, None)
        self.car = Car()
        self.transaction_id = f"tx-{station_id}"
        self.profiles: dict[int, Fields] = {}
        self.placed: list[Fields] = []
        self.cleared: list[int] = []
        self.model = {
            "SampledDataCtrlr.TxUpdatedInterval": "60",
            "SampledDataCtrlr.TxUpdatedMeasurands": "Energy.Active.Import.Register",
            "SmartChargingCtrlr.RateUnit": "W",
            "SmartChargingCtrlr.ProfileStackLevel": "9",
        }
        self.model |= {"V2XChargingCtrlr.SupportedOperationModes": "ChargingOnly,CentralSetpoint"}
        self.refused_allowed_transfer = False
        self._signed = signed  # EVerest's convention: discharge is negative import
        self._narrow = narrow  # knows the measurands of OCPP 2.0.1 only
        self._seq_no = 0
        self._told = False
        self._tasks: list[asyncio.Task[None]] = []
        self._needs_answered = asyncio.Event()

    # ---- the line

    async def connect(self, url: str, password: str | None = None) -> None:
        headers = {"Authorization": "Basic " + b64encode(f"{self.id}:{password}".encode()).decode()} if password else {}
        self._connection = await websockets.connect(
            f"{url}/{self.id}", subprotocols=[websockets.Subprotocol("ocpp2.1")], additional_headers=headers
        )
        self._tasks = [asyncio.create_task(self._listen())]

    async def _listen(self) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            await self.start()

    async def vanish(self) -> None:
        """Power cut: car, meter and socket at once, and no goodbye."""
        for task in self._tasks:
            task.cancel()
        self.car.set(0.0, time.time())
        self._connection.transport.abort()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self._connection.close()

    # ---- a session

    async def begin(self) -> None:
        """Boot, plug in, agree on bidirectional transfer, draw power."""
        answer = await self._ask(call.BootNotification(charging_station={"model": "P1", "vendor_name": "Peer"}, reason="PowerUp"))
        assert answer.status == "Accepted"
        await self._ask(call.StatusNotification(timestamp=iso(time.time()), connector_status="Occupied", evse_id=1, connector_id=1))
        token = {"id_token": f"DE{self.id}", "type": "eMAID"}
        answer = await self._ask(call.Authorize(id_token=token))
        assert "DC_BPT" in answer.allowed_energy_transfer
        await self._tell("Started", "Authorized", id_token=token)
        needs = {
            "requested_energy_transfer": "DC_BPT",
            "departure_time": iso(time.time() + 4 * 3600),
            "v2x_charging_parameters": {
                "min_charge_power": 0,
                "max_charge_power": CHARGE_W,
                "min_discharge_power": 500,
                "max_discharge_power": EVSE_W,
                "ev_target_energy_request": 5_000,
                "ev_min_energy_request": -20_000,
                "ev_max_energy_request": 15_000,
            },
            "dc_charging_parameters": {"ev_max_current": 50, "ev_max_voltage": 500, "state_of_charge": 70, "ev_energy_capacity": 60_000},
        }
        answer = await self._ask(call.NotifyEVChargingNeeds(evse_id=1, charging_needs=needs))
        assert answer.status in ("Accepted", "Processing", "NoChargingProfile")
        await self._tell("Updated", "ChargingStateChanged")
        self.go_on()

    def go_on(self) -> None:
        """Follow the profiles and send meter values."""
        self._tasks += [asyncio.create_task(self._drive()), asyncio.create_task(self._meter())]

    async def end(self) -> None:
        """The driver unplugs."""
        for task in self._tasks[1:]:
            task.cancel()
        self.car.set(0.0, time.time())
        self.profiles.clear()
        await self._tell("Ended", "EVDeparted", stopped_reason="EVDisconnected")

    async def _ask(self, request: Any) -> Any:
        return await self.call(request, suppress=False)

    async def _tell(self, kind: str, trigger: str, **extra: Any) -> None:
        now_s = time.time()
        info = {"transaction_id": self.transaction_id, "charging_state": "Charging" if self._told else "EVConnected"}
        info |= {"stopped_reason": extra.pop("stopped_reason")} if "stopped_reason" in extra else {}
        if not self._told:
            extra["evse"] = {"id": 1, "connector_id": 1}
        self._told = True
        self._seq_no += 1
        request = call.TransactionEvent(
            event_type=kind,
            timestamp=iso(now_s),
            trigger_reason=trigger,
            seq_no=self._seq_no - 1,
            transaction_info=info,
            meter_value=[{"timestamp": iso(now_s), "sampled_value": self._values(now_s)}],
            **extra,
        )
        await self._ask(request)

    def _values(self, now_s: float) -> list[Fields]:
        export_wh, import_wh = self.car.registers_wh(round(now_s, 3))
        power_w = self.car.power_w
        soc = 70.0 + (import_wh - export_wh) / 600.0

        def value(measurand: str, number: float, unit: str) -> Fields:
            return {"measurand": measurand, "value": round(number, 4), "unit_of_measure": {"unit": unit}}

        powers = [("Power.Active.Import", power_w)] if self._signed else []
        powers = powers or [("Power.Active.Import", max(power_w, 0.0)), ("Power.Active.Export", max(-power_w, 0.0))]
        return [
            *(value(measurand, number, "W") for measurand, number in powers),
            value("SoC", soc, "Percent") | {"location": "EV"},
            value("Energy.Active.Export.Register", export_wh, "Wh"),
            value("Energy.Active.Import.Register", import_wh, "Wh"),
        ]

    async def _meter(self) -> None:
        told_s = time.time()
        while True:
            await asyncio.sleep(0.05)  # the interval may be changed at any moment
            if time.time() - told_s >= float(self.model["SampledDataCtrlr.TxUpdatedInterval"]) - 0.1:
                told_s = time.time()
                await self._tell("Updated", "MeterValuePeriodic")

    async def _drive(self) -> None:
        while True:
            self.follow()
            await asyncio.sleep(0.05)

    def follow(self) -> None:
        """The leading TxProfile: the highest level that has something to say now (part 2, 3.5)."""
        now_s = time.time()
        for profile in sorted(self.profiles.values(), key=lambda one: -one["stack_level"]):
            period = _period_at(profile, now_s)
            if period is not None:
                self.car.set(period["setpoint"] if "setpoint" in period else min(CHARGE_W, period["limit"]), now_s)
                return
        self.car.set(CHARGE_W, now_s)

    # ---- what the CSMS asks

    @on(Action.get_variables)
    def on_get_variables(self, get_variable_data: list[Fields], **_: Any) -> call_result.GetVariables:
        results = []
        for asked in get_variable_data:
            name = f"{asked['component']['name']}.{asked['variable']['name']}"
            known = name in self.model and "evse" not in asked["component"] and "instance" not in asked["variable"]
            status = (
                {"attribute_status": "Accepted", "attribute_value": self.model[name]} if known else {"attribute_status": "UnknownVariable"}
            )
            results.append({"component": asked["component"], "variable": asked["variable"]} | status)
        return call_result.GetVariables(get_variable_result=results)

    @on(Action.set_variables)
    def on_set_variables(self, set_variable_data: list[Fields], **_: Any) -> call_result.SetVariables:
        results = []
        for asked in set_variable_data:
            name, value = f"{asked['component']['name']}.{asked['variable']['name']}", asked["attribute_value"]
            refused = self._narrow and "Setpoint" in value
            if not refused:
                self.model[name] = value
            status = "Rejected" if refused else "Accepted"
            results.append({"component": asked["component"], "variable": asked["variable"], "attribute_status": status})
        return call_result.SetVariables(set_variable_result=results)

    @on(Action.get_report)
    def on_get_report(self, **_: Any) -> call_result.GetReport:
        return call_result.GetReport(status="NotSupported")

    @on(Action.set_charging_profile)
    def on_set_charging_profile(self, evse_id: int, charging_profile: Fields, **_: Any) -> call_result.SetChargingProfile:
        assert evse_id == 1
        self.placed.append(charging_profile)
        twin = [
            one
            for one in self.profiles.values()
            if one["stack_level"] == charging_profile["stack_level"] and one["id"] != charging_profile["id"]
        ]
        if twin or charging_profile.get("transaction_id") != self.transaction_id:
            return call_result.SetChargingProfile(
                status="Rejected", status_info={"reason_code": "InvalidStackLevel" if twin else "TxNotFound"}
            )
        self.profiles[charging_profile["id"]] = charging_profile
        return call_result.SetChargingProfile(status="Accepted")

    @on(Action.clear_charging_profile)
    def on_clear_charging_profile(self, charging_profile_id: int, **criteria: Any) -> call_result.ClearChargingProfile:
        assert not criteria  # ours are cleared by id: criteria would hit other systems' profiles
        self.cleared.append(charging_profile_id)
        found = self.profiles.pop(charging_profile_id, None)
        return call_result.ClearChargingProfile(status="Unknown" if found is None else "Accepted")

    @on(Action.get_charging_profiles)
    def on_get_charging_profiles(self, request_id: int, **_: Any) -> call_result.GetChargingProfiles:
        return call_result.GetChargingProfiles(status="Accepted" if self.profiles else "NoProfiles")

    @after(Action.get_charging_profiles)
    async def report_charging_profiles(self, request_id: int, **_: Any) -> None:
        """One report an installed profile; the last one says so (K09)."""
        installed = list(self.profiles.values())
        for number, profile in enumerate(installed):
            await self._ask(
                call.ReportChargingProfiles(
                    request_id=request_id,
                    charging_limit_source="CSO",
                    evse_id=1,
                    charging_profile=[profile],
                    tbc=number < len(installed) - 1,
                )
            )

    @on(Action.trigger_message)
    def on_trigger_message(self, **_: Any) -> call_result.TriggerMessage:
        return call_result.TriggerMessage(status="NotImplemented")


def _period_at(profile: Fields, now_s: float) -> Fields | None:
    [schedule] = profile["charging_schedule"]
    since_s = now_s - epoch(schedule["start_schedule"])
    if since_s < 0.0 or since_s >= schedule.get("duration", 1e12) or now_s >= epoch(profile.get("valid_to", "2100-01-01T00:00:00Z")):
        return None
    return [period for period in schedule["charging_schedule_period"] if period["start_period"] <= since_s][-1]


async def json_of(answer: Awaitable[Any]) -> Any:
    response = await answer
    assert response.status_code < 300, response.text
    return response.json()


def test_a_dispatch_from_boot_to_report_with_stations_that_share_no_code_with_us(serve: Any, until: Until) -> None:
    served = serve(SETTINGS)
    asyncio.run(_play(served, until))
    assert served.stop() == 0
    assert "Traceback" not in served.log


async def _play(served: Any, until: Until) -> None:
    peers = [PeerStation(f"PEER-{number}", signed=number % 2 == 0, narrow=number == 5) for number in range(1, 6)]
    await _register(served, peers)
    async with served.api() as api:
        await asyncio.gather(*(_join(peer, served.ocpp_url) for peer in peers))

        async def ready() -> bool:
            return bool((await json_of(api.get("/api/v1/fleet")))["sessions_ready"] == len(peers))

        await until(ready)
        await _check_discovery(served, api, peers)
        body = {"discharge_power_w": ORDER_W, "duration_s": 120}
        view = await json_of(api.post("/api/v1/dispatches", json=body))
        assert view["dispatch"]["feasibility"]["shortfall_power_w"] == 0.0
        dispatch = view["dispatch"]["instruction"]
        before_wh = _net_wh(peers)
        await until(lambda: _on_target(peers))
        for peer in peers:
            _check_profiles(peer, dispatch)
        # Net of what the cars still drew until the order took hold: that is what the report will say.
        await until(lambda: _net_wh(peers) - before_wh > 55.0)
        await _lose_cars(api, peers, until, dispatch["dispatch_id"])
        await _cancel(api, peers, served.ocpp_url, until, dispatch["dispatch_id"])
        await _check_report(api, peers, dispatch["dispatch_id"])
        await asyncio.gather(*(peer.close() for peer in peers))


async def _register(served: Any, peers: list[PeerStation]) -> None:
    said = await served.command("stations", "add", peers[0].id, "--password", "-", typed=PASSWORD + "\n")
    assert peers[0].id in said
    async with served.api() as api:
        for peer in peers[1:]:
            await json_of(api.post("/api/v1/stations", json={"station_id": peer.id, "password": PASSWORD if peer.id != "PEER-2" else None}))
    for password in ("wrong horse battery", None):
        assert await _status(peers[0], served.ocpp_url, password) == 401
    assert await _status(PeerStation("NOBODY-1"), served.ocpp_url, PASSWORD) == 404


async def _status(peer: PeerStation, url: str, password: str | None) -> int:
    with pytest.raises(websockets.InvalidStatus) as refused:
        await peer.connect(url, password)
    return int(refused.value.response.status_code)


async def _join(peer: PeerStation, url: str) -> None:
    await peer.connect(url, None if peer.id == "PEER-2" else PASSWORD)
    await peer.begin()


async def _check_discovery(served: Any, api: Any, peers: list[PeerStation]) -> None:
    for peer in peers:
        assert peer.model["SampledDataCtrlr.TxUpdatedInterval"] == "1"
    assert "Power.Active.Setpoint" in peers[0].model["SampledDataCtrlr.TxUpdatedMeasurands"]
    assert peers[4].model["SampledDataCtrlr.TxUpdatedMeasurands"] == OLDER_MEASURANDS
    station = await json_of(api.get("/api/v1/stations/PEER-1"))
    assert (station["connected"], station["password_set"], station["identity"]["vendor_name"]) == (True, True, "Peer")
    asked = {"getVariableData": [{"component": {"name": "SmartChargingCtrlr"}, "variable": {"name": "RateUnit"}}]}
    printed = await served.command("call", "PEER-2", "GetVariables", json.dumps(asked), "--json")
    assert json.loads(printed)["payload"]["getVariableResult"][0]["attributeValue"] == "W"


def _net_wh(peers: list[PeerStation]) -> float:
    """Exported less imported by all registers now."""
    return sum(exported_wh - imported_wh for exported_wh, imported_wh in (peer.car.registers_wh(time.time()) for peer in peers))


def _true_w(peers: list[PeerStation]) -> float:
    return -sum(peer.car.power_w for peer in peers)


def _on_target(peers: list[PeerStation]) -> bool:
    return abs(_true_w(peers) - ORDER_W) <= 0.05 * ORDER_W


def _check_profiles(peer: PeerStation, dispatch: Fields) -> None:
    """Decisions 3 and 4, field by field, on what arrived."""
    ours = [(one, one["charging_schedule"][0]) for one in peer.placed]
    fallback, schedule = ours[0]  # it was accepted before any discharge was sent: calls are one at a time
    [period] = schedule["charging_schedule_period"]
    assert (period["operation_mode"], period["start_period"]) == ("ChargingOnly", 0)
    assert 0.0 < period["limit"] <= CHARGE_W
    assert not {"setpoint", "discharge_limit"} & set(period)
    assert "duration" not in schedule
    assert "valid_to" not in fallback
    assert fallback["stack_level"] == LEVEL - 1
    assert len({one["id"] for one, _ in ours[1:]} | {fallback["id"]}) == 2  # one stable id for each kind
    for profile, _ in ours:
        assert profile["transaction_id"] == peer.transaction_id
        assert (profile["charging_profile_purpose"], profile["charging_profile_kind"]) == ("TxProfile", "Absolute")
    discharges = ours[1:]
    assert any(one["charging_schedule_period"][0]["setpoint"] < 0.0 for _, one in discharges) or peer.car.power_w == 0.0
    for profile, schedule in discharges:
        assert profile["stack_level"] == LEVEL
        assert schedule["charging_rate_unit"] == "W"
        periods = schedule["charging_schedule_period"]
        assert all(one["operation_mode"] == "CentralSetpoint" for one in periods)
        assert not any({"limit", "discharge_limit"} & set(one) for one in periods)
        assert -EVSE_W <= periods[0]["setpoint"] <= 0.0
        starts_s = epoch(schedule["start_schedule"])
        assert epoch(profile["valid_to"]) == starts_s + schedule["duration"]
        if periods[0]["setpoint"] < 0.0:
            held = periods[1]
            assert (len(periods), held["setpoint"]) == (2, 0.0)
            assert starts_s + held["start_period"] <= dispatch["end_s"]
            assert held["start_period"] < schedule["duration"]
        else:
            assert len(periods) == 1


async def _lose_cars(api: Any, peers: list[PeerStation], until: Until, dispatch_id: str) -> None:
    """One unplugs, one is cut off; each time the others take over."""
    strongest = sorted(peers, key=lambda peer: peer.car.power_w)
    unplugged, cut_off = strongest[0], strongest[1]
    assert unplugged.car.power_w < -2_000.0
    await unplugged.end()
    assert not _on_target(peers)
    await until(lambda: _on_target(peers))
    assert cut_off.car.power_w < -2_000.0
    await cut_off.vanish()
    assert not _on_target(peers)
    await until(lambda: _on_target(peers))
    view = await json_of(api.get(f"/api/v1/dispatches/{dispatch_id}"))
    assert view["drop_outs"] == 2
    assert view["shortfall_power_w"] in (0.0, None)

    async def metering_follows() -> bool:
        seen = (await json_of(api.get(f"/api/v1/dispatches/{dispatch_id}")))["delivered_power_w"]
        return abs(seen - _true_w(peers)) < 100.0

    await until(metering_follows)


async def _cancel(api: Any, peers: list[PeerStation], url: str, until: Until, dispatch_id: str) -> None:
    working = [peer for peer in peers if peer.profiles and peer.car.power_w <= 0.0 and not peer._tasks[0].cancelled()]
    lost = next(peer for peer in peers if peer.profiles and peer not in working)
    await json_of(api.delete(f"/api/v1/dispatches/{dispatch_id}"))
    await until(lambda: all(peer.car.power_w >= 0.0 for peer in working))
    charging_since_s: dict[str, float] = {}

    def all_charge() -> bool:
        charging_since_s.update({p.id: time.time() for p in working if p.car.power_w > 0.0 and p.id not in charging_since_s})
        return len(charging_since_s) == len(working)

    await until(all_charge)
    assert max(charging_since_s.values()) - min(charging_since_s.values()) > 1.0  # one after the other, over five seconds
    await until(lambda: not any(peer.profiles for peer in working))
    for peer in working:
        assert set(peer.cleared) == {one["id"] for one in peer.placed}
    await lost.connect(url, None if lost.id == "PEER-2" else PASSWORD)  # without BootNotification, as after an outage (part 4, 5.4)
    lost.go_on()
    await until(lambda: not lost.profiles)

    async def over() -> bool:
        fleet = await json_of(api.get("/api/v1/fleet"))
        state = (await json_of(api.get(f"/api/v1/dispatches/{dispatch_id}")))["instruction"]["state"]
        return bool(fleet["profiles_placed"] == 0 and state == "cancelled")

    await until(over)


async def _check_report(api: Any, peers: list[PeerStation], dispatch_id: str) -> None:
    """The report is the stations' own registers, to the Wh; where nobody metered the end, within what the report says itself."""
    report = await json_of(api.get(f"/api/v1/dispatches/{dispatch_id}/report"))
    cars = {peer.id: peer.car for peer in peers}
    assert len(report["sessions"]) == len(peers)
    assert sorted(one["kind"] for one in report["drop_outs"]) == ["ended", "offline"]
    total_wh = 0.0
    for session in report["sessions"]:
        until_s = report["instruction"]["resume_from_s"] if session["left_s"] is None else session["left_s"]
        registers = zip(
            cars[session["station_id"]].registers_wh(session["joined_s"]), cars[session["station_id"]].registers_wh(until_s), strict=True
        )
        exported_wh, imported_wh = (after - before for before, after in registers)
        total_wh += exported_wh - imported_wh
        assert session["from_register"]
        within_wh = session["uncertainty_wh"] if session["drop_out"] == "offline" else 1.0
        assert session["exported_wh"] == pytest.approx(exported_wh, abs=within_wh), session
        assert session["imported_wh"] == pytest.approx(imported_wh, abs=within_wh), session
    assert report["delivered_energy_wh"] == pytest.approx(total_wh, abs=report["uncertainty_wh"])
    assert report["delivered_energy_wh"] > 50.0
