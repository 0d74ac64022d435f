"""Certificate signing requests as stations send them (OCPP 2.1 part 2, A02, A03): read, and held against what may be signed."""

from collections.abc import Collection

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from counterflow.adapters.certificates.parsing import UNREADABLE

SHORTEST_RSA_BITS = 2048
SHORTEST_CURVE_BITS = 224
"""A00.FR.506 asks for a strength of 112 bits: RSA 2048, elliptic curves of 224 bits."""


class RequestRefusedError(ValueError):
    """The request is not signed; the text is a sentence, for the station and the operator."""


def read_request(pem: str) -> x509.CertificateSigningRequest:
    """A request whose signature holds, for a key that is strong enough. Raises `RequestRefusedError`."""
    try:
        request = x509.load_pem_x509_csr(pem.encode())
        holds, key = request.is_signature_valid, request.public_key()
    except UNREADABLE:
        raise RequestRefusedError("The signing request cannot be read.") from None
    if not holds:
        raise RequestRefusedError("The signing request is not signed by its own key.")
    if isinstance(key, rsa.RSAPublicKey):
        bits, least = key.key_size, SHORTEST_RSA_BITS
    elif isinstance(key, ec.EllipticCurvePublicKey):
        bits, least = key.curve.key_size, SHORTEST_CURVE_BITS
    else:
        raise RequestRefusedError("The key of the signing request must be RSA or of an elliptic curve.")
    if bits < least:
        raise RequestRefusedError(f"The key of the signing request has {bits} bits; it needs {least}.")
    return request


def common_name(request: x509.CertificateSigningRequest) -> str:
    """The one common name of a request. Raises `RequestRefusedError`."""
    try:
        names = [attribute.value for attribute in request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except UNREADABLE:
        names = []
    if len(names) != 1 or not isinstance(names[0], str) or not names[0]:
        raise RequestRefusedError("The signing request must have exactly one common name.")
    return names[0]


def check_names(request: x509.CertificateSigningRequest, allowed: Collection[str]) -> str:
    """The common name, when it and every alternative name are the station's own. Raises `RequestRefusedError`."""
    name = common_name(request)
    if name not in allowed:
        raise RequestRefusedError(f"The signing request is for '{name}'; this station is {_listed(allowed)}.")
    for other in _alternative_names(request):
        if other not in allowed:
            raise RequestRefusedError(f"The signing request also names '{other}'; this station is {_listed(allowed)}.")
    return name


def _alternative_names(request: x509.CertificateSigningRequest) -> list[str]:
    try:
        extension = request.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    except UNREADABLE:
        raise RequestRefusedError("The extensions of the signing request cannot be read.") from None
    return [str(name.value) for name in extension.value]


def _listed(allowed: Collection[str]) -> str:
    return " or ".join(f"'{name}'" for name in sorted(allowed))
