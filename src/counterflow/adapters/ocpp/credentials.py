"""HTTP Basic authentication of OCPP security profiles 1 and 2: what a station shows, and what we keep of it.

A station authenticates with its identity as user and a random password of 16 to 64 characters (OCPP 2.1 Part 2, A00). We keep a
salted HMAC-SHA256 of the password, not the output of a deliberately slow hash. Slow hashes protect short, human passwords from
guessing; a random password of 16 characters has about 95 bits, so that guessing is hopeless at any speed. In return a check costs
microseconds and can be answered inside the event loop, even when ten thousand stations return at once after an outage.
"""

import base64
import binascii
import hmac
import os
import secrets

from msgspec import Struct

SHORTEST_PASSWORD = 16
LONGEST_PASSWORD = 64
"""Characters. OCPP asks for 16 to 40; station models may allow up to 64."""

_SCHEME = "hmac-sha256"
_SALT_BYTES = 16


class Credentials(Struct, frozen=True):
    """What came in the `Authorization` header. Its text form never shows the password, so that a log cannot leak it."""

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(user={self.user!r}, password=...)"


class PasswordRefusedError(ValueError):
    """The password breaks the rule; the message says how, without showing it."""


def hash_password(password: str, salt: bytes | None = None) -> str:
    """The text to store for a password: scheme, salt and digest. Without `salt` a fresh random one is drawn.

    Raises `PasswordRefusedError` when the password is not 16 to 64 printable characters (A00; RFC 7617 bars control characters).
    """
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise PasswordRefusedError(
            f"A station's password must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters; this one has {len(password)}."
        )
    if not password.isprintable():
        raise PasswordRefusedError("A station's password must not contain control characters or line breaks.")
    chosen = os.urandom(_SALT_BYTES) if salt is None else salt
    digest = hmac.digest(chosen, password.encode(), "sha256")
    return "$".join((_SCHEME, base64.b64encode(chosen).decode(), base64.b64encode(digest).decode()))


def verify(stored: str, password: str) -> bool:
    """Whether the password is the one behind `stored`; takes the same time for every wrong one. A damaged `stored` fits nothing."""
    parts = stored.split("$")
    if len(parts) != 3 or parts[0] != _SCHEME:
        return False
    try:
        salt = binascii.a2b_base64(parts[1], strict_mode=True)
        digest = binascii.a2b_base64(parts[2], strict_mode=True)
        shown = hmac.digest(salt, password.encode(), "sha256")
    except ValueError:  # not base64, or a password that is not text (a lone surrogate)
        return False
    return hmac.compare_digest(shown, digest)


def parse_basic(header: str) -> Credentials | None:
    """Read `Basic base64(user:password)` (RFC 7617); None when it is anything else.

    The password begins after the first colon, may hold colons of its own, and is UTF-8. Missing base64 padding is forgiven.
    """
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    token = token.strip()
    try:
        text = binascii.a2b_base64(token + "=" * (-len(token) % 4), strict_mode=True).decode()
    except ValueError:
        return None
    user, colon, password = text.partition(":")
    return Credentials(user, password) if colon else None


def basic_header(credentials: Credentials) -> str:
    """The value of the `Authorization` header that shows these credentials."""
    return "Basic " + base64.b64encode(f"{credentials.user}:{credentials.password}".encode()).decode()


def new_password() -> str:
    """A fresh random password: 32 characters of the URL-safe alphabet, 192 bits, short enough for every OCPP version."""
    return secrets.token_urlsafe(24)
