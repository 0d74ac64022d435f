"""A judge that has read the official API descriptions, and a VTN whose every request and answer it sees.

`scripts/fetch_openadr.py` lays the description of 3.1.0 beside the virtual environment (`make` runs it). That of 3.0.1 is in no package; it
is read from a folder `<version>/openadr3.yaml` that OPENADR_DESCRIPTIONS names, or from `shared/openadr` beside the checkout, where there
is one. Without it the independent client toadr3, which knows 3.0.1 alone, is the judge of that version.
"""

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jsonschema_rs
import pytest
import yaml
from fastapi import FastAPI
from msgspec import Struct
from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

from counterflow.adapters.openadr.models import Version
from counterflow.sim.vtn.serving import Vtn, beside

CHECKOUT = Path(__file__).parents[3]
FOLDERS = (os.environ.get("OPENADR_DESCRIPTIONS", ""), str(CHECKOUT.parent / "shared" / "openadr"), f"{sys.prefix}/share/openadr")
BEYOND = {("post", "/vens", 409), ("post", "/auth/token", 400)}
"""Answers that the descriptions leave out: 409 to a ven whose name is taken (3.1.0), and RFC 6749's own error document."""


class Exchange(Struct):
    """A request and its answer, as bytes."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes
    status: int = 0
    answered: bytes = b""

    @property
    def version(self) -> Version:
        return Version(self.path.split("/")[2])


class Recorder:
    """An ASGI application that keeps what goes through it."""

    def __init__(self, app: Any, exchanges: list[Exchange]) -> None:
        self.app = app
        self.exchanges = exchanges

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        one = Exchange(scope["method"], scope["path"], parse_qsl(scope["query_string"].decode(), keep_blank_values=True), headers, b"")

        async def heard() -> Any:
            message = await receive()
            one.body += message.get("body", b"")
            return message

        async def said(message: Any) -> None:
            if message["type"] == "http.response.start":
                one.status = message["status"]
            else:
                one.answered += message.get("body", b"")
            await send(message)

        self.exchanges.append(one)  # before it is answered: whoever has the answer finds it here
        await self.app(scope, heard, said)


class Judge:
    """Says what is wrong with an exchange by the official description of its version."""

    def __init__(self) -> None:
        self.descriptions: Mapping[Version, Any] = {version: raw for version in Version if (raw := _description(version)) is not None}
        assert Version.V3_1_0 in self.descriptions, "The API description is missing: run `make test`, or python scripts/fetch_openadr.py."
        self._apis = {version: OpenAPI.from_dict(_served(raw, version)) for version, raw in self.descriptions.items()}

    def knows(self, version: Version) -> bool:
        return version in self._apis

    def faults(self, exchanges: list[Exchange]) -> list[str]:
        """A line for each request that our side should not have sent, and each answer that it should not have given."""
        return [line for one in exchanges if self.knows(one.version) for line in self._faults(one)]

    def operations(self, exchanges: list[Exchange], version: Version) -> set[tuple[str, str]]:
        """(method, path) of the description that were asked."""
        paths = self.descriptions[version]["paths"]
        asked = set()
        for one in exchanges:
            if one.version is version:
                parts = one.path.split("/")[3:]
                for path in paths:
                    names = path.strip("/").split("/")
                    if len(names) == len(parts) and all(
                        name.startswith("{") or name == part for name, part in zip(names, parts, strict=True)
                    ):
                        asked.add((one.method.lower(), path))
        return asked

    def all_operations(self, version: Version) -> set[tuple[str, str]]:
        paths = self.descriptions[version]["paths"]
        return {(method, path) for path, item in paths.items() for method in item if method in ("get", "post", "put", "delete")}

    def _faults(self, one: Exchange) -> Iterator[str]:
        where = f"{one.method} {one.path}"
        request = MockRequest(
            "http://vtn", one.method, one.path, args=_grouped(one.query), headers=one.headers, data=one.body or None,
            content_type=one.headers.get("content-type", "application/json").split(";")[0],
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "Unsupported scheme type": of OAuth2 it checks nothing
            refused_on_purpose = one.status in (400, 401)
            if not refused_on_purpose:
                try:
                    self._apis[one.version].validate_request(request)
                except OpenAPIError as fault:
                    yield f"request {where}: {fault} {_why(fault)}"
            short = f"/{'/'.join(one.path.split('/')[3:])}"
            if (one.method.lower(), short, one.status) not in BEYOND and not (one.version is Version.V3_0_1 and one.status == 401):
                try:
                    self._apis[one.version].validate_response(request, MockResponse(one.answered, one.status))
                except OpenAPIError as fault:
                    yield f"answer {one.status} to {where}: {fault} {_why(fault)}"

    def notification_faults(self, body: bytes, version: Version) -> list[str]:
        """By the schema `notification`; the object by that of its kind."""
        schemas = _served(self.descriptions[version], version)["components"]["schemas"]
        raw = json.loads(body)
        kind = str(raw["objectType"]).lower()
        own = {"$ref": f"#/components/schemas/{kind}"}
        shallow = {**schemas["notification"], "properties": {**schemas["notification"]["properties"], "object": own}}
        validator = jsonschema_rs.Draft4Validator(
            {**_nullable(shallow), "components": {"schemas": _nullable(schemas)}}, validate_formats=True
        )
        return [error.message for error in validator.iter_errors(raw)]


def _description(version: Version) -> Any:
    for folder in FOLDERS:
        path = Path(folder) / version / "openadr3.yaml"
        if folder and path.is_file():
            return yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return None


def _served(raw: Any, version: Version) -> Any:
    """The description under our base path, without slips that nothing could satisfy.

    Discriminators name no schema: EVENT_PAYLOAD_DESCRIPTOR is that of eventPayloadDescriptor. In 3.1.0 a default is `null          -`,
    which is no list, and the `objectType` of vens and resources would have to be both VEN and BL_VEN_REQUEST.
    """
    copy = json.loads(json.dumps(raw, default=str))
    copy["servers"] = [{"url": f"/openadr3/{version}"}]
    schemas = copy["components"]["schemas"]
    for kind in ("event", "report"):
        name = f"{kind}PayloadDescriptor"
        mapping = schemas["programRequest" if version is Version.V3_1_0 else "program"]["properties"]["payloadDescriptors"]["items"][
            "discriminator"
        ]
        mapping.setdefault("mapping", {})[f"{kind.upper()}_PAYLOAD_DESCRIPTOR"] = f"#/components/schemas/{name}"
    if version is Version.V3_1_0:
        schemas["BlVenRequest"]["properties"]["targets"]["default"] = None
        for kind, request in (("ven", "BlVenRequest"), ("resource", "BlResourceRequest")):
            own = json.loads(json.dumps(schemas[request]))
            del own["properties"]["objectType"]
            schemas[kind]["allOf"][1] = own
    return copy


def _nullable(schema: Any) -> Any:
    """OpenAPI 3.0's `nullable` in JSON Schema's words."""
    if isinstance(schema, list):
        return [_nullable(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _nullable(value) for key, value in schema.items() if key not in ("discriminator", "example", "nullable")}
    if schema.get("nullable") is True and isinstance(schema.get("type"), str):
        made["type"] = [schema["type"], "null"]
    return made


def _grouped(query: list[tuple[str, str]]) -> Any:
    grouped: dict[str, list[str]] = {}
    for name, value in query:
        grouped.setdefault(name, []).append(value)
    return grouped


def _why(fault: BaseException) -> str:
    cause = fault.__cause__
    return "; ".join(error.message[:160] for error in getattr(cause, "schema_errors", ()) or ()) or str(cause)


@pytest.fixture(scope="session")
def judge() -> Judge:
    return Judge()


def watched(app: FastAPI) -> list[Exchange]:
    """Every exchange of the application from now on."""
    exchanges: list[Exchange] = []
    app.add_middleware(Recorder, exchanges=exchanges)
    return exchanges


@pytest.fixture
def watching() -> Callable[[FastAPI], list[Exchange]]:
    return watched


class Watched(Struct):
    """A VTN and all that was said to it and by it."""

    vtn: Vtn
    exchanges: list[Exchange]


@pytest.fixture
def scene() -> Iterator[Watched]:
    with beside(mqtt_url="mqtt://127.0.0.1:1883") as vtn:
        yield Watched(vtn, watched(vtn.app))
