"""The certificates that this server shows to stations: the operator's files, or some issued by the built-in authority."""

import ssl
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from counterflow.adapters.certificates.authority import Authority, open_authority, write_private
from counterflow.adapters.certificates.facts import CertificateFacts, facts_of
from counterflow.adapters.ocpp.listeners import ListenerSettings
from counterflow.adapters.ocpp.tls import server_context
from counterflow.domain.views import CertificateView

AUTHORITY_FOLDER = "authority"
STATION_AUTHORITY = "stations"
VEHICLE_AUTHORITY = "vehicles"
SERVER_DAYS = 90.0
"""Renewed at every start and reload, so that a server that is looked after never runs out."""


class OwnCertificates:
    """Contexts for the gateway, made from what the files hold when they are asked for."""

    def __init__(self, data_dir: Path, now_s: Callable[[], float]) -> None:
        self._folder = data_dir / AUTHORITY_FOLDER
        self._now_s = now_s
        self._authorities: dict[str, Authority] = {}
        self._shown: dict[ListenerSettings, tuple[CertificateFacts, ...]] = {}

    def authority(self, name: str = STATION_AUTHORITY) -> Authority:
        """The built-in authority for stations, or the one for vehicles; made when it is first asked for. Raises `AuthorityError`."""
        known = self._authorities.get(name)
        if known is None:
            known = open_authority(self._folder / name, f"Counterflow {name}", self._now_s())
            self._authorities[name] = known
        return known

    @property
    def root_path(self) -> Path:
        """Where the root of the authority for stations is."""
        return self._folder / STATION_AUTHORITY / "root.pem"

    def context_of(self, listener: ListenerSettings) -> ssl.SSLContext:
        """The TLS context of a listener; what its settings leave out comes from the built-in authority.

        Raises `CertificateFileError` and `AuthorityError`.
        """
        filled = listener
        if not listener.certificates:
            filled = replace(filled, certificates=self._issued(listener), keys=())
        if not listener.client_authority:
            self.authority()
            filled = replace(filled, client_authority=str(self.root_path))
        context = server_context(filled)
        self._shown[listener] = tuple(facts_of(Path(path)) for path in filled.certificates)
        return context

    def views(self, listener: ListenerSettings, port: int) -> tuple[CertificateView, ...]:
        """The certificates of a listener, as last read; `port` is its real port."""
        return tuple(
            CertificateView(
                port=port,
                serves_profile=listener.profile,
                key=facts.key,
                names=facts.names,
                issuer=facts.issuer,
                not_before_s=facts.not_before_s,
                not_after_s=facts.not_after_s,
            )
            for facts in self._shown.get(listener, ())
        )

    def _issued(self, listener: ListenerSettings) -> tuple[str, ...]:
        """One certificate of each kind of key: A00 has suites for both."""
        paths = []
        for kind in ("ecdsa", "rsa"):
            chain, key = self.authority().issue_for_server(
                listener.server_names, rsa_key=kind == "rsa", days=SERVER_DAYS, now_s=self._now_s()
            )
            path = self._folder / f"server-{listener.port}-{kind}.pem"
            write_private(path, key + chain)
            paths.append(str(path))
        return tuple(paths)
