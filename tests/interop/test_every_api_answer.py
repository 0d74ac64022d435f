"""The HTTP API held against its own description by schemathesis, over real sockets: a served process, simulated stations, every role.

For each operation requests are made up that fit the description, and such that break it. Whatever comes back must be in the
description: its status, its media type, its body to the last field. What breaks the rules is refused, every refusal is a problem document,
and nothing is ever a fault of the server. The requests are the same in every run; COUNTERFLOW_EXAMPLES=fresh makes up new ones, and more.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from counterflow.adapters.web.roles import PREFIX, least_role
from counterflow.domain.access import Role

STATIONS = 3
EXAMPLES = 100 if os.environ.get("COUNTERFLOW_EXAMPLES") == "fresh" else 8
"""Requests of each kind (right, wrong) and operation, by the least role that may ask; one by every other role."""
PROGRAM = '[[programs]]\nname = "tso"\nexternal_id = "grid"\nwire = "http"\nsign = "load"\nunit = "kW"\nmax_discharge_power_w = 1e6\n'
COMMAND = (sys.executable, "-c", "from counterflow.app.cli import main; main()")
ENDLESS = frozenset({"GET /api/v1/events", "GET /api/v1/telemetry/stream"})
"""Their answers never end, so only their heads are looked at."""
CHECKS: list[Any] = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]


PHASES = [hypothesis.Phase.generate]
ANY_HEALTH = list(hypothesis.HealthCheck)


class Api:
    """The served API, a token for each role, and names that lead somewhere."""

    def __init__(self, served: Any, document: dict[str, Any], tokens: dict[Role, str], names: dict[str, list[str]]) -> None:
        self.served = served
        schema = schemathesis.openapi.from_dict(document)
        schema.config.generation.with_security_parameters = False  # the token is the test's own
        self.tokens = tokens
        self.names = names
        self.operations = sorted(
            (found.ok() for found in schema.get_all_operations()), key=lambda one: (one.method.upper() in ("POST", "DELETE"), one.label)
        )

    def send(self, case: Any, session: requests.Session) -> requests.Response:
        """One request; of an endless answer only the head is read."""
        how = case.as_transport_kwargs(base_url=self.served.api_url)
        endless = case.operation.label in ENDLESS
        answer = session.request(**how, stream=endless, timeout=30.0)
        if endless and answer.status_code == 200:
            answer._content = b""
            answer.close()
        return answer


@pytest.fixture(scope="module")
def api(serve_all: Any) -> Iterator[Api]:
    served = serve_all(
        "[api]\nmax_event_streams = 4\n[ocpp]\ncall_timeout_s = 2.0\n" + PROGRAM, "--accept-unknown-stations", "--default-consent"
    )
    arguments = ("simulate", "--stations", str(STATIONS), "--url", served.ocpp_url)
    fleet = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.DEVNULL)
    try:
        yield _furnished(served)
    finally:
        fleet.kill()
        fleet.wait()


def _furnished(served: Any) -> Api:
    """With cars that are ready, an order, an agreement and a priority."""
    with httpx.Client(base_url=served.api_url, headers=served.authorization, timeout=30.0) as root:
        while root.get("/api/v1/fleet").json()["sessions_ready"] < STATIONS:
            assert served.alive
        asked = ({"name": role.name.lower(), "role": role.name.lower()} for role in Role)
        tokens = {role: root.post("/api/v1/tokens", json=body).json()["token"] for role, body in zip(Role, asked, strict=True)}
        order = root.post("/api/v1/dispatches", json={"discharge_power_w": 1000, "duration_s": 3600}).json()
        root.patch("/api/v1/drivers", json={"scope": "contract", "id": "DECF1", "terms": {"consent": True}}).raise_for_status()
        session = root.get("/api/v1/sessions").json()[0]
        names = {
            "station_id": [session["station_id"], "SIM-00003", "NOBODY"],
            "transaction_id": [session["transaction_id"]],
            "dispatch_id": [order["dispatch"]["instruction"]["dispatch_id"]],
            "scope": ["contract"],
            "subject": ["DECF1"],
            "name": ["nobody", "tso"],
            "key": ["o-1"],
        }
        return Api(served, root.get("/openapi.json").json(), tokens, names)


@pytest.mark.parametrize("role", Role)
def test_every_answer_is_in_the_description(api: Api, role: Role) -> None:
    seen: Counter[int] = Counter()
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {api.tokens[role]}"
        for operation in api.operations:
            least = least_role(operation.method.upper(), operation.path.removeprefix(PREFIX))
            examples = EXAMPLES if role is least and (operation.body or any(operation.iter_parameters())) else 1
            seen += _play(api, session, operation, GenerationMode.POSITIVE, examples)
            if operation.body or any(_can_be_wrong(parameter) for parameter in operation.iter_parameters()):
                seen += _play(api, session, operation, GenerationMode.NEGATIVE, examples)
    assert {200, 404, 422} <= set(seen), seen
    assert (seen[403] == 0) is (role is Role.ADMIN), seen
    assert api.served.alive
    assert "Traceback" not in api.served.log


def _can_be_wrong(parameter: Any) -> bool:
    """Any text at all may be the name of something."""
    return parameter.location != "path" or {"type", "title"} < set(parameter.definition["schema"])


def _play(api: Api, session: requests.Session, operation: Any, mode: GenerationMode, examples: int) -> Counter[int]:
    """Ask for one operation in many ways; how often each status came."""
    seen: Counter[int] = Counter()

    @hypothesis.settings(max_examples=examples, database=None, phases=PHASES, suppress_health_check=ANY_HEALTH)
    @hypothesis.given(st.data())
    def ask(data: Any) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        if mode is GenerationMode.POSITIVE:
            for name in set(case.path_parameters or ()) & set(api.names):
                case.path_parameters[name] = data.draw(st.sampled_from(api.names[name]))
        answer = api.send(case, session)
        seen[answer.status_code] += 1
        case.validate_response(answer, checks=CHECKS)
        assert answer.status_code != 500, answer.text
        if answer.status_code >= 400:
            assert answer.headers["Content-Type"] == "application/problem+json"

    ask()
    return seen
