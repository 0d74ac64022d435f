"""What a broken or hostile station sends, over real sockets against the served process: it gets the right refusal, another station
is answered all the while, and the server lives without a fault of its own."""

import asyncio
import contextlib
import copy
import json
import random
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets
from websockets.sync.client import connect as connect_and_wait

BOOT = {"reason": "PowerUp", "chargingStation": {"model": "M1", "vendorName": "Acme"}}
SUBPROTOCOLS = [websockets.Subprotocol("ocpp2.1")]
HANDSHAKE = (
    "GET /ocpp/{} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: ocpp2.1\r\n\r\n"
)
PATIENCE_S = 1.0
"""A bystander is answered sooner than this."""

Example = Callable[[str, random.Random], dict[str, Any]]


@pytest.fixture(scope="module")
def served(serve_all: Any) -> Any:
    """A server that takes in anybody, and gives up on unfinished handshakes soon."""
    return serve_all("[gateway]\nhandshake_timeout_s = 3.0\n", "--accept-unknown-stations")


class Bystander:
    """A station that behaves, on a thread of its own; `waits_s` is how long each of its Heartbeats waited for the answer, without the
    time in which a processor was not given to the server, or to this thread: where much else runs, that is nobody's fault."""

    def __init__(self, url: str, server_id: int) -> None:
        self._server_id = server_id
        self.waits_s: list[float] = []
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._beat, args=(url,))
        self.thread.start()

    def _beat(self, url: str) -> None:
        with connect_and_wait(url, subprotocols=SUBPROTOCOLS, open_timeout=60) as line:
            _ask_and_wait(line, "BootNotification", BOOT)
            while not self.done.wait(0.02):
                since_s = self._served_s()
                _ask_and_wait(line, "Heartbeat", {})
                self.waits_s.append(self._served_s() - since_s)

    def _served_s(self) -> float:
        """A clock that stands still while one of the two threads is ready to run and another process has the processor."""
        tasks = (f"/proc/{self._server_id}/task/{self._server_id}", f"/proc/self/task/{threading.get_native_id()}")
        return time.monotonic() - sum(int(Path(task, "schedstat").read_text().split()[1]) for task in tasks) / 1e9

    def next_beat(self) -> int:
        """Waits for one more answer; how many there are then."""
        seen = len(self.waits_s)
        deadline_s = time.monotonic() + 60.0
        while len(self.waits_s) == seen:
            assert self.thread.is_alive()
            assert time.monotonic() < deadline_s, "the bystander is not answered"
            time.sleep(0.005)  # a thread of real sockets: there is no clock to turn
        return seen


@pytest.fixture(scope="module")
def bystander(served: Any) -> Iterator[Bystander]:
    one = Bystander(f"{served.ocpp_url}/BYSTANDER", served.process_id)
    yield one
    one.done.set()
    one.thread.join(60.0)


@pytest.fixture(autouse=True)
def others_are_served(served: Any, bystander: Bystander) -> Iterator[None]:
    """From the first to the last moment of each test the bystander is answered in time, and the server stays without a fault."""
    before = bystander.next_beat()
    yield
    bystander.next_beat()
    assert max(bystander.waits_s[before:]) < PATIENCE_S
    assert served.alive, served.log
    assert "Traceback" not in served.log
    assert "handler failed" not in served.log


@pytest.fixture(scope="module", autouse=True)
def no_fault_of_ours(served: Any) -> Iterator[None]:
    """At the end the server's own counters know of no fault in it."""
    yield
    faults = asyncio.run(_faults(served))
    assert len(faults) == 2, faults
    assert all(line.endswith(" 0.0") for line in faults), faults


async def _faults(served: Any) -> list[str]:
    async with served.api() as api:
        text = (await api.get("/metrics")).text
    return [line for line in text.splitlines() if line[:1] != "#" and ("our fault" in line or "handler_failures_total" in line)]


def _ask_and_wait(line: Any, action: str, payload: dict[str, Any]) -> None:
    line.send(json.dumps([2, "b", action, payload]))
    while True:
        frame = json.loads(line.recv(timeout=60.0))
        if frame[0] == 3:
            return
        if frame[0] == 2:
            line.send(json.dumps([4, frame[1], "NotSupported", "", {}]))


