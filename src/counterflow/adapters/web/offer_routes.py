"""Firm offers, commitments to them, and how earlier forecasts were kept."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from counterflow.adapters.web.answers import answer, bearer, shows
from counterflow.adapters.web.auth import Bearer
from counterflow.adapters.web.models import CommitmentBody, Name
from counterflow.adapters.web.problems import refused
from counterflow.adapters.web.units import InstantText
from counterflow.domain.access import Role
from counterflow.domain.ids import ALL_SITES, PoolId
from counterflow.domain.instructions import DispatchMode
from counterflow.domain.offers import Commitment, CoverageView, Offer
from counterflow.domain.views import Refusal
from counterflow.engine.operations import Operations

Pool = Annotated[Name, Query(description="Named group of sites; `all` is every site.", examples=["all"])]
WindowMin = Annotated[float, Query(ge=5.0, le=1440.0, allow_inf_nan=False, description="Length of the window [min].", examples=[60])]
Confidence = Annotated[
    float | None,
    Query(ge=0.5, le=0.999, allow_inf_nan=False, description="Probability that it is there for the whole window [0..1].", examples=[0.9]),
]
Mode = Annotated[
    DispatchMode,
    Query(
        description="What counts as delivery, as in an order: `net_export`, `gross_export`, or `relative`, which adds what cars give by "
        "charging less than they would.",
        examples=["relative"],
    ),
]
Start = Annotated[InstantText | None, Query(description="Begin of the window; none = now.")]


def offer_routes(operations: Operations) -> APIRouter:
    """`offer`, `commitments` and `coverage`."""
    routes = APIRouter(tags=["offers"])

    @routes.get("/offer", responses=shows(Offer, 404, 422, 503))
    async def offer(
        request: Request,
        pool: Pool = ALL_SITES,
        window_min: WindowMin = 60.0,
        confidence: Confidence = None,
        start: Start = None,
        mode: Mode = DispatchMode.NET_EXPORT,
    ) -> Response:
        """What a pool can surely give over a window, and how that comes about. It can be committed to for some minutes."""
        return answer(request, await operations.offer(PoolId(pool), window_min * 60.0, confidence, start, mode))

    @routes.get("/offer/horizons", responses=shows(Offer, 404, 422, many=True))
    async def horizons(
        request: Request,
        pool: Pool = ALL_SITES,
        confidence: Confidence = None,
        start: Start = None,
        mode: Mode = DispatchMode.NET_EXPORT,
    ) -> Response:
        """What a pool can surely give over windows from 5 minutes to 24 hours. For looking only: nobody can commit to these."""
        found = await operations.horizons(PoolId(pool), confidence, start, mode)
        return refused(request, found) if isinstance(found, Refusal) else answer(request, found)

    @routes.get("/offer/day", responses=shows(Offer, 404, 422, many=True))
    async def day(request: Request, pool: Pool = ALL_SITES, mode: Mode = DispatchMode.NET_EXPORT) -> Response:
        """What a pool can surely give for 15 minutes at each of the coming 24 hours, as known minutes ago at most. For looking only."""
        found = await operations.day(PoolId(pool), mode)
        return refused(request, found) if isinstance(found, Refusal) else answer(request, found)

    @routes.get("/commitments", responses=shows(Commitment, many=True))
    async def commitments(request: Request) -> Response:
        """Offers and commitments, newest first."""
        return answer(request, operations.commitments())

    @routes.post("/commitments", status_code=201, responses=shows(Commitment, 400, 404, 409, 413, 415, 422, 503, status=201))
    async def commit(request: Request, body: CommitmentBody) -> Response:
        """Commit to an offer: it is held for orders of its holder in its window, and others are committed that much less."""
        who: Bearer = request.state.who
        if who.role is Role.GRID and body.holder not in (None, who.name):
            raise HTTPException(403, f"The token {who.name} may commit only for itself")
        done = await operations.commit(body.offer_id, body.power_w, body.holder or bearer(request))
        return refused(request, done) if isinstance(done, Refusal) else answer(request, done, 201)

    @routes.delete("/commitments/{commitment_id}", responses=shows(Commitment, 404, 409, 503))
    async def withdraw(request: Request, commitment_id: str) -> Response:
        """Take an offer or a commitment back that nothing was ordered from."""
        return answer(request, await operations.withdraw_commitment(commitment_id, bearer(request)))

    @routes.get("/coverage", responses=shows(CoverageView, 422, many=True))
    async def coverage(
        request: Request,
        pool: Annotated[Name | None, Query(description="Only this pool.")] = None,
        mode: Annotated[DispatchMode | None, Query(description="Only what counts as delivery in this mode.")] = None,
    ) -> Response:
        """How the forecasts of the last 30 days were kept: coverage with its interval, sharpness, pinball loss, drift guard."""
        return answer(request, operations.coverage(None if pool is None else PoolId(pool), mode))

    return routes
