"""A CSMS on a desk: no socket, no clock. A test plays the station by hand, says what time it is, and sees what happened.

And `counterflow serve` as a process of its own, for the tests that need real sockets and real crashes; and the official JSON schemas,
examples made from them, and a judge that knows them.
"""

import asyncio
import contextlib
import gc
import importlib.util
import itertools
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any, TypeVar

import httpx
import hypothesis
import jsonschema_rs
import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from counterflow.adapters.certificates.authority import Authority, open_authority, private_pem
from counterflow.adapters.ocpp.csms import AuthorizationAnswer, BootAnswer, BootStatus, Csms, Deferred, NeedsAnswer
from counterflow.adapters.ocpp.dialect import OCPP_2_1
from counterflow.adapters.ocpp.discovery.dialogue import Errand
from counterflow.adapters.ocpp.settings import OcppSettings
from counterflow.adapters.ocpp.tls import client_context
from counterflow.adapters.ocpp.versions import VERSIONS
from counterflow.domain.commands import Command
from counterflow.domain.ids import EvseId, ProfileId, StationId, TransactionId
from counterflow.domain.records import DiscoveryRecord
from counterflow.domain.resources import ControlMode, EvseCapability, StationIdentity
from counterflow.domain.telemetry import ChargingNeedsReported, StationEvent

# The same examples in every run, so that a red suite is red for everybody; COUNTERFLOW_EXAMPLES=fresh looks for new ones.
# No deadline: how long one example takes says how busy the machine is.
hypothesis.settings.register_profile("same", derandomize=True, deadline=None)
hypothesis.settings.register_profile("fresh", print_blob=True, deadline=None)
hypothesis.settings.load_profile("fresh" if os.environ.get("COUNTERFLOW_EXAMPLES") == "fresh" else "same")

# Processes of ours are started by the hundred. Where Python may not write bytecode beside the sources each would compile five hundred of
# them anew, half a second of its start: theirs goes where pytest keeps what it knows.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays. To look through it for cycles is a fifth of the collection's work, and a tenth of the tests'
    own: it is put off, and set aside."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


