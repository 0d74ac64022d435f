"""What was learned of cars outlives their sessions: kept when one ends, and given to the next at its begin.

Kept by the pseudonym of the car; where none is known, by the EVSE; for all cars at a model of EVSE together, and for all cars of a model,
where the drivers' terms name one (no station tells it).
"""

from collections.abc import Callable, Iterable
from math import inf
from typing import NamedTuple

from msgspec.structs import replace

from counterflow.domain.ids import SessionUid, StationId
from counterflow.domain.records import NO_TRANSITIONS, DocumentKind, LearnedResponse, SessionRecord, Transitions
from counterflow.domain.units import DAY_S
from counterflow.engine.control.priors import (
    PriorSettings,
    Start,
    at_most,
    begin,
    for_model,
    learned_of,
    merged,
    start_of,
    taught,
    with_transitions,
)
from counterflow.engine.control.response import ResponseMemory
from counterflow.engine.control.settings import ResponseSettings
from counterflow.engine.fleet.snapshot import FleetImage
from counterflow.engine.ports import Journal

VEHICLE, EVSE = "vehicle:", "evse:"


class Begun(NamedTuple):
    """An open session: its row, whose answers its own are, under which names those of its models are kept, and what it began with.
    `told`: so many transitions of it were kept for its models already."""

    row: int
    subject: str
    models: tuple[str, ...]
    start: Start
    told: float = 0.0


