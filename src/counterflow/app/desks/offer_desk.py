"""The part of `Operations` that is about firm offers: what can be promised, who committed to what, and how earlier forecasts were kept."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from secrets import token_hex

from msgspec.structs import replace

from counterflow.app.control_room import ControlRoom
from counterflow.app.offers.offering import Request, answer
from counterflow.domain.ids import PoolId
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.offers import Commitment, CommitmentState, CoverageView, Offer
from counterflow.domain.views import Refusal, RefusalKind
from counterflow.engine.control.book import LIVE_STATES

HORIZONS_S = (300.0, 900.0, 3_600.0, 10_800.0, 43_200.0, 86_400.0)
"""5 and 15 minutes, 1, 3, 12 and 24 hours."""
HOUR_S, DAY_HOURS, DAY_WINDOW_S = 3_600.0, 24, 900.0
DAY_KEPT_S = 300.0
"""The fan of a day is worked out anew after so long."""
SAME_S = 60.0
"""Who asks the same again within this time gets the same offer."""
MOST_OPEN = 200
"""So many offers stand open at the same time; of more the oldest are withdrawn."""


class OfferDesk:
    """Part of `LiveOperations`."""

    _room: ControlRoom
    _now_s: Callable[[], float]
    _settled: Callable[[], Awaitable[None]]
    _one_offer: asyncio.Lock
    _one_day: asyncio.Lock
    _days: dict[tuple[PoolId, DispatchMode], tuple[Offer, ...]]

    async def offer(
        self,
        pool: PoolId,
        window_s: float,
        confidence: float | None,
        start_s: float | None,
        mode: DispatchMode = DispatchMode.NET_EXPORT,
    ) -> Offer | Refusal:
        """What the pool can surely give over a window as `mode` counts it; whoever wants it commits to it."""
        request = Request(pool=pool, window_s=window_s, confidence=confidence, start_s=start_s, mode=mode)
        refusal = self._room.dispatcher.offering.refused(request, self._now_s())
        if refusal is not None:
            return refusal
        async with self._one_offer:
            known = self._standing(request)
            if known is not None:
                return known
            offer = await self._worked_out(request, f"o-{token_hex(4)}")
        self._make_room()
        self._room.dispatcher.commitments.offered(offer)
        await self._settled()
        return offer

    async def horizons(
        self, pool: PoolId, confidence: float | None, start_s: float | None, mode: DispatchMode = DispatchMode.NET_EXPORT
    ) -> Sequence[Offer] | Refusal:
        """What the pool can surely give over windows from 5 minutes to 24 hours, for looking only."""
        requests = [Request(pool=pool, window_s=window_s, confidence=confidence, start_s=start_s, mode=mode) for window_s in HORIZONS_S]
        refusal = self._room.dispatcher.offering.refused(requests[0], self._now_s())
        if refusal is not None:
            return refusal
        async with self._one_offer:
            return [await self._worked_out(request, "") for request in requests]

    async def day(self, pool: PoolId, mode: DispatchMode = DispatchMode.NET_EXPORT) -> Sequence[Offer] | Refusal:
        """What the pool can surely give for 15 minutes at each of the coming 24 hours, for looking only. It is worked out once in
        `DAY_KEPT_S`, however many look: it is two dozen offers."""
        now_s = self._now_s()
        first = Request(pool=pool, window_s=DAY_WINDOW_S, confidence=None, start_s=None, mode=mode)
        refusal = self._room.dispatcher.offering.refused(first, now_s)
        if refusal is not None:
            return refusal
        async with self._one_day:
            known = self._days.get((pool, mode))
            if known is None or not 0.0 <= now_s - known[0].made_at_s < DAY_KEPT_S:
                requests = [replace(first, start_s=now_s + hour * HOUR_S) for hour in range(DAY_HOURS)]
                known = self._days[pool, mode] = tuple([await self._worked_out(request, "") for request in requests])
        return known

    async def firm(
        self,
        pool: PoolId,
        window_s: float,
        confidence: float | None = None,
        start_s: float | None = None,
        *,
        mode: DispatchMode = DispatchMode.NET_EXPORT,
        storage: bool = False,
    ) -> Offer | Refusal:
        """The same for looking only, as if the cars of dispatches of this pool, or within it, were free: what it can give in all."""
        request = Request(pool=pool, window_s=window_s, confidence=confidence, start_s=start_s, mode=mode, storage=storage)
        refusal = self._room.dispatcher.offering.refused(request, self._now_s())
        if refusal is not None:
            return refusal
        topology, live = self._room.topology, self._room.dispatcher.book.in_state(*LIVE_STATES)
        outside = ~topology.pool_mask(pool)
        inside = frozenset(other.dispatch_id for other in live if not (topology.pool_mask(other.pool) & outside).any())
        return await self._worked_out(replace(request, own=inside), "")

    def commitments(self) -> Sequence[Commitment]:
        """Offers and commitments, newest first."""
        self._room.dispatcher.commitments.advance(self._now_s())
        return self._room.dispatcher.commitments.all()

    async def commit(self, offer_id: str, power_w: float | None, holder: str) -> Commitment | Refusal:
        """Hold what was offered, or `power_w` of it, for `holder`, whose orders for this pool and window call it."""
        obstacle = self._in_the_way(offer_id)
        if obstacle is not None:
            return obstacle
        done = self._room.dispatcher.commitments.commit(offer_id, power_w, holder, self._now_s())
        await self._settled()
        return done

    async def withdraw_commitment(self, commitment_id: str, by: str) -> Commitment | Refusal:
        """Take an offer or a commitment back that nothing was ordered from."""
        done = self._room.dispatcher.commitments.withdraw(commitment_id, by, self._now_s())
        await self._settled()
        return done

    def coverage(self, pool: PoolId | None, mode: DispatchMode | None = None) -> Sequence[CoverageView]:
        """How forecasts of the last 30 days were kept."""
        return self._room.dispatcher.forecasting.coverage(self._now_s(), pool, mode)

    def _in_the_way(self, offer_id: str) -> Refusal | None:
        """An order that is accepted already would not give way to the one that calls the commitment."""
        found = self._room.dispatcher.commitments.get(offer_id)
        if found is None:
            return None
        mine = self._room.topology.pool_mask(found.offer.pool)
        for other in self._room.dispatcher.book.in_state(*LIVE_STATES):
            meets = other.start_s < found.end_s and found.start_s < other.end_s
            if meets and (self._room.topology.pool_mask(other.pool) & mine).any():
                return Refusal(
                    kind=RefusalKind.CONFLICT,
                    sentence=f"Dispatch {other.dispatch_id} is accepted for this window, and nothing else can be ordered there.",
                    remedy="Choose another window or pool, or cancel that dispatch.",
                    conflicting=other.dispatch_id,
                )
        return None

    async def _worked_out(self, request: Request, offer_id: str) -> Offer:
        dispatcher = self._room.dispatcher
        factor = dispatcher.forecasting.guard_factor(request.pool, request.window_s, request.mode)
        question = dispatcher.offering.question(request, self._now_s(), factor)
        return await asyncio.to_thread(answer, question, offer_id)

    def _standing(self, request: Request) -> Offer | None:
        now_s = self._now_s()
        for one in self.commitments():
            offer = one.offer
            wanted = (request.pool, request.window_s, self._confidence(request), request.mode)
            same = (offer.pool, offer.window_s, offer.confidence, offer.mode) == wanted
            starts = offer.start_s == (offer.made_at_s if request.start_s is None else request.start_s)
            fresh = one.state is CommitmentState.OFFERED and now_s - offer.made_at_s < SAME_S
            if fresh and same and starts and offer.reserved_power_w == self._reserved_w(offer):
                return offer
        return None

    def _reserved_w(self, offer: Offer) -> float:
        return self._room.dispatcher.commitments.reserved_w(offer.pool, offer.start_s, offer.start_s + offer.window_s)

    def _confidence(self, request: Request) -> float:
        return request.confidence or self._room.dispatcher.offering.settings.confidence

    def _make_room(self) -> None:
        open_ones = [one for one in self.commitments() if one.state is CommitmentState.OFFERED]
        for oldest in open_ones[MOST_OPEN - 1 :]:
            self._room.dispatcher.commitments.withdraw(oldest.commitment_id, "the server, for newer offers", self._now_s())
