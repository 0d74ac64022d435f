"""Other actors: where somebody else steers, who has priority at a site, and which station a person lets take part again."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from counterflow.adapters.web.answers import answer, answer_many, bearer, shows
from counterflow.adapters.web.models import Name, PriorityBody, ReleaseBody
from counterflow.domain.conflicts import SitePriority
from counterflow.domain.ids import SiteId, StationId
from counterflow.domain.station_views import ConflictView, StationView
from counterflow.engine.operations import Operations


def conflict_routes(operations: Operations) -> APIRouter:
    """`conflicts`, and `stations/{id}/release`."""
    routes = APIRouter(tags=["conflicts"])

    @routes.get("/conflicts", responses=shows(ConflictView, 422, many=True))
    async def conflicts(
        untold: Annotated[bool, Query(description="Also those where only the station cannot tell who else steers it.")] = True,
    ) -> Response:
        """EVSEs where somebody else steers, or may, and what follows for the car there."""
        return answer_many(await operations.conflicts(untold=untold))

    @routes.get("/conflicts/priorities", responses=shows(SitePriority, many=True))
    async def priorities(request: Request) -> Response:
        """What the operators of sites confirmed, with who and when."""
        return answer(request, operations.priorities())

    @routes.put("/conflicts/priorities/{site_id}", responses=shows(SitePriority, 400, 413, 415, 422, 503))
    async def confirm(request: Request, site_id: str, body: PriorityBody) -> Response:
        """The operator of a site confirms who has priority there. It is kept with who and when, and holds until it is revoked."""
        said = await operations.confirm_priority(SiteId(site_id), body.leader, _who(request, body.by), body.note)
        return answer(request, said)

    @routes.delete("/conflicts/priorities/{site_id}", responses=shows(SitePriority, 409, 422, 503))
    async def revoke(
        request: Request,
        site_id: str,
        by: Annotated[Name, Query(description="The person who says so; it is kept.")],
        note: Annotated[str, Query(max_length=500, description="Why; it is kept.")] = "",
    ) -> Response:
        """Take the confirmation back: EVSEs with a conflict leave dispatch at once."""
        return answer(request, await operations.confirm_priority(SiteId(site_id), None, _who(request, by), note))

    @routes.post("/stations/{station_id}/release", responses=shows(StationView, 400, 404, 409, 413, 415, 422, 503))
    async def release(request: Request, station_id: str, body: ReleaseBody) -> Response:
        """Let a station take part again that was held out because its meter contradicted itself."""
        return answer(request, await operations.release_station(StationId(station_id), _who(request, body.by), body.note))

    return routes


def _who(request: Request, by: str) -> str:
    """The person as named, and the token that was used."""
    return f"{by} ({bearer(request)})"