class Experience:
    """Single writer of these records. A session that no tick has seen leaves none, and costs nothing.

    `model_of(station)` names the vendor and model of a station, "" where it has not told.
    """

    def __init__(self, journal: Journal, settings: PriorSettings, response: ResponseSettings, model_of: Callable[[StationId], str]) -> None:
        self._journal = journal
        self._settings = settings
        self._response = response
        self._model_of = model_of
        self._records: dict[str, LearnedResponse] = {}
        self._expected: dict[SessionUid, Begun] = {}
        self._begun: dict[SessionUid, Begun] = {}

    def restore(self) -> None:
        """Everything from the journal."""
        self._records = dict(self._journal.documents(DocumentKind.LEARNED_RESPONSE))

    def of(self, subject: str) -> LearnedResponse | None:
        """What is known of a subject: `vehicle:` and a pseudonym, `evse:` with station and number, `model:` with vendor and model
        of the station, `cars:` with the model of the car."""
        return self._records.get(subject)

    def expect(self, record: SessionRecord, now_s: float) -> None:
        """A session is open, or has changed: whose car it is may be known only now. What it begins with is worked out here, so that the
        first tick after many have come (a restart) need not."""
        uid, subject = record.session_uid, subject_of(record)
        known = self._begun.get(uid) or self._expected.get(uid)
        if known is None or subject != known.subject:
            own, model, vehicles = (self._records.get(one) for one in (subject, self._model(record), vehicles_of(record)))
            same_car = subject.startswith(VEHICLE)
            start = start_of(own, model, now_s, self._settings, self._response, same_car=same_car, vehicles=vehicles)
            self._expected[uid] = Begun(-1, subject, self._models(record), start)

    def welcome(self, image: FleetImage, row_of: Callable[[SessionUid], int | None], response: ResponseMemory) -> ResponseMemory:
        """The memory, with what the sessions that came since the last time begin with. Nothing to do when none came."""
        if not self._expected:
            return response
        starts: dict[int, Start] = {}
        unseen: dict[SessionUid, Begun] = {}
        for uid, expected in self._expected.items():
            row = row_of(uid)
            if row is None or row >= len(image) or image.uid[row] != uid:
                unseen[uid] = expected
            elif self._has_taught(uid, row, response):
                self._begun[uid] = self._begun[uid]._replace(subject=expected.subject, models=expected.models)
            else:
                starts[row] = expected.start
                self._begun[uid] = expected._replace(row=row)
        self._expected = unseen
        return begin(image, response, starts, self._response) if starts else response

    def begun(self, uid: SessionUid) -> Begun | None:
        """What an open session that a tick has seen began with."""
        return self._begun.get(uid)

    def over(self, record: SessionRecord, response: ResponseMemory, *, without_transitions: bool = False) -> Transitions:
        """A session has ended: what it taught is kept. Returns its transitions, which `taught_later` may be told instead of keeping them
        here (`without_transitions`)."""
        self._expected.pop(record.session_uid, None)
        begun = self._begun.pop(record.session_uid, None)
        if begun is None or response.uid[begun.row] != record.session_uid:
            return NO_TRANSITIONS
        subject = subject_of(record)
        session = learned_of(subject, record.ended_s or response.last_observed_at_s[begun.row], response, begun.row, begun.start)
        transitions = session.transitions
        if without_transitions:
            session = replace(session, transitions=NO_TRANSITIONS)
        elif not taught(session):
            return NO_TRANSITIONS
        self._keep(merged(self._records.get(subject), session, self._settings.car_readings))
        session = replace(session, transitions=at_most(session.transitions, self._settings.session_readings - begun.told))
        for model in self._models(record):
            self._keep(for_model(self._records.get(model), model, session, self._settings))
        return transitions

    def taught_later(self, record: SessionRecord, transitions: Transitions, told: float) -> None:
        """What was identified of a session that is over; nothing is kept of a car that was forgotten meanwhile. `told`: as in `Begun`."""
        known = [subject for subject in (subject_of(record), *self._models(record)) if subject in self._records]
        self._teach(known, transitions, record.ended_s or 0.0, told)

    def identified(self, uid: SessionUid, transitions: Transitions, now_s: float) -> None:
        """What was identified of an open session is kept at once, and counts from now on as what it began with."""
        begun = self._begun[uid]
        self._teach(filter(None, (begun.subject, *begun.models)), transitions, now_s, begun.told)
        both = tuple(one + other for one, other in zip(begun.start.transitions, transitions, strict=True))
        self._begun[uid] = begun._replace(start=replace(begun.start, transitions=both), told=begun.told + transitions[0])

    def erase(self, subjects: Iterable[str]) -> int:
        """Forget cars, by pseudonym. Returns how many were known. What one that is plugged in teaches until it leaves is nobody's."""
        names = {VEHICLE + subject for subject in subjects}
        for sessions in (self._begun, self._expected):
            sessions |= {uid: one._replace(subject="") for uid, one in sessions.items() if one.subject in names}
        return sum(self._forget(name) for name in names)

    def expire(self, now_s: float, kept_days: int) -> int:
        """Forget of whom nothing was learned for `kept_days` (0 = nobody). A clock that runs ahead removes nothing: the newest record
        tells the day, too. Returns how many."""
        if kept_days == 0 or not self._records:
            return 0
        newest_s = max(record.at_s for record in self._records.values())
        before_s = min(now_s, newest_s) - kept_days * DAY_S
        return sum(self._forget(subject) for subject in [name for name, record in self._records.items() if record.at_s < before_s])

    def _has_taught(self, uid: SessionUid, row: int, response: ResponseMemory) -> bool:
        """Whose car it is was told late: what this session has taught, that it does not follow among it, stays, as this car's."""
        if uid not in self._begun or row >= len(response.uid) or response.uid[row] != uid:
            return False
        return bool(response.readings[row] > 0 or response.not_responding_until_s[row] > -inf)

    def _teach(self, subjects: Iterable[str], transitions: Transitions, at_s: float, told: float) -> None:
        for subject in subjects:
            most = self._settings.model_readings, self._settings.session_readings - told
            if subject.startswith((VEHICLE, EVSE)):
                most = self._settings.car_readings, self._settings.car_readings
            self._keep(with_transitions(self._records.get(subject), subject, at_s, transitions, most))

    def _models(self, record: SessionRecord) -> tuple[str, ...]:
        return tuple(filter(None, (self._model(record), vehicles_of(record))))

    def _model(self, record: SessionRecord) -> str:
        model = self._model_of(record.station_id)
        return f"model:{model}" if model else ""

    def _keep(self, record: LearnedResponse) -> None:
        self._records[record.subject] = record
        self._journal.put(DocumentKind.LEARNED_RESPONSE, record.subject, record)

    def _forget(self, subject: str) -> bool:
        if self._records.pop(subject, None) is None:
            return False
        self._journal.delete(DocumentKind.LEARNED_RESPONSE, subject)
        return True


def subject_of(record: SessionRecord) -> str:
    """Whose answers a session's are: the car's where it is known, else the EVSE's."""
    return VEHICLE + record.evccid_hash if record.evccid_hash else f"{EVSE}{record.station_id}/{record.evse_id}"


def vehicles_of(record: SessionRecord) -> str:
    """Under which name what cars of its model do is kept, "" where its model is not known."""
    model = " ".join(record.terms.vehicle_model.split()).casefold()
    return f"cars:{model}" if model else ""
