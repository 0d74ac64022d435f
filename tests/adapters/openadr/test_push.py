"""What hints at news: the webhook's door, subscriptions, and the VTN's MQTT broker (a real Mosquitto)."""

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import httpx
import pytest
from tests.adapters.openadr.stand_in import StandInGrid

from counterflow.adapters.openadr import models, webhook
from counterflow.adapters.openadr.client import VtnClient, VtnError
from counterflow.adapters.openadr.introduction import Followed, Introduction
from counterflow.adapters.openadr.models import Version
from counterflow.adapters.openadr.push import MqttEar, subscribe, unsubscribe
from counterflow.adapters.openadr.settings import FollowedProgram, VtnSettings, WebhookSettings
from counterflow.adapters.openadr.webhook import MOST_BYTES, WebhookDoor, WebhookListener
from counterflow.sim.vtn.serving import OPERATOR, VEN, Vtn, serving

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
TOKEN = "a-token-of-its-own"


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


# --- the door ----------------------------------------------------------------------------------------------------------------


class Door:
    """Knocks at the door without a socket."""

    def __init__(self) -> None:
        self.hints = 0
        transport = httpx.ASGITransport(app=WebhookDoor(TOKEN, self._heard))  # type: ignore[arg-type]
        self._http = httpx.AsyncClient(transport=transport, base_url="http://hook")

    def _heard(self) -> None:
        self.hints += 1

    def ask(self, method: str, path: str = "/oadr", **options: Any) -> httpx.Response:
        return asyncio.run(self._http.request(method, path, **options))

    def tell(self, content: bytes, token: str = TOKEN) -> int:
        return self.ask("POST", content=content, headers={"Authorization": f"Bearer {token}"}).status_code


@pytest.fixture
def door() -> Door:
    return Door()


@pytest.mark.parametrize("path", ["/oadr", "/oadr/echo"])
def test_the_echo_is_given_back(door: Door, path: str) -> None:
    answer = door.ask("GET", path, params={"echo": "c4ll-me.up_~"})
    assert (answer.status_code, answer.text) == (200, "c4ll-me.up_~")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("echo", [None, "", "<script>", "x" * 257])
def test_nothing_else_is_given_back(door: Door, echo: str | None) -> None:
    answer = door.ask("GET", params={} if echo is None else {"echo": echo})
    assert (answer.status_code, answer.text) == (404, "")


@pytest.mark.parametrize("body", [b'{"objectType": "EVENT"}', b'"{\\"object_type\\": 1}"', b"no json at all", b""])
def test_a_notification_with_the_token_is_a_hint_whatever_it_says(door: Door, body: bytes) -> None:
    assert door.tell(body) == 200
    assert door.hints == 1


def test_a_stranger_is_turned_away_and_so_is_what_is_too_long(door: Door) -> None:
    assert door.tell(b"{}", token="guess") == 401
    assert door.ask("POST", content=b"{}").status_code == 401
    assert door.tell(b" " * (MOST_BYTES + 1)) == 413
    assert door.ask("PUT", content=b"{}").status_code == 405
    assert door.hints == 0


def test_connections_that_say_nothing_keep_no_notification_out_for_long(monkeypatch: pytest.MonkeyPatch, until: Any) -> None:
    monkeypatch.setattr(webhook, "REQUEST_WITHIN_S", 0.5)
    hints: list[int] = []

    async def story() -> None:
        listener = WebhookListener(WebhookSettings(port=0), WebhookDoor(TOKEN, lambda: hints.append(1)))
        serving = asyncio.create_task(listener.serve())
        await until(lambda: listener.listening)
        silent = [await asyncio.open_connection("127.0.0.1", listener.port) for _ in range(60)]
        async with httpx.AsyncClient(headers={"Authorization": f"Bearer {TOKEN}"}, trust_env=False) as vtn:

            async def told() -> bool:
                return (await vtn.post(f"http://127.0.0.1:{listener.port}/oadr", content=b"{}")).status_code == 200

            await until(told)
        assert hints == [1]
        for _, writer in silent:
            writer.close()
        listener.stop()
        await serving

    asyncio.run(story())


# --- subscriptions -----------------------------------------------------------------------------------------------------------


class Place:
    """A VTN on a port of its own, and a client of it."""

    def __init__(self, vtn: Vtn, folder: Path, *, version: Version = Version.V3_1_0, hook: str = "", mqtt: bool = False) -> None:
        secret = folder / "secret"
        secret.write_text(VEN.secret)
        self.vtn = vtn
        self.settings = VtnSettings(
            name="dso",
            url=vtn.url(version),
            version=version,
            programs=(FollowedProgram(program="north"),),
            client_id=VEN.client_id,
            client_secret_file=str(secret),
            webhook=WebhookSettings(url=hook),
            mqtt=mqtt,
        )
        self.client = VtnClient(self.settings, StandInGrid().now_s)
        self.programs = [self.create(models.Program(program_name=name)) for name in ("v2g", "reserve")]
        self.ven = self.create(models.Ven(object_type="BL_VEN_REQUEST", client_id=VEN.client_id, ven_name="counterflow"))
        followed = {program.id: Followed(program, ()) for program in self.programs}
        self.introduction = Introduction(self.ven.id, followed, frozenset(), ())

    def create(self, thing: Any) -> Any:
        return self.vtn.house.store.create(OPERATOR, thing, Version.V3_1_0)

    def event(self) -> Any:
        return self.create(models.Event(program_id=self.programs[0].id))

    @property
    def subscriptions(self) -> list[models.Subscription]:
        return self.vtn.house.store.all_of(models.Subscription)


