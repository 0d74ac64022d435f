"""What dispatches have delivered: series, reports in every format and version, and what they were made from."""

from collections.abc import Callable
from typing import Annotated, Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from counterflow.adapters.web.answers import answer, can_fail, shows
from counterflow.adapters.web.documents import documented
from counterflow.adapters.web.models import ReportFormat
from counterflow.adapters.web.problems import refused
from counterflow.domain.delivery import DeliveryReport, SeriesPoint, Stored
from counterflow.domain.dispatch_views import VerificationView
from counterflow.domain.ids import DispatchId
from counterflow.domain.series import regridded
from counterflow.domain.settlement import ReportVersion
from counterflow.domain.views import Refusal, RefusalKind
from counterflow.engine.operations import Operations

RenderReport = Callable[[DeliveryReport, str], tuple[bytes, str, str]]
"""(report, format) -> (content, media type, file name); called in a thread."""
RenderEvidence = Callable[[DeliveryReport, Stored], tuple[bytes, str, str]]
"""The same of what a report was made from."""

Step = Annotated[
    float,
    Query(ge=1.0, le=86_400.0, allow_inf_nan=False, description="Step of the grid [s], such as 1, 4, 60 or 900.", examples=[4]),
]
ReportStep = Annotated[
    float | None,
    Query(
        ge=1.0,
        le=86_400.0,
        allow_inf_nan=False,
        description="Step of the report's series [s], a multiple of its own: 4, 60, 900 ... The Wh add up to the same. Default: its own.",
        examples=[900],
    ),
]
Version = Annotated[int | None, Query(ge=1, description="A version that is kept. Default: the newest.", examples=[1])]
_BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_PARQUET = "application/vnd.apache.parquet"
_MEDIA: dict[str, Any] = {
    "text/csv": {"schema": {"type": "string"}},
    _PARQUET: _BINARY,
    "image/png": _BINARY,
    "application/pdf": _BINARY,
}


def report_routes(operations: Operations, render_report: RenderReport, render_evidence: RenderEvidence, render_threads: int) -> APIRouter:
    """What lies below one of `dispatches` and tells of its delivery."""
    routes = APIRouter(prefix="/dispatches", tags=["dispatches"])
    threads = anyio.CapacityLimiter(render_threads)

    @routes.get("/{dispatch_id}/series", responses=shows(SeriesPoint, 404, 422, many=True))
    async def series(request: Request, dispatch_id: str, step_s: Step = 4.0) -> Response:
        """Power and energy on any grid; every grid adds up to the same Wh. The last step may be shorter."""
        return answer(request, await operations.series(DispatchId(dispatch_id), step_s))

    @routes.get(
        "/{dispatch_id}/report",
        responses={
            200: {"model": documented(DeliveryReport), "description": "The settlement in the format asked for.", "content": _MEDIA},
            **can_fail(400, 404, 422),
        },
    )
    async def report(
        request: Request,
        dispatch_id: str,
        report_format: Annotated[
            ReportFormat, Query(alias="format", description="CSV is the series, PNG a picture, PDF a few pages for the grid operator.")
        ] = "json",
        version: Version = None,
        step_s: ReportStep = None,
    ) -> Response:
        """The settlement so far; final once the dispatch has ended and its meter values are in. Late ones make a new version."""
        made = await operations.report(DispatchId(dispatch_id), version)
        if isinstance(made, Refusal):
            return refused(request, made)
        try:
            made = made if step_s is None else regridded(made, step_s)
        except ValueError as error:
            wrong = Refusal(kind=RefusalKind.INVALID, sentence=str(error), remedy="Ask for 4, 60 or 900 s, or for the series.")
            return refused(request, wrong)
        content, media_type, name = await anyio.to_thread.run_sync(render_report, made, report_format, limiter=threads)
        return _file(content, media_type, name)

    @routes.get("/{dispatch_id}/report/versions", responses=shows(ReportVersion, 404, many=True))
    async def versions(request: Request, dispatch_id: str) -> Response:
        """The versions of the report that are kept, oldest first; none is ever changed."""
        return answer(request, await operations.report_versions(DispatchId(dispatch_id)))

    @routes.get("/{dispatch_id}/report/verification", responses=shows(VerificationView, 404, 422))
    async def verification(request: Request, dispatch_id: str, version: Version = None) -> Response:
        """The report made again from log and meter values, and held against what it says (as `counterflow verify` does offline)."""
        return answer(request, await operations.verification(DispatchId(dispatch_id), version))

    @routes.get(
        "/{dispatch_id}/report/evidence",
        responses={
            200: {"description": "The meter values as a Parquet table, log and order in its metadata.", "content": {_PARQUET: _BINARY}},
            **can_fail(404, 422),
        },
    )
    async def evidence(request: Request, dispatch_id: str, version: Version = None) -> Response:
        """All that a report was made from, so that anybody can make it again (`counterflow verify`)."""
        found = await operations.evidence(DispatchId(dispatch_id), version)
        if isinstance(found, Refusal):
            return refused(request, found)
        content, media_type, name = await anyio.to_thread.run_sync(render_evidence, *found, limiter=threads)
        return _file(content, media_type, name)

    return routes


def _file(content: bytes, media_type: str, name: str) -> Response:
    return Response(content, 200, {"Content-Disposition": f'attachment; filename="{name}"'}, media_type)
