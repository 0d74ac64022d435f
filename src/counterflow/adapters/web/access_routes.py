"""Tokens and the audit log."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from counterflow.adapters.web.answers import answer, bearer, shows
from counterflow.domain.access import ROLE_WORDS, AuditEntry, TokenView, WhoView
from counterflow.domain.views import StorageView
from counterflow.engine.operations import Operations


class TokenBody(BaseModel):
    """A token to be made."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "tso-north", "role": "grid"}]})

    name: str = Field(
        min_length=1, max_length=50, pattern=r"^[A-Za-z0-9._-]+$", description="A name for whoever holds it; it is shown in logs."
    )
    role: Literal["viewer", "grid", "operator", "admin"] = Field(
        description="viewer looks; grid orders, and changes what it has ordered; operator runs the fleet; admin also gives access."
    )
    expires_at_s: float | None = Field(
        default=None, gt=0, lt=1e11, allow_inf_nan=False, description="When it becomes void, seconds since 1970-01-01T00:00Z; null = never."
    )


def access_routes(operations: Operations) -> APIRouter:
    """`tokens` and `audit`."""
    routes = APIRouter(tags=["access"])

    @routes.get("/whoami", responses=shows(WhoView))
    async def whoami(request: Request) -> Response:
        """Whose token this is, and what it allows."""
        who = request.state.who
        return answer(request, WhoView(name=who.name, role=who.role.name.lower()))

    @routes.get("/tokens", responses=shows(TokenView, many=True))
    async def tokens(request: Request) -> Response:
        """Named tokens, without the tokens themselves. The first token, in the data dir, is not among them."""
        return answer(request, operations.tokens())

    @routes.post("/tokens", status_code=201, responses=shows(TokenView, 400, 409, 413, 415, 422, 503, status=201))
    async def add_token(request: Request, body: TokenBody) -> Response:
        """Make a token. It is shown in this answer and never again: only its digest is kept."""
        made = await operations.add_token(body.name, ROLE_WORDS[body.role], body.expires_at_s, bearer(request))
        return answer(request, made, 201)

    @routes.delete("/tokens/{name}", responses=shows(TokenView, 404, 503))
    async def revoke_token(request: Request, name: str) -> Response:
        """Take a token back; it is void at once."""
        return answer(request, await operations.revoke_token(name))

    @routes.get("/storage", responses=shows(StorageView))
    async def storage(request: Request) -> Response:
        """What lies on the disk of the server, how much of it, and for how long it is kept."""
        return answer(request, await operations.storage())

    @routes.get("/audit", responses=shows(AuditEntry, 422, many=True))
    async def audit(
        request: Request,
        since_s: Annotated[float, Query(ge=0, allow_inf_nan=False, description="Entries from this instant on.")] = 0.0,
        most: Annotated[int, Query(ge=1, le=5000, description="The newest so many.")] = 200,
    ) -> Response:
        """Who asked for a change, when, what, and how it ended; newest first."""
        return answer(request, operations.audit(since_s, most))

    return routes
