"""The least role that each route asks for: looking needs a viewer, changing an operator, and what is named here something else."""

import re
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Request
from starlette.exceptions import HTTPException

from counterflow.adapters.web.auth import Bearer
from counterflow.domain.access import Role
from counterflow.domain.dispatch_views import DispatchView
from counterflow.domain.ids import DispatchId
from counterflow.engine.operations import Operations

PREFIX: Final = "/api/v1"
LOOKING: Final = frozenset({"GET", "HEAD"})
NAMED: Final[dict[tuple[str, str], Role]] = {
    ("POST", "/dispatches"): Role.GRID,
    ("PATCH", "/dispatches/{dispatch_id}"): Role.GRID,
    ("DELETE", "/dispatches/{dispatch_id}"): Role.GRID,
    ("PUT", "/dispatches/{dispatch_id}/target"): Role.GRID,
    ("PUT", "/limits/load"): Role.GRID,
    ("POST", "/programs/{name}/orders"): Role.GRID,
    ("PUT", "/programs/{name}/orders/{key}"): Role.GRID,
    ("DELETE", "/programs/{name}/orders/{key}"): Role.GRID,
    ("POST", "/programs/{name}/setpoint"): Role.GRID,
    ("POST", "/commitments"): Role.GRID,
    ("DELETE", "/commitments/{commitment_id}"): Role.GRID,
    ("POST", "/drivers/erase"): Role.ADMIN,
    ("POST", "/certificates/reload"): Role.ADMIN,
    ("POST", "/certificates/revoke"): Role.ADMIN,
    ("POST", "/stations/{station_id}/install-authority"): Role.ADMIN,
    ("GET", "/tokens"): Role.ADMIN,
    ("POST", "/tokens"): Role.ADMIN,
    ("DELETE", "/tokens/{name}"): Role.ADMIN,
    ("GET", "/audit"): Role.OPERATOR,
}
"""By method and route."""
_PERSONAL: Final = re.compile(r"^/drivers(/|$)")


def least_role(method: str, route: str) -> Role:
    """What a route (a template, below the prefix) asks for. Who people are is for operators only, also to look at."""
    named = NAMED.get((method, route))
    if named is not None:
        return named
    return Role.VIEWER if method in LOOKING and not _PERSONAL.match(route) else Role.OPERATOR


def permits(operations: Operations) -> Callable[[Request], Awaitable[None]]:
    """A dependency that refuses what the token does not allow. Raises HTTPException 403 with the sentence."""

    async def permitted(request: Request) -> None:
        bearer: Bearer = request.state.who
        route = request.scope["route"].path.removeprefix(PREFIX)
        needed = least_role(request.method, route)
        if bearer.role < needed:
            raise HTTPException(
                403, f"This needs the role {needed.name.lower()}, and the token {bearer.name} has the role {bearer.role.name.lower()}"
            )
        if bearer.role is Role.GRID and "{dispatch_id}" in route and request.method not in LOOKING:
            view = operations.dispatch(DispatchId(request.path_params["dispatch_id"]))
            if isinstance(view, DispatchView) and view.instruction.ordered_by != bearer.name:
                raise HTTPException(403, f"The token {bearer.name} may change only dispatches that it has ordered itself")
        if bearer.role is Role.GRID and "{commitment_id}" in route:
            held = next((one for one in operations.commitments() if one.commitment_id == request.path_params["commitment_id"]), None)
            if held is not None and held.committed_by not in ("", bearer.name):
                raise HTTPException(403, f"The token {bearer.name} may withdraw only commitments that it holds itself")

    return permitted
