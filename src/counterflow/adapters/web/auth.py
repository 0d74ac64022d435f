"""Bearer tokens (RFC 6750). Only digests are kept, and every one is compared in constant time."""

import hmac
from collections.abc import Callable, Collection, Sequence
from hashlib import sha256

from msgspec import Struct

from counterflow.domain.access import ApiToken, Role


class Bearer(Struct, frozen=True):
    """Who asks: a name that does not give the token away, and what the token allows."""

    name: str
    role: Role


class TokenCheck:
    """Knows whether a token is good: those of the data dir, which allow everything, and named ones with their roles."""

    def __init__(self, tokens: Collection[str], named: Callable[[], Sequence[ApiToken]] = tuple) -> None:
        """`named` gives the named tokens that are good now. Raises ValueError for no token, or one of less than 16 characters."""
        if not tokens or any(len(token) < 16 for token in tokens):
            raise ValueError("the API needs at least one token, each of 16 characters or more")
        self._digests = tuple(sha256(token.encode()).hexdigest() for token in sorted(tokens))
        self._named = named

    def bearer(self, header: str | None) -> Bearer | None:
        """Who is behind an `Authorization` header, or None when it shows no token of ours."""
        scheme, _, token = (header or "").partition(" ")
        shown = sha256(token.strip().encode("utf-8", "surrogatepass")).hexdigest()
        # No early exit: the time taken tells nothing about which token came near.
        known = [(digest, Bearer(f"api:{digest[:8]}", Role.ADMIN)) for digest in self._digests]
        known += [(token.digest, Bearer(f"api:{token.name}", token.grants)) for token in self._named()]
        matches = [bearer for digest, bearer in known if hmac.compare_digest(shown, digest)]
        return matches[0] if matches and scheme.lower() == "bearer" else None
