"""All VTNs of the settings together: for each a client, a VEN, and what hints at news."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from secrets import token_urlsafe
from typing import Any

import structlog

from counterflow.adapters.openadr.client import VtnClient, VtnError
from counterflow.adapters.openadr.introduction import Introduction
from counterflow.adapters.openadr.push import MqttEar, subscribe, unsubscribe
from counterflow.adapters.openadr.report_filing import our_name
from counterflow.adapters.openadr.reporting import Reporting
from counterflow.adapters.openadr.settings import OpenAdrSettings, VtnSettings
from counterflow.adapters.openadr.ven import Ven
from counterflow.adapters.openadr.webhook import WebhookDoor, WebhookListener
from counterflow.engine.grid_side import GridSide

_GOODBYE_S = 3.0
_LISTENING_S = 5.0
_AGAIN_S = 5.0

log = structlog.get_logger("counterflow")


class VtnLine:
    """One VTN. `run()` it as a task; `close()` it at the end."""

    def __init__(self, settings: VtnSettings, grid: GridSide) -> None:
        """Raises `SecretError` when secret or certificates cannot be read."""
        self.settings = settings
        self.client = VtnClient(settings, grid.now_s)
        self._token = token_urlsafe(32)
        self._listener: WebhookListener | None = None
        if settings.webhook.url:
            self._listener = WebhookListener(settings.webhook, WebhookDoor(self._token, lambda: self.ven.hint("webhook")))
        self._ear = MqttEar(self.client, settings, lambda: self.ven.hint("mqtt")) if settings.mqtt else None
        self._introduced = asyncio.Event()
        self._introduction: Introduction | None = None
        self._subscribed = False
        self._trouble: str | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.ven = Ven(settings, grid, self.client, push=self)
        self.reporting = Reporting(our_name(settings), settings.reports, grid, self.client, self.ven.state)

    @property
    def active(self) -> bool:
        """Something would hint at news."""
        return (self._subscribed and self._listener is not None and self._listener.listening) or (
            self._ear is not None and self._ear.connected
        )

    def troubles(self) -> Sequence[str]:
        """Why something does not hint at news that should, in sentences."""
        return [text for text in (self._trouble, self._ear.trouble if self._ear is not None else None) if text is not None]

    async def greet(self, introduction: Introduction) -> None:
        """The VEN is introduced: subscribe, or see to it that the subscription is still there."""
        self._introduction = introduction
        self._introduced.set()
        if self._listener is None:
            return
        try:
            # The VTN asks the callback for an echo before it says yes.
            await self._wait_for_listener(self._listener)
            await subscribe(self.client, self.settings, introduction, self._token)
            self._subscribed, self._trouble = True, None
        except (VtnError, ValueError, TimeoutError) as error:
            self._subscribed = False
            self._trouble = f"No notifications come from VTN '{self.settings.name}': {str(error) or 'the listener does not start'}"
            log.warning("OpenADR not subscribed", vtn=self.settings.name, text=str(error))

    async def run(self) -> None:
        """Until it is closed."""
        parts: list[Callable[[], Coroutine[Any, Any, None]]] = [self.ven.run, self.reporting.run]
        if self._listener is not None:
            parts.append(self._listen)
        if self._ear is not None:
            parts.append(partial(self._ear.listen, self._when_introduced))
        self._tasks = [asyncio.create_task(self._keep(part)) for part in parts]
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, part: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """A part for as long as we live: a fault of ours in one of them leaves the others, and it begins again."""
        while True:
            try:
                await part()
                return
            except Exception:
                log.exception("OpenADR fault", vtn=self.settings.name)
                await asyncio.sleep(_AGAIN_S)

    async def _listen(self) -> None:
        assert self._listener is not None, "only where there is one"
        try:
            await self._listener.serve()
        except OSError as error:
            self._trouble = f"No notifications come from VTN '{self.settings.name}': {error}"
            log.error("OpenADR listener", vtn=self.settings.name, text=str(error))

    async def close(self) -> None:
        """Stop, and take the subscription back, so that nobody calls a door that is shut; a VTN that is slow about it is left alone."""
        if self._listener is not None:
            self._listener.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._subscribed:
            with suppress(VtnError, TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await unsubscribe(self.client, self.settings)
        await self.client.close()

    async def _when_introduced(self) -> Introduction:
        await self._introduced.wait()
        assert self._introduction is not None, "it is there when the event is set"
        return self._introduction

    async def _wait_for_listener(self, listener: WebhookListener) -> None:
        async with asyncio.timeout(_LISTENING_S):
            while not listener.listening:
                await asyncio.sleep(0.01)


class OpenAdrWire:
    """`run()` it as a task; `close()` it at the end."""

    def __init__(self, settings: OpenAdrSettings, grid: GridSide) -> None:
        """Raises `SecretError` when a secret or certificate cannot be read."""
        self.lines: Mapping[str, VtnLine] = {vtn.name: VtnLine(vtn, grid) for vtn in settings.vtns}

    async def run(self) -> None:
        """Until it is closed, each VTN apart."""
        await asyncio.gather(*(line.run() for line in self.lines.values()))

    async def close(self) -> None:
        """Say goodbye to all."""
        await asyncio.gather(*(line.close() for line in self.lines.values()))
