"""What has been handed in, and how a stretch of it becomes one commit."""

from collections.abc import Iterable

import msgspec

from counterflow.adapters.storage.samples import chunk_key, split_by_bucket
from counterflow.adapters.storage.schema import DROP_COLUMNS, PUT_COLUMNS
from counterflow.domain.records import DocumentKind

_encode = msgspec.json.Encoder().encode

LogLine = tuple[None, bytes]
"""JSON [dispatch id, body] of one log line."""
Change = tuple[DocumentKind, str, bytes | None]
"""Kind, key, and JSON [key, body] of a document put, None for one removed."""
Write = bytes | LogLine | Change
"""One write: a packed sample, a log line or a change of a document."""


def spell_key(key: str) -> str:
    """A key as it is stored: SQLite's JSON ends a text at NUL, so it becomes the replacement character."""
    return key.replace("\0", "\ufffd") if "\0" in key else key


def keyed(key: str, body: str) -> bytes:
    """JSON of [key, body]. Raises UnicodeEncodeError for text that UTF-8 cannot hold."""
    return _encode((key, body))


class Group:
    """The writes of one commit. Of several changes of one document only the last is kept; everything else in order."""

    def __init__(self, writes: list[Write]) -> None:
        self._rows = b"".join([write for write in writes if isinstance(write, bytes)])
        self._logs: list[bytes] = []
        self._changes: dict[tuple[DocumentKind, str], bytes | None] = {}
        for write in [write for write in writes if not isinstance(write, bytes)]:
            match write:
                case (None, line):
                    self._logs.append(line)
                case (kind, key, entry):
                    self._changes[kind, key] = entry
        self.size_bytes = len(self._rows) + sum(map(len, self._logs)) + sum(len(entry or b"") for entry in self._changes.values())

    def chunks(self, sequence: int, not_before_ms: int) -> list[tuple[int, bytes]]:
        """The samples as rows of `sample_chunk`; `sequence` keeps their keys apart from others of the same millisecond.

        Samples older than `not_before_ms` (the clock was set back by days) are filed there, each minute under its own key.
        """
        if not self._rows:
            return []
        chunks = split_by_bucket(self._rows)
        return [(chunk_key(max(at_ms, not_before_ms), sequence + number), body) for number, (at_ms, body) in enumerate(chunks)]

    def intake(self, chunk: tuple[int, bytes] | None) -> tuple[int | bytes | str | None, ...]:
        """One row of the view `intake` (schema): a chunk, the log lines and the documents."""
        key, body = (None, None) if chunk is None else chunk
        logs = _array(self._logs) if self._logs else None
        if not self._changes:
            return (key, body, logs, *([None] * (len(PUT_COLUMNS) + len(DROP_COLUMNS))))
        puts: dict[DocumentKind, list[bytes]] = {}
        drops: dict[DocumentKind, list[str]] = {}
        for (kind, document_key), entry in self._changes.items():
            if entry is None:
                drops.setdefault(kind, []).append(document_key)
            else:
                puts.setdefault(kind, []).append(entry)
        put_columns = (_array(puts[kind]) if kind in puts else None for kind in DocumentKind)
        drop_columns = (_encode(drops[kind]).decode() if kind in drops else None for kind in DocumentKind)
        return (key, body, logs, *put_columns, *drop_columns)


def _array(entries: Iterable[bytes]) -> str:
    return b"".join((b"[", b",".join(entries), b"]")).decode()
