"""The whole server with TLS listeners, and simulated stations that come in by each security profile."""

import asyncio
import json
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from counterflow.adapters.ocpp.client import HandshakeRefusedError, connect
from counterflow.adapters.ocpp.credentials import hash_password
from counterflow.adapters.ocpp.tls import client_context
from counterflow.app.config import Settings
from counterflow.app.server import Server
from counterflow.domain.ids import SiteId, StationId
from counterflow.domain.resources import StationRegistration
from counterflow.sim.client import FleetClient
from counterflow.sim.settings import FleetClientSettings

COMMAND = (sys.executable, "-c", "from counterflow.app.cli import main; main()")
PASSWORD = "sixteen chars ok"


def settings(folder: Path, *profiles: int, **more: Any) -> Settings:
    sections: dict[str, Any] = {
        "server": {"data_dir": str(folder / "data")},
        "gateway": {"port": 0, "listeners": [{"profile": profile, "port": 0} for profile in profiles]},
        "api": {"port": 0},
    }
    return msgspec.convert(sections | more, Settings)


def certificate(server: Server, folder: Path, name: str) -> Path:
    """Of the built-in authority, for a station."""
    from cryptography.hazmat.primitives.asymmetric import ec

    from counterflow.adapters.certificates.authority import private_pem

    key = ec.generate_private_key(ec.SECP256R1())
    chain = server.certificates.authority().issue_for_station(name, key.public_key(), days=1, now_s=server.operations._now_s())
    path = folder / f"{name}.pem"
    path.write_text(private_pem(key) + chain)
    return path


@pytest.mark.parametrize("profile", [2, 3])
def test_a_simulated_fleet_comes_in_by_tls_with_certificates_of_the_built_in_authority(tmp_path: Path, profile: int) -> None:
    async def life() -> None:
        server = Server(settings(tmp_path, profile))
        await server.start()
        for number in range(1, 4):
            registration = StationRegistration(
                station_id=StationId(f"SIM-0000{number}"),
                site_id=SiteId("default"),
                password_hash=hash_password(PASSWORD),
                security_profile=profile,
            )
            await server.operations.add_station(registration)
            certificate(server, tmp_path, registration.station_id)
        (_, url) = server.ocpp_urls
        assert re.fullmatch(r"wss://127\.0\.0\.1:\d+/ocpp", url)
        fleet = FleetClient(
            FleetClientSettings(
                url=url,
                stations=3,
                password=PASSWORD if profile == 2 else None,
                authority_file=str(server.certificates.root_path),
                certificates_dir=str(tmp_path) if profile == 3 else None,
            )
        )
        await fleet.start()
        try:
            await fleet.wait_ready(60.0)
            assert sorted(server.room.connected) == ["SIM-00001", "SIM-00002", "SIM-00003"]
            before = server.gateway.counters.accepted
            assert server.reload_certificates() is None
            await asyncio.sleep(0.1)
            assert (server.gateway.counters.connections, server.gateway.counters.accepted) == (3, before)
        finally:
            await fleet.stop()
            await server.stop()

    uvloop.run(life())


def test_b01_fr_12_a_station_that_contradicts_its_certificate_is_rejected_and_its_line_closed(tmp_path: Path, until: Any) -> None:
    async def life() -> None:
        server = Server(settings(tmp_path, 3))
        await server.start()
        registration = StationRegistration(station_id=StationId("CS1"), site_id=SiteId("default"), serial_number="SN-1", security_profile=3)
        await server.operations.add_station(registration)
        context = client_context(str(server.certificates.root_path), str(certificate(server, tmp_path, "SN-1")))
        ends: list[str] = []
        try:
            for serial, closed in (("SN-1", False), ("SN-2", True)):
                answers: list[bytes] = []
                line = await connect(
                    f"{server.ocpp_urls[1]}/CS1",
                    subprotocols=["ocpp2.1"],
                    context=context,
                    on_text=lambda _line, text, answers=answers: answers.append(text),
                    on_close=lambda _line, reason: ends.append(reason),
                )
                station = {"model": "M", "vendorName": "V", "serialNumber": serial}
                line.send(json.dumps([2, serial, "BootNotification", {"reason": "PowerUp", "chargingStation": station}]).encode())
                await until(lambda closed=closed, answers=answers: bool(ends) if closed else bool(answers))
                if not closed:
                    assert b'"status":"Accepted"' in answers[0]
                    line.close()
                    await until(lambda: bool(ends))
                    ends.clear()
            assert "the certificate is of 'SN-1'" in ends[0]
            assert server.room.registry.discoveries[StationId("CS1")].identity.serial_number == "SN-1"
            assert server.room.warnings["not who it says"] == 1
        finally:
            await server.stop()

    uvloop.run(life())


