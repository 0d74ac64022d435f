"""Orders, their course and their reports."""

from collections.abc import Callable
from typing import Annotated, Any

import anyio
import anyio.to_thread
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from counterflow.adapters.web.answers import answer, bearer, can_fail, shows
from counterflow.adapters.web.documents import documented
from counterflow.adapters.web.models import AmendBody, OrderBody, ReportFormat, ValueBody
from counterflow.adapters.web.patterns import KEY_PATTERN
from counterflow.adapters.web.problems import refused
from counterflow.domain.delivery import DeliveryReport, SeriesPoint
from counterflow.domain.ids import DispatchId
from counterflow.domain.views import DispatchAnswer, DispatchView, Refusal, TargetAnswer
from counterflow.engine.ports import Operations

RenderReport = Callable[[DeliveryReport, str], tuple[bytes, str, str]]
"""(report, format) -> (content, media type, file name); called in a thread."""

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=KEY_PATTERN,
        description="The same key with the same order gives the same dispatch, never a second one; with another order it is refused.",
        examples=["5c7d0f3e-2f4e-4c0e-9c86-0a3b8ad0a4b1"],
    ),
]
Step = Annotated[
    float,
    Query(ge=1.0, le=86_400.0, allow_inf_nan=False, description="Step of the grid [s], such as 1, 4, 60 or 900.", examples=[4]),
]
_MEDIA: dict[str, Any] = {
    "text/csv": {"schema": {"type": "string"}},
    "application/vnd.apache.parquet": {"schema": {"type": "string", "format": "binary"}},
    "image/png": {"schema": {"type": "string", "format": "binary"}},
}


def dispatch_routes(operations: Operations, render_report: RenderReport, render_threads: int) -> APIRouter:
    """`dispatches` and what lies below."""
    routes = APIRouter(prefix="/dispatches", tags=["dispatches"])
    threads = anyio.CapacityLimiter(render_threads)

    @routes.post(
        "",
        status_code=201,
        responses={
            **shows(DispatchAnswer, 400, 404, 409, 413, 415, 422, 503, status=201),
            200: {"model": documented(DispatchAnswer), "description": "A dry run, or a key that was known: nothing new was started."},
        },
    )
    async def order(request: Request, body: OrderBody, idempotency_key: IdempotencyKey = None) -> Response:
        """Order discharge power. Answers at once with what is feasible over the window, and with the shortfall if there is one."""
        given = await operations.order(body.order(bearer(request)), idempotency_key, body.dry_run)
        if isinstance(given, Refusal):
            return refused(request, given)
        if given.dry_run:
            return answer(request, given)
        location = {"Location": f"{request.url.path}/{given.dispatch.instruction.dispatch_id}"}
        return answer(request, given, 200 if given.repeated else 201, location)

    @routes.get("", responses=shows(DispatchView, many=True))
    async def dispatches(request: Request) -> Response:
        """All dispatches, newest first."""
        return answer(request, operations.dispatches())

    @routes.get("/{dispatch_id}", responses=shows(DispatchView, 404))
    async def dispatch(request: Request, dispatch_id: str) -> Response:
        """One dispatch and where it stands."""
        return answer(request, operations.dispatch(DispatchId(dispatch_id)))

    @routes.patch("/{dispatch_id}", responses=shows(DispatchView, 400, 404, 409, 413, 415, 422, 503))
    async def amend(request: Request, dispatch_id: str, body: AmendBody) -> Response:
        """Change the power or the end."""
        return answer(request, await operations.amend(DispatchId(dispatch_id), body.amendment(), bearer(request)))

    @routes.delete("/{dispatch_id}", responses=shows(DispatchView, 404, 409, 503))
    async def cancel(request: Request, dispatch_id: str) -> Response:
        """Stop a dispatch; the cars resume charging step by step."""
        return answer(request, await operations.cancel(DispatchId(dispatch_id), bearer(request)))

    @routes.put("/{dispatch_id}/target", responses=shows(TargetAnswer, 400, 404, 409, 413, 415, 422, 429, 503))
    async def tell(request: Request, dispatch_id: str, body: ValueBody) -> Response:
        """The next value of a streamed target. A late or doubled one changes nothing, and is answered with that as its `outcome`."""
        return answer(request, await operations.tell(DispatchId(dispatch_id), body.value()))

    @routes.get("/{dispatch_id}/series", responses=shows(SeriesPoint, 404, 422, many=True))
    async def series(request: Request, dispatch_id: str, step_s: Step = 4.0) -> Response:
        """Power and energy on any grid; every grid adds up to the same Wh. The last step may be shorter."""
        return answer(request, await operations.series(DispatchId(dispatch_id), step_s))

    @routes.get(
        "/{dispatch_id}/report",
        responses={
            200: {"model": documented(DeliveryReport), "description": "The settlement in the format asked for.", "content": _MEDIA},
            **can_fail(404, 422),
        },
    )
    async def report(
        request: Request,
        dispatch_id: str,
        report_format: Annotated[ReportFormat, Query(alias="format", description="CSV is the series, PNG a picture.")] = "json",
    ) -> Response:
        """The settlement so far; final once the dispatch has ended and its meter values are in."""
        made = await operations.report(DispatchId(dispatch_id))
        if isinstance(made, Refusal):
            return refused(request, made)
        content, media_type, name = await anyio.to_thread.run_sync(render_report, made, report_format, limiter=threads)
        return Response(content, 200, {"Content-Disposition": f'attachment; filename="{name}"'}, media_type)

    return routes
