"""Orders, and what becomes of them while they run."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from counterflow.adapters.web.answers import answer, answer_many, bearer, shows
from counterflow.adapters.web.documents import documented
from counterflow.adapters.web.models import AmendBody, NoteBody, OrderBody, ValueBody
from counterflow.adapters.web.patterns import KEY_PATTERN
from counterflow.adapters.web.problems import refused
from counterflow.adapters.web.units import InstantText
from counterflow.domain.course import CourseView
from counterflow.domain.dispatch_views import DispatchAnswer, DispatchView, NoteView, TargetAnswer
from counterflow.domain.ids import DispatchId
from counterflow.domain.views import Refusal
from counterflow.engine.operations import Operations

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

Since = Annotated[InstantText | None, Query(description="Only from this instant on, in RFC 3339 with its time zone; default: all.")]
Most = Annotated[
    int | None,
    Query(ge=1, description="Only so many of the newest, and those that are open; default: all.", examples=[100]),
]
CourseStep = Annotated[
    float,
    Query(ge=1.0, le=86_400.0, allow_inf_nan=False, description="At most one tick in so many seconds [s].", examples=[4]),
]


def dispatch_routes(operations: Operations) -> APIRouter:
    """`dispatches` and what lies below."""
    routes = APIRouter(prefix="/dispatches", tags=["dispatches"])

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

    @routes.get("", responses=shows(DispatchView, 422, many=True))
    async def dispatches(most: Most = None) -> Response:
        """All dispatches, newest first. They are kept for long: whoever asks often names `most`."""
        return answer_many(operations.dispatches(most))

    @routes.get("/{dispatch_id}", responses=shows(DispatchView, 404))
    async def dispatch(request: Request, dispatch_id: str) -> Response:
        """One dispatch and where it stands."""
        return answer(request, operations.dispatch(DispatchId(dispatch_id)))

    @routes.get("/{dispatch_id}/course", responses=shows(CourseView, 404, 422))
    async def course(request: Request, dispatch_id: str, since: Since = None, step_s: CourseStep = 1.0) -> Response:
        """Target, delivered power and headroom at each tick of control so far, and what happened to it: for a chart."""
        return answer(request, await operations.course(DispatchId(dispatch_id), since, step_s))

    @routes.patch("/{dispatch_id}", responses=shows(DispatchView, 400, 404, 409, 413, 415, 422, 503))
    async def amend(request: Request, dispatch_id: str, body: AmendBody) -> Response:
        """Change the power or the end."""
        return answer(request, await operations.amend(DispatchId(dispatch_id), body.amendment(), bearer(request)))

    @routes.delete("/{dispatch_id}", responses=shows(DispatchView, 404, 409, 503))
    async def cancel(request: Request, dispatch_id: str) -> Response:
        """Stop a dispatch; the cars resume charging step by step."""
        return answer(request, await operations.cancel(DispatchId(dispatch_id), bearer(request)))

    @routes.post("/{dispatch_id}/notes", status_code=201, responses=shows(NoteView, 400, 404, 413, 415, 422, 503, status=201))
    async def note(request: Request, dispatch_id: str, body: NoteBody) -> Response:
        """Note something of a dispatch, such as why it was amended; it is kept in its log and shown as a mark."""
        return answer(request, await operations.note(DispatchId(dispatch_id), body.text, bearer(request)), 201)

    @routes.put("/{dispatch_id}/target", responses=shows(TargetAnswer, 400, 404, 409, 413, 415, 422, 429, 503))
    async def tell(request: Request, dispatch_id: str, body: ValueBody) -> Response:
        """The next value of a streamed target. A late or doubled one changes nothing, and is answered with that as its `outcome`."""
        return answer(request, await operations.tell(DispatchId(dispatch_id), body.value()))

    return routes
