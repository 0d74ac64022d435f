"""The certificates of the listening ports, as people ask for them and change them while the server runs."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import structlog

from counterflow.adapters.ocpp.listeners import ListenerSettings
from counterflow.adapters.ocpp.tls import CertificateFileError
from counterflow.app.security.own_certificates import OwnCertificates, issued_view
from counterflow.domain.security_views import CertificateView, IssuedCertificateView

log = structlog.get_logger("counterflow")


class Doors(Protocol):
    """What the gateway does when certificates change."""

    def reload_certificates(self) -> None:
        """Read them again; open lines stay. Raises `CertificateFileError` and OSError, and then nothing has changed."""
        ...

    def end_revoked(self) -> None:
        """End the lines whose certificate lets nobody in any more."""
        ...


class ListenerCertificates:
    """`listening` tells each listener with its real port."""

    def __init__(
        self,
        certificates: OwnCertificates,
        doors: Doors,
        listening: Callable[[], Sequence[tuple[ListenerSettings, int]]],
        now_s: Callable[[], float],
    ) -> None:
        self._certificates = certificates
        self._doors = doors
        self._listening = listening
        self._now_s = now_s

    def shown(self) -> tuple[CertificateView, ...]:
        """What each listener shows to stations, as last read."""
        return tuple(view for listener, port in self._listening() for view in self._certificates.views(listener, port))

    def root_pem(self) -> str:
        """The root of the built-in authority for stations."""
        return self._certificates.authority().root_pem

    def reload_certificates(self) -> str | None:
        """Read the certificates again; open lines stay. Returns what is wrong, and then nothing has changed."""
        try:
            self._doors.reload_certificates()
        except (CertificateFileError, OSError) as error:
            log.error("certificates not reloaded", text=str(error))
            return str(error)
        return None

    def issued(self) -> Sequence[IssuedCertificateView]:
        """What the built-in authority has issued to stations. Raises `AuthorityError`."""
        return [issued_view(entry) for entry in self._certificates.authority().issued(self._now_s())]

    def revoke(self, names: Collection[str], serial: str | None, reason: str) -> Sequence[IssuedCertificateView]:
        """Revoke certificates of the built-in authority. Raises `AuthorityError`."""
        return [issued_view(entry) for entry in self._certificates.revoke(names, serial, reason)]

    def enforce_revocations(self) -> None:
        """From now on they let nobody in, and open lines with them end. Raises `AuthorityError`."""
        self._certificates.read_own_revocations()
        self._doors.end_revoked()
