"""Bearer tokens (RFC 6750). Only digests are kept, and every one is compared in constant time."""

import hmac
from collections.abc import Collection
from hashlib import sha256


class TokenCheck:
    """Knows whether a token is good, and a name for its bearer that does not give it away."""

    def __init__(self, tokens: Collection[str]) -> None:
        """Raises ValueError when there is no token, or one that is shorter than 16 characters."""
        if not tokens or any(len(token) < 16 for token in tokens):
            raise ValueError("the API needs at least one token, each of 16 characters or more")
        self._digests = tuple(sha256(token.encode()).digest() for token in sorted(tokens))

    def bearer(self, header: str | None) -> str | None:
        """Name of the bearer behind an `Authorization` header, or None when it shows no token of ours."""
        scheme, _, token = (header or "").partition(" ")
        shown = sha256(token.strip().encode("utf-8", "surrogatepass")).digest()
        # No early exit: the time taken tells nothing about which token came near.
        matches = [hmac.compare_digest(shown, digest) for digest in self._digests]
        return f"api:{shown.hex()[:8]}" if any(matches) and scheme.lower() == "bearer" else None
