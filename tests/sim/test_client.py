"""The fleet as real WebSocket clients, against a server on the PyPI packages `ocpp` and `websockets`, which share no code with us."""

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
import websockets
from ocpp.routing import on
from ocpp.v21 import ChargePoint, call, call_result
from ocpp.v21.enums import Action

from counterflow.sim.client import FleetClient, FleetProgress, run_fleet
from counterflow.sim.settings import FleetClientSettings, PlantSettings, StationSettings


def in_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a coroutine test in an event loop of its own."""

    @functools.wraps(test)
    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    return run


BOTH_WAYS = ["DC", "DC_BPT", "AC_three_phase", "AC_BPT"]


class ForeignStation(ChargePoint):
    """The server's end of one station; validates every message against the official schemas."""

    def __init__(self, station_id: str, connection: Any, seen: list[tuple[str, str, dict[str, Any]]]) -> None:
        super().__init__(station_id, connection)
        self._seen = seen

    def _note(self, action: str, fields: dict[str, Any]) -> None:
        self._seen.append((self.id, action, fields))

    @on(Action.boot_notification)
    def on_boot(self, **fields: Any) -> call_result.BootNotification:
        self._note("BootNotification", fields)
        return call_result.BootNotification(current_time=datetime.now(UTC).isoformat(), interval=300, status="Accepted")

    @on(Action.status_notification)
    def on_status(self, **fields: Any) -> call_result.StatusNotification:
        self._note("StatusNotification", fields)
        return call_result.StatusNotification()

    @on(Action.authorize)
    def on_authorize(self, **fields: Any) -> call_result.Authorize:
        self._note("Authorize", fields)
        return call_result.Authorize(id_token_info={"status": "Accepted"}, allowed_energy_transfer=BOTH_WAYS)

    @on(Action.notify_ev_charging_needs)
    def on_needs(self, **fields: Any) -> call_result.NotifyEVChargingNeeds:
        self._note("NotifyEVChargingNeeds", fields)
        return call_result.NotifyEVChargingNeeds(status="Accepted")

    @on(Action.transaction_event)
    def on_event(self, **fields: Any) -> call_result.TransactionEvent:
        self._note("TransactionEvent", fields)
        return call_result.TransactionEvent()

    @on(Action.report_charging_profiles)
    def on_profiles(self, **fields: Any) -> call_result.ReportChargingProfiles:
        self._note("ReportChargingProfiles", fields)
        return call_result.ReportChargingProfiles()

    @on(Action.notify_report)
    def on_report(self, **fields: Any) -> call_result.NotifyReport:
        self._note("NotifyReport", fields)
        return call_result.NotifyReport()


