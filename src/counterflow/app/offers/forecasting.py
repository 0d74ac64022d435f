"""Forecasts that nobody asked for: made of every pool at a steady pace, and judged when their window has passed.

What was there afterwards is what the same cars could have held, by the same closed form, each for as long as it was seen to be there:
plugged in, connected, measured and free to be discharged (or emptied by an order of ours). How they would have responded is known only of
those that were in a dispatch meanwhile; of the others it is what was known of them, and their share is told.
"""

from collections.abc import Callable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from counterflow.app.drivers.departure_lessons import DepartureLessons
from counterflow.app.offers.offering import Offering, Question, Request, answer
from counterflow.app.offers.outlook import Outlook
from counterflow.domain.ids import PoolId
from counterflow.domain.offers import LEVELS, CoverageDay, CoverageView, Offer, OfferGuard
from counterflow.domain.reasons import Reason
from counterflow.domain.records import DocumentKind
from counterflow.domain.units import DAY_S
from counterflow.engine.fleet.snapshot import B1, F8, FleetImage
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.offers import guard
from counterflow.engine.offers.coverage import GUARDED, judged, views
from counterflow.engine.offers.offer import there_w
from counterflow.engine.offers.settings import OfferSettings
from counterflow.engine.ports import Journal

MOST_POOLS = 20
"""Of more pools than this the first in the order of their names are forecast."""
LEAST_ANSWERS = 10
"""A dispatch of fewer cars does not tell what they share."""
EMPTIED = (Reason.BELOW_FLOOR, Reason.DISCHARGE_CAP, Reason.MUST_CHARGE, Reason.MUST_CHARGE_TOGETHER, Reason.BELOW_MIN_POWER)
"""Reasons that an order of ours may have brought about: such a car was there."""


class OpenForecast(Struct, kw_only=True):
    """A forecast whose window has not passed. Mutable: it is watched."""

    question: Question
    offer: Offer
    gone_at_s: F8
    """When each car was seen to be gone (N,); inf = it is there."""
    dispatched: B1
    """Which were in a dispatch at some time."""
    answer: F8
    """What each gave of what it was asked for, when seen last; NaN = it was not asked, or had not settled."""


