"""Who may come in by which security profile, and what must not contradict a certificate."""

from typing import Any

import pytest

from counterflow.adapters.ocpp.credentials import Credentials, hash_password
from counterflow.adapters.ocpp.listeners import SecurityProfile
from counterflow.adapters.ocpp.transport import Admitted, Refused, Shown
from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.stations.registry import Registry, RegistrySettings
from counterflow.domain.ids import SiteId, StationId
from counterflow.domain.resources import StationIdentity, StationRegistration

PASSWORD = "sixteen chars ok"
BASIC, OVER_TLS, MUTUAL = SecurityProfile


def verdict(shown: Shown, *, accept_unknown: bool = False, **registration: Any) -> str | int:
    registry = Registry(RegistrySettings(accept_unknown=accept_unknown), MemoryJournal(), str)
    if registration:
        known = {"station_id": StationId("CS1"), "site_id": SiteId("default"), "password_hash": hash_password(PASSWORD)}
        registry.add(StationRegistration(**(known | registration)))
    answer = registry.admit(StationId("CS1"), ["ocpp2.1"], shown)
    return "in" if isinstance(answer, Admitted) else answer.http_status if isinstance(answer, Refused) else "?"


@pytest.mark.parametrize(
    ("profile", "password", "names", "registration", "expected"),
    [
        (BASIC, PASSWORD, (), {"security_profile": 1}, "in"),
        (BASIC, "another password", (), {"security_profile": 1}, 401),
        (BASIC, None, (), {"security_profile": 1}, 401),
        (BASIC, None, (), {"password_hash": None}, "in"),
        (BASIC, PASSWORD, (), {"security_profile": 2}, 403),
        (BASIC, PASSWORD, ("CS1",), {"security_profile": 3}, 403),
        (OVER_TLS, PASSWORD, (), {"security_profile": 2}, "in"),
        (OVER_TLS, "another password", (), {"security_profile": 2}, 401),
        (OVER_TLS, None, (), {"password_hash": None}, 401),
        (OVER_TLS, PASSWORD, (), {"security_profile": 3}, 403),
        (MUTUAL, None, ("CS1",), {"security_profile": 3}, "in"),
        (MUTUAL, PASSWORD, ("CS2",), {"security_profile": 1}, 403),
        (MUTUAL, None, ("cs1",), {"security_profile": 1}, 403),
        (MUTUAL, None, ("*",), {"security_profile": 1}, 403),
        (MUTUAL, None, (), {"security_profile": 1}, 403),
        (MUTUAL, None, ("SN-1",), {"serial_number": "SN-1"}, "in"),
        (MUTUAL, None, ("SN-2",), {"serial_number": "SN-1"}, 403),
        (MUTUAL, None, ("CS1",), {}, 404),
    ],
)
def test_a00_a_station_shows_what_its_port_and_its_registration_ask(
    profile: SecurityProfile, password: str | None, names: tuple[str, ...], registration: dict[str, Any], expected: str | int
) -> None:
    credentials = None if password is None else Credentials("CS1", password)
    assert verdict(Shown(profile, credentials, names), **registration) == expected


def test_an_unknown_station_that_may_come_in_still_needs_what_the_profile_proves() -> None:
    assert verdict(Shown(BASIC), accept_unknown=True) == "in"
    assert verdict(Shown(OVER_TLS, Credentials("CS1", PASSWORD)), accept_unknown=True) == 401
    assert verdict(Shown(MUTUAL, None, ("CS1",)), accept_unknown=True) == "in"
    assert verdict(Shown(MUTUAL, None, ("CS2",)), accept_unknown=True) == 403


SAYS = "BootNotification says the serial number 'SN-9'; "
OF_ANOTHER = SAYS + "the certificate is of "


@pytest.mark.parametrize(
    ("check", "names", "registered", "said", "wrong"),
    [
        ("where-named", ("SN-1",), "SN-1", "SN-1", None),
        ("where-named", ("SN-1",), None, "SN-9", OF_ANOTHER + "'SN-1'."),
        ("where-named", ("SN-1",), None, None, "BootNotification says no serial number; the certificate is of 'SN-1'."),
        ("where-named", ("CS1",), None, "SN-9", None),
        ("where-named", ("CS1",), "SN-1", "SN-9", SAYS + "the station is registered with 'SN-1'."),
        ("where-named", ("CS1",), "SN-1", "SN-1", None),
        ("where-named", (), "SN-1", "SN-9", None),
        ("always", ("CS1",), None, "SN-9", OF_ANOTHER + "'CS1'."),
        ("always", ("CS1",), None, "CS1", None),
        ("always", ("CS1", "SN-9"), None, "SN-9", OF_ANOTHER + "'CS1'."),
        ("always", ("SN-9",), "SN-9", "SN-9", None),
        ("always", (), None, "SN-9", None),
    ],
)
def test_b01_fr_11_the_boot_notification_is_held_against_certificate_and_register(
    check: str, names: tuple[str, ...], registered: str | None, said: str | None, wrong: str | None
) -> None:
    cs1 = StationId("CS1")
    registry = Registry(RegistrySettings(serial_number_check=check), MemoryJournal(), str)
    registry.add(StationRegistration(station_id=cs1, site_id=SiteId("default"), serial_number=registered))
    if names:
        registry.certified[cs1] = names
    assert registry.contradicts(cs1, StationIdentity(serial_number=said)) == wrong


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        (["ocpp2.1", "ocpp2.0.1"], "ocpp2.1"),
        (["ocpp1.6", "ocpp2.0.1"], "ocpp2.0.1"),
        (["ocpp2.0", "ocpp1.6"], "ocpp1.6"),
        (["ocpp1.5", "ocpp2.0"], None),
        ([], None),
    ],
)
def test_the_newest_version_that_both_sides_speak_is_taken(offered: list[str], taken: str | None) -> None:
    registry = Registry(RegistrySettings(accept_unknown=True), MemoryJournal(), str)
    assert registry.admit(StationId("CS1"), offered, Shown()) == Admitted(taken)
