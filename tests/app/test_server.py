"""The assembled process, on its own ports and a clock that the test moves."""

import asyncio
import gc
import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from counterflow.adapters.storage.settings import StorageSettings
from counterflow.adapters.storage.sqlite import SqliteJournal
from counterflow.app.config import Settings
from counterflow.app.server import Server
from counterflow.app.settlement.settling import LATE_DATA_S
from counterflow.domain.dispatch_views import DispatchAnswer
from counterflow.domain.ids import DispatchId
from counterflow.domain.instructions import DispatchInstruction, DispatchOrder, DispatchState
from counterflow.domain.records import DocumentKind
from counterflow.domain.views import Refusal

NOW_S = 1_800_000_000.0


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at_s = NOW_S

    def now_s(self) -> float:
        return self.at_s


def settings(folder: Path, **more: Any) -> Settings:
    sections: dict[str, Any] = {"server": {"data_dir": str(folder)}, "gateway": {"port": 0}, "api": {"port": 0}}
    return msgspec.convert(sections | more, Settings)


def ended(name: str) -> DispatchInstruction:
    fields: dict[str, Any] = {"dispatch_id": name, "start_s": NOW_S - 7_260.0, "end_s": NOW_S - 7_200.0, "pool": "all", "policy": "hybrid"}
    fields |= {"steps": [{"from_s": NOW_S - 7_260.0, "discharge_power_w": 5_000.0}], "mode": "net_export", "priority": 0}
    return msgspec.convert(fields | {"accepted_at_s": NOW_S - 7_260.0, "state": "completed"}, DispatchInstruction)


def test_what_ended_before_a_crash_and_was_not_settled_gets_its_report_after_the_start(tmp_path: Path, until: Any) -> None:
    with SqliteJournal(tmp_path / "counterflow.sqlite3", StorageSettings()) as journal:
        journal.put(DocumentKind.DISPATCH, "d-killed", ended("d-killed"))
        journal.flush()

    async def life() -> None:
        server = Server(settings(tmp_path), clock=Clock())
        await server.start()
        try:
            report = await until(lambda: server.reports.newest(DispatchId("d-killed")))
            assert report.final
            assert report.target_energy_wh == pytest.approx(5_000.0 / 60.0)
        finally:
            await server.stop()

    asyncio.run(life())


def test_a_dispatch_that_ends_is_settled_without_anybody_listening(tmp_path: Path, until: Any) -> None:
    async def life() -> None:
        clock = Clock()
        server = Server(settings(tmp_path), clock=clock)
        await server.start()
        try:
            answer = await server.operations.order(DispatchOrder(discharge_power_w=5_000.0, duration_s=60.0), None, False)
            assert isinstance(answer, DispatchAnswer)
            dispatch_id = answer.dispatch.instruction.dispatch_id
            clock.at_s += 61.0
            server.room.advance(clock.at_s)
            assert server.room.dispatcher.book.instructions[dispatch_id].state is DispatchState.COMPLETED
            assert server.reports.versions(dispatch_id) == []
            clock.at_s += LATE_DATA_S
            report = await until(lambda: server.reports.newest(dispatch_id))
            assert report.final
        finally:
            await server.stop()

    asyncio.run(life())


def test_a_dispatch_that_retention_removes_is_forgotten_by_the_running_process(tmp_path: Path, until: Any) -> None:
    with SqliteJournal(tmp_path / "counterflow.sqlite3", StorageSettings()) as journal:
        journal.put(DocumentKind.DISPATCH, "d-old", msgspec.structs.replace(ended("d-old"), end_s=NOW_S - 3.0 * 86_400.0))
        journal.put(DocumentKind.DISPATCH, "d-new", ended("d-new"))
        journal.flush()

    async def life() -> None:
        server = Server(settings(tmp_path, storage={"dispatch_days": 2}), clock=Clock())
        await server.start()
        try:
            await until(lambda: [view.instruction.dispatch_id for view in server.operations.dispatches()] == ["d-new"])
            assert isinstance(await server.operations.report(DispatchId("d-old")), Refusal)
        finally:
            await server.stop()

    asyncio.run(life())


