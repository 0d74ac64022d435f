"""The certificates that this server shows to stations: the operator's files, or some issued by the built-in authority."""

import ssl
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from msgspec.structs import replace

from counterflow.adapters.certificates.authority import Authority, open_authority, write_private
from counterflow.adapters.certificates.facts import CertificateFacts, facts_of
from counterflow.adapters.certificates.issued import Issued
from counterflow.adapters.certificates.revocation import RevocationListError, read_revocations
from counterflow.adapters.certificates.revocation import Revocations as RevocationLists
from counterflow.adapters.ocpp.listeners import ListenerSettings, NothingRevoked, Revocations, SecurityProfile
from counterflow.adapters.ocpp.tls import CertificateFileError, server_context
from counterflow.domain.security_views import CertificateView, IssuedCertificateView

AUTHORITY_FOLDER = "authority"
STATION_AUTHORITY = "stations"
VEHICLE_AUTHORITY = "vehicles"
SERVER_DAYS = 90.0
"""Renewed at every start and reload, so that a server that is looked after never runs out."""


class _Held:
    """Revocation lists as a listener asks them. Those of the built-in authority change while it does."""

    def __init__(self, lists: RevocationLists, now_s: Callable[[], float]) -> None:
        self.lists = lists
        self._now_s = now_s

    def why_void(self, certificate_der: bytes) -> str | None:
        """Why a certificate lets nobody in now."""
        return self.lists.why_void(certificate_der, self._now_s())

    def revoked(self, certificate_der: bytes) -> bool:
        """Whether it has been taken back."""
        return self.lists.revoked(certificate_der)


class OwnCertificates:
    """Contexts for the gateway, made from what the files hold when they are asked for."""

    def __init__(self, data_dir: Path, now_s: Callable[[], float]) -> None:
        self._folder = data_dir / AUTHORITY_FOLDER
        self._now_s = now_s
        self._authorities: dict[str, Authority] = {}
        self._own: _Held | None = None
        self._lists: dict[ListenerSettings, RevocationLists] = {}
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

    def revocations_of(self, listener: ListenerSettings) -> Revocations:
        """What is revoked on a listener: by the lists that its settings name, or by the built-in authority.

        Raises `CertificateFileError` and `AuthorityError`.
        """
        if listener.profile != SecurityProfile.MUTUAL_TLS:
            return NothingRevoked()
        if not listener.client_authority:
            return self.read_own_revocations()
        if not listener.revocation_lists:
            return NothingRevoked()
        try:
            keep = listener.expired_revocation_list == "keep"
            lists = read_revocations(listener.revocation_lists, listener.client_authority, keep_expired=keep)
        except RevocationListError as error:
            raise CertificateFileError(str(error)) from None
        self._lists[listener] = lists
        return _Held(lists, self._now_s)

    def read_own_revocations(self) -> Revocations:
        """Those of the built-in authority, as its book says now. Raises `AuthorityError`."""
        lists = self.authority().revocations(self._now_s())
        if self._own is None:
            self._own = _Held(lists, self._now_s)
        self._own.lists = lists
        return self._own

    def revoke(self, names: Collection[str], serial: str | None, reason: str) -> Sequence[Issued]:
        """Revoke what the built-in authority has issued for these names, or one certificate by its serial number (hexadecimal), also one
        that is not in its book. Returns what is revoked by this. Raises `AuthorityError`."""
        authority, now_s = self.authority(), self._now_s()
        issued = authority.issued(now_s)
        if serial is None:
            chosen = [entry for entry in issued if entry.name in names]
        else:
            chosen = [entry for entry in issued if entry.serial == serial]
            chosen = chosen or [Issued(serial=serial, name="", issued_at_s=now_s, not_after_s=authority.not_after_s)]
        return authority.revoke([entry for entry in chosen if entry.revoked_at_s is None], reason, now_s)

    def alarms(self) -> Sequence[str]:
        """Revocation lists that are past their time."""
        now_s = self._now_s()
        return [
            f"The revocation list {one.path} is past its time; "
            + ("it stays in force." if listener.expired_revocation_list == "keep" else "no station of its authority comes in.")
            for listener, lists in self._lists.items()
            for one in lists.expired(now_s)
        ]

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


def issued_view(entry: Issued) -> IssuedCertificateView:
    """A certificate of the book as people see it. One that was only revoked, and not issued by the book, has no dates of its own."""
    in_book = entry.name != ""
    return IssuedCertificateView(
        serial=entry.serial,
        name=entry.name,
        issued_at_s=entry.issued_at_s if in_book else None,
        not_after_s=entry.not_after_s if in_book else None,
        revoked_at_s=entry.revoked_at_s,
        reason=entry.reason,
    )
