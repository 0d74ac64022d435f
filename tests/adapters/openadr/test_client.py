"""The HTTP side of the VEN: tokens, patience, certificates, and what is never said."""

import asyncio
import base64
import ssl
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from msgspec.structs import replace

from counterflow.adapters.openadr import models
from counterflow.adapters.openadr.client import PAGE, SecretError, VtnClient, VtnError
from counterflow.adapters.openadr.settings import VtnSettings

Answer = Callable[[httpx.Request], httpx.Response]


class Line(httpx.AsyncBaseTransport):
    """Answers by hand, and remembers what was asked."""

    def __init__(self, answer: Answer) -> None:
        self.asked: list[httpx.Request] = []
        self._answer = answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        response = self._answer(request)
        response.request = request
        return response

    @property
    def paths(self) -> list[str]:
        return [f"{request.method} {request.url.path}" for request in self.asked]


@pytest.fixture
def settings(tmp_path: Path) -> VtnSettings:
    secret = tmp_path / "secret"
    secret.write_text("hush-hush\n")
    return VtnSettings(name="dso", url="http://127.0.0.1:1/api/", client_id="ven", client_secret_file=str(secret))


def with_token(answer: Answer, token: dict[str, Any] | None = None) -> Answer:
    def answered(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/auth/server"):
            return httpx.Response(404)
        if request.url.path.endswith("/auth/token"):
            return httpx.Response(200, json=token or {"access_token": "t-1", "token_type": "Bearer", "expires_in": 3600})
        return answer(request)

    return answered


def client_of(settings: VtnSettings, line: Line, pauses: list[float] | None = None) -> VtnClient:
    async def sleep(seconds: float) -> None:
        if pauses is not None:
            pauses.append(seconds)

    return VtnClient(settings, lambda: 1_800_000_000.0, transport=line, sleep=sleep, random=Random(1))


def programs(client: VtnClient) -> Any:
    return asyncio.run(client.listing(models.Program, "/programs"))


def form_of(request: httpx.Request) -> dict[str, list[str]]:
    return parse_qs(request.content.decode())


def test_the_token_endpoint_is_looked_up_and_asked_with_a_form(settings: VtnSettings) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        match request.url.path:
            case "/api/auth/server":
                return httpx.Response(200, json={"tokenURL": "http://127.0.0.1:1/elsewhere/token"})
            case "/elsewhere/token":
                return httpx.Response(200, json={"access_token": "t-1", "token_type": "Bearer"})
        return httpx.Response(200, json=[])

    line = Line(answer)
    programs(client_of(replace(settings, scope="read_all write_vens"), line))
    assert line.paths == ["GET /api/auth/server", "POST /elsewhere/token", "GET /api/programs"]
    assert form_of(line.asked[1]) == {
        "grant_type": ["client_credentials"],
        "client_id": ["ven"],
        "client_secret": ["hush-hush"],
        "scope": ["read_all write_vens"],
    }
    assert line.asked[1].headers["content-type"] == "application/x-www-form-urlencoded"
    assert line.asked[2].headers["authorization"] == "Bearer t-1"
    assert dict(line.asked[2].url.params) == {"skip": "0", "limit": str(PAGE)}


def test_a_token_endpoint_in_the_clear_elsewhere_is_not_believed(settings: VtnSettings) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/auth/server"):
            return httpx.Response(200, json={"tokenURL": "http://evil.example/token"})
        return httpx.Response(200, json={"access_token": "t"} if "token" in request.url.path else [])

    line = Line(answer)
    programs(client_of(replace(settings, url="https://vtn.example/api"), line))
    assert {request.url.host for request in line.asked} == {"vtn.example"}


def test_credentials_may_stand_in_the_header(settings: VtnSettings) -> None:
    line = Line(with_token(lambda _: httpx.Response(200, json=[])))
    programs(client_of(replace(settings, credentials_in="basic", token_url="http://127.0.0.1:1/auth/token"), line))
    shown = line.asked[0].headers["authorization"].removeprefix("Basic ")
    assert base64.b64decode(shown) == b"ven:hush-hush"
    assert "client_secret" not in form_of(line.asked[0])


def test_without_a_client_id_there_is_no_authorization(settings: VtnSettings) -> None:
    line = Line(lambda _: httpx.Response(200, json=[]))
    programs(client_of(replace(settings, client_id="", client_secret_file=""), line))
    assert line.paths == ["GET /api/programs"]
    assert "authorization" not in line.asked[0].headers


def test_a_busy_token_endpoint_is_asked_again(settings: VtnSettings) -> None:
    answers = iter([503, 200])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/token"):
            return httpx.Response(next(answers), json={"access_token": "t"})
        return httpx.Response(200, json=[])

    pauses: list[float] = []
    programs(client_of(replace(settings, token_url="http://127.0.0.1:1/token"), Line(answer), pauses))
    assert len(pauses) == 1


def test_a_post_whose_outcome_nobody_knows_is_not_repeated(settings: VtnSettings) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("late", request=request)

    line = Line(with_token(answer))
    with pytest.raises(VtnError, match=r"does not answer \(ReadTimeout\)") as caught:
        asyncio.run(client_of(settings, line).create(models.Ven, "/vens", {"venName": "x"}))
    assert line.paths.count("POST /api/vens") == 1
    assert caught.value.status is None


def test_a_get_is_repeated_and_given_up_in_the_end(settings: VtnSettings) -> None:
    line, pauses = Line(with_token(lambda _: httpx.Response(503, json={"title": "Out of order"}))), []
    with pytest.raises(VtnError, match="503: Out of order"):
        programs(client_of(settings, line, pauses))
    assert line.paths.count("GET /api/programs") == 3
    assert len(pauses) == 2


@pytest.mark.parametrize("status", [400, 403, 404, 409])
def test_a_refusal_is_told_and_not_repeated(settings: VtnSettings, status: int) -> None:
    line = Line(with_token(lambda _: httpx.Response(status, json={"detail": "no"})))
    with pytest.raises(VtnError) as caught:
        asyncio.run(client_of(settings, line).replace(models.Ven, "/vens/1", {}))
    assert caught.value.status == status
    assert line.paths.count("PUT /api/vens/1") == 1


def test_what_is_not_there_is_none_and_a_delete_of_it_is_fine(settings: VtnSettings) -> None:
    client = client_of(settings, Line(with_token(lambda _: httpx.Response(404))))

    async def ask() -> Any:
        await client.delete("/events/1")
        return await client.one(models.Event, "/events/1")

    assert asyncio.run(ask()) is None


def test_a_vtn_without_paging_is_read_once_and_one_without_end_is_given_up(settings: VtnSettings) -> None:
    page = [{"id": f"p{number}", "objectType": "PROGRAM", "programName": f"n{number}"} for number in range(PAGE)]
    line = Line(with_token(lambda _: httpx.Response(200, json=page)))
    assert len(programs(client_of(settings, line)).items) == PAGE
    assert line.paths.count("GET /api/programs") == 2


def test_the_secret_is_in_no_error_and_no_log(settings: VtnSettings, caplog: Any, capsys: Any) -> None:
    with pytest.raises(VtnError) as caught:
        programs(client_of(settings, Line(lambda request: httpx.Response(401, text=f"you said {request.content.decode()}"))))
    assert "check client_id and secret" in str(caught.value)
    said = capsys.readouterr()
    assert "hush-hush" not in f"{caught.value}{caplog.text}{said.out}{said.err}"


def test_a_secret_from_the_environment_and_secrets_that_are_not_there(settings: VtnSettings, monkeypatch: Any) -> None:
    by_name = replace(settings, client_secret_file="", client_secret_env="VTN_SECRET")
    with pytest.raises(SecretError, match=r"not in the environment \(VTN_SECRET\)"):
        client_of(by_name, Line(lambda _: httpx.Response(200)))
    monkeypatch.setenv("VTN_SECRET", "from-outside")
    line = Line(with_token(lambda _: httpx.Response(200, json=[])))
    programs(client_of(by_name, line))
    assert form_of(line.asked[1])["client_secret"] == ["from-outside"]
    with pytest.raises(SecretError, match=r"nowhere.* cannot be read"):
        client_of(replace(settings, client_secret_file="/nowhere"), line)
    with pytest.raises(SecretError, match="certificates of VTN 'dso' cannot be read"):
        client_of(replace(settings, ca_file="/nowhere.pem"), line)


def test_an_authority_of_its_own_and_a_client_certificate(settings: VtnSettings, pki: Any, tmp_path: Path) -> None:
    served = pki.server()
    trusted = replace(settings, client_id="", ca_file=pki.root(), certificate_file=pki.station("ven"))

    async def life() -> list[str]:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pki.root())
        context.load_cert_chain(served)
        context.verify_mode = ssl.CERT_REQUIRED

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]")
            await writer.drain()
            writer.close()

        outcomes = []
        async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
            url = f"https://localhost:{server.sockets[0].getsockname()[1]}"
            for one in (trusted, replace(trusted, certificate_file=""), replace(trusted, ca_file="", certificate_file="")):
                client = VtnClient(replace(one, url=url), lambda: 0.0, sleep=lambda _: asyncio.sleep(0))
                try:
                    await client.listing(models.Program, "/programs")
                    outcomes.append("heard")
                except VtnError:
                    outcomes.append("refused")
                await client.close()
        return outcomes

    assert asyncio.run(life()) == ["heard", "refused", "refused"]
