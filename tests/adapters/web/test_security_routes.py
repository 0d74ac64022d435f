"""Security of stations over HTTP."""

import msgspec
import pytest

from counterflow.adapters.web.examples import EXAMPLES
from counterflow.domain.security_views import CertificateView, IssuedCertificateView, PasswordView, SecurityEventView
from counterflow.domain.views import Refusal, RefusalKind


def same(response, shape):
    return msgspec.json.decode(response.content, type=shape)


def test_security_events_of_all_and_of_one_station(client, operations):
    assert same(client.ask("GET", "/security-events"), list[SecurityEventView]) == [EXAMPLES[SecurityEventView]]
    assert client.ask("GET", "/stations/CS-1/security-events?limit=7").status_code == 200
    assert operations.calls == [("security_events", None, 100), ("security_events", "CS-1", 7)]
    assert client.ask("GET", "/security-events?limit=0").status_code == 422


def test_a_rotation_names_who_asked_and_shows_no_password(client, operations):
    response = client.ask("POST", "/stations/CS-1/rotate-password")
    assert same(response, PasswordView) == EXAMPLES[PasswordView]
    [(name, station_id, by)] = operations.calls
    assert (name, station_id) == ("rotate_password", "CS-1")
    assert by


def test_certificates_are_shown_and_read_again(client, operations):
    assert same(client.ask("GET", "/certificates"), list[CertificateView]) == [EXAMPLES[CertificateView]]
    assert client.ask("POST", "/certificates/reload").status_code == 200
    operations.refusal = Refusal(kind=RefusalKind.CONFLICT, sentence="The certificate x cannot be used.", remedy="Put it right.")
    assert client.ask("POST", "/certificates/reload").status_code == 409


@pytest.mark.parametrize(("body", "status"), [({}, 200), ({"use": "V2GRootCertificate", "certificate": "PEM"}, 200), ({"use": "Any"}, 422)])
def test_a_root_goes_to_the_station(client, operations, body, status):
    assert client.ask("POST", "/stations/CS-1/install-authority", json=body).status_code == status
    if status == 200:
        expected = ("install_authority", "CS-1", body.get("use", "CSMSRootCertificate"), body.get("certificate"))
        assert operations.calls == [expected]


def test_issued_certificates_are_shown_and_revoked(client, operations):
    assert same(client.ask("GET", "/certificates/issued"), list[IssuedCertificateView]) == [EXAMPLES[IssuedCertificateView]]
    for body, given in (
        ({"station_id": "CS-1", "reason": "keyCompromise"}, ("CS-1", None, "keyCompromise")),
        ({"serial": "00AB"}, (None, "00AB", "unspecified")),
        ({"serial": "7" + "f" * 39}, (None, "7" + "f" * 39, "unspecified")),
    ):
        operations.calls.clear()
        assert client.ask("POST", "/certificates/revoke", json=body).status_code == 200
        [(name, *what, by)] = operations.calls
        assert (name, tuple(what)) == ("revoke_certificates", given)
        assert by.startswith("api:")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"station_id": "CS-1", "serial": "1"},
        {"serial": "0"},
        {"serial": "xy"},
        {"serial": "8" + "0" * 39},
        {"serial": "1", "reason": "no"},
    ],
)
def test_an_unclear_revocation_is_refused(client, operations, body):
    assert client.ask("POST", "/certificates/revoke", json=body).status_code == 422
    assert operations.calls == []
