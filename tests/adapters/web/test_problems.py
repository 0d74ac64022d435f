import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.adapters.web.problems import STATUS_OF
from counterflow.domain.views import RefusalKind

ORDER = {"discharge_power_w": "2.5MW", "duration_s": "15min"}
REFUSABLE = [
    ("GET", "/stations/CS-1", None),
    ("POST", "/stations", {"station_id": "CS-1"}),
    ("DELETE", "/stations/CS-1", None),
    ("POST", "/stations/CS-1/discovery", None),
    ("POST", "/stations/CS-1/restore-settings", None),
    ("POST", "/stations/CS-1/calls", {"action": "Reset", "payload": {}}),
    ("GET", "/sessions/CS-1/T1", None),
    ("POST", "/dispatches", ORDER),
    ("GET", "/dispatches/d-1", None),
    ("PATCH", "/dispatches/d-1", {"discharge_power_w": "1MW"}),
    ("DELETE", "/dispatches/d-1", None),
    ("GET", "/dispatches/d-1/series", None),
    ("GET", "/dispatches/d-1/report?format=png", None),
]


def check(response, status, kind, whole=True):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["type"] == f"urn:counterflow:problem:{kind}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"].endswith("." if whole else "...")
    assert document["instance"].startswith("/")
    assert document["request_id"] == response.headers["x-request-id"]
    return document


def test_every_kind_of_refusal_has_a_status():
    assert set(STATUS_OF) == set(RefusalKind)


@pytest.mark.parametrize("kind", list(RefusalKind))
@pytest.mark.parametrize(("method", "path", "body"), REFUSABLE)
def test_a_refusal_is_a_problem_with_its_remedy(client, refuse, method, path, body, kind):
    refuse(kind)
    document = check(client.ask(method, path, json=body), STATUS_OF[kind], kind.value)
    assert document["detail"] == "This does not work."
    assert document["remedy"] == "Do that instead."
    assert document["conflicting"] == "d-1"


@pytest.mark.parametrize("path", ["/", "/api/v1", "/api/v1/nothing", "/api/v1/dispatches/d-1/nothing", "/docs", "/redoc", "/api/v1/fleet/"])
def test_an_unknown_path_is_a_problem(client, path):
    check(client.ask("GET", path, whole=True), 404, "no-such-path")


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/dispatches"), ("POST", "/fleet"), ("PATCH", "/emergency-stop"), ("DELETE", "/sessions")]
)
def test_a_wrong_method_is_a_problem_that_names_the_right_ones(client, method, path):
    response = client.ask(method, path)
    document = check(response, 405, "method-not-allowed")
    assert response.headers["allow"]
    assert response.headers["allow"] in document["remedy"]


@pytest.mark.parametrize(
    ("path", "methods"),
    [("/dispatches", "GET, POST"), ("/dispatches/d-1", "GET, PATCH, DELETE"), ("/emergency-stop", "GET, POST, DELETE"), ("/fleet", "GET")],
)
def test_every_method_of_a_path_is_allowed_not_those_of_its_first_route_only(client, path, methods):
    response = client.ask("PUT", path)
    assert sorted(response.headers["allow"].split(", ")) == sorted(methods.split(", "))


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("/dispatches", ORDER | {"policy": "fast"}, "policy: 'fast' is not possible here; choose 'hybrid', 'proportional', "),
        ("/dispatches", ORDER | {"priority": "x"}, "priority: this must be a whole number."),
        ("/dispatches", ORDER | {"priority": 5000}, "priority: this must be at most 1000."),
        ("/dispatches", ORDER | {"pool": ""}, "pool: this must be at least 1 character."),
        ("/dispatches", ORDER | {"dry_run": "yes"}, "dry_run: this must be true or false."),
        ("/dispatches", [1], "this must be a JSON object."),
        ("/stations", {"station_id": "a b"}, "station_id: a station's identity has 1 to 48 characters"),
        ("/stations/a/calls", {"action": "X Y", "payload": []}, "action: an OCPP action has 1 to 64 letters and digits"),
    ],
)
def test_what_is_wrong_is_said_in_our_words_not_in_those_of_a_schema(client, path, body, sentence):
    assert sentence in check(client.ask("POST", path, json=body), 422, "invalid")["detail"]


