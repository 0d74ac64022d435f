"""The HTTP side of a VEN: one VTN, asked with patience. Objects come back read by `reading`; secrets stand in no message and no log.

A request is tried again after a time-out, a broken line, 429 and 5xx, with a growing pause; a 401 renews the token, once. What remains is a
`VtnError` in a sentence.
"""

import asyncio
import os
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import httpx
import msgspec
import structlog

from counterflow.adapters.openadr.models import AnyObject, Version, Wired
from counterflow.adapters.openadr.reading import Page, UnreadableError, read_json, read_object, read_page, read_problem
from counterflow.adapters.openadr.settings import VtnSettings, on_this_machine
from counterflow.adapters.openadr.writing import write_object

PAGE = 50
"""`limit` of the API (3.1.0: 50 at most)."""
_TRIES = 3
_MOST_PAGES = 200
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_RENEW_EARLY_S = 30.0
_CLOCK_TOLERANCE_S = 2.0
_MOST_BYTES = 16 << 20
_A = TypeVar("_A", bound=AnyObject)
_T = TypeVar("_T")

log = structlog.get_logger("counterflow")


class VtnError(Exception):
    """The VTN could not be asked, or refused; the text is a sentence. `status` is there where it answered."""

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status


class SecretError(OSError):
    """The client secret cannot be read; the text is a sentence."""


