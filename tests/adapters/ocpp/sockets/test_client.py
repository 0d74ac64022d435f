"""The station's end: what the simulated fleet connects with, against our gateway and an independent server. Over real sockets."""

import asyncio
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from counterflow.adapters.ocpp.client import ClientLine, HandshakeRefusedError, connect
from counterflow.adapters.ocpp.credentials import Credentials
from counterflow.adapters.ocpp.transport import Refused


class Ears:
    """Hears what a client line hears."""

    def __init__(self) -> None:
        self.texts: list[bytes] = []
        self.ends: list[str] = []

    def on_text(self, line: ClientLine, text: bytes) -> None:
        self.texts.append(text)

    def on_close(self, line: ClientLine, reason: str) -> None:
        self.ends.append(reason)

    async def connect(self, url: str, **options: Any) -> ClientLine:
        return await connect(url, subprotocols=["ocpp2.1"], on_text=self.on_text, on_close=self.on_close, **options)


@pytest.mark.parametrize("deflate", [False, True])
def test_both_ends_of_ours_understand_each_other(stage: Any, deflate: bool) -> None:
    async def story() -> None:
        async with stage.gateway(compress_calls_above_bytes=100) as (gateway, recorder):
            recorder.on_received = lambda line, text: line.send(text, is_call=True)
            ears = Ears()
            line = await ears.connect(f"ws://127.0.0.1:{gateway.port}/ocpp/RDAM%7C123", password="pass:wörd", deflate=deflate)
            assert recorder.seen[0][::2] == ("RDAM|123", Credentials("RDAM|123", "pass:wörd"))
            assert (line.subprotocol, line.compressed) == ("ocpp2.1", deflate)
            sent = [b"sampled " * 100 + str(number).encode() for number in range(20)]
            for text in sent:
                line.send(text)
            await stage.until(lambda: len(ears.texts) == 20)
            assert ears.texts == recorder.texts("RDAM|123") == sent
            assert (gateway.counters.bytes_in < 20 * 200) == deflate
            line.close(1001, "bye")
            line.send(b"dropped")
            await stage.until(lambda: ears.ends == ["closed by us: 1001 bye"])
            assert recorder.ends("RDAM|123") == ["closed by the station: 1001 bye"]

    stage.run(story())


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_an_independent_server_understands_the_client(stage: Any, compression: Any) -> None:
    async def echo(peer: ServerConnection) -> None:
        async for message in peer:
            await peer.send(iter([message[:5], message[5:]]))
        assert isinstance(peer.close_code, int)

    async def story() -> None:
        async with serve(echo, "127.0.0.1", 0, subprotocols=["ocpp2.1"], compression=compression) as server:  # type: ignore[list-item]
            port = server.sockets[0].getsockname()[1]
            ears = Ears()
            line = await ears.connect(f"ws://127.0.0.1:{port}/ocpp/CS1", deflate=True)
            assert line.compressed == (compression is not None)
            sent = [b"sampled " * 50 + str(number).encode() for number in range(10)]
            for text in sent:
                line.send(text)
            await stage.until(lambda: len(ears.texts) == 10)
            assert ears.texts == sent
            line.close()
            await stage.until(lambda: ears.ends == ["closed by us: 1000"])

    stage.run(story())


@pytest.mark.parametrize("status", [401, 404, 503])
def test_a_refusal_is_an_exception_with_its_status(stage: Any, status: int) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            recorder.decide = lambda _: Refused(status, "no")
            ears = Ears()
            with pytest.raises(HandshakeRefusedError) as caught:
                await ears.connect(f"ws://127.0.0.1:{gateway.port}/ocpp/CS1")
            assert caught.value.http_status == status
            assert ears.ends == []

    stage.run(story())


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n"])
def test_a_server_that_hangs_up_or_talks_nonsense_is_an_error(stage: Any, answer: bytes) -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async def story() -> None:
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises((HandshakeRefusedError, ConnectionError)):
            await Ears().connect(f"ws://127.0.0.1:{port}/ocpp/CS1")
        server.close()

    stage.run(story())


def test_nobody_there_is_an_os_error_and_no_answer_a_timeout(stage: Any) -> None:
    async def story() -> None:
        mute: list[asyncio.StreamWriter] = []
        server = await asyncio.start_server(lambda _, writer: mute.append(writer), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError):
            await Ears().connect(f"ws://127.0.0.1:{port}/ocpp/CS1", handshake_timeout_s=0.05)
        await stage.until(lambda: mute != [])
        mute[0].close()
        server.close()
        await server.wait_closed()
        with pytest.raises(OSError):
            await Ears().connect(f"ws://127.0.0.1:{port}/ocpp/CS1")

    stage.run(story())


def test_the_servers_goodbye_is_answered_and_reported_once(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway(close_timeout_s=5.0) as (gateway, recorder):
            ears = Ears()
            line = await ears.connect(f"ws://127.0.0.1:{gateway.port}/ocpp/CS1")
            recorder.lines["CS1"].close(1008, "enough")
            await stage.until(lambda: ears.ends == ["closed by the server: 1008 enough"])
            line.close()
            line.abort()
            line.send(b"dropped")
            assert len(ears.ends) == 1

    stage.run(story())


def test_abort_leaves_without_a_word(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            ears = Ears()
            line = await ears.connect(f"ws://127.0.0.1:{gateway.port}/ocpp/CS1")
            line.abort()
            await stage.until(lambda: ears.ends == ["dropped by us"])
            await stage.until(lambda: recorder.ends("CS1") == ["connection lost"])

    stage.run(story())


def test_without_a_common_version_the_client_hears_the_close(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, _):
            ears = Ears()
            line = await connect(
                f"ws://127.0.0.1:{gateway.port}/ocpp/CS1", subprotocols=["ocpp1.6"], on_text=ears.on_text, on_close=ears.on_close
            )
            assert line.subprotocol is None
            await stage.until(lambda: ears.ends == ["closed by the server: 1002 no common subprotocol"])

    stage.run(story())


def test_a_server_ping_is_answered(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway(ping_interval_s=0.25, ping_timeout_s=1.5) as (gateway, recorder):
            await Ears().connect(f"ws://127.0.0.1:{gateway.port}/ocpp/CS1")
            heard_at_s: set[float] = set()

            def heard_often() -> bool:
                """It says nothing but its answers to pings."""
                heard_at_s.add(recorder.lines["CS1"]._heard_at_s)
                return len(heard_at_s) > 3 or recorder.ends("CS1") != []

            await stage.until(heard_often)
            assert recorder.ends("CS1") == []
            assert gateway.counters.silent == 0

    stage.run(story())
