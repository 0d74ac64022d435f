import httpx
import pytest

from counterflow.adapters.web.api import PREFIX
from counterflow.adapters.web.auth import TokenCheck
from counterflow.adapters.web.gate import OPEN_PATHS

TOKEN = "a-token-for-the-tests-0123456789"


def all_routes(routes, prefix=""):
    """(method, path) of every route of the application, those of included routers among them."""
    for route in routes:
        if hasattr(route, "original_router"):
            yield from all_routes(route.original_router.routes, prefix + route.include_context.prefix)
        else:
            yield from ((method, prefix + route.path) for method in route.methods)


def test_every_route_but_health_refuses_without_a_token(app, client, operations):
    found = set(all_routes(app.routes))
    assert len(found) >= 22
    assert ("DELETE", f"{PREFIX}/dispatches/{{dispatch_id}}") in found
    for method, path in sorted(found):
        for token in (None, "wrong", TOKEN[:-1], TOKEN + "x"):
            response = client.ask(method, path, whole=True, token=token)
            if path in OPEN_PATHS:
                assert response.status_code in (200, 503)
            else:
                assert response.status_code == 401, (method, path)
                assert response.headers["www-authenticate"] == "Bearer"
                assert response.headers["content-type"] == "application/problem+json"
    assert operations.calls == []


def test_only_health_and_readiness_are_open():
    assert set(OPEN_PATHS) == {"/healthz", "/readyz"}


@pytest.mark.parametrize("path", ["/nothing", "/healthz/", "//healthz", "/api/v1/../healthz", "/openapi.json", "/metrics"])
def test_what_only_looks_like_health_is_closed(client, path):
    assert client.ask("GET", path, whole=True, token=None).status_code == 401


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN} x", "Bearer \udcff"])
def test_other_headers_show_no_token(header):
    assert TokenCheck({TOKEN}).bearer(header) is None


def test_each_of_several_tokens_is_good_and_has_its_own_name():
    other = "another-token-for-the-tests-0123"
    check = TokenCheck({TOKEN, other})
    names = {check.bearer(f"Bearer {TOKEN}"), check.bearer(f"bearer {other}")}
    assert len(names) == 2
    assert None not in names
    assert not any(token[:8] in name for name in names for token in (TOKEN, other))


@pytest.mark.parametrize("tokens", [set(), {""}, {"short"}])
def test_a_server_without_a_real_token_does_not_start(tokens):
    with pytest.raises(ValueError, match="token"):
        TokenCheck(tokens)


def test_a_page_from_elsewhere_is_not_allowed_in(client):
    response = client.ask("OPTIONS", "/fleet", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "GET"})
    assert not [name for name in response.headers if name.startswith("access-control")]
    assert httpx.codes.is_error(response.status_code)
