"""Forecasts that nobody asked for: made of every pool at a steady pace, and judged when their window has passed.

What was there afterwards is what the same cars could have held, by the same closed form, each for as long as it was seen to be there:
plugged in, connected, measured and free to be discharged (or emptied by an order of ours). How they would have responded is known only of
those that were in a dispatch meanwhile; of the others it is what was known of them, and their share is told. In the mode `relative` a car's
charging was there for as long as it drew anything, and could be slowed.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from counterflow.app.drivers.departure_lessons import DepartureLessons
from counterflow.app.offers.offering import Offering, Question, Request, Scene, answer
from counterflow.app.offers.outlook import Outlook
from counterflow.app.offers.watching import Watched
from counterflow.domain.ids import PoolId
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.offers import LEVELS, CoverageDay, CoverageView, Offer, OfferGuard
from counterflow.domain.records import DocumentKind
from counterflow.domain.units import DAY_S
from counterflow.engine.fleet.snapshot import F8
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.offers import guard
from counterflow.engine.offers.coverage import GUARDED, judged, views
from counterflow.engine.offers.ledger import COUNTS_MORE
from counterflow.engine.offers.offer import there_w
from counterflow.engine.offers.settings import OfferSettings
from counterflow.engine.ports import Journal

MOST_POOLS = 20
"""Of more pools than this the first in the order of their names are forecast."""
LEAST_ANSWERS = 10
"""A dispatch of fewer cars does not tell what they share."""


class _Kind(NamedTuple):
    """What is judged together."""

    pool: PoolId
    window_s: float
    mode: DispatchMode

    def key(self, day: int | None = None) -> str:
        """Of its documents."""
        parts = [self.pool, f"{self.window_s:g}", *([] if day is None else [str(day)])]
        return "/".join(parts if self.mode is DispatchMode.NET_EXPORT else [*parts, self.mode.value])


class Round(NamedTuple):
    """The forecasts of one window that are to be made: what they look at, and each with the factor of its guard."""

    scene: Scene
    requests: tuple[tuple[Request, float], ...]


class OpenForecast(Struct, frozen=True, kw_only=True):
    """A forecast whose window has not passed."""

    question: Question
    offer: Offer
    watched: Watched
    """The cars of all forecasts that were made together."""


class Forecasting:
    """Single writer of the coverage record and of the drift guards. Looks on the loop; forecasts are worked out anywhere (`worked_out`)."""

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
        self._watched: Watched | None = None
        """Of the newest forecasts."""
        self._days: dict[tuple[_Kind, int], CoverageDay] = {}
        self._guards: dict[_Kind, OfferGuard] = {}
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
                self._days[_Kind(day.pool, day.window_s, day.mode), day.day] = day
        for _, one in self._journal.documents(DocumentKind.OFFER_GUARD):
            self._guards[_Kind(one.pool, one.window_s, one.mode)] = one

    def guard_factor(self, pool: PoolId, window_s: float, mode: DispatchMode = DispatchMode.NET_EXPORT) -> float:
        """That of the judged window whose length is nearest, of this mode, else of net export; 1 when none was judged."""
        for wanted in (mode, DispatchMode.NET_EXPORT):
            known = [one for kind, one in self._guards.items() if kind.pool == pool and kind.mode is wanted]
            if known:
                return min(known, key=lambda one: abs(one.window_s - window_s)).factor
        return 1.0

    def coverage(self, now_s: float, pool: PoolId | None = None, mode: DispatchMode | None = None) -> list[CoverageView]:
        """The last 30 days, by pool, window and mode."""
        days: dict[_Kind, list[CoverageDay]] = {}  # more than a year of them is kept: they are walked through once
        for (kind, _), day in self._days.items():
            if pool in (None, kind.pool) and mode in (None, kind.mode):
                days.setdefault(kind, []).append(day)
        every_s, today = self._settings.forecast_every_s, int(now_s // DAY_S)
        return [view for kind in sorted(days, key=_in_order) for view in views(days[kind], today, self._guard_of(kind).factor, every_s)]

    def due(self, now_s: float) -> list[Request]:
        """The windows that are to be forecast now, in each of the modes; none while the emergency stop is on, or when they are not due."""
        if self._forecast_at_s is not None and now_s < self._forecast_at_s:
            return []
        every_s = self._settings.forecast_every_s
        self._forecast_at_s = (now_s // every_s + 1.0) * every_s
        self._watched = None
        if self._latched():
            return []
        return [
            Request(pool=pool, window_s=window_s)
            for pool in self._topology.pools()[:MOST_POOLS]
            for window_s in self._settings.forecast_windows_s
        ]

    def round(self, request: Request, now_s: float) -> Round:
        """What the forecasts of one window, in each of the modes, are worked out from (`worked_out`): looked at once for all of them."""
        requests = [replace(request, mode=mode) for mode in self._settings.forecast_modes]
        factors = [self._guard_of(_Kind(one.pool, one.window_s, one.mode)).factor for one in requests]
        return Round(self._offering.scene(request, now_s), tuple(zip(requests, factors, strict=True)))

    def begin(self, forecasts: Iterable[tuple[Question, Offer]]) -> None:
        """Watch forecasts from now on. A pool of which nothing can be promised at all is no forecast."""
        for question, offer in forecasts:
            if offer.levels[0].power_w > 0.0:
                if self._watched is None:
                    self._watched = Watched.nobody(question.made_at_s)
                self._watched.add(np.flatnonzero(question.stock.rows), question.uid)
                self._open.append(OpenForecast(question=question, offer=offer, watched=self._watched))
                self.made += 1

    def forecast(self, now_s: float) -> None:
        """Make what is due, here and now (the simulation's way)."""
        for request in self.due(now_s):
            self.begin(worked_out(self.round(request, now_s)))

    def look(self, now_s: float) -> None:
        """See who is still there, and judge the windows that have passed, here and now (the simulation's way)."""
        for one in self.watch(now_s):
            self.judge(one, was_there_w(one), now_s)

    def watch(self, now_s: float) -> list[OpenForecast]:
        """See who is still there. Returns the forecasts whose windows have passed, to be judged by what was there (`was_there_w`)."""
        if not self._open:
            self._looked_at_s = now_s
            return []
        if self._latched():
            self.void += len(self._open)
            self._open.clear()
            return []
        image = self._fleet.snapshot(now_s)
        able = self._outlook.capability_now(image, now_s + self._settings.look_every_s)
        owned, answers = self._outlook.busy_rows(image, ""), self._outlook.answers(image)
        for watched in {id(one.watched): one.watched for one in self._open}.values():
            # It was there at the last look; when it went since then nobody knows.
            watched.look(image, able, owned, answers, min(max(self._looked_at_s, watched.made_at_s), now_s))
        over = [one for one in self._open if now_s >= one.offer.start_s + one.offer.window_s]
        self._open = [one for one in self._open if now_s < one.offer.start_s + one.offer.window_s]
        self._looked_at_s = now_s
        return over

    def judge(self, one: OpenForecast, there: float, now_s: float) -> None:
        """A forecast whose window has passed, by what was there, W."""
        offer, seen = one.offer, one.watched.of(one.question)
        kind, today = _Kind(offer.pool, offer.window_s, offer.mode), int(offer.start_s // DAY_S)
        said = [level.power_w for level in offer.levels]
        held, power_w = self._guard_of(kind), one.question.stock.cars.power_w
        share = float(power_w[seen.dispatched].sum() / power_w.sum())
        day = self._days.get((kind, today)) or CoverageDay(pool=offer.pool, window_s=offer.window_s, day=today, mode=offer.mode)
        day = self._days[kind, today] = judged(day, said, said[GUARDED] * one.question.guard_factor, there, share)
        moved = self._guards[kind] = guard.moved(held, kept=there >= said[GUARDED] * held.factor, confidence=LEVELS[GUARDED])
        self._journal.put(DocumentKind.COVERAGE_DAY, kind.key(today), day)
        self._journal.put(DocumentKind.OFFER_GUARD, kind.key(), moved)
        if offer.window_s == min(self._settings.forecast_windows_s) and offer.mode is self._settings.forecast_modes[0]:
            self._learn(one, seen.answer, now_s)

    def _learn(self, one: OpenForecast, answer: F8, now_s: float) -> None:
        """How far cars answered otherwise than they were known to before. A dispatch teaches once: cars that it holds are in no forecast
        that is made while it runs, and of pools that share cars the first one counts."""
        made_at_s, before = self._answered
        before = before if made_at_s == one.question.made_at_s else frozenset()
        seen = ~np.isnan(answer) & (one.question.gain > 0.0) & ~np.isin(one.question.uid, list(before))
        self._answered = one.question.made_at_s, before | frozenset(one.question.uid[seen].tolist())
        if np.count_nonzero(seen) >= LEAST_ANSWERS:
            expected_w = one.question.stock.cars.power_w[seen]
            self._lessons.answered(expected_w, expected_w * answer[seen] / one.question.gain[seen], now_s)

    def expire(self, now_s: float) -> None:
        """Forget days that nobody is shown any more."""
        first = int(now_s // DAY_S) - self._settings.kept_days
        for kind, day in [key for key in self._days if key[1] < first]:
            del self._days[kind, day]
            self._journal.delete(DocumentKind.COVERAGE_DAY, kind.key(day))

    def _guard_of(self, kind: _Kind) -> OfferGuard:
        known = self._guards.get(kind)
        if known is None:
            factor = self.guard_factor(kind.pool, kind.window_s) if kind.mode is not DispatchMode.NET_EXPORT else 1.0
            known = OfferGuard(pool=kind.pool, window_s=kind.window_s, mode=kind.mode, factor=factor)
        return known


def worked_out(of: Round) -> list[tuple[Question, Offer]]:
    """The forecasts of a round. Takes a fifth of a second each for a large fleet, touches nothing, and may run in another thread."""
    questions: list[Question] = []
    for request, factor in of.requests:
        net = next((one for one in questions if one.request.mode is DispatchMode.NET_EXPORT), None)
        questions.append(of.scene.asked(request, factor, net))
    return [(question, answer(question)) for question in questions]


def was_there_w(one: OpenForecast) -> float:
    """What was there of a forecast whose window has passed, W. Touches nothing that is still written, and may run in another thread."""
    start_s, stock, seen = one.offer.start_s, one.question.stock, one.watched.of(one.question)
    stayed_s = np.where(stock.reduces, seen.spared_until_s, seen.gone_at_s) - start_s
    return there_w(stock, stayed_s, np.minimum(seen.idle_at_s - start_s, stayed_s), one.offer.window_s)


def _in_order(kind: _Kind) -> tuple[PoolId, float, int]:
    return kind.pool, kind.window_s, COUNTS_MORE.index(kind.mode)
