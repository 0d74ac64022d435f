"""IEC 62351-3: both ends show a certificate of an authority that the other one knows."""

import asyncio
import contextlib
import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from counterflow.adapters.iec104.outstation import CannotOpenError


class Authority:
    """An authority with files for two ends."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.root = self._write(f"{name}.pem", self._certificate(name, self._key.public_key(), authority=True))

    def issue(self, name: str) -> tuple[str, str]:
        """Files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
        certificate = self._write(f"{self._name}-{name}.pem", self._certificate(name, key.public_key(), authority=False))
        return certificate, self._write(f"{self._name}-{name}.key", key.private_bytes(*form))

    def _certificate(self, name: str, key: ec.EllipticCurvePublicKey, *, authority: bool) -> bytes:
        now = datetime.now(UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(x509.Name.from_rfc4514_string(f"CN={name}"))
            .issuer_name(x509.Name.from_rfc4514_string(f"CN={self._name}"))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        return built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _write(self, name: str, text: bytes) -> str:
        (self._folder / name).write_bytes(text)
        return str(self._folder / name)


def files(authority: Authority) -> dict[str, str]:
    certificate, key = authority.issue("outstation")
    return {"tls_certificate": certificate, "tls_key": key, "tls_authority": authority.root}


def shown(authority: Authority, known: Authority) -> ssl.SSLContext:
    """What OpenSSL shows as a control system, and whom it trusts (c104's own client cannot be told the name that its TLS asks for)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(known.root)
    context.load_cert_chain(*authority.issue("master"))
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_set_point_over_tls(desk: Any, run: Any, tmp_path: Path, version: ssl.TLSVersion) -> None:
    ours = Authority(tmp_path, "ours")
    at = run(desk, **files(ours))
    context = shown(ours, ours)
    context.minimum_version = context.maximum_version = version
    with at.plain(context) as line:
        assert line.confirms(bytes.fromhex("320106002f00e903000000004000"))
    assert desk.told == [2e6]


def test_nobody_comes_in_without_a_certificate_of_the_authority(desk: Any, run: Any, tmp_path: Path) -> None:
    ours, others = Authority(tmp_path, "ours"), Authority(tmp_path, "others")
    at = run(desk, **files(ours))
    with pytest.raises(OSError), at.plain(shown(others, ours)):
        pass
    with pytest.raises(OSError), at.plain():
        pass
    with at.plain(shown(ours, ours)):
        pass


def test_a_control_system_that_does_not_finish_its_handshake_holds_up_no_control(desk: Any, run: Any, tmp_path: Path) -> None:
    at = run(desk, station={"cycle_s": 1.0}, **files(Authority(tmp_path, "ours")))

    async def longest_pause_s() -> float:
        longest_s = 0.0
        for _ in range(150):
            began_s = time.monotonic()
            await asyncio.sleep(0.01)
            longest_s = max(longest_s, time.monotonic() - began_s)
        return longest_s

    pauses_s = []
    for _ in range(8):  # other processes spoil one round, a fault of ours all
        with contextlib.closing(socket.create_connection(("127.0.0.1", at.settings.port))):
            pauses_s.append(at.do(longest_pause_s()))
        if pauses_s[-1] < 0.5:
            break
    assert min(pauses_s) < 0.5, pauses_s


def test_a_file_that_is_no_certificate_is_said_in_a_sentence(desk: Any, run: Any, tmp_path: Path) -> None:
    settings = files(Authority(tmp_path, "ours"))
    Path(settings["tls_key"]).write_text("nothing")
    with pytest.raises(CannotOpenError, match=r"^A certificate or key of \[iec104\] cannot be used: "):
        run(desk, **settings)
