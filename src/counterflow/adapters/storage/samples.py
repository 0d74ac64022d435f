"""Meter samples as packed rows of 56 bytes, and the numpy that selects and merges them.

A commit's samples are stored as one blob of such rows, not as a table row each: a table row costs one step of SQLite, and
Python's `sqlite3` gives up the interpreter lock at each step. Beside a busy event loop each step may then wait up to 5 ms for
the lock, so that 2 000 samples took 2 s to commit; one blob is one step, exact to the bit, and read back at the speed of numpy.
"""

import struct
from collections.abc import Callable, Iterable
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from counterflow.domain.delivery import Sample
from counterflow.domain.ids import SessionUid

VALUE_COLUMNS = ("power_w", "export_wh", "import_wh", "soc_frac")
COLUMNS = ("session_uid", "received_s", "at_s", *VALUE_COLUMNS)
ROW = np.dtype([(name, "<i8" if name == "session_uid" else "<f8") for name in COLUMNS])
"""Layout of one row: little-endian, one int64 and six float64; NaN = not in the sample."""

PACK = struct.Struct("<q6d").pack
DAY_MS = 86_400_000
BUCKET_MS = 60_000
_SEQUENCE_BITS = 20
_LATEST_MS = 1 << 42

Rows = NDArray[np.void]
"""(M,) of `ROW`."""


LateSample = Callable[[SessionUid, float, float], object]
"""Hears of a sample that came late: its session, when it came, its own time."""


def ignore_late(_session_uid: SessionUid, _received_s: float, _at_s: float) -> None:
    """Nobody wants to know."""


def no_rows() -> Rows:
    """An empty set of rows."""
    return np.empty(0, dtype=ROW)


def as_rows(packed: bytes) -> Rows:
    """(M,) rows over the same memory."""
    return np.frombuffer(packed, dtype=ROW)


def to_ms(at_s: float) -> int:
    """Whole milliseconds, rounded down; what is no sane time is put at the nearest end of the range."""
    if not isfinite(at_s):
        return _LATEST_MS if at_s > 0 else 0
    return min(max(int(at_s * 1000.0 // 1.0), 0), _LATEST_MS)


def chunk_key(at_ms: int, sequence: int = 0) -> int:
    """Primary key of a chunk: the time of its first sample, then a running number that keeps keys apart."""
    return (at_ms << _SEQUENCE_BITS) | (sequence & ((1 << _SEQUENCE_BITS) - 1))


def key_ms(key: int) -> int:
    """The time in a chunk's key."""
    return key >> _SEQUENCE_BITS


def bucket_start_ms(at_ms: int) -> int:
    """The minute of a time. All samples of a chunk are of the minute that its key names, so that a range of keys finds them all."""
    return at_ms - at_ms % BUCKET_MS


def split_by_bucket(packed: bytes) -> list[tuple[int, bytes]]:
    """Cut packed rows into chunks that lie within one minute each: [(time of the first sample in ms, packed rows)].

    Nearly always this is one chunk and nothing is copied. Rows keep their order within a minute.
    """
    received_s = as_rows(packed)["received_s"]
    first_ms, last_ms = to_ms(float(received_s.min())), to_ms(float(received_s.max()))
    if bucket_start_ms(first_ms) == bucket_start_ms(last_ms):
        return [(first_ms, packed)]
    rows = as_rows(packed)
    at_ms = np.fromiter(map(to_ms, received_s.tolist()), dtype=np.int64, count=len(rows))
    buckets = at_ms - at_ms % BUCKET_MS
    return [(int(at_ms[buckets == bucket].min()), rows[buckets == bucket].tobytes()) for bucket in np.unique(buckets)]


def sorted_uids(session_uids: Iterable[SessionUid]) -> NDArray[np.int64]:
    """(S,) distinct uids in ascending order."""
    return np.unique(np.fromiter(session_uids, dtype=np.int64))


def positions_of(rows: Rows, uids: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Place of each row's session in `uids` (S,), and whether it is there at all: two arrays (M,)."""
    if len(uids) == 0:
        return np.zeros(len(rows), dtype=np.intp), np.zeros(len(rows), dtype=np.bool_)
    places = np.searchsorted(uids, rows["session_uid"])
    places[places == len(uids)] = 0
    return places, uids[places] == rows["session_uid"]


def select(rows: Rows, uids: NDArray[np.int64], from_s: float, to_s: float) -> Rows:
    """The rows of these sessions received in [from_s, to_s)."""
    in_window = (rows["received_s"] >= from_s) & (rows["received_s"] < to_s)
    _, wanted = positions_of(rows, uids)
    return rows[in_window & wanted]


def in_order_of_receipt(rows: Rows) -> Rows:
    """Rows by the time of receipt; equal times keep their order."""
    received_s = rows["received_s"]
    if len(rows) < 2 or not bool((received_s[1:] < received_s[:-1]).any()):
        return rows
    return rows[np.argsort(received_s, kind="stable")]


def to_samples(rows: Rows) -> list[Sample]:
    """Rows as Structs."""
    columns = [rows[name].tolist() for name in ("session_uid", "at_s", *VALUE_COLUMNS, "received_s")]
    return list(map(Sample, *columns))


class NewestValues:
    """Merges rows into the newest known value of each column of each session; rows may come in any order."""

    def __init__(self, session_uids: Iterable[SessionUid]) -> None:
        self._uids = sorted_uids(session_uids)
        size = len(self._uids)
        self._at_s = np.full(size, -np.inf)
        self._value_at_s = {name: np.full(size, -np.inf) for name in VALUE_COLUMNS}
        self._values = {name: np.full(size, np.nan) for name in VALUE_COLUMNS}

    def add(self, rows: Rows) -> None:
        """Take in rows (M,); of two values with the same time the one added first stays, later rows win within one call."""
        places, wanted = positions_of(rows, self._uids)
        wanted &= np.isfinite(rows["at_s"])
        rows, places = rows[wanted], places[wanted]
        order = np.argsort(rows["at_s"], kind="stable")
        rows, places = rows[order], places[order]
        self._at_s[places] = np.maximum(self._at_s[places], rows["at_s"])
        for name in VALUE_COLUMNS:
            known = ~np.isnan(rows[name])
            where, at_s = places[known], rows["at_s"][known]
            newer = at_s > self._value_at_s[name][where]
            self._value_at_s[name][where[newer]] = at_s[newer]
            self._values[name][where[newer]] = rows[name][known][newer]

    @property
    def complete(self) -> bool:
        """Every column of every session is known."""
        return all(bool(np.isfinite(at_s).all()) for at_s in self._value_at_s.values())

    def samples(self) -> list[Sample]:
        """One sample for each session seen, by uid."""
        seen = np.flatnonzero(np.isfinite(self._at_s))
        columns = [self._values[name][seen].tolist() for name in VALUE_COLUMNS]
        return list(map(Sample, self._uids[seen].tolist(), self._at_s[seen].tolist(), *columns))
