"""Orders and set-points of grid operators' systems, in the sign and unit of their program; and telemetry of pools, with its stream."""

from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from fastapi import APIRouter, Header, Path, Query, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from counterflow.adapters.web.answers import answer, can_fail, shows
from counterflow.adapters.web.auth import Bearer
from counterflow.adapters.web.models import Name
from counterflow.adapters.web.patterns import ORDER_KEY_PATTERN
from counterflow.adapters.web.problems import problem, refused
from counterflow.adapters.web.program_models import ProgramChangeBody, ProgramOrderBody, SetpointBody
from counterflow.adapters.web.stream import MEDIA_TYPE, EventStreams
from counterflow.domain.access import Role
from counterflow.domain.grid import GridAnswer, PoolTelemetry, Wire
from counterflow.domain.ids import ALL_SITES, PoolId
from counterflow.domain.program_notices import orders_words
from counterflow.domain.program_translation import Terms
from counterflow.domain.program_words import AnswerWords, OrdersWords, OrderWords
from counterflow.domain.views import Refusal, RefusalKind
from counterflow.engine.grid_side import GridSide

MOST_RECORDS = 1_000
LONGEST_WAIT_S = 30.0

Key = Annotated[str, Path(pattern=ORDER_KEY_PATTERN, description="The sender's own name of the order.", examples=["o-17"])]
Why = Annotated[str, Query(max_length=500, description="Why it is taken back.")]
Pool = Annotated[Name, Query(description="A pool that is recorded: `all`, one of a program, or of `telemetry.pools`.", examples=["all"])]
Since = Annotated[int, Query(ge=0, le=2**53, description="Only records behind this number; 0 = from the oldest that is kept.")]
Most = Annotated[int, Query(ge=1, le=MOST_RECORDS, description="At most so many; without `since` the newest so many.")]
LastRecord = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        pattern=r"^[0-9]{1,16}$",
        description="`sequence` of the last record that was read; none = from now on.",
        examples=["1795676695"],
    ),
]


def program_routes(grid: GridSide) -> APIRouter:
    """`programs`."""
    routes = APIRouter(prefix="/programs", tags=["programs"])

    @routes.get("/{name}/orders", responses=shows(OrdersWords, 404))
    async def orders(request: Request, name: str) -> Response:
        """The orders of a program that are to come, run, or have ended within a day."""
        found = _terms(grid, request, name)
        if isinstance(found, Refusal):
            return refused(request, found)
        return answer(request, orders_words(found, grid.standing(name), grid.dispatch, grid.now_s()))

    @routes.post("/{name}/orders", status_code=201, responses=shows(AnswerWords, *_REFUSED, status=201))
    async def order(request: Request, name: str, body: ProgramOrderBody) -> Response:
        """An order. The same key with the same content changes nothing, so that one whose answer was lost can be repeated."""
        return await _place(grid, request, name, body.words(body.key), 201)

    @routes.put("/{name}/orders/{key}", responses=shows(AnswerWords, *_REFUSED))
    async def change(request: Request, name: str, key: Key, body: ProgramChangeBody) -> Response:
        """An order, or another version of one: its dispatch goes on with the new steps."""
        return await _place(grid, request, name, body.words(key), 200)

    @routes.delete("/{name}/orders/{key}", responses=shows(AnswerWords, 404, 409, 422, 503))
    async def withdraw(request: Request, name: str, key: Key, why: Why = "") -> Response:
        """Take an order back; its cars go back to charging step by step."""
        terms = _terms(grid, request, name)
        if isinstance(terms, Refusal):
            return refused(request, terms)
        return _answered(request, terms, "withdraw", await grid.withdraw(name, key, why), grid.now_s(), key=key)

    @routes.post("/{name}/setpoint", responses=shows(AnswerWords, *_REFUSED))
    async def setpoint(request: Request, name: str, body: SetpointBody) -> Response:
        """A value of a stream of set-points. When values stop, the last one holds, and then falls to the baseline."""
        terms = _terms(grid, request, name)
        words = body.words()
        power_w = terms if isinstance(terms, Refusal) else terms.setpoint_w(words, grid.now_s())
        if isinstance(terms, Refusal) or isinstance(power_w, Refusal):
            return refused(request, terms if isinstance(terms, Refusal) else power_w)  # type: ignore[arg-type] # one of the two is
        said = await grid.tell(name, power_w, body.at, words.sequence)
        return _answered(request, terms, "setpoint", said, grid.now_s(), sequence=words.sequence)

    return routes


