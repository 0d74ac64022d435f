"""The HTTP API: one application over the `Operations` port, and nothing else of the engine.

There is no page with a schema browser: `/openapi.json` is complete, and nothing here is fetched from elsewhere.
"""

from collections.abc import Callable, Collection
from functools import cache

import anyio.to_thread
import msgspec
from fastapi import Depends, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from counterflow.adapters.web.access_routes import access_routes
from counterflow.adapters.web.answers import answer, can_fail, shows, strict_json
from counterflow.adapters.web.auth import TokenCheck
from counterflow.adapters.web.conflict_routes import conflict_routes
from counterflow.adapters.web.dispatch_routes import dispatch_routes
from counterflow.adapters.web.driver_routes import driver_routes, override_routes
from counterflow.adapters.web.examples import EXAMPLES
from counterflow.adapters.web.fleet_routes import event_routes, fleet_routes, safety_routes, station_routes, wire_routes
from counterflow.adapters.web.gate import OPEN_PATHS, Gate
from counterflow.adapters.web.limit_routes import limit_routes
from counterflow.adapters.web.metrics import MEDIA_TYPE, Metrics, MetricsSource
from counterflow.adapters.web.offer_routes import offer_routes
from counterflow.adapters.web.problems import Problem, install, problem
from counterflow.adapters.web.program_routes import program_routes, telemetry_routes
from counterflow.adapters.web.report_routes import RenderEvidence, RenderReport, report_routes
from counterflow.adapters.web.roles import PREFIX, permits
from counterflow.adapters.web.security_routes import security_routes
from counterflow.adapters.web.settings import ApiSettings
from counterflow.adapters.web.stream import EventStreams
from counterflow.domain.ids import SiteId
from counterflow.domain.views import HealthView
from counterflow.engine.grid_side import GridSide
from counterflow.engine.operations import Operations

_ABOUT = """Orders, looks and reports of a virtual power plant of parked cars.

Discharge power is positive. Fields carry their unit in their name: `_w` W, `_wh` Wh, `_s` s, `_frac` 0..1; instants are seconds since
1970-01-01T00:00Z. What is unknown is null, never zero. Every error is an RFC 9457 problem document."""


def create_app(
    operations: Operations,
    grid: GridSide,
    tokens: Collection[str],
    metrics_source: MetricsSource,
    settings: ApiSettings,
    *,
    render_report: RenderReport,
    render_evidence: RenderEvidence,
    hash_password: Callable[[str], str],
    default_site: SiteId,
) -> FastAPI:
    """The application. `hash_password` raises ValueError with a sentence for a password that breaks the rule.

    Raises ValueError when there is no token, or a short one.
    """
    app = FastAPI(
        title="Counterflow",
        version=operations.health().version,
        description=_ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    streams = EventStreams(settings.max_event_streams, settings.keep_alive_s)
    metrics = Metrics(operations, metrics_source, streams)
    app.add_middleware(
        Gate,
        tokens=TokenCheck(tokens, operations.live_tokens),
        operations=operations,
        max_body_bytes=settings.max_body_bytes,
        requests=metrics.requests,
    )
    install(app)
    for routes in (
        fleet_routes(operations),
        station_routes(operations, hash_password, default_site),
        wire_routes(operations),
        conflict_routes(operations),
        limit_routes(operations),
        offer_routes(operations),
        driver_routes(operations),
        override_routes(operations),
        dispatch_routes(operations),
        report_routes(operations, render_report, render_evidence, settings.render_threads),
        security_routes(operations),
        safety_routes(operations),
        event_routes(operations, streams),
        program_routes(grid),
        telemetry_routes(grid, streams),
        access_routes(operations),
    ):
        app.include_router(routes, prefix=PREFIX, dependencies=[Depends(permits(operations)), Depends(strict_json)])
    _add_own_routes(app, operations, metrics)
    _prepare(app)
    return app


def _prepare(app: FastAPI) -> None:
    """Have the framework work out now what each route needs. Else it does so as they are first looked through, and the first who asks holds
    up the control of ten thousand stations for it (60 ms)."""
    nowhere = {"type": "http", "method": "GET", "path": f"{PREFIX}/-", "root_path": "", "headers": []}
    for route in app.routes:
        route.matches(nowhere)


def _add_own_routes(app: FastAPI, operations: Operations, metrics: Metrics) -> None:
    @app.get("/healthz", tags=["process"], responses=shows(HealthView))
    async def healthz(request: Request) -> Response:
        """The process is alive. Open without a token."""
        return answer(request, operations.health())

    @app.get("/readyz", tags=["process"], responses=shows(HealthView, 503))
    async def readyz(request: Request) -> Response:
        """Ready to take orders and requests, or 503 with the reasons. Open without a token.

        The emergency stop is a person's decision and no fault: it is told among the alarms and in `GET /api/v1/emergency-stop`, and the
        server stays ready, so that a proxy in front of it goes on letting through whoever resets it.
        """
        health = operations.health()
        if health.ready:
            return answer(request, health)
        reasons = " ".join(health.alarms) or "The server is starting."
        return problem(request, 503, "not-ready", reasons, remedy="See the server's log.", headers={"Retry-After": "5"})

    @app.get("/metrics", tags=["process"], responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **can_fail()})
    async def prometheus() -> Response:
        """Metrics in the Prometheus text format."""
        return Response(metrics.text(), media_type=MEDIA_TYPE)

    document = cache(lambda: msgspec.json.encode(described(app)))

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        """This description; made once, and in a thread, since control must not wait for it."""
        return Response(await anyio.to_thread.run_sync(document), media_type="application/json")


def described(app: FastAPI) -> dict[str, object]:
    """The OpenAPI document: the framework's, with our token, our problems, and nothing of the framework's own errors."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    parts = document.setdefault("components", {})
    parts.setdefault("schemas", {})[Problem.__name__] = Problem.model_json_schema()
    for struct, example in EXAMPLES.items():
        # The framework drops nulls from the examples it is given, and null is a word of ours.
        if struct.__name__ in parts["schemas"]:
            parts["schemas"][struct.__name__]["examples"] = [msgspec.json.decode(msgspec.json.encode(example))]
    for unused in ("HTTPValidationError", "ValidationError"):
        parts["schemas"].pop(unused, None)
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            if path in OPEN_PATHS:
                operation["security"] = []
            schema = operation["responses"].get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
            if schema.get("$ref", "").endswith("HTTPValidationError"):
                operation["responses"].pop("422")
    return document
