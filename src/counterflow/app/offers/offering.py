"""Firm offers of the live fleet: what is asked is gathered on the loop, at once; what it comes to is worked out anywhere."""

from collections.abc import Collection
from math import inf

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from counterflow.app.dispatching.tasks import Book
from counterflow.app.drivers.departure_lessons import DepartureLessons
from counterflow.app.offers.commitments import Commitments
from counterflow.app.offers.outlook import Outlook
from counterflow.domain.ids import DispatchId, PoolId
from counterflow.domain.instructions import DispatchMode, DispatchState
from counterflow.domain.offers import Offer
from counterflow.domain.settlement import BaselineMethod
from counterflow.domain.units import MAX_DURATION_S, WH_PER_WS, format_instant
from counterflow.domain.views import Refusal, RefusalKind
from counterflow.engine.control.book import LIVE_STATES, counted_as
from counterflow.engine.control.feasibility import FeasibilitySettings, feasible
from counterflow.engine.dispatch.limits import Limits
from counterflow.engine.fleet.capability import Capability
from counterflow.engine.fleet.eligibility import MUST_CHARGE_REASONS
from counterflow.engine.fleet.settings import CapabilitySettings
from counterflow.engine.fleet.snapshot import B1, F8, FleetImage
from counterflow.engine.fleet.state import FleetState
from counterflow.engine.fleet.topology import Topology
from counterflow.engine.fleet.undisturbed import ChargingTerms
from counterflow.engine.offers.offer import Stock, limits_over, promise, stock_of
from counterflow.engine.offers.scenarios import Risks, Span
from counterflow.engine.offers.settings import OfferSettings
from counterflow.engine.offers.storage_ahead import Stores, stores_of, with_stores

SHORTEST_S = 300.0
LONGEST_S = 86_400.0


class Request(Struct, frozen=True, kw_only=True):
    """What somebody wants to know. `own`: dispatches whose cars count, as if they were free; `start_s` None = from now on."""

    pool: PoolId
    window_s: float
    confidence: float | None = None
    start_s: float | None = None
    mode: DispatchMode = DispatchMode.NET_EXPORT
    own: frozenset[DispatchId] = frozenset()
    storage: bool = False
    """Tell the pool as a storage at the window's end, too."""


class Question(Struct, frozen=True, kw_only=True):
    """Everything that an offer is worked out from, frozen."""

    request: Request
    made_at_s: float
    span: Span
    stock: Stock
    risks: Risks
    departures_learned: float
    uid: np.ndarray
    """Session of each counted car."""
    gain: F8
    """What each was known to give of what it is asked for."""
    guard_factor: float
    settings: OfferSettings
    committable_power_w: float = inf
    reserved_power_w: float = 0.0
    stores: Stores | None = None
    """None = not asked for, or not to be told."""


class Scene(Struct, frozen=True, kw_only=True):
    """What offers for one window are worked out from, frozen: the fleet, and which of its rows (N,) are in the pool and free."""

    span: Span
    image: FleetImage
    able: Capability
    gain: F8
    in_pool: B1
    free: B1
    limits: Limits
    topology: Topology
    """For the names of its groups."""
    risks: Risks
    departures_learned: float
    settings: OfferSettings
    capability_settings: CapabilitySettings
    charging: ChargingTerms
    baseline: BaselineMethod
    """What relative orders count from that do not say it themselves."""

    def asked(self, request: Request, guard_factor: float, net: Question | None = None) -> Question:
        """The question of one request, of whatever mode, with nothing reserved or held back; `net` is that of net export where it is known,
        of which gross export has the cars. Touches nothing, and may run in another thread."""
        mode = counted_as(request.mode, self.baseline)
        if net is not None and mode is DispatchMode.GROSS_EXPORT:
            return replace(net, request=request, stock=replace(net.stock, against_power_w=0.0), guard_factor=guard_factor)
        stock = stock_of(
            self.image,
            self.able,
            self.gain,
            self.in_pool,
            self.free,
            self.topology,
            self.span,
            self.capability_settings,
            mode=mode,
            charging=self.charging,
            limits=self.limits,
        )
        return Question(
            request=request,
            made_at_s=self.span.at_s,
            span=self.span,
            stock=stock,
            risks=self.risks,
            departures_learned=self.departures_learned,
            uid=self.image.uid[stock.rows],
            gain=self.gain[stock.rows],
            guard_factor=guard_factor,
            settings=self.settings,
        )


