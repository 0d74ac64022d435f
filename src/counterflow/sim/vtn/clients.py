"""Who may ask: OAuth2 client credentials and the bearer tokens that were given out for them."""

import hmac
from collections.abc import Callable, Sequence
from enum import StrEnum
from secrets import token_urlsafe
from urllib.parse import parse_qs

from msgspec import Struct

from counterflow.sim.vtn.refusal import RefusedError


class Role(StrEnum):
    """What a client is. The API description gives each its scopes."""

    BUSINESS_LOGIC = "bl"
    """The operator's own side: it writes programs and events, and reads everything."""
    VEN = "ven"
    """It reads programs and events, and writes its own ven, resources, reports and subscriptions."""


class Client(Struct, frozen=True, kw_only=True):
    """Somebody who may have a token."""

    client_id: str
    secret: str
    role: Role


class TokenDesk:
    """Gives out tokens and knows them again."""

    def __init__(self, clients: Sequence[Client], now_s: Callable[[], float], life_s: float = 3600.0) -> None:
        self.life_s = life_s
        self._now_s = now_s
        self._clients = {client.client_id: client for client in clients}
        self._given: dict[str, tuple[Client, float]] = {}

    def give(self, content_type: str, body: bytes) -> str:
        """A token for a form-encoded request with the credentials in it (RFC 6749 §4.4). Raises `RefusedError` with its error code."""
        if content_type.split(";")[0].strip().lower() != "application/x-www-form-urlencoded":
            raise RefusedError(400, "invalid_request", "The request must be form-encoded, with client_id and client_secret in its body.")
        form = {key: values[-1] for key, values in parse_qs(body.decode("utf-8", "replace")).items()}
        if form.get("grant_type") != "client_credentials":
            raise RefusedError(400, "unsupported_grant_type", "grant_type must be client_credentials.")
        client = self._clients.get(form.get("client_id", ""))
        if client is None or not hmac.compare_digest(client.secret.encode(), form.get("client_secret", "").encode()):
            raise RefusedError(401, "invalid_client", "client_id or client_secret is wrong.")
        token = token_urlsafe(18)
        self._given[token] = (client, self._now_s() + self.life_s)
        return token

    def of(self, authorization: str) -> Client:
        """Whose bearer token this is. Raises `RefusedError` (401)."""
        scheme, _, token = authorization.partition(" ")
        client, until_s = self._given.get(token.strip(), (None, 0.0))
        if scheme.lower() != "bearer" or client is None or self._now_s() >= until_s:
            raise RefusedError(401, "Unauthorized", "The bearer token is missing, unknown or too old: ask POST /auth/token for one.")
        return client

    def forget(self) -> None:
        """All tokens are void from now on, as after a restart of the authorization server."""
        self._given.clear()