@pytest.mark.parametrize("alone", [True, False])
def test_a_server_that_shares_its_process_leaves_the_cycle_collector_to_others(tmp_path: Path, frozen: None, alone: bool) -> None:
    async def life() -> None:
        server = Server(settings(tmp_path), clock=Clock(), alone=alone)
        await server.start()
        try:
            assert gc.isenabled() is not alone  # by now: its first look at everything takes long, and stations may come
        finally:
            await server.stop()
        assert gc.isenabled()

    asyncio.run(life())


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that has signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    today = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    builder = builder.not_valid_before(today - timedelta(days=1)).not_valid_after(today + timedelta(days=2))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    (folder / "api.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "api.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "api.pem", folder / "api.key"


def test_the_api_speaks_tls_with_a_certificate_and_nothing_else_then(tmp_path: Path) -> None:
    chain, key = certificate(tmp_path)
    api = {"port": 0, "tls_certificate": str(chain), "tls_key": str(key)}

    async def life() -> None:
        server = Server(settings(tmp_path / "data", api=api), clock=Clock())
        await server.start()
        try:
            assert server.api_url.startswith("https://127.0.0.1:")
            async with httpx.AsyncClient(verify=ssl.create_default_context(cafile=str(chain))) as client:
                assert (await client.get(f"{server.api_url}/healthz")).status_code == 200
            async with httpx.AsyncClient() as stranger:
                with pytest.raises(httpx.ConnectError):
                    await stranger.get(f"{server.api_url}/healthz")
                with pytest.raises(httpx.TransportError):
                    await stranger.get(f"{server.api_url.replace('https', 'http')}/healthz")
        finally:
            await server.stop()

    asyncio.run(life())


def test_a_named_token_allows_what_its_role_does_and_what_it_did_is_on_record(tmp_path: Path) -> None:
    async def life() -> None:
        server = Server(settings(tmp_path))
        await server.start()
        try:
            first = (tmp_path / "api-token").read_text(encoding="ascii").strip()

            async def ask(method: str, path: str, token: str, **options: Any) -> httpx.Response:
                async with httpx.AsyncClient(base_url=f"{server.api_url}/api/v1", headers={"Authorization": f"Bearer {token}"}) as client:
                    return await client.request(method, path, **options)

            made = (await ask("POST", "/tokens", first, json={"name": "tso", "role": "grid"})).json()
            assert (await ask("POST", "/tokens", first, json={"name": "tso", "role": "admin"})).status_code == 409
            order = {"discharge_power_w": "10kW", "duration_s": "5min"}
            ordered = (await ask("POST", "/dispatches", made["token"], json=order)).json()
            dispatch_id = ordered["dispatch"]["instruction"]["dispatch_id"]
            assert ordered["dispatch"]["instruction"]["ordered_by"] == "api:tso"
            assert (await ask("POST", "/stations", made["token"], json={"station_id": "CS-1"})).status_code == 403
            assert (await ask("DELETE", f"/dispatches/{dispatch_id}", made["token"])).status_code == 200
            entries = (await ask("GET", "/audit", first)).json()
            assert [(entry["who"], entry["status"]) for entry in entries[:3]] == [("api:tso", 200), ("api:tso", 403), ("api:tso", 201)]
            assert (entries[0]["before"]["state"], entries[0]["after"]["state"]) == ("running", "cancelled")
            assert (await ask("DELETE", "/tokens/tso", first)).status_code == 200
            assert (await ask("GET", "/fleet", made["token"])).status_code == 401
            stored = [text.read_bytes() for text in tmp_path.iterdir() if text.name.startswith("counterflow.sqlite3")]
            assert not any(made["token"].encode() in text for text in stored)
        finally:
            await server.stop()

    asyncio.run(life())


def test_the_openadr_2_ven_runs_with_the_server_and_its_vtn_is_missed(tmp_path: Path, until: Any) -> None:
    program = {"name": "dr", "wire": "openadr2", "sign": "load", "max_discharge_power_w": 1e6}
    ven = {"vtn_url": "http://127.0.0.1:1/OpenADR2/Simple/2.0b", "ven_name": "counterflow"}

    async def life() -> None:
        server = Server(settings(tmp_path, programs=[program], openadr2=ven))
        await server.start()
        try:
            await until(lambda: any("127.0.0.1:1/OpenADR2/Simple/2.0b" in alarm for alarm in server.operations.health().alarms))
            assert server.operations.health().ready, "people and other wires can order"
        finally:
            await server.stop()

    asyncio.run(life())
