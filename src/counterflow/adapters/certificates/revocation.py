"""Revocation lists (RFC 5280, 5) of the authorities whose stations are let in, and what they say of one certificate. Time is an argument.

OpenSSL could hold a handshake against a list itself. We do it behind the handshake: then it is known which station came with a revoked
certificate, an expired list can be a matter of policy, and lines that are open can be ended when their certificate is revoked.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa

from counterflow.adapters.certificates.parsing import UNREADABLE

REVOKED = "certificate revoked"
NO_LIST = "no revocation list of the certificate's authority"
NOT_READ = "certificate cannot be read"
EXPIRED = "revocation list has expired"
_Signing = dsa.DSAPublicKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
_PEM = b"-----BEGIN X509 CRL-----"


class RevocationListError(ValueError):
    """A list cannot be used; the text is a sentence for the operator."""


class RevocationList:
    """What one authority has revoked: serial numbers, and until when the list is good (None = for ever)."""

    __slots__ = ("issuer", "next_update_s", "path", "serials", "this_update_s")

    def __init__(self, path: str, issuer: x509.Name, serials: frozenset[int], this_update_s: float, next_update_s: float | None) -> None:
        self.path = path
        self.issuer = issuer
        self.serials = serials
        self.this_update_s = this_update_s
        self.next_update_s = next_update_s


class Revocations:
    """The lists of one listener, by the name of their authority."""

    def __init__(self, lists: dict[x509.Name, RevocationList], *, keep_expired: bool) -> None:
        """`keep_expired`: a list that is past its time stays in force; else nobody of its authority comes in until there is a new one."""
        self._lists = lists
        self._keep_expired = keep_expired

    def revoked(self, certificate_der: bytes) -> bool:
        """Whether a list names this certificate. One that cannot be read is taken for revoked."""
        try:
            certificate = x509.load_der_x509_certificate(certificate_der)
            found = self._lists.get(certificate.issuer)
        except UNREADABLE:
            return True
        return found is not None and certificate.serial_number in found.serials

    def why_void(self, certificate_der: bytes, now_s: float) -> str | None:
        """Why a certificate that verifies lets nobody in, as a short fixed phrase; None when it does."""
        try:
            certificate = x509.load_der_x509_certificate(certificate_der)
            found = self._lists.get(certificate.issuer)
        except UNREADABLE:
            return NOT_READ
        if found is None:
            return NO_LIST
        if certificate.serial_number in found.serials:
            return REVOKED
        return EXPIRED if not self._keep_expired and _over(found, now_s) else None

    def expired(self, now_s: float) -> Sequence[RevocationList]:
        """The lists that are past their time."""
        return [one for one in self._lists.values() if _over(one, now_s)]


def read_revocations(paths: Iterable[str], authorities: str, *, keep_expired: bool) -> Revocations:
    """The lists in these files (PEM or DER), each held against the authorities in the PEM file `authorities`.

    Of several lists of one authority the newest counts. Raises `RevocationListError`.
    """
    roots = _authorities(authorities)
    lists: dict[x509.Name, RevocationList] = {}
    for path in paths:
        for parsed, one in parsed_lists(_content(path), path):
            _check_signature(parsed, path, roots)
            known = lists.get(one.issuer)
            if known is None or one.this_update_s >= known.this_update_s:
                lists[one.issuer] = one
    for root in roots:
        found = lists.get(root.issuer)
        if found is not None and root.serial_number in found.serials:
            raise RevocationListError(f"{authorities} holds an authority ({_said(root.subject)}) that {found.path} revokes: take it out.")
    return Revocations(lists, keep_expired=keep_expired)


def _authorities(path: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(Path(path).read_bytes())
    except (OSError, *UNREADABLE) as error:
        words = getattr(error, "strerror", None) or "it is not PEM"
        raise RevocationListError(f"The certificate authority {path} cannot be used: {words}.") from None


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise RevocationListError(f"The revocation list {path} cannot be used: {error.strerror}.") from None


def parsed_lists(content: bytes, path: str) -> list[tuple[x509.CertificateRevocationList, RevocationList]]:
    """The lists in a file's content, complete ones whose every part is known here. Raises `RevocationListError`, which names `path`."""
    try:
        if _PEM in content:
            found = [x509.load_pem_x509_crl(_PEM + part) for part in content.split(_PEM)[1:]]
        else:
            found = [x509.load_der_x509_crl(content)]
        lists = [(one, _read(one, path)) for one in found]
    except UNREADABLE:
        raise RevocationListError(f"The revocation list {path} cannot be used: it is neither PEM nor DER, or damaged.") from None
    for one in found:
        _check_extensions(one, path)
    return lists


def _read(parsed: x509.CertificateRevocationList, path: str) -> RevocationList:
    """Everything that we need of it, so that what is wrong with it shows here."""
    next_update = parsed.next_update_utc
    return RevocationList(
        path,
        parsed.issuer,
        frozenset(entry.serial_number for entry in parsed),
        parsed.last_update_utc.timestamp(),
        None if next_update is None else next_update.timestamp(),
    )


def _check_extensions(parsed: x509.CertificateRevocationList, path: str) -> None:
    """It is whole: what is only a part must not say who is let in."""
    try:
        extensions = parsed.extensions
    except UNREADABLE:
        raise RevocationListError(f"The extensions of the revocation list {path} cannot be read.") from None
    for extension in extensions:
        if isinstance(extension.value, x509.DeltaCRLIndicator) or _is_partial(extension.value):
            raise RevocationListError(f"The revocation list {path} is only a part of one: get the complete list of station certificates.")
        if extension.critical and isinstance(extension.value, x509.UnrecognizedExtension):
            raise RevocationListError(f"The revocation list {path} has a critical extension that is not known here ({extension.oid}).")


def _check_signature(parsed: x509.CertificateRevocationList, path: str, roots: Iterable[x509.Certificate]) -> None:
    """It is signed by one of our authorities."""
    if not any(root.subject == parsed.issuer and _signed_by(parsed, root) for root in roots):
        raise RevocationListError(
            f"The revocation list {path} is not signed by an authority of this listener (it is of {_said(parsed.issuer)}); "
            "put the authority that signs it into client_authority."
        )


def _is_partial(extension: x509.ExtensionType) -> bool:
    if not isinstance(extension, x509.IssuingDistributionPoint):
        return False
    scope = extension
    return bool(scope.only_contains_ca_certs or scope.only_contains_attribute_certs or scope.indirect_crl or scope.only_some_reasons)


def _signed_by(parsed: x509.CertificateRevocationList, root: x509.Certificate) -> bool:
    key = root.public_key()
    if not isinstance(
        key, dsa.DSAPublicKey | rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
    ):
        return False
    try:
        return parsed.is_signature_valid(key)
    except (InvalidSignature, *UNREADABLE):
        return False


def _over(one: RevocationList, now_s: float) -> bool:
    return one.next_update_s is not None and now_s > one.next_update_s


def _said(name: x509.Name) -> str:
    return name.rfc4514_string() or "nobody"
