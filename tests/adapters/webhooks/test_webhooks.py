"""Posts to a receiver on a real socket that fails in every way: everything comes, in order, signed, and a double has the same key."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.adapters.storage.memory import MemoryJournal
from counterflow.adapters.webhooks.outbox import Outbox
from counterflow.adapters.webhooks.signing import is_ours, signature
from counterflow.app.config import Settings, SettingsError, load
from counterflow.app.replay import Replay
from counterflow.app.server import Server
from counterflow.domain.grid import GridOrder, GridStep, Wire
from counterflow.domain.program_words import StatusWords
from counterflow.sim.settings import WorldSettings

SECRET = "a-shared-secret"
PROGRAM = {"name": "north", "wire": "http", "sign": "load", "unit": "kW", "max_discharge_power_w": 1e6}


class Receiver:
    """An HTTP server by hand. `script` = what it does with the next posts: a status, `drop`, `hang` or a header; then it takes all."""

    def __init__(self) -> None:
        self.posts: list[tuple[dict[str, str], bytes, Any]] = []
        self.taken: list[tuple[dict[str, str], Any]] = []
        self.script: list[Any] = []
        self.refused: dict[str, int] = {}
        """Statuses for all posts of an event."""
        self.port = 0

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator["Receiver"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                await self._one(reader, writer)
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        does = self.script.pop(0) if self.script else self.refused.get(msgspec.json.decode(body)["event"], 204)
        self.posts.append((headers, body, does))
        if does == "drop":
            raise ConnectionError
        if does == "hang":
            await asyncio.sleep(30.0)
        status, more = does if isinstance(does, tuple) else (does, "")
        if 200 <= status < 300:
            self.taken.append((headers, msgspec.json.decode(body)))
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n{more}\r\n".encode())
        await writer.drain()

    def of(self, event: str) -> list[Any]:
        return [body["data"] for _, body in self.taken if body["event"] == event]


def settings_of(folder: Path, receiver: Receiver, **more: Any) -> Settings:
    (folder / "secret").write_text(SECRET)
    hook = {
        "name": "archive", "url": f"http://127.0.0.1:{receiver.port}/hook", "program": "north", "secret_file": str(folder / "secret"),
        "batch_s": 1, "retry_min_s": 0.05, "retry_max_s": 0.2, "timeout_s": 2.0,
    }  # fmt: skip
    sections: dict[str, Any] = {"server": {"data_dir": str(folder / "vpp")}, "gateway": {"port": 0}, "api": {"port": 0}}
    sections |= {"programs": [PROGRAM], "telemetry": {"period_s": 1}, "webhooks": [hook | more]}
    return msgspec.convert(sections, Settings)


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Server]:
    server = Server(settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def order(key: str, power_w: float) -> GridOrder:
    now_s = time.time()
    return GridOrder(program="north", key=key, steps=(GridStep(from_s=now_s, discharge_power_w=power_w),), end_s=now_s + 600.0)


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(story(), 120.0))


def test_orders_and_telemetry_come_signed_in_the_words_of_the_program(tmp_path: Path, until: Any) -> None:
    async def story() -> None:
        async with Receiver().listening() as receiver, running(settings_of(tmp_path, receiver)) as server:
            await until(lambda: receiver.of("orders"))
            await server.grid.place(order("o-1", 5_000.0))
            await until(lambda: [one for one in receiver.of("orders") if one["orders"] and one["orders"][0]["state"] == "running"])
            await until(lambda: [one for batch in receiver.of("telemetry") for one in batch["records"] if one["target_power"] == -5.0])
            first = receiver.of("orders")[0]
            assert (first["orders"], first["sign"], first["unit"]) == ([], "load", "kW")
            batch = receiver.of("telemetry")[0]
            assert (batch["replayed"], batch["pool"], batch["program"]) == (False, "all", "north")
            for headers, body, _ in receiver.posts:
                assert is_ours(SECRET, body, headers["counterflow-signature"], time.time())
                assert not is_ours("another", body, headers["counterflow-signature"], time.time())
                assert msgspec.json.decode(body)["id"] == headers["idempotency-key"]

    play(story)


def test_a_receiver_that_fails_in_every_way_gets_everything_in_order_and_each_double_under_its_key(tmp_path: Path, until: Any) -> None:
    async def story() -> None:
        receiver = Receiver()
        script: list[Any] = [500, "drop", "hang", (429, "Retry-After: 0\r\n"), (302, "Location: http://127.0.0.1:1/elsewhere\r\n"), 404]
        receiver.script = list(script)
        async with receiver.listening(), running(settings_of(tmp_path, receiver, events=["orders"])) as server:
            for number in range(4):
                await server.grid.place(order("o-1", 1_000.0 * (number + 1)))
            alarm = await until(lambda: [text for text in server.operations.health().alarms if "webhook 'archive'" in text])
            assert alarm[0].endswith("Everything is kept and tried again.")
            await until(lambda: receiver.of("orders") and receiver.of("orders")[-1]["orders"][0]["steps"][0]["value"] == -4.0)
            values = [one["orders"][0]["steps"][0]["value"] for one in receiver.of("orders") if one["orders"]]
            assert values == sorted(values, reverse=True)
            assert set(values) == {-1.0, -2.0, -3.0, -4.0}
            # What was tried seven times is one letter.
            assert len({headers["idempotency-key"] for headers, _, _ in receiver.posts[:7]}) == 1
            assert [does for _, _, does in receiver.posts[:6]] == script
            await until(lambda: not [text for text in server.operations.health().alarms if "webhook" in text])
            outcomes = server.wires.webhooks.receivers[0].outcomes
            assert (outcomes["500"], outcomes["unreachable"], outcomes["302"]) == (1, 2, 1)

    play(story)


def test_letters_and_telemetry_have_alarms_of_their_own(tmp_path: Path, until: Any) -> None:
    def alarms(server: Server) -> list[str]:
        return [text for text in server.operations.health().alarms if "webhook" in text]

    async def story() -> None:
        receiver = Receiver()
        receiver.refused["telemetry"] = 507
        async with receiver.listening(), running(settings_of(tmp_path, receiver)) as server:
            await until(lambda: len(alarms(server)) == 1)
            assert alarms(server)[0].endswith(
                "Telemetry for the webhook 'archive' is not taken: it answers 507. Everything is kept and tried again."
            )
            receiver.refused["orders"] = 403
            await server.grid.place(order("o-1", 5_000.0))
            await until(lambda: len(alarms(server)) == 2)
            assert any("What happens (orders) for the webhook 'archive' is not taken: it answers 403." in text for text in alarms(server))
            del receiver.refused["telemetry"]
            await until(lambda: len(alarms(server)) == 1)
            assert "it answers 403" in alarms(server)[0], "that of the letters stands"
            del receiver.refused["orders"]
            await until(lambda: not alarms(server))

    play(story)


def test_what_was_not_taken_before_a_restart_is_posted_after_it(tmp_path: Path, until: Any) -> None:
    async def story() -> None:
        receiver = Receiver()
        async with receiver.listening(), running(settings_of(tmp_path, receiver)) as server:
            await until(lambda: receiver.of("telemetry") and receiver.of("orders"))
        async with running(settings_of(tmp_path, receiver)) as server:
            await server.grid.place(order("o-1", 5_000.0))
            await until(lambda: len(server.wires.webhooks.receivers[0].outbox) >= 2)
            await asyncio.sleep(1.2)
        assert not [one for one in receiver.of("orders") if one["orders"]]
        async with receiver.listening(), running(settings_of(tmp_path, receiver)):
            await until(lambda: [one for one in receiver.of("orders") if one["orders"]])
            before = max(one["sequence"] for batch in receiver.of("telemetry") for one in batch["records"])
            await until(lambda: receiver.of("telemetry")[-1]["records"][-1]["sequence"] > before)
        numbers = [one["sequence"] for batch in receiver.of("telemetry") for one in batch["records"]]
        assert sorted(set(numbers)) == list(range(min(numbers), max(numbers) + 1))

    play(story)


@pytest.fixture
def grid() -> Any:
    settings = msgspec.convert({"programs": [PROGRAM]}, Settings)
    return Replay(settings, msgspec.convert({"stations": 1}, WorldSettings), 1, journal=MemoryJournal()).grid


def test_the_outbox_keeps_the_newest_and_knows_them_again(grid: Any) -> None:
    outbox = Outbox(grid, "archive", 10)
    for number in range(13):
        outbox.put("orders", StatusWords(online=True, at=None, version=str(number)))
    assert (len(outbox), outbox.dropped) == (10, 3)
    outbox.taken()
    again = Outbox(grid, "archive", 10)
    letter = again.first()
    assert letter == outbox.first()
    assert msgspec.json.decode(letter.data)["version"] == "4"
    again.put("report", StatusWords(online=True, at=None, version="new"))
    assert len(again) == 10
    for _ in range(10):
        again.taken()
    assert again.first() is None
    assert not [key for key in grid.notes(Wire.HTTP) if "letter" in key]
    assert len(Outbox(grid, "arch", 10)) == 0


@given(body=st.binary(max_size=200), other=st.binary(max_size=200), secret=st.text(min_size=1, max_size=40), ago_s=st.floats(-400.0, 400.0))
def test_a_signature_is_of_one_body_one_secret_and_five_minutes(body: bytes, other: bytes, secret: str, ago_s: float) -> None:
    now_s = 1_800_000_000.0
    header = signature(secret, body, now_s - ago_s)
    assert is_ours(secret, body, header, now_s) is (abs(now_s - int(now_s - ago_s)) <= 300.0)
    assert is_ours(secret, other, header, now_s - ago_s) is (body == other)
    assert not is_ours(secret + "x", body, header, now_s - ago_s)


@pytest.mark.parametrize("header", ["", "t=,v1=", "t=x,v1=00", "v1=00", "t=1800000000", "t=1800000000,v1=\u00e9", "t=²,v1=0"])
def test_what_is_no_signature_is_none(header: str) -> None:
    assert not is_ours("s", b"", header, 1_800_000_000.0)


HOOK = """
[[programs]]
name = "p"
wire = "{wire}"
sign = "load"
{unit}
max_discharge_power_w = 1
[[webhooks]]
name = "h"
program = "{of}"
url = "{url}"
{more}
"""
FOLLOWED = """
[[openadr.vtns]]
name = "v"
url = "http://127.0.0.1:1/"
client_id = "v"
client_secret_env = "V"
programs = [{ program = "p" }]
"""
GOOD = {"more": "", "wire": "http", "unit": 'unit = "kW"', "of": "p", "url": "https://receiver.example/hook"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"of": "q"}, "names the program 'q', and there is no [[programs]] entry of that name"),
        ({"wire": "openadr", "unit": "", "more": FOLLOWED}, "needs a unit to write in"),
        ({"url": "http://receiver.example/hook"}, "goes by plain HTTP to receiver.example"),
        ({"url": "http://8.8.8.8/hook"}, "goes by plain HTTP to 8.8.8.8"),
        ({"url": "https://name:word@receiver.example/"}, "without a name and password in it"),
        ({"url": "ftp://receiver.example/"}, "webhooks"),
    ],
)
def test_a_webhook_that_cannot_be_meant_is_named(tmp_path: Path, change: dict[str, str], sentence: str) -> None:
    file = tmp_path / "counterflow.toml"
    file.write_text(HOOK.format(**GOOD | change))
    with pytest.raises(SettingsError) as caught:
        load(file, {}, {})
    assert sentence in str(caught.value)


@pytest.mark.parametrize("url", ["https://receiver.example/hook", "http://127.0.0.1:1/", "http://10.1.2.3/", "http://localhost/"])
def test_a_webhook_may_go_by_tls_or_stay_near(tmp_path: Path, url: str) -> None:
    file = tmp_path / "counterflow.toml"
    file.write_text(HOOK.format(**GOOD | {"url": url}))
    assert load(file, {}, {}).webhooks[0].url == url
