"""What is shown of security events, passwords and certificates."""

from msgspec import Struct


class SecurityEventView(Struct, frozen=True, kw_only=True):
    """Something that matters to the security of a station; the same again is counted."""

    station_id: str
    at_s: float
    last_at_s: float
    said_at_s: float | None
    """The station's own time of it."""
    count: int
    origin: str
    """`station`: it told us; `server`: we saw it."""
    kind: str
    text: str


class PasswordView(Struct, frozen=True, kw_only=True):
    """What became of a new password: `changed`, `refused`, or `unknown` - then both are accepted."""

    station_id: str
    outcome: str
    text: str


class CertificateView(Struct, frozen=True, kw_only=True):
    """A certificate that this server shows to stations."""

    port: int
    serves_profile: int
    key: str
    names: tuple[str, ...]
    issuer: str
    not_before_s: float
    not_after_s: float


class IssuedCertificateView(Struct, frozen=True, kw_only=True):
    """A certificate of a station by the built-in authority."""

    serial: str
    name: str
    """Empty for one that was revoked although it is not in the authority's book."""
    issued_at_s: float | None
    not_after_s: float | None
    """None: unknown, since it is not in the book."""
    revoked_at_s: float | None
    reason: str | None
    """As RFC 5280 spells it."""
