"""Reading sample chunks by time: a run of chunks comes back from SQLite as one blob, in one step."""

import sqlite3
from collections.abc import Iterator

from counterflow.adapters.storage.samples import BUCKET_MS, Rows, as_rows, bucket_start_ms, chunk_key, key_ms

_RUN = (
    "SELECT CAST(group_concat(body, '') AS BLOB) FROM "
    "(SELECT body FROM sample_chunk WHERE chunk_key >= ? AND chunk_key < ? ORDER BY chunk_key)"
)
_SMALL_BYTES = 4_000_000
_LARGE_BYTES = 32_000_000


def archived_day(connection: sqlite3.Connection) -> int:
    """Days (since 1970) before this one are read from Parquet only."""
    return int(connection.execute("SELECT archived_day FROM sample_boundary").fetchone()[0])


def read_run(connection: sqlite3.Connection, from_ms: int, to_ms: int) -> Rows | None:
    """All rows of the chunks keyed in [from_ms, to_ms), in the order of their keys; None when there are none."""
    packed = connection.execute(_RUN, (chunk_key(from_ms), chunk_key(to_ms))).fetchone()[0]
    return None if packed is None else as_rows(packed)


def read_forwards(connection: sqlite3.Connection, from_ms: int, to_ms: int) -> Iterator[tuple[Rows, int]]:
    """Pieces of moderate size that together hold every sample received in [from_ms, to_ms), each with the time up to which it reaches.

    The first may begin up to a minute early, since a chunk is filed under its first sample.
    """
    width_ms = BUCKET_MS
    at_ms = bucket_start_ms(from_ms)
    while at_ms < to_ms:
        first = connection.execute("SELECT min(chunk_key) FROM sample_chunk WHERE chunk_key >= ?", (chunk_key(at_ms),)).fetchone()[0]
        if first is None or key_ms(first) >= to_ms:
            return
        at_ms = bucket_start_ms(key_ms(first))
        end_ms = min(at_ms + width_ms, to_ms)
        rows = read_run(connection, at_ms, end_ms)
        if rows is not None:
            yield rows, end_ms
            width_ms = next_width_ms(width_ms, rows.nbytes)
        at_ms = end_ms


def read_backwards(connection: sqlite3.Connection, lookback_ms: int) -> Iterator[Rows]:
    """Pieces from the newest chunk back to `lookback_ms` before it."""
    width_ms = BUCKET_MS
    newest = connection.execute("SELECT max(chunk_key) FROM sample_chunk").fetchone()[0]
    oldest_ms = 0 if newest is None else max(bucket_start_ms(key_ms(newest)) - lookback_ms, 0)
    while newest is not None and key_ms(newest) >= oldest_ms:
        end_ms = bucket_start_ms(key_ms(newest)) + BUCKET_MS
        start_ms = max(end_ms - width_ms, 0)
        rows = read_run(connection, start_ms, end_ms)
        if rows is not None:
            yield rows
            width_ms = next_width_ms(width_ms, rows.nbytes)
        newest = connection.execute("SELECT max(chunk_key) FROM sample_chunk WHERE chunk_key < ?", (chunk_key(start_ms),)).fetchone()[0]


def next_width_ms(width_ms: int, read_bytes: int) -> int:
    """Wider after a small piece, narrower after a large one, in whole minutes."""
    if read_bytes < _SMALL_BYTES:
        return width_ms * 2
    if read_bytes > _LARGE_BYTES:
        return max(width_ms // 2 // BUCKET_MS * BUCKET_MS, BUCKET_MS)
    return width_ms