class Attacker:
    """A line on which anything may be said."""

    def __init__(self, line: Any) -> None:
        self.line = line
        self._beats = 0

    async def answers_to(self, *texts: str | bytes) -> list[Any]:
        """Everything that comes back before the answer to a Heartbeat sent behind `texts`; calls of the server left out."""
        self._beats += 1
        for text in texts:
            await self.line.send(text, text=True)
        await self.line.send(json.dumps([2, f"beat-{self._beats}", "Heartbeat", {}]))
        came: list[Any] = []
        while True:
            frame = json.loads(await asyncio.wait_for(self.line.recv(), 60.0))
            if frame[1] == f"beat-{self._beats}":
                return came
            if frame[0] != 2:
                came.append(frame)


@contextlib.asynccontextmanager
async def attacking(served: Any, name: str) -> AsyncIterator[Attacker]:
    async with websockets.connect(f"{served.ocpp_url}/{name}", subprotocols=SUBPROTOCOLS, max_queue=None) as line:
        attacker = Attacker(line)
        [answer] = await attacker.answers_to(json.dumps([2, "boot", "BootNotification", BOOT]))
        assert answer[2]["status"] == "Accepted"
        yield attacker


STATUS = {"timestamp": "2026-11-22T10:00:00Z", "connectorStatus": "Occupied", "evseId": 1, "connectorId": 1}
DEEP = 100_000
REFUSED = [
    ("not json", "-1", "RpcFrameworkError"),
    ("", "-1", "RpcFrameworkError"),
    ("{", "-1", "RpcFrameworkError"),
    ("{}", "-1", "RpcFrameworkError"),
    ("[]", "-1", "RpcFrameworkError"),
    ("null", "-1", "RpcFrameworkError"),
    ("[2]", "-1", "RpcFrameworkError"),
    ('[2,7,"Heartbeat",{}]', "-1", "RpcFrameworkError"),
    ('["2","a","Heartbeat",{}]', "-1", "RpcFrameworkError"),
    ('[null,"a","Heartbeat",{}]', "-1", "RpcFrameworkError"),
    ('[2,"a","Heartbeat",{}', "-1", "RpcFrameworkError"),
    ('[2,"a","Heartbeat",{}]]', "-1", "RpcFrameworkError"),
    (b'[2,"\xff\xfe","Heartbeat",{}]', "-1", "RpcFrameworkError"),
    ("[" * DEEP, "-1", "RpcFrameworkError"),
    ("[" * DEEP + "]" * DEEP, "-1", "RpcFrameworkError"),
    ('[2,"a"]', "a", "RpcFrameworkError"),
    ('[2,"a","Heartbeat"]', "a", "RpcFrameworkError"),
    ('[2,"a",null,{}]', "a", "RpcFrameworkError"),
    ('[2,"a","NoSuchAction",{}]', "a", "NotImplemented"),
    ('[2,"a","heartbeat",{}]', "a", "NotImplemented"),
    ('[2,"a","",{}]', "a", "NotImplemented"),
    ('[2,"a","Reset",{"type":"OnIdle"}]', "a", "NotSupported"),
    ('[2,"a","BootNotification",{}]', "a", "OccurrenceConstraintViolation"),
    ('[2,"a","BootNotification",{"reason":"PowerUp","chargingStation":7}]', "a", "TypeConstraintViolation"),
    ('[2,"a","StatusNotification",[]]', "a", "TypeConstraintViolation"),
    ('[2,"a","StatusNotification","x"]', "a", "TypeConstraintViolation"),
    (json.dumps([2, "a", "StatusNotification", STATUS | {"evseId": -1}]), "a", "PropertyConstraintViolation"),
    (json.dumps([2, "a", "StatusNotification", STATUS | {"evseId": "one"}]), "a", "TypeConstraintViolation"),
    (json.dumps([2, "a", "StatusNotification", STATUS | {"evseId": 2**40}]), "a", "PropertyConstraintViolation"),
    (json.dumps([2, "a", "StatusNotification", STATUS | {"connectorStatus": "Sideways"}]), "a", "PropertyConstraintViolation"),
]


