"""A dispatcher that says what the test wants, the outstation on a real socket in front of it, and a control system that drives it."""

import asyncio
import contextlib
import random
import runpy
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import c104
import msgspec
import pytest

from counterflow.adapters.iec104.service import Iec104Service
from counterflow.adapters.iec104.settings import Iec104Settings
from counterflow.domain.grid import GridAnswer, GridOutcome, GridUnit, PoolTelemetry, Program, Quality, Sign, Wire
from counterflow.domain.ids import PoolId
from counterflow.domain.views import Refusal, RefusalKind

PROGRAM = Program(
    name="afrr",
    wire=Wire.IEC104,
    pool=PoolId("north"),
    sign=Sign.GENERATOR,
    unit=GridUnit.MW,
    max_discharge_power_w=5e6,
    stream_timeout_s=30.0,
)
COMMON_ADDRESS = 47
ANSWERED_WITHIN_S = 2.0
ANSWERED_BY_HAND_S = 60.0


def record_of(**changed: Any) -> PoolTelemetry:
    """A pool in good order, with a dispatch of 2 MW."""
    fields: dict[str, Any] = {
        "sequence": 1, "at_s": 1_000.0, "pool": PoolId("north"), "measured_power_w": 1.9e6, "baseline_power_w": 0.0, "target_power_w": 2e6,
        "delivered_power_w": 1.9e6, "committed_power_w": 2.5e6, "up_power_w": 1.2e6, "up_energy_wh": 3e6, "down_power_w": 4e6,
        "ramp_w_per_s": 50_000.0, "sessions": 640, "sessions_ready": 512, "unmeasured_sessions": 3, "meter_age_s": 8.0,
        "quality": Quality.GOOD, "available": True, "following": True, "fault": False,
    }  # fmt: skip
    return PoolTelemetry(**(fields | changed))