class Forecasting:
    """Single writer of the coverage record and of the drift guards. Looks on the loop; who calls `answer` works a forecast out."""

    def __init__(
        self,
        *,
        offering: Offering,
        outlook: Outlook,
        lessons: DepartureLessons,
        fleet: FleetState,
        topology: Topology,
        journal: Journal,
        latched: Callable[[], bool],
        settings: OfferSettings,
    ) -> None:
        self._offering = offering
        self._outlook = outlook
        self._lessons = lessons
        self._fleet = fleet
        self._topology = topology
        self._journal = journal
        self._latched = latched
        self._settings = settings
        self._open: list[OpenForecast] = []
        self._days: dict[tuple[PoolId, float, int], CoverageDay] = {}
        self._guards: dict[tuple[PoolId, float], OfferGuard] = {}
        self._answered: tuple[float, frozenset[int]] = (0.0, frozenset())
        """Cars whose answers taught already, by forecasts of this instant."""
        self._forecast_at_s: float | None = None
        self._looked_at_s = 0.0
        self.made = 0
        """Forecasts made since the start."""
        self.void = 0
        """Of those, not judged: the emergency stop was set while they were open."""

    def restore(self) -> None:
        """The record and the guards from the journal; forecasts that were open are lost, and count for nothing."""
        for _, day in self._journal.documents(DocumentKind.COVERAGE_DAY):
            if len(day.reached) == len(LEVELS):
                self._days[day.pool, day.window_s, day.day] = day
        for _, one in self._journal.documents(DocumentKind.OFFER_GUARD):
            self._guards[one.pool, one.window_s] = one

    def guard_factor(self, pool: PoolId, window_s: float) -> float:
        """That of the judged window whose length is nearest; 1 when none was judged."""
        known = [one for (name, _), one in self._guards.items() if name == pool]
        return min(known, key=lambda one: abs(one.window_s - window_s)).factor if known else 1.0

    def coverage(self, now_s: float, pool: PoolId | None = None) -> list[CoverageView]:
        """The last 30 days, by pool and window."""
        kinds = sorted({(name, window_s) for name, window_s, _ in self._days if pool in (None, name)})
        every_s, today = self._settings.forecast_every_s, int(now_s // DAY_S)
        return [
            view
            for name, window_s in kinds
            for view in views(
                [day for key, day in self._days.items() if key[:2] == (name, window_s)],
                today,
                self._guard_of(name, window_s).factor,
                every_s,
            )
        ]

    def due(self, now_s: float) -> list[Request]:
        """The forecasts that are to be made now; none while the emergency stop is on, or when they are not due."""
        if self._forecast_at_s is not None and now_s < self._forecast_at_s:
            return []
        every_s = self._settings.forecast_every_s
        self._forecast_at_s = (now_s // every_s + 1.0) * every_s
        if self._latched():
            return []
        return [
            Request(pool=pool, window_s=window_s)
            for pool in self._topology.pools()[:MOST_POOLS]
            for window_s in self._settings.forecast_windows_s
        ]

    def question(self, request: Request, now_s: float) -> Question:
        """What a forecast is worked out from."""
        return self._offering.question(request, now_s, self._guard_of(request.pool, request.window_s).factor)

    def begin(self, question: Question, offer: Offer) -> None:
        """Watch a forecast from now on. A pool of which nothing can be promised at all is no forecast."""
        if offer.levels[0].power_w > 0.0:
            count = len(question.uid)
            self._open.append(
                OpenForecast(
                    question=question,
                    offer=offer,
                    gone_at_s=np.full(count, np.inf),
                    dispatched=np.zeros(count, np.bool_),
                    answer=np.full(count, np.nan),
                )
            )
            self.made += 1

    def forecast(self, now_s: float) -> None:
        """Make what is due, here and now (the simulation's way)."""
        for request in self.due(now_s):
            question = self.question(request, now_s)
            self.begin(question, answer(question))

    def look(self, now_s: float) -> None:
        """See who is still there, and judge the windows that have passed."""
        if not self._open:
            self._looked_at_s = now_s
            return
        if self._latched():
            self.void += len(self._open)
            self._open.clear()
            return
        image = self._fleet.snapshot(now_s)
        able = self._outlook.capability_now(image, now_s + self._settings.look_every_s)
        owned = self._outlook.busy_rows(image, "")
        answer = self._outlook.answers(image)
        for one in self._open:
            self._watch(one, image, able.reason, owned, now_s)
            rows = np.flatnonzero(one.question.stock.rows)
            fresh = one.dispatched & (image.uid[rows] == one.question.uid) & ~np.isnan(answer[rows])
            one.answer = np.where(fresh, answer[rows], one.answer)
        over = [one for one in self._open if now_s >= one.offer.start_s + one.offer.window_s]
        self._open = [one for one in self._open if now_s < one.offer.start_s + one.offer.window_s]
        for one in over:
            self._judge(one)
            if one.offer.window_s == min(self._settings.forecast_windows_s):
                self._learn(one, now_s)
        self._looked_at_s = now_s

    def _watch(self, one: OpenForecast, image: FleetImage, reason: NDArray[np.int8], owned: B1, now_s: float) -> None:
        rows = np.flatnonzero(one.question.stock.rows)  # a session keeps its row for as long as it lives
        here = image.uid[rows] == one.question.uid
        one.dispatched |= here & owned[rows]
        there = here & ((reason[rows] == Reason.READY) | (one.dispatched & np.isin(reason[rows], EMPTIED)))
        # It was there at the last look; when it went since then nobody knows.
        seen_s = max(self._looked_at_s, one.question.made_at_s)
        one.gone_at_s = np.where(there | np.isfinite(one.gone_at_s), one.gone_at_s, min(seen_s, now_s))

    def _judge(self, one: OpenForecast) -> None:
        offer, stock = one.offer, one.question.stock
        stayed_s = one.gone_at_s - offer.start_s
        there = there_w(stock.cars, stayed_s, offer.window_s, stock.against_power_w)
        said = [level.power_w for level in offer.levels]
        held = self._guard_of(offer.pool, offer.window_s)
        power_w = stock.cars.power_w
        share = float(power_w[one.dispatched].sum() / power_w.sum())
        key = (offer.pool, offer.window_s, int(offer.start_s // DAY_S))
        day = self._days.get(key) or CoverageDay(pool=offer.pool, window_s=offer.window_s, day=key[2])
        guarded_w = said[GUARDED] * one.question.guard_factor
        self._days[key] = judged(day, said, guarded_w, there, share)
        moved = guard.moved(held, kept=there >= said[GUARDED] * held.factor, confidence=LEVELS[GUARDED])
        self._guards[key[:2]] = moved
        self._journal.put(DocumentKind.COVERAGE_DAY, f"{offer.pool}/{offer.window_s:g}/{key[2]}", self._days[key])
        self._journal.put(DocumentKind.OFFER_GUARD, f"{offer.pool}/{offer.window_s:g}", moved)

    def _learn(self, one: OpenForecast, now_s: float) -> None:
        """How far cars answered otherwise than they were known to before. A dispatch teaches once: cars that it holds are in no forecast
        that is made while it runs, and of pools that share cars the first one counts."""
        made_at_s, before = self._answered
        before = before if made_at_s == one.question.made_at_s else frozenset()
        seen = ~np.isnan(one.answer) & (one.question.gain > 0.0) & ~np.isin(one.question.uid, list(before))
        self._answered = one.question.made_at_s, before | frozenset(one.question.uid[seen].tolist())
        if np.count_nonzero(seen) >= LEAST_ANSWERS:
            expected_w = one.question.stock.cars.power_w[seen]
            self._lessons.answered(expected_w, expected_w * one.answer[seen] / one.question.gain[seen], now_s)

    def expire(self, now_s: float) -> None:
        """Forget days that nobody is shown any more."""
        first = int(now_s // DAY_S) - self._settings.kept_days
        for key in [key for key in self._days if key[2] < first]:
            del self._days[key]
            self._journal.delete(DocumentKind.COVERAGE_DAY, f"{key[0]}/{key[1]:g}/{key[2]}")

    def _guard_of(self, pool: PoolId, window_s: float) -> OfferGuard:
        return self._guards.get((pool, window_s)) or OfferGuard(pool=pool, window_s=window_s)
