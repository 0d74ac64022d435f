"""The server's HTTP API as the console asks it: an answer, or one sentence about why not."""

import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import msgspec

PREFIX = "/api/v1"
TIMEOUT_S = 30.0


class ApiError(Exception):
    """What went wrong, and what to do, for a person. `status` is None when there was no answer."""

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.status = status


class Api:
    """One connection pool for all; each call says with whose token. `transport` replaces the network in tests."""

    def __init__(self, url: str, certificate: str = "", *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        verify = ssl.create_default_context(cafile=certificate) if certificate else True
        self.url = url.rstrip("/")
        self._http = httpx.AsyncClient(base_url=self.url, timeout=TIMEOUT_S, transport=transport, trust_env=False, verify=verify)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def get(self, token: str, path: str, **params: str | float | bool | None) -> Any:
        """GET below `/api/v1`, decoded. Raises `ApiError`."""
        return msgspec.json.decode(await self._ask(token, "GET", path, params=_given(params)))

    async def content(self, token: str, path: str, **params: str | float | bool | None) -> bytes:
        """GET below `/api/v1` as it comes. Raises `ApiError`."""
        return await self._ask(token, "GET", path, params=_given(params))

    async def send(self, token: str, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """A request that changes something, decoded. Raises `ApiError`."""
        content = await self._ask(token, method, path, body=body, headers=headers)
        return msgspec.json.decode(content) if content else None

    async def health(self) -> Any:
        """Liveness and alarms; open to everybody."""
        return msgspec.json.decode(await self._ask("", "GET", "/healthz", prefix=""))

    async def metrics(self, token: str) -> str:
        """The Prometheus page."""
        return (await self._ask(token, "GET", "/metrics", prefix="")).decode()

    async def events(self, token: str, after: str | None) -> AsyncIterator[tuple[str | None, dict[str, Any] | None]]:
        """(id, notice) as they come, after one without a notice once it is open. Raises `ApiError` when it cannot be had or breaks."""
        headers = {"Authorization": f"Bearer {token}", **({"Last-Event-ID": after} if after else {})}
        try:
            async with self._http.stream("GET", PREFIX + "/events", headers=headers, timeout=httpx.Timeout(TIMEOUT_S, read=60.0)) as answer:
                if answer.status_code != 200:
                    raise ApiError(_sentence(answer.status_code, await answer.aread()), answer.status_code)
                number: str | None = None
                yield None, None
                async for line in answer.aiter_lines():
                    if line.startswith("id:"):
                        number = line[3:].strip()
                    elif line.startswith("data:"):
                        yield number, msgspec.json.decode(line[5:])
        except httpx.HTTPError as error:
            raise ApiError(f"The event stream of the server broke off ({type(error).__name__}).") from None

    async def _ask(
        self,
        token: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | float | bool] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        prefix: str = PREFIX,
    ) -> bytes:
        sent = {"Authorization": f"Bearer {token}"} if token else {}
        content = None if body is None else msgspec.json.encode(body)
        if content is not None:
            sent["Content-Type"] = "application/json"
        try:
            answer = await self._http.request(method, prefix + path, params=params, content=content, headers={**sent, **(headers or {})})
        except httpx.TimeoutException:
            raise ApiError("The server did not answer in time; whether the request took effect is unknown.") from None
        except httpx.HTTPError:
            raise ApiError("The server cannot be reached; this page goes on by itself once it is back.") from None
        if answer.status_code >= 400:
            raise ApiError(_sentence(answer.status_code, answer.content), answer.status_code)
        return answer.content


def _given(params: Mapping[str, str | float | bool | None]) -> dict[str, str | float | bool]:
    return {name: value for name, value in params.items() if value is not None}


def _sentence(status: int, content: bytes) -> str:
    """Of a problem document (RFC 9457) what is wrong and what to do."""
    try:
        problem = msgspec.json.decode(content)
        return f"{problem['detail']} {problem.get('remedy') or ''}".strip()
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"The server answered with status {status}."
