"""What has been handed in and is not committed yet."""

from collections.abc import Iterable

import msgspec

from counterflow.adapters.storage.samples import chunk_key, split_by_bucket
from counterflow.adapters.storage.schema import DROP_COLUMNS, PUT_COLUMNS
from counterflow.domain.records import DocumentKind

_encode = msgspec.json.Encoder().encode


def spell_key(key: str) -> str:
    """A key as it is stored: SQLite's JSON ends a text at NUL, so it becomes the replacement character."""
    return key.replace("\0", "\ufffd") if "\0" in key else key


class Pending:
    """The writes of one group commit. Of several writes of one document only the last is kept; everything else in order."""

    __slots__ = ("documents", "first_at_s", "last_position", "logs", "other_bytes", "rows")

    def __init__(self) -> None:
        self.rows = bytearray()
        """Packed samples."""
        self.documents: dict[tuple[DocumentKind, str], bytes | None] = {}
        """JSON [key, body] of each document put, None for each removed."""
        self.logs: list[bytes] = []
        """JSON [dispatch id, body] of each log line."""
        self.other_bytes = 0
        self.first_at_s: float | None = None
        self.last_position = 0

    @property
    def size_bytes(self) -> int:
        """Roughly what it holds in memory."""
        return len(self.rows) + self.other_bytes

    def change_document(self, kind: DocumentKind, key: str, entry: bytes | None) -> None:
        """Put (or with None remove) one document."""
        old = self.documents.get((kind, key), b"") or b""
        self.documents[kind, key] = entry
        self.other_bytes += len(entry or b"") - len(old)

    def chunks(self, sequence: int) -> list[tuple[int, bytes | bytearray]]:
        """The samples as rows of `sample_chunk`; `sequence` keeps their keys apart from others of the same millisecond."""
        if not self.rows:
            return []
        return [(chunk_key(at_ms, sequence), body) for at_ms, body in split_by_bucket(self.rows)]

    def intake(self, chunk: tuple[int, bytes | bytearray] | None) -> tuple[int | bytes | bytearray | str | None, ...]:
        """One row of the view `intake` (schema): the last chunk, the log lines and the documents."""
        key, body = (None, None) if chunk is None else chunk
        logs = _array(self.logs) if self.logs else None
        if not self.documents:
            return (key, body, logs, *([None] * (len(PUT_COLUMNS) + len(DROP_COLUMNS))))
        puts: dict[DocumentKind, list[bytes]] = {}
        drops: dict[DocumentKind, list[str]] = {}
        for (kind, document_key), entry in self.documents.items():
            if entry is None:
                drops.setdefault(kind, []).append(document_key)
            else:
                puts.setdefault(kind, []).append(entry)
        put_columns = (_array(puts[kind]) if kind in puts else None for kind in DocumentKind)
        drop_columns = (_encode(drops[kind]).decode() if kind in drops else None for kind in DocumentKind)
        return (key, body, logs, *put_columns, *drop_columns)


def keyed(key: str, body: str) -> bytes:
    """JSON of [key, body]. Raises UnicodeEncodeError for text that UTF-8 cannot hold."""
    return _encode((key, body))


def _array(entries: Iterable[bytes]) -> str:
    return b"".join((b"[", b",".join(entries), b"]")).decode()