def telemetry_routes(grid: GridSide, streams: EventStreams) -> APIRouter:
    """`telemetry`."""
    routes = APIRouter(prefix="/telemetry", tags=["telemetry"])

    @routes.get("", responses=shows(PoolTelemetry, 404, 422, many=True))
    async def telemetry(request: Request, pool: Pool = ALL_SITES, since: Since | None = None, most: Most = 1) -> Response:
        """The newest records of a pool, oldest first; with `since` those behind that number, from disk where they are old."""
        try:
            newest = grid.telemetry(PoolId(pool))
        except KeyError:
            return refused(request, _no_pool(pool))
        behind = max(0, newest.sequence - most) if since is None else since
        return answer(request, await grid.telemetry_since(PoolId(pool), behind, most))

    @routes.get(
        "/stream",
        response_class=StreamingResponse,
        responses={
            200: {
                "description": "Server-sent events without end: `id` is the record's `sequence`, `data` the record as JSON; comments keep "
                "it alive.",
                "content": {
                    MEDIA_TYPE: {
                        "schema": {"type": "string"},
                        "example": 'id: 1795676695\nevent: telemetry\ndata: {"sequence": 1795676695, ...}\n\n',
                    }
                },
            },
            **can_fail(404, 422, 503),
        },
    )
    async def stream(request: Request, pool: Pool = ALL_SITES, last_event_id: LastRecord = None) -> Response:
        """The records of a pool as they are made. After a break, `Last-Event-ID` goes on behind the last one that was read, for days."""
        if streams.full:
            refusal = "This server has no place for another event stream."
            return problem(request, 503, "overloaded", refusal, remedy="Close one, or try again later.", headers={"Retry-After": "10"})
        try:
            sequence = grid.telemetry(PoolId(pool)).sequence - 1
        except KeyError:
            return refused(request, _no_pool(pool))
        behind = sequence if last_event_id is None else int(last_event_id)
        return streams.response(_records(grid, PoolId(pool), behind), request.state.still_good, _encoded)

    return routes


_REFUSED = (400, 404, 409, 413, 415, 422, 429, 503)


async def _records(grid: GridSide, pool: PoolId, sequence: int) -> AsyncIterator[PoolTelemetry]:
    while True:
        for record in await grid.telemetry_since(pool, sequence, MOST_RECORDS // 10, LONGEST_WAIT_S):
            yield record
            sequence = record.sequence


def _encoded(record: PoolTelemetry) -> bytes:
    return b"id: %d\nevent: telemetry\ndata: " % record.sequence + msgspec.json.encode(record) + b"\n\n"


def _terms(grid: GridSide, request: Request, name: str) -> Terms | Refusal:
    """The program, if it comes by HTTP. Raises HTTPException 403 for a token of the role grid that is another's."""
    program = next((one for one in grid.programs(Wire.HTTP) if one.name == name), None)
    if program is None:
        return Refusal(
            kind=RefusalKind.NOT_FOUND,
            sentence=f"There is no program '{name}' that orders over HTTP.",
            remedy='Name it in a [[programs]] entry of the settings with wire = "http".',
        )
    who: Bearer = request.state.who
    if who.role is Role.GRID and request.method != "GET" and who.name != f"api:{program.called}":
        raise HTTPException(403, f"The program {name} is ordered by the token {program.called} only, and this is the token {who.name}")
    return Terms(program)


async def _place(grid: GridSide, request: Request, name: str, words: OrderWords, status: int) -> Response:
    terms = _terms(grid, request, name)
    if isinstance(terms, Refusal):
        return refused(request, terms)
    wanted = terms.order(words)
    if isinstance(wanted, Refusal):
        return refused(request, wanted)
    return _answered(request, terms, "order", await grid.place(wanted), grid.now_s(), key=words.key, status=status)


def _answered(
    request: Request,
    terms: Terms,
    about: str,
    said: GridAnswer,
    now_s: float,
    *,
    key: str | None = None,
    sequence: int | None = None,
    status: int = 200,
) -> Response:
    if said.refusal is not None:
        return refused(request, said.refusal)
    return answer(request, terms.answer(about, said, now_s, key=key, sequence=sequence), status)


def _no_pool(pool: str) -> Refusal:
    return Refusal(
        kind=RefusalKind.NOT_FOUND,
        sentence=f"There is no telemetry of a pool '{pool}'.",
        remedy="Recorded are `all`, the pools of [[programs]], and those that telemetry.pools names.",
    )