def test_a_key_that_cannot_be_one_is_refused_in_words(client):
    response = client.ask("POST", "/dispatches", json=ORDER, headers={"Idempotency-Key": "a b"})
    assert "without spaces" in check(response, 422, "invalid")["detail"]


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b"[" * 3000])
def test_what_is_not_json_is_a_problem(client, content):
    response = client.ask("POST", "/dispatches", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code in (400, 413, 422)
    check(response, response.status_code, response.json()["type"].rsplit(":", 1)[1])


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_a_body_of_another_type_is_a_problem(client, content_type):
    response = client.ask(
        "POST", "/dispatches", content=b'{"discharge_power_w": "1MW", "duration_s": 5}', headers={"Content-Type": content_type}
    )
    assert "Content-Type: application/json" in check(response, 415, "not-json")["remedy"]


def test_each_wrong_field_is_named(client):
    document = check(client.ask("POST", "/dispatches", json={"discharge_power_w": "1", "duration_s": "1", "x": 1}), 422, "invalid")
    assert {each["field"] for each in document["errors"]} == {"discharge_power_w", "duration_s", "x"}


def test_a_large_body_is_refused_by_its_stated_length(client, operations):
    check(client.ask("POST", "/dispatches", json={"pool": "x" * 5000}), 413, "too-large")


def test_a_large_body_is_refused_when_it_states_no_length(client, operations):
    async def drips():
        for _ in range(100):
            yield b" " * 100

    response = client.ask("POST", "/dispatches", content=drips(), headers={"Content-Type": "application/json"})
    check(response, 413, "too-large")
    assert operations.calls == []


def test_an_exception_is_a_problem_that_tells_nothing_of_the_inside(client, operations):
    operations.failure = RuntimeError("password=hunter2")
    response = client.ask("GET", "/dispatches/d-1")
    document = check(response, 500, "internal")
    assert "hunter2" not in response.text
    assert "unknown" in document["detail"]


def test_a_request_id_is_echoed_and_an_unusable_one_replaced(client):
    assert client.ask("GET", "/fleet", headers={"X-Request-Id": "abc-1.2_3"}).headers["x-request-id"] == "abc-1.2_3"
    replaced = client.ask("GET", "/fleet", headers={"X-Request-Id": "a b\tc"}).headers["x-request-id"]
    assert len(replaced) == 32


@pytest.mark.parametrize("payload", [b'{"a": NaN}', b'{"a": -Infinity}', b'{"a": "\\ud800"}', b'{"\\ud800": 1}'])
@pytest.mark.parametrize("path", ["/stations/CS-1/calls", "/dispatches"])
def test_what_only_python_takes_for_json_is_refused(client, operations, path, payload):
    content = b'{"action": "Reset", "payload": ' + payload + b"}"
    response = client.ask("POST", path, content=content, headers={"Content-Type": "application/json"})
    check(response, 400, "unreadable")
    assert operations.calls == []


def test_what_is_quoted_back_is_bounded(client):
    document = check(client.ask("POST", "/dispatches", json={"duration_s": "y" * 3000, "z" * 500: 1}), 422, "invalid", whole=False)
    assert len(document["detail"]) < 1100


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.sampled_from(["2MW", "15min", "-1kW", "1e5W"])
)
names = st.sampled_from(["discharge_power_w", "duration_s", "start", "start_s", "pool", "policy", "mode", "priority", "dry_run", "x"])
bodies = st.one_of(
    scalars, st.lists(scalars, max_size=3), st.dictionaries(names, st.one_of(scalars, st.lists(scalars, max_size=2)), max_size=8)
)


@settings(max_examples=80)
@given(body=bodies)
def test_no_body_breaks_the_server_or_reaches_the_engine_unchecked(body, app, make_client):
    client, operations = make_client(app)
    response = client.ask("POST", "/dispatches", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert response.status_code in (200, 201, 400, 422)
    if response.status_code >= 400:
        assert response.headers["content-type"] == "application/problem+json"
    for _, order, _, _ in operations.calls:
        assert 0.0 < order.discharge_power_w <= 100e9
        assert 0.0 < order.duration_s <= 7 * 86_400.0
