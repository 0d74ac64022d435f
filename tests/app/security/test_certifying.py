"""SignCertificate to CertificateSigned over real sockets: checked against the station, signed here or elsewhere, used afterwards."""

import asyncio
import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from counterflow.adapters.certificates.authority import AuthorityError, open_authority, private_pem
from counterflow.adapters.ocpp.client import connect
from counterflow.adapters.ocpp.credentials import hash_password
from counterflow.adapters.ocpp.tls import client_context
from counterflow.app.config import Settings
from counterflow.app.server import Server
from counterflow.domain.ids import SiteId, StationId
from counterflow.domain.resources import StationRegistration
from counterflow.domain.station_views import CallAnswer

PASSWORD = "sixteen chars ok"
CS1 = StationId("CS1")


def request(name: str, key: Any = None, *, others: tuple[str, ...] = (), digest: Any = None) -> tuple[str, Any]:
    """A signing request for a common name, and its key."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
    if others:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(other) for other in others]), critical=False)
    signed = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM).decode(), key


class Station:
    """Asks for a certificate, and takes or refuses what comes."""

    def __init__(self, takes: bool = True, subprotocol: str = "ocpp2.1") -> None:
        self.takes = takes
        self.subprotocol = subprotocol
        self.answers: list[Any] = []
        self.signed: list[dict[str, Any]] = []
        self.installed: list[dict[str, Any]] = []

    async def connect(self, server: Server, **how: Any) -> None:
        url = server.ocpp_urls[1] if "context" in how else server.ocpp_url
        ends = {"on_text": self.on_text, "on_close": lambda _line, _reason: None}
        self.line = await connect(f"{url}/CS1", subprotocols=[self.subprotocol], **ends, **how)
        self.send("BootNotification", {"reason": "PowerUp", "chargingStation": {"model": "M", "vendorName": "V"}})

    def send(self, action: str, payload: dict[str, Any]) -> None:
        self.line.send(json.dumps([2, action, action, payload]).encode())

    def on_text(self, line: Any, text: bytes) -> None:
        frame = json.loads(text)
        if frame[0] == 3 and frame[1] == "SignCertificate":
            self.answers.append(frame[2])
        elif frame[0] == 2 and frame[2] == "CertificateSigned":
            self.signed.append(frame[3])
            line.send(json.dumps([3, frame[1], {"status": "Accepted" if self.takes else "Rejected"}]).encode())
        elif frame[0] == 2 and frame[2] == "InstallCertificate":
            self.installed.append(frame[3])
            line.send(json.dumps([3, frame[1], {"status": "Accepted"}]).encode())
        elif frame[0] == 2:
            line.send(json.dumps([4, frame[1], "NotImplemented", "", {}]).encode())


def play(folder: Path, story: Callable[[Server], Any], **certificates: Any) -> None:
    async def life() -> None:
        sections: dict[str, Any] = {
            "server": {"data_dir": str(folder)},
            "gateway": {"port": 0, "listeners": [{"profile": 3, "port": 0}]},
            "api": {"port": 0},
            "certificates": {"pause_s": 0.0} | certificates,
        }
        server = Server(msgspec.convert(sections, Settings))
        await server.start()
        try:
            registration = StationRegistration(
                station_id=CS1, site_id=SiteId("default"), password_hash=hash_password(PASSWORD), serial_number="SN-1"
            )
            await server.operations.add_station(registration)
            await story(server)
        finally:
            await server.stop()

    uvloop.run(life())


def texts(server: Server) -> list[tuple[str, str]]:
    return [(event.kind, event.text) for event in server.operations.security_events(CS1, 20)]


def test_a02_a_station_moves_from_its_password_to_a_certificate_that_it_asked_for(tmp_path: Path, until: Any) -> None:
    async def story(server: Server) -> None:
        station = Station()
        await station.connect(server, password=PASSWORD)
        csr, key = request("CS1", others=("CS1",))
        station.send("SignCertificate", {"csr": csr, "certificateType": "ChargingStationCertificate", "requestId": 41})
        await until(lambda: station.signed)
        assert station.answers == [{"status": "Accepted"}]
        [signed] = station.signed
        assert (signed["certificateType"], signed["requestId"]) == ("ChargingStationCertificate", 41)
        path = tmp_path / "CS1.pem"
        path.write_text(private_pem(key) + signed["certificateChain"])
        station.line.close()
        await station.connect(server, context=client_context(str(server.certificates.root_path), str(path)))
        await until(lambda: server.room.registry.certified.get(CS1) == ("CS1",))
        assert texts(server) == [("certificate signed", "ChargingStationCertificate: in use at the station")]

    play(tmp_path, story)


@pytest.mark.parametrize("extra", [{}, {"requestId": 41}])
def test_a02_a_2_0_1_station_is_never_sent_the_request_id_of_2_1(tmp_path: Path, until: Any, extra: dict[str, Any]) -> None:
    async def story(server: Server) -> None:
        station = Station(subprotocol="ocpp2.0.1")
        await station.connect(server, password=PASSWORD)
        station.send("SignCertificate", {"csr": request("CS1")[0], "certificateType": "ChargingStationCertificate"} | extra)
        await until(lambda: texts(server))
        assert station.answers == [{"status": "Accepted"}]
        [signed] = station.signed
        assert set(signed) == {"certificateChain", "certificateType"}
        assert texts(server) == [("certificate signed", "ChargingStationCertificate: in use at the station")]

    play(tmp_path, story)


def test_a05_a_station_is_given_the_root_of_the_built_in_authority_or_another(tmp_path: Path, until: Any) -> None:
    async def story(server: Server) -> None:
        station = Station()
        await station.connect(server, password=PASSWORD)
        await until(lambda: CS1 in server.room.registry.discoveries)
        other = open_authority(tmp_path / "other", "other", 1.79e9).root_pem
        for use, certificate, sent in (
            ("CSMSRootCertificate", None, server.listener_certificates.root_pem()),
            ("V2GRootCertificate", other, other),
        ):
            answer = await server.operations.install_authority(CS1, use, certificate)
            assert isinstance(answer, CallAnswer)
            assert answer.payload == {"status": "Accepted"}
            assert station.installed[-1] == {"certificateType": use, "certificate": sent}
        assert x509.load_pem_x509_certificate(server.listener_certificates.root_pem().encode()).not_valid_after_utc.year > 2040

    play(tmp_path, story)


def test_a02_the_registered_serial_number_may_be_the_name(tmp_path: Path, until: Any) -> None:
    async def story(server: Server) -> None:
        station = Station()
        await station.connect(server, password=PASSWORD)
        station.send("SignCertificate", {"csr": request("SN-1")[0]})
        await until(lambda: station.signed)
        certificate = x509.load_pem_x509_certificate(station.signed[0]["certificateChain"].encode())
        assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "SN-1"

    play(tmp_path, story)


def spoiled() -> str:
    """A request whose signature was made by another key."""
    good, other = request("CS1")[0].splitlines(), request("CS1")[0].splitlines()
    return "\n".join([*good[:-2], other[-2], good[-1]])


@pytest.mark.parametrize(
    ("csr", "why"),
    [
        (lambda: request("CS2")[0], "The signing request is for 'CS2'; this station is 'CS1' or 'SN-1'."),
        (lambda: request("cs1")[0], "The signing request is for 'cs1'"),
        (lambda: request("CS1", others=("CS1", "CS2"))[0], "The signing request also names 'CS2'"),
        (lambda: request("CS1", rsa.generate_private_key(65537, 1024))[0], "has 1024 bits; it needs 2048"),
        (lambda: request("CS1", ec.generate_private_key(ec.SECP192R1()))[0], "has 192 bits; it needs 224"),
        (lambda: request("CS1", ed25519.Ed25519PrivateKey.generate())[0], "must be RSA or of an elliptic curve"),
        (spoiled, "signing request"),
        (lambda: "no request at all", "cannot be read"),
    ],
)
def test_a02_a_request_that_is_not_the_stations_own_or_too_weak_is_refused_with_the_reason(
    tmp_path: Path, until: Any, csr: Callable[[], str], why: str
) -> None:
    async def story(server: Server) -> None:
        station = Station()
        await station.connect(server, password=PASSWORD)
        station.send("SignCertificate", {"csr": csr()})
        await until(lambda: station.answers)
        assert station.answers[0]["status"] == "Rejected"
        assert why in station.answers[0]["statusInfo"]["additionalInfo"]
        [(kind, text)] = texts(server)
        assert kind == "signing request refused"
        assert why in text
        await asyncio.sleep(0.05)
        assert station.signed == []

    play(tmp_path, story)


def test_a03_a_certificate_for_cars_comes_from_an_authority_of_its_own(tmp_path: Path, until: Any) -> None:
    async def story(server: Server) -> None:
        station = Station(takes=False)
        await station.connect(server, password=PASSWORD)
        station.send("SignCertificate", {"csr": request("EVSE.example.1")[0], "certificateType": "V2GCertificate"})
        await until(lambda: station.signed and texts(server))
        leaf, root = x509.load_pem_x509_certificates(station.signed[0]["certificateChain"].encode())
        leaf.verify_directly_issued_by(root)
        assert root.subject != x509.load_pem_x509_certificate(server.listener_certificates.root_pem().encode()).subject
        assert texts(server) == [("certificate not signed", "V2GCertificate: The station did not take it: Rejected.")]

    play(tmp_path, story)


def test_requests_of_one_kind_are_paced_and_nothing_is_signed_where_nobody_signs(tmp_path: Path, until: Any) -> None:
    async def paced(server: Server) -> None:
        station = Station()
        await station.connect(server, password=PASSWORD)
        for _ in range(3):
            station.send("SignCertificate", {"csr": request("CS1")[0]})
        await until(lambda: len(station.answers) == 3)
        assert [answer["status"] for answer in station.answers] == ["Accepted", "Rejected", "Rejected"]

    play(tmp_path / "a", paced, pause_s=60.0)

    async def nobody(server: Server) -> None:
        station = Station()
        await station.connect(server, password=PASSWORD)
        station.send("SignCertificate", {"csr": request("CS1")[0]})
        await until(lambda: station.answers)
        assert station.answers[0]["statusInfo"]["additionalInfo"] == "This server signs no certificates."

    play(tmp_path / "b", nobody, signer="none")


class Elsewhere(BaseHTTPRequestHandler):
    """An authority of somebody else, over HTTP."""

    folder: Path
    status = 200

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        csr = x509.load_pem_x509_csr(asked["csr"].encode())
        chain = open_authority(self.folder, "elsewhere", 1.79e9).issue_for_station(
            asked["station_id"], csr.public_key(), days=1, now_s=1.79e9
        )
        body = json.dumps({"certificate_chain": chain}).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Not on the terminal."""