@pytest.mark.parametrize("version", list(Version))
def test_there_is_one_subscription_for_each_program_with_the_newest_token_and_none_in_the_end(tmp_path: Path, version: Version) -> None:
    async def life() -> None:
        listener = WebhookListener(WebhookSettings(port=0), WebhookDoor(TOKEN, lambda: None))
        serves = asyncio.create_task(listener.serve())
        while not listener.listening:
            await asyncio.sleep(0.01)
        async with serving() as vtn:
            vtn.house.quirks.echo_in_path = True
            at = Place(vtn, tmp_path, version=version, hook=f"http://127.0.0.1:{listener.port}/oadr")
            for token in ("first", TOKEN):
                await subscribe(at.client, at.settings, at.introduction, token)
            assert [one.program_id for one in at.subscriptions] == [program.id for program in at.programs]
            assert {one.object_operations[0].bearer_token for one in at.subscriptions} == {TOKEN}
            assert {one.client_name for one in at.subscriptions} == {"counterflow"}
            await unsubscribe(at.client, at.settings)
            assert at.subscriptions == []
            await at.client.close()
        listener.stop()
        await serves

    asyncio.run(life())


def test_a_callback_that_cannot_be_reached_is_refused_by_the_vtn_in_its_words(tmp_path: Path) -> None:
    async def life() -> None:
        async with serving() as vtn:
            at = Place(vtn, tmp_path, hook=f"http://127.0.0.1:{free_port()}/oadr")
            with pytest.raises(VtnError, match=r"answers POST /subscriptions with 400: Bad Request The callback .* cannot be reached"):
                await subscribe(at.client, at.settings, at.introduction, TOKEN)
            await at.client.close()

    asyncio.run(life())


# --- MQTT --------------------------------------------------------------------------------------------------------------------


class Mosquitto:
    """A broker on a port that stays the same over restarts."""

    def __init__(self, folder: Path) -> None:
        assert MOSQUITTO, "The broker Mosquitto is missing. Type:  sudo apt-get install -y mosquitto"
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen([str(MOSQUITTO), "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    one = Mosquitto(tmp_path)
    yield one
    one.stop()


class Publisher:
    """The VTN's own connection to its broker."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def publish(self, topic: str, payload: bytes) -> None:
        async with aiomqtt.Client("127.0.0.1", self._port) as client:
            await client.publish(topic, payload, qos=1)


@contextlib.asynccontextmanager
async def hearing(at: Place) -> AsyncIterator[tuple[MqttEar, Callable[[], int]]]:
    hints = 0

    def heard() -> None:
        nonlocal hints
        hints += 1

    async def introduced() -> Introduction:
        return at.introduction

    ear = MqttEar(at.client, at.settings, heard)
    listens = asyncio.create_task(ear.listen(introduced))
    try:
        yield ear, lambda: hints
    finally:
        listens.cancel()
        await asyncio.gather(listens, return_exceptions=True)
        await at.client.close()


def test_news_are_heard_by_mqtt_and_again_after_the_broker_was_away(broker: Mosquitto, tmp_path: Path, until: Any) -> None:
    async def life() -> None:
        async with serving(mqtt_url=f"mqtt://127.0.0.1:{broker.port}") as vtn:
            at = Place(vtn, tmp_path, mqtt=True)
            vtn.house.teller.publisher = Publisher(broker.port)
            async with hearing(at) as (ear, hints):
                await until(lambda: ear.connected)
                before = hints()
                assert before >= 1, "whoever comes late looks at once"
                at.event()
                await until(lambda: hints() > before)
                broker.stop()
                await until(lambda: not ear.connected)
                await until(lambda: ear.trouble)
                assert "The MQTT broker of VTN 'dso' is not heard" in str(ear.trouble)
                broker.start()
                await until(lambda: ear.connected)
                assert ear.trouble is None
                before = hints()
                at.event()
                await until(lambda: hints() > before)

    asyncio.run(life())


@pytest.mark.parametrize(
    ("mqtt_url", "words"), [(None, "has no MQTT notifier"), ("http://127.0.0.1:1", "names no broker that can be reached")]
)
def test_a_vtn_without_a_broker_is_said_in_a_sentence(tmp_path: Path, until: Any, mqtt_url: str | None, words: str) -> None:
    async def life() -> None:
        async with serving(mqtt_url=mqtt_url) as vtn, hearing(Place(vtn, tmp_path, mqtt=True)) as (ear, _):
            await until(lambda: ear.trouble)
            assert words in str(ear.trouble)

    asyncio.run(life())
