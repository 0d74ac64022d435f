"""What happened to the security of stations: their own security events, and what we saw at the door. Durable, bounded, one writer."""

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from msgspec.structs import replace

from counterflow.domain.ids import StationId
from counterflow.domain.records import DocumentKind, SecurityRecord
from counterflow.engine.ports import Journal

KEPT_PER_STATION = 200
"""Newest events of each station; so none can push out what is known of another."""
REPEAT_S = 3600.0
"""The same again within this time is counted, not listed again."""
WRITE_EVERY_S = 10.0
"""A repetition is written at most this often: a station that floods us costs no disk. A crash may lose the last counts."""
LONGEST_TEXT = 300


class SecurityLog:
    """Events by station. `restore()` it before use."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._events: dict[StationId, deque[SecurityRecord]] = {}
        self._written_s: dict[int, float] = {}
        self._next_number = 1

    def restore(self) -> None:
        """Everything from the journal."""
        records = sorted((record for _, record in self._journal.documents(DocumentKind.SECURITY)), key=lambda record: record.number)
        for record in records:
            self._events.setdefault(record.station_id, deque()).append(record)
            self._next_number = record.number + 1

    def note(self, station_id: StationId, origin: str, kind: str, text: str, now_s: float, said_at_s: float | None = None) -> None:
        """Something happened at `now_s`. `origin` is `station` or `server`; `said_at_s` is the station's own time of it."""
        text = text[:LONGEST_TEXT]
        events = self._events.setdefault(station_id, deque())
        for index, known in enumerate(events):
            if (known.origin, known.kind, known.text) == (origin, kind, text) and now_s - known.at_s < REPEAT_S:
                events[index] = replace(known, count=known.count + 1, last_at_s=now_s)
                if now_s - self._written_s.get(known.number, known.at_s) >= WRITE_EVERY_S:
                    self._write(events[index], now_s)
                return
        record = SecurityRecord(
            station_id=station_id,
            number=self._next_number,
            origin=origin,
            kind=kind,
            text=text,
            at_s=now_s,
            last_at_s=now_s,
            said_at_s=said_at_s,
        )
        self._next_number += 1
        events.append(record)
        self._write(record, now_s)
        while len(events) > KEPT_PER_STATION:
            self._drop(events.popleft())

    def of(self, station_id: StationId, limit: int) -> Sequence[SecurityRecord]:
        """The newest events of a station, newest first."""
        return tuple(islice(reversed(self._events.get(station_id, ())), limit))

    def newest(self, limit: int) -> Sequence[SecurityRecord]:
        """The newest events of all stations, newest first."""
        everything: Iterable[SecurityRecord] = (record for events in self._events.values() for record in events)
        return sorted(everything, key=lambda record: record.last_at_s, reverse=True)[:limit]

    def forget(self, station_id: StationId) -> None:
        """A station was removed."""
        for record in self._events.pop(station_id, ()):
            self._drop(record)

    def _write(self, record: SecurityRecord, now_s: float) -> None:
        self._written_s[record.number] = now_s
        self._journal.put(DocumentKind.SECURITY, str(record.number), record)

    def _drop(self, record: SecurityRecord) -> None:
        self._written_s.pop(record.number, None)
        self._journal.delete(DocumentKind.SECURITY, str(record.number))
