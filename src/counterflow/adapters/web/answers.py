"""Answers of the engine as responses, and the parts that all routes share."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from fastapi import Request
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from counterflow.adapters.web.documents import documented, documented_list
from counterflow.adapters.web.problems import MEDIA_TYPE, TITLES, Problem, refused
from counterflow.domain.views import Refusal

_JSON = "application/json"
VIEWS_AT_ONCE = 500
"""So many are encoded, and handed to the connection, in one piece: about 1 ms."""

Responses = dict[int | str, dict[str, Any]]


def answer(request: Request, value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A struct, a list of structs or a plain dict as JSON; a `Refusal` as its problem."""
    if isinstance(value, Refusal):
        return refused(request, value)
    return Response(msgspec.json.encode(value), status, headers, _JSON)


def answer_many(views: Sequence[Struct]) -> Response:
    """A listing that grows with the fleet, as JSON; it is encoded and goes out in portions, between which others have their turn."""
    return StreamingResponse(_encoded(views), media_type=_JSON)


async def _encoded(views: Sequence[Struct]) -> AsyncIterator[bytes]:
    yield b"["
    for first in range(0, len(views), VIEWS_AT_ONCE):
        portion = msgspec.json.encode(views[first : first + VIEWS_AT_ONCE])
        yield b"," + portion[1:-1] if first else portion[1:-1]
        await asyncio.sleep(0.0)
    yield b"]"


def bearer(request: Request) -> str:
    """Who is asking, as the gate found out."""
    name: str = request.state.bearer
    return name


def shows(struct: type[Struct], *problems: int, status: int = 200, many: bool = False) -> Responses:
    """OpenAPI of one struct (or a list of them) and of the problems that can come instead."""
    model = documented_list(struct) if many else documented(struct)
    return {status: {"model": model, "description": (struct.__doc__ or "").strip().splitlines()[0]}, **can_fail(*problems)}


def can_fail(*statuses: int) -> Responses:
    """OpenAPI of problem documents; 401, 403 and 500 are always possible."""
    content = {MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{Problem.__name__}"}}}
    return {status: {"description": TITLES[status], "content": content} for status in sorted({401, 403, 500, *statuses})}


async def strict_json(request: Request) -> None:
    """A dependency that refuses what Python reads as JSON and nobody else could: NaN, Infinity, half a surrogate pair.

    Raises HTTPException 400 with the reason.
    """
    content = await request.body()
    if content and "json" in request.headers.get("content-type", ""):
        try:
            msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise HTTPException(400, str(error)) from None
