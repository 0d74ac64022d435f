"""Every error as an RFC 9457 problem document: what is wrong in one sentence, and what to do."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from counterflow.adapters.web.patterns import ACTION_PATTERN, KEY_PATTERN, SERIAL_PATTERN, STATION_ID_PATTERN
from counterflow.domain.views import Refusal, RefusalKind

MEDIA_TYPE = "application/problem+json"
REQUEST_ID = "X-Request-Id"
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
"""On every answer."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_LONGEST = 1000
TYPE_PREFIX = "urn:counterflow:problem:"

STATUS_OF: dict[RefusalKind, int] = {
    RefusalKind.NOT_FOUND: 404,
    RefusalKind.INVALID: 422,
    RefusalKind.CONFLICT: 409,
    RefusalKind.STOPPED: 409,
    RefusalKind.OFFLINE: 503,
    RefusalKind.TIMED_OUT: 504,
    RefusalKind.OVERLOADED: 503,
    RefusalKind.TOO_LITTLE: 409,
    RefusalKind.TOO_OFTEN: 429,
}
"""A refusal's HTTP status; the problem's `type` tells kinds of one status apart."""

RETRY_AFTER_S = {429: "1", 503: "5"}

TITLES: dict[int, str] = {
    400: "The request cannot be read",
    401: "A token is needed",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Conflict",
    413: "The request is too large",
    415: "The request is not JSON",
    422: "The request is not valid",
    429: "Too many requests",
    500: "Something went wrong in the server",
    503: "Not possible now",
    504: "No answer in time",
}


