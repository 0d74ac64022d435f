"""What TLS costs the gateway: CPU per handshake and CPU per message, plain and with each security profile, in one run.

python scripts/measure_tls.py [stations]

The gateway runs in a process of its own; both processes are busy, so the wall time is that of a machine with two cores.
"""

import asyncio
import json
import resource
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import structlog
import uvloop
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace

from counterflow.adapters.certificates.authority import open_authority, private_pem
from counterflow.adapters.ocpp.client import ClientLine, connect
from counterflow.adapters.ocpp.gateway import Gateway
from counterflow.adapters.ocpp.listeners import ListenerSettings
from counterflow.adapters.ocpp.tls import client_context
from counterflow.adapters.ocpp.transport import Admission, Admitted, GatewaySettings, Line, Shown
from counterflow.domain.ids import StationId

ROUNDS = 3
MESSAGES = 40
PAYLOAD = b"x" * 400
AT_ONCE = 50


class Echo:
    """Lets everybody in and says everything again."""

    def admit(self, station_id: StationId, offered: Sequence[str], shown: Shown, peer: str) -> Admission:
        return Admitted("ocpp2.1")

    def opened(self, line: Line) -> None:
        pass

    def received(self, line: Line, text: bytes) -> None:
        line.send(text)

    def closed(self, line: Line, reason: str) -> None:
        pass


async def serve(folder: Path) -> None:
    """The gateway; a line on standard input asks for CPU seconds and lines."""
    ecdsa, rsa, root = (str(folder / name) for name in ("ecdsa.pem", "rsa.pem", "authority/root.pem"))
    over_tls = ListenerSettings(profile=2, port=0, certificates=(ecdsa,))
    mutual = replace(over_tls, profile=3, client_authority=root)
    unhindered: dict[str, Any] = {"tls_handshakes_per_s": 1e5, "messages_per_s": 1e6, "message_burst": 10_000_000}
    unhindered |= {"receive_bytes_per_s": 1e9, "receive_burst_bytes": 1024**3}
    listeners = (over_tls, replace(over_tls, certificates=(rsa,)), mutual)
    gateway = Gateway(Echo(), GatewaySettings(port=0, listeners=listeners, **unhindered))
    await gateway.start()
    print(json.dumps([gateway.port, *gateway.ports]), flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        used = resource.getrusage(resource.RUSAGE_SELF)
        print(json.dumps([used.ru_utime + used.ru_stime, gateway.counters.connections]), flush=True)


def certificates(folder: Path) -> None:
    """An authority, two kinds of server certificate and one of a station."""
    now_s = time.time()
    authority = open_authority(folder / "authority", "measurement", now_s)
    for kind in ("ecdsa", "rsa"):
        chain, key = authority.issue_for_server(["127.0.0.1"], rsa_key=kind == "rsa", days=1, now_s=now_s)
        (folder / f"{kind}.pem").write_text(key + chain)
    own_key = ec.generate_private_key(ec.SECP256R1())
    chain = authority.issue_for_station("CS", own_key.public_key(), days=1, now_s=now_s)
    (folder / "station.pem").write_text(private_pem(own_key) + chain)


class Bench:
    """The stations' side."""

    def __init__(self, child: "subprocess.Popen[str]", stations: int) -> None:
        self.child = child
        self.stations = stations
        self.answers = 0

    def ask(self) -> tuple[float, int]:
        """CPU seconds and lines of the gateway."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        cpu_s, lines = json.loads(self.child.stdout.readline())
        return cpu_s, lines

    async def round(self, port: int, context: ssl.SSLContext | None) -> tuple[float, float, float]:
        """Microseconds CPU a handshake, seconds for all, microseconds CPU a message (in and out)."""
        few = asyncio.Semaphore(AT_ONCE)

        def on_text(_line: ClientLine, _text: bytes) -> None:
            self.answers += 1

        async def one(number: int) -> ClientLine:
            url = f"{'ws' if context is None else 'wss'}://127.0.0.1:{port}/ocpp/S{number}"
            ends = {"on_text": on_text, "on_close": lambda _line, _reason: None}
            async with few:
                return await connect(url, subprotocols=["ocpp2.1"], context=context, handshake_timeout_s=60.0, **ends)

        before_s, _ = self.ask()
        began_s = time.perf_counter()
        lines = await asyncio.gather(*(one(number) for number in range(self.stations)))
        took_s = time.perf_counter() - began_s
        connected_s, _ = self.ask()
        self.answers = 0
        for number in range(1, MESSAGES + 1):
            for line in lines:
                line.send(PAYLOAD)
            while self.answers < number * self.stations:
                await asyncio.sleep(0.001)
        spoken_s, _ = self.ask()
        for line in lines:
            line.close()
        while self.ask()[1]:
            await asyncio.sleep(0.05)
        handshake_us = (connected_s - before_s) / self.stations * 1e6
        message_us = (spoken_s - connected_s) / (self.stations * MESSAGES) * 1e6
        return handshake_us, took_s, message_us


async def measure(folder: Path, child: "subprocess.Popen[str]", stations: int) -> None:
    """Rounds of all four in turn; the median of each."""
    assert child.stdout is not None
    ports = json.loads(child.stdout.readline())
    root = str(folder / "authority/root.pem")
    over_tls, mutual = client_context(root), client_context(root, str(folder / "station.pem"))
    ways = (("plain", None), ("TLS 1.3, ECDSA P-256", over_tls), ("TLS 1.3, RSA 2048", over_tls), ("mutual TLS 1.3, ECDSA", mutual))
    bench = Bench(child, stations)
    results: dict[str, list[tuple[float, ...]]] = {name: [] for name, _ in ways}
    for _ in range(ROUNDS):
        for (name, context), port in zip(ways, ports, strict=True):
            results[name].append(await bench.round(port, context))
    print(f"{stations} stations, median of {ROUNDS} rounds\n")
    print("| | CPU a handshake | all handshakes | CPU a message, in and out |\n|---|---|---|---|")
    for name, rounds in results.items():
        handshake_us, took_s, message_us = (sorted(figure)[ROUNDS // 2] for figure in zip(*rounds, strict=True))
        print(f"| {name} | {handshake_us:.0f} µs | {took_s:.2f} s | {message_us:.1f} µs |")


def main() -> None:
    """Start the gateway and measure it."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    if sys.argv[1:2] == ["serve"]:
        uvloop.run(serve(Path(sys.argv[2])))
        return
    with tempfile.TemporaryDirectory() as name:
        certificates(Path(name))
        with subprocess.Popen([sys.executable, __file__, "serve", name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            try:
                uvloop.run(measure(Path(name), child, int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
            finally:
                child.kill()


if __name__ == "__main__":
    main()
