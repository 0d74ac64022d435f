"""A new password for a station, over real sockets: durable before it is sent, both accepted while nobody knows, void when it is clear."""

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from counterflow.adapters.ocpp.client import ClientLine, HandshakeRefusedError, connect
from counterflow.adapters.ocpp.credentials import hash_password
from counterflow.app.config import Settings
from counterflow.app.server import Server
from counterflow.domain.ids import SiteId, StationId
from counterflow.domain.resources import StationRegistration
from counterflow.domain.security_views import PasswordView
from counterflow.domain.views import Refusal
from counterflow.sim.client import FleetClient
from counterflow.sim.settings import FleetClientSettings

OLD = "the-old-password"


def settings(folder: Path) -> Settings:
    sections: dict[str, Any] = {
        "server": {"data_dir": str(folder)},
        "gateway": {"port": 0},
        "api": {"port": 0},
        "ocpp": {"call_timeout_s": 1.0},
    }
    return msgspec.convert(sections, Settings)


class Station:
    """Boots, answers SetVariables of the password as it is told to, and everything else with an empty payload."""

    def __init__(self, server: Server, answer: Any) -> None:
        self.server = server
        self.answer = answer
        self.given: list[str] = []
        self.ended = False

    async def connect(self, password: str) -> ClientLine:
        line = await connect(
            f"{self.server.ocpp_url}/CS1",
            subprotocols=["ocpp2.1"],
            password=password,
            on_text=self.on_text,
            on_close=self.on_close,
        )
        station = {"model": "M", "vendorName": "V"}
        line.send(json.dumps([2, "boot", "BootNotification", {"reason": "PowerUp", "chargingStation": station}]).encode())
        return line

    def on_close(self, line: ClientLine, reason: str) -> None:
        self.ended = True

    def on_text(self, line: ClientLine, text: bytes) -> None:
        frame = json.loads(text)
        if frame[0] != 2:
            return
        asked = frame[3].get("setVariableData", [{}])[0]
        if asked.get("variable", {}).get("name") != "BasicAuthPassword":
            line.send(json.dumps([4, frame[1], "NotImplemented", "", {}]).encode())
            return
        self.given.append(asked["attributeValue"])
        registration = self.server.room.registry.registrations[StationId("CS1")]
        assert len(registration.pending_password_hashes) >= 1
        assert self.server.journal.durable_position >= self.server.journal.position - 1
        if self.answer == "hang up":
            line.abort()
        elif self.answer == "error":
            line.send(json.dumps([4, frame[1], "NotSupported", "", {}]).encode())
        elif self.answer is not None:
            result = {"attributeStatus": self.answer, "component": asked["component"], "variable": asked["variable"]}
            line.send(json.dumps([3, frame[1], {"setVariableResult": [result]}]).encode())


async def gets_in(server: Server, password: str) -> bool:
    try:
        line = await Station(server, None).connect(password)
    except HandshakeRefusedError as error:
        if error.http_status != 401:
            raise
        return False
    await asyncio.sleep(0.05)
    line.abort()
    await asyncio.sleep(0.05)
    return True


@pytest.mark.parametrize(
    ("answer", "outcome", "old_works", "new_works"),
    [
        ("Accepted", "changed", False, True),
        ("Rejected", "refused", True, False),
        ("NotSupportedAttributeType", "refused", True, False),
        ("error", "refused", True, False),
        ("RebootRequired", "unknown", True, True),
        (None, "unknown", True, True),
        ("hang up", "unknown", True, True),
    ],
)
def test_a01_which_password_is_void_follows_from_the_answer_and_from_nothing_else(
    tmp_path: Path, until: Any, answer: str | None, outcome: str, old_works: bool, new_works: bool
) -> None:
    async def life() -> None:
        server = Server(settings(tmp_path))
        await server.start()
        try:
            registration = StationRegistration(station_id=StationId("CS1"), site_id=SiteId("default"), password_hash=hash_password(OLD))
            await server.operations.add_station(registration)
            station = Station(server, answer)
            await station.connect(OLD)
            await until(lambda: StationId("CS1") in server.room.registry.discoveries)
            view = await asyncio.wait_for(server.operations.rotate_password(StationId("CS1"), "tester"), 60.0)
            assert isinstance(view, PasswordView)
            assert view.outcome == outcome
            [new] = station.given
            assert await gets_in(server, OLD) == old_works
            assert await gets_in(server, new) == new_works
            # Once it has shown the new one, the old one is void for good.
            assert await gets_in(server, OLD) == (old_works and not new_works)
            assert not await gets_in(server, "neither-of-the-two")
            [event] = [event for event in server.operations.security_events(StationId("CS1"), 10) if event.kind.startswith("password")]
            assert event.kind == f"password {outcome}"
            assert "asked by tester" in event.text
        finally:
            await server.stop()
        kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert new.encode() not in kept, "no file holds the password, raw frames among them"
        assert b"BasicAuthPassword" in kept

    uvloop.run(life())


def test_a_station_that_is_not_there_keeps_its_password(tmp_path: Path) -> None:
    async def life() -> None:
        server = Server(settings(tmp_path))
        await server.start()
        try:
            registration = StationRegistration(station_id=StationId("CS1"), site_id=SiteId("default"), password_hash=hash_password(OLD))
            await server.operations.add_station(registration)
            assert isinstance(await server.operations.rotate_password(StationId("CS1"), "tester"), Refusal)
            assert isinstance(await server.operations.rotate_password(StationId("CS2"), "tester"), Refusal)
            assert server.room.registry.registrations[StationId("CS1")].pending_password_hashes == ()
        finally:
            await server.stop()

    uvloop.run(life())


def test_a_simulated_station_takes_it_and_comes_back_with_it(tmp_path: Path, until: Any) -> None:
    async def life() -> None:
        server = Server(settings(tmp_path))
        await server.start()
        registration = StationRegistration(station_id=StationId("SIM-00001"), site_id=SiteId("default"), password_hash=hash_password(OLD))
        await server.operations.add_station(registration)
        fleet = FleetClient(FleetClientSettings(url=server.ocpp_url, stations=1, password=OLD, back_off_min_s=0.05))
        await fleet.start()
        try:
            await fleet.wait_ready(60.0)
            before = server.gateway.counters.accepted
            view = await server.operations.rotate_password(StationId("SIM-00001"), "tester")
            assert isinstance(view, PasswordView)
            assert view.outcome == "changed"
            await until(lambda: server.gateway.counters.accepted > before and fleet.progress().ready)
            assert server.gateway.counters.refused == {}
        finally:
            await fleet.stop()
            await server.stop()

    uvloop.run(life())
