"""What was learned of cars outlives their sessions: kept when one ends, and given to the next at its begin.

Kept by the pseudonym of the car; where none is known, by the EVSE; for all cars at a model of EVSE together, and for all cars of a model,
where the drivers' terms name one (no station tells it).
"""

from collections.abc import Callable, Iterable
from math import inf

from counterflow.domain.ids import SessionUid, StationId
from counterflow.domain.records import DocumentKind, LearnedResponse, SessionRecord
from counterflow.domain.units import DAY_S
from counterflow.engine.control.priors import PriorSettings, Start, begin, for_model, learned_of, merged, start_of, taught
from counterflow.engine.control.response import ResponseMemory
from counterflow.engine.control.settings import ResponseSettings
from counterflow.engine.fleet.snapshot import FleetImage
from counterflow.engine.ports import Journal

VEHICLE = "vehicle:"


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
        self._expected: dict[SessionUid, tuple[str, Start]] = {}
        self._begun: dict[SessionUid, tuple[int, str, Start]] = {}

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
        known = self._begun[uid][1] if uid in self._begun else self._expected[uid][0] if uid in self._expected else None
        if subject != known:
            own, model, vehicles = (self._records.get(one) for one in (subject, self._model(record), vehicles_of(record)))
            same_car = subject.startswith(VEHICLE)
            self._expected[uid] = subject, start_of(own, model, now_s, self._settings, self._response, same_car=same_car, vehicles=vehicles)

    def welcome(self, image: FleetImage, row_of: Callable[[SessionUid], int | None], response: ResponseMemory) -> ResponseMemory:
        """The memory, with what the sessions that came since the last time begin with. Nothing to do when none came."""
        if not self._expected:
            return response
        starts: dict[int, Start] = {}
        unseen: dict[SessionUid, tuple[str, Start]] = {}
        for uid, (subject, start) in self._expected.items():
            row = row_of(uid)
            if row is None or row >= len(image) or image.uid[row] != uid:
                unseen[uid] = subject, start
            elif not self._has_taught(uid, row, response):
                starts[row] = start
                self._begun[uid] = row, subject, start
        self._expected = unseen
        return begin(image, response, starts, self._response) if starts else response

    def over(self, record: SessionRecord, response: ResponseMemory) -> None:
        """A session has ended: what it taught is kept."""
        self._expected.pop(record.session_uid, None)
        begun = self._begun.pop(record.session_uid, None)
        if begun is None or response.uid[begun[0]] != record.session_uid:
            return
        row, _, start = begun
        subject = subject_of(record)
        session = learned_of(subject, record.ended_s or response.last_observed_at_s[row], response, row, start)
        if not taught(session):
            return
        self._keep(merged(self._records.get(subject), session, self._settings.car_readings))
        for model in filter(None, (self._model(record), vehicles_of(record))):
            self._keep(for_model(self._records.get(model), model, session, self._settings))

    def erase(self, subjects: Iterable[str]) -> int:
        """Forget cars, by pseudonym. Returns how many were known."""
        return sum(self._forget(VEHICLE + subject) for subject in subjects)

    def expire(self, now_s: float, kept_days: int) -> int:
        """Forget of whom nothing was learned for `kept_days` (0 = nobody). A clock that runs ahead removes nothing: the newest record
        tells the day, too. Returns how many."""
        if kept_days == 0 or not self._records:
            return 0
        newest_s = max(record.at_s for record in self._records.values())
        before_s = min(now_s, newest_s) - kept_days * DAY_S
        return sum(self._forget(subject) for subject in [name for name, record in self._records.items() if record.at_s < before_s])

    def _has_taught(self, uid: SessionUid, row: int, response: ResponseMemory) -> bool:
        """Whose car it is was told late: what this session has taught, that it does not follow among it, stays."""
        if uid not in self._begun or row >= len(response.uid) or response.uid[row] != uid:
            return False
        return bool(response.readings[row] > 0 or response.not_responding_until_s[row] > -inf)

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
    return VEHICLE + record.evccid_hash if record.evccid_hash else f"evse:{record.station_id}/{record.evse_id}"


def vehicles_of(record: SessionRecord) -> str:
    """Under which name what cars of its model do is kept, "" where its model is not known."""
    model = " ".join(record.terms.vehicle_model.split()).casefold()
    return f"cars:{model}" if model else ""
