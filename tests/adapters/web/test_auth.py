import re
from hashlib import sha256

import httpx
import pytest
from msgspec.structs import replace

from counterflow.adapters.web.api import described
from counterflow.adapters.web.audit import told
from counterflow.adapters.web.auth import TokenCheck
from counterflow.adapters.web.examples import EXAMPLES
from counterflow.adapters.web.gate import OPEN_PATHS
from counterflow.adapters.web.roles import NAMED, PREFIX, least_role
from counterflow.domain.access import ApiToken, Role
from counterflow.domain.dispatch_views import DispatchView

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


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        (f"/fleet?token={TOKEN}", {}),
        (f"/fleet?access_token={TOKEN}", {}),
        (f"/fleet?Authorization=Bearer%20{TOKEN}", {}),
        (f"/fleet#{TOKEN}", {}),
        ("/fleet", {"Cookie": f"token={TOKEN}; Authorization=Bearer {TOKEN}"}),
        ("/fleet", {"X-Api-Key": TOKEN, "Proxy-Authorization": f"Bearer {TOKEN}", "X-Forwarded-Authorization": f"Bearer {TOKEN}"}),
        ("/fleet", [("Authorization", "Bearer wrong"), ("Authorization", f"Bearer {TOKEN}")]),
        ("/fleet", {"Authorization": f"Bearer {sha256(TOKEN.encode()).hexdigest()}"}),
        ("/fleet", {"Authorization": f"Bearer {TOKEN.upper()}"}),
        ("/fleet", {"Authorization": f"Bearer {TOKEN}, Bearer {TOKEN}"}),
    ],
    ids=["query", "access_token", "header in the query", "fragment", "cookie", "other headers", "second header", "digest", "case", "list"],
)
def test_a_token_counts_in_its_header_only_and_is_nowhere_repeated(client, operations, path, headers):
    response = client.ask("GET", path, token=None, headers=headers)
    assert response.status_code == 401
    assert TOKEN not in response.text
    assert TOKEN not in str(response.headers)
    assert operations.calls == []


@pytest.mark.parametrize("shown", ["Bearer wrong", f"Bearer {TOKEN}", f"Bearer {TOKEN[:-1]}", "Basic x", None])
def test_every_token_is_compared_whatever_is_shown_so_that_the_time_tells_nothing(monkeypatch, shown):
    compared = []
    monkeypatch.setattr("hmac.compare_digest", lambda one, other: compared.append(other) or one == other)
    named = [ApiToken(name=f"n{number}", role="viewer", digest=f"{number:064}", added_at_s=0.0, added_by="x") for number in range(5)]
    TokenCheck({TOKEN}, lambda: named).bearer(shown)
    assert len(compared) == 6
    assert {len(digest) for digest in compared} == {64}


def test_each_of_several_tokens_is_good_and_has_its_own_name():
    other = "another-token-for-the-tests-0123"
    check = TokenCheck({TOKEN, other})
    bearers = [check.bearer(f"Bearer {TOKEN}"), check.bearer(f"bearer {other}")]
    names = {bearer.name for bearer in bearers if bearer is not None}
    assert len(names) == 2
    assert not any(token[:8] in name for name in names for token in (TOKEN, other))


@pytest.mark.parametrize("tokens", [set(), {""}, {"short"}])
def test_a_server_without_a_real_token_does_not_start(tokens):
    with pytest.raises(ValueError, match="token"):
        TokenCheck(tokens)


def test_a_page_from_elsewhere_is_not_allowed_in(client):
    response = client.ask("OPTIONS", "/fleet", headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "GET"})
    assert not [name for name in response.headers if name.startswith("access-control")]
    assert httpx.codes.is_error(response.status_code)


ROLES = {role: f"a-token-of-a-{role.name.lower()}-0123456789" for role in Role}


@pytest.fixture
def named(operations):
    operations.named = [
        ApiToken(name=role.name.lower(), role=role.name.lower(), digest=sha256(token.encode()).hexdigest(), added_at_s=0.0, added_by="x")
        for role, token in ROLES.items()
    ]
    return operations


def ordered_by(name):
    view = EXAMPLES[DispatchView]
    return replace(view, instruction=replace(view.instruction, ordered_by=name))


def test_every_route_is_refused_to_the_roles_below_its_own(app, client, named, monkeypatch):
    monkeypatch.setattr(named, "dispatch", lambda _name: ordered_by("api:grid"))
    seen = set()
    for path, operations in described(app)["paths"].items():
        for method in operations:
            if not path.startswith(PREFIX) or path in (f"{PREFIX}/events", f"{PREFIX}/telemetry/stream"):
                continue
            needed = least_role(method.upper(), path.removeprefix(PREFIX))
            seen.add(needed)
            for role, token in ROLES.items():
                status = client.ask(method.upper(), re.sub(r"\{[^}]+\}", "x", path), whole=True, token=token).status_code
                assert (status == 403) is (role < needed), (method, path, role)
    assert seen == set(Role)


def test_every_role_that_is_named_is_of_a_route_that_there_is(app):
    known = {(method.upper(), path.removeprefix(PREFIX)) for path, operations in described(app)["paths"].items() for method in operations}
    assert set(NAMED) <= known


def test_the_grid_changes_only_what_it_has_ordered_itself(client, named, monkeypatch):
    assert client.ask("DELETE", "/dispatches/d-1", token=ROLES[Role.GRID]).status_code == 403
    assert client.ask("DELETE", "/dispatches/d-1", token=ROLES[Role.OPERATOR]).status_code == 200
    monkeypatch.setattr(named, "dispatch", lambda _name: ordered_by("api:grid"))
    assert client.ask("DELETE", "/dispatches/d-1", token=ROLES[Role.GRID]).status_code == 200


def test_a_token_that_was_revoked_is_void_with_the_next_request(client, named):
    assert client.ask("GET", "/fleet", token=ROLES[Role.VIEWER]).status_code == 200
    named.named = []
    assert client.ask("GET", "/fleet", token=ROLES[Role.VIEWER]).status_code == 401


def test_what_was_asked_for_is_in_the_audit_log_with_who_and_without_secrets(client, named):
    body = {"station_id": "CS-1", "password": "a secret of a station"}
    assert client.ask("POST", "/stations", token=ROLES[Role.OPERATOR], json=body).status_code == 201
    assert client.ask("DELETE", "/dispatches/d-1", token=ROLES[Role.VIEWER]).status_code == 403
    assert client.ask("GET", "/fleet", token=ROLES[Role.VIEWER]).status_code == 200
    added, refused = named.recorded
    assert (added.who, added.role, added.action, added.status) == ("api:operator", "operator", "POST /api/v1/stations", 201)
    assert added.sent == {"station_id": "CS-1", "password": "(not kept)"}
    assert (refused.who, refused.status) == ("api:viewer", 403)
    assert refused.before["dispatch_id"] == refused.after["dispatch_id"]
    assert "secret" not in repr(named.recorded)


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b"", None),
        (b"\xff", "(not JSON)"),
        (b"[" * 20_000, "(20000 bytes)"),
        (b'[{"ID": "DECF1", "note": "x"}]', [{"ID": "(not kept)", "note": "x"}]),
    ],
)
def test_whatever_was_sent_can_be_kept(body, kept):
    assert told(body) == kept


def test_a_view_that_fails_keeps_no_emergency_stop_from_getting_through(client, named, monkeypatch):
    def broken():
        raise OSError("the disk")

    monkeypatch.setattr(named, "fleet", broken)
    client.ask("POST", "/emergency-stop", token=ROLES[Role.OPERATOR])
    assert ("emergency_stop", True, "api:operator") in named.calls
