"""A small certificate authority: one P-256 key in the data dir, a self-signed root, and what it issues. Time is an argument.

It is meant for one operator's stations on one server. Whoever has an authority already uses that by hook (`call_out`).
"""

import ipaddress
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes, CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec.structs import replace

from counterflow.adapters.certificates.issued import BookDamagedError, Issued, IssuedBook
from counterflow.adapters.certificates.parsing import UNREADABLE
from counterflow.adapters.certificates.revocation import RevocationList, Revocations

ROOT_DAYS = 7300
LIST_DAYS = 90
"""How long others may use our revocation list; it is renewed at every start, reload and revocation."""
LIST_FILE = "revoked.pem"
BOOK_FILE = "issued.jsonl"
BACKDATE_S = 300.0
"""A certificate is valid from a little before now: the clocks of stations differ."""
_PRIVATE = 0o600


class AuthorityError(OSError):
    """The authority's files cannot be used; the text is a sentence for the operator."""


class Authority:
    """An authority that is ready to issue. Made by `open_authority`."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, folder: Path) -> None:
        self._certificate = certificate
        self._key = key
        self._folder = folder
        self._book = IssuedBook(folder / BOOK_FILE)

    @property
    def root_pem(self) -> str:
        """Its own certificate."""
        return _pem(self._certificate)

    @property
    def not_after_s(self) -> float:
        """When it is over itself."""
        return self._certificate.not_valid_after_utc.timestamp()

    def revocations(self, now_s: float) -> Revocations:
        """What it has revoked, as it stands in the book now; the list is written anew. Raises `AuthorityError`."""
        serials = frozenset(int(entry.serial, 16) for entry in self.write_revocation_list(now_s))
        own = RevocationList(str(self._folder / LIST_FILE), self._certificate.subject, serials, now_s, None)
        return Revocations({self._certificate.subject: own}, keep_expired=True)

    def issue_for_server(self, names: Sequence[str], *, rsa_key: bool, days: float, now_s: float) -> tuple[str, str]:
        """(certificate chain, private key) of a server of these DNS names and addresses."""
        key: CertificateIssuerPrivateKeyTypes
        key = rsa.generate_private_key(65537, 2048) if rsa_key else ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(names[0], key.public_key(), days, now_s, ExtendedKeyUsageOID.SERVER_AUTH)
        builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        builder = builder.add_extension(_usage(key_encipherment=rsa_key), critical=True)
        return _pem(self._sign(builder)) + self.root_pem, private_pem(key)

    def issue_for_station(self, name: str, public_key: CertificatePublicKeyTypes, *, days: float, now_s: float) -> str:
        """The certificate chain of a station whose common name is `name`: its identity or serial number. It is in the book before it is
        out of the house. Raises `AuthorityError` when it cannot be written there."""
        builder = self._builder(name, public_key, days, now_s, ExtendedKeyUsageOID.CLIENT_AUTH)
        certificate = self._sign(builder.add_extension(_usage(key_encipherment=False), critical=True))
        entry = Issued(
            serial=f"{certificate.serial_number:x}",
            name=name,
            issued_at_s=now_s,
            not_after_s=certificate.not_valid_after_utc.timestamp(),
        )
        self._write([entry], durable=False)
        return _pem(certificate) + self.root_pem

    def issued(self, now_s: float) -> Sequence[Issued]:
        """The certificates of stations that are not over, revoked ones among them. Raises `AuthorityError`."""
        try:
            return self._book.certificates(now_s)
        except (OSError, BookDamagedError) as error:
            raise AuthorityError(
                f"The book of issued certificates in {self._folder} cannot be used ({error}): put it back from a backup."
            ) from error

    def revoke(self, entries: Sequence[Issued], reason: str, now_s: float) -> Sequence[Issued]:
        """Revoke certificates durably and for ever; `revocations` then knows them. Raises `AuthorityError`."""
        revoked = [replace(entry, revoked_at_s=now_s, reason=reason) for entry in entries]
        self._write(revoked, durable=True)
        return revoked

    def write_revocation_list(self, now_s: float) -> Sequence[Issued]:
        """Make the list (`revoked.pem`) anew, for whoever else checks certificates of this authority, and return what is on it.

        Raises `AuthorityError`.
        """
        now = datetime.fromtimestamp(now_s, UTC)
        revoked = [entry for entry in self.issued(now_s) if entry.revoked_at_s is not None]
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - timedelta(seconds=BACKDATE_S))
            .next_update(now + timedelta(days=LIST_DAYS))
            .add_extension(x509.CRLNumber(int(now_s)), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        for entry in revoked:
            builder = builder.add_revoked_certificate(_revoked(entry))
        listed = builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
        try:
            write_private(self._folder / LIST_FILE, listed)
        except OSError as error:
            raise AuthorityError(f"The revocation list in {self._folder} cannot be written: {error.strerror}.") from error
        return revoked

    def _write(self, entries: Sequence[Issued], *, durable: bool) -> None:
        try:
            self._book.add(entries, durable=durable)
        except OSError as error:
            raise AuthorityError(f"The book of issued certificates in {self._folder} cannot be written: {error}.") from error

    def issue_for_vehicles(self, request: x509.CertificateSigningRequest, *, days: float, now_s: float) -> str:
        """The certificate chain that an EVSE shows to cars (ISO 15118, SECC leaf): the subject as asked for."""
        builder = self._builder("", request.public_key(), days, now_s, ExtendedKeyUsageOID.SERVER_AUTH).subject_name(request.subject)
        return _pem(self._sign(builder.add_extension(_usage(key_encipherment=False), critical=True))) + self.root_pem

    def _builder(
        self, name: str, key: CertificatePublicKeyTypes, days: float, now_s: float, purpose: x509.ObjectIdentifier
    ) -> x509.CertificateBuilder:
        now = datetime.fromtimestamp(now_s, UTC)
        builder = (
            x509.CertificateBuilder()
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(seconds=BACKDATE_S))
            .not_valid_after(min(now + timedelta(days=days), self._certificate.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        return builder.subject_name(_common_name(name)) if name else builder

    def _sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        return builder.sign(self._key, hashes.SHA256())


def open_authority(folder: Path, title: str, now_s: float) -> Authority:
    """The authority of `folder`; made with mode 0600 when there is none. Raises `AuthorityError` for one that is damaged."""
    key_path, root_path = folder / "key.pem", folder / "root.pem"
    try:
        if key_path.exists():
            key = serialization.load_pem_private_key(key_path.read_bytes(), None)
            certificate = x509.load_pem_x509_certificate(root_path.read_bytes())
            if not isinstance(key, ec.EllipticCurvePrivateKey) or certificate.public_key() != key.public_key():
                raise ValueError("key and certificate do not belong together")
            return Authority(certificate, key, folder)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _self_signed(title, key, now_s)
        # The key last: where it is, its root is, whenever a crash comes.
        write_private(root_path, _pem(certificate))
        write_private(key_path, private_pem(key))
    except (OSError, *UNREADABLE) as error:
        raise AuthorityError(
            f"The certificate authority in {folder} cannot be used ({error}): put it back from a backup, or move the folder away "
            "to begin with a new authority that every station must be given."
        ) from error
    return Authority(certificate, key, folder)


def private_pem(key: CertificateIssuerPrivateKeyTypes) -> str:
    """A private key, unencrypted."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read: whole, or not at all."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _self_signed(title: str, key: ec.EllipticCurvePrivateKey, now_s: float) -> x509.Certificate:
    now, name = datetime.fromtimestamp(now_s, UTC), _common_name(title)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(seconds=BACKDATE_S))
        .not_valid_after(now + timedelta(days=ROOT_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_encipherment=False, authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _revoked(entry: Issued) -> x509.RevokedCertificate:
    at_s = entry.issued_at_s if entry.revoked_at_s is None else entry.revoked_at_s
    builder = x509.RevokedCertificateBuilder().serial_number(int(entry.serial, 16)).revocation_date(datetime.fromtimestamp(at_s, UTC))
    if entry.reason in (None, x509.ReasonFlags.unspecified.value):
        return builder.build()  # RFC 5280, 5.3.1: left out rather than said
    return builder.add_extension(x509.CRLReason(x509.ReasonFlags(entry.reason)), critical=False).build()


def _usage(*, key_encipherment: bool, authority: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        content_commitment=False,
        key_encipherment=key_encipherment,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Counterflow")])


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
