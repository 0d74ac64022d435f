"""A real Mosquitto, and a grid operator's system that speaks to it by a client of its own."""

import asyncio
import contextlib
import getpass
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec
import pytest

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
NOT_THERE = "The broker Mosquitto is missing. Type:  sudo apt-get install -y mosquitto   (make deps does it for root)"


class Broker:
    """`mosquitto` on a port that stays the same over restarts; it keeps what it was told to keep, also over `kill -9`."""

    def __init__(self, folder: Path, lines: str = "allow_anonymous true", listener: str = "") -> None:
        assert MOSQUITTO, NOT_THERE
        self.port = _free_port()
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\n{listener}\n{lines}\npersistence true\npersistence_location {folder}/\n"
            "autosave_interval 1\nmax_queued_messages 0\n"
            f"user {getpass.getuser()}\nlog_dest stderr\nlog_type all\n"
        )
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def log(self) -> str:
        return (self._folder / "mosquitto.log").read_text(errors="replace")

    def start(self) -> None:
        """Start, and come back once it listens."""
        assert MOSQUITTO
        command = [MOSQUITTO, "-c", str(self._folder / "mosquitto.conf")]
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline_s = time.monotonic() + 60.0
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 0.2):
                return
            assert time.monotonic() < deadline_s, self.log
            time.sleep(0.01)

    def saved_since(self, at_s: float) -> bool:
        """Its sessions have been written to disk since then (`time.time()`)."""
        kept = self._folder / "mosquitto.db"
        return kept.exists() and kept.stat().st_mtime > at_s

    def kill(self) -> None:
        """`kill -9`."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()


def _free_port() -> int:
    """From below those that the system gives to outgoing connections: a restart must find it free."""
    while True:
        with socket.socket() as one, contextlib.suppress(OSError):
            port = random.randrange(20_000, 32_000)
            one.bind(("127.0.0.1", port))
            return port


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Broker]]:
    """`brokers(lines)`: a broker with these lines in its settings; gone after the module."""
    running: list[Broker] = []

    def run(lines: str = "allow_anonymous true", listener: str = "") -> Broker:
        running.append(Broker(tmp_path_factory.mktemp("mosquitto"), lines, listener))
        return running[-1]

    yield run
    for one in running:
        one.kill()


QUICK = """
[ocpp]
sampling_interval_s = 1
[control]
tick_interval_s = 1.0
[response]
prior_gain = 1.0
settle_base_s = 3.0
[telemetry]
period_s = 1
look_s = 1
[mqtt]
host = "127.0.0.1"
port = {port}
tls = false
retry_min_s = 0.1
retry_max_s = 0.3
"""


@pytest.fixture(scope="session")
def settings_at() -> Callable[..., str]:
    """`settings_at(port, replay_batch=2)`: of a server whose cars answer at once and that finds its broker again soon, with more of
    `[mqtt]`; what a test has beside that is put behind it."""
    return lambda port, **mqtt: QUICK.format(port=port) + "".join(f"{name} = {value}\n" for name, value in mqtt.items())


@pytest.fixture(scope="session")
def program() -> dict[str, Any]:
    """The program of an operator that speaks MQTT."""
    return {"name": "north", "wire": "mqtt", "sign": "load", "unit": "kW", "max_discharge_power_w": 1e6}


class Peer:
    """The operator's system: says things, and keeps all that it hears, by topic, in the order of arrival."""

    def __init__(self, client: aiomqtt.Client, prefix: str) -> None:
        self.client = client
        self.heard: list[tuple[str, Any]] = []
        self._prefix = prefix
        client.pending_calls_threshold = 10_000

    async def listen(self) -> None:
        async for message in self.client.messages:
            if message.topic.value.rpartition("/")[2] not in ("order", "withdraw", "setpoint"):
                self.heard.append((message.topic.value.removeprefix(self._prefix), msgspec.json.decode(message.payload)))

    async def say(self, topic: str, words: Any, **more: Any) -> None:
        payload = words if isinstance(words, bytes) else msgspec.json.encode(words)
        await self.client.publish(self._prefix + topic, payload, qos=1, **more)

    def on(self, topic: str) -> list[Any]:
        return [words for where, words in self.heard if where == topic]

    def heard_anywhere(self, topic: str, **fields: Any) -> bool:
        """The last message on a whole topic has these fields."""
        found = self.on(topic)
        return bool(found) and all(found[-1][name] == value for name, value in fields.items())

    async def answer(self, count: int, timeout_s: float = 60.0) -> Any:
        """The answer number `count`."""
        deadline_s = time.monotonic() + timeout_s
        while len(self.on("answer")) < count:
            assert time.monotonic() < deadline_s, self.heard[-5:]
            await asyncio.sleep(0.01)
        return self.on("answer")[count - 1]


@contextlib.asynccontextmanager
async def peer_at(port: int, prefix: str = "counterflow/north/", hears: str = "counterflow/#", **more: Any) -> AsyncIterator[Peer]:
    """A peer that hears `hears`, and speaks below `prefix`."""
    async with aiomqtt.Client("127.0.0.1", port, **more) as client:
        peer = Peer(client, prefix)
        await client.subscribe(hears, qos=1)
        listening = asyncio.create_task(peer.listen())
        try:
            yield peer
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError, aiomqtt.MqttError):
                await listening


@pytest.fixture(scope="session")
def peer() -> Callable[..., Any]:
    return peer_at