class Offering:
    """Part of the dispatcher. Touches nothing: what it is asked for is looking."""

    def __init__(
        self,
        *,
        fleet: FleetState,
        topology: Topology,
        book: Book,
        outlook: Outlook,
        lessons: DepartureLessons,
        commitments: Commitments,
        settings: OfferSettings,
        capability_settings: CapabilitySettings,
        feasibility: FeasibilitySettings,
        charging: ChargingTerms,
        baseline: BaselineMethod,
    ) -> None:
        self.settings = settings
        self._fleet = fleet
        self._topology = topology
        self._book = book
        self._outlook = outlook
        self._lessons = lessons
        self._commitments = commitments
        self._capability_settings = capability_settings
        self._feasibility = feasibility
        self._charging = charging
        self._baseline = baseline

    def refused(self, request: Request, now_s: float) -> Refusal | None:
        """What is wrong with a request, in a sentence."""
        if request.pool not in self._topology.pools():
            known = ", ".join(self._topology.pools())
            return Refusal(kind=RefusalKind.NOT_FOUND, sentence=f"There is no pool '{request.pool}'.", remedy=f"Known pools: {known}.")
        if not SHORTEST_S <= request.window_s <= LONGEST_S:
            return _invalid(f"A window of {request.window_s:g} s cannot be offered.", "Ask for 5 minutes to 24 hours.")
        if request.confidence is not None and not 0.5 <= request.confidence <= 0.999:
            return _invalid(f"A confidence of {request.confidence:g} cannot be offered.", "Ask for 0.5 to 0.999, such as 0.9.")
        if request.start_s is not None and not now_s - 60.0 <= request.start_s <= now_s + MAX_DURATION_S:
            instant = format_instant(round(request.start_s))
            return _invalid(f"The start {instant} lies in the past, or more than 7 days ahead.", "Leave it out for a window from now on.")
        return None

    def scene(self, request: Request, now_s: float) -> Scene:
        """Gather what offers for a window need, whatever their mode; the request must not be one that is refused."""
        start_s = now_s if request.start_s is None else max(now_s, request.start_s)
        span = Span(at_s=now_s, lead_s=start_s - now_s, window_s=request.window_s)
        image = self._fleet.snapshot(now_s)
        return Scene(
            span=span,
            image=image,
            able=self._outlook.capability_now(image, now_s + request.window_s),
            gain=self._outlook.gains(image),
            in_pool=image.occupied & self._topology.pool_mask(request.pool)[np.maximum(image.site, 0)],
            free=~self._taken(image, start_s, start_s + request.window_s, request.own),
            limits=limits_over(image, self._topology, span),
            topology=self._topology,
            risks=self._lessons.risks(now_s),
            departures_learned=self._lessons.seen.departures,
            settings=self.settings,
            capability_settings=self._capability_settings,
            charging=self._charging,
            baseline=self._baseline,
        )

    def question(self, request: Request, now_s: float, guard_factor: float = 1.0) -> Question:
        """Gather what an offer needs; the request must not be one that is refused."""
        scene = self.scene(request, now_s)
        span, begin_s = scene.span, now_s + scene.span.lead_s
        asked = scene.asked(request, guard_factor)
        return replace(
            asked,
            committable_power_w=self._committable_w(scene, asked.stock, request),
            reserved_power_w=self._commitments.reserved_w(request.pool, begin_s, begin_s + request.window_s),
            stores=self._stores(scene.image, scene.able, scene.in_pool, span) if request.storage else None,
        )

    def _stores(self, image: FleetImage, able: Capability, in_pool: B1, span: Span) -> Stores | None:
        """None where a dispatch moves what the cars hold before the window is over."""
        end_s = span.at_s + span.lead_s + span.window_s
        moved = [self._topology.pool_mask(other.pool) for other in self._book.in_state(*LIVE_STATES) if other.start_s < end_s]
        if any((sites[np.maximum(image.site, 0)] & in_pool).any() for sites in moved):
            return None
        return stores_of(image, able, in_pool, self._topology, span, self._charging, self.settings.tolerated_share)

    def _taken(self, image: FleetImage, start_s: float, end_s: float, own: Collection[DispatchId]) -> B1:
        """Rows (N,) at the sites of a dispatch that is accepted for a part of the window, and those that a dispatch holds."""
        sites = np.zeros(len(self._topology), dtype=np.bool_)
        for other in self._book.in_state(*LIVE_STATES):
            if other.dispatch_id not in own and other.start_s < end_s and start_s < other.end_s:
                sites |= self._topology.pool_mask(other.pool)
        over = [other.dispatch_id for other in self._book.in_state(DispatchState.RUNNING) if other.end_s <= start_s]
        taken: B1 = sites[np.maximum(image.site, 0)] | self._outlook.busy_rows(image, "", (*own, *over))
        return taken

    def _committable_w(self, scene: Scene, stock: Stock, request: Request) -> float:
        """What an order for these cars would be committed at most."""
        told = feasible(
            scene.image,
            scene.able,
            scene.gain,
            stock.rows | (scene.in_pool & np.isin(scene.able.reason, MUST_CHARGE_REASONS)),
            self._topology,
            ordered_power_w=inf,
            window_s=request.window_s,
            mode=counted_as(request.mode, scene.baseline),
            settings=self._feasibility,
        )
        return told.committed_power_w


def answer(question: Question, offer_id: str = "") -> Offer:
    """The offer. Takes a fifth of a second for a large fleet, touches nothing, and may run in another thread."""
    settings, span = question.settings, question.span
    confidence = question.request.confidence or settings.confidence
    random = np.random.default_rng(settings.seed)
    said = promise(question.stock, span, question.risks, confidence, settings, random, departures_learned=question.departures_learned)
    levels = with_stores(said.levels, question.stores, span, question.risks, settings, random)
    start_s = span.at_s + span.lead_s
    firm_w = min(said.power_w * min(1.0, question.guard_factor), question.committable_power_w)
    power_w = max(0.0, firm_w - question.reserved_power_w)
    return Offer(
        offer_id=offer_id,
        made_at_s=question.made_at_s,
        valid_until_s=min(question.made_at_s + settings.valid_s, start_s) if span.lead_s > 0.0 else question.made_at_s + settings.valid_s,
        pool=question.request.pool,
        start_s=start_s,
        window_s=span.window_s,
        confidence=confidence,
        method=settings.method,
        scenarios=settings.scenarios,
        power_w=power_w,
        energy_wh=power_w * span.window_s * WH_PER_WS,
        model_power_w=said.power_w,
        guard_factor=question.guard_factor,
        committable_power_w=question.committable_power_w,
        reserved_power_w=question.reserved_power_w,
        levels=levels,
        grounds=said.grounds,
        mode=question.request.mode,
    )


def _invalid(sentence: str, remedy: str) -> Refusal:
    return Refusal(kind=RefusalKind.INVALID, sentence=sentence, remedy=remedy)