@pytest.mark.parametrize(("text", "message_id", "code"), REFUSED, ids=lambda value: str(value)[:40])
def test_fr_03_a_malformed_call_gets_the_right_call_error(served: Any, text: str | bytes, message_id: str, code: str) -> None:
    async def play() -> None:
        async with attacking(served, "MALFORMED") as attacker:
            [answer] = await attacker.answers_to(text)
            assert answer[:3] == [4, message_id, code]
            assert len(answer) == 5
            assert 0 < len(answer[3]) <= 255
            assert answer[4] == {}
            assert len(text) < 20 or str(text) not in answer[3]  # never echoed

    asyncio.run(play())


def test_what_is_no_call_is_never_answered(served: Any) -> None:
    async def play() -> None:
        async with attacking(served, "ANSWERER") as attacker:
            assert (
                await attacker.answers_to(
                    '[3,"nobody-asked",{}]',
                    '[3,"nobody-asked"]',
                    '[3,"nobody-asked",null]',
                    '[4,"nobody-asked","GenericError","",{}]',
                    '[4,"nobody-asked"]',
                    '[5,"nobody-asked","GenericError","",{}]',
                    '[6,"s","NotifyPeriodicEventStream",{"id":1,"pending":0,"basetime":"2026-11-22T10:00:00Z","data":[]}]',
                    '[6,"s","Unknown",{}]',
                    '[6,"s"]',
                    '[9,"a","Heartbeat",{}]',
                    '[-2,"a","Heartbeat",{}]',
                    '[99999999999999999999,"a","Heartbeat",{}]',
                )
                == []
            )

    asyncio.run(play())


def test_doubled_and_odd_ids_are_answered_as_they_came(served: Any) -> None:
    ids = ["twin", "twin", "", "-1", "x" * 300, "snow☃man", "nul\x00", "a\nb", "\U0001f697"]

    async def play() -> None:
        async with attacking(served, "ODD-IDS") as attacker:
            answers = await attacker.answers_to(*(json.dumps([2, one, "Heartbeat", {}]) for one in ids))
            assert [answer[:2] for answer in answers] == [[3, one] for one in ids]

    asyncio.run(play())


def _event(**fields: Any) -> str:
    event = {
        "eventType": "Updated",
        "timestamp": "2026-11-22T10:00:00Z",
        "triggerReason": "MeterValuePeriodic",
        "seqNo": 1,
        "transactionInfo": {"transactionId": "odd"},
        "evse": {"id": 1},
    }
    return json.dumps([2, "a", "TransactionEvent", event | fields])


def _metered(value: str, measurand: str = "Power.Active.Export", multiplier: str = "0") -> str:
    unit = f'{{"unit":"W","multiplier":{multiplier}}}'
    sample = f'{{"value":{value},"measurand":"{measurand}","unitOfMeasure":{unit}}}'
    return _event(meterValue=["@"]).replace('"@"', f'{{"timestamp":"2026-11-22T10:00:00Z","sampledValue":[{sample}]}}')


