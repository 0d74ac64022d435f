"""One receiver: posts go out one after the other, each until it is taken."""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from random import uniform

import httpx
import msgspec
import structlog
from msgspec import Struct

from counterflow.adapters.webhooks.outbox import Letter, Outbox
from counterflow.adapters.webhooks.settings import WebhookSettings
from counterflow.adapters.webhooks.signing import SIGNATURE, signature
from counterflow.domain.grid import Wire
from counterflow.domain.program_translation import Terms, instant
from counterflow.domain.program_words import TelemetryBatch
from counterflow.engine.grid_side import GridSide

LIVE_S = 60.0
"""A batch whose newest record is older than this, and than two batches, is a replay."""

log = structlog.get_logger("counterflow")


class Receiver:
    """`post_letters` and `post_telemetry` run for ever, beside each other: neither waits for the other."""

    def __init__(self, grid: GridSide, settings: WebhookSettings, terms: Terms, secret: Callable[[], str | None], version: str) -> None:
        """`secret` is asked at each attempt, so that one that was changed in its file is taken."""
        self.settings = settings
        self.terms = terms
        self.outcomes: Counter[str] = Counter()
        """How attempts ended: `taken`, the status, or `unreachable`."""
        self.outbox = Outbox(grid, settings.name, settings.max_waiting)
        self._grid = grid
        self._secret = secret
        self._agent = f"counterflow/{version}"
        self._news = asyncio.Event()
        self._note = f"webhook/{settings.name}/telemetry"
        self._sent = grid.notes(Wire.HTTP).get(self._note)
        self._failing: dict[str, str | None] = {}

    def tell(self, event: str, words: Struct) -> None:
        """Something has happened; kept until it is taken."""
        self.outbox.put(event, words)
        self._news.set()

    async def post_letters(self) -> None:
        """Orders and reports, in order."""
        async with self._client() as client:
            while True:
                letter = self.outbox.first()
                if letter is None:
                    self._news.clear()
                    await self._news.wait()
                    continue
                await self._until_taken(client, letter, partial(self._is_oldest, letter))
                if self._is_oldest(letter):
                    self.outbox.taken()

    async def post_telemetry(self) -> None:
        """Records in batches, in order; from the newest on, where none was ever sent."""
        pool, settings = self.terms.program.pool, self.settings
        newest = self._grid.telemetry(pool).sequence
        sent = self._sent if isinstance(self._sent, int) and self._sent <= newest else newest - 1
        async with self._client() as client:
            while True:
                began_s = time.monotonic()
                records = await self._grid.telemetry_since(pool, sent, settings.batch_records, settings.batch_s)
                if records:
                    old_s = self._grid.now_s() - records[-1].at_s
                    batch = TelemetryBatch(
                        program=self.terms.program.called,
                        pool=pool,
                        replayed=old_s > max(LIVE_S, 2.0 * settings.batch_s),
                        records=tuple(self.terms.telemetry(record) for record in records),
                    )
                    letter = Letter(
                        number=0,
                        id=f"{pool}-{records[0].sequence}-{records[-1].sequence}",
                        event="telemetry",
                        at_s=self._grid.now_s(),
                        data=msgspec.Raw(msgspec.json.encode(batch)),
                    )
                    await self._until_taken(client, letter, lambda: True)
                    self._sent = sent = records[-1].sequence
                    self._grid.note(Wire.HTTP, self._note, sent)
                if len(records) < settings.batch_records:
                    await asyncio.sleep(max(0.0, settings.batch_s - (time.monotonic() - began_s)))

    def _is_oldest(self, letter: Letter) -> bool:
        return self.outbox.first() is letter

    async def _until_taken(self, client: httpx.AsyncClient, letter: Letter, wanted: Callable[[], bool]) -> None:
        """Post it until it is taken, or is not wanted any more (it was the oldest of too many)."""
        pause_s = self.settings.retry_min_s
        while wanted():
            problem, asked_s = await self._post(client, letter)
            self._say(letter.event, problem)
            if problem is None:
                return
            await asyncio.sleep(min(max(asked_s, pause_s * uniform(0.5, 1.0)), self.settings.retry_max_s))
            pause_s = min(2.0 * pause_s, self.settings.retry_max_s)

    async def _post(self, client: httpx.AsyncClient, letter: Letter) -> tuple[str | None, float]:
        """One attempt: what is wrong (None = taken), and how long the receiver wants to be left alone."""
        body = msgspec.json.encode(
            {"id": letter.id, "event": letter.event, "at": instant(letter.at_s), "program": self.terms.program.called, "data": letter.data}
        )
        headers = {"Content-Type": "application/json", "User-Agent": self._agent, "Idempotency-Key": letter.id}
        try:
            secret = self._secret()
            if secret is not None:
                headers[SIGNATURE] = signature(secret, body, self._grid.now_s())
            answer = await client.post(self.settings.url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            self.outcomes["unreachable"] += 1
            return (str(error) or type(error).__name__).strip().rstrip("."), 0.0
        if answer.is_success:
            self.outcomes["taken"] += 1
            return None, 0.0
        self.outcomes[str(answer.status_code)] += 1
        asked = answer.headers.get("Retry-After", "")
        return f"it answers {answer.status_code}", float(asked) if asked.isascii() and asked.isdigit() else 0.0

    def _say(self, event: str, problem: str | None) -> None:
        """An alarm of its own for telemetry and for letters, while they are not taken."""
        kind = "telemetry" if event == "telemetry" else "letters"
        if self._failing.get(kind) == problem:
            return
        self._failing[kind] = problem
        sentence = None
        if problem is not None:
            what = "Telemetry" if kind == "telemetry" else f"What happens ({event})"
            sentence = f"{what} for the webhook '{self.settings.name}' is not taken: {problem}. Everything is kept and tried again."
        self._grid.alarm(Wire.HTTP, f"webhook {self.settings.name}: {kind}", sentence)

    def _client(self) -> httpx.AsyncClient:
        # No redirects and no proxy of the environment: a post goes where the file says, and nowhere else.
        verify = ssl.create_default_context(cafile=self.settings.ca_file or None)
        return httpx.AsyncClient(verify=verify, timeout=self.settings.timeout_s, follow_redirects=False, trust_env=False)
