"""permessage-deflate with an independent peer (the PyPI package websockets), both directions. Over real sockets."""

import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

TEXT = 0x1
MESSAGES = [json.dumps([2, f"id{number}", "TransactionEvent", {"seqNo": number, "pad": "sampled " * 90}]) for number in range(5)]
OFFERS: dict[str, dict[str, Any]] = {
    "window left to us": {"client_max_window_bits": True},
    "window not ours to choose": {},
    "smaller window": {"client_max_window_bits": 10},
    "no client context": {"client_no_context_takeover": True, "client_max_window_bits": True},
    "no context at all": {"client_no_context_takeover": True, "server_no_context_takeover": True},
    "small server window": {"server_max_window_bits": 9},
}


@pytest.mark.parametrize("name", OFFERS)
def test_rfc7692_an_independent_client_understands_us_and_we_it(stage: Any, name: str) -> None:
    async def story() -> None:
        async with stage.gateway(compress_calls_above_bytes=100) as (gateway, recorder):
            recorder.on_received = lambda line, text: line.send(text, is_call=True)
            extension = ClientPerMessageDeflateFactory(**OFFERS[name])
            url = f"ws://127.0.0.1:{gateway.port}/ocpp/CS1"
            async with connect(url, subprotocols=["ocpp2.1"], extensions=[extension], compression=None) as peer:  # type: ignore[list-item]
                (agreed,) = peer.protocol.extensions
                assert "permessage-deflate" in str(agreed) or agreed.name == "permessage-deflate"
                for message in MESSAGES:
                    await peer.send(message)
                    assert await peer.recv() == message
                await peer.send(iter(["in ", "three ", "fragments"]))
                assert await peer.recv() == "in three fragments"
            assert recorder.texts("CS1")[:5] == [message.encode() for message in MESSAGES]
            plain_bytes = sum(map(len, MESSAGES))
            assert gateway.counters.bytes_in < plain_bytes / 3
            assert gateway.counters.bytes_out < plain_bytes / 3

    stage.run(story())


def test_decision_9_only_large_calls_of_ours_are_compressed(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway(compress_calls_above_bytes=1000) as (gateway, recorder):
            client = await stage.station(gateway, headers=[("Sec-WebSocket-Extensions", "permessage-deflate")])
            assert client.headers["sec-websocket-extensions"] == "permessage-deflate; server_no_context_takeover"
            line = recorder.lines["CS1"]
            line.send(b"x" * 1001, is_call=True)
            line.send(b"x" * 1001)
            line.send(b"x" * 1000, is_call=True)
            assert [(await client.read())[1] for _ in range(3)] == [4, 0, 0]

    stage.run(story())


def test_compression_switched_off_is_not_agreed(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway(deflate=False) as (gateway, recorder):
            client = await stage.station(gateway, headers=[("Sec-WebSocket-Extensions", "permessage-deflate")])
            assert client.status == 101
            assert "sec-websocket-extensions" not in client.headers
            recorder.lines["CS1"].send(b"x" * 100_000, is_call=True)
            assert await client.read() == (TEXT, 0, b"x" * 100_000)

    stage.run(story())


def test_a_bomb_ends_its_line_with_1009(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway(max_message_bytes=100_000) as (gateway, recorder):
            url = f"ws://127.0.0.1:{gateway.port}/ocpp/CS1"
            async with connect(url, subprotocols=["ocpp2.1"]) as peer:  # type: ignore[list-item]
                await peer.send("x" * 100_000)
                await peer.send("x" * 10_000_000)
                with pytest.raises(ConnectionClosedError) as caught:
                    await peer.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1009
            assert [len(text) for text in recorder.texts("CS1")] == [100_000]
            assert gateway.counters.violations == 1

    stage.run(story())
