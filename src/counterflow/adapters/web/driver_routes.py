"""Drivers, vehicles and contracts: what is agreed with them, and what a driver says for a session that is under way.

Tokens and EVCCIDs travel in bodies, never in addresses, which are logged along the way; an address holds the pseudonym.
"""

from fastapi import APIRouter, Request
from starlette.responses import Response

from counterflow.adapters.web.answers import answer, bearer, shows
from counterflow.adapters.web.driver_models import AgreementBody, ImportBody, OverrideBody, WhoBody
from counterflow.domain.driver_views import DriverView, ErasureAnswer, ImportAnswer
from counterflow.domain.drivers import Scope
from counterflow.domain.ids import StationId
from counterflow.domain.session_views import SessionView
from counterflow.engine.operations import Operations


def driver_routes(operations: Operations) -> APIRouter:
    """`drivers` and what lies below."""
    routes = APIRouter(prefix="/drivers", tags=["drivers"])

    @routes.get("", responses=shows(DriverView, many=True))
    async def drivers(request: Request) -> Response:
        """Agreements with drivers, vehicles and contracts, stored ones and those of the settings."""
        return answer(request, operations.drivers())

    @routes.patch("", responses=shows(DriverView, 400, 413, 415, 422, 503))
    async def set_driver(request: Request, body: AgreementBody) -> Response:
        """Agree: the fields that are given change, null takes one back to the wider scope. A new one begins with nothing agreed."""
        changes = body.terms.model_dump(exclude_unset=True)
        return answer(request, await operations.set_driver(body.scope, body.id, body.label, changes, bearer(request)))

    @routes.post("/lookup", responses=shows(DriverView, 400, 413, 415, 422, many=True))
    async def lookup(request: Request, body: WhoBody) -> Response:
        """What is known of a token, EVCCID, contract or pseudonym: agreements and energy. Empty when nothing is."""
        return answer(request, operations.find_driver(body.id))

    @routes.post("/import", responses=shows(ImportAnswer, 400, 413, 415, 422, 503))
    async def import_drivers(request: Request, body: ImportBody) -> Response:
        """Take a whole CSV file, or nothing of it: each bad row comes back with its line and what is wrong."""
        return answer(request, await operations.import_drivers(body.csv, body.dry_run, bearer(request)))

    @routes.post("/erase", responses=shows(ErasureAnswer, 400, 404, 413, 415, 422, 503))
    async def erase(request: Request, body: WhoBody) -> Response:
        """Erase what is kept of a person or car: agreement, counted energy, and the link from sessions."""
        return answer(request, await operations.erase_driver(body.id, bearer(request)))

    @routes.get("/{scope}/{subject}", responses=shows(DriverView, 404, 422))
    async def driver(request: Request, scope: Scope, subject: str) -> Response:
        """One agreement, by pseudonym (or by the contract's name)."""
        return answer(request, operations.driver(scope, subject))

    @routes.delete("/{scope}/{subject}", responses=shows(DriverView, 404, 422, 503))
    async def remove(request: Request, scope: Scope, subject: str) -> Response:
        """Take an agreement back. What is left is that of the settings, if any; counted energy stays."""
        return answer(request, await operations.remove_driver(scope, subject, bearer(request)))

    return routes


def override_routes(operations: Operations) -> APIRouter:
    """`stations/{id}/override` and `sessions/{station}/{transaction}/override`."""
    routes = APIRouter(tags=["drivers"])

    @routes.put("/stations/{station_id}/override", responses=shows(SessionView, 400, 404, 413, 415, 422, 503, many=True))
    async def override_station(request: Request, station_id: str, body: OverrideBody) -> Response:
        """What the driver at this station says, for every session that is open there; the next tick follows it."""
        return answer(request, await operations.override(StationId(station_id), None, body.said(bearer(request))))

    @routes.put("/sessions/{station_id}/{transaction_id}/override", responses=shows(SessionView, 400, 404, 413, 415, 422, 503, many=True))
    async def override_session(request: Request, station_id: str, transaction_id: str, body: OverrideBody) -> Response:
        """The same for one session."""
        return answer(request, await operations.override(StationId(station_id), transaction_id, body.said(bearer(request))))

    return routes