class Desk:
    """`GridSide` as far as this wire asks it."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self.off_s = 0.0
        self.record = record_of(at_s=clock())
        self.told: list[float] = []
        self.declined: list[str] = []
        self.alarms: dict[str, str] = {}
        self.noted: dict[str, Any] = {}
        self.refusal: Refusal | None = None
        self.thinks = False
        """It does not answer yet."""

    def now_s(self) -> float:
        return self._clock() + self.off_s

    def programs(self, wire: Wire) -> Sequence[Program]:
        return [PROGRAM] if wire is Wire.IEC104 else []

    async def tell(self, program: str, discharge_power_w: float, said_at_s: float | None, sequence: int | None) -> GridAnswer:
        while self.thinks:
            await asyncio.sleep(0.01)
        refusal = self.refusal
        if not 0.0 <= discharge_power_w <= PROGRAM.max_discharge_power_w:
            refusal = Refusal(kind=RefusalKind.INVALID, sentence="It is out of bounds.", remedy="Order less.")
        if refusal is not None:
            return GridAnswer(outcome=GridOutcome.REFUSED, refusal=refusal)
        self.told.append(discharge_power_w)
        return GridAnswer(outcome=GridOutcome.ACCEPTED)

    def decline_value(self, program: str, sent: Mapping[str, Any], refusal: Refusal) -> None:
        self.declined.append(refusal.sentence)

    def telemetry(self, pool: PoolId) -> PoolTelemetry:
        assert pool == "north"
        return self.record

    async def telemetry_since(self, pool: PoolId, sequence: int, most: int, wait_s: float = 0.0) -> Sequence[PoolTelemetry]:
        give_up_s = time.monotonic() + wait_s
        while self.record.sequence <= sequence and time.monotonic() < give_up_s:
            await asyncio.sleep(0.005)
        return [self.record] if self.record.sequence > sequence else []

    def show(self, **changed: Any) -> None:
        """The next record."""
        self.record = msgspec.structs.replace(self.record, **({"sequence": self.record.sequence + 1, "at_s": self.now_s()} | changed))

    def note(self, wire: Wire, key: str, body: Any) -> None:
        if body is None:
            self.noted.pop(key, None)
        else:
            self.noted[key] = body

    def notes(self, wire: Wire) -> dict[str, Any]:
        return self.noted

    def alarm(self, wire: Wire, subject: str, sentence: str | None) -> None:
        if sentence is None:
            self.alarms.pop(subject, None)
        else:
            self.alarms[subject] = sentence


def a_free_port() -> int:
    """From below those that the system gives to outgoing connections: a restart must find it free."""
    while True:
        with socket.socket() as one, contextlib.suppress(OSError):
            port = random.randrange(20_000, 32_000)
            one.bind(("127.0.0.1", port))
            return port


def iec104_settings(station: dict[str, Any] | None = None, **changed: Any) -> Iec104Settings:
    """One station of the program `afrr` at common address 47."""
    one = {"program": "afrr", "common_address": COMMON_ADDRESS} | (station or {})
    fields: dict[str, Any] = {"port": a_free_port(), "stations": [one], "confirm_within_s": 10.0}  # other tests share this machine
    return msgspec.convert(fields | changed, Iec104Settings)


class Running:
    """A service on an event loop of its own thread, as the server has one."""

    def __init__(self, desk: Any, settings: Iec104Settings) -> None:
        self.desk = desk
        self.settings = settings
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.do(self._open())

    async def _open(self) -> None:
        self.service = Iec104Service(self.desk, self.settings)
        await self.service.open()
        self._running = asyncio.ensure_future(self.service.run())

    def do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def listened_to(self) -> bool:
        """Somebody is connected and has started the transfer."""
        link: Any = self.service.link
        return bool(link._server.has_active_connections)

    def plain(self, tls: ssl.SSLContext | None = None) -> Any:
        """A connection of octets by hand."""
        return contextlib.closing(PlainLine(self.settings.port, tls))

    def plain_to(self, port: int) -> Any:
        """The same to another port."""
        return contextlib.closing(PlainLine(port))

    def close(self) -> None:
        async def end() -> None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            await self.service.close()

        if self.loop.is_closed():
            return
        self.do(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


class PlainLine:
    """Octets by hand, for what c104's client would not send."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        bare = socket.create_connection(("127.0.0.1", port), timeout=ANSWERED_BY_HAND_S)
        self._socket = bare if tls is None else tls.wrap_socket(bare)
        self._said = 0
        self._socket.sendall(bytes.fromhex("680407000000"))  # STARTDT act
        assert self._apdu() == bytes.fromhex("68040b000000")

    def sends(self, octets: bytes) -> None:
        """Whatever they are."""
        self._socket.sendall(octets)

    def confirms(self, asdu: bytes) -> bool:
        """Whether an ASDU is answered with a positive confirmation of activation."""
        return self.cause_of(asdu) == 7

    def cause_of(self, asdu: bytes, more_within_s: float = 0.1) -> int:
        """The cause of the answer to an ASDU, with the bits of a negative one and of a test; of two answers the second."""
        self._socket.sendall(bytes([0x68, 4 + len(asdu)]) + (self._said << 1).to_bytes(2, "little") + b"\0\0" + asdu)
        self._said += 1
        causes = [self._answer(asdu[0])]
        if causes[0] & 0x40:  # an unknown address is told behind the negative confirmation
            self._socket.settimeout(more_within_s)
            with contextlib.suppress(TimeoutError):
                causes.append(self._answer(asdu[0]))
            self._socket.settimeout(ANSWERED_BY_HAND_S)
        return causes[-1]

    def _answer(self, type_id: int) -> int:
        while True:
            apdu = self._apdu()
            if not apdu[2] & 1 and apdu[6] == type_id:
                return apdu[8]

    def _apdu(self) -> bytes:
        head = self._exactly(2)
        return head + self._exactly(head[1])

    def _exactly(self, octets: int) -> bytes:
        found = b""
        while len(found) < octets:
            more = self._socket.recv(octets - len(found))
            if not more:
                raise ConnectionResetError("the outstation closed the line")
            found += more
        return found

    def close(self) -> None:
        self._socket.close()


