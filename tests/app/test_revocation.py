"""Revoked certificates at the door of the whole server (security profile 3), over real sockets: new connections, open lines, reloads."""

import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvloop

from counterflow.adapters.ocpp.client import ClientLine, HandshakeRefusedError, connect
from counterflow.adapters.ocpp.tls import client_context
from counterflow.app.config import Settings
from counterflow.app.server import Server
from counterflow.domain.ids import SiteId, StationId
from counterflow.domain.resources import StationRegistration

DAY_S = 86_400.0


def settings(folder: Path, pki: Any, *lists: str, **more: Any) -> Settings:
    listener = {
        "profile": 3,
        "port": 0,
        "certificates": [pki.server()],
        "client_authority": pki.root(),
        "revocation_lists": list(lists),
        **more,
    }
    sections: dict[str, Any] = {
        "server": {"data_dir": str(folder / "data")},
        "gateway": {"port": 0, "listeners": [listener]},
        "api": {"port": 0},
    }
    return msgspec.convert(sections, Settings)


class Stations:
    """Those that come in; `ends` is how their lines ended."""

    def __init__(self, server: Server, pki: Any) -> None:
        self.server = server
        self.pki = pki
        self.ends: dict[str, str] = {}

    async def call(self, name: str) -> ClientLine:
        return await connect(
            f"{self.server.ocpp_urls[1]}/{name}",
            subprotocols=["ocpp2.1"],
            context=self.pki.client(str(self.pki.folder / f"ours-{name}.pem")),
            on_text=lambda _line, _text: None,
            on_close=lambda _line, reason: self.ends.__setitem__(name, reason),
        )

    async def refused(self, name: str) -> str:
        """It must not come in; why, as the security log of the station says."""
        with pytest.raises(HandshakeRefusedError) as refused:
            await self.call(name)
        assert refused.value.http_status == 403
        newest = self.server.operations.security_events(StationId(name), 1)
        assert isinstance(newest, list)
        return str(newest[0].text)


async def opened(folder: Path, pki: Any, *lists: str, **more: Any) -> tuple[Server, Stations]:
    server = Server(settings(folder, pki, *lists, **more))
    await server.start()
    for name in ("GOOD", "BAD"):
        await server.operations.add_station(StationRegistration(station_id=StationId(name), site_id=SiteId("default"), security_profile=3))
    return server, Stations(server, pki)


def test_a_list_that_is_read_again_ends_the_line_of_the_revoked_and_no_other(tmp_path: Path, pki: Any, until: Any) -> None:
    async def life() -> None:
        bad = pki.station("BAD")
        pki.station("GOOD")
        listed = pki.revocation_list()
        server, stations = await opened(tmp_path, pki, listed)
        try:
            lines = {name: await stations.call(name) for name in ("GOOD", "BAD")}
            pki.revocation_list(bad)
            assert server.gateway.line(StationId("BAD")) is not None, "nothing is read before it is asked for"
            Path(listed).rename(tmp_path / "away")
            assert server.reload_certificates() == f"The revocation list {listed} cannot be used: No such file or directory."
            await asyncio.sleep(0.05)
            assert stations.ends == {}, "a reload that fails changes nothing"
            (tmp_path / "away").rename(listed)
            assert server.reload_certificates() is None
            await until(lambda: "BAD" in stations.ends)
            assert "certificate revoked" in stations.ends["BAD"]
            assert await stations.refused("BAD") == "certificate revoked (from 127.0.0.1)"
            assert server.gateway.counters.refused == {"certificate revoked": 1}
            lines["GOOD"].close()
            await until(lambda: "GOOD" in stations.ends)
            await stations.call("GOOD")
        finally:
            await server.stop()

    uvloop.run(life())


