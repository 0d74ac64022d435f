"""The HTTP side of the VTN: /openadr3/3.1.0 and /openadr3/3.0.1 over one store."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from email.utils import formatdate
from functools import partial
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from msgspec import Struct

from counterflow.adapters.openadr.models import AnyObject, Event, Program, Report, Resource, Subscription, Ven, Version
from counterflow.adapters.openadr.wire_v30 import OPERATIONS
from counterflow.adapters.openadr.writing import write_object
from counterflow.sim.vtn.clients import Client, Role, TokenDesk
from counterflow.sim.vtn.faults import FaultLine
from counterflow.sim.vtn.listing import Query, page_of
from counterflow.sim.vtn.quirks import Quirks
from counterflow.sim.vtn.receiving import received
from counterflow.sim.vtn.refusal import RefusedError
from counterflow.sim.vtn.store import Store
from counterflow.sim.vtn.telling import Teller

BASE = "/openadr3"
_COLLECTIONS: Mapping[str, type[AnyObject]] = {
    "programs": Program,
    "events": Event,
    "reports": Report,
    "subscriptions": Subscription,
    "vens": Ven,
}
_BL_TOPICS = frozenset({"events", "reports", "subscriptions", "vens", "resources"})
Answer = Callable[[Request], Awaitable[Response]]


class House(Struct, frozen=True, kw_only=True):
    """What the routes are made from."""

    store: Store
    tokens: TokenDesk
    teller: Teller
    quirks: Quirks
    faults: FaultLine
    now_s: Callable[[], float]
    mqtt_url: str | None = None
    """Of the broker to which changes are published; None = there is none."""


class Door:
    """The routes of one version."""

    def __init__(self, house: House, version: Version) -> None:
        self._house = house
        self._version = version

    def add_to(self, app: FastAPI) -> None:
        """All routes of the version, below its base path."""
        base = f"{BASE}/{self._version}"
        for name, kind in _COLLECTIONS.items():
            self._add_collection(app, f"{base}/{name}", kind)
        resources = f"{base}/resources" if self._version is Version.V3_1_0 else f"{base}/vens/{{ven_id}}/resources"
        self._add_collection(app, resources, Resource)
        self._add(app, "POST", f"{base}/auth/token", self._token)
        if self._version is Version.V3_1_0:
            self._add(app, "GET", f"{base}/auth/server", self._auth_server)
            self._add(app, "GET", f"{base}/notifiers", self._asked(self._notifiers))
            self._add(app, "GET", f"{base}/notifiers/mqtt/topics/{{path:path}}", self._asked(self._topics))

    def _add_collection(self, app: FastAPI, path: str, kind: type[AnyObject]) -> None:
        for method, suffix, answer in (
            ("GET", "", self._list),
            ("POST", "", self._create),
            ("GET", "/{object_id}", self._get),
            ("PUT", "/{object_id}", self._replace),
            ("DELETE", "/{object_id}", self._delete),
        ):
            self._add(app, method, path + suffix, self._asked(partial(answer, kind)))

    def _add(self, app: FastAPI, method: str, path: str, answer: Answer) -> None:
        async def refused_in_words(request: Request) -> Response:
            try:
                return await answer(request)
            except RefusedError as refused:
                return self._problem(refused)

        app.add_api_route(path, refused_in_words, methods=[method], include_in_schema=False, response_model=None)

    def _asked(self, answer: Callable[[Client, Request], Awaitable[Response]]) -> Answer:
        async def asked(request: Request) -> Response:
            return await answer(self._house.tokens.of(request.headers.get("authorization", "")), request)

        return asked

    def _json(self, value: Any, status: int = 200) -> Response:
        headers = {"date": formatdate(self._house.now_s() + self._house.quirks.date_ahead_s, usegmt=True)}
        return Response(msgspec.json.encode(value), status, headers, "application/json")

    def _problem(self, refused: RefusedError) -> Response:
        if refused.title.startswith("invalid_") or refused.title == "unsupported_grant_type":  # RFC 6749 §5.2
            return self._json({"error": refused.title, "error_description": refused.detail}, refused.status)
        return self._json(
            {"type": "about:blank", "title": refused.title, "status": refused.status, "detail": refused.detail}, refused.status
        )

    def _written(self, thing: AnyObject) -> dict[str, Any]:
        if self._version is Version.V3_1_0 and isinstance(thing, Report):
            thing = msgspec.structs.replace(thing, program_id=None)
        raw = write_object(thing, self._version)
        if isinstance(thing, Subscription) and self._house.teller.speaks_by_verb(thing):
            for wish in raw["objectOperations"]:
                wish["operations"] = [OPERATIONS[one] for one in wish["operations"]]
        return self._house.quirks.dressed(raw)

    async def _list(self, kind: type[AnyObject], who: Client, request: Request) -> Response:
        query = Query(request.query_params.multi_items())
        things: list[AnyObject] = list(self._house.store.visible(who, kind, self._version))
        ven_id = request.path_params.get("ven_id")
        if ven_id is not None:
            self._house.store.get(who, Ven, ven_id, self._version)
            things = [one for one in things if isinstance(one, Resource) and one.ven_id == ven_id]
        page = page_of(things, query, self._house.now_s(), filtering=not self._house.quirks.filters_ignored)
        return self._json([self._written(one) for one in page])

    async def _create(self, kind: type[AnyObject], who: Client, request: Request) -> Response:
        thing = await self._received(kind, request)
        if isinstance(thing, Subscription):
            await self._house.teller.check_echo(thing)
        created = self._house.store.create(who, thing, self._version)
        if isinstance(created, Subscription):
            self._house.teller.subscribed(created, self._version, _names_verbs(await request.body()))
        return self._json(self._written(created), 201)

    async def _get(self, kind: type[AnyObject], who: Client, request: Request) -> Response:
        return self._json(self._written(self._found(who, kind, request)))

    async def _replace(self, kind: type[AnyObject], who: Client, request: Request) -> Response:
        thing = await self._received(kind, request)
        self._found(who, kind, request)
        if isinstance(thing, Subscription):
            await self._house.teller.check_echo(thing)
        return self._json(self._written(self._house.store.replace(who, request.path_params["object_id"], thing, self._version)))

    async def _delete(self, kind: type[AnyObject], who: Client, request: Request) -> Response:
        self._found(who, kind, request)
        return self._json(self._written(self._house.store.delete(who, kind, request.path_params["object_id"], self._version)))

    def _found(self, who: Client, kind: type[AnyObject], request: Request) -> AnyObject:
        found = self._house.store.get(who, kind, request.path_params["object_id"], self._version)
        if isinstance(found, Resource) and request.path_params.get("ven_id", found.ven_id) != found.ven_id:
            raise RefusedError(404, "Not Found", f"The ven has no resource {found.id}.")
        return found

    async def _received(self, kind: type[AnyObject], request: Request) -> AnyObject:
        thing = received(kind, await request.body(), self._version)
        ven_id = request.path_params.get("ven_id")
        return msgspec.structs.replace(thing, ven_id=ven_id) if ven_id is not None and isinstance(thing, Resource) else thing

    async def _token(self, request: Request) -> Response:
        token = self._house.tokens.give(request.headers.get("content-type", ""), await request.body())
        given: dict[str, Any] = {"access_token": token, "token_type": "Bearer"}
        if not self._house.quirks.no_expires_in:
            given["expires_in"] = int(self._house.tokens.life_s)
        return self._json(given)

    async def _auth_server(self, request: Request) -> Response:
        return self._json({"tokenURL": f"{str(request.base_url).rstrip('/')}{BASE}/{self._version}/auth/token"})

    async def _notifiers(self, _who: Client, _request: Request) -> Response:
        bindings: dict[str, Any] = {} if self._house.quirks.no_webhook_key else {"WEBHOOK": True}
        if self._house.mqtt_url is not None:
            authentication = {"method": "ANONYMOUS"}
            bindings["MQTT"] = {"URIS": [self._house.mqtt_url], "serialization": "JSON", "authentication": authentication}
        return self._json(bindings)

    async def _topics(self, who: Client, request: Request) -> Response:
        path = str(request.path_params["path"]).strip("/")
        parts = path.split("/")
        if self._house.mqtt_url is None:
            raise RefusedError(404, "Not Found", "This VTN publishes to no MQTT broker.")
        if path in _BL_TOPICS and who.role is not Role.BUSINESS_LOGIC:
            raise RefusedError(403, "Forbidden", f"The topics of all {path} are for the operator's side.")
        known = path in {"programs", *_BL_TOPICS} or (len(parts) == 2 and parts[0] in ("programs", "vens"))
        nested = {("programs", "events"), ("vens", "events"), ("vens", "programs"), ("vens", "resources")}
        if not known and not (len(parts) == 3 and (parts[0], parts[2]) in nested):
            raise RefusedError(404, "Not Found", f"There are no topics of {path}.")
        if len(parts) > 1:
            self._house.store.get(who, Program if parts[0] == "programs" else Ven, parts[1], self._version)
        topics = {word.upper(): f"{path}/{word}" for word in ("create", "update", "delete") if word != "create" or len(parts) != 2}
        return self._json({"topics": {**topics, "ALL": f"{path}/+"}})


def _names_verbs(body: bytes) -> bool:
    return any(f'"{verb}"'.encode() in body for verb in ("POST", "PUT", "GET"))


def make_app(house: House) -> FastAPI:
    """Both versions, with the faults in front of them."""
    app = FastAPI(title="VTN", openapi_url=None)
    for version in Version:
        Door(house, version).add_to(app)
    app.add_middleware(house.faults.middleware, sleep=asyncio.sleep)
    return app