def test_numbers_and_times_beyond_reason_are_answered_and_harm_nothing(served: Any) -> None:
    odd = [_metered(value) for value in ("1e400", "-1e308", "1" + "0" * 5_000, "NaN", "Infinity", "-0.0", "5e-324", '"7"', "null", "true")]
    odd += [_metered("1e300", multiplier=multiplier) for multiplier in ("300", "-300", "2147483647", "-2147483648", "1e9")]
    odd += [_metered("1e18", "SoC"), _metered("-5", "SoC"), _metered("1e30", "Energy.Active.Export.Register")]
    odd += [_event(timestamp=at) for at in ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-11-22", "x", "2026-02-30T00:00:00Z", 7)]
    odd += [_event(seqNo=number) for number in (-1, 2**31, 2**63, 2**64, 1.5, "1")]
    odd += [_event(evse={"id": number}) for number in (0, -1, 2**31 - 1, 10**30)]
    odd += [_event(transactionInfo={"transactionId": text}) for text in ("", "y" * 40, "z" * 10_000, "\x00", 'q"uote', "../../etc")]

    async def play() -> None:
        async with attacking(served, "NUMBERS") as attacker:
            for text in odd:
                [answer] = await attacker.answers_to(text)
                assert answer[0] in (3, 4), text
                assert answer[1] in ("a", "-1"), text
                assert answer[2] != "InternalError", text
        async with served.api() as api:
            for path in ("/api/v1/fleet", "/api/v1/sessions", "/api/v1/stations/NUMBERS"):
                assert (await api.get(path)).status_code == 200

    asyncio.run(play())


def test_mutated_messages_get_one_answer_each(served: Any, example_of: Example) -> None:
    rng = random.Random(7)
    actions = [
        "TransactionEvent",
        "MeterValues",
        "NotifyEVChargingNeeds",
        "NotifyReport",
        "NotifyEvent",
        "ReportChargingProfiles",
        "Authorize",
    ]

    async def play() -> None:
        async with attacking(served, "MUTANT") as attacker:
            for number in range(60):
                texts, ids = [], []
                for place in range(10):
                    ids.append(f"{number}-{place}")
                    action = rng.choice(actions)
                    payload = example_of(f"{action}Request", rng)
                    _mutate(payload, rng)
                    texts.append(json.dumps([2, ids[-1], action, payload]))
                answers = await attacker.answers_to(*texts)
                assert [answer[1] for answer in answers] == ids
                assert all(answer[0] == 3 or answer[2] != "InternalError" for answer in answers), list(zip(texts, answers, strict=True))

    asyncio.run(play())


def _mutate(node: Any, rng: random.Random) -> None:
    """Change one to three things anywhere in a payload, in place."""
    for _ in range(rng.randint(1, 3)):
        places = list(_places(node))
        if not places:
            return
        container, key = rng.choice(places)
        odd: list[Any] = [
            None,
            True,
            -1,
            2**53,
            1e300,
            "",
            "x" * 3_000,
            [],
            {},
            [[]],
            {"a": {"b": []}},
            "2026-11-22T10:00:00+99:00",
            "\x00",
        ]
        if rng.random() < 0.3 and isinstance(container, dict):
            del container[key]
        else:
            container[key] = copy.deepcopy(rng.choice(odd))


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield node, key
        yield from _places(value)


def test_random_text_and_truncated_messages_get_a_refusal_or_nothing(served: Any, example_of: Example) -> None:
    rng = random.Random(11)
    whole = [json.dumps([2, "cut", "TransactionEvent", example_of("TransactionEventRequest", rng)]) for _ in range(40)]
    texts: list[str | bytes] = [text[: rng.randrange(len(text))] for text in whole]
    texts += [bytes(rng.randrange(256) for _ in range(rng.randrange(200))) for _ in range(150)]
    texts += ["".join(rng.choice('[]{}",:0123456789truefalsnl\\u ') for _ in range(80)) for _ in range(150)]

    async def play() -> None:
        async with attacking(served, "RANDOM") as attacker:
            for text in texts:
                answers = await attacker.answers_to(text)
                assert len(answers) <= 1
                assert all(answer[0] == 4 and answer[1] in ("-1", "cut") for answer in answers), (text, answers)

    asyncio.run(play())


def test_nesting_without_end_inside_a_payload(served: Any) -> None:
    deep = [
        '[2,"a","Heartbeat",' + '{"a":' * DEEP + "1" + "}" * DEEP + "]",
        '[2,"a","DataTransfer",{"vendorId":"v","data":' + "[" * DEEP + "]" * DEEP + "}]",
        '[2,"a","DataTransfer",{"vendorId":"v","data":' + "[" * 900 + "]" * 900 + "}]",
        '[2,"a","DataTransfer",{"vendorId":7,"data":' + "[" * 900 + "]" * 900 + "}]",
        '[2,"a","Heartbeat",{"customData":{"vendorId":"v","x":' + '{"a":' * 900 + "1" + "}" * 900 + "}}]",
    ]

    async def play() -> None:
        async with attacking(served, "DEEP") as attacker:
            for text in deep:
                [answer] = await attacker.answers_to(text)
                assert answer[0] in (3, 4)
                assert answer[2] != "InternalError"

    asyncio.run(play())


@pytest.mark.parametrize("compressed", [False, True])
def test_two_megabytes_end_the_line_with_1009_and_nothing_else(served: Any, compressed: bool) -> None:
    async def play() -> None:
        compression = "deflate" if compressed else None
        url = f"{served.ocpp_url}/BIG"
        async with websockets.connect(url, subprotocols=SUBPROTOCOLS, compression=compression) as line:
            await line.send(json.dumps([2, "big", "DataTransfer", {"vendorId": "v", "data": "x" * 2_000_000}]))
            await asyncio.wait_for(line.wait_closed(), 60.0)
            assert line.close_code == 1009
        async with attacking(served, "BIG") as attacker:
            assert await attacker.answers_to('[3,"x",{}]') == []

    asyncio.run(play())


def test_binary_messages_end_the_line_with_1003(served: Any) -> None:
    async def play() -> None:
        async with attacking(served, "BINARY") as attacker:
            await attacker.line.send(b'[2,"a","Heartbeat",{}]')
            with pytest.raises(websockets.ConnectionClosed):
                await asyncio.wait_for(attacker.line.recv(), 60.0)
            assert attacker.line.close_code == 1003

    asyncio.run(play())


def test_a_flood_is_answered_in_full_and_in_order(served: Any) -> None:
    flood = 5_000

    async def play() -> None:
        async with attacking(served, "FLOOD") as attacker:
            answers = await attacker.answers_to(*(f'[2,"{number}","Heartbeat",{{}}]' for number in range(flood)))
            assert [answer[1] for answer in answers] == [str(number) for number in range(flood)]

    asyncio.run(play())


def test_a_station_that_floods_and_never_reads_is_cut_off(served: Any) -> None:
    """Forty thousand calls of a kilobyte each whose refusals nobody takes: the server must not keep them."""
    call = b'[2,"%s","NoSuchAction",{}]' % (b"i" * 1_000)
    length = len(call)
    frame = bytes([0x81, 0x80 | 126, length >> 8, length & 0xFF]) + b"\0\0\0\0" + call  # masked with zeros

    async def play() -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", served.ocpp_port, limit=2**10)
        writer.write(HANDSHAKE.format("DEAF").encode())

        async def shout() -> None:
            for _ in range(400):
                writer.write(frame * 100)
                await asyncio.wait_for(writer.drain(), 60.0)

        with pytest.raises(ConnectionError):
            await shout()
        writer.close()

    asyncio.run(play())
    assert "reads too slowly" in served.log


def test_half_open_handshakes_keep_nobody_out(served: Any) -> None:
    async def play() -> None:
        halves = [await asyncio.open_connection("127.0.0.1", served.ocpp_port) for _ in range(200)]
        for number, (_, writer) in enumerate(halves):
            text = HANDSHAKE.format("HALF").encode()
            writer.write(text[: number % len(text)])
        async with attacking(served, "WHOLE") as attacker:
            assert await attacker.answers_to('[3,"x",{}]') == []
        for reader, writer in halves:
            assert await asyncio.wait_for(reader.read(), 60.0) is not None  # ended by the server, sooner or later
            writer.close()

    asyncio.run(play())


def test_bytes_that_are_no_websocket(served: Any) -> None:
    rng = random.Random(3)

    async def play() -> None:
        for number in range(60):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.ocpp_port)
            if number % 2:
                writer.write(HANDSHAKE.format("NOISE").encode())
                assert (await asyncio.wait_for(reader.readline(), 60.0)).startswith(b"HTTP/1.1 101")
            writer.write(rng.randbytes(rng.randrange(1, 2_000)) + b"\r\n\r\n")
            writer.write_eof()
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(), 60.0)
            writer.close()

    asyncio.run(play())
