"""The HTTP API as seen from the command line: a request, or one sentence about why it did not work and what to do."""

import ipaddress
import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Struct

from counterflow.app.security.token import TOKEN_FILE, find_token

DEFAULT_URL = "http://127.0.0.1:8000"
DEFAULT_DATA_DIR = "counterflow-data"
PREFIX = "/api/v1"
TIMEOUT_S = 60.0
"""An answer waits for the disk, and a report for the settlement of a whole dispatch."""

T = TypeVar("T")


class ApiError(Exception):
    """What went wrong, in a sentence for a person. `status` is the HTTP status, None when there was no answer."""

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status


class UnreachableError(ApiError):
    """The server did not take the request: nothing has happened there."""


class OutcomeUnknownError(ApiError):
    """The request went out and no answer came back: whether it took effect is unknown."""


class WrongAddressError(ValueError):
    """The address of the API cannot be used; the text is a sentence."""


class Reply(Struct, frozen=True):
    """An answer of the server: as it came, or read as one of the shapes of `domain.views`."""

    content: bytes
    address: str

    @property
    def text(self) -> str:
        """The body, exactly as the server sent it."""
        return self.content.decode("utf-8", errors="replace")

    def read(self, shape: type[T]) -> T:
        """The body as `shape`. Raises `ApiError` when it is something else."""
        try:
            return msgspec.json.decode(self.content, type=shape, strict=False)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ApiError(
                f"The answer of {self.address} is not understood ({error}); are server and command line of the same version?"
            ) from None


class Token(Struct, frozen=True):
    """The bearer token, and where it came from. Its text form does not show it."""

    value: str | None
    origin: str

    def __repr__(self) -> str:
        return f"Token(origin={self.origin!r})"


def resolve_token(given: str | None, data_dir: Path) -> Token:
    """The token given by option or environment, otherwise the one that `serve` left in its data dir."""
    if given is not None and given.strip() != "":
        return Token(given.strip(), "--token or COUNTERFLOW_TOKEN")
    return Token(find_token(data_dir), str(data_dir / TOKEN_FILE))


class ApiClient:
    """One connection to one server. `transport` replaces the network in tests."""

    def __init__(self, address: str, token: Token, *, transport: httpx.BaseTransport | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """Raises `WrongAddressError` when `address` is not an http(s) URL."""
        self.address = address.rstrip("/")
        self._token = token
        if token.value is not None and not (token.value.isascii() and token.value.isprintable()):
            raise WrongAddressError(f"The token from {token.origin} has characters that no token has; copy it again.")
        headers = {"Accept": "application/json"}
        if token.value is not None:
            headers["Authorization"] = f"Bearer {token.value}"
        try:
            url = httpx.URL(self.address)
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in {"http", "https"} or url.host == "":
            raise WrongAddressError(f"'{address}' is not an address of the API: write it like {DEFAULT_URL}.")
        self._timeout_s = timeout_s
        # A proxy from the environment is right for a server elsewhere, and never for one on this machine.
        self._http = httpx.Client(
            base_url=self.address, headers=headers, timeout=timeout_s, transport=transport, trust_env=not _is_loopback(url.host)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def get(self, path: str, params: Mapping[str, str | float] | None = None) -> Reply:
        """GET below `/api/v1`. Raises `ApiError`."""
        return self.request("GET", path, params=params)

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | float] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Send one request below `/api/v1`, with `body` as JSON. Raises `ApiError`, with a sentence, for everything but a 2xx answer."""
        content = None if body is None else json.dumps(body).encode()
        sent = dict(headers or {}) | ({} if content is None else {"Content-Type": "application/json"})
        try:
            response = self._http.request(method, PREFIX + path, params=params, content=content, headers=sent)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise UnreachableError(self._unreachable(error)) from None
        except httpx.TimeoutException:
            raise OutcomeUnknownError(f"The server at {self.address} did not answer within {self._timeout_s:g} s.") from None
        except httpx.HTTPError as error:
            raise OutcomeUnknownError(f"The connection to {self.address} broke before the answer came ({error}).") from None
        if response.is_success:
            return Reply(response.content, self.address)
        raise ApiError(self._sentence(response), response.status_code)

    def _unreachable(self, error: Exception) -> str:
        if "CERTIFICATE" in str(error).upper():
            return f"The certificate of {self.address} is not trusted: {error}."
        return f"No Counterflow server answers at {self.address}. Start one with 'counterflow serve', or name another with --api."

    def _sentence(self, response: httpx.Response) -> str:
        if response.status_code == httpx.codes.UNAUTHORIZED:
            if self._token.value is None:
                return (
                    f"The server at {self.address} asks for its token, and there is none to be read in {self._token.origin}: "
                    "point --data-dir at the server's data dir, or give --token."
                )
            return f"The server at {self.address} does not accept the token from {self._token.origin}; is it another server's?"
        problem = _problem(response)
        if problem is None:
            return (
                f"{self.address} answered {response.status_code} {response.reason_phrase}".rstrip()
                + ", not in the way of Counterflow; is the address right?"
            )
        return problem


def segment(text: str) -> str:
    """`text` as one part of a path; an identity may hold anything."""
    return quote(text, safe="")


def _problem(response: httpx.Response) -> str | None:
    """An RFC 9457 problem document as a sentence: `detail`, then `remedy`, then what is wrong with which field."""
    try:
        document: Any = json.loads(response.content)
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    parts = [part.strip() for key in ("detail", "remedy") if isinstance(part := document.get(key), str) and part.strip()]
    if not parts:
        parts = [title for title in (document.get("title"),) if isinstance(title, str) and title]
    return " ".join(parts) or None


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
