"""Who is let in: TLS against an authority, a name and a password that are nowhere to be read, and a broker that refuses."""

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import aiomqtt
import msgspec
import pytest

from counterflow.adapters.mqtt.connection import MOST_WAITING_BYTES, Line
from counterflow.adapters.mqtt.settings import MqttSettings
from counterflow.adapters.mqtt.wire import MqttWire
from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.app.config import Settings
from counterflow.app.replay import Replay
from counterflow.app.security.secret_files import SecretError, secret
from counterflow.sim.settings import WorldSettings


def settings_of(broker: Any, **more: Any) -> MqttSettings:
    fields: dict[str, Any] = {"host": "127.0.0.1", "port": broker.port, "tls": False, "retry_min_s": 0.05, "retry_max_s": 0.1}
    return msgspec.convert(fields | more, MqttSettings)


async def joined(settings: MqttSettings, password: str | None = None) -> None:
    async with Line(settings, password, "1") as line:
        await line.say("counterflow/status", {"hello": True})


@pytest.fixture
def place(program: dict[str, Any]) -> Replay:
    settings = msgspec.convert({"programs": [program]}, Settings)
    return Replay(settings, msgspec.convert({"stations": 1}, WorldSettings), 1, journal=MemoryJournal())


async def alarm_of(place: Replay, wire: MqttWire) -> str:
    running = asyncio.create_task(wire.run())
    try:
        async with asyncio.timeout(60.0):
            while not (found := [text for text in place.operations.health().alarms if "MQTT" in text]):
                await asyncio.sleep(0.02)
        return found[0]
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


def test_tls_holds_the_broker_against_the_authority(brokers: Any, pki: Any) -> None:
    certificate = pki.server()
    broker = brokers(listener=f"certfile {certificate}\nkeyfile {certificate}")
    asyncio.run(joined(settings_of(broker, tls=True, ca_file=pki.root())))
    with pytest.raises(aiomqtt.MqttError, match="certificate verify failed"):
        asyncio.run(joined(settings_of(broker, tls=True, ca_file=pki.root("another"))))
    with pytest.raises(aiomqtt.MqttError):
        asyncio.run(joined(settings_of(broker, timeout_s=1.0)))


def test_a_broker_that_does_not_let_us_in_is_an_alarm_without_the_password(
    brokers: Any, place: Replay, tmp_path: Path, caplog: Any
) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text("")
    broker = brokers(f"allow_anonymous false\npassword_file {passwords}")

    async def life() -> None:
        wire = MqttWire(place.grid, settings_of(broker, username="vpp"), lambda: "wrong-password", "1")
        said = await alarm_of(place, wire)
        assert "Not authorized" in said
        assert "wrong-password" not in said + caplog.text
        assert not wire.connected

    asyncio.run(life())


def test_a_topic_that_the_broker_refuses_is_an_alarm_and_nothing_counts_as_sent(brokers: Any, place: Replay, tmp_path: Path) -> None:
    rights = tmp_path / "rights"
    rights.write_text("topic readwrite counterflow/status\ntopic read counterflow/#\n")
    broker = brokers(f"allow_anonymous true\nacl_file {rights}")

    async def life() -> None:
        wire = MqttWire(place.grid, settings_of(broker), lambda: None, "1")
        said = await alarm_of(place, wire)
        assert "the broker does not take what we publish: Not authorized" in said
        assert wire.telemetry[0].sent == 0

    asyncio.run(life())


def test_a_goodbye_that_fails_does_not_keep_who_stops(place: Replay, brokers: Any, until: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    leave = Line.__aexit__

    async def failing(self: Line, *reason: Any) -> None:
        await leave(self, *reason)
        raise aiomqtt.MqttError("the broker takes no goodbye")

    monkeypatch.setattr(Line, "__aexit__", failing)
    broker = brokers()

    async def life() -> None:
        wire = MqttWire(place.grid, settings_of(broker), lambda: None, "1")
        running = asyncio.create_task(wire.run())
        await until(lambda: wire.connected)
        running.cancel()
        done, _ = await asyncio.wait([running], timeout=60.0)
        assert done == {running}
        assert running.cancelled()

    asyncio.run(life())


def test_who_stops_says_goodbye(brokers: Any, place: Replay, peer: Any, until: Any) -> None:
    broker = brokers()

    async def life() -> None:
        async with peer(broker.port) as operator:
            wire = MqttWire(place.grid, settings_of(broker), lambda: None, "1")
            running = asyncio.create_task(wire.run())
            await until(lambda: wire.connected and operator.heard_anywhere("counterflow/status", online=True))
            running.cancel()
            await until(lambda: operator.heard_anywhere("counterflow/status", online=False))
            (_, gone) = operator.on("counterflow/status")[-2:]
            assert gone["at"] is not None  # by ourselves, and not by the last will

    asyncio.run(life())


def test_a_broker_that_is_not_there_is_an_alarm(brokers: Any, place: Replay) -> None:
    broker = brokers()
    broker.kill()

    async def life() -> None:
        assert f"The MQTT broker 127.0.0.1:{broker.port} is lost" in await alarm_of(
            place, MqttWire(place.grid, settings_of(broker), lambda: None, "1")
        )

    asyncio.run(life())


def test_a_secret_that_cannot_be_had_is_an_alarm_with_the_name_of_the_file(brokers: Any, place: Replay, tmp_path: Path) -> None:
    def password() -> str | None:
        return secret(str(tmp_path / "nowhere"), "")

    async def life() -> None:
        said = await alarm_of(place, MqttWire(place.grid, settings_of(brokers()), password, "1"))
        assert "nowhere with a secret cannot be read" in said

    asyncio.run(life())


def test_more_than_can_be_held_ends_the_line_and_comes_again_on_the_next(brokers: Any) -> None:
    broker = brokers()
    settings = settings_of(broker, max_message_bytes=1_048_576)

    async def life() -> None:
        large = b"x" * 1_000_000
        async with aiomqtt.Client("127.0.0.1", broker.port) as source, Line(settings, None, "1") as first:
            assert await first.hear("counterflow/a/order", kept=True) is None
            for _ in range(2 + MOST_WAITING_BYTES // len(large)):
                await source.publish("counterflow/a/order", large, qos=1)
            for _ in range(500):
                if first.trouble:
                    break
                await asyncio.sleep(0.01)
            assert "more than can be held" in first.trouble
        async with Line(settings, None, "1") as second:
            again = await anext(second.messages)
            assert again.payload == large
            second.acknowledge(again)

    with contextlib.suppress(aiomqtt.MqttError):
        asyncio.run(life())


def test_secrets_come_from_files_and_variables(tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "secret"
    file.write_text("  word \nsecond line\n")
    monkeypatch.setenv("BROKER_PASSWORD", "other")
    assert secret(str(file), "") == "word"
    assert secret("", "BROKER_PASSWORD") == "other"
    assert secret("", "") is None
    file.write_text("\n")
    with pytest.raises(SecretError, match="is empty"):
        secret(str(file), "")
    with pytest.raises(SecretError, match="NO_SUCH_VARIABLE with a secret is not set"):
        secret("", "NO_SUCH_VARIABLE")
