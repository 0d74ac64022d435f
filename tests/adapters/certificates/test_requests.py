"""Signing requests whose parts are odd: whatever a station sends, it is taken or refused."""

import base64
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID, NameOID

from counterflow.adapters.certificates.requests import RequestRefusedError, check_names, read_request


def request(*extensions: x509.ExtensionType) -> x509.CertificateSigningRequest:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CS1")]))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())


def pem(der: bytes) -> str:
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE REQUEST-----\n"


X400_NAME = x509.UnrecognizedExtension(ExtensionOID.SUBJECT_ALTERNATIVE_NAME, bytes.fromhex("3004a3020500"))


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        (lambda der: der.replace(b"\x02\x01\x00", b"\x02\x01\x05", 1), "The signing request cannot be read."),
        (lambda der: der.replace(b"\x0c\x03CS1", b"\x03\x03CS1", 1), "exactly one common name|not signed by its own key"),
        (lambda der: der[:-1] + bytes([der[-1] ^ 1]), "not signed by its own key"),
        (lambda der: der[:-9], "The signing request cannot be read."),
    ],
    ids=["version", "type of a name", "signature", "cut"],
)
def test_a02_a_request_that_is_damaged_is_refused_in_words(spoilt: Callable[[bytes], bytes], words: str) -> None:
    with pytest.raises(RequestRefusedError, match=words):
        check_names(read_request(pem(spoilt(request().public_bytes(Encoding.DER)))), {"CS1"})


def test_a02_a_kind_of_name_that_nobody_knows_is_refused_in_words() -> None:
    taken = read_request(pem(request(x509.SubjectAlternativeName([x509.DNSName("CS1")])).public_bytes(Encoding.DER)))
    assert check_names(taken, {"CS1"}) == "CS1"
    with pytest.raises(RequestRefusedError, match="The extensions of the signing request cannot be read"):
        check_names(read_request(pem(request(X400_NAME).public_bytes(Encoding.DER))), {"CS1"})
