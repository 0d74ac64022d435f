"""The part of `Operations` that is about access: tokens with their roles, and the audit log."""

from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from secrets import token_urlsafe

from counterflow.app.control_room import ControlRoom
from counterflow.domain.access import ApiToken, AuditEntry, Role, TokenView
from counterflow.domain.views import Refusal, RefusalKind


class AccessDesk:
    """Part of `LiveOperations`."""

    _room: ControlRoom
    _now_s: Callable[[], float]
    _settled: Callable[[], Awaitable[None]]

    own_tokens: tuple[ApiToken, ...] = ()
    """Of processes of ours, such as the console's feed; they live as long as this one."""

    def live_tokens(self) -> Sequence[ApiToken]:
        """Tokens that are good now; the gate asks with every request."""
        return (*self._room.access.live(self._now_s()), *self.own_tokens)

    def tokens(self) -> Sequence[TokenView]:
        """All tokens but the first one, which is in the data dir, by name."""
        return [_view(token) for token in self._room.access.tokens()]

    async def add_token(self, name: str, role: Role, expires_at_s: float | None, by: str) -> TokenView | Refusal:
        """Make a token; it is shown in this answer and never again."""
        if self._room.access.token(name) is not None:
            return Refusal(
                kind=RefusalKind.CONFLICT,
                sentence=f"There is a token named '{name}' already.",
                remedy="Revoke it first, or choose another name.",
            )
        if expires_at_s is not None and expires_at_s <= self._now_s():
            return Refusal(
                kind=RefusalKind.INVALID, sentence="The token would have expired already.", remedy="Name an instant that is to come."
            )
        secret = token_urlsafe(32)
        token = ApiToken(
            name=name,
            role=role.name.lower(),
            digest=sha256(secret.encode()).hexdigest(),
            added_at_s=self._now_s(),
            added_by=by,
            expires_at_s=expires_at_s,
        )
        self._room.access.keep(token)
        await self._settled()
        return _view(token, secret)

    async def revoke_token(self, name: str) -> TokenView | Refusal:
        """Take a token back; it is void with the next request."""
        token = self._room.access.revoke(name)
        if token is None:
            return Refusal(
                kind=RefusalKind.NOT_FOUND,
                sentence=f"There is no token named '{name}'.",
                remedy="GET /api/v1/tokens (counterflow tokens list) shows them.",
            )
        await self._settled()
        return _view(token)

    def record(self, entry: AuditEntry) -> None:
        """Write an entry of the audit log."""
        self._room.access.record(entry)

    def audit(self, since_s: float, most: int) -> Sequence[AuditEntry]:
        """Who changed what, newest first."""
        return self._room.access.entries(since_s, most)

    def now_s(self) -> float:
        """The server's clock."""
        return self._now_s()


def _view(token: ApiToken, secret: str | None = None) -> TokenView:
    return TokenView(
        name=token.name,
        role=token.role,
        added_at_s=token.added_at_s,
        added_by=token.added_by,
        expires_at_s=token.expires_at_s,
        token=secret,
    )