PROCESSES = frozenset({"serve", "serve_all", "brokers", "broker", "browser"})
"""Fixtures that start processes; the folders in which tests start some by themselves."""
OF_PROCESSES = frozenset({"bench", "crash", "interop"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files whose tests start processes come first. They wait more than they compute: another worker computes meanwhile, and what is left
    for the end is short."""
    here = Path(__file__).parent
    waiting = {item.path for item in items if PROCESSES & set(getattr(item, "fixturenames", ()))}
    waiting |= {path for path in {item.path for item in items} if path.relative_to(here).parts[0] in OF_PROCESSES}
    items.sort(key=lambda item: item.path not in waiting)


@pytest.fixture
def frozen() -> Iterator[None]:
    """For a test that unfreezes what was set aside: set it aside again."""
    yield
    gc.collect()
    gc.freeze()


Frame = list[Any]
E = TypeVar("E")
Schema = dict[str, Any]
NOON_S = 1_795_348_800.0
BOOT = {"reason": "PowerUp", "chargingStation": {"model": "M1", "vendorName": "Acme", "firmwareVersion": "1.0"}}


class Policy:
    """Says yes to all; the fields change its mind, and `asked` remembers."""

    def __init__(self) -> None:
        self.boot_status = BootStatus.ACCEPTED
        self.token_status = "Accepted"
        self.transfers: tuple[str, ...] | None = None
        self.needs_answer = NeedsAnswer.NO_PROFILE
        self.setpoint_w: float | None = None
        self.no_signature: str | None = "This server signs no certificates."
        self.plan_answer: str | None = None
        self.deferred: int | None = None
        self.plans: list[Any] = []
        self.failure: Exception | None = None
        self.asked: list[Any] = []
        self.numbers: dict[Any, int] = {}
        self.open_at: dict[EvseId, TransactionId] = {}

    def boot(self, station_id: StationId, identity: StationIdentity, now_s: float) -> BootAnswer:
        if self.failure is not None:
            raise self.failure
        return BootAnswer(self.boot_status, 300)

    def authorize(self, station_id: StationId, id_token: str, token_type: str, evccid: str, now_s: float) -> AuthorizationAnswer | Deferred:
        if self.deferred is not None:
            return Deferred(self.deferred)
        return self.standing(station_id, id_token, token_type, evccid, now_s)

    def standing(self, station_id: StationId, id_token: str, token_type: str, evccid: str, now_s: float) -> AuthorizationAnswer:
        self.asked.append((id_token, token_type, evccid))
        return AuthorizationAnswer(self.token_status, self.transfers)

    def refuse_signing(self, station_id: StationId, csr: str, kind: str, now_s: float) -> str | None:
        self.asked.append((csr, kind))
        return self.no_signature

    def needs(self, event: ChargingNeedsReported, now_s: float) -> NeedsAnswer:
        return self.needs_answer

    def ev_plan(self, station_id: StationId, evse_id: int, plan: Any, tolerant: bool, now_s: float) -> str | None:
        self.plans.append((station_id, evse_id, plan, tolerant))
        return self.plan_answer

    def pull_setpoint(self, station_id: StationId, profile_id: ProfileId, now_s: float) -> float | None:
        return self.setpoint_w

    def transaction_number(self, station_id: StationId, evse_id: EvseId, started_s: float, meter_start_wh: int, now_s: float) -> int:
        return self.numbers.setdefault((evse_id, started_s, meter_start_wh), len(self.numbers) + 1)

    def open_transaction(self, station_id: StationId, evse_id: EvseId) -> TransactionId | None:
        return self.open_at.get(evse_id)


class Desk:
    """`events` is what happened, oldest first; `calls(station)` what the CSMS asks and has no answer to yet."""

    def __init__(self, settings: OcppSettings) -> None:
        self.now_s = NOON_S
        self.settings = settings
        self.policy = Policy()
        self.csms = Csms(settings, self.policy, map("m{}".format, itertools.count()).__next__)
        self.events: list[StationEvent] = []
        self.dialect = OCPP_2_1
        self._ids = map("s{}".format, itertools.count())
        self._answers: dict[tuple[str, str], Frame] = {}
        self._calls: dict[str, list[Frame]] = {}

    def open(self, station: str = "S1", *, known: DiscoveryRecord | None = None, subprotocol: str = "ocpp2.1") -> None:
        self._calls.pop(station, None)  # whatever an older connection was asked is void
        self.dialect = VERSIONS[subprotocol].dialect
        self._took(self.csms.open(StationId(station), subprotocol, self.now_s, known))

    def open_known(self, station: str = "S1", evses: int = 1, subprotocol: str = "ocpp2.1") -> None:
        """A station that was accepted and discovered before."""
        capability = [
            EvseCapability(evse_id=EvseId(number + 1), control_mode=ControlMode.SETPOINT, reason="known") for number in range(evses)
        ]
        identity = StationIdentity(vendor_name="Acme", model="M1", firmware_version="1.0")
        known = DiscoveryRecord(
            station_id=StationId(station),
            identity=identity,
            evses=tuple(capability),
            set_up_for=self.settings.sampling_asked,
            subprotocol=subprotocol,
        )
        self.open(station, known=known, subprotocol=subprotocol)

    def close(self, station: str = "S1", reason: str = "gone") -> None:
        self._calls.pop(station, None)
        self._took(self.csms.close(StationId(station), self.now_s, reason))

    def raw(self, text: bytes, station: str = "S1") -> None:
        self._took(self.csms.receive(StationId(station), text, self.now_s))

    def says(self, action: str, payload: dict[str, Any], station: str = "S1") -> Frame:
        """The station sends a CALL; returns the answer frame."""
        message_id = next(self._ids)
        self.raw(json.dumps([2, message_id, action, payload]).encode(), station)
        return self._answers.pop((station, message_id))

    def boot(self, station: str = "S1") -> Frame:
        return self.says("BootNotification", BOOT, station)

    def open_booted(self, station: str = "S1") -> None:
        """A station that nobody has asked yet."""
        self.open(station)
        self.boot(station)

    def calls(self, station: str = "S1") -> list[Frame]:
        return self._calls.get(station, [])

    def call(self, station: str = "S1") -> tuple[str, dict[str, Any]]:
        """Action and payload of the one CALL in flight."""
        [frame] = self.calls(station)
        return frame[2], frame[3]

    def answer(self, payload: dict[str, Any], station: str = "S1") -> None:
        frame = self._calls[station].pop(0)
        self.raw(json.dumps([3, frame[1], payload]).encode(), station)

    def refuse(self, code: str = "NotSupported", text: str = "", station: str = "S1") -> None:
        frame = self._calls[station].pop(0)
        self.raw(json.dumps([4, frame[1], code, text, {}]).encode(), station)

    def ignore(self, station: str = "S1") -> Frame:
        """The call in flight will not be answered."""
        return self._calls[station].pop(0)

    def submit(self, command: Command) -> None:
        self._took(self.csms.submit(command, self.now_s))

    def discover(self, station: StationId, errand: Errand) -> None:
        """Somebody asks for it."""
        happened = self.csms.discover(station, errand, self.now_s)
        assert happened is not None
        self._took(happened)

    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self._took(self.csms.on_deadline(self.now_s))

    def happened(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def _took(self, events: list[StationEvent]) -> None:
        self.events += events
        for outgoing in self.csms.take_outbox():
            frame = json.loads(outgoing.text)
            assert outgoing.is_call == (frame[0] == 2)
            if outgoing.is_call:
                msgspec.convert(frame[3], self.dialect.asked[frame[2]][0])  # strict in sending
                waiting = self._calls.setdefault(outgoing.station_id, [])
                waiting.append(frame)
                assert len(waiting) == 1, "two CALLs in flight"
            else:
                self._answers[outgoing.station_id, frame[1]] = frame


@pytest.fixture
def desk() -> Desk:
    """A CSMS with default settings."""
    return Desk(OcppSettings())


@pytest.fixture
def desk_with() -> Callable[..., Desk]:
    """`desk_with(discovery_parallel=2)`: a CSMS with other settings."""
    return lambda **settings: Desk(OcppSettings(**settings))


class Served:
    """`counterflow serve` on free ports that stay the same over restarts. `settings` is TOML."""

    def __init__(self, folder: Path, settings: str, options: tuple[str, ...]) -> None:
        self.data_dir = folder / "vpp"
        self.ocpp_port, self.api_port = _free_ports(2)
        self._folder = folder
        self._options = options
        self._starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        (folder / "counterflow.toml").write_text(settings)

    @property
    def ocpp_url(self) -> str:
        return f"ws://127.0.0.1:{self.ocpp_port}/ocpp"

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def log(self) -> str:
        """What the newest process wrote."""
        return (self._folder / f"server-{self._starts}.log").read_text()

    @property
    def process_id(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self, timeout_s: float = 120.0) -> None:
        """Start, and come back when stations and people are let in."""
        self._starts += 1
        ports = ("--ocpp-port", str(self.ocpp_port), "--api-port", str(self.api_port), "--data-dir", str(self.data_dir))
        arguments = ("serve", "--config", str(self._folder / "counterflow.toml"), *ports, *self._options)
        with (self._folder / f"server-{self._starts}.log").open("wb") as log:
            self._process = subprocess.Popen([*COMMAND, *arguments], stdout=log, stderr=log, cwd=self._folder, env=_ENVIRONMENT)
        deadline_s = time.monotonic() + timeout_s
        while "API token" not in self.log:
            assert self.alive, self.log
            assert time.monotonic() < deadline_s, "the server did not come up"
            time.sleep(0.02)

    async def restart(self) -> None:
        """`start` while the loop goes on."""
        await asyncio.to_thread(self.start)

    def kill(self) -> None:
        """`kill -9`: no goodbye, no flush."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """As Ctrl-C does; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(60.0)

    def hang_up(self) -> None:
        """SIGHUP: read the certificates again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def end(self) -> None:
        """Whatever state it is in."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def authorization(self) -> dict[str, str]:
        """The header with the token that the server made."""
        return {"Authorization": f"Bearer {(self.data_dir / 'api-token').read_text().strip()}"}

    def api(self) -> httpx.AsyncClient:
        """The HTTP API, with the token that the server made."""
        return httpx.AsyncClient(base_url=self.api_url, headers=self.authorization, timeout=30.0)

    async def command(self, *arguments: str, typed: str = "", with_api: bool = True) -> str:
        """What a command of the client prints; it must succeed. Some need no running server."""
        where = (*(("--api", self.api_url) if with_api else ()), "--data-dir", str(self.data_dir))
        process = await asyncio.create_subprocess_exec(
            *COMMAND, *arguments, *where, stdin=PIPE, stdout=PIPE, stderr=STDOUT, env=_ENVIRONMENT | {"COLUMNS": "200"}
        )
        output, _ = await process.communicate(typed.encode())
        assert process.returncode == 0, output.decode()
        return output.decode()


COMMAND = (sys.executable, "-c", "from counterflow.app.cli import main; main()")
_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("COUNTERFLOW_")} | {"COUNTERFLOW_CONSOLE": "off"}
Serve = Callable[..., Served]


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, from below those that the system gives to outgoing connections: a restart must find them free."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as one, contextlib.suppress(OSError):
            port = random.randrange(20_000, 32_000)
            one.bind(("127.0.0.1", port))
            found.append(port)
    return found


@contextlib.contextmanager
def _serving(folder: Path) -> Iterator[Serve]:
    running: list[Served] = []

    def run(settings: str = "", *options: str) -> Served:
        own = folder / f"server-{len(running)}"
        own.mkdir()
        running.append(Served(own, settings, options))
        running[-1].start()
        return running[-1]

    yield run
    for one in running:
        one.end()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """`serve(toml, "--accept-unknown-stations")`: a server that has started; it is gone after the test."""
    with _serving(tmp_path) as run:
        yield run


@pytest.fixture(scope="module")
def serve_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """The same for a server that the tests of a module share."""
    with _serving(tmp_path_factory.mktemp("served")) as run:
        yield run


@pytest.fixture
def until() -> Callable[..., Any]:
    """`await until(condition)`: look again and again; `condition` may be a coroutine function. Returns what it gave.

    The limit is for a machine that does much else besides: what must be quick is measured where it is demanded.
    """

    async def wait(condition: Callable[[], Any], timeout_s: float = 60.0, every_s: float = 0.05) -> Any:
        deadline_s = time.monotonic() + timeout_s
        while True:
            seen = condition()
            if asyncio.iscoroutine(seen):
                seen = await seen
            if seen:
                return seen
            assert time.monotonic() < deadline_s, f"it did not happen within {timeout_s:g} s"
            await asyncio.sleep(every_s)

    return wait


def _folder() -> Path:
    spec = importlib.util.find_spec("ocpp")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "v21" / "schemas"


@pytest.fixture(scope="session")
def official_schemas() -> dict[str, Schema]:
    """The official OCPP 2.1 schemas by message name (`BootNotificationRequest`)."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8-sig")) for path in sorted(_folder().glob("*.json"))}


@pytest.fixture(scope="session")
def schema_admits(official_schemas: dict[str, Schema]) -> Callable[[str, Any], bool]:
    """`schema_admits("BootNotificationRequest", payload)`: the verdict of jsonschema-rs, timestamps included."""
    judges = {name: jsonschema_rs.validator_for(schema, validate_formats=True) for name, schema in official_schemas.items()}
    return lambda name, payload: bool(judges[name].is_valid(payload))


@pytest.fixture(scope="session")
def example_of(official_schemas: dict[str, Schema]) -> Callable[[str, random.Random], dict[str, Any]]:
    """`example_of("BootNotificationRequest", random.Random(1))`: a valid payload, optional fields present or not at random."""

    def of(node: Schema, root: Schema, rng: random.Random) -> Any:
        if "$ref" in node:
            return of(root["definitions"][node["$ref"].rpartition("/")[2]], root, rng)
        if "enum" in node:
            return rng.choice(node["enum"])
        match node.get("type"):
            case "object":
                if node.get("javaType") == "CustomData":
                    return {"vendorId": "org.example"}
                return {
                    name: of(field, root, rng)
                    for name, field in node["properties"].items()
                    if name in node.get("required", ()) or rng.random() < 0.5
                }
            case "array":
                most = min(node.get("maxItems", 3), node.get("minItems", 0) + 2)
                return [of(node["items"], root, rng) for _ in range(rng.randint(max(node.get("minItems", 0), 1), most))]
            case "string" if node.get("format") == "date-time":
                return rng.choice(["2026-11-22T10:00:00Z", "2026-11-22T10:00:00.123Z", "2026-11-22T11:00:00+01:00"])
            case "string":
                return "x" * rng.randint(1, min(node.get("maxLength", 20), 40))
            case "integer":
                return rng.randint(int(node.get("minimum", -5)), int(node.get("maximum", 100)))
            case "number":
                return round(rng.uniform(node.get("minimum", -5.0), node.get("maximum", 100.0)), 3)
            case "boolean":
                return rng.random() < 0.5
            case _:
                return {"free": ["form", 1]}

    return lambda name, rng: of(official_schemas[name], official_schemas[name], rng)


class Pki:
    """Authorities, and certificates that are right or wrong in one way: files below `folder`, made on demand.

    `now_s` is the real time, since OpenSSL looks at the clock itself.
    """

    def __init__(self, folder: Path, now_s: float) -> None:
        self.folder = folder
        self.now_s = now_s

    def authority(self, name: str = "ours") -> Authority:
        return open_authority(self.folder / name, name, self.now_s - 400 * 86_400.0)

    def root(self, name: str = "ours") -> str:
        self.authority(name)
        return str(self.folder / name / "root.pem")

    def server(self, kind: str = "ecdsa", *, authority: str = "ours", file: str = "") -> str:
        """Certificate and key of 127.0.0.1."""
        names = ["localhost", "127.0.0.1"]
        chain, key = self.authority(authority).issue_for_server(names, rsa_key=kind == "rsa", days=30, now_s=self.now_s)
        path = self.folder / (file or f"server-{kind}.pem")
        path.write_text(key + chain)
        return str(path)

    def station(self, name: str, *, authority: str = "ours", at_s: float | None = None) -> str:
        """Certificate and key of a station, valid for a day from `at_s` (now)."""
        key = ec.generate_private_key(ec.SECP256R1())
        now_s = self.now_s if at_s is None else at_s
        chain = self.authority(authority).issue_for_station(name, key.public_key(), days=1, now_s=now_s)
        path = self.folder / f"{authority}-{name}.pem"
        path.write_text(private_pem(key) + chain)
        return str(path)

    def revocation_list(
        self, *certificates: str, authority: str = "ours", days: float = 1.0, at_s: float | None = None, **more: Any
    ) -> str:
        """A list of the authority that names these certificate files, good for `days` from `at_s` (now)."""
        root = x509.load_pem_x509_certificate(Path(self.root(authority)).read_bytes())
        key = serialization.load_pem_private_key((self.folder / authority / "key.pem").read_bytes(), None)
        begin = datetime.fromtimestamp(self.now_s if at_s is None else at_s, UTC)
        builder = x509.CertificateRevocationListBuilder().issuer_name(root.subject)
        builder = builder.last_update(begin).next_update(begin + timedelta(days=days))
        for extension in more.get("extensions", ()):
            builder = builder.add_extension(extension, critical=True)
        for path in certificates:
            leaf = x509.load_pem_x509_certificates(Path(path).read_bytes())[0]
            entry = x509.RevokedCertificateBuilder().serial_number(leaf.serial_number).revocation_date(begin).build()
            builder = builder.add_revoked_certificate(entry)
        path = self.folder / more.get("file", f"{authority}-revoked.pem")
        path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(more.get("encoding", serialization.Encoding.PEM)))
        return str(path)

    def client(self, certificate: str | None = None, *, trusts: str = "ours") -> ssl.SSLContext:
        return client_context(self.root(trusts), certificate)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path, time.time())
