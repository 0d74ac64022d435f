"""The security of stations: events, passwords, certificates."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from counterflow.adapters.web.answers import answer, bearer, shows
from counterflow.adapters.web.models import AuthorityBody, RevocationBody
from counterflow.domain.ids import StationId
from counterflow.domain.security_views import CertificateView, IssuedCertificateView, PasswordView, SecurityEventView
from counterflow.domain.station_views import CallAnswer
from counterflow.engine.operations import Operations

Limit = Annotated[int, Query(ge=1, le=10_000, description="Most events that are shown.")]


def security_routes(operations: Operations) -> APIRouter:
    """`security-events`, `certificates`, and what is asked of one station."""
    routes = APIRouter(tags=["security"])

    @routes.get("/security-events", responses=shows(SecurityEventView, 422, many=True))
    async def security_events(request: Request, limit: Limit = 100) -> Response:
        """The newest security events of all stations, newest first; the same again is counted."""
        return answer(request, operations.security_events(None, limit))

    @routes.get("/stations/{station_id}/security-events", responses=shows(SecurityEventView, 404, 422, many=True))
    async def security_events_of(request: Request, station_id: str, limit: Limit = 100) -> Response:
        """The newest security events of one station, newest first."""
        return answer(request, operations.security_events(StationId(station_id), limit))

    @routes.post("/stations/{station_id}/rotate-password", responses=shows(PasswordView, 404, 409, 503))
    async def rotate_password(request: Request, station_id: str) -> Response:
        """Give a connected station a new random password. It is shown to nobody; when the outcome is unknown, both are accepted."""
        return answer(request, await operations.rotate_password(StationId(station_id), bearer(request)))

    @routes.post("/stations/{station_id}/install-authority", responses=shows(CallAnswer, 400, 404, 409, 413, 415, 422, 503, 504))
    async def install_authority(request: Request, station_id: str, body: AuthorityBody) -> Response:
        """Give a station a root certificate (InstallCertificate); without one, that of the built-in authority."""
        return answer(request, await operations.install_authority(StationId(station_id), body.use, body.certificate))

    @routes.get("/certificates", responses=shows(CertificateView, many=True))
    async def certificates(request: Request) -> Response:
        """The certificates that this server shows to stations."""
        return answer(request, operations.certificates())

    @routes.post("/certificates/reload", responses=shows(CertificateView, 409, many=True))
    async def reload_certificates(request: Request) -> Response:
        """Read certificate files and revocation lists again: the next handshake uses them. Open lines stay, but for those whose certificate
        is revoked now."""
        return answer(request, await operations.reload_certificates())

    @routes.get("/certificates/issued", responses=shows(IssuedCertificateView, 409, many=True))
    async def issued(request: Request) -> Response:
        """The certificates that the built-in authority has issued to stations and that are not over, newest first."""
        return answer(request, await operations.issued_certificates())

    @routes.post("/certificates/revoke", responses=shows(IssuedCertificateView, 400, 404, 409, 413, 415, 422, many=True))
    async def revoke(request: Request, body: RevocationBody) -> Response:
        """Revoke certificates of the built-in authority for ever. They let nobody in from then on, and open lines with them end."""
        station_id = None if body.station_id is None else StationId(body.station_id)
        return answer(request, await operations.revoke_certificates(station_id, body.serial, body.reason, bearer(request)))

    return routes
