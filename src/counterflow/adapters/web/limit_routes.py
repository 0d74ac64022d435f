"""Limits of the grid: what feeders, sites and phases may carry, and readings of what else draws there."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from counterflow.adapters.web.answers import answer, shows
from counterflow.adapters.web.models import LoadBody
from counterflow.domain.views import LimitView
from counterflow.engine.operations import Operations


def limit_routes(operations: Operations) -> APIRouter:
    """`limits`."""
    routes = APIRouter(tags=["limits"])

    @routes.get("/limits", responses=shows(LimitView, many=True))
    async def limits(request: Request) -> Response:
        """Every feeder, site and phase: its limits, what else draws there, and what our cars give and take."""
        return answer(request, operations.limits())

    @routes.put("/limits/load", responses=shows(LimitView, 400, 413, 415, 422))
    async def load(request: Request, body: LoadBody) -> Response:
        """A reading of what draws at a feeder or site beside our cars and what stands below it. It counts for five minutes."""
        return answer(request, operations.note_load(body.group, body.power_w))

    return routes
