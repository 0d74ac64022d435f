"""Tokens and the audit log: kept in the journal, held in memory for the next request."""

from collections import deque
from collections.abc import Iterable
from typing import Final

from counterflow.domain.access import ApiToken, AuditEntry
from counterflow.domain.records import DocumentKind
from counterflow.domain.units import DAY_S
from counterflow.engine.ports import Journal

SHOWN: Final = 5_000
"""Newest entries of the audit log that can be asked for; older ones are in the database until their days are over."""


class AccessBook:
    """Single-threaded, like everything that writes to the journal."""

    def __init__(self, journal: Journal, audit_days: int) -> None:
        self._journal = journal
        self._kept_s = audit_days * DAY_S if audit_days > 0 else float("inf")
        self._tokens: dict[str, ApiToken] = {}
        self._entries: deque[AuditEntry] = deque(maxlen=SHOWN)
        self._keys: deque[tuple[float, str]] = deque()

    def restore(self) -> None:
        """Know again what the journal knows."""
        self._tokens = {token.name: token for _, token in self._journal.documents(DocumentKind.API_TOKEN)}
        entries: list[tuple[str, AuditEntry]] = sorted(self._journal.documents(DocumentKind.AUDIT))
        self._keys = deque((entry.at_s, key) for key, entry in entries)
        self._entries.extend(entry for _, entry in entries)

    # --- tokens --------------------------------------------------------------------------------------------------------------

    def tokens(self) -> tuple[ApiToken, ...]:
        """All, expired ones too, by name."""
        return tuple(self._tokens[name] for name in sorted(self._tokens))

    def live(self, now_s: float) -> Iterable[ApiToken]:
        """Those that are good now."""
        return (token for token in self._tokens.values() if token.expires_at_s is None or now_s < token.expires_at_s)

    def token(self, name: str) -> ApiToken | None:
        """One."""
        return self._tokens.get(name)

    def keep(self, token: ApiToken) -> None:
        """Add one."""
        self._tokens[token.name] = token
        self._journal.put(DocumentKind.API_TOKEN, token.name, token)

    def revoke(self, name: str) -> ApiToken | None:
        """Take one back; it is void with the next request."""
        token = self._tokens.pop(name, None)
        if token is not None:
            self._journal.delete(DocumentKind.API_TOKEN, name)
        return token

    # --- audit ---------------------------------------------------------------------------------------------------------------

    def record(self, entry: AuditEntry) -> None:
        """Write one entry, and drop those whose days are over."""
        key = f"{round(entry.at_s * 1e3):015d}-{len(self._keys) % 1_000_000:06d}"
        self._journal.put(DocumentKind.AUDIT, key, entry)
        self._entries.append(entry)
        self._keys.append((entry.at_s, key))
        while self._keys and self._keys[0][0] < entry.at_s - self._kept_s:
            self._journal.delete(DocumentKind.AUDIT, self._keys.popleft()[1])

    def entries(self, since_s: float, most: int) -> list[AuditEntry]:
        """The newest first."""
        newest_first = (entry for entry in reversed(self._entries) if entry.at_s >= since_s)
        return [entry for entry, _ in zip(newest_first, range(most), strict=False)]
