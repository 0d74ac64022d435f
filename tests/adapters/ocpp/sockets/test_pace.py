"""A station that sends too much is read no faster than it may, and the others do not notice. Over real sockets."""

import asyncio
import time
import zlib
from typing import Any

import pytest

from counterflow.adapters.ocpp.gateway import Gateway

TEXT, PING = 0x1, 0x9


def echo_of_the_good(line: Any, text: bytes) -> None:
    if line.station_id == "GOOD":
        line.send(text)


def test_messages_beyond_the_burst_come_in_at_the_rate_and_none_is_lost(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway(messages_per_s=1000.0, message_burst=50) as (gateway, recorder):
            client = await stage.station(gateway)
            sent = [b"%d " % number + b"x" * 200 for number in range(1500)]
            began_s = time.perf_counter()
            client.writer.write(b"".join(client.frame(TEXT, text) for text in sent))
            await stage.until(lambda: len(recorder.texts("CS1")) == 1500)
            assert time.perf_counter() - began_s > 0.5
            assert recorder.texts("CS1") == sent
            assert gateway.counters.throttled > 0
            assert recorder.ends("CS1") == []

    stage.run(story())


@pytest.mark.parametrize(
    "limits", [{"messages_per_s": 1000.0, "message_burst": 200.0}, {"receive_bytes_per_s": 200_000.0, "receive_burst_bytes": 40_000.0}]
)
def test_the_stations_of_one_address_share_its_rates_and_another_address_does_not_notice(stage: Any, limits: dict[str, float]) -> None:
    async def story() -> None:
        async with stage.gateway(address=limits | {"exempt": ("127.0.0.1",)}) as (gateway, recorder):
            recorder.on_received = echo_of_the_good
            good = await stage.station(gateway, "GOOD")
            bad = [await stage.station(gateway, f"BAD{number}", local_addr=("127.0.0.2", 0)) for number in range(4)]
            began_s = time.perf_counter()
            for one in bad:
                one.writer.write(one.frame(TEXT, b"x" * 200) * 200)
            waits_s = await stage.round_trips_s(good, 20)
            await stage.until(lambda: sum(len(recorder.texts(f"BAD{number}")) for number in range(4)) == 800)
            assert time.perf_counter() - began_s > 0.3, "alone each of them would have been within its burst"
            assert gateway.counters.throttled > 0
            assert waits_s[10] < 0.25
            assert recorder.ends("GOOD") == []

    stage.run(story())


def test_bytes_beyond_the_burst_come_in_at_the_rate(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway(receive_bytes_per_s=1e6, receive_burst_bytes=100_000, socket_buffer_bytes=8192) as (gateway, recorder):
            client = await stage.station(gateway)
            began_s = time.perf_counter()
            client.writer.write(b"".join(client.frame(TEXT, b"x" * 50_000) for _ in range(10)))
            await stage.until(lambda: len(recorder.texts("CS1")) == 10)
            assert time.perf_counter() - began_s > 0.28

    stage.run(story())


def test_a_burst_that_is_allowed_is_read_in_slices_and_others_have_their_turn_in_between(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            good, bad = await stage.station(gateway, "GOOD"), await stage.station(gateway, "BAD")
            bad.writer.write(bad.frame(TEXT, b"x") * 9000)
            good.send(TEXT, b"hello")
            await stage.until(lambda: len(recorder.texts("BAD")) == 9000)
            before = [event[1] for event in recorder.events if event[0] == "received"].index("GOOD")
            assert before < 1500, f"{before} messages of another station first"
            assert gateway.counters.throttled == 0, "all within its burst"

    stage.run(story())


def test_many_stations_that_take_their_time_never_wait_for_a_turn(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Together they send more than any single one may: that is what a server is for."""
    turns: list[Any] = []
    monkeypatch.setattr(Gateway, "wait_for_turn", lambda _gateway, line: turns.append(line))

    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            clients = [await stage.station(gateway, f"CS{number}") for number in range(20)]
            for _ in range(6):
                for client in clients:
                    client.writer.write(client.frame(TEXT, b"x") * 20)
                await asyncio.sleep(0.1)
            await stage.until(lambda: len(recorder.events) == 20 + 20 * 120)
            assert turns == []
            clients[0].writer.write(clients[0].frame(TEXT, b"x") * 200)
            await stage.until(lambda: turns == [recorder.lines["CS0"]])

    stage.run(story())


@pytest.mark.parametrize("flood", ["messages", "pings", "bytes"])
def test_a_flood_by_one_station_leaves_the_latency_of_another_as_it_is(stage: Any, flood: str) -> None:
    async def story() -> None:
        async with stage.gateway(message_burst=500, receive_burst_bytes=2_000_000) as (gateway, recorder):
            recorder.on_received = echo_of_the_good
            good = await stage.station(gateway, "GOOD")
            calm = await stage.round_trips_s(good, 40)
            bad = await stage.station(gateway, "BAD")
            frame = {"messages": bad.frame(TEXT, b"[2]"), "pings": bad.frame(PING, b"x"), "bytes": bad.frame(TEXT, b"x" * 500_000)}[flood]

            async def shout() -> None:
                while True:
                    bad.writer.write(frame * (1 if flood == "bytes" else 500))
                    await bad.writer.drain()

            shouting = asyncio.create_task(shout())
            try:
                await stage.until(lambda: gateway.counters.throttled > 0)
                stormy_s = await stage.best_wait_s(good, 40, place=20, enough_s=calm[20] + 0.010)
            finally:
                shouting.cancel()
            assert stormy_s < calm[20] + 0.010, f"median {stormy_s * 1e3:.1f} ms against {calm[20] * 1e3:.1f} ms"
            assert recorder.ends("GOOD") == []

    stage.run(story())


def test_a_station_that_is_held_back_is_not_taken_for_silent(stage: Any) -> None:
    async def story() -> None:
        settings = {"messages_per_s": 5.0, "message_burst": 16, "ping_interval_s": 0.4, "ping_timeout_s": 0.4}
        async with stage.gateway(**settings) as (gateway, recorder):
            client = await stage.station(gateway)
            client.writer.write(client.frame(TEXT, b"x") * 24)
            await asyncio.sleep(1.0)
            assert recorder.ends("CS1") == []
            await stage.until(lambda: len(recorder.texts("CS1")) == 24)

    stage.run(story())


def test_a_compression_bomb_is_cut_off_at_the_limit_and_others_are_served(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            recorder.on_received = echo_of_the_good
            good = await stage.station(gateway, "GOOD")
            bad = await stage.station(
                gateway, "BAD", headers=[("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits=12")]
            )
            assert "permessage-deflate" in bad.headers["sec-websocket-extensions"]
            packer = zlib.compressobj(9, zlib.DEFLATED, -12)
            bomb = packer.compress(b"\0" * 60_000_000) + packer.flush(zlib.Z_SYNC_FLUSH)
            assert len(bomb) < 1024 * 1024
            bad.send(TEXT, bomb[:-4], rsv=4)
            began_s = time.process_time()
            assert await bad.read_close() == 1009
            assert time.process_time() - began_s < 0.5, "of this process, which other processes do not lengthen"
            assert await stage.best_wait_s(good, 5, place=4, enough_s=0.5) < 0.5
            assert recorder.texts("BAD") == []

    stage.run(story())
