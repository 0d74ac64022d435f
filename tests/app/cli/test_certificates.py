"""Certificates and passwords of stations from the command line, against a server that is not there."""

from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from msgspec.structs import replace

from counterflow.adapters.certificates.authority import open_authority
from counterflow.adapters.web.examples import EXAMPLES
from counterflow.domain.security_views import CertificateView, IssuedCertificateView, PasswordView, SecurityEventView
from counterflow.domain.station_views import CallAnswer, StationView


def test_the_certificates_of_the_listeners_are_listed_and_read_again(api: Any, counterflow: Any) -> None:
    api.will("GET", "/api/v1/certificates", [EXAMPLES[CertificateView]])
    api.will("POST", "/api/v1/certificates/reload", [EXAMPLES[CertificateView]])
    for command in ("list", "reload"):
        result = counterflow("certificates", command)
        assert result.exit_code == 0
        for part in ("9443", "ECDSA", "csms.example.com"):
            assert part in result.stdout


def test_a_reload_that_fails_says_why(api: Any, counterflow: Any) -> None:
    api.will_fail("POST", "/api/v1/certificates/reload", 409, "The certificate x.pem cannot be used.", "Put it right.")
    result = counterflow("certificates", "reload")
    assert result.exit_code == 1
    assert "The certificate x.pem cannot be used." in result.stderr


def test_what_was_issued_is_listed_and_revoked_by_station_or_serial_number(api: Any, counterflow: Any) -> None:
    view = EXAMPLES[IssuedCertificateView]
    api.will("GET", "/api/v1/certificates/issued", [view, replace(view, name="CS-2", revoked_at_s=1.79e9, reason="superseded")])
    shown = counterflow("certificates", "issued").stdout
    assert "4f1d02a96c3e" in shown
    assert "2026-09-21 (superseded)" in shown
    api.will("POST", "/api/v1/certificates/revoke", [replace(view, revoked_at_s=1.79e9, reason="keyCompromise")])
    for arguments in (("CS-1", "--reason", "keyCompromise"), ("--serial", "4F:1D:02:A9:6C:3E")):
        assert "keyCompromise" in counterflow("certificates", "revoke", *arguments).stdout
    assert api.bodies == [{"reason": "keyCompromise", "station_id": "CS-1"}, {"reason": "unspecified", "serial": "4F1D02A96C3E"}]
    for arguments in ((), ("CS-1", "--serial", "4f")):
        result = counterflow("certificates", "revoke", *arguments)
        assert (result.exit_code, "Say either a station or --serial." in result.stderr) == (2, True)


def test_issued_certificates_hold_key_chain_and_name_and_are_private(counterflow: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = counterflow("certificates", "issue", "CS-1", "CS-2", "--out", str(out), "--data-dir", str(tmp_path))
    assert result.exit_code == 0
    authority = open_authority(tmp_path / "authority" / "stations", "unused", 1.79e9)
    root = x509.load_pem_x509_certificate(authority.root_pem.encode())
    for name in ("CS-1", "CS-2"):
        path = out / f"{name}.pem"
        assert path.stat().st_mode & 0o777 == 0o600
        leaf = x509.load_pem_x509_certificates(path.read_bytes())[0]
        leaf.verify_directly_issued_by(root)
        assert name in leaf.subject.rfc4514_string()
        assert serialization.load_pem_private_key(path.read_bytes(), None).public_key() == leaf.public_key()


def test_issuing_for_a_path_or_without_a_server_is_refused_in_words(counterflow: Any, tmp_path: Path) -> None:
    for name in ("../../etc/cron", "a/b", ".hidden", "x" * 49):
        result = counterflow("certificates", "issue", name, "--data-dir", str(tmp_path), "--out", str(tmp_path / "out"))
        assert (result.exit_code, "no identity of a station" in result.stderr) == (2, True)
    result = counterflow("certificates", "issue", "CS-1", "--data-dir", str(tmp_path / "none"))
    assert "There is no data dir" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_rotation_is_told_in_words(api: Any, counterflow: Any) -> None:
    api.will("POST", "/api/v1/stations/CS-1/rotate-password", EXAMPLES[PasswordView])
    result = counterflow("stations", "rotate-password", "CS-1")
    assert "The station took it; the old password is void." in result.stdout
    refused = PasswordView(station_id="CS-2", outcome="refused", text="The station refused it (Rejected); the old password stays.")
    api.will("POST", "/api/v1/stations/CS-2/rotate-password", refused)
    result = counterflow("stations", "rotate-password", "CS-2")
    assert (result.exit_code, "refused it (Rejected)" in result.stderr) == (1, True)


def test_a_root_is_installed_or_the_stations_no_is_told(api: Any, counterflow: Any) -> None:
    taken = CallAnswer(action="InstallCertificate", payload={"status": "Accepted"}, error_code=None, error_text="")
    api.will("POST", "/api/v1/stations/CS-1/install-authority", taken)
    assert "has installed it as CSMSRootCertificate" in counterflow("stations", "install-authority", "CS-1").stdout
    api.will("POST", "/api/v1/stations/CS-2/install-authority", replace(taken, payload={"status": "Rejected"}))
    result = counterflow("stations", "install-authority", "CS-2")
    assert (result.exit_code, "did not take it: Rejected" in result.stderr) == (1, True)


def test_security_events_stand_on_the_page_of_a_station(api: Any, counterflow: Any, station: StationView) -> None:
    api.will("GET", "/api/v1/stations/CS-1", replace(station, security_events=(EXAMPLES[SecurityEventView],)))
    result = counterflow("stations", "show", "CS-1")
    for part in ("refused", "14", "password wrong"):
        assert part in result.stdout


def test_a_serial_number_that_is_not_in_the_book_is_revoked_without_dates(api: Any, counterflow: Any) -> None:
    view = EXAMPLES[IssuedCertificateView]
    lost = replace(view, serial="dead", name="", issued_at_s=None, not_after_s=None, revoked_at_s=1.79e9, reason="unspecified")
    api.will("POST", "/api/v1/certificates/revoke", [lost])
    result = counterflow("certificates", "revoke", "--serial", "dead")
    assert result.stdout.splitlines()[-1].split()[:5] == ["dead", "not", "known", "-", "-"]
    assert "Serial number dead is not in the book" in result.stderr
