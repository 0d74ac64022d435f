"""One open line: frames in, messages out, and every way a station can misbehave without harming another. Over real sockets."""

import asyncio
import random
import socket
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 0x1, 0x2, 0x0, 0x8, 0x9, 0xA
DEFLATE = [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")]


def test_text_arrives_as_sent_in_order_and_is_counted(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            client = await stage.station(gateway)
            sent = [f"[{number}]".encode() * (number * 7 % 50) + b"end" for number in range(500)]
            for text in sent:
                client.send(TEXT, text)
            await stage.until(lambda: len(recorder.events) == 501)
            assert recorder.texts("CS1") == sent
            for text in sent:
                recorder.lines["CS1"].send(text)
            assert [(await client.read())[2] for _ in sent] == sent
            counters = gateway.counters
            assert (counters.messages_in, counters.messages_out) == (500, 500)
            assert counters.bytes_in == counters.bytes_out == sum(map(len, sent))

    stage.run(story())


def test_rfc6455_5_4_a_fragmented_message_is_joined_and_pings_in_between_are_answered(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            client = await stage.station(gateway)
            client.send(TEXT, b"one ", fin=False)
            client.send(PING, b"alive?")
            client.send(CONTINUATION, b"", fin=False)
            client.send(PONG, b"unasked")
            client.send(CONTINUATION, b"two")
            client.send(TEXT, b"three")
            assert await client.read() == (PONG, 0, b"alive?")
            await stage.until(lambda: recorder.texts("CS1") == [b"one two", b"three"])

    stage.run(story())


def violations() -> dict[str, tuple[int, Callable[[Any], bytes]]]:
    """Close code expected, and the bytes that must provoke it on a line with compression and a limit of 2000 bytes."""
    return {
        "continuation without start": (1002, lambda c: c.frame(CONTINUATION, b"x")),
        "message inside a message": (1002, lambda c: c.frame(TEXT, b"x", fin=False) + c.frame(TEXT, b"x")),
        "binary": (1003, lambda c: c.frame(BINARY, b"x")),
        "second reserved bit": (1002, lambda c: c.frame(TEXT, b"x", rsv=2)),
        "third reserved bit": (1002, lambda c: c.frame(TEXT, b"x", rsv=1)),
        "compressed control frame": (1002, lambda c: c.frame(PING, b"x", rsv=4)),
        "compressed close frame": (1002, lambda c: c.frame(CLOSE, b"\x03\xe8", rsv=4)),
        "compression bit on a continuation": (1002, lambda c: c.frame(TEXT, b"x", fin=False) + c.frame(CONTINUATION, b"x", rsv=4)),
        "not a deflate stream": (1007, lambda c: c.frame(TEXT, b"\xff\xff\xff", rsv=4)),
        "frame too big": (1009, lambda c: c.frame(TEXT, b"x" * 2001)),
        "frame announced too big": (1009, lambda _: b"\x81\xff" + (1 << 62).to_bytes(8, "big") + b"mask"),
        "sum too big": (1009, lambda c: c.frame(TEXT, b"x" * 1500, fin=False) + c.frame(CONTINUATION, b"x" * 501)),
        "too many fragments": (1009, lambda c: c.frame(TEXT, b"", fin=False) + c.frame(CONTINUATION, b"", fin=False) * 8),
        "unmasked": (1002, lambda c: c.frame(TEXT, b"x", mask=False)),
        "unknown opcode": (1002, lambda c: c.frame(0x3, b"x")),
        "fragmented ping": (1002, lambda c: c.frame(PING, b"x", fin=False)),
        "oversized ping": (1002, lambda c: c.frame(PING, b"x" * 126)),
        "close with one byte": (1002, lambda c: c.frame(CLOSE, b"x")),
        "close with a reserved code": (1002, lambda c: c.frame(CLOSE, (999).to_bytes(2, "big"))),
    }


@pytest.mark.parametrize("name", violations())
def test_a_violation_closes_its_own_line_with_the_right_code_and_no_other(stage: Any, name: str) -> None:
    code, provoke = violations()[name]

    async def story() -> None:
        async with stage.gateway(max_message_bytes=2000, max_fragments=8) as (gateway, recorder):
            bystander = await stage.station(gateway, "CS2")
            client = await stage.station(gateway, "CS1", headers=DEFLATE)
            client.writer.write(provoke(client))
            client.send(TEXT, b"after the fact")
            assert await client.read_close() == code
            client.send(CLOSE, code.to_bytes(2, "big"))
            assert await client.gone()
            await stage.until(lambda: len(recorder.ends("CS1")) == 1)
            assert recorder.texts("CS1") == []
            assert gateway.counters.violations == 1
            assert gateway.line("CS1") is None
            bystander.send(TEXT, b"unharmed")
            await stage.until(lambda: recorder.texts("CS2") == [b"unharmed"])

    stage.run(story())


def test_rfc7692_6_a_compressed_frame_without_agreement_is_1002(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, _):
            client = await stage.station(gateway)
            client.send(TEXT, b"x", rsv=4)
            assert await client.read_close() == 1002

    stage.run(story())


def test_malformed_utf8_is_the_decoders_matter(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            client = await stage.station(gateway)
            client.send(TEXT, b"\xff\xfe")
            await stage.until(lambda: recorder.texts("CS1") == [b"\xff\xfe"])

    stage.run(story())


def test_noise_on_one_line_never_reaches_another(stage: Any) -> None:
    noise = random.Random(7)

    async def story() -> None:
        async with stage.gateway(max_message_bytes=4096) as (gateway, recorder):
            recorder.on_received = lambda line, text: line.send(text)
            bystander = await stage.station(gateway, "CS0")
            for number in range(60):
                client = await stage.station(gateway, f"CS{number + 1}", headers=DEFLATE)
                for _ in range(noise.randrange(1, 6)):
                    client.send(
                        noise.randrange(16), noise.randbytes(noise.randrange(200)), fin=noise.random() < 0.7, rsv=noise.choice((0, 0, 4, 1))
                    )
                client.writer.write(noise.randbytes(noise.randrange(300)))
                bystander.send(TEXT, f"echo {number}".encode())
                assert await bystander.read() == (TEXT, 0, f"echo {number}".encode())

    stage.run(story())


def test_an_exception_of_the_handler_is_counted_and_logged_without_payload_and_the_line_stays(stage: Any) -> None:
    def failing(_line: Any, text: bytes) -> None:
        raise ValueError(f"cannot make sense of {text!r}")

    async def story() -> None:
        async with stage.gateway(max_faults=3) as (gateway, recorder):
            client = await stage.station(gateway)
            recorder.on_received = failing
            client.send(TEXT, b"private matters")
            client.send(TEXT, b"private matters")
            await stage.until(lambda: gateway.counters.faults == 2)
            recorder.on_received = lambda line, _: line.send(b"fine")
            client.send(TEXT, b"good")
            assert await client.read() == (TEXT, 0, b"fine")
            recorder.on_received = failing
            for _ in range(3):  # three in a row, the two before the good one forgotten
                assert recorder.ends("CS1") == []
                client.send(TEXT, b"private matters")
            assert await client.read_close() == 1011
            await stage.until(lambda: recorder.ends("CS1") == ["closed by us: 1011 internal error"])

    with capture_logs() as logs:
        stage.run(story())
    failures = [log for log in logs if log["event"] == "handler failed"]
    assert [(log["station_id"], log["error"], log["where"]) for log in failures] == [("CS1", "ValueError", "received")] * 5
    assert "in failing" in failures[0]["stack"]
    assert "private" not in str(logs)


@pytest.mark.parametrize("where", ["opened", "closed"])
def test_exceptions_in_opened_and_closed_stay_on_their_line(stage: Any, where: str) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):

            def failing(line: Any, *rest: Any) -> None:
                raise RuntimeError

            whole = getattr(recorder, where)
            setattr(recorder, where, failing)
            client = await stage.station(gateway)
            if where == "closed":
                client.send(CLOSE, b"\x03\xe8")
            assert await client.read_close() == (1011 if where == "opened" else 1000)
            assert gateway.counters.faults == 1
            setattr(recorder, where, whole)
            await stage.station(gateway)
            assert gateway.counters.connections == 1

    stage.run(story())


def test_a_station_that_does_not_read_is_cut_off_and_the_others_go_on(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway(write_buffer_bytes=65536, socket_buffer_bytes=16384) as (gateway, recorder):
            bystander = await stage.station(gateway, "CS2")
            slow = await stage.station(gateway, "CS1")
            slow.writer.transport.pause_reading()
            line, inside = recorder.lines["CS1"], []
            sent = 0
            while gateway.counters.cut_off == 0:
                before = len(recorder.events)
                line.send(b"x" * 4096)
                inside.append(len(recorder.events) - before)
                sent += 4096
                assert sent < 64 * 1024 * 1024, "never cut off"
                if sent % 65536 == 0:
                    await asyncio.sleep(0)
            line.send(b"dropped")
            await stage.until(lambda: recorder.ends("CS1") == ["cut off: the station reads too slowly"])
            assert set(inside) == {0}, "closed must not be called from inside send"
            assert gateway.line("CS1") is None
            recorder.lines["CS2"].send(b"hello")
            assert await bystander.read() == (TEXT, 0, b"hello")

    stage.run(story())


def test_a_station_that_pings_without_reading_the_pongs_is_cut_off_too(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway(write_buffer_bytes=65536, socket_buffer_bytes=16384) as (gateway, recorder):
            slow = await stage.station(gateway, "CS1")
            slow.writer.transport.pause_reading()
            burst = slow.frame(PING, b"x" * 125) * 500
            try:
                while gateway.counters.cut_off == 0:
                    slow.writer.write(burst)
                    await slow.writer.drain()
            except ConnectionError:
                pass
            await stage.until(lambda: len(recorder.ends("CS1")) == 1)
            assert gateway.counters.cut_off == 1

    stage.run(story())


def test_a_silent_station_is_pinged_and_stays_if_it_answers_but_not_otherwise(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway(ping_interval_s=0.3, ping_timeout_s=1.5) as (gateway, recorder):
            answering = await stage.station(gateway, "CS1")
            mute = await stage.station(gateway, "CS2")
            assert (await mute.read())[0] == PING
            for _ in range(3):
                opcode, _, payload = await answering.read()
                assert opcode == PING
                answering.send(PONG, payload)
            assert await mute.read_close() == 1001
            await stage.until(lambda: recorder.ends("CS2") == ["closed by us: 1001 no answer to a ping"])
            assert gateway.counters.silent == 1
            assert recorder.ends("CS1") == []

    stage.run(story())


def test_a_frame_that_comes_byte_by_byte_is_no_sign_of_life(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway(ping_interval_s=0.3, ping_timeout_s=1.5) as (gateway, recorder):
            slow, good = await stage.station(gateway, "SLOW"), await stage.station(gateway, "GOOD")

            async def trickle() -> None:
                for byte in slow.frame(TEXT, b"x" * 1000):
                    slow.writer.write(bytes([byte]))
                    await asyncio.sleep(0.02)

            async def talk() -> None:
                while True:
                    good.send(TEXT, b"busy")
                    await asyncio.sleep(0.02)

            trickling, talking = asyncio.create_task(trickle()), asyncio.create_task(talk())
            assert (await slow.read())[0] == PING
            assert await slow.read_close() == 1001
            await stage.until(lambda: recorder.ends("SLOW") == ["closed by us: 1001 no answer to a ping"])
            trickling.cancel()
            talking.cancel()
            assert recorder.ends("GOOD") == []

    stage.run(story())


def test_a_station_that_talks_is_not_pinged(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway(ping_interval_s=1.5, ping_timeout_s=0.3) as (gateway, recorder):
            client = await stage.station(gateway)
            for _ in range(100):
                client.send(TEXT, b"busy")
                await asyncio.sleep(0.02)
            recorder.lines["CS1"].send(b"done")
            assert await client.read() == (TEXT, 0, b"done")

    stage.run(story())


@pytest.mark.parametrize(
    ("said", "answered", "reason"),
    [
        (b"", 1000, "closed by the station: 1000"),
        (b"\x03\xe8bye", 1000, "closed by the station: 1000 bye"),
        (b"\x0b\xb9", 3001, "closed by the station: 3001"),
        (b"\x03\xee", 1000, "closed by the station: 1006"),
    ],
)
def test_rfc6455_5_5_1_a_close_frame_is_answered_and_the_connection_ends(stage: Any, said: bytes, answered: int, reason: str) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            client = await stage.station(gateway)
            client.send(CLOSE, said)
            assert await client.read_close() == answered
            assert await client.gone()
            assert recorder.events == [("opened", "CS1"), ("closed", "CS1", reason)]
            assert gateway.counters.connections == 0
            assert gateway.counters.violations == 0

    stage.run(story())


@pytest.mark.parametrize("abrupt", [True, False])
def test_a_connection_lost_without_a_close_frame_is_reported_once(stage: Any, abrupt: bool) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            client = await stage.station(gateway)
            if abrupt:
                client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.writer.close()
            await stage.until(lambda: recorder.ends("CS1") == ["connection lost"])
            recorder.lines["CS1"].send(b"into the void")
            recorder.lines["CS1"].close(1000, "again")
            await asyncio.sleep(0.01)
            assert len(recorder.ends("CS1")) == 1

    stage.run(story())


def test_close_reports_later_not_from_inside_and_only_once_and_drops_what_comes_after(stage: Any) -> None:
    async def story() -> None:
        async with stage.gateway() as (gateway, recorder):
            client = await stage.station(gateway)
            line = recorder.lines["CS1"]
            line.send(b"last words")
            line.close(1008, "ä" * 100)
            line.close(1000, "again")
            line.send(b"dropped")
            assert recorder.ends("CS1") == []
            assert await client.read() == (TEXT, 0, b"last words")
            opcode, _, payload = await client.read()
            assert (opcode, payload[:2], payload[2:].decode()) == (CLOSE, b"\x03\xf0", "ä" * 61)
            assert len(recorder.ends("CS1")) == 1
            client.send(TEXT, b"too late")
            assert await client.gone(), "a station that does not answer the close is dropped"
            assert recorder.texts("CS1") == []

    stage.run(story())