@pytest.mark.parametrize("status", [200, 403])
def test_an_external_authority_is_asked_over_http(tmp_path: Path, until: Any, status: int) -> None:
    handler = type("Handler", (Elsewhere,), {"folder": tmp_path / "elsewhere", "status": status})
    with HTTPServer(("127.0.0.1", 0), handler) as web:
        Thread(target=web.serve_forever, daemon=True).start()

        async def story(server: Server) -> None:
            station = Station()
            await station.connect(server, password=PASSWORD)
            station.send("SignCertificate", {"csr": request("CS1")[0], "requestId": 5})
            await until(lambda: texts(server))
            assert station.answers == [{"status": "Accepted"}]
            if status == 200:
                certificates = x509.load_pem_x509_certificates(station.signed[0]["certificateChain"].encode())
                assert "elsewhere" in certificates[0].issuer.rfc4514_string()
            else:
                assert texts(server) == [("certificate not signed", "ChargingStationCertificate: The external authority answered 403.")]
                assert station.signed == []

        play(tmp_path / "data", story, signer="call-out", call_out_url=f"http://127.0.0.1:{web.server_port}/sign")
        web.shutdown()


def test_the_authoritys_key_is_for_its_owner_only_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    open_authority(tmp_path, "ours", 1.79e9)
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600
    assert open_authority(tmp_path, "ours", 1.8e9).root_pem == open_authority(tmp_path, "ours", 1.9e9).root_pem
    (tmp_path / "key.pem").write_text("gone")
    with pytest.raises(AuthorityError, match="put it back from a backup"):
        open_authority(tmp_path, "ours", 1.8e9)
    other = tmp_path / "other"
    open_authority(other, "other", 1.79e9)
    (tmp_path / "key.pem").write_text((other / "key.pem").read_text())
    with pytest.raises(AuthorityError, match="do not belong together"):
        open_authority(tmp_path, "ours", 1.8e9)
