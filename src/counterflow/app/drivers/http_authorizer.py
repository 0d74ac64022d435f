"""The HTTP call-out of `app.drivers.authorizing`: one POST for each question, on the event loop, never in the way of anything."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec
import structlog
from msgspec import Struct

from counterflow.app.drivers.authorizing import AuthorizationSettings, ListError, Question, Told, Verdict

STATUSES = {"Unknown"} | set(
    {
        "Accepted",
        "Blocked",
        "ConcurrentTx",
        "Expired",
        "Invalid",
        "NoCredit",
        "NotAllowedTypeEVSE",
        "NotAtThisLocation",
        "NotAtThisTime",
        "Unknown",
    }
)
"""OCPP AuthorizationStatusEnumType."""

log = structlog.get_logger("counterflow")


class Reply(Struct, frozen=True):
    """The body that is expected: `{"status": "Accepted", "discharge": true}`; further fields are passed over."""

    status: str
    discharge: bool = False


class HttpAuthorizer:
    """`Ask`. Close it at the end."""

    def __init__(
        self, settings: AuthorizationSettings, now_s: Callable[[], float], transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """Raises `ListError` when the file with the bearer token cannot be read."""
        headers = {"Accept": "application/json"}
        if settings.bearer_file:
            try:
                headers["Authorization"] = f"Bearer {Path(settings.bearer_file).read_text(encoding='ascii').strip()}"
            except (OSError, UnicodeDecodeError) as error:
                raise ListError(f"The bearer token {settings.bearer_file} cannot be read: {error}.") from None
        self._settings = settings
        self._now_s = now_s
        self._http = httpx.AsyncClient(headers=headers, timeout=settings.timeout_s, transport=transport)
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, question: Question, told: Told) -> None:
        """Ask; `told` is called on the loop, once, within the time-out."""
        task = asyncio.get_running_loop().create_task(self._ask(question, told))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Give up what is under way."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.aclose()

    async def _ask(self, question: Question, told: Told) -> None:
        told(await self._verdict(question), self._now_s())

    async def _verdict(self, question: Question) -> Verdict | None:
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                response = await self._http.post(self._settings.url, json=question._asdict())
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            # Named by its kind only: the text of an error may hold the request.
            log.warning("authorization call-out failed", station=question.station_id, error=type(error).__name__)
            return None
        try:
            reply = msgspec.json.decode(response.content, type=Reply)
        except (msgspec.DecodeError, UnicodeDecodeError):
            reply = None
        if not response.is_success or reply is None or reply.status not in STATUSES:
            log.warning("authorization call-out answered nothing usable", station=question.station_id, status=response.status_code)
            return None
        return Verdict(reply.status, reply.discharge and reply.status == "Accepted")
