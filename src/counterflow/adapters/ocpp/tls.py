"""TLS towards stations: contexts as security profiles 2 and 3 ask for them, and the names in a station's certificate."""

import ssl
from collections.abc import Mapping
from typing import Any

from counterflow.adapters.ocpp.listeners import ListenerSettings, SecurityProfile

FORWARD_SECRET_SUITES = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
)
RSA_SUITES = ("AES128-GCM-SHA256", "AES256-GCM-SHA384")
"""A00.FR.318 and the like: TLS_RSA_WITH_AES_*; OpenSSL leaves them out of its defaults. Taken only when a station has nothing better."""


class CertificateFileError(Exception):
    """A certificate, key or authority cannot be used; the text is a sentence for the operator."""


def server_context(listener: ListenerSettings) -> ssl.SSLContext:
    """The context of one listener, read from its files now. Raises `CertificateFileError`.

    TLS 1.2 and 1.3, no compression, no renegotiation, our order of suites. Profile 3 asks for the station's certificate, and takes up no
    old session: a certificate that has expired or whose authority was removed must not come in on a ticket.
    """
    context = _bare(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(":".join((*FORWARD_SECRET_SUITES, *(RSA_SUITES if listener.rsa_key_exchange else ()))))
    if not listener.certificates:
        raise CertificateFileError(f"The listener on port {listener.port} has no certificate.")
    for chain, key in zip(listener.certificates, listener.keys or listener.certificates, strict=True):
        _load_chain(context, chain, key)
    if listener.profile == SecurityProfile.MUTUAL_TLS:
        context.verify_mode = ssl.CERT_REQUIRED
        _load_authority(context, listener.client_authority)
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    return context


def client_context(authority: str | None, certificate: str | None = None, key: str | None = None) -> ssl.SSLContext:
    """A station's end: verifies the server against `authority` (None = the machine's own), shows `certificate` where there is one.

    Raises `CertificateFileError`.
    """
    context = _bare(ssl.PROTOCOL_TLS_CLIENT)
    if authority is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        _load_authority(context, authority)
    if certificate is not None:
        _load_chain(context, certificate, key or certificate)
    return context


def certificate_names(certificate: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Who a verified certificate says it is, common name first, then the DNS and URI names beside it."""
    if not certificate:
        return ()
    common = [value for part in certificate.get("subject", ()) for name, value in part if name == "commonName"]
    others = [value for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "URI")]
    return tuple(dict.fromkeys((*common, *others)))


def _bare(protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION
    return context


def _load_chain(context: ssl.SSLContext, chain: str, key: str) -> None:
    try:
        context.load_cert_chain(chain, key, password=_no_password)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise CertificateFileError(f"The certificate {chain} with the key {key} cannot be used: {_words(error)}.") from None


def _load_authority(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(path)
    except (OSError, ValueError) as error:
        raise CertificateFileError(f"The certificate authority {path or '(none named)'} cannot be used: {_words(error)}.") from None


def _no_password() -> str:
    raise ValueError("the key is encrypted; store it unencrypted, readable for the server only")


def _words(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or "not PEM").lower().replace("_", " ")
    return getattr(error, "strerror", None) or str(error)
