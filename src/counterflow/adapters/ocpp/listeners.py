"""Where stations may come in: one port a security profile (OCPP 2.1 part 2, A00; a port serves exactly one)."""

from enum import IntEnum
from typing import Annotated, Protocol

from msgspec import Meta, Struct


class SecurityProfile(IntEnum):
    """A00: how a station shows who it is, and what protects the line."""

    BASIC = 1
    """HTTP Basic over plain TCP, for trusted networks only."""
    BASIC_TLS = 2
    """HTTP Basic over TLS; the server shows a certificate."""
    MUTUAL_TLS = 3
    """Both ends show a certificate."""


class Revocations(Protocol):
    """What is revoked of the certificates that verify on one listener (profile 3)."""

    def why_void(self, certificate_der: bytes) -> str | None:
        """Why this certificate lets nobody in now, as a short fixed phrase; None when it does."""
        ...

    def revoked(self, certificate_der: bytes) -> bool:
        """Whether it has been taken back: then a line that is open ends."""
        ...


class NothingRevoked:
    """Of a listener without certificates of stations."""

    def why_void(self, certificate_der: bytes) -> str | None:
        """It is good."""
        return None

    def revoked(self, certificate_der: bytes) -> bool:
        """No."""
        return False


class ListenerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One more port for stations, with TLS."""

    profile: Annotated[int, Meta(description="Security profile of OCPP: 2 = password over TLS, 3 = certificates on both ends.", ge=2, le=3)]
    host: Annotated[str, Meta(description="Address to listen on; 0.0.0.0 or :: for all.", min_length=1)] = "127.0.0.1"
    port: Annotated[int, Meta(description="TCP port; 0 picks a free one.", ge=0, le=65535)] = 9443
    certificates: Annotated[
        tuple[str, ...],
        Meta(
            description="PEM files of the server's certificate chains, leaf first: one of an ECDSA and one of an RSA key serve every "
            "station. Empty = issued by the built-in authority for `server_names`.",
            max_length=4,
        ),
    ] = ()
    keys: Annotated[
        tuple[str, ...], Meta(description="PEM files of their private keys, in the same order; empty = in the same files.", max_length=4)
    ] = ()
    client_authority: Annotated[
        str,
        Meta(description="PEM file of the authorities whose station certificates are taken (profile 3). Empty = the built-in authority."),
    ] = ""
    revocation_lists: Annotated[
        tuple[str, ...],
        Meta(
            description="Revocation lists (PEM or DER files) of the authorities in `client_authority`; once there is one, every authority "
            "needs its own. The built-in authority keeps its own list.",
            max_length=64,
        ),
    ] = ()
    expired_revocation_list: Annotated[
        str,
        Meta(
            description="When a list is past its time: `refuse` = no station of that authority comes in until there is a new one; `keep` = "
            "it stays in force.",
            pattern="^(refuse|keep)$",
        ),
    ] = "refuse"
    server_names: Annotated[
        tuple[str, ...],
        Meta(description="DNS names and addresses in a certificate that the built-in authority issues.", min_length=1, max_length=32),
    ] = ("localhost", "127.0.0.1")
    rsa_key_exchange: Annotated[
        bool,
        Meta(
            description="Also take the two TLS 1.2 suites with RSA key exchange that A00 lists (no forward secrecy); off = such stations "
            "cannot connect."
        ),
    ] = True