class Problem(BaseModel):
    """RFC 9457."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:counterflow:problem:conflict",
                    "title": "Conflict",
                    "status": 409,
                    "detail": "Dispatch d-3f2a runs until 17:15Z in the same pool.",
                    "remedy": "Cancel it, or order with a higher priority.",
                    "instance": "/api/v1/dispatches",
                    "conflicting": "d-3f2a",
                    "request_id": "0b6c5e1e8d5c4d53a6a1f4f7f0b0c9aa",
                }
            ]
        }
    )

    type: str = Field(description="What kind of problem; stable, meant for programs.")
    title: str = Field(description="The kind in words.")
    status: int = Field(description="HTTP status.")
    detail: str = Field(description="What is wrong, in a sentence.")
    remedy: str | None = Field(default=None, description="What to do about it, in a sentence.")
    instance: str = Field(description="Path of the request.")
    request_id: str | None = Field(default=None, description="Also in the header X-Request-Id.")
    conflicting: str | None = Field(default=None, description="The dispatch in the way, when there is one.")
    errors: list[dict[str, str]] | None = Field(default=None, description="One entry a field: `field` and `detail`.")


def problem(
    request: Request,
    status: int,
    kind: str,
    detail: str,
    *,
    remedy: str | None = None,
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> Response:
    """A problem response. Members that are None are left out."""
    document = {
        "type": TYPE_PREFIX + kind,
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail if len(detail) <= _LONGEST else detail[:_LONGEST] + " ...",
        "remedy": remedy,
        "instance": request.url.path,
        "request_id": request.scope.get("state", {}).get("request_id"),
        **members,
    }
    # Sentences may quote what came in, and that may hold what is no text in UTF-8; the escapes of json.dumps can carry it.
    content = json.dumps({name: value for name, value in document.items() if value is not None}).encode()
    return Response(content, status, dict(headers or {}), MEDIA_TYPE)


def refused(request: Request, refusal: Refusal) -> Response:
    """A refusal of the engine as a problem."""
    status = STATUS_OF[refusal.kind]
    return problem(
        request,
        status,
        refusal.kind.value,
        refusal.sentence,
        remedy=refusal.remedy,
        conflicting=refusal.conflicting,
        headers={"Retry-After": RETRY_AFTER_S[status]} if status in RETRY_AFTER_S else None,
    )


def install(app: FastAPI) -> None:
    """Answer every error of the framework and every exception of ours as a problem."""
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _broken)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = error.headers
    match error.status_code:
        case 404:
            return problem(
                request,
                404,
                "no-such-path",
                f"There is nothing at {request.url.path}.",
                remedy="GET /openapi.json (with the token) lists what there is; docs/api.md explains it.",
            )
        case 405:
            allowed = ", ".join(_methods_at(request))
            return problem(
                request,
                405,
                "method-not-allowed",
                f"{request.method} is not possible at {request.url.path}.",
                remedy=f"Possible: {allowed}.",
                headers={**(headers or {}), "Allow": allowed},
            )
        case 403:
            return problem(request, 403, "not-allowed", f"{error.detail}.", remedy="Ask an administrator for a token that allows it.")
        case 413:
            return problem(request, 413, "too-large", "The request body is larger than this server reads.", remedy="Send less.")
        case 400:
            return problem(request, 400, "unreadable", f"The body cannot be read: {error.detail}.", remedy="Send JSON in UTF-8.")
        case status:
            return problem(request, status, "http-error", f"{error.detail}.", headers=headers)


def _methods_at(request: Request) -> list[str]:
    """The methods that some route of this path takes; the framework names those of the first route only."""
    scopes = {method: {**request.scope, "method": method} for method in METHODS}
    return [method for method, scope in scopes.items() if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes)]


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [{"field": _field(entry["loc"])[:100], "detail": _sentence(entry)[:_LONGEST]} for entry in error.errors()[:20]]
    content_type = request.headers.get("content-type", "")
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return problem(request, 400, "unreadable", f"The body is not JSON: {first.get('ctx', {}).get('error', 'it cannot be read')}.")
    if first["loc"] == ("body",) and "json" not in content_type and request.headers.get("content-length", "0") != "0":
        return problem(
            request,
            415,
            "not-json",
            f"The body is '{content_type or 'of no stated type'}'.",
            remedy="Send JSON with Content-Type: application/json.",
        )
    detail = " ".join(f"{each['field']}: {each['detail']}" if each["field"] else each["detail"] for each in found)
    return problem(request, 422, "invalid", detail, errors=found)


async def _broken(request: Request, error: Exception) -> Response:
    # This answer is sent outside of the gate, so it brings the gate's headers itself.
    return problem(
        request,
        500,
        "internal",
        f"An error of the server ({type(error).__name__}) kept it from answering; whether the request took effect is unknown.",
        remedy="Look at the state before you try again; the server's log has the details.",
        headers={REQUEST_ID: request.state.request_id, **HEADERS},
    )


def _field(location: tuple[int | str, ...]) -> str:
    parts = [str(part) for part in location if part not in ("body", "query", "path", "header")]
    return ".".join(part for part in parts if "[" not in part)


_WANTED = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a number that is not infinite",
    "bool_type": "true or false",
    "string_type": "a text",
    "dict_type": "a JSON object",
    "model_type": "a JSON object",
    "model_attributes_type": "a JSON object",
}
"""What Pydantic wanted, by the type of its error."""
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "string_too_short": ("at least", "min_length"),
    "string_too_long": ("at most", "max_length"),
}
_PATTERNS = {
    STATION_ID_PATTERN: "a station's identity has 1 to 48 characters: letters, digits and * - _ = : + | @ . (OCPP identifierString).",
    ACTION_PATTERN: "an OCPP action has 1 to 64 letters and digits, such as GetVariables.",
    KEY_PATTERN: "a key has 1 to 200 printable ASCII characters without spaces.",
    SERIAL_PATTERN: "a certificate's serial number has 1 to 40 hexadecimal digits.",
}


def _counted(limit: float, kind: str) -> str:
    letters = "" if not kind.startswith("string") else " character" if limit == 1 else " characters"
    return f"{limit:g}{letters}"


def _quoted(value: object) -> str:
    text = str(value)
    return f"'{text if len(text) <= 40 else text[:40] + ' ...'}'"


def _sentence(entry: dict[str, Any]) -> str:
    match entry["type"]:
        case "missing":
            return "this is needed."
        case "extra_forbidden":
            return "there is no such field."
        case "value_error":
            return str(entry["ctx"]["error"])
        case kind if kind in _WANTED:
            return f"this must be {_WANTED[kind]}."
        case kind if kind in _BOUNDS:
            word, limit = _BOUNDS[kind]
            return f"this must be {word} {_counted(entry['ctx'][limit], kind)}."
        case "string_pattern_mismatch":
            return _PATTERNS.get(entry["ctx"]["pattern"], "this has characters that are not possible here.")
        case "enum" | "literal_error":
            return f"{_quoted(entry['input'])} is not possible here; choose {entry['ctx']['expected']}."
        case _:
            text = str(entry["msg"]).strip()
            return text[0].lower() + text[1:] + ("" if text.endswith(".") else ".")
