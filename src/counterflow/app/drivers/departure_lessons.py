"""What ended sessions teach about when cars leave, and dispatches about how they answer: kept as sums, without anybody in them."""

from msgspec.structs import replace

from counterflow.domain.offers import LearnedAnswers, LearnedDepartures
from counterflow.domain.records import DocumentKind, SessionRecord
from counterflow.engine.fleet.snapshot import F8
from counterflow.engine.offers.answers import answered
from counterflow.engine.offers.hazard import nothing_seen, taught, watch
from counterflow.engine.offers.scenarios import Risks
from counterflow.engine.offers.settings import OfferSettings
from counterflow.engine.offers.shock import counted
from counterflow.engine.ports import Journal

KEY = "all"


class DepartureLessons:
    """Single writer of the sums. A session that ends is only noted; what many of them teach is worked out when an offer needs it."""

    def __init__(self, journal: Journal, settings: OfferSettings, laxity_margin_s: float) -> None:
        self._journal = journal
        self._settings = settings
        self._laxity_margin_s = laxity_margin_s
        self._ended: list[tuple[float, float, float]] = []
        self.answers = LearnedAnswers(at_s=0.0)
        self._know(nothing_seen(0.0))

    def restore(self) -> None:
        """From the journal. Sums of another shape, written by another release, are begun anew."""
        for _, seen in self._journal.documents(DocumentKind.LEARNED_DEPARTURES):
            if len(seen.watched_h) == len(seen.left) == len(self.seen.left):
                self._know(seen)
        self.answers = next((one for _, one in self._journal.documents(DocumentKind.LEARNED_ANSWERS)), self.answers)

    def over(self, record: SessionRecord) -> None:
        """A session has ended. One whose end is only assumed teaches nothing."""
        if record.ended_s is not None and not record.end_assumed:
            self._ended.append((record.started_s, record.ended_s, announced_departure_s(record) - self._laxity_margin_s))

    def risks(self, now_s: float) -> Risks:
        """What is known by now; sessions that have ended since the last time are taken in and kept."""
        watches = [watched for ended in self._ended if (watched := watch(*ended)) is not None]
        self._ended.clear()
        if watches:
            seen = taught(self.seen, watches, now_s, self._settings.leave_memory_days)
            self._know(
                LearnedDepartures(
                    at_s=seen.at_s, watched_h=seen.watched_h, left=seen.left, hours=counted(seen.hours, watches, self._risks.rates_per_h)
                )
            )
            self._journal.put(DocumentKind.LEARNED_DEPARTURES, KEY, self.seen)
        return replace(self._risks, answers=self.answers)

    def answered(self, expected_w: F8, given_w: F8, at_s: float) -> None:
        """Cars (N,) of a dispatch were known to give so much, W, and gave so much."""
        self.answers = answered(self.answers, expected_w, given_w, at_s, self._settings)
        self._journal.put(DocumentKind.LEARNED_ANSWERS, KEY, self.answers)

    def _know(self, seen: LearnedDepartures) -> None:
        self.seen = seen
        self._risks = Risks.of(seen, self._settings)


def announced_departure_s(record: SessionRecord) -> float:
    """What the driver said, or the car, or what was assumed."""
    if record.override.departure_s is not None:
        return record.override.departure_s
    if record.needs is not None and record.needs.departure_s is not None:
        return record.needs.departure_s
    return record.started_s + record.terms.departure_after_s