@pytest.mark.parametrize("policy", ["refuse", "keep"])
def test_an_expired_list_is_an_alarm_and_the_policy_says_who_comes_in(tmp_path: Path, pki: Any, policy: str) -> None:
    async def life() -> None:
        bad = pki.station("BAD")
        pki.station("GOOD")
        expired = pki.revocation_list(bad, at_s=pki.now_s - 2 * DAY_S)
        server, stations = await opened(tmp_path, pki, expired, expired_revocation_list=policy)
        try:
            assert await stations.refused("BAD") == "certificate revoked (from 127.0.0.1)"
            [alarm] = server.alarms()
            assert alarm.startswith(f"The revocation list {expired} is past its time; ")
            if policy == "keep":
                assert alarm.endswith("it stays in force.")
                await stations.call("GOOD")
            else:
                assert alarm.endswith("no station of its authority comes in.")
                assert await stations.refused("GOOD") == "revocation list has expired (from 127.0.0.1)"
            pki.revocation_list(bad)
            assert server.reload_certificates() is None
            assert server.alarms() == ()
            await stations.call("GOOD")
        finally:
            await server.stop()

    uvloop.run(life())


def test_once_there_is_a_list_every_authority_needs_its_own(tmp_path: Path, pki: Any) -> None:
    async def life() -> None:
        pki.station("GOOD")
        pki.station("BAD", authority="theirs")
        both = tmp_path / "both.pem"
        both.write_text(Path(pki.root()).read_text() + Path(pki.root("theirs")).read_text())
        server, stations = await opened(tmp_path, pki, pki.revocation_list(authority="theirs"), client_authority=str(both))
        try:
            assert await stations.refused("GOOD") == "no revocation list of the certificate's authority (from 127.0.0.1)"
        finally:
            await server.stop()

    uvloop.run(life())


def test_the_built_in_authority_revokes_by_command_and_it_holds_over_a_restart(tmp_path: Path, serve: Any, until: Any) -> None:
    server = serve("[stations]\naccept_unknown = true\n[[gateway.listeners]]\nprofile = 3\nport = 0\n")
    folder = tmp_path / "stations"

    async def call(name: str, ends: dict[str, str]) -> ClientLine:
        port = int(re.findall(r"wss://127\.0\.0\.1:(\d+)/ocpp", server.log)[0])
        context = client_context(str(server.data_dir / "authority" / "stations" / "root.pem"), str(folder / f"{name}.pem"))
        return await connect(
            f"wss://127.0.0.1:{port}/ocpp/{name}",
            subprotocols=["ocpp2.1"],
            context=context,
            on_text=lambda _line, _text: None,
            on_close=lambda _line, reason: ends.__setitem__(name, reason),
        )

    async def life() -> None:
        ends: dict[str, str] = {}
        await server.command("certificates", "issue", "GOOD", "BAD", "ODD", "--out", str(folder), with_api=False)
        for name in ("GOOD", "BAD", "ODD"):
            await call(name, ends)
        assert "keyCompromise" in await server.command("certificates", "revoke", "BAD", "--reason", "keyCompromise")
        await until(lambda: set(ends) == {"BAD"})
        assert "certificate revoked" in ends["BAD"]
        async with server.api() as api:
            issued = (await api.get("/api/v1/certificates/issued")).json()
            odd = next(one["serial"] for one in issued if one["name"] == "ODD")
            assert [one["reason"] for one in issued if one["revoked_at_s"] is not None] == ["keyCompromise"]
            again = await api.post("/api/v1/certificates/revoke", json={"station_id": "BAD"})
            assert (again.status_code, again.json()["detail"]) == (404, "No certificate of station 'BAD' is in force.")
            events = (await api.get("/api/v1/stations/BAD/security-events")).json()
            assert "1: keyCompromise (asked by api:" in events[0]["text"]
            assert (await api.post("/api/v1/certificates/revoke", json={"serial": odd.upper()})).json()[0]["name"] == "ODD"
            (unknown,) = (await api.post("/api/v1/certificates/revoke", json={"serial": "deadbeef"})).json()
            assert (unknown["name"], unknown["issued_at_s"], unknown["not_after_s"]) == ("", None, None)
            assert unknown["revoked_at_s"] is not None
        await until(lambda: set(ends) == {"BAD", "ODD"})
        server.kill()
        await server.restart()
        for name in ("BAD", "ODD"):
            with pytest.raises(HandshakeRefusedError) as refused:
                await call(name, ends)
            assert refused.value.http_status == 403
        await call("GOOD", ends)

    uvloop.run(life())
    assert server.stop() == 0
