"""Every way in which a request can fail ends as one sentence that says what to do."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from counterflow.app.cli.api_client import (
    DEFAULT_DATA_DIR,
    ApiClient,
    ApiError,
    OutcomeUnknownError,
    Token,
    UnreachableError,
    WrongAddressError,
    resolve_token,
    segment,
)
from counterflow.app.config import ServerSettings
from counterflow.domain.views import FleetView

TOKEN = Token("secret-token", "--token")


def client_of(api: Any, token: Token = TOKEN) -> ApiClient:
    return ApiClient("http://127.0.0.1:8000/", token, transport=httpx.MockTransport(api.handle))


def raising(error: type[Exception]) -> Any:
    def act(request: httpx.Request) -> httpx.Response:
        raise error("boom", request=request)  # type: ignore[call-arg]  # every httpx error takes its request

    return act


def test_a_request_goes_below_api_v1_with_the_bearer_token(api: Any, fleet: FleetView) -> None:
    api.will("GET", "/api/v1/fleet", fleet)
    with client_of(api) as client:
        assert client.get("/fleet").read(FleetView) == fleet
    assert str(api.requests[0].url) == "http://127.0.0.1:8000/api/v1/fleet"
    assert api.requests[0].headers["Authorization"] == "Bearer secret-token"


def test_the_text_is_the_body_byte_for_byte(api: Any) -> None:
    api.will("GET", "/api/v1/fleet", b'{ "odd" :1.50 }')
    with client_of(api) as client:
        assert client.get("/fleet").text == '{ "odd" :1.50 }'


def test_no_server_says_how_to_start_one(api: Any) -> None:
    api.will_do("GET", "/api/v1/fleet", raising(httpx.ConnectError))
    with client_of(api) as client, pytest.raises(UnreachableError, match=r"No Counterflow server answers .*'counterflow serve'"):
        client.get("/fleet")


@pytest.mark.parametrize("error", [httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError])
def test_a_lost_answer_is_outcome_unknown_and_not_a_refusal(api: Any, error: type[Exception]) -> None:
    api.will_do("POST", "/api/v1/dispatches", raising(error))
    with client_of(api) as client, pytest.raises(OutcomeUnknownError):
        client.request("POST", "/dispatches", body={})


def test_a_problem_document_is_its_detail_and_its_remedy(api: Any) -> None:
    api.will_fail("GET", "/api/v1/dispatches/x", 404, "There is no dispatch 'x'.", "counterflow dispatches lists them.")
    with client_of(api) as client, pytest.raises(ApiError) as caught:
        client.get("/dispatches/x")
    assert caught.value.sentence == "There is no dispatch 'x'. counterflow dispatches lists them."
    assert caught.value.status == 404


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"[1]", b"{}", b""])
def test_an_answer_of_something_else_is_said_to_be_one(api: Any, body: bytes) -> None:
    api.will("GET", "/api/v1/fleet", body, 502, "text/html")
    with client_of(api) as client, pytest.raises(ApiError, match=r"answered 502 Bad Gateway, not in the way of Counterflow"):
        client.get("/fleet")


@pytest.mark.parametrize("body", [b"<html>hello</html>", b'{"at_s": "soon"}', b"\xff\xfe"])
def test_a_good_answer_that_is_not_understood_is_a_sentence(api: Any, body: bytes) -> None:
    api.will("GET", "/api/v1/fleet", body)
    with client_of(api) as client, pytest.raises(ApiError, match="is not understood"):
        client.get("/fleet").read(FleetView)


def test_a_field_that_this_version_does_not_know_is_no_obstacle(api: Any, fleet: FleetView) -> None:
    import msgspec

    api.will("GET", "/api/v1/fleet", msgspec.to_builtins(fleet) | {"from_the_future": 1})
    with client_of(api) as client:
        assert client.get("/fleet").read(FleetView) == fleet


def test_unauthorised_without_a_token_says_where_it_was_looked_for(api: Any, tmp_path: Path) -> None:
    api.will_fail("GET", "/api/v1/fleet", 401, "no")
    with client_of(api, resolve_token(None, tmp_path)) as client, pytest.raises(ApiError, match=r"none to be read in .*api-token"):
        client.get("/fleet")
    assert "Authorization" not in api.requests[0].headers


def test_unauthorised_with_a_token_names_its_origin_and_never_shows_it(api: Any) -> None:
    api.will_fail("GET", "/api/v1/fleet", 401, "no")
    with client_of(api) as client, pytest.raises(ApiError, match="does not accept the token from --token") as caught:
        client.get("/fleet")
    assert "secret" not in str(caught.value)
    assert "secret" not in repr(TOKEN)


def test_the_given_token_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "api-token").write_text("from-file\n")
    assert resolve_token(None, tmp_path).value == "from-file"
    assert resolve_token("  ", tmp_path).value == "from-file"
    assert resolve_token("given ", tmp_path).value == "given"


@pytest.mark.parametrize("address", ["", "localhost:8000", "ftp://x", "http://", "http://[::1", "ws://127.0.0.1:8000", "http://a:notaport"])
def test_an_address_that_is_none_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(WrongAddressError, match=r"write it like http://127\.0\.0\.1:8000"):
        ApiClient(address, TOKEN)


def test_a_token_that_no_header_can_carry_is_refused() -> None:
    with pytest.raises(WrongAddressError, match="token"):
        ApiClient("http://127.0.0.1:8000", Token("two\nlines", "--token"))


def test_a_server_on_this_machine_is_never_asked_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")
    for host, proxied in (("127.0.0.1", False), ("localhost", False), ("[::1]", False), ("vpp.example", True)):
        with ApiClient(f"http://{host}:8000", TOKEN) as client:
            assert client._http.trust_env is proxied


def test_an_identity_is_one_part_of_the_path_whatever_it_holds() -> None:
    assert segment("a/b ?#%") == "a%2Fb%20%3F%23%25"


def test_the_default_data_dir_is_the_servers() -> None:
    assert ServerSettings().data_dir == DEFAULT_DATA_DIR
