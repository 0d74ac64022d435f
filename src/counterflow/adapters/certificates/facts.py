"""What people want to know of a certificate file."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from msgspec import Struct


class CertificateFacts(Struct, frozen=True, kw_only=True):
    """Of the first certificate in a PEM file. Names: common name first, then DNS names and addresses."""

    key: str
    names: tuple[str, ...]
    issuer: str
    not_before_s: float
    not_after_s: float


def facts_of(path: Path) -> CertificateFacts:
    """Raises OSError, or ValueError when there is no certificate in it."""
    certificate = x509.load_pem_x509_certificates(path.read_bytes())[0]
    key = certificate.public_key()
    match key:
        case rsa.RSAPublicKey():
            kind = f"RSA {key.key_size}"
        case ec.EllipticCurvePublicKey():
            kind = f"ECDSA {key.curve.name}"
        case _:
            kind = type(key).__name__
    names = [str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        others = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names += [str(name.value) for name in others]
    except x509.ExtensionNotFound:
        pass  # then its common name is all it is called
    return CertificateFacts(
        key=kind,
        names=tuple(dict.fromkeys(names)),
        issuer=certificate.issuer.rfc4514_string(),
        not_before_s=certificate.not_valid_before_utc.timestamp(),
        not_after_s=certificate.not_valid_after_utc.timestamp(),
    )