@pytest.mark.parametrize(
    ("port", "password", "shown", "status", "event"),
    [
        (0, "another password", None, 401, "password wrong (from 127.0.0.1)"),
        (0, None, None, 401, "password missing (from 127.0.0.1)"),
        (1, "another password", None, 401, "password wrong (from 127.0.0.1)"),
        (2, None, "CS2", 403, "certificate of another station (from 127.0.0.1)"),
        (2, PASSWORD, "CS2", 403, "certificate of another station (from 127.0.0.1)"),
    ],
)
def test_whoever_is_not_the_station_stays_outside_and_the_attempt_is_on_record(
    tmp_path: Path, port: int, password: str | None, shown: str | None, status: int, event: str
) -> None:
    async def life() -> None:
        server = Server(settings(tmp_path, 2, 3))
        await server.start()
        try:
            for name in ("CS1", "CS2"):
                known = StationRegistration(station_id=StationId(name), site_id=SiteId("default"), password_hash=hash_password(PASSWORD))
                await server.operations.add_station(known)
            root = str(server.certificates.root_path)
            own = None if shown is None else str(certificate(server, tmp_path, shown))
            for _ in range(2):
                with pytest.raises(HandshakeRefusedError) as refused:
                    await connect(
                        f"{server.ocpp_urls[port]}/CS1",
                        subprotocols=["ocpp2.1"],
                        context=None if port == 0 else client_context(root, own),
                        password=password,
                        on_text=lambda _line, _text: None,
                        on_close=lambda _line, _reason: None,
                    )
                assert refused.value.http_status == status
            events = server.operations.security_events(StationId("CS1"), 10)
            assert [(one.kind, one.text, one.count) for one in events] == [("refused", event, 2)]
            assert server.operations.security_events(StationId("CS2"), 10) == []
        finally:
            await server.stop()
        again = Server(settings(tmp_path))
        await again.start()
        try:
            [kept] = again.operations.security_events(None, 10)
            assert (kept.station_id, kept.text) == ("CS1", event)
        finally:
            await again.stop()

    uvloop.run(life())


def test_whoever_is_refused_under_the_name_of_a_station_that_is_here_does_not_take_its_place(tmp_path: Path, until: Any) -> None:
    async def life() -> None:
        server = Server(settings(tmp_path, 2, 3))
        await server.start()
        try:
            for name in ("CS1", "CS2"):
                known = StationRegistration(station_id=StationId(name), site_id=SiteId("default"), password_hash=hash_password(PASSWORD))
                await server.operations.add_station(known)
            root, theirs = str(server.certificates.root_path), str(certificate(server, tmp_path, "CS2"))
            answers: list[bytes] = []
            ends: list[str] = []
            line = await connect(
                f"{server.ocpp_url}/CS1",
                subprotocols=["ocpp2.1"],
                password=PASSWORD,
                on_text=lambda _line, text: answers.append(text),
                on_close=lambda _line, reason: ends.append(reason),
            )
            for port, context, password in (
                (0, None, None),
                (0, None, "another password"),
                (1, client_context(root), "another password"),
                (2, client_context(root, theirs), PASSWORD),
            ):
                with pytest.raises(HandshakeRefusedError):
                    await connect(
                        f"{server.ocpp_urls[port]}/CS1",
                        subprotocols=["ocpp2.1"],
                        context=context,
                        password=password,
                        on_text=lambda _line, _text: None,
                        on_close=lambda _line, _reason: None,
                    )
            boot = {"reason": "PowerUp", "chargingStation": {"model": "M", "vendorName": "V"}}
            line.send(json.dumps([2, "b", "BootNotification", boot]).encode())
            await until(lambda: any(b'"Accepted"' in text for text in answers))
            assert ends == []
            assert server.room.replaced_lines == 0
        finally:
            await server.stop()

    uvloop.run(life())


def test_an_unknown_station_leaves_no_record(tmp_path: Path) -> None:
    async def life() -> None:
        server = Server(settings(tmp_path))
        await server.start()
        try:
            for number in range(20):
                ends = {"on_text": lambda _line, _text: None, "on_close": lambda _line, _reason: None}
                with pytest.raises(HandshakeRefusedError):
                    await connect(f"{server.ocpp_url}/GHOST{number}", subprotocols=["ocpp2.1"], **ends)
            assert server.operations.security_events(None, 10) == []
            assert server.gateway.counters.refused == {"unknown station": 20}
        finally:
            await server.stop()

    uvloop.run(life())


def test_sighup_gives_new_connections_new_certificates_and_keeps_the_lines(tmp_path: Path, serve: Any, until: Any) -> None:
    toml = """
    [stations]
    accept_unknown = true
    [[gateway.listeners]]
    profile = 3
    port = 0
    """
    server = serve(toml)
    port = int(re.findall(r"wss://127\.0\.0\.1:(\d+)/ocpp", server.log)[0])
    folder = tmp_path / "stations"

    async def life() -> None:
        names = [f"SIM-0000{number}" for number in (1, 2)] + ["OTHER"]
        issued = await asyncio.create_subprocess_exec(
            *COMMAND, "certificates", "issue", *names, "--out", str(folder), "--data-dir", str(server.data_dir)
        )
        assert await issued.wait() == 0
        root = str(server.data_dir / "authority" / "stations" / "root.pem")
        url = f"wss://127.0.0.1:{port}/ocpp"
        fleet = FleetClient(FleetClientSettings(url=url, stations=2, authority_file=root, certificates_dir=str(folder)))
        await fleet.start()
        context = client_context(root, str(folder / "OTHER.pem"))

        async def serial_number() -> str:
            ends = {"on_text": lambda _line, _text: None, "on_close": lambda _line, _reason: None}
            line = await connect(f"{url}/OTHER", subprotocols=["ocpp2.1"], context=context, **ends)
            tls = line._transport.underlying_transport.get_extra_info("ssl_object")  # type: ignore[union-attr]
            line.abort()
            return str(tls.getpeercert()["serialNumber"])

        try:
            await fleet.wait_ready(60.0)
            before, connected = await serial_number(), fleet.progress().connected
            server.hang_up()
            await until(lambda: "certificates reloaded" in server.log)
            assert await serial_number() != before
            assert (fleet.progress().connected, connected, fleet.refused) == (2, 2, None)
        finally:
            await fleet.stop()

    uvloop.run(life())
    assert server.stop() == 0