class VtnClient:
    """Asks one VTN. `close` it at the end. `counts` are requests by outcome; `clock_off_s` is how far its clock is from ours."""

    def __init__(
        self,
        settings: VtnSettings,
        now_s: Callable[[], float],
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Any] = asyncio.sleep,
        random: Random | None = None,
    ) -> None:
        """Raises `SecretError` when secret or certificates cannot be read."""
        self._settings = settings
        self._base = settings.url.rstrip("/")
        self._now_s = now_s
        self._sleep = sleep
        self._random = random or Random()
        self._secret = _secret(settings)
        self._token: str | None = None
        self._renew_at_s = 0.0
        self._token_url = settings.token_url
        self._turn = asyncio.Lock()
        self._http = httpx.AsyncClient(
            timeout=settings.timeout_s, transport=transport, verify=_trust(settings), headers={"Accept": "application/json"}
        )
        self.counts: Counter[str] = Counter()
        self.clock_off_s: float | None = None

    async def close(self) -> None:
        """Give the lines back."""
        await self._http.aclose()

    # --- objects -------------------------------------------------------------------------------------------------------------

    async def listing(self, kind: type[_A], path: str, params: Sequence[tuple[str, str]] = ()) -> Page[_A]:
        """All objects of a listing, page by page. Raises `VtnError`, and then nothing is known."""
        items: dict[str, _A] = {}
        unreadable: list[UnreadableError] = []
        for number in range(_MOST_PAGES):
            paging = [("skip", str(number * PAGE)), ("limit", str(PAGE))]
            response = await self.request("GET", path, [*params, *paging])
            # On a thread: a long page takes its time, and control does not wait for it.
            page = await asyncio.to_thread(self._read, response, lambda body: read_page(kind, body))
            fresh = [one for one in page.items if one.id not in items]
            items.update((one.id, one) for one in fresh)
            unreadable += page.unreadable
            # A VTN that knows no paging sends the same again.
            if page.length < PAGE or (number and not fresh):
                return Page(tuple(items.values()), tuple(unreadable))
        raise VtnError(f"{path} of VTN '{self._settings.name}' has no end.")

    async def one(self, kind: type[_A], path: str) -> _A | None:
        """One object; None = the VTN has none there (404). Raises `VtnError`."""
        try:
            response = await self.request("GET", path)
        except VtnError as error:
            if error.status == httpx.codes.NOT_FOUND:
                return None
            raise
        return self._read(response, lambda body: read_object(kind, read_json(body)))

    async def create(self, kind: type[_A], path: str, body: dict[str, Any]) -> _A:
        """POST. Not repeated after a time-out, since nobody knows then. Raises `VtnError`; status 409 = there is one."""
        return self._read(await self.request("POST", path, body=body), lambda answer: read_object(kind, read_json(answer)))

    async def replace(self, kind: type[_A], path: str, body: dict[str, Any]) -> _A:
        """PUT. Raises `VtnError`."""
        return self._read(await self.request("PUT", path, body=body), lambda answer: read_object(kind, read_json(answer)))

    async def delete(self, path: str) -> None:
        """DELETE; what is not there is fine. Raises `VtnError`."""
        try:
            await self.request("DELETE", path)
        except VtnError as error:
            if error.status != httpx.codes.NOT_FOUND:
                raise

    async def plain(self, path: str) -> Any:
        """GET of something that is no object of the model, as plain values. Raises `VtnError`."""
        return self._read(await self.request("GET", path), read_json)

    def written(self, thing: Wired) -> dict[str, Any]:
        """`thing` in the words of the VTN's version. Raises ValueError."""
        return write_object(thing, self._settings.version)

    # --- requests ------------------------------------------------------------------------------------------------------------

    async def request(
        self, method: str, path: str, params: Sequence[tuple[str, str]] = (), *, body: dict[str, Any] | None = None
    ) -> httpx.Response:
        """One request, tried again where that is safe and may help. Raises `VtnError`."""
        renewed = False
        failure = VtnError(f"VTN '{self._settings.name}' was not asked.")
        for attempt in range(_TRIES):
            try:
                response = await self._send(method, path, params, body)
            except httpx.HTTPError as error:
                failure = VtnError(f"VTN '{self._settings.name}' does not answer ({type(error).__name__}).")
                self.counts["no answer"] += 1
                if method == "POST" and not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
                    break
                pause_s = self._pause_s(attempt, None)
            else:
                self.counts[f"{response.status_code // 100}xx"] += 1
                if response.is_success:
                    return response
                failure = self._refused(method, path, response)
                if response.status_code == httpx.codes.UNAUTHORIZED and not renewed and self._settings.client_id:
                    renewed, self._token = True, None
                    continue
                if response.status_code != httpx.codes.TOO_MANY_REQUESTS and response.status_code < 500:
                    break
                pause_s = self._pause_s(attempt, response.headers.get("retry-after"))
            if attempt + 1 < _TRIES:
                await self._sleep(pause_s)
        raise failure

    async def _send(self, method: str, path: str, params: Sequence[tuple[str, str]], body: dict[str, Any] | None) -> httpx.Response:
        headers = {}
        if self._settings.client_id:
            headers["Authorization"] = f"Bearer {await self.token()}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        content = None if body is None else msgspec.json.encode(body)
        asked_s = self._now_s()
        response = await self._http.request(method, self._base + path, params=list(params), content=content, headers=headers)
        self._look_at_clock(response, asked_s)
        if len(response.content) > _MOST_BYTES:
            raise VtnError(f"VTN '{self._settings.name}' answers {path} with more than {_MOST_BYTES >> 20} MiB.")
        return response

    def _pause_s(self, attempt: int, retry_after: str | None) -> float:
        if retry_after is not None and retry_after.strip().isdigit():
            return min(float(retry_after), _LONGEST_PAUSE_S)
        pause_s: float = _FIRST_PAUSE_S * 2.0**attempt * self._random.uniform(0.5, 1.5)
        return pause_s

    def _refused(self, method: str, path: str, response: httpx.Response) -> VtnError:
        problem = read_problem(response.content)
        said = " ".join(part for part in (problem.title, problem.detail) if part).rstrip(".")
        words = f": {said[:300]}" if said else ""
        return VtnError(f"VTN '{self._settings.name}' answers {method} {path} with {response.status_code}{words}.", response.status_code)

    def _read(self, response: httpx.Response, read: Callable[[bytes], _T]) -> _T:
        try:
            return read(response.content)
        except UnreadableError as fault:
            raise VtnError(f"VTN '{self._settings.name}' answers {response.request.url.path} with something else: {fault}.") from fault

    def _look_at_clock(self, response: httpx.Response, asked_s: float) -> None:
        """`Date` counts whole seconds, and was written at some time between question and answer."""
        said = response.headers.get("date")
        if said is None:
            return
        try:
            date_s = parsedate_to_datetime(said).timestamp()
        except (ValueError, TypeError, IndexError):
            return
        ahead_s, behind_s = date_s - self._now_s(), asked_s - (date_s + 1.0)
        self.clock_off_s = ahead_s if ahead_s > 0.0 else -behind_s if behind_s > 0.0 else 0.0

    @property
    def clock_alarm(self) -> str | None:
        """Their clock and ours differ, in a sentence."""
        if self.clock_off_s is None or abs(self.clock_off_s) <= _CLOCK_TOLERANCE_S:
            return None
        side = "ahead of" if self.clock_off_s > 0.0 else "behind"
        return f"The clock of VTN '{self._settings.name}' is {abs(self.clock_off_s):.1f} s {side} ours: check both (NTP)."

    # --- token ---------------------------------------------------------------------------------------------------------------

    async def token(self) -> str:
        """A token that is good for a while (OAuth2 client credentials, RFC 6749 §4.4). Raises `VtnError`, httpx.HTTPError."""
        async with self._turn:
            if self._token is None or self._now_s() >= self._renew_at_s:
                self._token = await self._new_token()
            return self._token

    async def _new_token(self) -> str:
        name, settings = self._settings.name, self._settings
        form = {"grant_type": "client_credentials"}
        auth = None
        if settings.credentials_in == "basic":
            auth = httpx.BasicAuth(settings.client_id, self._secret)
        else:
            form |= {"client_id": settings.client_id, "client_secret": self._secret}
        if settings.scope:
            form["scope"] = settings.scope
        self._token_url = self._token_url or await self._discovered()
        response = await self._http.post(self._token_url, data=form, auth=auth or httpx.USE_CLIENT_DEFAULT)
        self.counts["tokens"] += 1
        if not response.is_success:
            # Of the answer only the code is told: its text may hold what was sent.
            if response.status_code >= 500 or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
                raise httpx.HTTPStatusError("token endpoint", request=response.request, response=response)
            raise VtnError(f"VTN '{name}' gives no token ({response.status_code}): check client_id and secret.", response.status_code)
        try:
            said = read_json(response.content)
            token, lasts_s = str(said["access_token"]), said.get("expires_in")
        except (UnreadableError, KeyError, TypeError, AttributeError):
            raise VtnError(f"VTN '{name}' answers the request for a token with something else.") from None
        lasting = isinstance(lasts_s, int | float) and lasts_s > 0
        # Where it is not said how long it lasts, a 401 tells.
        self._renew_at_s = self._now_s() + max(lasts_s - _RENEW_EARLY_S, lasts_s / 2.0) if lasting else float("inf")
        return token

    async def _discovered(self) -> str:
        """Where tokens are given: GET /auth/server (3.1.0), else /auth/token (3.0.1)."""
        if self._settings.version is Version.V3_0_1:  # it knows no other place
            return f"{self._base}/auth/token"
        response = await self._http.get(f"{self._base}/auth/server")
        if response.is_success:
            try:
                found = str(read_json(response.content)["tokenURL"])
            except (UnreadableError, KeyError, TypeError):
                found = ""
            if found.startswith("https://") or (found.startswith("http://") and on_this_machine(found)):
                return found
        return f"{self._base}/auth/token"


def _secret(settings: VtnSettings) -> str:
    if not settings.client_id:
        return ""
    if settings.client_secret_file:
        try:
            return Path(settings.client_secret_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SecretError(
                f"The client secret {settings.client_secret_file} of VTN '{settings.name}' cannot be read: {error}."
            ) from None
    secret = os.environ.get(settings.client_secret_env, "")
    if not secret:
        raise SecretError(f"The client secret of VTN '{settings.name}' is not in the environment ({settings.client_secret_env}).")
    return secret


def _trust(settings: VtnSettings) -> ssl.SSLContext | bool:
    if not settings.ca_file and not settings.certificate_file:
        return True
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        if settings.certificate_file:
            context.load_cert_chain(settings.certificate_file, settings.key_file or None)
    except (OSError, ssl.SSLError) as error:
        raise SecretError(f"The certificates of VTN '{settings.name}' cannot be read: {error}.") from None
    return context