class Master:
    """A control system: c104's client. Its own scheduler sometimes forgets to start the transfer, so that is asked for here."""

    def __init__(self, port: int, tls: Any = None, common_address: int = COMMON_ADDRESS) -> None:
        self.client = c104.Client(tick_rate_ms=50, command_timeout_ms=round(ANSWERED_WITHIN_S * 1e3), transport_security=tls)
        connection = self.client.add_connection("127.0.0.1", port, init=c104.Init.MUTED)
        assert connection is not None
        self.connection = connection
        station = connection.add_station(common_address)
        assert station is not None
        self.station = station
        self._common_address = common_address
        self.seen: list[tuple[int, Any, str, Any]] = []
        """Address, value, cause and quality of all that came in."""
        self._confirmed: list[tuple[int, bool]] = []
        """Address and answer of each confirmation of an activation, as its octets came in."""

        def octets(connection: c104.Connection, data: bytes) -> None:
            if len(data) >= 15 and not data[2] & 1 and data[8] & 0x3F == c104.Cot.ACTIVATION_CON.value:
                self._confirmed.append((int.from_bytes(data[12:15], "little"), not data[8] & 0x40))

        connection.on_receive_raw(octets)

        def new_point(client: c104.Client, station: c104.Station, io_address: int, point_type: c104.Type) -> None:
            station.add_point(io_address=io_address, type=point_type).on_receive(received)

        def received(point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage) -> c104.ResponseState:
            self.seen.append((point.io_address, point.value, message.cot.name, point.quality))
            return c104.ResponseState.SUCCESS

        self.client.on_new_point(new_point)

    def connect(self) -> "Master":
        self.client.start()
        return self.join()

    def join(self) -> "Master":
        """Start the transfer, once the line is there; the client comes back by itself after it has broken."""
        wait_until(lambda: self.connection.is_connected)
        if self.connection.state != c104.ConnectionState.OPEN:
            self.connection.unmute()
            wait_until(lambda: self.connection.state == c104.ConnectionState.OPEN)
        return self

    def wait_for(self, condition: Callable[[], Any]) -> None:
        wait_until(condition)

    def interrogate(self) -> bool:
        """Whether it was confirmed; asked again where the client misses that it was."""
        return any(self.connection.interrogation(self._common_address) for _ in range(3))

    def command(self, address: int, value: float, kind: str = "C_SE_NC_1", select: bool = False, said: Any = None) -> bool:
        """Whether it was confirmed positively, by the octets: the client misses answers, and takes an old one for the next."""
        point = self.station.get_point(address) or self.station.add_point(address, getattr(c104.Type, kind))
        assert point is not None
        point.command_mode = c104.CommandMode.SELECT_AND_EXECUTE if select else c104.CommandMode.DIRECT
        if said is None:
            point.value = value
        else:
            point.info = c104.ShortCmd(target=value, recorded_at=said)
        known = len(self._confirmed)
        executed = point.transmit(c104.Cot.ACTIVATION)
        confirmed = wait_until(lambda: [answer for of, answer in self._confirmed[known:] if of == address])[-1]
        return executed if select else confirmed

    def value(self, address: int) -> Any:
        point = self.station.get_point(address)
        return None if point is None else point.value

    def quality(self, address: int) -> int:
        point = self.station.get_point(address)
        assert point is not None
        return int(point.quality.value)

    def close(self) -> None:
        self.client.stop()


def wait_until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Look again and again; this machine may have much else to do."""
    give_up_s = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < give_up_s, "it did not happen in time"
        time.sleep(0.01)
    return found


@pytest.fixture
def desk() -> Desk:
    """A dispatcher on the clock of the wall."""
    return Desk()


@pytest.fixture
def run() -> Iterator[Callable[..., Running]]:
    """`run(desk, station={...}, masters=[...])`: the outstation on a free port."""
    opened: list[Running] = []

    def start(desk: Desk, station: dict[str, Any] | None = None, settings: Iec104Settings | None = None, **changed: Any) -> Running:
        opened.append(Running(desk, settings or iec104_settings(station, **changed)))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.fixture
def master() -> Iterator[Callable[..., Master]]:
    """`master(port)`: a connected control system."""
    opened: list[Master] = []

    def connect(port: int, **options: Any) -> Master:
        opened.append(Master(port, **options))
        return opened[-1].connect()

    yield connect
    for one in opened:
        one.close()


@pytest.fixture(scope="session")
def record() -> Callable[..., PoolTelemetry]:
    """`record(measured_power_w=...)`: a pool in good order but for what is said."""
    return record_of


@pytest.fixture(scope="session")
def settings_of() -> Callable[..., Iec104Settings]:
    """`settings_of({"cycle_s": 4.0}, masters=[...])`: one station of the program `afrr` at common address 47."""
    return iec104_settings


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """A port that nobody listens on."""
    return a_free_port


@pytest.fixture(scope="session")
def desk_class() -> type[Desk]:
    """For fixtures that live longer than a test."""
    return Desk


@pytest.fixture(scope="session")
def running_class() -> Callable[..., Running]:
    """`running_class(desk, station={...})`; close it."""
    return lambda desk, station=None, **changed: Running(desk, iec104_settings(station, **changed))


@pytest.fixture(scope="session")
def master_class() -> type[Master]:
    """Connect it, and close it."""
    return Master


@pytest.fixture(scope="session")
def capture() -> dict[str, Any]:
    """The names in capture.py; test modules do not import each other."""
    return runpy.run_path(str(Path(__file__).with_name("capture.py")))


@pytest.fixture
def wait_for() -> Callable[..., Any]:
    """`wait_for(condition, seconds)`."""
    return wait_until
