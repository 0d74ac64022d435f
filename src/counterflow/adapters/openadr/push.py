"""How a VTN tells a VEN of news: subscriptions to a webhook, and the topics of its MQTT broker (3.1.0). Both only hint."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import aiomqtt
import structlog

from counterflow.adapters.openadr import models
from counterflow.adapters.openadr.client import VtnClient, VtnError
from counterflow.adapters.openadr.introduction import Introduction
from counterflow.adapters.openadr.settings import VtnSettings, on_this_machine

_OBJECTS: tuple[models.ObjectType, ...] = ("EVENT",)
_OPERATIONS: tuple[models.Operation, ...] = ("CREATE", "UPDATE", "DELETE")
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0

log = structlog.get_logger("counterflow")


async def subscribe(client: VtnClient, settings: VtnSettings, introduction: Introduction, token: str) -> None:
    """See to it that there is one subscription of ours for each program, to our webhook and with this token. Raises `VtnError`."""
    page = await client.listing(models.Subscription, "/subscriptions", [("clientName", settings.ven_name)])
    mine = [one for one in page.items if one.client_name == settings.ven_name]
    for program_id in introduction.followed:
        operations = models.ObjectOperations(
            objects=_OBJECTS, operations=_OPERATIONS, callback_url=settings.webhook.url, bearer_token=token
        )
        wanted = models.Subscription(client_name=settings.ven_name, program_id=program_id, object_operations=(operations,))
        there = [one for one in mine if one.program_id == program_id]
        body = client.written(wanted)
        if there:
            # The token is another one since the last start.
            await client.replace(models.Subscription, f"/subscriptions/{there[0].id}", body)
        else:
            await client.create(models.Subscription, "/subscriptions", body)
        for one in there[1:]:
            await client.delete(f"/subscriptions/{one.id}")


async def unsubscribe(client: VtnClient, settings: VtnSettings) -> None:
    """Take ours back. Raises `VtnError`."""
    page = await client.listing(models.Subscription, "/subscriptions", [("clientName", settings.ven_name)])
    for one in page.items:
        if one.client_name == settings.ven_name:
            await client.delete(f"/subscriptions/{one.id}")


class MqttEar:
    """Listens to the VTN's broker. `listen()` it as a task, once the VEN is introduced; `connected` says whether news would be heard."""

    def __init__(self, client: VtnClient, settings: VtnSettings, heard: Callable[[], None]) -> None:
        self._client = client
        self._settings = settings
        self._heard = heard
        self.connected = False
        self.trouble: str | None = None
        """Why nothing is heard, in a sentence."""

    async def listen(self, introduced: Callable[[], Awaitable[Introduction]]) -> None:
        """For ever: connect, subscribe, hear; again after a pause that grows."""
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await self._listen_once(await introduced())
                pause_s = _FIRST_PAUSE_S
            except (aiomqtt.MqttError, VtnError, OSError, ValueError) as error:
                self.trouble = f"The MQTT broker of VTN '{self._settings.name}' is not heard: {error}"
                log.warning("OpenADR broker not heard", vtn=self._settings.name, error=type(error).__name__)
            finally:
                was_connected, self.connected = self.connected, False
            if was_connected:
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2.0 * pause_s, _LONGEST_PAUSE_S)

    async def _listen_once(self, introduction: Introduction) -> None:
        binding = _binding(await self._client.plain("/notifiers"))
        topics = await self._topics(introduction)
        with TemporaryDirectory() as folder:
            async with aiomqtt.Client(**await self._options(binding, Path(folder))) as broker:
                for topic in topics:
                    await broker.subscribe(topic, qos=1)
                self.connected, self.trouble = True, None
                # What came while nobody listened is read now.
                self._heard()
                async for _ in broker.messages:
                    self._heard()

    async def _topics(self, introduction: Introduction) -> list[str]:
        """Those of our ven, which a VTN fills with what is for us; else those of the programs."""
        paths = [f"/notifiers/mqtt/topics/vens/{introduction.ven_id}/events"]
        paths += [f"/notifiers/mqtt/topics/programs/{program_id}/events" for program_id in introduction.followed]
        for path in paths[:1]:
            with suppress(VtnError, ValueError):
                return _topics_in(await self._client.plain(path))
        return [topic for path in paths[1:] for topic in _topics_in(await self._client.plain(path))]

    async def _options(self, binding: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """What `aiomqtt.Client` is to be told. Raises ValueError in a sentence."""
        uris = binding.get("URIS")
        url = urlsplit(str(uris[0]) if isinstance(uris, list) and uris else "")
        if url.scheme not in ("mqtt", "mqtts", "tcp", "ssl") or not url.hostname:
            raise ValueError("the VTN names no broker that can be reached (mqtt:// or mqtts://)")
        secure = url.scheme in ("mqtts", "ssl")
        if not secure and not on_this_machine(url.geturl()):
            raise ValueError("the VTN's broker is not reached by TLS, and its news would be in the clear")
        options: dict[str, Any] = {"hostname": url.hostname, "port": url.port or (8883 if secure else 1883)}
        asked = binding.get("authentication")
        auth: Mapping[str, Any] = asked if isinstance(asked, dict) else {"method": "ANONYMOUS"}
        if auth.get("method") == "OAUTH2_BEARER_TOKEN":
            options["username"] = str(auth.get("username") or "{clientID}").replace("{clientID}", self._settings.client_id)
            options["password"] = await self._client.token()
        if secure:
            options["tls_context"] = _trust(auth, self._settings, folder)
        return options


def _binding(said: Any) -> Mapping[str, Any]:
    binding = said.get("MQTT") if isinstance(said, dict) else None
    if not isinstance(binding, dict):
        raise ValueError("the VTN has no MQTT notifier (GET /notifiers)")
    return binding


def _topics_in(said: Any) -> list[str]:
    """ALL where there is one, else each. Raises ValueError."""
    topics = said.get("topics") if isinstance(said, dict) else None
    if not isinstance(topics, dict):
        raise ValueError("the VTN names no topics")
    if isinstance(topics.get("ALL"), str):
        return [topics["ALL"]]
    found = [topic for key in ("CREATE", "UPDATE", "DELETE") if isinstance(topic := topics.get(key), str)]
    if not found:
        raise ValueError("the VTN names no topics")
    return found


def _trust(auth: Mapping[str, Any], settings: VtnSettings, folder: Path) -> ssl.SSLContext:
    """TLS to the broker, with the certificates that the VTN hands out where it does."""
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    if auth.get("method") == "CERTIFICATE":
        context.load_verify_locations(cadata=str(auth.get("caCert")))
        files = {name: folder / name for name in ("clientCert", "clientKey")}
        for name, path in files.items():
            path.touch(mode=0o600)
            path.write_text(str(auth.get(name)))
        context.load_cert_chain(files["clientCert"], files["clientKey"])
    elif settings.certificate_file:
        context.load_cert_chain(settings.certificate_file, settings.key_file or None)
    return context