class ForeignServer:
    """A CSMS in fifty lines."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, Any]]] = []
        self.stations: dict[str, ForeignStation] = {}
        self.port = 0
        self._server: Any = None

    async def start(self) -> None:
        self._server = await websockets.serve(self._serve, "127.0.0.1", self.port, subprotocols=[websockets.Subprotocol("ocpp2.1")])
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, connection: Any) -> None:
        station_id = connection.request.path.rpartition("/")[2]
        station = self.stations[station_id] = ForeignStation(station_id, connection, self.seen)
        try:
            await station.start()
        except websockets.ConnectionClosed:
            return

    def events(self, station_id: str) -> list[dict[str, Any]]:
        return [fields for one, action, fields in self.seen if one == station_id and action == "TransactionEvent"]


async def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        await asyncio.sleep(0.02)


def settings(server: ForeignServer, count: int = 3) -> FleetClientSettings:
    return FleetClientSettings(
        url=f"ws://127.0.0.1:{server.port}/ocpp",
        stations=count,
        plant=PlantSettings.ideal(),
        station=StationSettings(meter_interval_s=1),
        back_off_min_s=0.1,
        back_off_max_s=0.2,
    )


def profile(transaction_id: str, now_s: float, *, discharge: bool) -> dict[str, Any]:
    period = (
        {"start_period": 0, "operation_mode": "CentralSetpoint", "setpoint": -2000} if discharge else {"start_period": 0, "limit": 2000}
    )
    schedule = {
        "id": 1,
        "start_schedule": datetime.fromtimestamp(int(now_s) - 1, UTC).isoformat(),
        "charging_rate_unit": "W",
        "charging_schedule_period": [period],
    }
    if discharge:
        schedule["duration"] = 120
    return {
        "id": 11 if discharge else 10,
        "stack_level": 8 if discharge else 7,
        "charging_profile_purpose": "TxProfile",
        "charging_profile_kind": "Absolute",
        "transaction_id": transaction_id,
        "charging_schedule": [schedule],
    }


@in_loop
async def test_a_foreign_server_can_boot_dispatch_meter_and_clear_the_fleet() -> None:
    server = ForeignServer()
    await server.start()
    client = FleetClient(settings(server))
    await client.start()
    try:
        await client.wait_ready(60.0)
        free = next(seat for seat in client.fleet.stations if seat.state.first_evse.stay_s > 7_000)
        station_id, evse = free.station_id, free.state.first_evse
        away = server.stations[station_id]
        transaction_id = evse.transaction_id
        assert transaction_id is not None
        for discharge in (False, True):
            request = call.SetChargingProfile(evse_id=1, charging_profile=profile(transaction_id, time.time(), discharge=discharge))
            answer = await away.call(request, suppress=False)
            assert answer.status == "Accepted"
        before = len(server.events(station_id))
        await until(lambda: any(_exported_w(one) == 2000 for one in server.events(station_id)[before:]))
        assert client.fleet.plant.power_w[evse.row] == -2000.0
        assert (await away.call(call.ClearChargingProfile(charging_profile_id=11), suppress=False)).status == "Accepted"
        assert client.remaining_profiles() == [(station_id, 10)]
        assert (await away.call(call.GetBaseReport(request_id=1, report_base="FullInventory"), suppress=False)).status == "Accepted"
        await until(lambda: any(action == "NotifyReport" and not fields.get("tbc") for _, action, fields in server.seen))
        await until(lambda: client.fleet.plant.power_w[evse.row] >= 0.0)
        assert client.violations() == []
    finally:
        await client.stop()
        await server.stop()


def _exported_w(event: dict[str, Any]) -> float:
    values = [value for one in event.get("meter_value", []) for value in one["sampled_value"]]
    return next((value["value"] for value in values if value["measurand"] == "Power.Active.Export"), 0.0)


@in_loop
async def test_stations_come_back_by_themselves_without_booting_again_and_bring_what_was_measured_meanwhile() -> None:
    server = ForeignServer()
    await server.start()
    client = FleetClient(settings(server, 2))
    await client.start()
    try:
        await client.wait_ready(60.0)
        await server.stop()
        await until(lambda: client.progress().connected == 0)
        server.seen.clear()
        await until(lambda: all(len(station.uplink.events) > 1 for station in client.fleet.stations))  # metered meanwhile
        await server.start()
        await until(lambda: client.progress().connected == 2 and len(server.events("SIM-00001")) > 3)
        assert not any(action == "BootNotification" for _, action, _ in server.seen)
        events = server.events("SIM-00001")
        assert any(event.get("offline") for event in events)
        numbers = [event["seq_no"] for event in events]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    finally:
        await client.stop()
        await server.stop()


@in_loop
async def test_run_fleet_reports_progress_and_stops_when_told() -> None:
    server = ForeignServer()
    await server.start()
    stop, seen = asyncio.Event(), list[FleetProgress]()

    def ready(client: FleetClient) -> None:
        assert len(client.drop_out(0.5, 0.5)) == 2
        stop.set()

    end = await asyncio.wait_for(
        run_fleet(settings(server, 4), stop=stop, on_ready=ready, on_progress=seen.append, progress_every_s=0.05), 60.0
    )
    assert seen[0].booted == 0
    assert end.booted == 4
    assert end.sessions == 2
    assert end.messages_out > 4 * 5
    await server.stop()


@in_loop
async def test_what_is_missing_is_said_when_nobody_listens() -> None:
    client = FleetClient(FleetClientSettings(url="ws://127.0.0.1:1/ocpp", stations=1, back_off_min_s=0.05, back_off_max_s=0.05))
    await client.start()
    with pytest.raises(TimeoutError, match="0 of 1 stations are connected"):
        await client.wait_ready(0.2)
    await client.stop()


class SilentLine:
    """A line of which nothing is heard but what a test says."""

    subprotocol = "ocpp2.1"

    def send(self, text: bytes) -> None:
        """Into the void."""

    def close(self) -> None:
        """Nobody to say goodbye to."""

    def abort(self) -> None:
        """Gone."""


@in_loop
async def test_a_line_that_is_left_half_open_before_connect_comes_back_is_not_taken_for_the_stations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A CSMS that speaks first is heard while `connect` still waits; a station that forgets its line just then opens another."""
    opened: list[SilentLine] = []

    async def connecting(_url: str, **fields: Any) -> SilentLine:
        line = SilentLine()
        opened.append(line)
        fields["on_text"](line, b'[2,"1","GetLocalListVersion",{}]')
        if len(opened) == 1:
            client.half_open("SIM-00001")
        await asyncio.sleep(0)
        return line

    monkeypatch.setattr("counterflow.sim.client.connect", connecting)
    client = FleetClient(FleetClientSettings(url="ws://nowhere/ocpp", stations=1, back_off_min_s=0.01, back_off_max_s=0.02))
    await client.start()
    await until(lambda: len(opened) == 2 and client.progress().connected == 1)
    client._on_close(client._by_id["SIM-00001"], opened[0], "the server ends the forgotten one")  # type: ignore[arg-type]
    await asyncio.sleep(0.05)
    assert client.progress().connected == 1
    assert client._by_id["SIM-00001"].line is opened[1]
    await client.stop()
