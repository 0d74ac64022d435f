"""Who may do what, and what was done: roles, tokens, the audit log."""

from enum import IntEnum
from typing import Any

from msgspec import Struct


class Role(IntEnum):
    """What a token allows; each role may do what those before it may. GRID commands only dispatches of its own."""

    VIEWER = 1
    GRID = 2
    OPERATOR = 3
    ADMIN = 4


ROLE_WORDS = {role.name.lower(): role for role in Role}
"""Roles as people write them."""


class ApiToken(Struct, frozen=True, kw_only=True):
    """A token of the API as it is kept: its digest, never the token (SHA-256 of 256 random bits needs no salt)."""

    name: str
    role: str
    digest: str
    added_at_s: float
    added_by: str
    expires_at_s: float | None = None

    @property
    def grants(self) -> Role:
        """The role."""
        return ROLE_WORDS[self.role]


class TokenView(Struct, frozen=True, kw_only=True):
    """A token as it is shown. `token` is there once, in the answer to whoever made it."""

    name: str
    role: str
    added_at_s: float
    added_by: str
    expires_at_s: float | None
    token: str | None = None


class WhoView(Struct, frozen=True, kw_only=True):
    """Whose token was shown, and what it allows."""

    name: str
    role: str


class AuditEntry(Struct, frozen=True, kw_only=True):
    """One request that may have changed something: who, when, what, how it ended, and the thing before and after, where it has a view.

    Passwords, tokens, and identifiers of people and cars in what was sent are left out.
    """

    at_s: float
    who: str
    role: str
    action: str
    sent: Any = None
    status: int
    before: Any = None
    after: Any = None
