"""A VTN on a free port, and clients of ours that speak to it in plain JSON."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from counterflow.adapters.openadr.models import Version
from counterflow.sim.vtn.serving import OPERATOR, VEN, Vtn, beside

Ask = Callable[..., httpx.Response]


class Asker:
    """One client's way to one version of the VTN."""

    def __init__(self, url: str, client_id: str, secret: str) -> None:
        self.url = url
        form = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": secret}
        token = httpx.post(f"{url}/auth/token", data=form).json()["access_token"]
        self.http = httpx.Client(base_url=url, headers={"authorization": f"Bearer {token}"})

    def __call__(self, method: str, path: str, body: Any = None, **params: Any) -> httpx.Response:
        return (
            self.http.request(method, path, json=body, params=params)
            if body is not None
            else self.http.request(method, path, params=params)
        )


@pytest.fixture
def vtn() -> Iterator[Vtn]:
    with beside(run="t") as running:
        yield running


@pytest.fixture
def operator(vtn: Vtn) -> Asker:
    return Asker(vtn.url(), OPERATOR.client_id, OPERATOR.secret)


@pytest.fixture
def ven(vtn: Vtn) -> Asker:
    return Asker(vtn.url(), VEN.client_id, VEN.secret)


@pytest.fixture
def operator_v30(vtn: Vtn) -> Asker:
    return Asker(vtn.url(Version.V3_0_1), OPERATOR.client_id, OPERATOR.secret)


@pytest.fixture
def ven_v30(vtn: Vtn) -> Asker:
    return Asker(vtn.url(Version.V3_0_1), VEN.client_id, VEN.secret)


@pytest.fixture
def program_id(operator: Asker) -> str:
    return str(operator("POST", "/programs", {"programName": "v2g"}).json()["id"])


@pytest.fixture
def event(program_id: str) -> dict[str, Any]:
    """What the operator posts for 2 MW over two quarters of an hour, long past."""
    return {
        "programID": program_id,
        "intervalPeriod": {"start": "2026-11-22T17:00:00Z", "duration": "PT15M"},
        "payloadDescriptors": [{"objectType": "EVENT_PAYLOAD_DESCRIPTOR", "payloadType": "DISPATCH_SETPOINT", "units": "KW"}],
        "intervals": [{"id": n, "payloads": [{"type": "DISPATCH_SETPOINT", "values": [-2000.0]}]} for n in (0, 1)],
    }
